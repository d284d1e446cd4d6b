"""What another copy of a program has registered is read as if this one had sent it."""

from __future__ import annotations

import linecache
import os
from pathlib import Path

import pytest

from compute_executor.serialization.namespaces import Origin, Sources
from compute_executor.serialization.other_copy import Copy

TEXT = "def f():\n    pass\n"


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """The script here. Beside it is one module."""
    for name in ("script.py", "near.py"):
        (tmp_path / name).write_text(TEXT)
    linecache.checkcache()
    return tmp_path / "script.py"


def origin(file: Path) -> Origin:
    return Origin(str(file), file.stat().st_mtime_ns)


def of(script: str | None, **modules: str) -> dict[str, dict[str, str]]:
    """What a stream says of the namespaces of a program with this script."""
    main = {"__name__": "__main__"} | ({} if script is None else {"__file__": script})
    return {"__main__": main} | {
        key: {"__name__": key.strip("<>"), "__file__": file, "__package__": ""}
        for key, file in modules.items()
    }


def test_the_script_and_what_is_beside_it_are_those_here(mine: Path) -> None:
    copy = Copy(of("/far/script.py"), [], origin(mine))
    assert copy.file("/far/script.py") == str(mine)
    assert copy.file("/far/near.py") == str(mine.with_name("near.py"))
    assert copy.file("/far/absent.py") == "/far/absent.py"
    assert copy.file("/farther/near.py") == "/farther/near.py"
    assert copy.bases(of("/far/script.py", near="/far/near.py")) == {
        "near": {"__name__": "near", "__file__": str(mine.with_name("near.py")), "__package__": ""}
    }


def test_a_script_that_is_not_here_has_its_name_all_the_same() -> None:
    assert Copy(of("/far/script.py"), [], Origin("/in/no/container/script.py", 1)).file("/far/script.py") == (
        "/in/no/container/script.py"
    )


@pytest.mark.parametrize("script", [None, "<stdin>", "script.py"])
def test_a_program_without_a_folder_leaves_names_as_they_are(script: str | None, mine: Path) -> None:
    for copy in (Copy(of(script), [], origin(mine)), Copy(of("/far/script.py"), [], Origin(script))):
        assert copy.file("/far/near.py") == "/far/near.py"
        assert copy.file("near.py") == "near.py"


def test_modules_are_where_the_search_path_has_them(
    mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "lib" / "other_copy_package"
    package.mkdir(parents=True)
    for name in ("__init__.py", "part.py"):
        (package / name).write_text(TEXT)
    monkeypatch.syspath_prepend(tmp_path / "lib")
    for key, file in (
        ("other_copy_package", "/old/other_copy_package/__init__.py"),
        ("other_copy_package.part", "/old/other_copy_package/part.py"),
    ):
        copy = Copy(of(str(mine), **{f"<{key}>": file}), [], origin(mine))
        assert copy.file(file) == str(package / os.path.basename(file))
    copy = Copy(of(str(mine), other_copy_absent="/old/other_copy_absent.py"), [], origin(mine))
    assert copy.file("/old/other_copy_absent.py") == "/old/other_copy_absent.py"


def test_another_program_keeps_its_names_in_this_one(mine: Path) -> None:
    """A function that is called by its id may be of any program."""
    other = Sources((("/far/script.py", {1: "def g():\n"}),))
    copy = Copy(of("/far/script.py"), [other], origin(mine))
    assert copy.sources(other) == other
    assert copy.file("/far/near.py") == "/far/near.py"
    assert Copy(of("/far/other.py"), [], origin(mine)).file("/far/other.py") == "/far/other.py"
    renamed = Sources((("/far/other.py", {1: "def f():  # what else\n"}),))
    assert Copy(of("/far/other.py"), [renamed], origin(mine)).file("/far/other.py") == str(mine)


def test_the_text_is_that_of_the_program_that_runs(mine: Path) -> None:
    sources = Sources((("/far/script.py", {1: "def f():  # far\n"}), ("<cell>", {1: TEXT})))
    own, cell = Copy(of("/far/script.py"), [sources], origin(mine)).sources(sources).files
    assert own == (str(mine), {})
    assert cell == ("<cell>", {1: TEXT})


def test_a_script_that_was_changed_since_has_the_text_that_was_sent(mine: Path) -> None:
    changed = Origin(str(mine), 1)
    sent = {1: TEXT, 2: "    another line\n"}
    assert Copy(of(str(mine)), [], changed).sources(Sources(((str(mine), sent),))).files == (
        (str(mine), sent),
    )
    far = Sources((("/far/script.py", sent),))
    assert Copy(of("/far/script.py"), [far], changed).sources(far).files == (
        (str(mine), {2: "    another line\n"}),
    )


def test_an_earlier_version_of_the_script_keeps_its_text(mine: Path) -> None:
    earlier = Sources(((str(mine), {1: "def g():\n"}),))
    assert Copy(of(str(mine)), [earlier], origin(mine)).sources(earlier) == earlier
