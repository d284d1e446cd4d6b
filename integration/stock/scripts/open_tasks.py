"""Many tasks that are open while something breaks. Arguments: endpoint, mark file, count, seconds each."""

import os
import sys

from globus_compute_sdk import Executor
from work import config, say


def slow(mark, number, seconds):
    """Leave a mark, wait, leave another: which of the tasks were begun, ended, begun twice."""
    import os
    import time

    with open(mark, "a") as file:
        file.write(f"{number} begun {os.getpid()}\n")
    time.sleep(seconds)
    with open(mark, "a") as file:
        file.write(f"{number} ended {os.getpid()}\n")
    return number


endpoint, mark, count, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
with Executor(endpoint_id=endpoint, user_endpoint_config=config(), batch_size=500) as executor:
    futures = [executor.submit(slow, mark, number, seconds) for number in range(count)]
    outcomes = {"right": 0, "wrong": 0, "failed": {}}
    lost = []
    for number, future in enumerate(futures):
        error = future.exception(timeout=float(os.environ.get("TEST_PATIENCE", "240")))
        if error is None:
            outcomes["right" if future.result() == number else "wrong"] += 1
        else:
            text = str(error).strip().splitlines()[0][:200]
            outcomes["failed"][text] = outcomes["failed"].get(text, 0) + 1
            lost.append(number)
gave_up = outcomes["failed"].pop("SDK thread quit unexpectedly.", 0)
say(lost=[] if gave_up else lost, gave_up=gave_up, group=str(executor.task_group_id), **outcomes)
