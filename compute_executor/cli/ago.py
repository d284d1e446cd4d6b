"""A time before now, as an option: 90s, 15m, 1h, 2d, 1w."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from compute_executor.durations import seconds_of

if TYPE_CHECKING:  # generic, which it is not in every version when it runs
    ParamType = click.ParamType[float]
else:
    ParamType = click.ParamType


class Ago(ParamType):
    """A duration, which becomes the Unix time so long ago."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the Unix time."""
        try:
            return max(0.0, time.time() - seconds_of(str(value)))
        except ValueError as error:
            self.fail(str(error), param, ctx)
