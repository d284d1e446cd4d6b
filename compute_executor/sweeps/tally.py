"""The figures of a running sweep."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Tally:
    """``total``: rows of the sweep; None where only its end will tell. ``skipped``: answered by an earlier run;
    they do not count for the rate. ``adopted``: calls of an earlier run that were still in the service."""

    total: int | None
    ended: int = 0
    failed: int = 0
    skipped: int = 0
    adopted: int = 0

    @property
    def done(self) -> int:
        """Rows that have ended, in this run or an earlier one."""
        return self.ended + self.skipped

    def text(self, seconds: float) -> str:
        """Return one line, ``seconds`` after the start.

        >>> Tally(total=3600, ended=1200, failed=2).text(2.0)
        '1,200/3,600 rows, 600/s, 0:00:04 left, 2 failed'
        """
        rate = self.ended / seconds if seconds > 0 else 0.0
        if self.total is None:
            return f"{self.done:,} rows, {_per_second(rate)}, {self.failed:,} failed"
        left = duration((self.total - self.done) / rate) if rate else "-:--:--"
        return f"{self.done:,}/{self.total:,} rows, {_per_second(rate)}, {left} left, {self.failed:,} failed"


def duration(seconds: float) -> str:
    """Hours, minutes and seconds: ``0:01:05``."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def _per_second(rate: float) -> str:
    return f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.2g}/s"
