"""The configuration of an endpoint on this machine: a TOML file that `endpoint start` writes and reads again.

    engine = "process"
    workers = 8
    worker_init = "module load gcc"

    [variables]
    OMP_NUM_THREADS = "1"

An unknown key is an error, so that a misspelt one is not silently without effect.
"""

from __future__ import annotations

import difflib
import json
import re
from pathlib import Path
from typing import Annotated, Any

import msgspec

from compute_executor.endpoint.engine_kinds import ANY_NUMBER, KINDS, EngineKind, kind_of
from compute_executor.errors import InvalidRequest
from compute_executor.local.toml_file import read_toml

_WALLTIME = re.compile("[0-9]+:[0-9]+:[0-9]+")

ENGINE_VARIABLE = "COMPUTE_EXECUTOR_ENGINE"
"""Of the environment of an engine's process, and of all that it starts but for workers."""


Number = Annotated[int, msgspec.Meta(ge=0, le=ANY_NUMBER)]


class EndpointSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=False):
    """What a user chose. ``url``, ``profile``: the service, this user's local one if neither is given;
    ``certificate``: of a certificate authority of one's own. ``workers``: tasks at a time, 0 for as many as there are
    CPUs. ``gpus``: "all", or devices such as "0,1": a worker for each, on each machine; ``threads_per_worker``: that
    numpy and the like start, 0 for as many as they do by themselves. ``folder``: where tasks run, the home folder if
    empty. ``variables``: in their environment.

    The rest is for engines whose workers are elsewhere: ``address`` by which they reach this machine (of Ray: where
    that is); ``scheduler`` of dask, file of a ``config`` of Parsl, MPI ``ranks``; of Slurm ``partition``,
    ``account``, ``nodes`` of a block, ``walltime`` (HH:MM:SS), ``worker_init`` (shell commands before the workers),
    ``scheduler_options`` (lines of #SBATCH); ``min_blocks``, ``max_blocks`` and seconds without a task after which a
    block ends (``idle``)."""

    engine: str = "process"
    url: str = ""
    profile: str = ""
    certificate: str = ""
    workers: Number = 0
    gpus: str = ""
    threads_per_worker: Number = 0
    folder: str = ""
    variables: dict[str, str] = {}
    description: str = ""
    public: bool = False
    group: str = ""
    allowed_functions: list[str] = []
    address: str = ""
    scheduler: str = ""
    config: str = ""
    ranks: Number = 0
    partition: str = ""
    account: str = ""
    nodes: Annotated[int, msgspec.Meta(ge=1, le=ANY_NUMBER)] = 1
    cores_per_node: Number = 0
    walltime: str = ""
    worker_init: str = ""
    scheduler_options: str = ""
    exclusive: bool = False
    min_blocks: Number = 0
    max_blocks: Number = 0
    idle: Annotated[float, msgspec.Meta(ge=0)] = 0.0

    def options(self) -> dict[str, Any]:
        """Return what the engine's own process is told."""
        return {name: getattr(self, name) for name in self.kind.allowed()}

    @property
    def kind(self) -> EngineKind:
        """What is known of its engine."""
        return kind_of(self.engine)

    @property
    def own_address(self) -> str:
        """By which workers elsewhere reach this machine; empty: that is to be found out."""
        return "" if self.kind.has_address else self.address


class StartOrder(msgspec.Struct, frozen=True):
    """What a start of an endpoint is to run. ``chosen``: the settings that were given at this start; ``join``,
    ``replace``: see `frames.HolderHello`."""

    name: str
    settings: EndpointSettings
    chosen: list[str] = []
    join: bool = False
    replace: bool = False


def load(path: Path) -> EndpointSettings:
    """Return the configuration; the default one where there is no file. Raises InvalidRequest that names what is
    wrong."""
    try:
        found = read_toml(path, EndpointSettings, _check_names) or EndpointSettings()
        check(found, f"the configuration {path} is wrong: ")
    except InvalidRequest as error:
        raise InvalidRequest(f"{error}. Mend it, or remove it and give the options anew") from None
    return found


def check(settings: EndpointSettings, where: str = "") -> None:
    """Raise InvalidRequest, which begins with ``where``, for what would be found out late, or by somebody who does
    not know where it comes from."""
    file, colon, function = settings.engine.rpartition(":")
    if settings.engine not in KINDS and not (colon and function.isidentifier() and file.endswith(".py")):
        raise InvalidRequest(
            f"{where}there is no engine {settings.engine!r}; there are: {', '.join(KINDS)}, and FILE.py:FUNCTION"
        )
    if settings.walltime and not _WALLTIME.fullmatch(settings.walltime):
        raise InvalidRequest(f"{where}walltime {settings.walltime}: HH:MM:SS is needed")
    for name in settings.variables:
        if not name or "=" in name or "\0" in name + settings.variables[name]:
            raise InvalidRequest(f"{where}{name!r} is no variable of an environment: NAME=VALUE is needed")


def save(path: Path, settings: EndpointSettings) -> None:
    """Write the configuration, whole or not at all."""
    temporary = path.with_suffix(".part")
    temporary.write_text(text_of(settings), encoding="utf-8")
    temporary.replace(path)


def text_of(settings: EndpointSettings) -> str:
    """Return the configuration as TOML, without what is as by default.

    >>> print(text_of(EndpointSettings(workers=4, variables={"A": "b"})), end="")
    engine = "process"
    workers = 4
    <BLANKLINE>
    [variables]
    A = "b"
    """
    default = EndpointSettings()
    values: dict[str, Any] = {
        name: getattr(settings, name)
        for name in EndpointSettings.__struct_fields__
        if name == "engine" or getattr(settings, name) != getattr(default, name)
    }
    tables = {name: value for name, value in values.items() if isinstance(value, dict)}
    lines = [f"{name} = {_value(value)}" for name, value in values.items() if name not in tables]
    for name, table in tables.items():
        lines += ["", f"[{name}]", *(f"{_key(key)} = {_value(value)}" for key, value in table.items())]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    """Return a value in TOML, whose strings and lists are those of JSON."""
    return json.dumps(value, ensure_ascii=False)


def _key(key: str) -> str:
    return key if key.replace("_", "").replace("-", "").isalnum() and key.isascii() else json.dumps(key)


def _check_names(document: dict[str, Any], path: Path) -> None:
    known = EndpointSettings.__struct_fields__
    for name in document:
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            meant = f" (did you mean {close[0]}?)" if close else ""
            raise InvalidRequest(f"{path}: {name} means nothing{meant}; known are {', '.join(known)}")
