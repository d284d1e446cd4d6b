"""What a script sets in modules that it imports: found in its text, set again in a worker."""

from __future__ import annotations

import functools
import linecache
import logging
import os
import re
import sys
import textwrap
import time
import types
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from compute_executor import interpreter
from compute_executor.functions import module_changes
from compute_executor.serialization import native, reading, set_in_modules
from compute_executor.serialization.namespaces import Program

CONFIG = """
import collections, functools
class Model: rate = 1
class Registry:
    def __init__(self): self.known = {}
    def register(self, name):
        def decorated(function):
            self.known[name] = function
            return function
        return decorated
TABLE, LIST, NAMES, QUEUE, DEBUG, STEPS = {}, [0, 0], set(), collections.deque(), False, 1
registry, plugins = Registry(), []
def plugin(function):
    plugins.append(function)
    return function
@functools.singledispatch
def show(x): return "any"
def slow(x): return x
level = used = steps = None
def set_level(name, size):
    global level
    level = name, size
def set_steps(number):
    global steps
    steps = number
def use_model(kind):
    global used
    used = kind
def seed_all(number): set_steps(number)
class Settings:
    width = 1
    @classmethod
    def set_width(cls, width): cls.width = width
"""

Run = Callable[[str], "tuple[types.ModuleType, dict[str, bytes]]"]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Runs the text of a script, beside a module ``odd_config``; gives its ``__main__`` and what was found in it."""
    (tmp_path / "odd_config.py").write_text(CONFIG)
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def run(text: str) -> tuple[types.ModuleType, dict[str, bytes]]:
        script = tmp_path / "script.py"
        script.write_text(textwrap.dedent(text))
        linecache.checkcache(str(script))
        main = types.ModuleType("__main__")
        main.__file__ = str(script)
        monkeypatch.setitem(sys.modules, "__main__", main)
        exec(compile(script.read_text(), str(script), "exec"), vars(main))
        return main, module_changes.observe()

    yield run
    for name in set(sys.modules) - before:
        if name.startswith("odd_"):
            del sys.modules[name]


def in_worker(streams: dict[str, bytes]) -> Any:
    """The module, imported as by a worker of its own."""
    sys.modules.pop("odd_config", None)
    program = Program(reading.read_unit, types.ModuleType("__main__"))
    before = list(sys.meta_path)
    set_in_modules.apply(streams, program)
    assert len(sys.meta_path) == len(before) + ("odd_config" in streams)
    import odd_config  # type: ignore[import-not-found]  # written by the fixture

    assert sys.meta_path == before
    return odd_config


def test_attributes_items_and_what_is_in_containers(run: Run) -> None:
    _, streams = run(
        """
        import odd_config, odd_config as other
        from odd_config import Model, TABLE as T, registry
        odd_config.DEBUG = True
        other.STEPS += 2
        Model.rate, registry.size = 3, 4
        T["one"] = [1]
        for number in range(2): odd_config.LIST[number] = number
        odd_config.NAMES.add("name")
        other.QUEUE.append(5)
        setattr(odd_config, "new", 6)
        def later():
            import odd_config
            odd_config.late = 7
        later()
        """
    )
    assert list(streams) == ["odd_config"]
    found = in_worker(streams)
    assert (found.DEBUG, found.STEPS, found.Model.rate, found.registry.size) == (True, 3, 3, 4)
    assert (found.TABLE, found.LIST, found.NAMES, list(found.QUEUE)) == ({"one": [1]}, [0, 1], {"name"}, [5])
    assert (found.new, found.late) == (6, 7)


def test_functions_and_classes_of_the_script(run: Run) -> None:
    _, streams = run(
        """
        import odd_config
        FACTOR = 3
        def fast(x): return FACTOR * x
        odd_config.slow = fast
        odd_config.Model.extra = lambda self: FACTOR
        @odd_config.registry.register("mine")
        def mine(x): return x + FACTOR
        @odd_config.plugin
        class Mine: pass
        @odd_config.show.register
        def _(x: Mine) -> str: return "mine"
        """
    )
    found = in_worker(streams)
    assert (found.slow(2), found.Model().extra(), found.registry.known["mine"](1)) == (6, 3, 4)
    (kind,) = found.plugins
    assert (kind.__name__, found.show(kind()), found.show(1)) == ("Mine", "mine", "any")


def test_a_module_that_is_loaded_is_changed_at_once(run: Run) -> None:
    _, streams = run("import odd_config\nodd_config.DEBUG = True\n")
    odd_config: Any = sys.modules["odd_config"]
    odd_config.DEBUG = False
    set_in_modules.apply(streams, Program(reading.read_unit, types.ModuleType("__main__")))
    assert odd_config.DEBUG


@pytest.mark.parametrize(
    "text",
    [
        "import odd_config\nprint(odd_config.DEBUG)\n",
        "import odd_config\nodd_config.slow(1)\nx = {}\nx.update(a=1)\nx['a'] = 2\n",
        "class C: pass\nC.x = 1\n",
        "import os, sys\nos.environ['ODD_NAME'] = '1'\nsys.odd_name = []\n",
        "import odd_config\nif odd_config.DEBUG:\n odd_config.nothing = 1\n",
        "import odd_config\n@odd_config.plugin\ndef f(): pass\nodd_config.plugins.remove(f)\nodd_config.plugins\n"
        "del odd_config\n",
    ],
)
def test_scripts_that_change_no_module(run: Run, text: str) -> None:
    _, streams = run(text)
    found = in_worker(streams)
    assert (found.DEBUG, found.plugins, hasattr(found, "nothing")) == (False, [], False)


def test_what_cannot_travel_is_named(run: Run) -> None:
    with pytest.warns(UserWarning, match=r"odd_config\.LOCK is set by the script .*lock.* in an initializer"):
        _, streams = run(
            "import odd_config, threading\nodd_config.LOCK, odd_config.STEPS = threading.Lock(), 2\n"
        )
    assert in_worker(streams).STEPS == 2
    with pytest.warns(UserWarning, match=r"odd_config\.TABLE\['x'\] is set .* more than 1,048,576 bytes"):
        _, streams = run("import odd_config\nodd_config.TABLE['x'] = bytes(2_000_000)\n")
    assert streams == {}


def test_what_workers_themselves_run_on_is_not_changed_there(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pickle.NOTHING", 0, raising=False)
    with pytest.warns(UserWarning, match=r"pickle\.NOTHING is set by the script .* exchange tasks and"):
        _, streams = run("import pickle\npickle.NOTHING = 1\n")
    assert streams == {}


def test_what_cannot_be_set_in_a_worker_is_said(run: Run) -> None:
    _, streams = run("import odd_config\nodd_config.Model.rate = 2\n")
    Path(sys.modules["odd_config"].__file__ or "").write_text("Model = None.__class__\n")
    sys.modules.pop("odd_config")
    linecache.clearcache()
    set_in_modules.apply(streams, Program(reading.read_unit, types.ModuleType("__main__")))
    with pytest.warns(
        UserWarning, match="what the script has set in odd_config cannot be set in a worker: TypeError"
    ):
        __import__("odd_config")


def test_accessors_and_options_of_pandas(run: Run) -> None:
    pandas = pytest.importorskip("pandas")
    try:
        _, streams = run(
            """
            import pandas as pd
            @pd.api.extensions.register_series_accessor("odd_accessor")
            class Odd:
                def __init__(self, series): self.series = series
                def double(self): return (2 * self.series).tolist()
            pd.set_option("display.precision", 3)
            """
        )
        settings = interpreter.observe()
    finally:
        del pandas.Series.odd_accessor
        pandas.reset_option("display.precision")
    assert settings["pandas"] == {"display.precision": 3}
    set_in_modules.apply(streams, Program(reading.read_unit, types.ModuleType("__main__")))
    assert pandas.Series([1, 2]).odd_accessor.double() == [2, 4]
    del pandas.Series.odd_accessor
    interpreter.apply({"pandas": settings["pandas"]})
    assert pandas.get_option("display.precision") == 3
    pandas.reset_option("display.precision")


def test_what_is_set_for_figures() -> None:
    matplotlib = pytest.importorskip("matplotlib")
    pyplot = pytest.importorskip("matplotlib.style")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with matplotlib.rc_context():
            pyplot.use("ggplot")
            matplotlib.rcParams["lines.linewidth"] = 7
            found = interpreter.observe()["matplotlib"]
        with matplotlib.rc_context():
            interpreter.apply({"matplotlib": found})
            assert matplotlib.rcParams["lines.linewidth"] == 7
            assert matplotlib.rcParams["axes.prop_cycle"].by_key()["color"][0] == "#E24A33"


def test_the_text_of_notebooks_and_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    main = types.ModuleType("__main__")
    vars(main).update({"In": ["", "a = 1", "a b"], "get_ipython": None})
    assert module_changes._texts(main) == ["\n", "a = 1\n"]
    monkeypatch.setattr(sys, "orig_argv", ["python", "-c", "b = 2", "x"])
    assert module_changes._texts(types.ModuleType("__main__")) == ["b = 2"]
    monkeypatch.setattr(sys, "orig_argv", ["python"])
    assert module_changes._texts(types.ModuleType("__main__")) == []


def test_calls_that_set_something_are_made_again(run: Run) -> None:
    _, streams = run(
        """
        import odd_config, odd_config as other
        from odd_config import set_steps as steps
        SIZE = 4
        class Later(odd_config.Model):
            rate = SIZE
        odd_config.use_model(Later)
        before = other.set_level("high", size=[SIZE + n for n in range(2)])
        steps(SIZE)
        if __name__ == "__main__":
            odd_config.Settings.set_width(SIZE)
        """
    )
    found = in_worker(streams)
    assert (found.used.__name__, found.used.rate, found.level, found.steps) == (
        "Later",
        4,
        ("high", [4, 5]),
        4,
    )
    assert found.Settings.width == 4


def test_calls_that_are_not_made_again(run: Run) -> None:
    _, streams = run(
        """
        import asyncio, logging, random, sys, odd_config
        from odd_config import set_steps
        odd_config.slow(1)
        odd_config.seed_all(1)
        random.seed(1)
        sys.setrecursionlimit(sys.getrecursionlimit())
        logging.disable(0)
        (lambda: odd_config).set_x = 1
        if odd_config.DEBUG:
            set_steps(5)
        def f():
            set_steps(5)
        step = 6
        set_steps(step)
        del step
        """
    )
    assert streams == {}


def test_what_the_script_has_not_come_to_is_not_made_again(run: Run) -> None:
    main, _ = run("")
    Path(main.__file__ or "").write_text(
        "import odd_config\nodd_config.set_steps(2)\nfound = observe()\nodd_config.set_steps(3)\n"
    )
    linecache.checkcache()
    vars(main)["observe"] = module_changes.observe
    exec(compile(Path(main.__file__ or "").read_text(), main.__file__ or "", "exec"), vars(main))
    assert sys.modules["odd_config"].steps == 3
    assert in_worker(vars(main)["found"]).steps == 2


def test_functions_of_pythons_own_modules_that_are_replaced(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("os.cpu_count", "os.getpid", "time.sleep"):
        monkeypatch.setattr(name, lambda: 0)
    monkeypatch.setattr("logging.Logger.odd", None, raising=False)
    monkeypatch.setattr("sys.odd", None, raising=False)
    with pytest.warns(UserWarning, match=r"os\.getpid is set by the script .* they run on it themselves"):
        _, streams = run(
            """
            import logging, os, sys, time
            os.cpu_count = lambda: 3
            os.getpid = lambda: 4
            os.environ["ODD"] = "1"
            time.sleep = lambda seconds: "none"
            def odd(self): return "odd"
            logging.Logger.odd = odd
            sys.odd = {"a": 1}
            sys.path = [*sys.path]
            sys.modules["odd_absent"] = None
            """
        )
    sys.modules.pop("odd_absent")
    monkeypatch.setattr("os.getpid", lambda: 0)
    assert sorted(streams) == ["logging", "os", "sys", "time"]
    set_in_modules.apply(streams, Program(reading.read_unit, types.ModuleType("__main__")))
    odd: Any = logging.getLogger("odd")
    there: Any = sys
    assert (os.cpu_count(), time.sleep(1), odd.odd(), there.odd) == (3, "none", "odd", {"a": 1})
    assert os.getpid() == 0
    assert sys.modules.pop("odd_absent", 1) is None


def test_what_workers_use_of_python_is_known() -> None:
    """Each name of `os` and the like in what a worker runs."""
    package = Path(module_changes.__file__).parents[1]
    files = [
        *package.glob("endpoint/worker/*.py"),
        *package.glob("serialization/*.py"),
        package / "system.py",
    ]
    for name, known in module_changes.WORKERS_USE.items():
        used = set(re.findall(rf"\b{name}\.([a-z_][a-z_0-9]*)\(", "".join(map(Path.read_text, files))))
        assert used - known - NOT_IN_WORKERS == set(), name


NOT_IN_WORKERS = frozenset({"exit"})


def test_what_mocks_have_replaced(run: Run) -> None:
    from unittest import mock

    try:
        _, streams = run(
            """
            import odd_config
            from unittest import mock
            from unittest.mock import patch
            mock.patch("odd_config.slow", lambda x: -x).start()
            patcher = patch.object(odd_config, "DEBUG", "patched")
            patcher.start()
            mock.patch("odd_config.plugin")
            """
        )
    finally:
        mock.patch.stopall()
    found = in_worker(streams)
    assert (found.slow(3), found.DEBUG, found.plugin.__name__) == (-3, "patched", "plugin")


def test_changes_that_the_middle_of_reading_is_too_early_for(run: Run) -> None:
    """A class of the script is made from the module's: its import is when the class is half read."""
    main, streams = run(
        """
        import odd_config
        STEP = 1
        class Mine(odd_config.Model):
            rate = 7
        odd_config.use_model(Mine)
        odd_config.set_steps(STEP)
        odd_config.use_model(odd_config.used)
        def task(): return odd_config.used is Mine, odd_config.steps, STEP
        """
    )
    vars(main)["STEP"] = 2
    stream = native.dumps(vars(main)["task"])
    sys.modules.pop("odd_config")
    program = Program(reading.read_unit, types.ModuleType("__main__"))
    set_in_modules.apply(streams, program)
    task, _ = reading.adopt(lambda: reading.load(stream), program)
    assert task() == (True, 1, 2)


