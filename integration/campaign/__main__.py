"""The campaign as a program.

    python -m integration.campaign [soak] [simulation] [fuzz] [power] --minutes 10 --output docs

soak        programs at work on a real service, and every fault of faults.py (soak.py)
simulation  the decisions of client and service in one thread, in any order of events (simulation.py)
fuzz        changed messages for everything that reads what others wrote (fuzz.py)
power       losses of power: what is left is what had reached the disk (power.py); takes root

What a part finds goes into OUTPUT/reliability.json, beside what other parts have found before, and from there into
OUTPUT/reliability.md. The exit code is 1 if anything was found that must not be.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from integration.campaign import report
from integration.campaign.fuzz import fuzz
from integration.campaign.power import lose_power
from integration.campaign.simulation import simulate
from integration.campaign.soak import soak

Say = Callable[[str], None]
MINUTE = 60.0


def _soak(asked: argparse.Namespace, say: Say) -> dict[str, Any]:
    found = soak(asked.seed, asked.tasks, asked.faults, asked.minutes * MINUTE, say)
    return {
        "figures": {**dataclasses.asdict(found.figures), "failed": dict(found.figures.failed.most_common())},
        "faults": dict(found.faults.most_common()),
        "rounds": found.rounds,
        "seconds": round(found.seconds),
        "notes": found.notes,
    }


def _simulation(asked: argparse.Namespace, _say: Say) -> dict[str, Any]:
    began = time.monotonic()
    found = simulate(asked.seed, asked.seeds, asked.minutes * MINUTE)
    return {**found._asdict(), "first seed": asked.seed, "seconds": round(time.monotonic() - began)}


def _fuzz(asked: argparse.Namespace, _say: Say) -> dict[str, Any]:
    began = time.monotonic()
    found = fuzz(asked.seed, asked.inputs, asked.minutes * MINUTE)
    return {**found._asdict(), "seed": asked.seed, "seconds": round(time.monotonic() - began)}


def _power(asked: argparse.Namespace, say: Say) -> dict[str, Any]:
    began = time.monotonic()
    found = lose_power(asked.losses, asked.seed, asked.minutes * MINUTE, say)
    return {**found._asdict(), "seconds": round(time.monotonic() - began)}


PARTS: dict[str, Callable[[argparse.Namespace, Say], dict[str, Any]]] = {
    "simulation": _simulation,
    "fuzz": _fuzz,
    "soak": _soak,
    "power": _power,
}


def main(arguments: list[str]) -> int:
    """Run the parts that were asked for; 1 if one has found something."""
    parser = argparse.ArgumentParser(prog="python -m integration.campaign")
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], default=[])
    parser.add_argument("--minutes", type=float, default=10.0, help="of each part, at most")
    parser.add_argument("--tasks", type=int, default=1_000_000, help="of the soak")
    parser.add_argument("--faults", type=int, default=5_000, help="of the soak")
    parser.add_argument("--seeds", type=int, default=100_000, help="of the simulation")
    parser.add_argument("--inputs", type=int, default=1_000_000, help="of the fuzzer, for each parser")
    parser.add_argument("--losses", type=int, default=100, help="of power")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, help="the folder of reliability.json and reliability.md")
    asked = parser.parse_args(arguments)
    if asked.output is not None and not (asked.output / report.PAGE).is_file():
        parser.error(
            f"{asked.output} has no {report.PAGE} to put figures into: copy docs/{report.PAGE} there first"
        )
    commit, bad = report.commit(), 0
    for name in asked.parts or PARTS:
        began = time.strftime("%Y-%m-%d %H:%M", time.gmtime())
        found = {"commit": commit, "began": began, **PARTS[name](asked, _say)}
        bad += len(found["notes"])
        _say(f"{name}: {found}")
        if asked.output:
            report.note(asked.output, name, found)
            report.write_page(asked.output)
    return 1 if bad else 0


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
