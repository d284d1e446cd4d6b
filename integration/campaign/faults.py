"""What is done to a round: a table of faults. Each takes the world and a source of chance, and undoes itself.

A fault says whether it could be injected: one that finds nobody to hurt is not counted.
"""

from __future__ import annotations

import contextlib
import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from integration.campaign.world import ROOT, World, signalled, until

SOON = 10.0
"""Seconds until a service is up again after most faults."""

HOUR, DECADE = 3600, 10 * 365 * 24 * 3600
MEGABYTE = 1024 * 1024

Inject = Callable[[World, random.Random], bool]


class Fault(NamedTuple):
    """``weight``: how often it is chosen. ``needs``: ``disk`` (of its own), ``shim``, or nothing."""

    name: str
    inject: Inject
    weight: float = 1.0
    needs: str = ""


# -- processes ----------------------------------------------------------------------------------------------


def _service_gets(number: int) -> Inject:
    def inject(world: World, _chance: random.Random) -> bool:
        found = world.service()
        return found is not None and signalled(found.pid, number)

    return inject


def kill_service_while_it_starts(world: World, chance: random.Random) -> bool:
    """Kill it, and the next one as soon as it is there."""
    first = world.service()
    if first is None or not signalled(first.pid, signal.SIGKILL):
        return False
    deadline = time.monotonic() + SOON
    while time.monotonic() < deadline:
        for pid in world.left_behind():
            if pid != first.pid and b"compute_executor.service" in _command(pid):
                time.sleep(chance.uniform(0, 0.3))
                return signalled(pid, signal.SIGKILL)
        time.sleep(0.01)
    return False


def stop_service(world: World, chance: random.Random) -> bool:
    """Let it stand still for a while."""
    found = world.service()
    return found is not None and _paused(found.pid, chance.uniform(0.1, 1.5))


def _worker_gets(number: int) -> Inject:
    def inject(world: World, chance: random.Random) -> bool:
        workers = world.workers()
        return bool(workers) and signalled(chance.choice(workers), number)

    return inject


def kill_all_workers(world: World, _chance: random.Random) -> bool:
    """All at once."""
    killed = [signalled(pid, signal.SIGKILL) for pid in world.workers()]
    return any(killed)


def stop_worker(world: World, chance: random.Random) -> bool:
    """Let one stand still."""
    workers = world.workers()
    return bool(workers) and _paused(chance.choice(workers), chance.uniform(0.1, 1.5))


def stop_client(world: World, chance: random.Random) -> bool:
    """Let a program stand still."""
    clients = [client.pid for client in world.clients if client.poll() is None]
    return bool(clients) and _paused(chance.choice(clients), chance.uniform(0.1, 1.5))


def _paused(pid: int, seconds: float) -> bool:
    if not signalled(pid, signal.SIGSTOP):
        return False
    time.sleep(seconds)
    signalled(pid, signal.SIGCONT)
    return True


