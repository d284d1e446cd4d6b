"""What every release of the stock SDK can do, each checked by itself. Argument: the endpoint's id."""

import sys
import time
import uuid

from globus_compute_sdk import Client, Executor, ShellFunction
from globus_compute_sdk.errors import TaskExecutionFailed, TaskPending
from work import config, say


def square(x):
    return x * x


def missing():
    raise KeyError("no such key")


def many_bytes(count):
    return b"x" * count


def result_of(task):
    for _ in range(600):
        try:
            return client.get_result(task)
        except TaskPending:
            time.sleep(0.1)
    raise TimeoutError(task)


def one():
    assert executor.submit(square, 7).result(timeout=90) == 49


def many():
    futures = [executor.submit(square, number) for number in range(200)]
    assert [future.result(timeout=90) for future in futures] == [number * number for number in range(200)]


def megabytes():
    assert len(executor.submit(many_bytes, 3_000_000).result(timeout=90)) == 3_000_000


def exceptions():
    error = executor.submit(missing).exception(timeout=90)
    assert (
        isinstance(error, TaskExecutionFailed) or type(error) is KeyError
    )  # with ours it is the exception itself
    assert "no such key" in str(error)


def shell():
    found = executor.submit(ShellFunction("echo {word}"), word="hello").result(timeout=90)
    assert found.stdout.strip() == "hello"


def by_client():
    assert result_of(client.run(6, endpoint_id=endpoint, function_id=function)) == 36


def batches():
    batch = client.create_batch(user_endpoint_config=config())
    for number in range(20):
        batch.add(function, args=(number,))
    tasks = client.batch_run(endpoint, batch)["tasks"][function]
    assert [result_of(task) for task in tasks] == [number * number for number in range(20)]


def reload():
    with Executor(endpoint_id=endpoint, task_group_id=group, user_endpoint_config=config()) as again:
        assert len([future.exception(timeout=90) for future in again.reload_tasks()]) >= 200


def batch_reloaded_while_open():
    batch = client.create_batch(task_group_id=str(uuid.uuid4()), user_endpoint_config=config())
    for number in range(5):
        batch.add(slow, args=(number,))
    told = client.batch_run(endpoint, batch)
    with Executor(endpoint_id=endpoint, task_group_id=told["task_group_id"]) as again:
        values = sorted(future.result(timeout=90) for future in again.reload_tasks())
    assert values == list(range(5)), values


def status():
    assert client.get_endpoint_status(endpoint)["status"] == "online"
    assert client.get_endpoint_metadata(endpoint)["uuid"] == endpoint


def reasons():
    unknown = "00000000-0000-4000-8000-000000000000"
    said = tried(lambda: client.get_task(unknown))
    assert unknown in said, said


def wait_a_second(number):
    import time

    time.sleep(1)
    return number


def tried(check):
    try:
        check()
    except Exception as error:
        return f"{type(error).__name__}: {error}"[-400:]
    return "ok"


endpoint = sys.argv[1]
client = Client()
function = client.register_function(square)
slow = client.register_function(wait_a_second)
found = {}
with Executor(endpoint_id=endpoint, user_endpoint_config=config()) as executor:
    for check in (one, many, megabytes, exceptions, shell):
        found[check.__name__] = tried(check)
    group = str(executor.task_group_id)
for check in (by_client, batches, reload, batch_reloaded_while_open, status, reasons):
    found[check.__name__] = tried(check)
say(**found)
