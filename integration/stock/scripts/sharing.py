"""Functions for oneself, for everybody and for a group, and who may run them. Arguments: an endpoint, then either the
id of a group (the owner, who registers) or ids of functions (somebody else, who runs them)."""

import sys
import time

from globus_compute_sdk import Client, Executor
from globus_compute_sdk.errors import TaskPending
from work import config, say


def area(width, height):
    return width * height


def outcome(call):
    """Its value; for a refusal, the status of the service's answer."""
    try:
        return call()
    except Exception as error:
        return getattr(error, "http_status", None) or str(error)


def result_of(task):
    for _ in range(900):
        try:
            return client.get_result(task)
        except TaskPending:
            time.sleep(0.1)
    raise TimeoutError(task)


def by_client(function):
    batch = client.create_batch(user_endpoint_config=config())
    batch.add(function, args=(3,), kwargs={"height": 4})
    (task,) = client.batch_run(endpoint, batch)["tasks"][function]
    return result_of(task)


def by_executor(function):
    with Executor(endpoint_id=endpoint, client=client, user_endpoint_config=config()) as executor:
        return executor.submit_to_registered_function(function, args=(5, 6)).result(timeout=90)


endpoint, *others = sys.argv[1:]
client = Client()
if len(others) == 1:
    group = others[0]
    with Executor(endpoint_id=endpoint, client=client, user_endpoint_config=config()) as executor:
        functions = [
            client.register_function(area),
            client.register_function(area, public=True, description="of a rectangle"),
            client.register_function(area, group=group),
            executor.register_function(area, public=True, description="by the Executor"),
        ]
    refused = [
        outcome(lambda: client.register_function(area, group="00000000-0000-4000-8000-000000000000")),
        outcome(lambda: client.get_function("00000000-0000-4000-8000-000000000000")),
    ]
    say(functions=functions, ran=[by_client(one) for one in functions[:3]], refused=refused)
else:
    say(
        seen=[outcome(lambda one=one: client.get_function(one)["function_name"]) for one in others],
        by_client=[outcome(lambda one=one: by_client(one)) for one in others],
        by_executor=[by_executor(one) for one in others[1:]],
        deleted=outcome(lambda: client.delete_function(others[1])),
    )
