"""Where an endpoint keeps what it knows, on the machine that it runs on.

<home>/endpoints/NAME/           0700
    endpoint.toml                its configuration, once a start of it has succeeded
    credentials.json             0600: the endpoint's id and token at its service, and what that was told of it
    HOST/                        of this machine: a home folder may be shared by many
        agent.lock               held by the process that runs: one for each name and machine
        agent.json               which process that is
        generation               how often it was started
        agent.log
        engine.json              which process its engine lives in, if it has one
        engine.log               what the engine's libraries write
        jobs/                    scripts and output of blocks; BLOCK.job has the job's id
        blobs/, rings/GENERATION/
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import socket
from pathlib import Path
from typing import Any, NamedTuple

from compute_executor import system
from compute_executor.endpoint.settings import ENGINE_VARIABLE
from compute_executor.errors import InvalidRequest, NotFound
from compute_executor.local.locks import is_held, try_lock
from compute_executor.local.state import home, open_private, prepare_folder, trouble
from compute_executor.protocol.endpoint_names import RULE, is_endpoint_name

_LARGEST = 64 * 1024
_OUTPUT = (".stdout", ".stderr", ".out", ".err")


class Credentials(NamedTuple):
    """What the service gave the endpoint. ``service``: the address that it is for, empty for the local one; ``said``:
    whom the endpoint is for, as the service was told, None if that was not noted."""

    endpoint_id: str
    token: str
    service: str = ""
    said: dict[str, Any] | None = None

    def __repr__(self) -> str:
        return f"Credentials(endpoint_id={self.endpoint_id!r}, token=...)"


class RunningAgent(NamedTuple):
    """The process of an endpoint on this machine."""

    pid: int
    started: int
    generation: int


class EngineRecord(NamedTuple):
    """The process that an engine lives in. ``boot``: of the machine, since when ``started`` counts."""

    pid: int
    started: int
    boot: str


class EndpointFolder:
    """The files of one endpoint. Raises InvalidRequest for what is no name of an endpoint."""

    def __init__(self, name: str) -> None:
        if not is_endpoint_name(name):
            raise InvalidRequest(f"{name[:100]!r} is no name for an endpoint: {RULE}")
        self.name = name
        self.host: str = socket.gethostname() or "localhost"
        self.path: Path = home() / "endpoints" / name
        self.here: Path = self.path / re.sub("[^A-Za-z0-9._-]", "_", self.host)
        self.settings: Path = self.path / "endpoint.toml"
        self.log: Path = self.here / "agent.log"
        self.blobs: Path = self.here / "blobs"
        self.rings: Path = self.here / "rings"
        self.engine_log: Path = self.here / "engine.log"
        self.jobs: Path = self.here / "jobs"
        self._lock = self.here / "agent.lock"
        self._process = self.here / "agent.json"
        self._engine = self.here / "engine.json"
        self._credentials = self.path / "credentials.json"
        self._machine = self.here / "machine"
        self._generation = self.here / "generation"

    def prepare(self) -> None:
        """Make the folders. Raises NotAuthorized, ServiceUnavailable."""
        for folder in (self.path, self.here, self.blobs, self.rings):
            prepare_folder(folder)

    def remove(self) -> None:
        """Delete all of it, on every machine that shares the folder. Raises NotAuthorized, ServiceUnavailable."""
        try:
            shutil.rmtree(self.path)
        except FileNotFoundError:
            return
        except OSError as error:
            raise trouble("remove", self.path, error) from error

    def require(self) -> None:
        """Raise NotFound if there is no such endpoint here. One whose starts have all failed is none."""
        if not self.settings.exists():
            known = ", ".join(names()) or "none"
            raise NotFound(f"there is no endpoint {self.name} in {self.path.parent}; there are: {known}")

    # -- who runs --

    def lock(self) -> int | None:
        """Take the lock for as long as this process lives; None if another one has it."""
        return try_lock(self._lock)

    def running(self) -> RunningAgent | None:
        """Return the process that runs this endpoint on this machine."""
        if not self.here.is_dir() or not is_held(self._lock):
            return None
        found = _read(self._process)
        return RunningAgent(*(int(found.get(name, 0)) for name in RunningAgent._fields))

    def announce(self, generation: int) -> None:
        """Note that this process runs it."""
        pid = os.getpid()
        _write(self._process, RunningAgent(pid, system.start_time(pid), generation)._asdict())

    def machine(self) -> str:
        """Return what names this machine to the service: 32 hex digits, drawn once."""
        found = _read(self._machine).get("machine")
        if not found:
            found = secrets.token_hex(16)
            _write(self._machine, {"machine": found})
        return str(found)

    def next_generation(self) -> int:
        """Return the number of this start. It is on the disk before anything is done under it."""
        number = int(_read(self._generation).get("generation", 0)) + 1
        _write(self._generation, {"generation": number})
        return number

    # -- the process of its engine --

    @property
    def engine_mark(self) -> str:
        """NAME=VALUE in the environment of the process of an engine, which what that starts inherits."""
        return f"{ENGINE_VARIABLE}={self.machine()}"

    def announce_engine(self, pid: int) -> None:
        """Note that the engine lives in this process, which leads a session. It is on the disk before the engine is
        asked for anything."""
        _write(self._engine, EngineRecord(pid, system.start_time(pid), system.boot())._asdict())

    def end_engine_left(self) -> int:
        """End what the process of an engine has left on this machine, at an earlier start; how many processes that
        were. For whoever has the lock."""
        found = _read(self._engine)
        if not found:
            return 0
        record = EngineRecord(**{name: found.get(name, 0) for name in EngineRecord._fields})
        ours = record.boot == system.boot()
        count = system.end_left_by(record.pid if ours else 0, record.started, self.engine_mark)
        self._engine.unlink(missing_ok=True)
        return count

    # -- blocks --

    def block_logs(self, name: str) -> list[Path]:
        """Return the files that a block has written, by its name or that of its job. Raises NotFound."""
        jobs = {path.stem: path.read_text(encoding="utf-8") for path in sorted(self.jobs.glob("*.job"))}
        for block, job in jobs.items():
            if name in (block, job):
                found = [path for path in self.jobs.iterdir() if f"-{block}." in path.name]
                return sorted(path for path in found if path.suffix in _OUTPUT)
        known = ", ".join(f"{block} (job {job})" for block, job in list(jobs.items())[-20:]) or "none"
        raise NotFound(
            f"endpoint {self.name} has no output of a block {name[:100]} on {self.host}; it has that of: {known}. "
            "Only jobs of a batch system write files here: the workers of an engine have logs of their own"
        )

    # -- credentials --

    def credentials(self) -> Credentials | None:
        """Return what the service gave this endpoint, if it did."""
        found = _read(self._credentials)
        if not found.get("token"):
            return None
        said = found.get("said")
        return Credentials(
            str(found["endpoint_id"]),
            str(found["token"]),
            str(found.get("service", "")),
            said if isinstance(said, dict) else None,
        )

    def keep_credentials(self, credentials: Credentials) -> None:
        """Store what the service gave."""
        _write(self._credentials, credentials._asdict())

    def forget_credentials(self) -> None:
        """Delete them: they are no longer valid."""
        self._credentials.unlink(missing_ok=True)


def names() -> list[str]:
    """Return the endpoints that this user has here."""
    folder = home() / "endpoints"
    return sorted(path.parent.name for path in folder.glob("*/endpoint.toml"))


def _read(path: Path) -> dict[str, Any]:
    """Return a small private document; empty if it is not there, or cut short."""
    try:
        descriptor = open_private(path, os.O_RDONLY)
    except FileNotFoundError:
        return {}
    try:
        found = json.loads(os.read(descriptor, _LARGEST))
    except ValueError:
        return {}
    finally:
        os.close(descriptor)
    return found if isinstance(found, dict) else {}


def _write(path: Path, document: dict[str, Any]) -> None:
    """Write it whole or not at all, and to the disk. Raises NotAuthorized, ServiceUnavailable."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(document, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise trouble("write", path, error) from error
