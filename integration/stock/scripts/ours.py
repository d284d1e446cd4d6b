"""Our Executor on an endpoint, everything but death. Argument: endpoint."""

import os
import sys
from concurrent.futures import CancelledError
from pathlib import Path

from work import config, say

from compute_executor import Client, Executor


def square(x):
    return x * x


def leave(mark):
    Path(mark).touch()


def missing(key, mark=None):
    if mark is not None:
        with open(mark, "a") as file:
            file.write("begun\n")
    try:
        int("seven")
    except ValueError as error:
        raise KeyError(key, 7) from error


def exception():
    """What `except` gets, and what it says of where it comes from."""
    try:
        executor.submit(missing, "no such key").result(120)
    except KeyError as error:
        chain, cause = [], error.__cause__
        while cause is not None:
            chain.append(type(cause).__name__)
            cause = cause.__cause__
        return {"args": list(error.args), "chain": chain, "text": str(error.__cause__)}


def cancelled():
    """Of two that cannot have been sent, as no user endpoint runs yet, one is withdrawn."""
    first, second = executor.submit(square, 2), executor.submit(leave, os.path.abspath("not-to-be"))
    found = {"cancelled": second.cancel()}
    try:
        second.result(60)
    except CancelledError:
        found["raises"] = True
    return {**found, "other": first.result(120), "ran": os.path.exists("not-to-be")}


def retried():
    """An exception is an outcome: it is not for `retries`."""
    future = executor.options(retries=3).submit(missing, "again", os.path.abspath("tries"))
    error = future.exception(120)
    return [type(error).__name__, Path("tries").read_text().count("begun")]


with (
    Client(base_url=os.environ["TEST_SERVICE"]) as client,
    Executor(sys.argv[1], client=client, user_endpoint_config=config()) as executor,
):
    say(
        cancelled=cancelled(),
        exception=exception(),
        retried=retried(),
        mapped=list(executor.map(square, range(1000))) == [number * number for number in range(1000)],
        submitted=sum(one.result(120) for one in [executor.submit(square, number) for number in range(1000)]),
    )
