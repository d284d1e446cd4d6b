"""Functions that travel as their source."""

from __future__ import annotations

import pickle

import pytest

from compute_executor.errors import SerializationError, VersionMismatch
from compute_executor.functions.codecs import codec_for_python, of_ours_by_source
from compute_executor.functions.remote import EachOf
from compute_executor.serialization import native
from compute_executor.serialization.source_function import SourceFunction


def test_it_is_run_where_it_is_called() -> None:
    function = pickle.loads(pickle.dumps(SourceFunction("double", "def double(x):\n    return 2 * x\n")))
    assert (function(4), function.__name__) == (8, "double")


def test_a_function_of_a_module_travels_by_name_and_another_as_source() -> None:
    codec = of_ours_by_source()
    assert native.loads(codec.dump_function(pow)) is pow
    outside = 3
    with pytest.raises(SerializationError, match="source"):
        codec.dump_function(lambda x: x + outside)


def test_bytecode_is_not_sent_to_another_python() -> None:
    codec = codec_for_python("3.99.0")
    assert native.loads(codec.dump_function(pow)) is pow
    with pytest.raises(VersionMismatch, match=r"Python 3\.99\.0.*by_source=True"):
        codec.dump_function(lambda x: x)
    with pytest.raises(VersionMismatch):
        codec.dump_function(EachOf(lambda x: x))
