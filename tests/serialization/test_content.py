"""The digest of a function: its content, wherever it is written."""

from __future__ import annotations

import hashlib
from types import FunctionType
from typing import Any

from compute_executor.serialization import native
from compute_executor.serialization.content import HEAD, digest


def made(file: str, text: str = "lambda x: x + 1") -> Any:
    function = eval(compile(text, file, "eval"))
    assert isinstance(function, FunctionType)
    return function


def test_a_file_name_is_no_content() -> None:
    one, other = native.dumps(made("/a.py")), native.dumps(made("/b.py"))
    assert one != other
    assert digest(one) == digest(other)
    assert digest(one) != digest(native.dumps(made("/a.py", "lambda x: x + 2")))


def test_the_content_of_any_other_stream_is_all_of_it() -> None:
    for stream in (b"", b"abc", native.dumps(len), HEAD[:-1]):
        assert digest(stream) == hashlib.sha256(stream).digest()


def test_a_stream_that_is_cut_short_has_a_digest() -> None:
    stream = native.dumps(made("/a.py"))
    assert len({digest(stream[:end]) for end in range(len(HEAD) + 20, len(stream), 50)}) > 1
