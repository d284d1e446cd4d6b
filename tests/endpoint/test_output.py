"""What a task wrote, read from a file."""

from __future__ import annotations

import os
import sys

import pytest

from compute_executor.endpoint import output, system


@pytest.fixture
def file(tmp_path):
    number = system.scratch_file(str(tmp_path))
    yield number
    os.close(number)


def test_a_short_output_is_whole(file):
    os.write(file, b"hello")
    assert output.tail(file, 5) == b"hello"


def test_of_a_long_output_the_end_is_kept(file):
    os.write(file, b"a" * output.LIMIT + b"end")
    text = output.tail(file, output.LIMIT + 3)
    assert text.startswith(b"[3 bytes dropped]\n")
    assert text.endswith(b"aend")


def test_writes_go_to_the_end_of_what_is_left(file):
    os.write(file, b"before")
    os.ftruncate(file, 0)
    os.write(file, b"after")
    assert output.tail(file, os.fstat(file).st_size) == b"after"


@pytest.mark.parametrize("broken", [None, 5])
def test_a_stream_that_cannot_be_flushed_is_replaced(monkeypatch, broken):
    monkeypatch.setattr(sys, "stdout", broken)
    output.flush()
    assert sys.stdout.fileno() == 1
    sys.stdout.close()
