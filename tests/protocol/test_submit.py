"""The one builder of a Submit frame: no call and no option is left out."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from compute_executor.protocol.frames import Options, Submit
from compute_executor.protocol.submit import build_submit, endpoint_options

CALLS = st.lists(st.tuples(st.sampled_from([b"f" * 16, b"g" * 32, b"h" * 32]), st.binary(max_size=3)))


def submit(calls: list[tuple[bytes, bytes]], options: Options) -> Submit:
    return build_submit(
        calls, prefix=b"p" * 12, group=b"g" * 16, endpoint=b"e" * 16, pool=None, options=options, parts=[]
    )


@given(CALLS)
def test_every_call_keeps_its_function_and_its_place(calls: list[tuple[bytes, bytes]]) -> None:
    frame = submit(calls, Options())
    tasks = msgspec.msgpack.decode(frame.tasks)
    assert [(frame.functions[number], body) for number, body in tasks] == calls
    assert len(set(frame.functions)) == len(frame.functions)
    assert frame.count == len(calls)


def test_the_other_fields_are_as_they_were_given() -> None:
    options = Options(retries=3, walltime=2.0)
    frame = submit([], options)
    assert (frame.prefix, frame.group, frame.endpoint, frame.pool) == (b"p" * 12, b"g" * 16, b"e" * 16, None)
    assert frame.options == options


def test_options_of_an_endpoint_are_all_there() -> None:
    options = endpoint_options(
        resource_specification={"num_nodes": 2},
        user_endpoint_config={"queue": "short"},
        result_serializers=["a.B"],
        user_runtime={"python_version": "3.12"},
    )
    assert options == Options(
        0, None, None, {"num_nodes": 2}, {"queue": "short"}, ["a.B"], {"python_version": "3.12"}
    )
