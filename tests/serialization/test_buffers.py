"""Large buffers leave their stream and come back, whatever is around them."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compute_executor.errors import ResultDecodeError, SerializationError
from compute_executor.serialization import buffers, content, large, native, packing
from compute_executor.serialization.large import Part, whole

FRAME = 64 * 1024
"""From this size on a pickler writes a payload by itself."""


@pytest.fixture(autouse=True)
def small_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buffers, "LARGE", FRAME)


sizes = st.sampled_from([0, 3, FRAME - 1, FRAME, FRAME + 1, 3 * FRAME])
atoms = st.one_of(
    st.builds(lambda size: bytes([65]) * size, sizes),
    st.builds(lambda size: bytearray(b"b" * size), sizes),
    st.builds(lambda size: "ä" * size, sizes),
    st.builds(lambda size: "\ud800" + "x" * size, sizes),
    st.builds(lambda size: 1 << (8 * size), sizes),  # a number whose frame is as long as it is
    st.builds(
        lambda size: b"\x80\x05\x95" + b"B" * size + FRAME.to_bytes(4, "little"), sizes
    ),  # like a header
    st.builds(lambda size: list(range(size // 8)), sizes),
    st.none(),
)
values = st.recursive(
    atoms, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
)


@settings(max_examples=200, deadline=None)
@given(value=values, twice=st.booleans())
def test_values_come_back(value: Any, twice: bool) -> None:
    value = [value, value] if twice else value
    stream = whole(native.dump(value))

    found = native.loads(stream)
    assert found == value
    assert pickle.loads(buffers.in_band(stream)) == value, "for peers that read plain streams"
    if twice and isinstance(value, list):
        assert found[0] is found[1] or not isinstance(found[0], (list, bytearray))
    args, kwargs = native.loads_call(whole(native.dump_call((value, 1), {"a": value})))
    assert args == (value, 1)
    assert kwargs == {"a": value}


def test_what_is_large_is_behind_the_stream() -> None:
    pieces = native.dump([bytes(FRAME), "x" * FRAME, bytearray(FRAME), [1]])

    assert isinstance(pieces, list)
    _, found = buffers.split(whole(pieces))
    assert len(pieces[0]) + len(pieces[1]) < 250, "the table, and the stream up to the second buffer"
    assert [type(one) for one in found] == [bytes, str, bytearray]


def test_numbers_that_fill_a_frame_stay_in_the_stream() -> None:
    pieces = native.dump([1 << (8 * 3 * FRAME), b"x"])

    assert not buffers.has_buffers(whole(pieces))


def test_arrays_are_views_that_may_be_written_to(tmp_path: Path) -> None:
    numpy = pytest.importorskip("numpy")
    array = numpy.arange(large.MAPPED, dtype="u4")
    fixed = array.copy()
    fixed.flags.writeable = False
    path = tmp_path / "body"
    path.write_bytes(whole(native.dump([array, fixed])))

    first, second = native.loads(large.read(str(path))), native.loads(large.read(str(path)))
    assert first[0].flags.writeable
    assert not first[1].flags.writeable
    assert first[0].ctypes.data % buffers.ALIGNED == 0
    first[0][:] = 7
    assert (second[0] == array).all(), "a mapping of its own"
    assert (native.loads(large.read(str(path)))[0] == array).all(), "the file is as it was"
    fresh = native.loads(path.read_bytes())
    fresh[0][0] = 3
    assert (native.loads(path.read_bytes())[0] == array).all()


def test_arguments_are_aligned_in_their_file() -> None:
    numpy = pytest.importorskip("numpy")
    array = numpy.arange(FRAME, dtype="u8")
    payload = bytearray(whole(native.dump_call((array, array + 1), {"a": array + 2})))

    (one, two), rest = native.loads_call(memoryview(payload))
    begin = numpy.frombuffer(payload, "u1").ctypes.data
    for found in (one, two, rest["a"]):
        assert (found.ctypes.data - begin) % buffers.ALIGNED == 0


def test_what_pickle_cannot_write_is_refused_as_before() -> None:
    numpy = pytest.importorskip("numpy")
    view = pickle.PickleBuffer(numpy.arange(FRAME)[::2])

    with pytest.raises(SerializationError, match="contiguous"):
        native.dump([view])


class _Store:
    """Keeps parts in a folder, as a client does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.count = 0

    def keep(self, taken: buffers.Taken) -> Part:
        self.count += 1
        name = f"{self.count:032x}"
        (self.folder / name).write_bytes(taken.content)
        return Part(name, len(taken.content))


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> _Store:
    monkeypatch.setattr(buffers, "_parts", buffers.PartReader(str(tmp_path)))
    return _Store(tmp_path)


