"""open_tasks with our Executor. Arguments: those of open_tasks, and options of the calls, as ``retries=3``."""

import os
import sys

from work import config, say

from compute_executor import Client, Executor


def slow(mark, number, seconds):
    import os
    import time

    with open(mark, "a") as file:
        file.write(f"{number} begun {os.getpid()}\n")
    time.sleep(seconds)
    with open(mark, "a") as file:
        file.write(f"{number} ended {os.getpid()}\n")
    return number


endpoint, mark, count, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
options = {name: int(value) for name, value in (one.split("=") for one in sys.argv[5:])}
with (
    Client(base_url=os.environ["TEST_SERVICE"]) as client,
    Executor(endpoint, client=client, user_endpoint_config=config()) as executor,
):
    view = executor.options(**options)
    futures = [view.submit(slow, mark, number, seconds) for number in range(count)]
    outcomes = {"right": 0, "wrong": 0, "failed": {}}
    lost = []
    for number, future in enumerate(futures):
        error = future.exception(timeout=240)
        if error is None:
            outcomes["right" if future.result() == number else "wrong"] += 1
        else:
            text = f"{type(error).__name__}: {error}"[:200]
            outcomes["failed"][text] = outcomes["failed"].get(text, 0) + 1
            lost.append(number)
say(lost=lost, gave_up=0, **outcomes)
