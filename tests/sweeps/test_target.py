from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import cloudpickle
import pytest

from compute_executor.errors import InvalidRequest
from compute_executor.sweeps import target


@pytest.fixture(autouse=True)
def own_imports() -> Iterator[None]:
    """Forget what a test imports, and where it looked for it."""
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]
    cloudpickle.cloudpickle._PICKLE_BY_VALUE_MODULES.clear()


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def by_value(function: object) -> bool:
    """Whether it travels without its module being importable."""
    return b"helped" in cloudpickle.dumps(function)


def test_a_file_is_a_module_with_its_siblings_and_without_its_main(tmp_path: Path) -> None:
    write(tmp_path / "sweep_sibling.py", "FACTOR = 3\n")
    file = write(
        tmp_path / "sweep_model.py",
        "import sweep_sibling\ndef f(x):\n    helped = x\n    return helped * sweep_sibling.FACTOR\n"
        "if __name__ == '__main__':\n    raise RuntimeError\n",
    )
    function = target.load(f"{file}:f")
    assert function(2) == 6
    assert function.__module__ == "sweep_model"
    assert str(tmp_path) in sys.path
    assert not by_value(function)


def test_a_file_of_a_package_is_imported_under_its_full_name(tmp_path: Path) -> None:
    write(tmp_path / "sweep_pack" / "__init__.py", "")
    write(tmp_path / "sweep_pack" / "part.py", "FACTOR = 3\n")
    file = write(
        tmp_path / "sweep_pack" / "model.py", "from .part import FACTOR\ndef f(x):\n    return x * FACTOR\n"
    )
    function = target.load(f"{file}:f")
    assert (function(2), function.__module__) == (6, "sweep_pack.model")


@pytest.mark.parametrize("name", ["random.py", "click.py", "model.v2.py", "__main__.py"])
def test_a_file_whose_name_is_taken_travels_by_value(tmp_path: Path, name: str) -> None:
    file = write(tmp_path / name, "def f(x):\n    helped = x\n    return helped\n")
    function = target.load(f"{file}:f")
    assert function(2) == 2
    assert by_value(function)


def test_to_another_machine_the_files_of_the_folder_travel_along(tmp_path: Path) -> None:
    write(tmp_path / "sweep_near.py", "def g(x):\n    helped = x\n    return helped\n")
    file = write(tmp_path / "sweep_far.py", "import sweep_near\ndef f(x):\n    return sweep_near.g(x)\n")
    stream = cloudpickle.dumps(target.load(f"{file}:f", elsewhere=True))
    assert b"helped" in stream


@pytest.mark.parametrize(
    ("suffix", "says"),
    [
        ("", "write FILE.py:FUNCTION"),
        (":", "write FILE.py:FUNCTION"),
        (":simulat", "no function 'simulat'; did you mean simulate"),
        (":zzz", "no function 'zzz'; there is simulate"),
        (":NUMBER", "NUMBER in .* is not callable: it is of type int"),
        (":later", "async or a generator"),
        (":many", "async or a generator"),
    ],
)
def test_a_wrong_function_is_refused_in_one_line(tmp_path: Path, suffix: str, says: str) -> None:
    file = write(
        tmp_path / "sweep_wrong.py",
        "NUMBER = 5\ndef simulate(): ...\nasync def later(): ...\ndef many():\n    yield\n",
    )
    with pytest.raises(InvalidRequest, match=says) as refused:
        target.load(f"{file}{suffix}")
    assert "\n" not in refused.value.message


def test_a_wrong_file_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"absent\.py is not there"):
        target.load(f"{tmp_path}/absent.py:f")
    with pytest.raises(InvalidRequest, match=r"table\.csv is not a \.py file"):
        target.load(f"{write(tmp_path / 'table.csv', '')}:f")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x = 1\nx.y\n", "line 2: AttributeError"),
        ("def f(:\n", "SyntaxError"),
        ("import no_such_module_anywhere\n", "line 1: ModuleNotFoundError: No module named"),
        ("raise SystemExit('bye')\n", "SystemExit: bye"),
    ],
)
def test_a_file_that_fails_to_load_says_where(tmp_path: Path, text: str, says: str) -> None:
    file = write(tmp_path / "sweep_fails.py", text)
    with pytest.raises(InvalidRequest, match=says):
        target.load(f"{file}:f")


def test_a_folder_known_by_another_name_is_the_same_folder(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    file = write(tmp_path / "real" / "sweep_linked.py", "def f(x):\n    return x\nf(1).y\n")
    sys.path.insert(0, str(tmp_path / "link"))
    with pytest.raises(InvalidRequest, match="line 3: AttributeError"):
        target.load(f"{file}:f")


def takes(x: int, rate: float = 1.0, *, kind: str) -> None: ...
def takes_any(x: int, /, *args: int, **kwargs: int) -> None: ...


def test_parameters_that_fit() -> None:
    target.check_parameters(takes, ["x", "kind"])
    target.check_parameters(takes, ["kind", "rate", "x"])
    target.check_parameters(dict, ["anything"])


@pytest.mark.parametrize(
    ("function", "names", "says"),
    [
        (takes, ["x", "kind", "rat"], "takes no keyword argument 'rat'; did you mean rate"),
        (takes, ["x", "kind", "qqq"], "'qqq'; there is kind, rate, x"),
        (takes, ["x"], "needs kind: add --grid kind="),
        (takes, ["rate"], "needs x, kind"),
        (takes_any, ["x"], "takes no keyword argument 'x'"),
        (takes_any, ["y"], "needs x"),
    ],
)
def test_parameters_that_do_not_fit(function: object, names: list[str], says: str) -> None:
    with pytest.raises(InvalidRequest, match=says):
        target.check_parameters(function, names)  # type: ignore[arg-type]


def test_a_function_that_is_not_there_is_told_with_those_that_the_file_defines(tmp_path: Path) -> None:
    file = write(tmp_path / "sweep_named.py", "from pathlib import Path\ndef fit(x):\n    return x\n")
    with pytest.raises(InvalidRequest, match=r"has no function 'run'; there is fit\n"):
        target.load(f"{file}:run")
