"""The results of a task group, in another process than the one that submitted it. Arguments: endpoint, group."""

import sys

from globus_compute_sdk import Executor
from work import say

with Executor(endpoint_id=sys.argv[1], task_group_id=sys.argv[2]) as executor:
    futures = executor.reload_tasks()
    failed = [future for future in futures if future.exception(timeout=120)]
    say(values=sorted(future.result() for future in futures if future not in failed), failed=len(failed))
