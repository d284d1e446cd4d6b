"""With our client: a function and a task of another SDK. Arguments: endpoint, function, task."""

import os
import sys
import time

from work import say

from compute_executor import Client
from compute_executor.errors import TaskPending


def result_of(task):
    for _ in range(600):
        try:
            return client.get_result(task)
        except TaskPending:
            time.sleep(0.05)
    raise TimeoutError(task)


endpoint, function, task = sys.argv[1:]
with Client(base_url=os.environ["TEST_SERVICE"]) as client:
    there = client.run(9, function_id=function, endpoint_id=endpoint)
    here = client.run(9, function_id=function)
    say(ran=result_of(there), ran_here=result_of(here), read=result_of(task))
