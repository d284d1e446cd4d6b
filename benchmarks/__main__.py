"""``python -m benchmarks``: measure, print the ratios, write docs/benchmarks.md and its chart."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks import report, runner
from benchmarks.jobs import JOBS
from benchmarks.peers import PEERS, REFERENCE


def main() -> None:
    """Parse, run, report."""
    chosen = _arguments()
    peers = [PEERS[name] for name in chosen.peers]
    jobs = [JOBS[name] for name in chosen.jobs]
    if chosen.again:
        findings = runner.Findings.load(chosen.again.read_text())
    else:
        rounds = (chosen.rounds, chosen.peer_rounds)
        findings = runner.run(
            jobs,
            peers,
            rounds,
            chosen.size,
            lambda line: print(line, flush=True),
            minutes=chosen.minutes,
        )
        findings.where = report.where()
    print("\n" + report.table(findings, jobs, peers))
    if chosen.output:
        report.write(findings, jobs, peers, chosen.output)
        print(f"\nwritten: {chosen.output / 'benchmarks.md'}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    names = [name for name in PEERS if name != REFERENCE]
    parser.add_argument("--peers", type=_listed(names), default=names, help=f"of: {', '.join(names)}")
    parser.add_argument("--jobs", type=_listed(list(JOBS)), default=list(JOBS), help=f"of: {', '.join(JOBS)}")
    parser.add_argument("--rounds", type=int, default=3, help="of compute_executor")
    parser.add_argument(
        "--peer-rounds", type=int, default=1, help="of the others, which take most of the time"
    )
    parser.add_argument("--minutes", type=float, default=9.0, help="after these nothing more is begun")
    parser.add_argument("--size", type=float, default=1.0, help="scale every count, for a trial")
    parser.add_argument("--output", type=Path, help="folder for benchmarks.md and .png (none: print only)")
    parser.add_argument("--again", type=Path, help="measure nothing; report once more what this .json says")
    return parser.parse_args()


def _listed(names: list[str]):  # type: ignore[no-untyped-def]
    """Names separated by semicolons (they contain commas); a part of a name will do."""

    def parse(text: str) -> list[str]:
        wanted = [part.strip() for part in text.split(";")]
        found = [name for name in names if any(part in name for part in wanted)]
        if not found:
            raise argparse.ArgumentTypeError(f"none of {', '.join(names)}")
        return found

    return parse


if __name__ == "__main__":
    main()
