"""The configuration file of this user: profiles of services, defaults of Executors, limits of the local service.

    profile = "lab"                      # the profile that is used where none is named

    [profiles.lab]
    url = "https://lab.example.org:8443"
    token_file = "~/.config/lab.token"   # or token_command = ["pass", "show", "lab"]
    certificate = "~/lab.pem"            # of a certificate authority of one's own

    [defaults]                           # of Executor()
    max_workers = 4
    output = "log"

    [limits]                             # of services that this user starts: see `service.limits`
    keep = "14d"

It is `config.toml` in the platform's folder for configuration, or the file that ``COMPUTE_EXECUTOR_CONFIG`` names.
``COMPUTE_EXECUTOR_PROFILE`` chooses a profile for one program. An unknown key is an error, so that a misspelt one is
not silently without effect.
"""

from __future__ import annotations

import difflib
import os
import shlex
import stat
import subprocess
import sys
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from compute_executor.errors import InvalidRequest, NotAuthorized
from compute_executor.local.toml_file import read_toml

CONFIG = "COMPUTE_EXECUTOR_CONFIG"
PROFILE = "COMPUTE_EXECUTOR_PROFILE"
TOKEN = "COMPUTE_EXECUTOR_TOKEN"
_COMMAND_PATIENCE = 60.0
"""Seconds that a token command may take: it may ask a person for a password."""


@dataclass(frozen=True)
class Profile:
    """A service: its address, where its token comes from (a file, or what a command prints), and the file of the
    certificate authority that its certificate is from, if that is none of the system's."""

    url: str
    token_file: str | None = None
    token_command: list[str] | str | None = None
    certificate: str | None = None

    @property
    def certificate_path(self) -> str | None:
        """``certificate``, with the home folder in place of ``~``."""
        return self.certificate and os.path.expanduser(self.certificate)

    def token(self) -> str:
        """Return the token, read anew. Raises NotAuthorized."""
        if self.token_file is not None:
            return _from_file(Path(self.token_file).expanduser())
        if self.token_command is not None:
            return _from_command(self.token_command)
        found = os.environ.get(TOKEN, "").strip()
        if not found:
            raise NotAuthorized(f"no token for {self.url}: set {TOKEN}, or token_file in {config_file()}")
        return found


@dataclass(frozen=True)
class Defaults:
    """What `Executor()` takes where its call does not say it."""

    max_workers: int | None = None
    output: Literal["program", "log"] | None = None


@dataclass(frozen=True)
class Configuration:
    """The whole file."""

    profile: str | None = None
    profiles: dict[str, Profile] = field(default_factory=dict)
    defaults: Defaults = Defaults()
    limits: dict[str, int | float | str] = field(default_factory=dict)


def config_file() -> Path:
    """Return where the file is, or would be."""
    chosen = os.environ.get(CONFIG)
    if chosen:
        return Path(chosen).expanduser()
    if sys.platform == "linux":  # as platformdirs says, which takes 20 ms: an Executor asks for it
        folder = Path(os.environ.get("XDG_CONFIG_HOME", "").strip() or os.path.expanduser("~/.config"))
        return folder / "compute-executor" / "config.toml"
    import platformdirs

    return Path(platformdirs.user_config_dir("compute-executor", appauthor=False)) / "config.toml"


def load(path: Path | None = None) -> Configuration:
    """Return the configuration; an empty one where there is no file. Raises InvalidRequest that names what is
    wrong."""
    return read_toml(path or config_file(), Configuration, _check_keys) or Configuration()


def find_profile(name: str | None = None) -> Profile | None:
    """Return the profile of this name; without one, that of the environment or the file's own choice, None if there
    is none. Raises InvalidRequest."""
    configuration = load()
    chosen = name or os.environ.get(PROFILE) or configuration.profile
    if not chosen:
        return None
    found = configuration.profiles.get(chosen)
    if found is None:
        known = ", ".join(sorted(configuration.profiles)) or "none"
        raise InvalidRequest(
            f"there is no profile {chosen!r} in {config_file()}{_near(chosen, configuration.profiles)}; "
            f"profiles: {known}"
        )
    return found


def troubles(configuration: Configuration) -> dict[str, str]:
    """Return what is wrong with the files that profiles name, by profile. No token command is run."""
    found = {}
    for name, profile in configuration.profiles.items():
        if wrong := _file_troubles(profile):
            found[name] = wrong
    return found


def _file_troubles(profile: Profile) -> str:
    for place in filter(None, (profile.token_file, profile.certificate)):
        if not Path(place).expanduser().is_file():
            return f"{place} is not there"
    if profile.token_file is None:
        return ""
    mode = stat.S_IMODE(Path(profile.token_file).expanduser().stat().st_mode)
    return f"{profile.token_file} can be read by others (chmod 600)" if mode & 0o077 else ""


def _check_keys(document: dict[str, Any], path: Path) -> None:
    _check_names(document, Configuration, "", path)
    defaults, profiles = document.get("defaults"), document.get("profiles")
    if isinstance(defaults, dict):
        _check_names(defaults, Defaults, "defaults.", path)
    for name, profile in profiles.items() if isinstance(profiles, dict) else ():
        if isinstance(profile, dict):
            _check_names(profile, Profile, f"profiles.{name}.", path)


def _check_names(table: dict[str, Any], kind: type[Any], where: str, path: Path) -> None:
    known = [one.name for one in fields(kind)]
    for name in table:
        if name not in known:
            raise InvalidRequest(
                f"{path}: {where}{name} means nothing{_near(name, known)}; known are {', '.join(known)}"
            )


def _near(name: str, known: Any) -> str:
    close = difflib.get_close_matches(name, list(known), 1)
    return f" (did you mean {close[0]}?)" if close else ""


def _from_file(path: Path) -> str:
    try:
        found = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise NotAuthorized(f"the token file {path} cannot be read: {error}") from error
    if not found:
        raise NotAuthorized(f"the token file {path} is empty")
    return found


def _from_command(command: list[str] | str) -> str:
    """Return what a command prints. Its output is shown to nobody."""
    words = shlex.split(command) if isinstance(command, str) else command
    try:
        done = subprocess.run(words, stdout=subprocess.PIPE, timeout=_COMMAND_PATIENCE, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise NotAuthorized(f"the token command {words[:1]} failed: {type(error).__name__}") from None
    found = done.stdout.decode("utf-8", "replace").strip()
    if not found:
        raise NotAuthorized(f"the token command {words[:1]} printed nothing")
    return found
