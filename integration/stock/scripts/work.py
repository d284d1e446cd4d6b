"""Functions that the stock SDK submits, and how a script says what came of it."""

import json
import os
import time


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


def slow(mark, number, seconds):
    """Leave a mark, wait, leave another: which of the tasks were begun, ended, begun twice."""
    with open(mark, "a") as file:
        file.write(f"{number} begun {os.getpid()}\n")
    time.sleep(seconds)
    with open(mark, "a") as file:
        file.write(f"{number} ended {os.getpid()}\n")
    return number


def say(**found):
    print(json.dumps(found), flush=True)


def config():
    text = os.environ.get("TEST_CONFIG", "")
    return json.loads(text) if text else None
