from __future__ import annotations

from compute_executor.cli.summary import count, one_line


def test_text_from_elsewhere_cannot_steer_the_terminal() -> None:
    assert one_line("a\nb\x1b[31mc\r") == "a b [31mc "
    assert one_line("x" * 300) == "x" * 199 + "…"


def test_counts_in_words() -> None:
    assert (count(1, "task"), count(2000, "task")) == ("1 task", "2,000 tasks")
