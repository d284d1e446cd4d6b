"""What a task wrote, read from a file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from compute_executor.endpoint.pool.output_files import KEPT
from compute_executor.endpoint.worker import output
from tests.endpoint.conftest import Lab, Script
from tests.endpoint.tasks import nothing


@pytest.mark.parametrize("broken", [None, 5])
def test_a_stream_that_cannot_be_flushed_is_replaced(monkeypatch: pytest.MonkeyPatch, broken: Any) -> None:
    monkeypatch.setattr(sys, "stdout", broken)
    output.flush()
    assert sys.stdout.fileno() == 1
    sys.stdout.close()


# -- with real workers --


def test_closing_the_descriptors_one_can_see(lab: Lab, tmp_path: Path) -> None:
    def close_them() -> None:
        import os

        os.closerange(0, 21)

    def write(path: Any) -> None:
        import os

        with open(path, "w") as file:
            print("to the output")
            os.system("echo from a child")
            file.write("to the file")

    async def scenario(script: Script) -> None:
        await script.run(close_them)
        position = script.submit(write, str(tmp_path / "file"))
        script.wake()
        await script.result(position)
        assert (tmp_path / "file").read_text() == "to the file"
        assert sorted(script.texts[position].split(b"\n")) == [b"", b"from a child", b"to the output"]
        assert not script.losses

    lab(scenario)


@pytest.mark.parametrize("wrong", ["sys.stdout.close()", "sys.stdout = None", "sys.stdout = sys.stderr = 5"])
def test_a_broken_stdout_is_mended(lab: Lab, wrong: Any) -> None:
    def spoil(code: Any) -> None:
        import sys  # noqa: F401

        exec(code)

    async def scenario(script: Script) -> None:
        await script.run(spoil, wrong)
        position = script.submit(print, "hello")
        script.wake()
        await script.result(position)
        assert script.texts[position] == b"hello\n"

    lab(scenario)


def test_output_belongs_to_the_task_that_wrote_it(lab: Lab) -> None:
    def write(text: Any) -> None:
        import os
        import sys

        print(text)
        print("also", text, file=sys.stderr)
        sys.stdout.flush()
        os.system(f"echo child of {text}")

    async def scenario(script: Script) -> None:
        positions = [script.submit(write, str(index)) for index in range(3)]
        quiet = script.submit(nothing)
        script.wake()
        for position in [*positions, quiet]:
            await script.result(position)
        for index, position in enumerate(positions):
            lines = script.texts[position].decode().splitlines()
            assert sorted(lines) == sorted([str(index), f"also {index}", f"child of {index}"])
        assert quiet not in script.texts

    lab(scenario)


def test_a_flood_of_output_is_cut_to_its_end(lab: Lab) -> None:
    def flood() -> None:
        import sys

        sys.stdout.write("x" * 50_000_000 + "end")

    async def scenario(script: Script) -> None:
        await script.run(flood)
        first, _, rest = script.texts[1].partition(b"\n")
        assert first == b"[%d bytes dropped]" % (50_000_003 - KEPT)
        assert len(rest) == KEPT
        assert rest.endswith(b"xend")
        await script.run(nothing)
        assert 2 not in script.texts

    lab(scenario)


def test_the_last_words_of_a_worker_are_reported(lab: Lab) -> None:
    def speak_and_die() -> None:
        import os

        os.write(1, b"I was here")
        os._exit(1)

    async def scenario(script: Script) -> None:
        position = script.submit(speak_and_die)
        script.wake()
        await script.until(lambda: position in script.losses)
        assert script.texts[position] == b"I was here"
        assert "I was here" in script.losses[position].message

    lab(scenario)
