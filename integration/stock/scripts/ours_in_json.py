"""Our Executor and Client on an endpoint, in a program where nothing can be unpickled. Functions are still written as
pickles, for workers to read. Argument: endpoint."""

import _pickle
import os
import pickle
import sys
import time

import dill
from work import config, say

from compute_executor import Client, Executor
from compute_executor.errors import TaskPending


def reached(*_, **__):
    print("a pickle was to be read", file=sys.stderr, flush=True)
    os._exit(3)


class Unpickler:
    __init__ = reached


pickle.loads = pickle.load = _pickle.loads = _pickle.load = reached
pickle.Unpickler = pickle._Unpickler = _pickle.Unpickler = Unpickler
dill.loads = dill.load = dill.Unpickler = reached


def echo(*args, **kwargs):
    return [list(args), kwargs]


def fails(x):
    raise KeyError("no such key", x)


def outcome(future):
    error = future.exception(90)
    return [type(error).__name__, "no such key" in str(error)] if error else future.result()


def by_client():
    batch = client.create_batch(user_endpoint_config=config())
    function = client.register_function(echo)
    batch.add(function, args=("by the Client",))
    (task,) = client.batch_run(endpoint, batch)["tasks"][function]
    for _ in range(900):
        try:
            return client.get_result(task)
        except TaskPending:
            time.sleep(0.1)
    raise TimeoutError(task)


endpoint = sys.argv[1]
value = ["\x00\U0001f600", -0.0, 2**200, True, 1, None, {"": []}]
with (
    Client(base_url=os.environ.get("TEST_SERVICE"), serializer="json") as client,
    Executor(endpoint, client=client, user_endpoint_config=config()) as executor,
):
    assert executor.serializer == "json"
    say(
        echoed=[
            repr(executor.submit(echo, one, k=one).result(90)) == repr([[one], {"k": one}])
            for one in (value, "x" * 200_000)
        ],
        mapped=list(executor.map(abs, range(-100, 0), chunksize=8)) == list(range(100, 0, -1)),
        failed=outcome(executor.submit(fails, 1)),
        no_json=type(executor.submit(divmod, 7, 2).exception(90)).__name__,
        refused=str(executor.submit(echo, {3}).exception(90)),
        by_client=by_client(),
    )
