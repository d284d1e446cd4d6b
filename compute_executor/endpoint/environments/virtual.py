"""Virtual environments, by venv and pip, or by micromamba or conda where conda packages are asked for."""

from __future__ import annotations

import shutil
from pathlib import Path

from compute_executor.endpoint.environments import commands, images, interpreters
from compute_executor.endpoint.environments.commands import BuildLog
from compute_executor.endpoint.environments.environment import Environment
from compute_executor.endpoint.environments.recipes import Recipe
from compute_executor.errors import PoolBroken

CONDA = ("micromamba", "mamba", "conda")


async def build(recipe: Recipe, folder: Path, log: BuildLog) -> Environment:
    """Make the environment of a recipe in ``folder``, which is new and stays where it is: scripts inside name it.
    Raises PoolBroken with the end of the log."""
    place = folder / "venv"
    if recipe.conda:
        await _conda(recipe, place, log)
    else:
        interpreter = await interpreters.find(recipe.python_version)
        await commands.run([interpreter, "-m", "venv", str(place)], log, folder)
    python = str(place / "bin" / "python")
    if recipe.pip:
        options = ("--no-input", "--disable-pip-version-check")
        await commands.run([python, "-m", "pip", "install", *options, *recipe.pip], log, folder)
    if recipe.payload_url:
        await images.unpack(recipe.payload_url, folder / "payload", log)
    path = (str(folder / "payload"),) if recipe.payload_url else ()
    return Environment(python, recipe.python_version, path=path)


async def _conda(recipe: Recipe, place: Path, log: BuildLog) -> None:
    program = next(filter(None, map(shutil.which, CONDA)), None)
    if program is None:
        raise PoolBroken(
            f"conda packages need one of {', '.join(CONDA)} on the endpoint's PATH, and none is there: install "
            "micromamba, or ask for the packages by pip",
            began=False,
        )
    wanted = [f"python={recipe.python_version}", "pip", *recipe.conda]
    channel = ["--channel", "conda-forge"]
    await commands.run(
        [program, "create", "--yes", "--prefix", str(place), *channel, *wanted], log, place.parent
    )
