from __future__ import annotations

import datetime
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from compute_executor.errors import InvalidRequest
from compute_executor.sweeps.book import Book, CallEnd, book_of, dump
from compute_executor.sweeps.values import key_bytes


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "results.csv.sweep"


def key(row: dict[str, Any]) -> bytes:
    return key_bytes(row.values())


def test_the_book_is_beside_its_table() -> None:
    assert book_of(Path("a/results.csv")) == Path("a/results.csv.sweep")


def test_values_and_parameters_come_back_as_what_they_were(path: Path) -> None:
    book = Book(path)
    row = {"x": 2**200, "when": datetime.date(2026, 1, 2), "name": "ü,\n", "none": None}
    book.add_calls([(0, row), (1, {"x": 1})])
    book.add_ends([CallEnd(0, dump([1, {"a": (2,)}]), output="said", began=1.0, ended=2.5, attempts=3)])
    book.close()
    book = Book(path)
    (found,) = book.rows()
    assert found.parameters == row
    assert found.value() == [1, {"a": (2,)}]
    assert found.end is not None
    assert (found.end.output, found.end.began, found.end.ended, found.end.attempts) == ("said", 1.0, 2.5, 3)
    assert [one.id for one in book.rows(ended=False)] == [0, 1]
    assert (book.counts(), book.open_calls(), book.next_id()) == ((1, 0), 1, 2)
    book.close()


def test_a_class_that_cannot_be_imported_is_kept_too(path: Path) -> None:
    class Local:
        def __init__(self, x: int) -> None:
            self.x = x

    book = Book(path)
    book.add_calls([(0, {})])
    book.add_ends([CallEnd(0, dump(Local(7)))])
    assert [row.value().x for row in book.rows()] == [7]
    book.close()


def test_a_second_sweep_is_kept_out_also_from_another_process(path: Path) -> None:
    book = Book(path)
    with pytest.raises(InvalidRequest, match="another sweep is writing to"):
        Book(path)
    code = (
        "import sys; from pathlib import Path; from compute_executor.sweeps.book import Book\n"
        "Book(Path(sys.argv[1]))"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=False)
    assert "another sweep is writing to" in done.stderr
    book.close()
    Book(path).close()


def test_a_file_that_is_no_book_is_refused(path: Path) -> None:
    path.write_text("x,error\n" * 1000)
    with pytest.raises(InvalidRequest, match="is no book of a sweep"):
        Book(path)
    import sqlite3

    path.unlink()
    other = sqlite3.connect(path)
    other.execute("create table t (x)")
    other.close()
    with pytest.raises(InvalidRequest, match="is no book of a sweep"):
        Book(path)


def test_what_was_committed_survives_a_kill(path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from compute_executor.sweeps.book import Book, CallEnd, dump\n"
        "book = Book(Path(sys.argv[1])); book.add_calls([(0, {'x': 1}), (1, {'x': 2})])\n"
        "book.add_ends([CallEnd(0, dump(5))]); book.commit(); book.add_ends([CallEnd(1, dump(6))]); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code, path], check=False)
    book = Book(path)
    assert [(row.id, row.value()) for row in book.rows()] == [(0, 5)]
    assert book.open_calls() == 1
    book.close()


def test_rows_are_claimed_as_often_as_they_are_there_those_with_a_value_first(path: Path) -> None:
    book = Book(path)
    book.add_calls([(n, {"x": x}) for n, x in enumerate([1, 1.0, 1, 2])])
    book.add_ends([CallEnd(1, None, "ValueError: no"), CallEnd(2, dump(3))])
    book.index(key)
    found = [book.claim(key({"x": 1})) for _ in range(4)]
    assert found == [(2, "", 1), (1, "ValueError: no", 1), (0, None, 0), None]
    assert book.claim(key({"x": 3})) is None
    book.close()


def test_rows_have_the_order_of_the_present_design_then_the_others(path: Path) -> None:
    book = Book(path)
    book.add_calls([(n, {"x": n}) for n in range(3)])
    book.add_ends([CallEnd(n, dump(n)) for n in range(3)])
    book.add_places([(0, 2), (1, 0)])
    assert [(row.place, row.id) for row in book.rows()] == [(0, 2), (1, 0), (-1, 1)]
    assert [row.id for row in book.rows(placed=True)] == [2, 0]
    assert book.foreign() == 1
    book.close()


def test_batches_that_are_known_whole_can_be_told(path: Path) -> None:
    book = Book(path)
    prefix = b"p" * 12
    book.add_calls([(n, {}) for n in range(3)])
    book.add_ends([CallEnd(n, dump(n), task=prefix + bytes(4)) for n in range(2)])
    assert book.batches() == {prefix: 2}
    book.close()
