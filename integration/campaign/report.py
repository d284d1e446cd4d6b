"""What the campaign found, as a file of figures and as the page that shows them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

FIGURES = "reliability.json"
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
