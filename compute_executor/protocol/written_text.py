"""Putting parts of a task's output together: the end of each stream, and how much before it is not kept."""

from __future__ import annotations

from compute_executor.protocol.frames import Written

OUTPUT_KEPT = 64 * 1024
"""Bytes of each stream of a task that are kept."""

Stream = tuple[bytes, int]
"""Text, and the position in its stream at which it begins."""


def joined(one: Stream, two: Stream) -> Stream:
    """Return the end of two parts of a stream, of which the second begins where the first ends, or later or earlier.

    >>> joined((b"abc", 0), (b"de", 3)), joined((b"abc", 0), (b"bcd", 1)), joined((b"abc", 0), (b"z", 9))
    ((b'abcde', 0), (b'abcd', 0), (b'z', 9))
    """
    (text, start), (more, begin) = one, two
    if start <= begin <= start + len(text):
        text = text[: begin - start] + more
    elif begin + len(more) <= start + len(text):
        return one
    else:
        text, start = more, begin
    cut = max(0, len(text) - OUTPUT_KEPT)
    return text[cut:], start + cut


def followed(one: Written, two: Written) -> Written:
    """Return what a task has written, with a further part; of another attempt, that part alone."""
    if one.attempt != two.attempt:
        return two
    out = joined((one.out, one.starts[0]), (two.out, two.starts[0]))
    err = joined((one.err, one.starts[1]), (two.err, two.starts[1]))
    return Written(out[0], err[0], b"", (out[1], err[1], 0), two.attempt)
