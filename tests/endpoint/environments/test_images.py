"""Images: what they are made of, and finding those that exist."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from compute_executor.endpoint.environments import images, recipes
from compute_executor.endpoint.environments.commands import BuildLog
from compute_executor.endpoint.environments.environment import Environment
from compute_executor.endpoint.environments.recipes import Image, Recipe, RecipeDocument
from compute_executor.errors import InvalidRequest, PoolBroken
from tests.endpoint.programs import Programs, programs

__all__ = ["programs"]


def recipe(**fields: Any) -> Recipe:
    return recipes.recipe(RecipeDocument(container_type="podman", python_version="3.12", **fields))


def test_the_file_that_makes_one() -> None:
    text = images.containerfile(
        recipe(apt=["git", "curl"], pip=["six>=1; python_version > '3'"], payload_url="http://a/b.zip")
    )
    assert text.splitlines() == [
        "FROM docker.io/library/python:3.12-slim",
        'RUN ["apt-get", "update"]',
        'RUN ["apt-get", "install", "--yes", "--no-install-recommends", "curl", "git"]',
        'RUN ["python3", "-m", "pip", "install", "--no-input", "--disable-pip-version-check", '
        "\"six>=1; python_version > '3'\"]",
        "COPY payload /compute-executor-payload",
    ]


def test_its_base_may_come_from_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(images.BASE, "registry.site/python:{version}")
    assert images.containerfile(recipe()) == "FROM registry.site/python:3.12\n"
    own = images.tag(recipe())
    monkeypatch.delenv(images.BASE)
    assert images.tag(recipe()) != own


def test_it_is_built_once(programs: Programs, tmp_path: Path) -> None:
    podman = programs.add_runtime()
    name = images.tag(recipe(pip=["six"]))
    for attempt in ("one", "two"):
        folder = tmp_path / attempt
        folder.mkdir()
        found = asyncio.run(images.build(recipe(pip=["six"]), folder, BuildLog(tmp_path / "log")))
        assert found == Environment("python3", "3.12", name, str(podman))
    assert sum(call.startswith(f"podman build --tag={name} ") for call in programs.calls()) == 1
    assert "FROM docker.io/library/python:3.12-slim" in (tmp_path / "log").read_text()


def test_a_payload_that_does_not_exist(programs: Programs, tmp_path: Path) -> None:
    programs.add_runtime()
    with pytest.raises(PoolBroken, match="cannot be unpacked"):
        asyncio.run(
            images.build(
                recipe(payload_url="http://127.0.0.1:9/no.zip"), tmp_path, BuildLog(tmp_path / "log")
            )
        )


def existing(kind: str, location: str, folder: Path) -> Environment:
    return asyncio.run(images.existing(Image(kind, location), folder, BuildLog(folder / "log")))


def test_one_that_is_here_is_not_fetched(programs: Programs, tmp_path: Path) -> None:
    podman = programs.add_runtime()
    assert existing("docker", "here", tmp_path) == Environment("python3", "", "here", str(podman))
    assert not any(call.startswith("podman pull") for call in programs.calls())


def test_one_that_is_nowhere(programs: Programs, tmp_path: Path) -> None:
    programs.add_runtime()
    with pytest.raises(PoolBroken, match=r"(?s)podman ended with 125.*no such image: elsewhere"):
        existing("podman", "elsewhere", tmp_path)


def test_one_of_a_kind_that_cannot_be_run(programs: Programs, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="cannot run apptainer images"):
        existing("apptainer", "a.sif", tmp_path)


def test_one_of_apptainer_is_asked_for_its_python(programs: Programs, tmp_path: Path) -> None:
    apptainer = programs.add("apptainer", '#!/bin/sh\n[ "$2" != bad.sif ]\n')
    assert existing("singularity", "a.sif", tmp_path) == Environment("python3", "", "a.sif", str(apptainer))
    with pytest.raises(PoolBroken, match="apptainer ended with 1"):
        existing("singularity", "bad.sif", tmp_path)
