"""What others notice while somebody floods a service: delay, memory, turns of its loop, beside an idle service.

    python -m benchmarks.attacks [--only NAME ...] [--seconds 6] [--output FILE]

Each attack runs against a service of its own, in a process of its own (`attackers`), while another user's program
submits small tasks one after the other. Before and after each attack the same tasks are measured on the same, idle
service, because the machine may be busy with other things: the figure is the ratio of the two 99th percentiles.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.attackers import ATTACKS, Attack

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
MOST = 3.0
"""Times the 99th percentile of an idle service: the aim for the same tasks under attack."""
TURN = "a turn of the loop "
"""What the service's watchdog writes before how long it was."""
PAUSE = 0.01
"""Seconds between two small tasks: a user who works, not a flood."""


@dataclass(frozen=True)
class Service:
    """One that was started for an attack: where it is, its token, its process, the certificate it shows."""

    url: str
    token: str
    pid: int
    log: Path


@dataclass(frozen=True)
class Figures:
    """Of one attack. Times in milliseconds, memory in MiB (resident, at its peak). ``turns``: what the service's log
    says of long turns of its loop; ``lost``: small tasks that failed or took over ten seconds."""

    attack: str
    idle_p99: float
    p50: float
    p99: float
    slowest: float
    memory_before: float
    memory_peak: float
    turns: int
    lost: int
    outcome: str

    @property
    def ratio(self) -> float:
        """How much longer than on the idle service."""
        return self.p99 / self.idle_p99


def main() -> None:
    """Parse, attack, report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.attacks", description=__doc__)
    parser.add_argument("--only", nargs="*", choices=sorted(ATTACKS), default=list(ATTACKS))
    parser.add_argument("--seconds", type=float, default=6.0, help="of an attack, at least")
    parser.add_argument("--output", type=Path, help="a file for the figures as JSON")
    chosen = parser.parse_args()
    found = []
    print(_HEAD, flush=True)
    for name in chosen.only:
        found.append(measure(ATTACKS[name], chosen.seconds))
        print(_line(found[-1]), flush=True)
    if chosen.output:
        chosen.output.write_text(json.dumps([asdict(figures) for figures in found], indent=1))


_COLUMNS = ("idle p99", "p50", "p99", "ratio", "slowest", "MiB", "peak", "turns", "lost")
_HEAD = f"{'attack':<18}" + "".join(f"{name:>9}" for name in _COLUMNS)


def _line(of: Figures) -> str:
    times = [of.idle_p99, of.p50, of.p99, of.ratio, of.slowest]
    numbers = [f"{value:>9.2f}" for value in times] + [f"{of.memory_before:>9.0f}", f"{of.memory_peak:>9.0f}"]
    return f"{of.attack:<18}" + "".join([*numbers, f"{of.turns:>9}", f"{of.lost:>9}", "  ", of.outcome])


def measure(attack: Attack, seconds: float) -> Figures:
    """Run one attack against a new service."""
    with _service(tls=attack.tls) as service, _User(service) as user:
        prepared = attack.prepare(service.url, service.token) if attack.prepare else ""
        user.tasks(1.0)
        idle = user.tasks(seconds / 2)
        _forget_peak(service.pid)
        before = _memory(service.pid, "VmRSS")
        arguments = [attack.name, service.url, service.token, str(seconds), prepared]
        attacker = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.attackers", *arguments],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        try:
            under = user.tasks(seconds, until=lambda: attacker.poll() is not None)
        finally:
            attacker.kill()
        said = (attacker.communicate()[0] or "").strip().splitlines()
        peak = _memory(service.pid, "VmHWM")
        idle += user.tasks(seconds / 2)
        turns = [line for line in service.log.read_text(errors="replace").splitlines() if TURN in line]
        for line in turns:
            print(f"  {line.partition(TURN)[2]}", flush=True)
    return Figures(
        attack.name, _percentile(idle, 99), _percentile(under, 50), _percentile(under, 99), max(under),
        before, peak, len(turns), user.lost, said[-1] if said else "",
    )  # fmt: skip


class _User:
    """Somebody who has nothing to do with the attack, and submits one small task after the other."""

    def __init__(self, service: Service) -> None:
        from compute_executor import Client, Executor

        self._client = Client(base_url=service.url, token=service.token)
        self._executor = Executor(client=self._client, max_workers=1)
        self.lost = 0

    def __enter__(self) -> _User:
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)

    def tasks(self, seconds: float, until=lambda: True) -> list[float]:  # type: ignore[no-untyped-def]
        """Milliseconds of each; for so long, and until it is so."""
        found: list[float] = []
        end = time.monotonic() + seconds
        while time.monotonic() < end or (not until() and time.monotonic() < end + 60):
            begin = time.perf_counter()
            try:
                self._executor.submit(abs, -1).result(10)
            except Exception as error:
                self.lost += 1
                print(f"  lost: {type(error).__name__}: {str(error)[:150]}", flush=True)
            found.append((time.perf_counter() - begin) * 1000)
            time.sleep(PAUSE)
        return found


@contextmanager
def _service(*, tls: bool) -> Iterator[Service]:
    with tempfile.TemporaryDirectory(prefix="attacked-") as name:
        folder = Path(name) / "state"
        options = _certificate(Path(name)) if tls else []
        command = [sys.executable, "-m", "compute_executor", "serve", "--port", "0", "--state", str(folder)]
        command += ["--durability", "process", *options]
        process = subprocess.Popen(command, cwd=name, stdout=subprocess.DEVNULL)
        try:
            said = _announced(folder, process)
            yield Service(
                said["url"].replace("127.0.0.1", "localhost") if tls else said["url"],
                said["token"],
                process.pid,
                folder / "service.log",
            )
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                print("  the service did not end within 20 s", flush=True)
                process.kill()
                process.wait()


def _announced(folder: Path, process: subprocess.Popen[bytes]) -> dict[str, str]:
    end = time.monotonic() + 30
    while time.monotonic() < end and process.poll() is None:
        for found in folder.rglob("service.json"):
            return json.loads(found.read_text())  # type: ignore[no-any-return]
        time.sleep(0.05)
    raise SystemExit("the service did not start")


def _certificate(folder: Path) -> list[str]:
    from tests.sdk.http.test_direct import self_signed

    certificate, key = self_signed(folder)
    os.environ["SSL_CERT_FILE"] = str(certificate)
    return ["--tls-certificate", str(certificate), "--tls-key", str(key)]


def _memory(pid: int, field: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    return 0.0


def _forget_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def _percentile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


if __name__ == "__main__":
    main()
