from __future__ import annotations

import itertools
from typing import Literal

import numpy as np
import pytest

from compute_executor.errors import InvalidRequest
from compute_executor.sweeps.annotations import Parameters
from compute_executor.sweeps.samples import METHODS, Range, Sampling, fits, parse_range
from compute_executor.sweeps.seeds import child_seed

BOX = [Range("a", 0.0, 1.0), Range("b", 0.1, 10.0, logarithmic=True), Range("n", 1.0, 6.0, whole=True)]


@pytest.mark.parametrize("method", METHODS)
def test_points_lie_in_the_box_and_are_the_same_again(method: str) -> None:
    sample = Sampling(100, BOX, method, seed=4)
    rows = list(sample.rows())
    assert rows == list(Sampling(100, BOX, method, seed=4).rows())
    assert rows != list(Sampling(100, BOX, method, seed=5).rows())
    assert len(rows) == sample.count
    assert all(0 <= row["a"] <= 1 and 0.1 <= row["b"] <= 10 for row in rows)
    assert {row["n"] for row in rows} == {1, 2, 3, 4, 5, 6}
    assert all(type(row["n"]) is int for row in rows)


def test_a_latin_hypercube_has_a_point_in_every_slice() -> None:
    rows = Sampling(50, [Range("a", 0.0, 50.0)], "lhs").rows()
    assert sorted(int(row["a"]) for row in rows) == list(range(50))


def test_a_logarithmic_range_spreads_the_logarithm() -> None:
    values = [row["b"] for row in Sampling(1000, [BOX[1]], "sobol").rows()]
    assert sum(value < 1 for value in values) == pytest.approx(500, abs=10)


def test_very_many_points_come_one_at_a_time() -> None:
    sample = Sampling(10_000_000, BOX, "sobol")
    assert len(list(itertools.islice(sample.rows(), 5000))) == 5000


def test_points_that_are_drawn_in_pieces_are_those_drawn_at_once() -> None:
    pieces = [row["a"] for row in Sampling(9000, [BOX[0]], "halton", seed=2).rows()]
    assert len(set(pieces)) == 9000


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a", "write name=low:high"),
        ("a=1", "write name=low:high"),
        ("a=1:2:lin", "write name=low:high"),
        ("a b=1:2", "write name=low:high"),
        ("a=x:2", "must be numbers"),
        ("a=2:1", "the first must be less"),
        ("a=0:1:log", "must begin above zero"),
        ("a=nan:1", "must be numbers"),
    ],
)
def test_a_wrong_range_is_refused(text: str, says: str) -> None:
    with pytest.raises(InvalidRequest, match=says):
        parse_range(text)


def test_an_annotation_makes_whole_numbers_or_refuses() -> None:
    def f(n: int, word: str, x: float) -> None: ...

    parameters = Parameters(f)
    assert parse_range("n=1:6", parameters).whole
    assert not parse_range("x=1:6", parameters).whole
    with pytest.raises(InvalidRequest, match="whole numbers"):
        parse_range("n=1.5:6", parameters)

    def g(x: Literal["a", "b"]) -> None: ...

    with pytest.raises(InvalidRequest, match="is no Literal"):
        fits(parse_range("x=1:2"), Parameters(g).converter("x"))


@pytest.mark.parametrize(("count", "method"), [(10, "best"), (0, "lhs"), (3_000_000, "lhs")])
def test_a_wrong_sample_is_refused(count: int, method: str) -> None:
    with pytest.raises(InvalidRequest):
        Sampling(count, BOX, method)
    with pytest.raises(InvalidRequest, match="--range"):
        Sampling(5, [])


def test_the_seed_of_a_row_is_a_child_of_numpys_seed_sequence() -> None:
    children = np.random.SeedSequence(7).spawn(5)
    assert [child_seed(7, place) for place in range(5)] == [child.generate_state(1)[0] for child in children]
