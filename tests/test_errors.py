"""The tree of errors: each travels as a document and comes back as its class."""

from __future__ import annotations

import concurrent.futures
import pickle
import re
import sys
import traceback
from pathlib import Path

import pytest

from compute_executor import errors


def all_classes() -> list[type[errors.ComputeError]]:
    found: list[type[errors.ComputeError]] = []
    pending: list[type[errors.ComputeError]] = [errors.ComputeError]
    while pending:
        one = pending.pop()
        if (
            one.__module__ == errors.__name__
        ):  # others are of one room only, and travel as the class they refine
            found.append(one)
        pending.extend(one.__subclasses__())
    return found


@pytest.mark.parametrize("kind", all_classes())
def test_an_error_travels_as_a_document_and_comes_back_as_its_class(kind: type[errors.ComputeError]) -> None:
    back = errors.from_document(kind("what happened").document())
    assert type(back) is kind
    assert str(back) == "what happened"


@pytest.mark.parametrize("kind", all_classes())
def test_every_error_stands_in_the_tree_at_the_head_of_the_module(kind: type[errors.ComputeError]) -> None:
    assert errors.__doc__ is not None
    assert kind.__name__ in errors.__doc__


@pytest.mark.parametrize("kind", all_classes())
def test_every_error_pickles_with_its_attributes(kind: type[errors.ComputeError]) -> None:
    error = kind("m", task_id="t")
    back = pickle.loads(pickle.dumps(error))
    assert (type(back), back.message, back.task_id) == (kind, "m", "t")


@pytest.mark.parametrize("kind", all_classes())
def test_every_error_leads_to_its_place_in_the_page(kind: type[errors.ComputeError]) -> None:
    page = (Path(__file__).parent.parent / "docs" / "reference" / "errors.md").read_text(encoding="utf-8")
    name = kind.__name__
    assert (
        kind("m").help == f"help: compute-executor explain {name} (docs/reference/errors.md#{name.lower()})"
    )
    tree, _, entries = page.partition("\n## ")
    assert re.search(rf"[─ ]{name}\b", tree) or kind is errors.ComputeError
    assert f"\n### {name}\n\nCode {kind.code}." in entries


def test_an_error_of_one_room_leads_to_the_class_that_it_refines() -> None:
    class Refined(errors.NotFound): ...

    assert "explain NotFound " in Refined("m").help


@pytest.mark.skipif(sys.version_info < (3, 11), reason="notes are of Python 3.11")
def test_the_help_is_the_last_line_of_an_uncaught_error_once() -> None:
    error = pickle.loads(pickle.dumps(errors.TaskTimeout("it ran long")))
    shown = "".join(traceback.format_exception(error)).splitlines()
    assert [line for line in shown if "help:" in line] == [shown[-1]] == [error.help]
    assert str(error) == "it ran long"


def test_notes_of_others_are_beside_the_help_and_not_shared() -> None:
    one, other = errors.NotFound("one"), errors.NotFound("other")
    one.__notes__.append("seen")
    assert (one.__notes__, other.__notes__) == ([one.help, "seen"], [other.help])


def test_codes_are_distinct() -> None:
    codes = [kind.code for kind in all_classes()]
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize(
    ("kind", "standard"),
    [
        (errors.SerializationError, TypeError),
        (errors.PayloadTooLarge, ValueError),
        (errors.NotAuthorized, PermissionError),
        (errors.NotFound, LookupError),
        (errors.ServiceUnavailable, ConnectionError),
        (errors.TaskCancelled, concurrent.futures.CancelledError),
        (errors.TaskTimeout, TimeoutError),
        (errors.WorkerLost, concurrent.futures.BrokenExecutor),
        (errors.PoolBroken, concurrent.futures.BrokenExecutor),
    ],
)
def test_it_also_is_the_standard_exception(kind: type[Exception], standard: type[Exception]) -> None:
    assert issubclass(kind, standard)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.InvalidRequest),
        (401, errors.NotAuthorized),
        (403, errors.NotAuthorized),
        (404, errors.NotFound),
        (413, errors.PayloadTooLarge),
        (429, errors.ServiceUnavailable),
        (500, errors.ComputeError),
        (503, errors.ServiceUnavailable),
    ],
)
def test_an_answer_that_is_not_ours_is_read_by_its_status(status: int, kind: type[Exception]) -> None:
    error = errors.from_document({"reason": "told so"}, http_status=status)
    assert type(error) is kind
    assert str(error) == "told so"


def test_worker_lost_carries_how_it_died() -> None:
    error = errors.WorkerLost("m", exit_code=-9, began=False, attempts=3)
    assert (error.exit_code, error.began, error.attempts) == (-9, False, 3)


def test_an_error_without_a_message_has_an_empty_one() -> None:
    error = errors.TaskPending(status="running")
    assert (error.message, error.status) == ("", "running")
