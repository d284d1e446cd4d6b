"""A function for one endpoint alone, as those of high assurance endpoints are. Arguments: that one,
another one."""

import sys
import time

from globus_compute_sdk import Client, Executor
from globus_compute_sdk.errors import TaskPending
from work import config, say


def doubled(x):
    return 2 * x


def outcome(call):
    """Its value; for a refusal, whether it is a ValueError, else the status of the service's answer."""
    try:
        return call()
    except Exception as error:
        return isinstance(error, ValueError) or error.http_status


def result_of(task):
    for _ in range(900):
        try:
            return client.get_result(task)
        except TaskPending:
            time.sleep(0.1)
    raise TimeoutError(task)


def ran(endpoint):
    batch = client.create_batch(user_endpoint_config=config() if endpoint == assured else None)
    batch.add(function, args=(21,))
    (task,) = client.batch_run(endpoint, batch)["tasks"][function]
    return result_of(task)


assured, other = sys.argv[1:]
client = Client()
function = client.register_function(doubled, ha_endpoint_id=assured)
source = client.register_source_code("def f(x):\n    return x - 1\n", "f", ha_endpoint_id=assured)
with Executor(endpoint_id=assured, client=client, user_endpoint_config=config()) as executor:
    by_executor = executor.submit_to_registered_function(source, args=(8,)).result(timeout=90)
say(
    there=ran(assured),
    elsewhere=outcome(lambda: ran(other)),
    by_executor=by_executor,
    public=outcome(lambda: client.register_function(doubled, public=True, ha_endpoint_id=assured)),
    said=client.get_function(function)["ha_endpoint_id"] == assured,
)
