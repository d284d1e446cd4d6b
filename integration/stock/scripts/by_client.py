"""register, run, get_result, batches, status: the stock Client. Arguments: endpoint; a function and a task of
another SDK."""

import sys
import time

from globus_compute_sdk import Client
from globus_compute_sdk.errors import TaskPending
from work import config, say


def square(x):
    return x * x


def missing():
    raise KeyError("no such key")


def result_of(task):
    for _ in range(600):
        try:
            return client.get_result(task)
        except TaskPending:
            time.sleep(0.1)
    raise TimeoutError(task)


def raised_by(call):
    try:
        call()
    except Exception as error:
        return [type(error).__name__, str(error)[-200:]]
    return []


endpoint = sys.argv[1]
client = Client()
function = client.register_function(square)
task = (
    client.run(6, endpoint_id=endpoint, function_id=function, user_endpoint_config=config())
    if config()
    else (client.run(6, endpoint_id=endpoint, function_id=function))
)
value = result_of(task)
batch = client.create_batch(user_endpoint_config=config())
for number in range(20):
    batch.add(function, args=(number,))
tasks = client.batch_run(endpoint, batch)["tasks"][function]
values = [result_of(one) for one in tasks]
statuses = client.get_batch_result(tasks)
failed = client.run(endpoint_id=endpoint, function_id=client.register_function(missing))
failure = raised_by(lambda: result_of(failed))
foreign = result_of(client.run(8, endpoint_id=endpoint, function_id=sys.argv[2]))
oversize = client.create_batch()
oversize.add(function, args=(b"z" * (13 * 1024 * 1024),))
say(
    function=function,
    task=task,
    value=value,
    values=values,
    statuses=sorted({one["status"] for one in statuses.values()}),
    failure=failure,
    foreign=foreign,
    foreign_result=result_of(sys.argv[3]),
    refused=raised_by(lambda: client.batch_run(endpoint, oversize)),
    status=client.get_endpoint_status(endpoint)["status"],
    endpoints=[one["uuid"] for one in client.get_endpoints()],
)
