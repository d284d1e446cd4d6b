"""What each process has of its own is made anew as a global, and refused as an argument."""

from __future__ import annotations

import os
import queue
import random
import threading
from pathlib import Path
from typing import Any

import pytest

from compute_executor.errors import SerializationError
from compute_executor.serialization import native
from tests.serialization.conftest import Script


def test_locks_of_globals_are_the_worker_s_own(script: Script) -> None:
    script.run(
        "import threading, queue\nlock, again = threading.Lock(), threading.RLock()\nlock.acquire()\n"
        "condition, event = threading.Condition(lock), threading.Event()\nevent.set()\n"
        "semaphore = threading.BoundedSemaphore(2)\n"
        "barrier, waiting, simple = threading.Barrier(1), queue.Queue(maxsize=3), queue.SimpleQueue()\n"
        "waiting.put('first')\n"
        "class Account:\n lock = threading.Lock()\n def __init__(self): self.own = threading.Lock()\n"
        "account = Account()\n"
        "def use():\n"
        " free = not lock.locked()\n"
        " with condition, again, again, semaphore, account.lock, account.own:\n"
        "  waiting.put('second'); simple.put(1)\n"
        "  return free, lock.locked(), event.is_set(), barrier.wait(1), waiting.get(), waiting.qsize(), "
        "simple.get()\n"
    )
    assert script.call("use") == (True, True, True, 0, "first", 1, 1)
    assert script.names["waiting"].qsize() == 1


@pytest.mark.parametrize("thing", [threading.Lock(), threading.RLock(), threading.Event(), queue.Queue()])
def test_as_an_argument_it_is_refused(thing: Any) -> None:
    with pytest.raises(SerializationError, match="argument 0"):
        native.dumps_call(([thing],), {})


def test_a_queue_with_contents_that_cannot_be_seen_is_refused(script: Script) -> None:
    script.run("import queue\nsimple = queue.SimpleQueue()\nsimple.put(1)\ndef use(): return simple.get()\n")
    with pytest.raises(SerializationError, match=r"SimpleQueue.*global `simple` of `use`"):
        script.call("use")


def test_values_of_a_thread(script: Script) -> None:
    script.run(
        "import threading\nclass Own(threading.local):\n def __init__(self): self.made = True\n"
        "plain, own = threading.local(), Own()\nplain.n = 1\nown.n = 2\n"
        "def use():\n found = plain.n, own.n, own.made\n plain.n += 1\n"
        " seen = []\n other = threading.Thread(target=lambda: seen.append((hasattr(plain, 'n'), own.made)))\n"
        " other.start(); other.join()\n return found, seen\n"
    )
    assert script.call("use") == ((1, 2, True), [(False, True)])
    assert script.call("use") == ((2, 2, True), [(False, True)])


def test_weak_references_refer_to_what_is_alive(script: Script) -> None:
    script.run(
        "import weakref, gc\nclass Node:\n def m(self): return 'm'\nnode, other = Node(), Node()\n"
        "alone, dead, proxy, method = weakref.ref(other), weakref.ref(Node()), weakref.proxy(node), "
        "weakref.WeakMethod(node.m)\n"
        "del other\nkept = Node()\nnames = weakref.WeakKeyDictionary({kept: 'kept'})\n"
        "values = weakref.WeakValueDictionary(a=node)\n"
        "every = weakref.WeakSet([node, kept])\nhidden = weakref.WeakSet([kept])\n"
        "def use():\n gc.collect()\n"
        " return names[kept], values['a'] is node, node in every, len(every), proxy.m(), method()(), "
        "dead(), alone()\n"
        "def only(): gc.collect(); return len(hidden)\n"
    )
    assert script.call("use") == ("kept", True, True, 2, "m", "m", None, None)
    assert script.call("only") == 1


