"""Cause and remedy of each error, from the page of the documentation."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from click.testing import Result

from compute_executor import errors
from compute_executor.cli.explain import plain, sections
from compute_executor.cli.wrong_input import failed

Command = Callable[..., Result]
KINDS = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, errors.ComputeError)
}


def test_each_error_has_its_section_with_code_cause_and_remedy() -> None:
    found = sections()
    assert sorted(found) == sorted(KINDS)
    for name, kind in KINDS.items():
        assert found[name].startswith(f"Code {kind.code}.\n"), name
        assert "\nCause. " in found[name], name
        assert "\nRemedy. " in found[name], name


@pytest.mark.parametrize("name", ["WorkerLost", "workerlost", "109", "compute_executor.errors.WorkerLost"])
def test_an_error_is_found_by_name_and_code(command: Command, name: str) -> None:
    done = command("explain", name)
    assert done.exit_code == 0
    assert done.stdout.startswith("WorkerLost\n\nCode 109.")
    assert "](" not in done.stdout


def test_without_a_name_all_are_listed(command: Command) -> None:
    assert command("explain").stdout.split() == sorted(KINDS)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [("WorkrLost", "did you mean WorkerLost?"), ("12345", "compute-executor explain lists them")],
)
def test_a_wrong_name_is_told(command: Command, wrong: str, told: str) -> None:
    done = command("explain", wrong)
    assert done.exit_code == 2
    assert told in done.stderr


def test_what_is_printed_has_neither_links_nor_emphasis() -> None:
    assert plain("**Cause.** See [the guide](a/b.md#c).\n") == "Cause. See the guide."


def test_a_command_that_fails_ends_with_the_way_to_the_remedy() -> None:
    error = failed(errors.StoreBusy("locked"))
    assert (error.exit_code, error.message) == (1, f"locked\n{errors.StoreBusy('').help}")
    assert failed(errors.StoreBusy("locked"), "in other words").message.startswith("in other words\nhelp: ")
