"""What works with globus-compute-sdk 4.19 works here: names, parameters, positions, defaults."""

from __future__ import annotations

import pytest

from tests.sdk.sdk_signatures import SIGNATURES
from tests.sdk.signatures import signatures

DIFFERENCES = {
    "the guide's positions: function_name and container_uuid come second": ["Client.register_function"],
    "batches are made by Client.create_batch": ["Batch"],
    "takes the guide's form as well": ["Batch.add"],
    "futures are made by an Executor": ["ComputeFuture"],
    "methods of its implementation": [
        f"{kind}.{name}"
        for kind in ("ShellFunction", "MPIFunction")
        for name in ("get_and_close_streams", "get_snippet", "open_std_fd", "valid_function_name")
    ],
    "without a pace given, the pace is that of the service": ["Executor"],
    "given when the Executor is made, and fixed from then on": [
        *("Executor.task_group_id", "Executor.amqp_port")
    ],
    "other keywords of a registration are the Client's": ["Executor.register_function"],
}
"""Deliberate differences by their reason. A class stands for its constructor."""

EXCUSED = {name for names in DIFFERENCES.values() for name in names}

OURS = signatures("compute_executor")


def split(parameter: str) -> tuple[str, bool, str | None]:
    """Name, whether it is by keyword only, default."""
    name, _, default = parameter.removeprefix("key ").partition("=")
    return name, parameter.startswith("key "), default or None


def missing(theirs: list[str], ours: list[str]) -> list[str]:
    """Parameters that a program for the SDK could pass and that are not taken in the same way here."""
    here = {split(one)[0]: (place, *split(one)[1:]) for place, one in enumerate(ours)}
    wrong = []
    for place, parameter in enumerate(theirs):
        name, by_keyword, default = split(parameter)
        if name.startswith("*"):
            continue
        if name not in here:
            wrong.append(parameter)
            continue
        where, keyword_here, default_here = here[name]
        moved = not by_keyword and (keyword_here or where != place)
        other = default_here != default and not (default is None and default_here is not None)
        if moved or other:
            wrong.append(f"{parameter} (here: {ours[where]}, at {where})")
    return wrong


@pytest.mark.parametrize("name", [one for one in SIGNATURES if one not in ("errors", "serialize")])
def test_a_name_of_the_sdk(name: str) -> None:
    if name in EXCUSED:
        return
    assert name in OURS
    theirs, ours = SIGNATURES[name], OURS[name]
    if theirs and theirs[0] in ("property", "attribute"):
        assert ours[:1] in (["property"], ["attribute"])
        assert "settable" not in theirs or "settable" in ours
        return
    assert missing(theirs, ours) == []


def test_errors_and_strategies() -> None:
    assert set(SIGNATURES["errors"]) <= set(OURS["errors"])
    assert set(SIGNATURES["serialize"]) <= set(OURS["serialize"])


def test_the_differences_are_few_and_real() -> None:
    assert len(DIFFERENCES) < 10
    assert set(SIGNATURES) >= EXCUSED
