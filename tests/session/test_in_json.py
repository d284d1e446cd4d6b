"""serializer="json" against a real service, in a program where nothing can be unpickled."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from compute_executor import Executor
from compute_executor.errors import InvalidRequest
from compute_executor.serialize import JSONData

PROGRAM = """
import _pickle, functools, pickle, sys
from compute_executor import Client, Executor
from compute_executor.errors import *

def reached(*_, **__):
    print("PICKLE WAS REACHED", flush=True)
    raise SystemExit(3)

class Unpickler:
    __init__ = reached

pickle.loads = pickle.load = _pickle.loads = _pickle.load = reached
pickle.Unpickler = pickle._Unpickler = _pickle.Unpickler = Unpickler
sys.modules["dill"] = None

class Own(Exception):
    pass

def fails(x):
    raise Own(x)

def echo(*args, **kwargs):
    return [list(args), kwargs]

factor = 3
def scaled(x):
    return x * factor

def outcome(future):
    error = future.exception()
    return f"{type(error).__name__} {error.remote_type}" if error else future.result()

with Executor(2, serializer="json") as ex:
    assert ex.serializer == "json"
    value = ["\\x00\\U0001f600", -0.0, 2**5000, True, 1, None, {"": []}]
    for sent in (value, "x" * 200_000):
        assert repr(ex.submit(echo, sent, k=sent).result()) == repr([[sent], {"k": sent}])
    assert outcome(ex.submit(fails, 1)) == "TaskExecutionFailed Own"
    assert outcome(ex.submit(divmod, 7, 2)) == "TaskExecutionFailed SerializationError"
    assert list(ex.map(scaled, range(5), chunksize=2)) == [0, 3, 6, 9, 12]
    factor = 4
    assert list(ex.map(scaled, range(5), chunksize=2)) == [0, 4, 8, 12, 16]
    assert ex.submit(scaled, 2).result() == 8
    assert ex.submit(functools.partial(scaled, 2)).result() == 8
    results = ex.map(lambda x: 6 // x, [3, 0], chunksize=2)
    assert next(results) == 2
    try:
        next(results)
    except TaskExecutionFailed as error:
        assert error.remote_type == "ZeroDivisionError", error
    error = ex.submit(echo, 0, 1, {"a": [0, 1, 2, {3}]}).exception()
    assert str(error).startswith("argument 2['a'][3] is a set"), error
    for refused in (lambda: ex.put(1), lambda: ex.options(endpoint_id=None).put(1)):
        try:
            refused()
        except InvalidRequest as error:
            assert "put" in str(error)
        else:
            raise AssertionError("taken")
    known = ex.register_function(scaled)
    assert ex.submit_to_registered_function(known, [2]).result() == 8
    group = ex.task_group_id

with Client(serializer="json") as client:
    task = client.run(5, function_id=client.register_function(scaled))
    plain = Client()
    unread = client.run(5, function_id=plain.register_function(echo))
    with Executor(client=client) as ex:
        assert (client.serializer, ex.serializer) == ("json", "json")
        assert len(ex.reload_tasks(group)) > 10
        ex.submit(echo).result()
        while any(client.get_task(one)["pending"] for one in (task, unread)):
            pass
    assert client.get_result(task) == 20
    try:
        client.get_result(unread)
    except ResultDecodeError as error:
        assert 'serializer="json" does not read' in str(error)
    plain.close()
print("all held")
"""


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=120, cwd=tmp_path, check=False
    )
    assert (done.returncode, done.stdout) == (0, "all held\n"), done.stderr


def test_only_json_is_a_serializer() -> None:
    with pytest.raises(
        ValueError, match=r"serializer must be \"json\", a .*ComputeSerializer or None, not 'yaml'"
    ):
        Executor(serializer="yaml")  # type: ignore[arg-type]


def test_it_excludes_other_ways_to_write_results() -> None:
    with (
        Executor(
            "0" * 8 + "-0000-0000-0000-000000000001", serializer="json", result_serializers=[JSONData]
        ) as ex,
        pytest.raises(InvalidRequest, match="leave it out"),
    ):
        ex.submit(abs, 1).result(60)
