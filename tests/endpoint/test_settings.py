"""The configuration of an endpoint, as people edit it."""

from __future__ import annotations

from pathlib import Path

import pytest

from compute_executor.endpoint.settings import EndpointSettings, load, save
from compute_executor.errors import InvalidRequest


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('engin = "process"', "engin means nothing .did you mean engine"),
        ('engine = "proces"', "there is no engine 'proces'; there are: process, "),
        ('engine = "pools:make"', "there is no engine"),
        ('workers = "four"', "Expected `int`, got `str` - at `[$].workers`"),
        ("workers = -3", "Expected `int` >= 0"),
        ("workers = 100000000000000000000", "Expected `int` <= 1000000"),
        ("nodes = 0", "Expected `int` >= 1"),
        ("idle = -1", "Expected `float` >= 0"),
        ('walltime = "soon"', "HH:MM:SS is needed"),
        ('variables = {"A=B" = "x"}', "'A=B' is no variable"),
        ('variables = {"" = "x"}', "'' is no variable"),
        ('variables = {A = "x\\u0000"}', "'A' is no variable"),
        ("engine = [", "is wrong"),
    ],
)
def test_what_is_wrong_is_told_with_its_file_and_what_to_do(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "endpoint.toml"
    path.write_text(text)
    with pytest.raises(InvalidRequest, match=said) as caught:
        load(path)
    assert str(path) in str(caught.value)
    assert "Mend it, or remove it" in str(caught.value)


def test_what_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "endpoint.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidRequest, match="Mend it, or remove it"):
        load(path)


def test_what_is_not_said_is_as_by_default(tmp_path: Path) -> None:
    path = tmp_path / "endpoint.toml"
    assert load(path) == EndpointSettings()
    path.write_text("")
    assert load(path) == EndpointSettings()
    chosen = EndpointSettings(engine="/x/pools.py:make", variables={"A": "b=c"}, walltime="100:00:00")
    save(path, chosen)
    assert load(path) == chosen
