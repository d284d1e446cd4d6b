"""What the program has found, and the table of it in docs/coming-from.md."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from integration.patterns.rows import SECTIONS
from integration.patterns.running import COLUMNS, RIGHT, WRONG

ROOT = Path(__file__).resolve().parents[2]
FILE = Path(__file__).with_name("records.json")
PAGE = ROOT / "docs" / "coming-from.md"
BEGIN, END = "<!-- patterns: begin -->\n", "<!-- patterns: end -->\n"
TITLES = {
    "threads": "threads",
    "fork": "processes, fork",
    "spawn": "processes, spawn",
    "loky": "loky",
    "ours": "ours",
}

Records = dict[str, Any]
"""``versions`` of what was run, and ``rows``: for each name, the outcome in each column."""


def load() -> Records:
    """The records of the last run."""
    found: Records = json.loads(FILE.read_text(encoding="utf-8"))
    return found


def save(records: Records) -> None:
    """Keep the records, and write the page's table anew."""
    FILE.write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")
    page = PAGE.read_text(encoding="utf-8")
    before, rest = page.split(BEGIN)
    PAGE.write_text(before + BEGIN + table(records) + END + rest.split(END)[1], encoding="utf-8")


def shown() -> str:
    """The table as the page has it."""
    return PAGE.read_text(encoding="utf-8").split(BEGIN)[1].split(END)[0]


def table(records: Records) -> str:
    """The table."""
    versions = ", ".join(f"{name} {version}" for name, version in records["versions"].items())
    lines = [f"{versions}. A cell is `✓` where the script printed what it should.", ""]
    lines.append("| " + " | ".join(["", *TITLES.values()]) + " |")
    lines.append("|---" * (1 + len(TITLES)) + "|")
    for section in SECTIONS:
        rows = [row for row in section.rows if row.name in records["rows"]]
        lines.append(f"| **{section.title}**" + " |" * (1 + len(TITLES)))
        lines += [f"| {row.name} | {_cells(records['rows'][row.name])} |" for row in rows]
    rights = {column: sum(one[column] == RIGHT for one in records["rows"].values()) for column in COLUMNS}
    lines.append(f"| **right, of {len(records['rows'])}** | " + " | ".join(map(str, rights.values())) + " |")
    return "\n".join(lines) + "\n"


def _cells(outcomes: dict[str, str]) -> str:
    return " | ".join(_cell(outcomes[column]) for column in COLUMNS)


def _cell(outcome: str) -> str:
    if outcome == RIGHT:
        return "✓"
    return f"**{outcome}**" if outcome == WRONG else outcome
