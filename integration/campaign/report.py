"""What the campaign found, as a file of figures and as the page that shows them."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

from integration.campaign.checker import MUST_BE_0

FIGURES, PAGE = "reliability.json", "reliability.md"
BEGIN, END = "<!-- figures -->", "<!-- end of figures -->"
ROOT = Path(__file__).parents[2]


def commit() -> str:
    """The commit that is tried; with a ``+`` if files were changed since."""
    found = _git("rev-parse", "--short", "HEAD")
    return (
        f"{found}{'+' if _git('status', '--porcelain', '--untracked-files=no') else ''}"
        if found
        else "unknown"
    )


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, check=False, capture_output=True, text=True)
    return done.stdout.strip()


def note(folder: Path, part: str, found: dict[str, Any]) -> None:
    """Put the figures of a run of a part beside those of the others."""
    path = folder / FIGURES
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    known.setdefault(part, []).append(found)
    path.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")


def write_page(folder: Path) -> None:
    """Put the figures into their place in the page on reliability."""
    known = json.loads((folder / FIGURES).read_text(encoding="utf-8"))
    page = folder / PAGE
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    lines = [line for part, shown in SHOWN.items() for line in (*shown(known.get(part, [])), "")]
    page.write_text(f"{before}{BEGIN}\n\n" + "\n".join(lines) + f"\n{END}{after}", encoding="utf-8")


def _when(runs: list[dict[str, Any]]) -> str:
    commits = ", ".join(dict.fromkeys(run["commit"] for run in runs))
    hours = sum(run["seconds"] for run in runs) / 3600
    return f"Commit {commits}, {runs[0]['began']} UTC, {len(runs)} runs of {hours:.1f} h in all."


def _soaked(runs: list[dict[str, Any]]) -> list[str]:
    if not runs:
        return ["## Faults on real services", "", "Not run."]
    figures: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    for run in runs:
        figures.update({name: count for name, count in run["figures"].items() if isinstance(count, int)})
        failed.update(run["figures"]["failed"])
        faults.update(run["faults"])
    waited = max(run["figures"]["waited"] for run in runs)
    must = ", ".join(f"{name.replace('_', ' ')} {figures[name]:,}" for name in MUST_BE_0)
    return [
        "## Faults on real services",
        "",
        f"{_when(runs)} {sum(run['rounds'] for run in runs):,} rounds, **{figures['attempted']:,} tasks, "
        f"{faults.total():,} faults of {len(faults)} kinds**.",
        "",
        f"**{must}.** Ended well: {figures['ok']:,}. The longest time in which tasks were open and none ended: "
        f"{waited:.0f} s. Bodies that kills left for a later start to remove: {figures['orphans']:,}.",
        "",
        "| ended with | tasks |",
        "|---|---|",
        *(f"| `{name}` | {count:,} |" for name, count in failed.most_common()),
        "",
        "| fault | how often |",
        "|---|---|",
        *(f"| {name} | {count:,} |" for name, count in faults.most_common()),
        "",
        *_notes(runs),
    ]


def _simulated(runs: list[dict[str, Any]]) -> list[str]:
    if not runs:
        return ["## Simulation", "", "Not run."]
    seeds, tasks = sum(run["seeds"] for run in runs), sum(run["tasks"] for run in runs)
    return ["## Simulation", "", f"{_when(runs)} **{seeds:,} seeds**, {tasks:,} tasks.", "", *_notes(runs)]


def _fuzzed(runs: list[dict[str, Any]]) -> list[str]:
    if not runs:
        return ["## Changed messages", "", "Not run."]
    inputs: Counter[str] = Counter()
    for run in runs:
        inputs.update(run["inputs"])
    rows = [f"| {name} | {count:,} |" for name, count in inputs.items()]
    return [
        "## Changed messages",
        "",
        _when(runs),
        "",
        "| read | inputs |",
        "|---|---|",
        *rows,
        "",
        *_notes(runs),
    ]


def _unpowered(runs: list[dict[str, Any]]) -> list[str]:
    if not runs:
        return [
            "## Loss of power",
            "",
            "Not run here; `tests/faults/test_power_loss.py` is part of `make test`.",
        ]
    losses, known = sum(run["losses"] for run in runs), sum(run["known"] for run in runs)
    text = f"{_when(runs)} **{losses:,} losses**; {known:,} tasks that a program knew of were all looked for."
    return ["## Loss of power", "", text, "", *_notes(runs)]


def _notes(runs: list[dict[str, Any]]) -> list[str]:
    notes = [note for run in runs for note in run["notes"]]
    return [f"Found: {note}" for note in notes] or ["Nothing was found that must not be."]


SHOWN = {"soak": _soaked, "simulation": _simulated, "fuzz": _fuzzed, "power": _unpowered}
