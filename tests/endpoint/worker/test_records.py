"""Log records and warnings of tasks, as they leave a worker."""

from __future__ import annotations

import json
import logging
import warnings
from typing import Any

from compute_executor.surroundings import messages, pack
from tests.endpoint.conftest import Lab, Script

PROGRAM = {"levels": {"": logging.INFO, "loud": logging.DEBUG}, "disabled": 0, "warnings": []}


def documents(script: Script, position: int) -> list[dict[str, Any]]:
    """What a task has sent."""
    output = script.ends[position].output
    return [json.loads(line) for line in output.records.splitlines()] if output else []


def test_records_are_sent_at_the_levels_of_the_program(lab: Lab) -> None:
    def speak() -> None:
        import logging

        logging.getLogger("quiet").debug("no")
        logging.getLogger("quiet").info("%s, %d", "yes", 1)
        logging.getLogger("loud").debug("too", extra={"odd": object()})
        try:
            raise KeyError("k")
        except KeyError:
            logging.exception("failed")

    async def scenario(script: Script) -> None:
        await script.run(speak)
        records = [one["record"] for one in documents(script, 1)]
        assert [(one["name"], one["levelno"], one["msg"]) for one in records] == [
            ("quiet", logging.INFO, "yes, 1"),
            ("loud", logging.DEBUG, "too"),
            ("root", logging.ERROR, "failed"),
        ]
        assert "KeyError: 'k'" in records[2]["exc_text"]
        assert 1 not in script.texts or script.texts[1] == b""

    lab(scenario, surroundings=pack(PROGRAM))


def test_a_worker_that_configures_logging_does_it_itself(lab: Lab) -> None:
    def speak() -> None:
        import logging

        logging.basicConfig(format="mine %(message)s")
        logging.warning("hello")

    async def scenario(script: Script) -> None:
        await script.run(speak)
        assert script.texts[1] == b"mine hello\n"
        assert documents(script, 1) == []

    lab(scenario, surroundings=pack(PROGRAM))


def test_what_the_program_has_disabled_is_not_sent(lab: Lab) -> None:
    def speak() -> None:
        import logging

        logging.getLogger("loud").info("no")
        logging.getLogger("loud").error("yes")

    async def scenario(script: Script) -> None:
        await script.run(speak)
        assert [one["record"]["msg"] for one in documents(script, 1)] == ["yes"]

    lab(scenario, surroundings=pack(PROGRAM | {"disabled": logging.INFO}))


def test_warnings_are_sent_as_the_program_filters_them(lab: Lab) -> None:
    def speak() -> None:
        import warnings

        warnings.warn("one", UserWarning, stacklevel=1)
        warnings.warn("two", DeprecationWarning, stacklevel=1)

    with warnings.catch_warnings():
        warnings.resetwarnings()
        warnings.filterwarnings("ignore", "o.e", UserWarning)
        warnings.simplefilter("always", DeprecationWarning)
        program = messages()

    async def scenario(script: Script) -> None:
        await script.run(speak)
        (sent,) = documents(script, 1)
        assert (sent["warning"], sent["category"]) == ("two", ["builtins", "DeprecationWarning"])

    lab(scenario, surroundings=pack(program))


def test_logging_is_left_alone_without_a_program_to_send_to(lab: Lab) -> None:
    def speak() -> None:
        import logging

        logging.warning("hello")

    async def scenario(script: Script) -> None:
        await script.run(speak)
        assert b"hello" in script.texts[1]

    lab(scenario)


def test_filters_of_warnings_that_are_no_builtin_ones_and_names_of_levels(lab: Lab) -> None:
    class Ours(UserWarning):
        pass

    Ours.__qualname__ = "Ours"

    def warn() -> list[str]:
        import logging
        import warnings

        found = [logging.getLevelName(15)]
        for category in (Ours, UserWarning):
            try:
                warnings.warn("w", category, stacklevel=1)
                found.append("no error")
            except UserWarning as error:
                found.append(type(error).__name__)
        return found

    shown = [("error", "", (Ours.__module__, "Ours"), "", 0), ("ignore", "", ("builtins", "Warning"), "", 0)]

    async def scenario(script: Script) -> None:
        assert await script.run(warn) == ["VERBOSE", "Ours", "no error"]

    lab(scenario, surroundings=pack({**PROGRAM, "names": {15: "VERBOSE"}, "warnings": shown}))
