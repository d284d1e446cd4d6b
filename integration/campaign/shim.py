"""The library of shim.c: built where there is a compiler, and steered through a file."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

VARIABLE = "CAMPAIGN_SHIM"
_CONTROL = struct.Struct("=4q")


class Shim:
    """A wall clock and a disk whose faults are chosen here. ``usable``: False where there is no C compiler."""

    def __init__(self, folder: Path) -> None:
        self._control = folder / "shim"
        self._library = folder / "shim.so"
        self._values = [0, 0, 0, 0]
        self._control.write_bytes(_CONTROL.pack(*self._values))
        self.usable = self._build()

    def _build(self) -> bool:
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            return False
        source = Path(__file__).with_name("shim.c")
        command = [compiler, "-shared", "-fPIC", "-O2", "-o", str(self._library), str(source), "-ldl"]
        return not subprocess.run(command, check=False, capture_output=True).returncode

    def environment(self) -> dict[str, str]:
        """The variables of processes that are to have these faults."""
        return {"LD_PRELOAD": str(self._library), VARIABLE: str(self._control)} if self.usable else {}

    def set(self, *, clock: int = 0, writes: int = 0, syncs: int = 0, reads: int = 0) -> None:
        """``clock``: seconds to add to the wall clock; the others: of a thousand, how many fail."""
        self._values = [clock, writes, syncs, reads]
        with self._control.open("r+b") as file:
            file.write(_CONTROL.pack(*self._values))

    def jump(self, seconds: int) -> None:
        """Move the wall clock, from where it is."""
        clock, writes, syncs, reads = self._values
        self.set(clock=clock + seconds, writes=writes, syncs=syncs, reads=reads)

    def disk(self, *, writes: int = 0, syncs: int = 0, reads: int = 0) -> None:
        """Let the disk fail, from now on."""
        self.set(clock=self._values[0], writes=writes, syncs=syncs, reads=reads)
