"""What programs set between submits: of the Executor, the Client and batches. Argument: the endpoint's id. Says for
each use what it gave, or the error."""

import sys
import time
import uuid

from globus_compute_sdk import Client, Executor, ShellFunction
from globus_compute_sdk.errors import TaskPending
from globus_compute_sdk.serialize import ComputeSerializer, JSONData
from work import config, say

endpoint = sys.argv[1]
PATIENCE = 90


def kind_of(x):
    return type(x).__name__


def of(executor, value=1):
    return executor.submit(kind_of, value).result(timeout=PATIENCE)


# -- Executor --------------------------------------------------------------------------------------------


def types_of_ids():
    with Executor(endpoint, task_group_id=str(uuid.uuid4())) as gce:
        return (
            type(gce.endpoint_id).__name__,
            type(gce.task_group_id).__name__,
            gce.endpoint_id == uuid.UUID(endpoint),
        )


def the_group_changes():
    groups = [uuid.uuid4(), uuid.uuid4()]
    with Executor(endpoint, task_group_id=groups[0], user_endpoint_config=config()) as gce:
        first = of(gce)
        gce.task_group_id = groups[1]
        second = [of(gce), of(gce)]
    with Executor(endpoint, task_group_id=groups[0], user_endpoint_config=config()) as gce:
        counts = [len(list(gce.reload_tasks()))]
        counts.append(len(list(gce.reload_tasks(groups[1]))))
        return first, second, counts, gce.task_group_id == groups[1]


def reload_without_an_endpoint():
    group = uuid.uuid4()
    with Executor(endpoint, task_group_id=group, user_endpoint_config=config()) as gce:
        of(gce)
    client = Client()
    with Executor(client=client, task_group_id=group) as gce:
        return [one.result(timeout=PATIENCE) for one in gce.reload_tasks()]


def the_endpoint_is_set_later():
    with Executor() as gce:
        gce.endpoint_id = endpoint
        gce.user_endpoint_config = config()
        return of(gce)


def pace_and_port_change():
    with Executor(endpoint, user_endpoint_config=config()) as gce:
        of(gce)
        gce.amqp_port, gce.api_burst_limit, gce.api_burst_window_s, gce.batch_size = None, 5, 8, 7
        return of(gce), gce.amqp_port, gce.api_burst_limit, gce.api_burst_window_s, gce.batch_size


def a_label_before_the_first_call():
    with Executor(endpoint, user_endpoint_config=config()) as gce:
        gce.label = "mine"
        return gce.label, of(gce)


def options_change_in_place():
    chosen = config()
    with Executor(endpoint, user_endpoint_config=chosen, resource_specification={}) as gce:
        gce.user_endpoint_config["name"] = "examples"
        gce.resource_specification["num_nodes"] = 1
        return (
            gce.user_endpoint_config is chosen,
            gce.user_endpoint_config["name"],
            gce.resource_specification,
        )


def wrong_options():
    found = []
    with Executor(endpoint) as gce:
        for name, value in (
            ("user_endpoint_config", 5),
            ("user_endpoint_config", {"a": {1}}),
            ("resource_specification", [1]),
            ("serializer", "text"),
            ("task_group_id", "no id"),
            ("endpoint_id", "no id"),
        ):
            try:
                setattr(gce, name, value)
            except (TypeError, ValueError) as error:
                found.append([name, isinstance(error, TypeError), isinstance(error, ValueError)])
    return [one[0] for one in found]


def the_client_of_an_executor():
    with Executor(endpoint, user_endpoint_config=config()) as gce:
        future = gce.submit(kind_of, 1)
        value = future.result(timeout=PATIENCE)
        return value, gce.client.get_result(future.task_id), isinstance(gce.client, Client)


def the_strategies_of_a_client():
    client = Client(data_serialization_strategy=JSONData())
    with Executor(endpoint, client=client, user_endpoint_config=config()) as gce:
        first = of(gce, (1, 2)), isinstance(gce.serializer.data_serializer, JSONData)
        client.fx_serializer = ComputeSerializer()
        return first, of(gce, (1, 2))


def the_serializer_of_an_executor():
    with Executor(endpoint, user_endpoint_config=config()) as gce:
        before = isinstance(gce.serializer, ComputeSerializer)
        gce.serializer = ComputeSerializer(strategy_data=JSONData())
        return before, of(gce, (1, 2))


def after_shutdown():
    gce = Executor(endpoint)
    gce.shutdown()
    found = []
    for call in (
        lambda: gce.submit(kind_of, 1),
        lambda: gce.register_function(kind_of),
        lambda: gce.register_source_code("def f(): pass", "f"),
        lambda: gce.submit_to_registered_function(str(uuid.uuid4())),
    ):
        try:
            call()
        except RuntimeError:
            found.append("RuntimeError")
    return found


# -- batches ---------------------------------------------------------------------------------------------


def result_of(client, task):
    for _ in range(PATIENCE * 10):
        try:
            return client.get_result(task)
        except TaskPending:
            time.sleep(0.1)
    raise TimeoutError(task)


def a_batch_that_is_changed():
    client, group = Client(), uuid.uuid4()
    function = client.register_function(kind_of)
    made = client.create_batch()
    made.task_group_id = str(group)
    made.user_endpoint_config = config()
    made.result_serializers = ["globus_compute_sdk.serialize.JSONData"]
    made.add(function, [(1, 2)])
    prepared = made.prepare()
    answer = client.batch_run(endpoint, made)
    (task,) = answer["tasks"][function]
    return (
        result_of(client, task),
        answer["task_group_id"] == str(group),
        prepared["result_serializers"],
        len(made),
    )


def wrong_calls_of_a_batch():
    made, found = Client().create_batch(), []
    for given in (
        ("f", 5),
        (str(uuid.uuid4()), 5),
        (str(uuid.uuid4()), (), 5),
        (str(uuid.uuid4()), (), {1: 2}),
    ):
        try:
            made.add(*given)
        except (TypeError, ValueError):
            found.append(len(found))
    return found


# -- shell -----------------------------------------------------------------------------------------------


def a_command_that_is_changed():
    command = ShellFunction("echo {n}", walltime=5)
    command.cmd, command.walltime, command.return_dict = "echo {n} again", 10, True
    with Executor(endpoint, user_endpoint_config=config()) as gce:
        found = gce.submit(command, n=2).result(timeout=PATIENCE)
        return found["stdout"], found["returncode"], sorted(found)


def wrong_commands():
    found = []
    for given in ({"walltime": -1}, {"name": "for"}):
        try:
            ShellFunction("true", **given)
        except (AssertionError, ValueError) as error:
            found.append(type(error).__name__)
    return found


def tried(example):
    try:
        return example()
    except BaseException as error:
        return f"{type(error).__name__}: {error}"[-400:]


if __name__ == "__main__":
    chosen = [
        one
        for one in list(vars().values())
        if callable(one) and getattr(one, "__module__", "") == "__main__" and not one.__code__.co_argcount
    ]
    say(**{one.__name__: tried(one) for one in chosen})
