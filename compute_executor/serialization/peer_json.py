"""JSON as Python's own module writes it, read into given types: what stock peers send.

A lone surrogate, as in the name of a file that is no UTF-8, is escaped by that module and refused by msgspec, whose
strings are UTF-8. It becomes a question mark: the message, most often an error's text, must not be lost for it.
"""

from __future__ import annotations

import json
from typing import TypeVar

import msgspec

T = TypeVar("T")


def decode(content: bytes, kind: type[T]) -> T:
    """``content`` as a ``kind``. Raises ValueError for what is none."""
    try:
        return _strictly(content, kind)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None
    except msgspec.DecodeError as error:
        if b"\\u" not in content:
            raise ValueError(str(error)) from None
    try:
        text = json.dumps(json.loads(content), ensure_ascii=False)
        return _strictly(text.encode(errors="replace"), kind)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(str(error)) from None


def _strictly(content: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(content, type=kind)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
