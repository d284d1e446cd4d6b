"""Rounds of faults: programs at work on a service of their own, all the harm there is, and the account.

Each round has a new folder and a small disk. Its programs submit tasks through a faulty wire until the time is over
or all are done; meanwhile faults come, some at a time. Then all is mended, the programs must come to their end, and
the service, which nobody uses any more, to its own.
"""

from __future__ import annotations

import functools
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

from compute_executor.errors import ComputeError
from compute_executor.service.store.inspection import inspect
from integration.campaign.checker import Figures, ok_without_a_run, read_journals, started_twice
from integration.campaign.faults import FAULTS, Fault
from integration.campaign.world import World, until

SPAN = 10_000_000
"""Between the first numbers of the tasks of two programs."""
CLIENTS = 2
AT_A_TIME = 3
PAUSE = 0.1
"""Seconds between two faults of one of those who inject them, on average."""
CLIENT_SHARE = 0.01
AT_WORK = 10.0
"""Seconds that programs have to begin before the faults do."""
PATIENCE = 260.0
"""Seconds after the last fault in which every program must end: more than that of a program that gives up."""
CLIENT_FAULTS = ("client killed", "client interrupted")


@dataclass
class Round:
    """What one round gave. ``notes``: what went wrong, in words; ``folder``: kept, if anything did."""

    figures: Figures
    faults: Counter[str]
    seconds: float
    notes: list[str] = field(default_factory=list)
    folder: str = ""


def run_round(seed: int, tasks: int, seconds: float, pause: float = PAUSE) -> Round:
    """One round: so many tasks of each program, faults for at most so many seconds."""
    folder = Path(tempfile.mkdtemp(prefix=f"campaign-{seed}-"))
    world = World(folder)
    began = time.monotonic()
    try:
        nemesis = Nemesis(world, seed, tasks, pause)
        nemesis.work(seconds)
        found = account(world, nemesis)
        if found.notes:
            shutil.copytree(world.state, folder / "state", ignore_dangling_symlinks=True)
    finally:
        world.close()
    found.seconds = time.monotonic() - began
    if found.notes:
        found.folder = str(folder)
    else:
        shutil.rmtree(folder, ignore_errors=True)
    return found


