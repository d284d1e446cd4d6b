"""By name travels what a worker can import; by value what only this process has."""

from __future__ import annotations

import importlib.util
import math
import os.path
import sys
import types
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from compute_executor.serialization import by_value
from compute_executor.serialization.by_value import Home, can_be_imported, home, importable, travels_by_name
from tests.serialization.conftest import Script


@pytest.mark.parametrize("module", [sys, math, os.path, types, importlib.util, by_value, pytest, cloudpickle])
def test_modules_that_a_worker_imports(module: types.ModuleType) -> None:
    assert can_be_imported(module)
    assert travels_by_name(module)


def test_modules_that_only_this_process_has(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = types.ModuleType("made_at_run_time")
    within = types.ModuleType("msgspec.made_at_run_time")
    file = tmp_path / "loaded_from_a_path.py"
    file.write_text("def f(): return 1\n")
    spec = importlib.util.spec_from_file_location("loaded_from_a_path", file)
    assert spec is not None
    loaded = importlib.util.module_from_spec(spec)
    for module in (made, within, loaded):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    within.__file__ = str(file)

    assert not can_be_imported(made)
    assert not can_be_imported(within)
    assert not can_be_imported(loaded)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    monkeypatch.setattr(by_value, "_importable", {})
    assert can_be_imported(loaded)


def test_a_registration_counts_for_what_is_in_the_package() -> None:
    import tests.serialization as package

    cloudpickle.register_pickle_by_value(package)
    try:
        assert not importable(test_a_registration_counts_for_what_is_in_the_package)
    finally:
        cloudpickle.unregister_pickle_by_value(package)
    assert importable(test_a_registration_counts_for_what_is_in_the_package)


def test_home_is_where_an_object_is_found() -> None:
    class Local:
        pass

    found = home(Home.by_name)
    assert found is not None
    assert (found.path, found.module) == (("Home", "by_name"), by_value)
    assert home(Local) is None
    assert home(3) is None


def test_a_module_of_this_process_alone_travels_with_its_names(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin: Any = types.ModuleType("plugin_of_a_test")
    exec(
        "import threading\nlock = threading.Lock()\n"
        "K = 3\nclass C:\n def n(self): return K\ndef triple(x): return K * x\n",
        vars(plugin),
    )
    monkeypatch.setitem(sys.modules, plugin.__name__, plugin)
    script.names["plugin"] = plugin
    script.run(
        "import pickle\n"
        "def use(x): return plugin.triple(x)\n"
        "def saved(): return pickle.loads(pickle.dumps(plugin.C())).n()\n"
    )

    assert script.worker.call(plugin.triple, 2) == 6
    assert script.call("use", 2) == 6
    assert script.call("saved") == 3


def test_a_registration_counts_from_the_next_call_on(
    script: Script, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "edited_in_place.py").write_text("def f(): return 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import edited_in_place  # type: ignore[import-not-found]  # made above

    function = edited_in_place.f
    first = script.worker.registry.route(function)
    cloudpickle.register_pickle_by_value(edited_in_place)
    try:
        function.__code__ = (lambda: 2).__code__
        second = script.worker.registry.route(function)
        assert script.worker.call(function) == 2
    finally:
        cloudpickle.unregister_pickle_by_value(edited_in_place)
    assert first.function.digest != second.function.digest
    assert script.worker.registry.route(function).function.digest == first.function.digest


def test_a_submodule_that_is_imported_later_is_noticed(script: Script) -> None:
    script.run("import xml\ndef root(text): return xml.sax.saxutils.escape(text)\n")
    for name in [one for one in sys.modules if one.startswith("xml.sax")]:
        del sys.modules[name]
    vars(script.names["xml"]).pop("sax", None)

    assert isinstance(script.call("root", "<"), AttributeError)
    script.run("import xml.sax.saxutils\n")
    assert script.call("root", "<") == "&lt;"


def test_a_module_of_this_process_is_imported_in_a_task(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    package, module = types.ModuleType("made_package"), types.ModuleType("made_package.inner")
    package.__path__ = []
    exec("count = 0\ndef get():\n global count\n count += 1\n return count, factor", vars(module))
    exec("factor = 3\ndef __getattr__(name): return 'no ' + name", vars(package))
    vars(module)["factor"] = 2
    for one in (package, module):
        monkeypatch.setitem(sys.modules, one.__name__, one)
    script.run(
        "def by_from():\n from made_package.inner import get\n return get()\n"
        "def by_name():\n import made_package\n return made_package.factor, made_package.other\n"
    )
    assert script.call("by_from") == (1, 2)
    assert script.call("by_from") == (2, 2)
    assert script.call("by_name") == (3, "no other")
    vars(module)["factor"] = 7
    assert script.call("by_from") == (3, 7)
