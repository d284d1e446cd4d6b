"""What works with globus-compute-sdk 4.19 works here: names, parameters, positions, defaults."""

from __future__ import annotations

import pytest

from tests.sdk.sdk_signatures import SIGNATURES
from tests.sdk.signatures import signatures

DIFFERENCES = {
    "Client.register_function": "the guide's positions: function_name and container_uuid come second",
    "Batch.add": "takes the guide's form as well",
    "Executor": "without a pace given, the pace is that of the service",
    **dict.fromkeys(
        (
            "ShellFunction.get_and_close_streams",
            "ShellFunction.get_snippet",
            "ShellFunction.open_std_fd",
        ),
        "a method of its implementation",
    ),
    **dict.fromkeys(
        ("Client.web_service_address", "Executor.task_count_submitted", "Batch.tasks"),
        "what it finds out itself: setting it changes nothing there, and is an error here",
    ),
}
"""Deliberate differences, each with its reason. A class stands for its constructor, and for its subclass."""

ALLOWED = {
    "Client.register_function": {"description", "metadata", "public", "group", "ha_endpoint_id"},
    "Batch.add": {"function_id", "args", "kwargs"},
    "Executor": {"api_burst_limit", "api_burst_window_s"},
    "Client.web_service_address": {"settable"},
    "Executor.task_count_submitted": {"settable"},
    "Batch.tasks": {"settable"},
}
"""Parameters that may differ; "settable" of attributes."""

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
    different = name.replace("MPIFunction", "ShellFunction")
    if different in DIFFERENCES and different not in ALLOWED:
        assert name not in OURS
        return
    assert name in OURS
    theirs, ours = SIGNATURES[name], OURS[name]
    if theirs and theirs[0] in ("property", "attribute"):
        assert ours[:1] in (["property"], ["attribute"])
        assert set(theirs[1:]) - set(ours[1:]) == ALLOWED.get(name, set())
        return
    assert {split(one)[0] for one in missing(theirs, ours)} == ALLOWED.get(name, set())


def test_errors_and_strategies() -> None:
    assert set(SIGNATURES["errors"]) <= set(OURS["errors"])
    assert set(SIGNATURES["serialize"]) <= set(OURS["serialize"])


def test_the_differences_are_few_and_real() -> None:
    assert len(DIFFERENCES) < 10
    assert set(SIGNATURES) >= set(DIFFERENCES)
