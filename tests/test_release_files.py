"""The files that a release carries agree with the package."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest

from compute_executor import __version__

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
REQUIREMENT = re.compile(r"([\w-]+)(?:\[[^]]*\])?([^;]*)(?:;.*)?")
CONDA_NAMES = {"msgspec": "msgspec-python"}


def requirements(*extras: str) -> dict[str, str]:
    """The bounds of what is named, by name."""
    named = [
        *PROJECT["dependencies"],
        *(one for extra in extras for one in PROJECT["optional-dependencies"][extra]),
    ]
    matches = [REQUIREMENT.fullmatch(one) for one in named]
    return {match[1]: match[2].strip() for match in matches if match}


def test_the_citation_is_of_this_version() -> None:
    yaml = pytest.importorskip("yaml")
    found = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (found["version"], found["license"], found["title"]) == (
        __version__,
        "Apache-2.0",
        "compute_executor",
    )
    assert found["authors"] == PROJECT["authors"]


def test_every_dependency_has_a_lower_and_an_upper_bound() -> None:
    bounds = requirements()
    assert len(bounds) == len(PROJECT["dependencies"])
    assert {name: found for name, found in bounds.items() if ">=" not in found or "<" not in found} == {}


def test_the_lock_has_every_package_for_development_within_its_bounds() -> None:
    requirement = pytest.importorskip("packaging.requirements")
    text = (ROOT / "requirements-dev.lock").read_text()
    locked = re.findall(r"^([\w.-]+)==([^\s;]+)(?: ; .*)? \\\n    --hash=sha256:\w{64}", text, re.MULTILINE)
    named = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]]
    for one in map(requirement.Requirement, named):
        if one.name != PROJECT["name"]:
            versions = [version for name, version in locked if name == one.name.lower()]
            assert versions, one.name
            assert [version for version in versions if version not in one.specifier] == [], one.name


def test_the_conda_recipe_has_the_same_version_and_bounds() -> None:
    yaml = pytest.importorskip("yaml")
    recipe = yaml.safe_load((ROOT / "recipe" / "recipe.yaml").read_text())
    told = dict(line.split(" ", 1) for line in recipe["requirements"]["run"])
    assert recipe["context"]["version"] == __version__
    assert told.pop("python") == PROJECT["requires-python"]
    assert told == {CONDA_NAMES.get(name, name): bounds for name, bounds in requirements().items()}
    assert recipe["about"]["summary"] == PROJECT["description"]


def test_whom_to_tell_of_a_hole_is_in_the_metadata_or_said_to_be_nowhere() -> None:
    address = PROJECT.get("urls", {}).get("Security", "no public address of its own")
    assert address in (ROOT / "SECURITY.md").read_text()
