"""Text for a terminal."""

from __future__ import annotations


def one_line(text: str, limit: int = 200) -> str:
    """Return text of unknown origin, safe for a terminal: no line breaks, no control characters, not too long."""
    clean = "".join(letter if letter.isprintable() else " " for letter in text)
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"


def count(number: int, thing: str) -> str:
    """``1 task``, ``2,000 tasks``."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
