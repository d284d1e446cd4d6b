"""``--params table.csv``: one call per row. The table is read twice and never held: once to check and type it,
once to run it, so that its length costs no memory."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterator
from pathlib import Path

from compute_executor.cli.values import Value, as_kind, kind_of, typed
from compute_executor.cli.wrong_input import WrongInput, reason


class ParamTable:
    """A checked table: ``names`` of its columns, those ``varying``, ``count`` of its rows, and the rows themselves.

    The first line names the parameters; blank lines are skipped. Raises WrongInput, naming file and line.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self.names = self._header()
            self._kinds, self.varying, self.count = self._examine()
        except OSError as error:
            raise WrongInput(f"cannot read {path}: {reason(error)}") from error
        except (UnicodeDecodeError, csv.Error) as error:
            raise WrongInput(f"{path} is no CSV table in UTF-8: {error}") from error
        if not self.count:
            raise WrongInput(f"{path} has no rows below its header")

    def rows(self) -> Iterator[dict[str, Value]]:
        """The parameters of each call, in the order of the file."""
        for _, texts in self._records():
            yield {
                name: as_kind(text, kind)
                for name, text, kind in zip(self.names, texts, self._kinds, strict=True)
            }

    def _examine(self) -> tuple[list[type], list[str], int]:
        """The type of each column, the columns that vary, and how many rows there are."""
        kinds: list[type] = [int for _ in self.names]
        varies = [False for _ in self.names]
        first: list[str] = []
        count = 0
        for line, texts in self._records():
            if len(texts) != len(self.names):
                raise WrongInput(
                    f"{self._path} line {line}: {len(texts)} cells for {len(self.names)} columns"
                )
            first = first or texts
            for place, text in enumerate(texts):
                kinds[place] = kind_of([kinds[place](), typed(text)])
                varies[place] = varies[place] or text != first[place]
            count += 1
        return kinds, list(itertools.compress(self.names, varies)), count

    def _header(self) -> list[str]:
        with self._path.open(encoding="utf-8-sig", newline="") as file:
            names = [name.strip() for name in next(csv.reader(file, strict=True), [])]
        if not names:
            raise WrongInput(f"{self._path} is empty: its first line must name the parameters")
        for name in names:
            if not name.isidentifier() or names.count(name) > 1:
                raise WrongInput(f"{self._path}: column {name!r} is no parameter name, or is there twice")
        return names

    def _records(self) -> Iterator[tuple[int, list[str]]]:
        """``(line number, cells)`` below the header."""
        with self._path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            next(reader, None)
            for texts in reader:
                if texts:
                    yield reader.line_num, texts
