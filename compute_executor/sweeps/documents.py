"""Files of records that bring values with their types: JSON, JSON lines, YAML, TOML, Parquet, Excel workbooks. A name
that is there twice in one record is refused, and so is a number that no float can hold."""

from __future__ import annotations

import importlib
import json
import re
import sys
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from compute_executor.errors import InvalidRequest
from compute_executor.sweeps.values import floating

_EXPONENT = re.compile(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)[eE][-+]?[0-9]+")
"""A float with an exponent in YAML 1.2, which the library takes for text unless it has a point and a sign."""


def optional(module: str, extra: str, purpose: str) -> Any:
    """Return an optional library. Raises InvalidRequest, naming the extra to install."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise InvalidRequest(
            f"{purpose} needs {module.partition('.')[0]}: pip install 'compute-executor[{extra}]'"
        ) from error


def _json(path: Path) -> Any:
    return _parsed(path.read_text(encoding="utf-8-sig"))


def _lines(path: Path) -> Any:
    with path.open(encoding="utf-8-sig") as file:
        return [_parsed(line) for line in file if line.strip()]


def _parsed(text: str) -> Any:
    return json.loads(text, parse_float=_float, object_pairs_hook=_record)


def _float(text: str) -> float:
    try:
        return floating(text.replace("_", ""))  # TOML has 1_000.0
    except InvalidRequest as error:
        raise ValueError(error.message) from error


def _record(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"{name!r} is there twice in one record")
        found[name] = value
    return found


def _yaml(path: Path) -> Any:
    yaml = optional("yaml", "table", f"{path}")
    try:
        return yaml.load(path.read_text(encoding="utf-8-sig"), _loader(yaml))  # a safe loader
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error


def _loader(yaml: Any) -> Any:
    """Return the library's safe loader, with the floats of YAML 1.2, and no name twice."""

    class Loader(yaml.SafeLoader):  # type: ignore[misc]  # the library is optional
        """Records of parameters."""

    def mapping(loader: Any, node: Any) -> dict[str, Any]:
        loader.flatten_mapping(node)
        return _record(loader.construct_pairs(node, deep=True))

    def number(loader: Any, node: Any) -> float:
        text = str(loader.construct_scalar(node))
        return _float(text) if _EXPONENT.fullmatch(text) else _finite(text, loader.construct_yaml_float(node))

    Loader.add_constructor("tag:yaml.org,2002:map", mapping)
    Loader.add_constructor("tag:yaml.org,2002:float", number)
    Loader.add_implicit_resolver("tag:yaml.org,2002:float", _EXPONENT, list("-+.0123456789"))
    return Loader


def _finite(text: str, value: float) -> float:
    """``value`` of a ``text``; raises ValueError where infinity stands for a number."""
    return _float(text) if abs(value) == float("inf") and "inf" not in text.lower() else value


def _toml(path: Path) -> Any:
    toml: Any = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    return toml.loads(path.read_text(encoding="utf-8"), parse_float=_float)


def _parquet(path: Path) -> Any:
    parquet = optional("pyarrow.parquet", "table", f"{path}")
    return parquet.read_table(path).to_pylist()


def _workbook(path: Path) -> Any:
    """Return the rows of the first sheet, below its first line, which names the columns."""
    excel: Any = optional("openpyxl", "table", f"{path}")
    try:
        book = excel.load_workbook(path, read_only=True, data_only=True)
    except (zipfile.BadZipFile, KeyError) as error:
        raise ValueError(f"it is no workbook: {error}") from error
    try:
        rows = book.worksheets[0].iter_rows(values_only=True)
        columns = ["" if name is None else str(name) for name in next(rows, ())]
        if len(set(columns)) < len(columns):
            raise ValueError("a column has no name, or is there twice")
        return [
            dict(zip(columns, row, strict=False)) for row in rows if any(cell is not None for cell in row)
        ]
    finally:
        book.close()


TABULAR = (".parquet", ".xlsx")
"""Endings of files whose empty cells are nothing, and not None."""
READERS: dict[str, Callable[[Path], Any]] = {
    ".json": _json,
    ".jsonl": _lines,
    ".yaml": _yaml,
    ".yml": _yaml,
    ".toml": _toml,
    ".parquet": _parquet,
    ".xlsx": _workbook,
}
