"""With our client: a function for others to run, and a task for others to read. Argument: endpoint."""

import os
import sys

from work import say

from compute_executor import Client


def cube(x):
    return x**3


with Client(base_url=os.environ["TEST_SERVICE"]) as client:
    function = client.register_function(cube)
    say(function=function, task=client.run(5, function_id=function, endpoint_id=sys.argv[1]))
