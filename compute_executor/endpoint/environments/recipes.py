"""What an environment is made of: a recipe to build one, or an image that exists. Checked, and named by content.

Two recipes of the same content are one environment, whoever asks and however they call it: name and description
are not part of it, nor is the order of the packages. No I/O.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Callable
from typing import Any

import msgspec

from compute_executor.errors import InvalidRequest

VENV = "venv"
IMAGE_KINDS = ("docker", "podman", "singularity", "apptainer")
BUILT_KINDS = (VENV, "podman", "docker")

OLDEST_PYTHON = (3, 10)
"""The oldest that our worker runs on."""
OWN_PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"

MOST_PACKAGES, MOST_CHARACTERS = 1000, 1000
_VERSION = re.compile(r"3\.(\d{1,2})(\.\d{1,2})?")
_APT = re.compile(r"[a-z0-9][a-z0-9.+:=~-]*")


class Recipe(msgspec.Struct, frozen=True, tag="recipe"):
    """How an environment is built. ``kind``: ``venv``, or the runtime for which an image is made."""

    kind: str
    python_version: str
    apt: tuple[str, ...] = ()
    pip: tuple[str, ...] = ()
    conda: tuple[str, ...] = ()
    payload_url: str = ""


class Image(msgspec.Struct, frozen=True, tag="image"):
    """An image that exists: where, and for which kind of runtime."""

    kind: str
    location: str


Source = Recipe | Image
"""What workers can be started in, as described."""

encode: Callable[[Any], bytes] = msgspec.json.Encoder(order="deterministic").encode
decode: Callable[[bytes | memoryview], Source] = msgspec.json.Decoder(Source).decode


class RecipeDocument(msgspec.Struct):
    """What a client asks for: `sdk.containers.ContainerSpec` as JSON, and the kind."""

    name: str | None = None
    description: str | None = None
    apt: list[str] = []
    pip: list[str] = []
    conda: list[str] = []
    python_version: str | None = None
    payload_url: str | None = None
    container_type: str | None = None


class ImageDocument(msgspec.Struct):
    """What a client says of an image that exists."""

    location: str
    type: str
    name: str = ""
    description: str = ""


def digest(source: Source) -> str:
    """Return the name of the content.

    >>> one = recipe(RecipeDocument(pip=["b", "a"], name="x", python_version="3.12"))
    >>> digest(one) == digest(recipe(RecipeDocument(pip=["a", "b"], python_version="3.12")))
    True
    """
    return hashlib.sha256(encode(source)).hexdigest()[:32]


def recipe(document: RecipeDocument) -> Recipe:
    """Return the recipe of a document. Raises InvalidRequest saying what cannot be."""
    kind = (document.container_type or (VENV if not document.apt else "podman")).lower()
    if kind not in BUILT_KINDS:
        raise InvalidRequest(f"an environment is built as {', '.join(BUILT_KINDS)}, not as {kind[:100]!r}")
    if kind == VENV and document.apt:
        raise InvalidRequest(
            "apt packages cannot be installed into a virtual environment: leave container_type out, or say podman "
            "or docker, for an image"
        )
    if kind != VENV and document.conda:
        raise InvalidRequest(
            "conda packages are not installed into images here: leave apt and container_type out, for an "
            "environment made by micromamba or conda on the endpoint"
        )
    return Recipe(
        kind,
        _version(document.python_version),
        _packages("apt", document.apt),
        _packages("pip", document.pip),
        _packages("conda", document.conda),
        _payload(document.payload_url),
    )


def image(document: ImageDocument) -> Image:
    """Return the image of a document. Raises InvalidRequest saying what cannot be."""
    kind = document.type.lower()
    if kind not in IMAGE_KINDS:
        raise InvalidRequest(f"a container's type is one of {', '.join(IMAGE_KINDS)}, not {kind[:100]!r}")
    location = document.location.strip()
    if not location or location.startswith("-") or not location.isprintable() or len(location) > 4096:
        raise InvalidRequest(f"{location[:100]!r} is no location of an image")
    return Image(kind, location)


def _version(text: str | None) -> str:
    if text is None:
        return OWN_PYTHON
    found = _VERSION.fullmatch(text)
    if found is None:
        raise InvalidRequest(f"python_version is such as '3.12' or '3.12.4', not {text[:100]!r}")
    if (3, int(found.group(1))) < OLDEST_PYTHON:
        oldest = ".".join(map(str, OLDEST_PYTHON))
        raise InvalidRequest(f"workers need Python {oldest} or newer, python_version is {text}")
    return text


def _packages(manager: str, names: list[str]) -> tuple[str, ...]:
    if len(names) > MOST_PACKAGES:
        raise InvalidRequest(f"{manager} lists {len(names)} packages, the limit is {MOST_PACKAGES}")
    return tuple(sorted({_package(manager, name.strip()) for name in names}))


def _package(manager: str, name: str) -> str:
    """Return one package. What begins with a hyphen would be an option of the installer."""
    if not name or name.startswith("-") or not name.isprintable() or len(name) > MOST_CHARACTERS:
        raise InvalidRequest(f"{manager} lists packages, {name[:100]!r} is none")
    if manager == "apt" and not _APT.fullmatch(name):
        raise InvalidRequest(f"{name[:100]!r} is no name of an apt package")
    return name


def _payload(url: str | None) -> str:
    if not url:
        return ""
    if not url.startswith(("http://", "https://")) or not url.isprintable() or " " in url:
        raise InvalidRequest(
            f"payload_url is the http or https address of a zip or tar archive, not {url[:100]!r}"
        )
    return url


def described(source: Source) -> dict[str, Any]:
    """Return the source as a document for people and clients."""
    document: dict[str, Any] = msgspec.to_builtins(source)
    return {key: value for key, value in document.items() if value and key not in ("type", "kind")} | {
        "type": source.kind
    }
