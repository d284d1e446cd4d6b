"""What a sweep was asked to do."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path

from compute_executor.cli.summary import Best
from compute_executor.cli.wrong_input import WrongInput


@dataclass(frozen=True)
class SweepRequest:
    """The command line, as click has read it."""

    function: str
    grids: tuple[str, ...]
    constants: tuple[str, ...]
    params: Path | None
    out: Path
    plot: Path | None
    plot_column: str | None
    minimize: str | None
    maximize: str | None
    resume: bool
    overwrite: bool
    max_workers: int | None
    endpoint: str | None

    def check(self) -> None:
        """Raises WrongInput for what the options say together."""
        if self.minimize and self.maximize:
            raise WrongInput("--minimize and --maximize exclude each other")
        if self.resume and self.overwrite:
            raise WrongInput("--resume and --overwrite exclude each other")
        if self.endpoint is None:
            return
        if self.max_workers is not None:
            raise WrongInput(
                "--max-workers is for this machine; the workers of an --endpoint are set up there"
            )
        try:
            uuid.UUID(self.endpoint)
        except ValueError:
            raise WrongInput(f"--endpoint {self.endpoint} is not a UUID") from None

    def best(self) -> Best | None:
        """The row asked for by --minimize or --maximize."""
        column = self.minimize or self.maximize
        return Best(column, greatest=column == self.maximize) if column else None
