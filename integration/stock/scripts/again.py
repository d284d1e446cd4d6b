"""The results of a task group, in another process than the one that submitted it. Arguments: endpoint, group."""

import sys

from globus_compute_sdk import Executor
from work import say

with Executor(endpoint_id=sys.argv[1], task_group_id=sys.argv[2]) as executor:
    say(values=sorted(future.result(timeout=120) for future in executor.reload_tasks()))
