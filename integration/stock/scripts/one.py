"""One task, by our Executor. Arguments: endpoint, mark file that says that it is submitted, number to square."""

import os
import sys
import time
from pathlib import Path

from work import config, say

from compute_executor import Client, Executor


def square(x):
    return x * x


endpoint, mark, number = sys.argv[1:]
with (
    Client(base_url=os.environ["TEST_SERVICE"]) as client,
    Executor(endpoint, client=client, user_endpoint_config=config()) as executor,
):
    begun = time.monotonic()
    future = executor.submit(square, int(number))
    time.sleep(1)  # the session sends it
    Path(mark).touch()
    say(value=future.result(150), seconds=time.monotonic() - begun)
