"""Refs stand for values in the arguments of calls, and nowhere else."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from compute_executor.errors import InvalidRequest, SerializationError
from compute_executor.serialization import buffers, large, native, refs, stock
from compute_executor.serialization.large import Part, whole
from compute_executor.serialization.refs import Ref

NAME = "0" * 31 + "1"


@pytest.fixture
def ref(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ref:
    monkeypatch.setattr(buffers, "_parts", buffers.PartReader(str(tmp_path)))
    stream = native.dumps({"a": [1, 2]})
    (tmp_path / NAME).write_bytes(stream)
    return Ref(Part(NAME, len(stream)))


def test_a_ref_is_its_value_in_a_worker(ref: Ref) -> None:
    content = native.dump_call(([ref, (ref,)], 1), {"more": {"b": ref}})

    assert {part.name for part in large.parts_of(content)} == {NAME}
    ((one, (two,)), number), more = native.loads_call(whole(content))
    assert one == two == more["more"]["b"] == {"a": [1, 2]}
    assert number == 1
    assert one is two, "one object in one call, as any argument that is passed twice"


def test_each_task_has_a_value_of_its_own(ref: Ref) -> None:
    payload = whole(native.dump_call((ref,), {}))
    (first,), _ = native.loads_call(payload)
    first["a"] = None
    (second,), _ = native.loads_call(payload)
    assert second == {"a": [1, 2]}


def test_a_function_may_carry_one(ref: Ref) -> None:
    content = native.dump(lambda: ref)
    assert len(large.parts_of(content)) == 1
    assert native.loads(whole(content))() == {"a": [1, 2]}


def test_a_released_one_is_refused(ref: Ref) -> None:
    ref.release()
    assert "released" in repr(ref)
    with pytest.raises(SerializationError, match=r"argument 0: .*was released: put the value again\n"):
        native.dump_call((ref,), {})


def test_elsewhere_it_is_refused_with_its_size(ref: Ref) -> None:
    with pytest.raises(SerializationError, match=rf"a ref of {ref.size} bytes .* pass the value"):
        pickle.dumps(ref)
    with pytest.raises(SerializationError, match=rf"argument 1: .*a ref of {ref.size} bytes"):
        stock.dump_call((1, ref), {})


def test_ids_are_text_for_another_program(ref: Ref) -> None:
    assert refs.part_of(ref.id).name == NAME
    assert refs.part_of(ref.id).size == ref.size
    for wrong in ("", "x", NAME, f"{NAME}-", f"{NAME}-x", f"../{NAME}-5", f"{NAME}-5\n"):
        with pytest.raises(InvalidRequest, match="is no id of a ref"):
            refs.part_of(wrong)