def test_files_of_globals_are_opened_again(script: Script, tmp_path: Path) -> None:
    (tmp_path / "read").write_bytes(b"0123456789")
    script.names["folder"] = str(tmp_path)
    script.run(
        "import os\nat = lambda name: os.path.join(folder, name)\n"
        "added, written, read = open(at('added'), 'a', encoding='latin-1'), open(at('written'), 'wb'), "
        "open(at('read'), 'rb')\n"
        "added.write('here\\n')\nadded.flush()\nread.read(4)\n"
        "def use():\n added.write('thére\\n'); added.flush(); written.write(b'bytes'); written.flush()\n"
        " return read.read(), read.name\n"
    )
    try:
        assert script.call("use") == (b"456789", str(tmp_path / "read"))
        assert (tmp_path / "added").read_bytes() == b"here\nth\xe9re\n"
        assert (tmp_path / "written").read_bytes() == b"bytes"
    finally:
        for name in ("added", "written", "read"):
            script.names[name].close()


def test_a_temporary_file_stays_the_caller_s(script: Script) -> None:
    script.run(
        "import tempfile, io\ntemporary = tempfile.NamedTemporaryFile('w+')\n"
        "_ = temporary.write('first'), temporary.flush()\n"
        "def use():\n"
        " temporary.write(' second'); temporary.flush(); temporary.seek(0); return temporary.read()\n"
    )
    with script.names["temporary"] as file:
        assert script.call("use") == "first second"
        script.worker.close()
        assert Path(file.name).read_text() == "first second"


def test_devices_and_files_in_memory(script: Script) -> None:
    script.names["__file__"] = __file__
    script.run(
        "import io, os, sys\nnull, text = open(os.devnull, 'w'), open(__file__)\n"
        "memory = io.StringIO('abc')\n"
        "def use():\n"
        " null.write('x'); return text.readline(), memory.read()\n"
    )
    try:
        assert script.call("use")[1:] == ("abc",)
    finally:
        script.names["null"].close()
        script.names["text"].close()


def test_what_the_interpreter_has_of_its_own_is_the_worker_s(script: Script) -> None:
    script.run(
        "import os, sys, warnings\nfrom os import environ, environb\nfrom sys import argv, modules, path\n"
        "from warnings import filters\nfrom sys import stdin\nkept = {'here': [environ]}\n"
        "def use():\n return (environ is os.environ, environb is os.environb, argv is sys.argv, path is sys.path, "
        "modules is sys.modules, filters is warnings.filters, stdin is sys.stdin, kept['here'][0] is environ)\n"
        "def local():\n from os import environ as ours\n return lambda: ours is os.environ\n"
    )
    assert script.call("use") == (True,) * 8
    assert script.worker.call(script.names["local"]()) is True
    assert script.worker.call(os.environ.get, "PYTHONPATH") != os.environ.get("PYTHONPATH")


def test_the_environment_as_an_argument_is_the_caller_s(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    script.run("import os\ndef use(given): return given['HERE'], 'HERE' in os.environ\n")
    script.call("use", {"HERE": "so that the worker is there"})
    monkeypatch.setenv("HERE", "yes")
    assert script.call("use", os.environ) == ("yes", False)


def test_random_numbers_of_a_module_are_the_worker_s(script: Script) -> None:
    script.run(
        "import random\nfrom random import gauss, random as number\nfrom functools import partial\n"
        "drawn = partial(gauss, 0, 1)\n"
        "def use():\n random.seed(1)\n found = number(), gauss(0, 1), drawn()\n random.seed(1)\n"
        " return found == (random.random(), random.gauss(0, 1), random.gauss(0, 1))\n"
    )
    assert script.call("use")
    assert script.worker.call(random.random) != script.worker.call(random.random)
    numpy_random = pytest.importorskip("numpy.random")
    assert script.worker.call(numpy_random.rand) != script.worker.call(numpy_random.rand)


def test_a_generator_of_the_program_travels_with_its_state(script: Script) -> None:
    script.run("import random\ndice = random.Random(1)\nthrow = dice.random\ndef use(): return throw()\n")
    assert script.call("use") == random.Random(1).random()
    assert script.worker.call(random.Random(1).random) == random.Random(1).random()