def test_a_call_that_fails_in_a_worker_is_said_and_the_next_is_made(run: Run) -> None:
    main, streams = run(
        """
        import odd_config
        odd_config.set_steps(9)
        odd_config.set_level("x", size=1)
        def task(): return odd_config.level
        """
    )
    Path(sys.modules["odd_config"].__file__ or "").write_text(
        "def set_level(*a, size): global level; level = a\n"
    )
    stream = native.dumps(vars(main)["task"])
    for task_reads in (False, True):
        sys.modules.pop("odd_config")
        linecache.clearcache()
        program = Program(reading.read_unit, types.ModuleType("__main__"))
        set_in_modules.apply(streams, program)
        importing = functools.partial(__import__, "odd_config")
        read = functools.partial(reading.adopt, functools.partial(reading.load, stream), program)
        with pytest.warns(UserWarning, match="set in odd_config cannot be set in a worker: AttributeError"):
            (read if task_reads else importing)()
        assert sys.modules["odd_config"].level == ("x",)


def test_which_generators_the_script_seeds(run: Run) -> None:
    numpy = pytest.importorskip("numpy")
    before = numpy.random.get_state()
    try:
        main, streams = run(
            """
            import random as r, odd_config
            from numpy.random import set_state, get_state
            if __name__ == "__main__":
                r.seed(1)
            def f():
                r.seed(2)
            set_state(get_state())
            seed = print
            seed()
            """
        )
        assert streams == {}
        assert module_changes.seeded() == {
            "random": (main.__file__, 5),
            "numpy.random": (main.__file__, 8),
        }
        run("import random\nrandom.seed\nodd = 'seed('\n")
        assert module_changes.seeded() == {}
        run("print()")
        assert module_changes.seeded() == {}
    finally:
        numpy.random.set_state(before)
