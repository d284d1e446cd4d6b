"""The process that an engine lives in, a child of the endpoint's. It answers one request after the other, as lines of
JSON, and ends when its parent does.

    {"engine": ..., "options": {...}, "order": [...]}      ->  {"workers": 2, "most": 4} or {"error": ...}
    {"do": "start", "slot": "s1"}                          ->  {"slot": ["pending", "17", ""]}
    {"do": "look"}                                         ->  {"slots": {"s1": [...]}, "most": 4}
    {"do": "end", "slots": ["s1"]}                         ->  {}
    {"do": "adopt", "slots": {"s1": [...]}}                ->  {}

It ends after an answer {"gone": ...}: the engine has to be started again.
"""

from __future__ import annotations

import json
import os
import sys
from typing import IO, Any

from compute_executor import system
from compute_executor.endpoint.engine_kinds import kind_of
from compute_executor.endpoint.pilots.slots import EngineGone, SlotOrder, SlotSource, SlotState
from compute_executor.endpoint.pilots.sources import open_source


def main() -> int:
    """Return the program."""
    answers = _take_output()
    first = sys.stdin.readline()
    if not first:
        return 0
    asked = json.loads(first)
    try:
        source = open_source(asked["engine"], asked["options"], SlotOrder(*asked["order"]))
        _say(answers, {"workers": source.workers, "most": source.most})
    except Exception as error:  # the engine's libraries may raise anything
        _say(answers, {"error": _words(error, kind_of(asked["engine"]).extra)})
        return 1
    try:
        for line in sys.stdin:
            _say(answers, _answer(source, json.loads(line)))
    except EngineGone as error:
        _say(answers, {"gone": str(error)})
        return 1
    finally:
        try:
            source.close()
        except Exception as error:
            print(f"the engine did not end in order: {_words(error)}", file=sys.stderr)
        system.end_descendants(os.getpid())  # an endpoint that was killed does not do it
    return 0


def _answer(source: SlotSource, asked: dict[str, Any]) -> dict[str, Any]:
    try:
        if asked["do"] == "start":
            return {"slot": source.start(asked["slot"])}
        if asked["do"] == "end":
            source.end(asked["slots"])
        elif asked["do"] == "adopt":
            source.adopt({slot: SlotState(*state) for slot, state in asked["slots"].items()})
        else:
            return {"slots": source.look(), "most": source.most}
        return {}
    except EngineGone:
        raise
    except Exception as error:  # as above
        return {"error": _words(error)}


def _words(error: BaseException, extra: str = "") -> str:
    if isinstance(error, ImportError):
        what = f"compute-executor[{extra}]" if extra else "what the engine needs beside compute_executor"
        return f"{error}: install {what} in the environment of the endpoint"
    return str(error) or type(error).__name__


def _take_output() -> IO[str]:
    """Return where answers go; what libraries print goes to the standard error."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


def _say(answers: IO[str], document: dict[str, Any]) -> None:
    answers.write(json.dumps(document) + "\n")
    answers.flush()


if __name__ == "__main__":
    code: int = main()
    sys.stdout.flush()
    os._exit(code)  # threads of the engine's libraries would keep the process
