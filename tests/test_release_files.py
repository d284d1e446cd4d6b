"""The files that a release carries agree with the package."""

from __future__ import annotations

from pathlib import Path

import pytest

from compute_executor import __version__

ROOT = Path(__file__).parent.parent


def test_the_citation_is_of_this_version() -> None:
    yaml = pytest.importorskip("yaml")
    found = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (found["version"], found["license"], found["title"]) == (
        __version__,
        "Apache-2.0",
        "compute_executor",
    )
    assert found["authors"]
