"""What a sweep was asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from compute_executor.cli.wrong_input import WrongInput
from compute_executor.sweeps.best import Best
from compute_executor.sweeps.book import book_of
from compute_executor.sweeps.destination import same_file
from compute_executor.sweeps.standard_output import is_stdout


@dataclass(frozen=True)
class SweepRequest:
    """The command line, as click has read it. ``function``: what is swept; ``program``: or a command line."""

    function: str | None
    program: tuple[str, ...]
    grids: tuple[str, ...]
    constants: tuple[str, ...]
    params: Path | None
    sample: int | None
    method: str | None
    ranges: tuple[str, ...]
    where: tuple[str, ...]
    repeat: int | None
    seed: int | None
    out: Path
    resume: bool
    overwrite: bool
    retry_failed: bool
    minimize: str | None
    maximize: str | None
    adaptive: str | None
    evaluations: int | None
    collect: tuple[str, ...]
    timeout: float | None
    retries: int
    max_failures: int | None
    errors: Path | None
    debug: int | None
    plot: Path | None
    x: str | None
    y: str | None
    plot_column: str | None
    colour: str | None
    facet: str | None
    log_x: bool
    log_y: bool
    contours: tuple[str, ...]
    units: tuple[str, ...]
    max_workers: int | None
    threads: int | None
    python: str | None
    endpoint: str | None
    profile: str | None
    url: str | None

    def check(self) -> None:
        """Raise WrongInput for what the options say together."""
        self._exclude("minimize", "maximize")
        self._exclude("resume", "overwrite")
        self._exclude("retry_failed", "overwrite")
        self._exclude("endpoint", "max_workers", " (the workers of an endpoint are set up there)")
        self._exclude("endpoint", "threads", " (the workers of an endpoint are set up there)")
        self._exclude("url", "profile")
        self._exclude("adaptive", "minimize")
        self._exclude("adaptive", "maximize")
        if self.function is None and not self.program:
            raise WrongInput("nothing to run: give FILE.py:FUNCTION, or a program behind --")
        if self.function is not None and self.program:
            raise WrongInput(f"both {self.function} and a program behind -- are given: give one of them")
        self._check_search()
        self._check_files()
        if self.sample is None and not self.evaluations and (self.ranges or self.method):
            raise WrongInput("--range and --method are for --sample N (or a search with --evaluations N)")

    def _check_search(self) -> None:
        if self.evaluations is None:
            if self.adaptive:
                raise WrongInput("--adaptive needs --evaluations N: how many points it may try")
            return
        if not (self.minimize or self.maximize or self.adaptive):
            raise WrongInput("--evaluations is for a search: add --minimize, --maximize or --adaptive COLUMN")
        self._exclude("adaptive", "method")
        for name in ("params", "sample", "grids", "repeat", "where", "retry_failed"):
            if getattr(self, name):
                raise WrongInput(f"a search finds its points itself: leave out {_option(name)}")
        if not self.ranges:
            raise WrongInput("a search needs a --range name=low:high for each parameter that it may change")

    def _check_files(self) -> None:
        """Check that what is written must be no other file of the command."""
        written = {"--errors": self.errors, "--plot": self.plot}
        if self.out.name and not is_stdout(self.out):
            written = {"--out": self.out, "the book of --out": book_of(self.out), **written}
        source = (self.function or "").rpartition(":")[0] or self.function
        read = {"--params": self.params, "the function's file": Path(source) if source else None}
        files = [(option, path) for option, path in {**written, **read}.items() if path]
        for option, path in files:
            for other, another in files:
                if option != other and option in written and same_file(path, another):
                    raise WrongInput(f"{option} and {other} are the same file, {path}")

    @property
    def is_search(self) -> bool:
        """Whether points are found on the way."""
        return self.evaluations is not None

    def best(self) -> Best | None:
        """Return the row asked for by --minimize or --maximize."""
        column = self.minimize or self.maximize
        return Best(column, greatest=column == self.maximize) if column else None

    def _exclude(self, one: str, other: str, why: str = "") -> None:
        if getattr(self, one) and getattr(self, other):
            raise WrongInput(f"{_option(one)} and {_option(other)} exclude each other{why}")


def _option(name: str) -> str:
    names = {"grids": "--grid", "threads": "--threads-per-worker", "max_workers": "--workers"}
    return names.get(name, f"--{name.replace('_', '-')}")