def _command(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


# -- the wire -----------------------------------------------------------------------------------------------


def cut(world: World, _chance: random.Random) -> bool:
    """End all connections."""
    return world.wire.cut() > 0


def cut_within_a_frame(world: World, _chance: random.Random) -> bool:
    """End them after half a frame."""
    world.wire.partial = True
    done = until(lambda: not world.wire.has_connections(), 0.5)
    world.wire.mend()
    return done


def lose_answers(world: World, chance: random.Random) -> bool:
    """What the client says is obeyed, and it never hears of it."""
    world.wire.answers.clear()
    time.sleep(chance.uniform(0.05, 0.8))
    return world.wire.cut() > 0


def half_open(world: World, chance: random.Random) -> bool:
    """Nothing passes either way, and nobody is told."""
    world.wire.flow.clear()
    time.sleep(chance.uniform(0.1, 2))
    return world.wire.cut() > 0


def stalled(world: World, chance: random.Random) -> bool:
    """The same, and then all of it arrives."""
    world.wire.flow.clear()
    time.sleep(chance.uniform(0.1, 1.5))
    world.wire.flow.set()
    return True


def _for_a_while(attribute: str, value: float) -> Inject:
    def inject(world: World, chance: random.Random) -> bool:
        setattr(world.wire, attribute, value)
        time.sleep(chance.uniform(0.2, 1.5))
        world.wire.mend()
        return True

    return inject


# -- the disk and the store ---------------------------------------------------------------------------------


def fill_disk(world: World, chance: random.Random) -> bool:
    """No room at all, for a while."""
    ballast = world.home / f"ballast-{chance.getrandbits(32):x}"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(MEGABYTE // 16))
    time.sleep(chance.uniform(0.1, 1.5))
    ballast.unlink()
    return True


def _disk_fails(**permille: int) -> Inject:
    def inject(world: World, chance: random.Random) -> bool:
        world.shim.disk(**permille)
        time.sleep(chance.uniform(0.05, 0.5))
        world.shim.disk()
        return True

    return inject


def lock_store(world: World, chance: random.Random) -> bool:
    """Another process writes into the database and takes its time."""
    if not world.database().exists():
        return False
    with (
        contextlib.suppress(sqlite3.Error),
        closing(
            sqlite3.connect(f"file:{world.database()}?mode=rw", uri=True, isolation_level=None, timeout=1)
        ) as other,
    ):
        other.execute("BEGIN IMMEDIATE")
        time.sleep(chance.uniform(0.1, 3))
        other.execute("ROLLBACK")
        return True
    return False


def few_descriptors(world: World, chance: random.Random) -> bool:
    """The service may open nothing more, for a while."""
    found = world.service()
    if found is None:
        return False
    with contextlib.suppress(OSError):
        before = resource.prlimit(found.pid, resource.RLIMIT_NOFILE)
        open_now = len(os.listdir(f"/proc/{found.pid}/fd"))
        resource.prlimit(found.pid, resource.RLIMIT_NOFILE, (open_now, before[1]))
        time.sleep(chance.uniform(0.1, 1))
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(found.pid, resource.RLIMIT_NOFILE, before)
        return True
    return False


def back_up(world: World, chance: random.Random) -> bool:
    """No fault, but it must work beside all the others: a backup that is whole."""
    target = world.folder / f"backup-{chance.getrandbits(64):x}"
    command = [sys.executable, "-m", "compute_executor", "backup", str(target), "--state", str(world.state)]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True)
    target.unlink(missing_ok=True)
    return not done.returncode


def second_service(world: World, _chance: random.Random) -> bool:
    """Another service on the same folder is refused, and the first undisturbed."""
    found = world.service()
    command = [sys.executable, "-m", "compute_executor.service", "--state", str(world.state)]
    try:
        done = subprocess.run(
            command, env=world.environment(), cwd=ROOT, check=False, capture_output=True, timeout=5
        )
    except subprocess.TimeoutExpired:
        return False  # there was none: it was the first, and is gone
    return found is not None and done.returncode != 0


# -- the clock ----------------------------------------------------------------------------------------------


def _clock_jumps(seconds: int) -> Inject:
    def inject(world: World, chance: random.Random) -> bool:
        world.shim.jump(seconds)
        time.sleep(chance.uniform(0.1, 1))
        world.shim.jump(-seconds)
        return True

    return inject


FAULTS = (
    Fault("service killed", _service_gets(signal.SIGKILL), 3),
    Fault("service killed while it starts", kill_service_while_it_starts, 1),
    Fault("service told to end", _service_gets(signal.SIGTERM), 1),
    Fault("service stopped", stop_service, 1),
    Fault("worker killed", _worker_gets(signal.SIGKILL), 5),
    Fault("worker crashed (SIGSEGV)", _worker_gets(signal.SIGSEGV), 3),
    Fault("worker told to end", _worker_gets(signal.SIGTERM), 3),
    Fault("worker interrupted (SIGINT)", _worker_gets(signal.SIGINT), 2),
    Fault("all workers killed", kill_all_workers, 2),
    Fault("worker stopped", stop_worker, 2),
    Fault("client stopped", stop_client, 2),
    Fault("connections cut", cut, 5),
    Fault("connections cut within a frame", cut_within_a_frame, 4),
    Fault("answers lost", lose_answers, 4),
    Fault("half-open connections", half_open, 3),
    Fault("stalled connections", stalled, 2),
    Fault("slow connections", _for_a_while("delay", 0.005), 2),
    Fault("frames sent twice", _for_a_while("twice", 0.5), 3),
    Fault("answers in another order", _for_a_while("swapped", 0.5), 3),
    Fault("frames of nonsense", _for_a_while("nonsense", 0.2), 2),
    Fault("disk full", fill_disk, 2, "disk"),
    Fault("writes fail", _disk_fails(writes=300), 2, "shim"),
    Fault("syncs fail", _disk_fails(syncs=500), 2, "shim"),
    Fault("reads fail", _disk_fails(reads=300), 1, "shim"),
    Fault("store locked", lock_store, 2),
    Fault("no descriptors left", few_descriptors, 2),
    Fault("clock forward an hour", _clock_jumps(HOUR), 1, "shim"),
    Fault("clock back an hour", _clock_jumps(-HOUR), 1, "shim"),
    Fault("clock forward ten years", _clock_jumps(DECADE), 1, "shim"),
    Fault("clock back ten years", _clock_jumps(-DECADE), 1, "shim"),
    Fault("second service", second_service, 0.3),
    Fault("backup meanwhile", back_up, 0.3),
)
"""A round also has clients that are killed or interrupted, and tasks that kill, leave or close their workers."""