class Nemesis:
    """Whoever does the harm. ``done``: how often each fault was injected."""

    def __init__(self, world: World, seed: int, tasks: int, pause: float) -> None:
        self._world = world
        self._chance = random.Random(seed)
        self._tasks = tasks
        self._pause = pause
        self._faults = [fault for fault in FAULTS if self._possible(fault)]
        self.done: Counter[str] = Counter()
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._programs = 0
        for _ in range(CLIENTS):
            self._start()
        until(lambda: all(_at_work(path) for path in _journals(world)) and _journals(world), AT_WORK)

    def _possible(self, fault: Fault) -> bool:
        have = {"": True, "disk": self._world.own_disk, "shim": self._world.shim.usable}
        return have[fault.needs]

    def _start(self) -> None:
        self._programs += 1
        seed = self._chance.getrandbits(30)
        self._world.start_client(self._programs * SPAN, self._tasks, seed)

    def work(self, seconds: float) -> None:
        """Inject faults, some at a time, until the time is over or all programs have ended."""
        deadline = time.monotonic() + seconds
        seeds = [self._chance.getrandbits(30) for _ in range(AT_A_TIME)]
        with ThreadPoolExecutor(AT_A_TIME) as threads:
            for harm in [threads.submit(self._harm, seed, deadline) for seed in seeds]:
                harm.result()
        self._world.wire.mend()
        self._world.shim.set()

    def _harm(self, seed: int, deadline: float) -> None:
        chance = random.Random(seed)
        while time.monotonic() < deadline and self._busy():
            time.sleep(chance.expovariate(1 / self._pause))
            if chance.random() < CLIENT_SHARE:
                self._alone("client", lambda: self._end_client(chance))
                continue
            (fault,) = chance.choices(self._faults, [fault.weight for fault in self._faults])
            self._alone(fault.name, functools.partial(self._inject, fault, chance))

    def _alone(self, name: str, run: Callable[[], None]) -> None:
        """Not twice at once: each undoes what it did."""
        if self._locks[name].acquire(blocking=False):
            try:
                run()
            finally:
                self._locks[name].release()

    def _inject(self, fault: Fault, chance: random.Random) -> None:
        began = time.time()
        if fault.inject(self._world, chance):
            self.done[fault.name] += 1
            self._say(f"{fault.name}, {time.time() - began:.2f} s", began)

    def _say(self, what: str, when: float) -> None:
        with (self._world.folder / "faults").open("a") as file:
            stamp = time.strftime("%H:%M:%S", time.localtime(when))
            file.write(f"{stamp}.{int(when % 1 * 1000):03d} {what}\n")

    def _busy(self) -> bool:
        return any(client.poll() is None for client in self._world.clients)

    def _end_client(self, chance: random.Random) -> None:
        """Kill a program, or interrupt it as Ctrl-C does; another takes over its tasks, and one begins anew."""
        running = [client for client in self._world.clients if client.poll() is None]
        if not running:
            return
        client = chance.choice(running)
        name = chance.choice(CLIENT_FAULTS)
        group = _group(self._world.folder / f"journal-{client.pid}")
        if group is None:
            return
        client.send_signal(signal.SIGKILL if name == "client killed" else signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            client.wait(20)
        client.kill()
        client.wait()
        self.done[name] += 1
        self._say(f"{name} {client.pid}", time.time())
        self._world.start_client("--reload", group)
        self._start()


def _journals(world: World) -> list[Path]:
    return list(world.folder.glob("journal-*"))


def _at_work(journal: Path) -> bool:
    return "tried" in journal.read_text()


def _group(journal: Path) -> str | None:
    with suppress(OSError):
        for line in journal.read_text().splitlines():
            if line.startswith("group "):
                return line.split()[1]
    return None


def account(world: World, nemesis: Nemesis) -> Round:
    """Wait for the ends of all, and count."""
    notes = []
    deadline = time.monotonic() + PATIENCE
    for client in world.clients:
        with suppress(subprocess.TimeoutExpired):
            client.wait(max(0.1, deadline - time.monotonic()))
    stuck = [client.pid for client in world.clients if client.poll() is None]
    journals = [path.read_text().splitlines() for path in _journals(world)]
    figures = read_journals(journals)
    if stuck:
        figures.hung += len(stuck)
        notes.append(f"programs {stuck} did not end")
    figures.double_started = started_twice(world.folder / "trace")
    phantom = ok_without_a_run(journals, world.folder / "trace")
    figures.wrong += phantom
    if not world.restart():
        figures.damaged += 1
        notes.append("no service can be started on what is left; the file errors says why")
    elif not world.settle(30):
        figures.leaked_processes += len(world.left_behind())
        notes.append(f"processes are left: {world.left_behind()}")
    else:
        _look_at_store(world, figures, notes)
    notes += [f"{name}: {count}" for name, count in figures.faults().items()]
    return Round(figures, nemesis.done, 0.0, notes)


def _look_at_store(world: World, figures: Figures, notes: list[str]) -> None:
    """The service has ended: is what it left sound, and is there an outcome for each task that it accepted?"""
    try:
        found = inspect(world.state, in_use=False)
    except ComputeError as error:
        figures.damaged += 1
        notes.append(str(error))
        return
    figures.damaged += len(found.problems)
    notes += found.problems
    with closing(sqlite3.connect(f"file:{world.database()}?mode=ro", uri=True)) as connection:
        (accepted,) = connection.execute("SELECT coalesce(sum(count), 0) FROM batches").fetchone()
        (missing,) = connection.execute(_MISSING).fetchone()
    figures.accepted += accepted
    figures.lost += missing
    figures.orphans += found.orphans.get("bodies", 0)
    strange = [path.name for path in world.state.iterdir() if not _STAYS.fullmatch(path.name)]
    figures.leaked_files += len(strange)
    notes += [f"file {name} is left" for name in strange]


_STAYS = re.compile(r"blobs|rings|store\.sqlite(-wal|-shm)?|(service|start)\.lock|service\.log(\.\d)?")
"""Names in a state folder whose service has ended in order."""
_MISSING = """
SELECT coalesce(sum(b.count - (SELECT count(*) FROM outcomes o WHERE o.batch = b.number)), 0) FROM batches b
"""
"""Accepted tasks without an outcome."""


@dataclass
class Soak:
    """Many rounds."""

    figures: Figures = field(default_factory=Figures)
    faults: Counter[str] = field(default_factory=Counter)
    rounds: int = 0
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)


def soak(
    seed: int,
    tasks: int,
    faults: int,
    seconds: float,
    say: Callable[[str], None],
    each: tuple[int, float] = (20_000, 90),
) -> Soak:
    """Run rounds until so many tasks were attempted and so many faults injected, or the time is over. ``each``: tasks
    of a program and seconds of faults in one round."""
    found = Soak()
    began = time.monotonic()
    while time.monotonic() - began < seconds and not (
        found.figures.attempted >= tasks and found.faults.total() >= faults
    ):
        left = seconds - (time.monotonic() - began)
        one = run_round(seed + found.rounds, each[0], min(each[1], left))
        found.figures.add(one.figures)
        found.faults += one.faults
        found.rounds += 1
        found.seconds = time.monotonic() - began
        found.notes += [f"round {seed + found.rounds - 1} ({one.folder}): {note}" for note in one.notes]
        say(
            f"round {found.rounds}: {found.figures.attempted:,} tasks, {found.faults.total():,} faults of "
            f"{len(found.faults)} kinds in {found.seconds:.0f} s; {one.notes or 'nothing to find'}"
        )
    return found