@settings(max_examples=50, deadline=None)
@given(value=values)
def test_parts_are_read_from_their_files(value: Any) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(buffers, "_parts", buffers.PartReader(folder))
        kept = _Store(Path(folder))
        pieces = native.dump_call((value,), {"a": value}, False, kept.keep)

        assert native.loads_call(whole(pieces)) == ((value,), {"a": value})
        assert len(large.parts_of(pieces)) == kept.count


def test_a_part_that_changes_is_new_each_time_and_one_that_cannot_is_kept(
    store: _Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = whole(native.dump([bytearray(FRAME), bytes(FRAME)], store.keep))
    one, two = native.loads(stream), native.loads(stream)

    one[0][0] = 1
    assert two[0][0] == 0
    assert one[1] is two[1]
    monkeypatch.setattr(buffers, "KEPT", 0)
    other = whole(native.dump([b"x" * FRAME], store.keep))
    assert native.loads(other)[0] is native.loads(other)[0], "one is always kept"
    assert native.loads(stream)[1] is not one[1]


def test_parts_that_are_gone_or_cut_are_told(store: _Store) -> None:
    stream = whole(native.dump(bytes(FRAME), store.keep))
    path = store.folder / f"{1:032x}"
    path.write_bytes(b"short")
    with pytest.raises(ResultDecodeError, match="has 5 bytes, not 65536"):
        native.loads(stream)
    path.unlink()
    with pytest.raises(ResultDecodeError, match="No such file"):
        native.loads(stream)
    buffers.use_folder("")
    with pytest.raises(ResultDecodeError, match="only be read by a worker"):
        native.loads(stream)


def test_a_stream_that_is_cut_short_is_told() -> None:
    stream = whole(native.dump(bytes(FRAME)))

    with pytest.raises(ResultDecodeError, match="cut short"):
        native.loads(stream[:-1])


def test_functions_with_large_globals_and_closures(store: _Store) -> None:
    names: dict[str, Any] = {"__name__": "elsewhere", "TABLE": [bytes(FRAME)], "TEXT": b"t" * FRAME}
    exec("def f(): return len(TABLE[0]) + len(TEXT)", names)

    def around(helper: Any = names["f"]) -> Any:
        inside = bytearray(FRAME)
        return lambda: (inside, helper())

    stream = whole(native.dump(around(), store.keep))
    assert len(stream) < FRAME
    assert store.count == 3
    assert native.loads(stream)() == (bytearray(FRAME), 2 * FRAME)


def test_the_digest_is_that_of_the_content() -> None:
    def function_in(file: str) -> bytes:
        function = eval(compile("lambda a=bytearray(70000): (a, FRAME)", file, "eval"), globals())
        stream = whole(native.dump(function))
        assert buffers.has_buffers(stream)
        return content.digest(stream)

    assert function_in("one.py") == function_in("two.py")


def test_stock_peers_get_plain_streams() -> None:
    text = packing.result_to_text(whole(native.dump([bytes(FRAME), bytearray(FRAME)])))
    assert native.loads(packing.result_from_text(text)) == [bytes(FRAME), bytearray(FRAME)]
    assert not buffers.has_buffers(packing.result_from_text(text))


def test_which_argument_cannot_be_read_is_found_behind_large_ones() -> None:
    payload = whole(native.dump_call((bytes(FRAME), _Unreadable(), 1), {}))

    with pytest.raises(ResultDecodeError, match="argument 1, in the worker"):
        native.loads_call(payload)


class _Unreadable:
    def __reduce__(self) -> Any:
        return _fail, ()


def _fail() -> None:
    raise ValueError("never")


def test_mapped_files_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * large.MAPPED)
    monkeypatch.setattr(large, "MOST_MAPPED", len(large._mapped) + 1)

    first, second = large.read(str(path)), large.read(str(path))
    assert isinstance(first, memoryview)
    assert isinstance(second, memoryview)
    assert isinstance(second.obj, bytearray)
    assert first == second
    before = len(large._mapped)
    del first
    assert len(large._mapped) == before - 1
