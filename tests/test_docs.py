"""The documentation holds: its links lead somewhere, its programs run."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import compute_executor
from compute_executor.cli import commands
from compute_executor.cli.manual import help_texts
from compute_executor.service.limits import ServiceLimits

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\]\(([^)\s#]+)[^)]*\)")
FILE = re.compile(r"`([\w/]+\.(?:py|sql|toml))`")
PROGRAM = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def programs() -> list[object]:
    return [
        pytest.param(text, id=f"{page.name}-{place}")
        for page in PAGES
        for place, text in enumerate(PROGRAM.findall(page.read_text(encoding="utf-8")), 1)
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page: Path) -> None:
    links = [link for link in LINK.findall(page.read_text(encoding="utf-8")) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", ["docs/architecture.md", "CONTRIBUTING.md"])
def test_files_that_a_page_names_are_there(page: str) -> None:
    rooms = [ROOT, ROOT / "compute_executor", ROOT / "compute_executor" / "service"]
    named = FILE.findall((ROOT / page).read_text(encoding="utf-8"))
    assert len(named) > 5
    assert [name for name in named if not any((room / name).exists() for room in rooms)] == []


@pytest.mark.slow
@pytest.mark.parametrize("program", programs())
def test_programs_run(program: str, tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(program, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_readmes_verbs_are_the_makefiles() -> None:
    verbs = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    told = {
        verb
        for page in ("README.md", "CONTRIBUTING.md")
        for verb in re.findall(
            r"(?:`|\$ )(?:PYTHON=\S+ )?make ([a-z]+)", (ROOT / page).read_text(encoding="utf-8")
        )
    }
    assert {"sweep", "test"} <= told <= verbs


def test_the_site_takes_nothing_from_the_network_to_search() -> None:
    named = re.findall(r"polyfills: \[(.*)\]", (ROOT / ".mkdocs.yml").read_text(encoding="utf-8"))
    assert [(ROOT / "docs" / name).exists() for name in named] == [True]


def test_every_public_name_has_its_place_in_the_reference() -> None:
    pages = "\n".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs" / "reference").glob("*.md"))
    named = {name.rpartition(".")[2] for name in re.findall(r"^::: ([\w.]+)$", pages, re.MULTILINE)}
    assert (
        sorted({*compute_executor.__all__, *compute_executor.testing.__all__} - named - {"__version__"}) == []
    )


def test_every_command_is_told_of_in_a_page() -> None:
    """Besides the list in the reference, which is made from the commands themselves."""
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    words = [path.removeprefix("compute-executor ") for path, _ in help_texts(commands, "compute-executor")][
        1:
    ]
    assert len(words) > 40
    assert [one for one in words if not re.search(rf"(?:compute-executor |`|\n){one}\b", text)] == []


@pytest.mark.slow
def test_the_notebook_runs(tmp_path: Path) -> None:
    notebook = json.loads((ROOT / "docs" / "examples" / "first-notebook.ipynb").read_text(encoding="utf-8"))
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    script = tmp_path / "notebook.py"
    script.write_text(
        "\n\n".join(cells) + "\nassert type(failed.exception()) is TypeError\n", encoding="utf-8"
    )
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_docstrings_are_made_markdown() -> None:
    pytest.importorskip("griffe")
    from integration.docstrings import markdown

    assert markdown("See :meth:`f`.\n\n>>> 1 + 1\n2\n\nThat is all.") == (
        "See `f`.\n\n```pycon\n>>> 1 + 1\n2\n```\n\nThat is all."
    )


def test_every_environment_variable_has_its_row() -> None:
    text = (ROOT / "docs" / "reference" / "environment-variables.md").read_text(encoding="utf-8")
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "compute_executor").rglob("*.py"))
    named = set(re.findall(r"\b(?:COMPUTE_EXECUTOR|GLOBUS)_[A-Z_]*[A-Z]\b", code))
    assert sorted(name for name in named if f"`{name}`" not in text) == []


def test_every_limit_has_its_row() -> None:
    text = (ROOT / "docs" / "reference" / "limits.md").read_text(encoding="utf-8")
    assert [name for name in ServiceLimits._fields if f"\n| `{name}` |" not in text] == []


def test_every_page_has_its_place_in_the_site() -> None:
    plan = (ROOT / ".mkdocs.yml").read_text(encoding="utf-8")
    pages = [str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")]
    assert [page for page in pages if not page.startswith("examples/") and f": {page}\n" not in plan] == []
