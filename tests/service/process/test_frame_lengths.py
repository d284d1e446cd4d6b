"""How much of a frame is still to come, however its bytes are cut."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from compute_executor.service.process.frame_lengths import FrameLengths

SIZES = st.sampled_from([0, 1, 125, 126, 127, 65_535, 65_536, 70_000])


@given(st.lists(st.tuples(SIZES, st.booleans()), max_size=5), st.lists(st.integers(1, 70_020), max_size=30))
def test_what_is_expected_is_what_is_missing(frames: list[tuple[int, bool]], cuts: list[int]) -> None:
    stream, ends = b"", []
    for size, masked in frames:
        stream += Frame(Opcode.BINARY, b"x" * size).serialize(mask=masked)
        ends.append((len(stream) - size, len(stream)))  # where the payload begins and ends
    lengths, at = FrameLengths(), 0
    while at < len(stream):
        step = cuts.pop() if cuts else len(stream)
        lengths.read(stream[at : at + step])
        at = min(at + step, len(stream))
        missing = next((end - at for begin, end in ends if begin <= at < end), 0)
        assert lengths.expected == missing


def test_a_head_byte_by_byte() -> None:
    head = Frame(Opcode.BINARY, b"x" * 70_000).serialize(mask=True)[:14]
    lengths = FrameLengths()
    for number in range(14):
        assert lengths.expected == 0
        lengths.read(head[number : number + 1])
    assert lengths.expected == 70_000
