"""Recipes: what can be asked for, and when two are the same."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute_executor.endpoint.environments import recipes
from compute_executor.endpoint.environments.recipes import Image, ImageDocument, Recipe, RecipeDocument
from compute_executor.errors import InvalidRequest


def recipe(**fields: Any) -> Recipe:
    return recipes.recipe(RecipeDocument(**fields))


@given(st.permutations(["numpy==1.26.0", "six", "attrs>=20"]), st.text(max_size=5))
def test_order_and_name_are_not_content(packages: list[str], name: str) -> None:
    assert recipes.digest(recipe(pip=packages, name=name)) == recipes.digest(
        recipe(pip=["six", "attrs>=20", "numpy==1.26.0"])
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"pip": ["six==1.16.0"]},
        {"python_version": "3.77"},
        {"conda": ["six"]},
        {"payload_url": "http://a/b.zip"},
    ],
)
def test_everything_else_is(changed: dict[str, Any]) -> None:
    assert recipes.digest(recipe(**changed)) != recipes.digest(recipe())


def test_apt_makes_it_an_image() -> None:
    assert recipe().kind == "venv"
    assert recipe(apt=["git"]).kind == "podman"
    assert recipe(apt=["git"], container_type="Docker").kind == "docker"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"container_type": "zip"}, "venv, podman, docker"),
        ({"container_type": "venv", "apt": ["git"]}, "apt packages cannot be installed"),
        ({"container_type": "podman", "conda": ["six"]}, "conda packages are not installed"),
        ({"python_version": "3.9"}, r"3\.10 or newer"),
        ({"python_version": "3.12; rm"}, "python_version is such as"),
        ({"python_version": "2.7"}, "python_version is such as"),
        ({"pip": ["--index-url=http://evil"]}, "pip lists packages"),
        ({"pip": ["six\nattrs"]}, "pip lists packages"),
        ({"pip": [" "]}, "pip lists packages"),
        ({"pip": ["x" * 2000]}, "pip lists packages"),
        ({"pip": ["six"] * 2000}, "2000 packages, the limit is 1000"),
        ({"apt": ["git; rm -rf /"]}, "no name of an apt package"),
        ({"payload_url": "file:///etc/passwd"}, "http or https"),
        ({"payload_url": "http://a/b c"}, "http or https"),
    ],
)
def test_what_cannot_be_built_is_said(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        recipe(**fields)


def test_an_image_is_a_kind_and_a_location() -> None:
    image = recipes.image(ImageDocument("docker.io/library/python:3.12 ", "Docker"))
    assert image == Image("docker", "docker.io/library/python:3.12")
    assert recipes.described(image) == {"location": "docker.io/library/python:3.12", "type": "docker"}


@pytest.mark.parametrize(
    ("location", "kind"), [("x", "zip"), ("", "docker"), ("--privileged", "docker"), ("a\nb", "podman")]
)
def test_what_is_no_image_is_said(location: str, kind: str) -> None:
    with pytest.raises(InvalidRequest):
        recipes.image(ImageDocument(location, kind))


def test_a_source_survives_being_stored() -> None:
    for source in (recipe(pip=["six"], python_version="3.12.1"), Image("podman", "x")):
        assert recipes.decode(recipes.encode(source)) == source
