"""Each kind of worker gets what it can read, and registries of one form do not mix with those of another."""

from __future__ import annotations

import pytest

from compute_executor.errors import SerializationError
from compute_executor.functions.codecs import Codec, globus_codec, native_codec
from compute_executor.serialization import native, strategies
from compute_executor.serialization.large import whole


def double(x: int) -> int:
    return x * 2


def test_ours_is_read_by_our_workers() -> None:
    form = native_codec()
    assert native.loads(form.dump_function(double))(4) == 8
    assert native.loads_call(whole(form.dump_call((1,), {"a": 2}, False, None))) == ((1,), {"a": 2})


def test_stock_is_read_without_this_package() -> None:
    form = globus_codec()
    assert b"compute_executor." not in form.dump_function(double)
    assert native.loads(form.dump_function(double))(4) == 8


def test_source_is_read_as_text() -> None:
    form = globus_codec(by_source=True)
    text = form.dump_function(double).decode()
    assert "st\n" in text
    assert "def double" in text
    with pytest.raises(SerializationError, match="source"):
        form.dump_function(lambda: 1)


@pytest.mark.parametrize("make", [native_codec, globus_codec])
def test_each_has_a_registry_of_its_own(make: type[Codec]) -> None:
    assert make().registry is not make().registry  # type: ignore[call-arg]


def test_a_stock_worker_unpacks_it() -> None:
    from compute_executor.serialization import packing

    form = globus_codec()
    text = packing.function_to_text(form.dump_function(double))
    (buffer,) = packing.unpack(text)
    assert strategies.loads(buffer)(21) == 42
