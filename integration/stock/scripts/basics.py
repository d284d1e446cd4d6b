"""One endpoint, everything that the stock SDK does with it. Arguments: the endpoint's id; ``as-shipped`` to have the
SDK wait seconds between single tasks, as it does by default."""

import sys

from globus_compute_sdk import Client, Executor
from work import config, say


def square(x):
    return x * x


def keyword(a, *, b):
    return a - b


def missing():
    raise KeyError("no such key")


def echo(data):
    return data


def many_bytes(count):
    return b"x" * count


def adder(offset):
    return lambda x: x + offset


def failure(future):
    error = future.exception(timeout=120)
    return [type(error).__name__, str(error)[-300:]]


endpoint = sys.argv[1]
limits = {} if "as-shipped" in sys.argv else {"api_burst_limit": 8, "api_burst_window_s": 1}
with Executor(endpoint_id=endpoint, user_endpoint_config=config(), batch_size=500, **limits) as executor:
    first = executor.submit(square, 7).result(timeout=120)
    futures = [executor.submit(square, number) for number in range(1000)]
    squares = [future.result(timeout=120) for future in futures]
    keywords = executor.submit(keyword, 5, b=2).result(timeout=60)
    closure = executor.submit(adder(10), 1).result(timeout=60)
    large = executor.submit(echo, b"y" * 5_000_000).result(timeout=120) == b"y" * 5_000_000
    raised = failure(executor.submit(missing))
    too_large = failure(executor.submit(many_bytes, 11 * 1024 * 1024))
    group = str(executor.task_group_id)
    names = {future.task_id for future in futures}

client = Client()
with Executor(endpoint_id=endpoint, task_group_id=group, user_endpoint_config=config()) as executor:
    again = list(executor.reload_tasks())
    for future in again:
        future.exception(timeout=120)
    reloaded = len(again)
    reloaded_squares = sum(future.result() for future in again if future.task_id in names)
    executor.submit(square, 1).result(timeout=60)

say(
    first=first,
    squares=squares == [number * number for number in range(1000)],
    keywords=keywords,
    closure=closure,
    large=large,
    raised=raised,
    too_large=too_large,
    reloaded=reloaded,
    reloaded_squares=reloaded_squares,
)
