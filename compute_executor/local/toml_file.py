"""Configuration files in TOML, read into classes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from compute_executor.errors import InvalidRequest

T = TypeVar("T")


def read_toml(path: Path, kind: type[T], check: Callable[[dict[str, Any], Path], None]) -> T | None:
    """Return what a file says; None where there is none. ``check``: raises for names that ``kind`` does not know.
    Raises InvalidRequest that names what is wrong."""
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InvalidRequest(f"the configuration {path} cannot be read: {error.strerror}") from error
    import msgspec  # most have no such file, and every command asks for it

    try:
        document = msgspec.toml.decode(text)
        check(document, path)
        return msgspec.convert(document, kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"the configuration {path} is wrong: {error}") from None
