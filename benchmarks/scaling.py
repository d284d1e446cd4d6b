"""Cost as work grows: ``python -m benchmarks.scaling``. Ours alone, into docs/scaling.md, .json and .png.

Each point is a fresh client process with a service of its own. What should be linear is shown per unit, so a flat
line is what one wants to see: rate against open tasks, clients, workers, bytes, and finished tasks in the store.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import wait
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import runner, work
from benchmarks.jobs import MB, resident
from compute_executor.system import descendants

Point = dict[str, float]


class Series(NamedTuple):
    """``run(size)`` gives the figures at one size; ``figure``, in ``unit``, is the rate that goes into the chart.
    ``work``: the size is the amount of work, so that its growth can be told from the rate."""

    title: str
    across: str
    sizes: tuple[int, ...]
    run: Callable[[int], Point]
    figure: str
    unit: str
    work: bool = False


def open_tasks(size: int) -> Point:
    """So many no-ops at once: rate, and memory of client and service at its highest, per task."""
    from compute_executor import Executor

    with Executor(max_workers=2) as executor:
        _warm(executor)
        service, before = _service_pid(), resident()
        began = time.perf_counter()
        futures = [executor.submit(work.successor, number) for number in range(size)]
        highest = _memory(service)
        wait(futures)
        seconds = time.perf_counter() - began
        grown = resident() - before
        assert all(future.result() == number + 1 for number, future in enumerate(futures)), "wrong answers"
    return {"rate": size / seconds, "client": grown / size, "service": highest / MB}


def clients(size: int) -> Point:
    """So many client processes, each with a worker of its own that has started: rate of 2,000 no-ops each;
    processor time of service, workers and clients in microseconds a task, which other work changes little."""
    each = 2_000
    program = [sys.executable, "-m", "benchmarks.scaling", "--client", str(each)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(program, **pipes) for _ in range(size)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    service = _service_pid()
    pids = descendants(service)
    before = _cpu([service]), _cpu(pids)
    answers = [json.loads(process.stdout.readline()) for process in _told(processes)]
    used = _cpu([service]) - before[0], _cpu(pids) - before[1]
    for process in processes:
        process.communicate()
    first, last = min(answer[0] for answer in answers), max(answer[1] for answer in answers)
    own = sum(answer[2] for answer in answers)
    per_task = {
        name: 1e6 * seconds / (size * each) for name, seconds in zip(PARTIES, (*used, own), strict=True)
    }
    return {"rate": size * each / (last - first), **per_task}


PARTIES = ("service us", "workers us", "clients us")


def _cpu(pids: list[int]) -> float:
    """Processor time that processes have used by now, in seconds."""
    ticks = 0
    for pid in pids:
        with contextlib.suppress(FileNotFoundError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _told(processes: list[Any]) -> list[Any]:
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    return processes


def _one_client(count: int) -> None:
    from compute_executor import Executor

    with Executor(max_workers=1) as executor:
        _warm(executor)
        print("ready", flush=True)
        sys.stdin.readline()
        began, cpu = time.time(), time.process_time()
        _check(executor, work.successor, [1] * count, 2)
        print(json.dumps([began, time.time(), time.process_time() - cpu]), flush=True)
        sys.stdin.readline()


def workers(size: int) -> Point:
    """So many workers, 50 sleeping tasks of 50 ms each: part of the ideal rate that is reached, and processor
    time of the service."""
    from compute_executor import Executor

    with Executor(max_workers=size) as executor:
        _check(executor, work.nap, [0.2] * 2 * size, 0.2)
        service = _service_pid()
        began, cpu = time.perf_counter(), _cpu([service])
        _check(executor, work.nap, [0.05] * 50 * size, 0.05)
        seconds, used = time.perf_counter() - began, _cpu([service]) - cpu
        return {"efficiency": 50 * 0.05 / seconds, PARTIES[0]: 1e6 * used / (50 * size)}


def payload(size: int) -> Point:
    """Bodies of so many bytes there and back, four at a time, 256 MB in all at most: MB/s, and tasks/s."""
    from compute_executor import Executor

    count = max(2, min(500, 128 * MB // size))
    bodies = [os.urandom(size) for _ in range(4)]
    with Executor(max_workers=2) as executor:
        _warm(executor)
        began = time.perf_counter()
        for start in range(0, count, 4):
            futures = [executor.submit(work.echo, body) for body in bodies[: min(4, count - start)]]
            assert [future.result() for future in futures] == bodies[: len(futures)], "wrong answers"
        seconds = time.perf_counter() - began
    return {"time": 1000 * seconds / count, "bandwidth": 2 * count * size / MB / seconds}


def store(size: int) -> Point:
    """So many finished tasks in the store: rate of 10,000 new ones, and the median time of one alone."""
    from compute_executor import Executor

    with Executor(max_workers=2) as executor:
        _warm(executor)
        for start in range(0, size, 50_000):
            _check(executor, work.successor, [1] * min(50_000, size - start), 2)
        began = time.perf_counter()
        _check(executor, work.successor, [1] * 10_000, 2)
        rate = 10_000 / (time.perf_counter() - began)
        times = []
        for number in range(200):
            began = time.perf_counter()
            assert executor.submit(work.successor, number).result() == number + 1
            times.append(1000 * (time.perf_counter() - began))
    return {"rate": rate, "latency": sorted(times)[100]}


def _warm(executor: Any) -> None:
    _check(executor, work.nap, [0.05] * 8, 0.05)


def _check(executor: Any, function: Callable[[Any], Any], inputs: list[Any], answer: Any) -> None:
    futures = [executor.submit(function, given) for given in inputs]
    assert all(future.result() == answer for future in futures), "wrong answers"


def _service_pid() -> int:
    description = next(Path(os.environ["COMPUTE_EXECUTOR_HOME"]).glob("*/service.json"))
    return int(json.loads(description.read_text())["pid"])


def _memory(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


ALL = {
    "open tasks": Series(
        "Tasks open at once",
        "tasks",
        (1_000, 10_000, 100_000, 1_000_000),
        open_tasks,
        "rate",
        "tasks/s",
        work=True,
    ),
    "clients": Series(
        "Clients at once", "client processes", (1, 2, 5, 10, 20, 50), clients, "rate", "tasks/s"
    ),
    "workers": Series(
        "Workers, sleeping tasks of 50 ms",
        "workers",
        (1, 2, 4, 8, 16, 32, 64),
        workers,
        "efficiency",
        "of the ideal",
    ),
    "payload": Series(
        "Size of argument and result",
        "bytes",
        (100, 1_000, 10_000, 100_000, MB, 16 * MB, 64 * MB, 256 * MB),
        payload,
        "bandwidth",
        "MB/s",
        work=True,
    ),
    "store": Series(
        "Finished tasks in the store",
        "tasks",
        (1, 10_000, 100_000, 1_000_000, 10_000_000),
        store,
        "rate",
        "tasks/s",
    ),
}
LIMIT = 600.0
"""Seconds that one point may take."""


def main() -> None:
    """Measure what is asked for, write the charts; or be the process that measures one point."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    parser.add_argument("--series", default=";".join(ALL), help=f"of: {'; '.join(ALL)}")
    parser.add_argument("--most", type=int, default=1 << 40, help="no larger sizes than this")
    parser.add_argument(
        "--output", type=Path, help="folder for scaling.md, .json and .png (none: print only)"
    )
    parser.add_argument("--point", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--client", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.client:
        _one_client(chosen.client)
    elif chosen.point:
        name, size, output = chosen.point
        Path(output).write_text(json.dumps(ALL[name].run(int(size))))
    else:
        _measure([name.strip() for name in chosen.series.split(";")], chosen.most, chosen.output)


def _measure(names: list[str], most: int, output: Path | None) -> None:
    runner.prepare([])
    found: dict[str, dict[int, Point | str]] = {name: {} for name in names}
    for name in names:
        for size in ALL[name].sizes:
            if size <= most:
                found[name][size] = _point(name, size)
                print(f"{name:<12} {size:>11,}  {_said(found[name][size])}", flush=True)
    if output is not None:
        _write(found, output)


def _point(name: str, size: int) -> Point | str:
    try:
        return runner.process(["-m", "benchmarks.scaling", "--point", name, str(size)], LIMIT)
    except runner.Failed as failure:
        return str(failure)


def _said(point: Point | str) -> str:
    if isinstance(point, str):
        return f"failed: {point}"
    return "  ".join(f"{name} {value:,.4g}" for name, value in point.items())


def growth(series: Series, points: dict[int, Point | str]) -> float:
    """The exponent by which the cost of all of the work grows between the two largest sizes: 1 is linear."""
    known = [(size, point[series.figure]) for size, point in points.items() if not isinstance(point, str)]
    if len(known) < 2:
        return math.nan
    (small, before), (large, after) = known[-2:]
    return 1 + math.log(before / after) / math.log(large / small)


def _write(found: dict[str, dict[int, Point | str]], folder: Path) -> None:
    from benchmarks import chart

    panels = []
    lines = [
        "# Cost as work grows",
        "",
        "Written by `python -m benchmarks.scaling --output docs`; not edited by hand.",
        "",
    ]
    lines += ["![Rates against sizes](scaling.png)", ""]
    for name, points in found.items():
        series = ALL[name]
        known = {size: point for size, point in points.items() if not isinstance(point, str)}
        if known:
            line = {"ours": [(float(size), point[series.figure]) for size, point in known.items()]}
            panels.append((series.title, series.across, series.unit, line))
        lines += [f"## {series.title}", "", " ".join((series.run.__doc__ or "").split()), ""]
        lines += _table(series, points)
        if series.work:
            power = growth(series, points)
            lines += [
                "",
                f"From the second largest to the largest size the time grows with the power {power:.2f}.",
            ]
        lines.append("")
    folder.mkdir(exist_ok=True)
    chart.lines(panels, folder / "scaling.png")
    (folder / "scaling.md").write_text("\n".join(lines))
    (folder / "scaling.json").write_text(json.dumps(found, indent=1) + "\n")


def _table(series: Series, points: dict[int, Point | str]) -> list[str]:
    names = list(next((point for point in points.values() if not isinstance(point, str)), {}))
    rows = [f"| {series.across} | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for size, point in points.items():
        cells = (
            [point] + [""] * (len(names) - 1)
            if isinstance(point, str)
            else [f"{value:,.4g}" for value in point.values()]
        )
        rows.append(f"| {size:,} | " + " | ".join(cells) + " |")
    return rows


if __name__ == "__main__":
    main()
