"""The files of a worker's output, and which part of them is which task's."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute_executor.endpoint.pool import output_files
from compute_executor.endpoint.pool.output_files import KEPT, NOTHING, OutputFiles, TaskTexts
from compute_executor.protocol.frames import Written
from tests.endpoint.conftest import Lab, Script

NONE = (0, b"")


@pytest.fixture
def files(tmp_path: Path) -> Iterator[OutputFiles]:
    made = OutputFiles(str(tmp_path))
    yield made
    made.close()


def write(files: OutputFiles, *texts: bytes) -> tuple[int, ...]:
    """Append to the streams; their sizes then."""
    for file, text in zip(files.files, texts, strict=True):
        os.write(file, text)
    return tuple(os.fstat(file).st_size for file in files.files)


def test_what_was_written_is_read_once(files: OutputFiles) -> None:
    assert not files.new()
    write(files, b"out", b"", b"record\n")
    assert files.new()
    assert files.read() == ((3, b"out"), NONE, (7, b"record\n"))
    assert not files.new()
    assert files.read() == (NONE, NONE, NONE)


def test_many_short_tasks_are_cut_from_one_piece(files: OutputFiles) -> None:
    ends = [write(files, b"a", b"", b""), write(files, b"bb", b"err", b""), write(files, b"", b"", b"r")]
    write(files, b"later", b"", b"")
    assert files.read_each(ends) == [
        ((1, b"a"), NONE, NONE),
        ((2, b"bb"), (3, b"err"), NONE),
        (NONE, NONE, (1, b"r")),
    ]
    assert files.read() == ((5, b"later"), NONE, NONE)


def test_of_much_the_end_is_read_and_its_room_given_back(files: OutputFiles) -> None:
    size = output_files.MOST_AT_ONCE + 8192
    first = write(files, b"a" * size, b"", b"")
    second = write(files, b"bc", b"", b"")
    (long, _, _), (short, _, _) = files.read_each([first, second])
    assert long == (size, b"a" * output_files.MOST_AT_ONCE)
    assert short == (2, b"bc")
    assert os.fstat(files.files[0]).st_blocks * 512 < size
    write(files, b"d", b"", b"")
    assert files.read() == ((1, b"d"), NONE, NONE)


def test_what_was_read_before_a_note_came_belongs_to_nobody_else(files: OutputFiles) -> None:
    ends = [write(files, b"a", b"", b""), write(files, b"b", b"", b"")]
    files.read()
    assert files.read_each(ends) == [(NONE, NONE, NONE)] * 2


@given(st.lists(st.tuples(*[st.binary(max_size=KEPT * 2)] * 3), min_size=1, max_size=4))
def test_the_end_of_a_tasks_output_is_that_of_all_its_parts(parts: list[tuple[bytes, bytes, bytes]]) -> None:
    texts = TaskTexts()
    key = (1, 2, 3)
    for out, err, records in parts:
        sent = texts.add(key, ((len(out), out), (len(err), err), (len(records), records)))
        assert sent.streams() == (out, err, records)
    end = texts.take(key)
    assert end is not None
    assert end.attempt == 3
    for text, start, stream in zip(end.streams(), end.starts, zip(*parts, strict=True), strict=True):
        whole = b"".join(stream)
        assert (text, start) == (whole[-KEPT:], max(0, len(whole) - KEPT))
    assert texts.take(key) is None


def test_a_part_that_was_not_all_read_leaves_a_gap() -> None:
    one = output_files.following(NOTHING, ((5, b"12345"), NONE, NONE), 1)
    two = output_files.following(one, ((10, b"xyz"), NONE, NONE), 1)
    assert two == Written(b"xyz", starts=(12, 0, 0), attempt=1)
    assert output_files.end_of(one, two) == two


def test_a_task_that_runs_is_sent_on_while_it_runs(lab: Lab) -> None:
    def speak() -> None:
        import sys
        import time

        print("first")
        time.sleep(0.5)
        sys.stderr.write("second")

    async def scenario(script: Script) -> None:
        position = script.submit(speak)
        script.wake()
        await script.until(lambda: script.parts)
        assert position not in script.ends
        assert script.parts == [(position, Written(b"first\n", attempt=1))]
        await script.result(position)
        assert script.ends[position].output == Written(b"first\n", b"second", attempt=1)

    lab(scenario)


def test_more_than_a_result_holds_is_sent_before_it(lab: Lab) -> None:
    def speak() -> None:
        print("x" * 196_608)

    async def scenario(script: Script) -> None:
        await script.run(speak)
        assert b"".join(part.out for _, part in script.parts) == b"x" * KEPT * 3 + b"\n"
        output = script.ends[1].output
        assert output is not None
        assert output.starts == (2 * KEPT + 1, 0, 0)

    lab(scenario)
