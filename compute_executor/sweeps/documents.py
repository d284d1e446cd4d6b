"""Files of records that bring values with their types: JSON, JSON lines, YAML, TOML, Parquet."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from compute_executor.errors import InvalidRequest


def optional(module: str, extra: str, purpose: str) -> Any:
    """An optional library. Raises InvalidRequest, naming the extra to install."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise InvalidRequest(
            f"{purpose} needs {module.partition('.')[0]}: pip install 'compute-executor[{extra}]'"
        ) from error


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8-sig"))


def _lines(path: Path) -> Any:
    with path.open(encoding="utf-8-sig") as file:
        return [json.loads(line) for line in file if line.strip()]


def _yaml(path: Path) -> Any:
    yaml = optional("yaml", "table", f"{path}")
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error


def _toml(path: Path) -> Any:
    toml: Any = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    return toml.loads(path.read_text(encoding="utf-8"))


def _parquet(path: Path) -> Any:
    parquet = optional("pyarrow.parquet", "table", f"{path}")
    return parquet.read_table(path).to_pylist()


READERS: dict[str, Callable[[Path], Any]] = {
    ".json": _json,
    ".jsonl": _lines,
    ".yaml": _yaml,
    ".yml": _yaml,
    ".toml": _toml,
    ".parquet": _parquet,
}
