"""Rounds of measurements: each peer's client process beside a ProcessPoolExecutor's, one right after the other.

The order of a pair changes from round to round, and a round goes through all peers of a job before the next
job, so that a machine that grows slow does so for everyone. What fails is kept with its reason and not tried
again: a peer that takes longer than a job's limit would take that long in every round. A job that would take a peer
longer than that at the rate of the same job with fewer tasks is not begun. The other peers have fewer rounds than
compute_executor: the slow ones take most of the time. The whole ends in time: what was not begun by then says so, and
the rounds of compute_executor come before the peers, for whatever comes last may not come at all.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.jobs import Job
from benchmarks.peers import OURS, REFERENCE, SHARING, Peer

ROOT = Path(__file__).parent.parent
VENV = ROOT / "benchmarks" / ".venv"
PYTHON = VENV / "bin" / "python"
NOISE = "/proc/loadavg"


class Failed(Exception):
    """A client ended without figures; the message says why."""


@dataclass(frozen=True)
class Pair:
    """One peer's figures and those of the ProcessPoolExecutor run beside it."""

    round: int
    job: str
    peer: str
    figures: dict[str, float]
    reference: dict[str, float]

    def ratio(self, figure: str) -> float:
        """The peer's figure over the reference's."""
        return self.figures[figure] / self.reference[figure] if self.reference[figure] else float("nan")


@dataclass
class Findings:
    """All pairs, what failed by (peer, job), the load average before each round, and when, at which commit and on
    which machine that was."""

    pairs: list[Pair] = field(default_factory=list)
    failures: dict[tuple[str, str], str] = field(default_factory=dict)
    loads: list[float] = field(default_factory=list)
    rounds: int = 0
    peer_rounds: int = 0
    seconds: float = 0.0
    where: str = ""

    def dump(self) -> str:
        """All of it as JSON."""
        failures = [[*key, why] for key, why in self.failures.items()]
        return json.dumps(asdict(self) | {"failures": failures}, indent=0) + "\n"

    @classmethod
    def load(cls, text: str) -> Findings:
        """What :meth:`dump` made."""
        fields = json.loads(text)
        fields["failures"] = {(peer, job): why for peer, job, why in fields["failures"]}
        fields["pairs"] = [Pair(**pair) for pair in fields["pairs"]]
        return cls(**fields)

    def of(self, job: str, peer: str) -> list[Pair]:
        """The pairs of one peer at one job."""
        return [pair for pair in self.pairs if pair.job == job and pair.peer == peer]


def prepare(peers: list[Peer]) -> dict[str, str]:
    """Make the peers' environment; returns why a peer cannot be measured, by name."""
    if not PYTHON.exists():
        subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
    for folder in ("compute_executor", "benchmarks"):  # as pip does for the peers
        subprocess.run([str(PYTHON), "-m", "compileall", "-q", str(ROOT / folder)], check=True)
    together = _pip("-r", str(ROOT / "benchmarks" / "requirements.txt"), "-e", str(ROOT))
    missing = {peer.name: peer.missing for peer in peers if peer.missing}
    if not together:
        return missing
    for peer in peers:  # one that cannot be installed must not keep the others out
        packages = ["-e", str(ROOT)] if peer.package == "compute-executor" else [peer.package]
        if peer.name not in missing and peer.package and (trouble := _pip(*packages)):
            missing[peer.name] = f"cannot be installed: {trouble}"
    return missing


def _pip(*what: str) -> str:
    done = subprocess.run(
        [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *what],
        capture_output=True,
        text=True,
        check=False,
    )
    return _last_line(done.stderr) if done.returncode else ""


def run(
    jobs: list[Job],
    peers: list[Peer],
    rounds: tuple[int, int],
    size: float,
    say: Callable[[str], None],
    *,
    minutes: float = 1e9,
) -> Findings:
    """All rounds: so many of ours, so many of the others. ``size`` scales every job's count (1: as defined); after so
    many ``minutes``, without those of installing the peers, nothing more is begun."""
    findings = Findings(rounds=rounds[0], peer_rounds=rounds[1])
    began = time.monotonic()
    findings.failures |= {(name, "all"): why for name, why in prepare(peers).items()}
    began = time.monotonic()
    for number, some in _rounds(peers, rounds):
        findings.loads.append(float(Path(NOISE).read_text().split()[0]))
        for job, peer in _wanted(jobs, some, findings):
            if time.monotonic() - began > 60 * minutes:
                if not findings.of(job.name, peer.name):
                    findings.failures[peer.name, job.name] = f"not begun within {minutes:g} minutes"
                continue
            _one_pair(findings, job, peer, number, max(1, int(job.tasks * size)))
            say(_said(findings, job, peer, number))
    findings.seconds = time.monotonic() - began
    return findings


