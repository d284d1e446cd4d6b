"""Images: built from a recipe by podman or docker, or there already, or fetched from where they are."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path

from compute_executor.endpoint.environments import commands, fetch, runtimes
from compute_executor.endpoint.environments.commands import BuildLog
from compute_executor.endpoint.environments.environment import Environment
from compute_executor.endpoint.environments.recipes import Image, Recipe

BASE = "COMPUTE_EXECUTOR_BASE_IMAGE"
"""Environment variable: the image that others are built on, where it is not the usual one."""
USUAL_BASE = "docker.io/library/python:{version}-slim"

PAYLOAD = "/compute-executor-payload"
PYTHON = "python3"


def containerfile(recipe: Recipe) -> str:
    """Return how the image of a recipe is made. Packages are passed as words, not through a shell."""
    lines = [f"FROM {os.environ.get(BASE, USUAL_BASE).format(version=recipe.python_version)}"]
    if recipe.apt:
        lines.append('RUN ["apt-get", "update"]')
        lines.append(_run("apt-get", "install", "--yes", "--no-install-recommends", *recipe.apt))
    if recipe.pip:
        lines.append(
            _run(PYTHON, "-m", "pip", "install", "--no-input", "--disable-pip-version-check", *recipe.pip)
        )
    if recipe.payload_url:
        lines.append(f"COPY payload {PAYLOAD}")
    return "\n".join(lines) + "\n"


def tag(recipe: Recipe) -> str:
    """Return the name of the image of a recipe: by its content, to which the base belongs."""
    content = containerfile(recipe) + recipe.payload_url
    return f"localhost/compute-executor:{hashlib.sha256(content.encode()).hexdigest()[:32]}"


def _run(*words: str) -> str:
    return f"RUN {json.dumps(words)}"


async def build(recipe: Recipe, folder: Path, log: BuildLog) -> Environment:
    """Return the image of a recipe, in the runtime's own store; one of the same content is there already the second
    time. Raises PoolBroken, InvalidRequest."""
    runtime = await runtimes.find(recipe.kind)
    name = tag(recipe)
    code, _ = await commands.output(runtime, "image", "inspect", name)
    if code != 0:
        await _build(recipe, folder, log, [runtime, "build", f"--tag={name}"])
    path = (PAYLOAD,) if recipe.payload_url else ()
    return Environment(PYTHON, recipe.python_version, name, runtime, path)


async def _build(recipe: Recipe, folder: Path, log: BuildLog, command: list[str]) -> None:
    context = folder / "context"
    context.mkdir()
    (context / "Containerfile").write_text(containerfile(recipe), encoding="utf-8")
    if recipe.payload_url:
        await unpack(recipe.payload_url, context / "payload", log)
    await commands.run([*command, f"--file={context / 'Containerfile'}", str(context)], log, folder)


async def unpack(url: str, target: Path, log: BuildLog) -> None:
    """Unpack the payload of a recipe into a new folder. Raises PoolBroken."""
    await commands.run([sys.executable, "-I", fetch.__file__, url, str(target)], log, target.parent)


async def existing(image: Image, folder: Path, log: BuildLog) -> Environment:
    """Return an image that is here, or is fetched now. Raises PoolBroken, InvalidRequest."""
    runtime = await runtimes.find(image.kind)
    if not runtimes.is_oci(runtime):
        await commands.run([runtime, "exec", image.location, PYTHON, "--version"], log, folder)
        return Environment(PYTHON, "", image.location, runtime)
    code, _ = await commands.output(runtime, "image", "inspect", image.location)
    if code != 0:
        log.say(f"{image.location} is not among the images here")
        await commands.run([runtime, "pull", image.location], log, folder)
    return Environment(PYTHON, "", image.location, runtime)
