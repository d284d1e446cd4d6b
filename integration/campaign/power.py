"""Losses of power: what is left is what had reached the disk: with the durability `machine` all that was accepted."""

from __future__ import annotations

import os
import random
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import globus_sdk

from compute_executor import Client
from tests.faults.served import Served
from tests.faults.test_power_loss import Disk, check_store, outcome, text, work_until_the_power_goes


class PowerLosses(NamedTuple):
    """``losses``: how often the power went; ``known``: tasks of which a program knew that they were accepted, or
    their result; all of them must be there afterwards."""

    losses: int
    known: int
    notes: list[str]


def lose_power(losses: int, seed: int, seconds: float, say: Callable[[str], None]) -> PowerLosses:
    """Have a service and a program at work, take the power away at some moment, and look."""
    if os.geteuid():
        say("a disk of one's own takes root: no loss of power was tried")
        return PowerLosses(0, 0, [])
    chance, deadline = random.Random(seed), time.monotonic() + seconds
    done, known, notes = 0, 0, list[str]()
    while done < losses and time.monotonic() < deadline:
        try:
            known += _lose_once(chance.randrange(1, 400))
        except Exception as error:
            notes.append(f"loss {done} of seed {seed}: {type(error).__name__}: {error}")
        done += 1
    return PowerLosses(done, known, notes)


def _lose_once(results: int) -> int:
    with tempfile.TemporaryDirectory() as folder:
        disk = Disk(Path(folder))
        disk.mount()
        try:
            known = work_until_the_power_goes(disk, "machine", results)
            check_store(disk)
            tasks = {**known.accepted, **known.told}
            with closing(Served(disk.folder / "state", "machine")) as served:
                token = globus_sdk.AccessTokenAuthorizer(served.token)
                with Client(base_url=served.url, authorizer=token) as client:
                    for task_id, number in tasks.items():
                        assert outcome(client, task_id) == text(number), f"task {task_id} has another result"
            return len(tasks)
        finally:
            while not disk.unmount():
                time.sleep(0.05)