def _rounds(peers: list[Peer], rounds: tuple[int, int]) -> Iterator[tuple[int, list[Peer]]]:
    """The number of each round, and who is in it."""
    ours = [peer for peer in peers if peer.name == OURS]
    others = [peer for peer in peers if peer.name != OURS]
    yield from ((number, ours) for number in range(rounds[0]))
    yield from ((number, others) for number in range(rounds[1]) if others)


def _wanted(jobs: list[Job], peers: list[Peer], findings: Findings) -> Iterator[tuple[Job, Peer]]:
    for job in sorted(jobs, key=lambda job: job.name not in SHARING):  # with the peers that are for it alone
        for peer in peers:
            failed = (peer.name, "all") in findings.failures or (peer.name, job.name) in findings.failures
            done = len(findings.of(job.name, peer.name)) >= job.rounds
            in_it = (not peer.jobs or job.name in peer.jobs) and not (job.alone and peer.name != OURS)
            if in_it and not failed and not done:
                yield job, peer


def _one_pair(findings: Findings, job: Job, peer: Peer, number: int, count: int) -> None:
    order = [REFERENCE, peer.name] if number % 2 == 0 else [peer.name, REFERENCE]
    if job.alone:
        order = [peer.name]
    if (expected := _expected(findings, job, peer, count)) > job.limit:
        why = (
            f"not begun: some {expected:.0f} s at its rate in {job.like}, and {job.limit:.0f} s are the limit"
        )
        findings.failures[peer.name, job.name] = why
        return
    try:
        figures = {name: measure(job, name, count) for name in order}
    except Failed as failure:
        findings.failures[peer.name, job.name] = str(failure)
    else:
        findings.pairs.append(
            Pair(number, job.name, peer.name, figures[peer.name], figures.get(REFERENCE, {}))
        )


def _expected(findings: Findings, job: Job, peer: Peer, count: int) -> float:
    """Seconds that a job would take at the best rate of the job that it is like; 0.0 if nothing tells."""
    if job.chunks and peer.chunks:
        return 0.0
    rates = [pair.figures["rate"] for pair in findings.of(job.like, peer.name)]
    return count / max(rates) if rates else 0.0


def _said(findings: Findings, job: Job, peer: Peer, number: int) -> str:
    where = f"round {number + 1}  {job.name:<18} {peer.name:<18}"
    if (peer.name, job.name) in findings.failures:
        return f"{where} {findings.failures[peer.name, job.name]}"
    pair = findings.pairs[-1]
    return where + "  ".join(
        f" {figure.label} {pair.figures[figure.name]:.4g} {figure.unit}"
        + (f" (x {pair.ratio(figure.name):.3g})" if figure.ratio else "")
        for figure in job.figures
    )


def measure(job: Job, peer: str, count: int) -> dict[str, float]:
    """The figures of one fresh client process. Raises Failed."""
    return process(["-m", "benchmarks.client", peer, job.name, str(count)], job.limit)


def process(arguments: list[str], limit: float) -> dict[str, float]:
    """Run Python with these arguments and the name of a file, and read the figures that it leaves there.

    It has a state folder of its own, and nothing of it lives on. Raises Failed, also after ``limit`` seconds.
    """
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        scratch = Path(folder)
        output = scratch / "figures.json"
        environment = os.environ | {
            "COMPUTE_EXECUTOR_HOME": str(scratch / "home"),
            "PATH": f"{VENV / 'bin'}{os.pathsep}{os.environ['PATH']}",
        }
        with (scratch / "log").open("w+") as log:
            client = subprocess.Popen(
                [str(PYTHON), *arguments, str(output)],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            try:
                code = client.wait(limit)
            except subprocess.TimeoutExpired:
                raise Failed(f"stopped after {limit:.0f} s") from None
            finally:
                _end(client, scratch / "home")
            if code or not output.exists():
                log.seek(0)
                raise Failed(_last_line(log.read()) or f"ended with code {code} and no word")
        figures: dict[str, float] = json.loads(output.read_text())
        return figures


def _end(client: subprocess.Popen[bytes], home: Path) -> None:
    """End what the client left: its process group, the embedded service of this run's state folder, and whatever
    else has this folder in its environment (ipyparallel's controller and engines have a session of their own)."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(client.pid, signal.SIGKILL)
    client.wait()
    for description in home.glob("*/service.json"):
        _end_service(json.loads(description.read_text()).get("pid"))
    for pid in _descendants(home):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _descendants(home: Path) -> list[int]:
    """Processes that inherited this run's environment, and live."""
    mark = f"COMPUTE_EXECUTOR_HOME={home}\0".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended, or is not ours
            if mark in (folder / "environ").read_bytes():
                found.append(int(folder.name))
    return found


def _end_service(pid: int | None) -> None:
    if not pid:
        return
    try:
        os.kill(pid, signal.SIGTERM)
        for _ in range(500):
            os.kill(pid, 0)
            time.sleep(0.01)
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if "Error" in line or "error:" in line]
    return (errors or lines or [""])[-1][:300]
