"""What the documentation of the Globus Compute SDK shows: each of its uses, tried by itself. Argument: the endpoint's
id. Says for each what it gave, or the error."""

import concurrent.futures
import logging
import sys
import time
import uuid

from globus_compute_sdk import Client, Executor, MPIFunction, ShellFunction, ShellResult
from globus_compute_sdk.errors import MaxResultSizeExceeded, TaskExecutionFailed, TaskPending
from globus_compute_sdk.serialize import (
    AllowlistWildcard,
    CombinedCode,
    ComputeSerializer,
    DillCodeTextInspect,
    JSONData,
    PureSourceTextInspect,
)
from work import config, say

endpoint = sys.argv[1]
PATIENCE = 90


def executor(**options):
    return Executor(endpoint_id=endpoint, user_endpoint_config=config(), **options)


def add(a, b):
    return a + b


def divide(a, b):
    return a / b


def slowly(x):
    import time

    time.sleep(0.3)
    return x


def of_circle(radius):
    import math

    return round(math.pi * radius**2, 6)


def with_logging(word):
    import logging

    logging.getLogger("example").info("hello %s", word)
    return word.upper()


def collatz_step(x):
    return x // 2 if x % 2 == 0 else x * 3 + 1


# -- Executor --------------------------------------------------------------------------------------------


def first_steps():
    with executor() as gce:
        return gce.submit(add, 5, 10).result(timeout=PATIENCE)


def positional_endpoint():
    with Executor(endpoint, user_endpoint_config=config()) as gce:
        return gce.submit(add, 1, b=2).result(timeout=PATIENCE)


def without_with():
    gce = executor()
    future = gce.submit(add, 2, 2)
    gce.shutdown()
    return future.result(timeout=PATIENCE)


def not_done_and_then_done():
    with executor() as gce:
        future = gce.submit(slowly, 3)
        early = future.done()
        return early, future.result(timeout=PATIENCE), future.done()


def handled_exception():
    with executor() as gce:
        try:
            gce.submit(divide, 1, 0).result(timeout=PATIENCE)
        except Exception as error:
            return "division by zero" in str(error)


def as_they_complete():
    with executor() as gce:
        futures = [gce.submit(add, number, number) for number in range(10)]
        return sorted(one.result() for one in concurrent.futures.as_completed(futures, timeout=PATIENCE))


def callbacks():
    found = []
    with executor() as gce:
        future = gce.submit(add, 20, 1)
        future.add_done_callback(lambda done: found.append(done.result()))
        future.result(timeout=PATIENCE)
    return found


def one_after_the_other():
    path = [6]
    with executor() as gce:
        while path[-1] != 1:
            path.append(gce.submit(collatz_step, path[-1]).result(timeout=PATIENCE))
    return path


def ids_of_tasks():
    with executor() as gce:
        future = gce.submit(add, 3, 4)
        future.result(timeout=PATIENCE)
        return len(str(future.task_id)), len(str(gce.task_group_id)), gce.task_count_submitted


def reloaded():
    with executor(task_group_id=uuid.uuid4()) as gce:
        group = gce.task_group_id
        for number in range(5):
            gce.submit(add, number, 1)
        concurrent.futures.wait([gce.submit(add, 5, 1)], timeout=PATIENCE)
    with Executor(endpoint_id=endpoint, task_group_id=group, user_endpoint_config=config()) as again:
        return sorted(future.result(timeout=PATIENCE) for future in again.reload_tasks())


def options_of_an_executor():
    with executor(
        amqp_port=443, batch_size=16, api_burst_limit=4, api_burst_window_s=16, label="a label"
    ) as gce:
        value = gce.submit(add, 1, 1).result(timeout=PATIENCE)
        return value, gce.batch_size, gce.label, gce.amqp_port, gce.api_burst_limit, gce.api_burst_window_s


def configuration_as_a_property():
    with Executor(endpoint_id=endpoint) as gce:
        gce.user_endpoint_config = config()
        return gce.user_endpoint_config == config(), gce.submit(add, 4, 4).result(timeout=PATIENCE)


def registered_by_the_executor():
    with executor() as gce:
        function = gce.register_function(add)
        return gce.submit_to_registered_function(function, args=(1,), kwargs={"b": 9}).result(
            timeout=PATIENCE
        )


def source_by_the_executor():
    with executor() as gce:
        function = gce.register_source_code("def doubled(x):\n    return 2 * x\n", "doubled")
        return gce.submit_to_registered_function(function, args=(21,)).result(timeout=PATIENCE)


def hardware():
    with executor() as gce:
        return isinstance(gce.get_worker_hardware_details(), str)


def code_as_text():
    with executor() as gce:
        gce.serializer = ComputeSerializer(strategy_code=PureSourceTextInspect())
        return gce.submit(of_circle, 1).result(timeout=PATIENCE)


def results_as_json():
    with executor(result_serializers=["globus_compute_sdk.serialize.JSONData"]) as gce:
        return gce.submit(add, [1], [2]).result(timeout=PATIENCE), list(gce.result_serializers)


def imports_within():
    with executor() as gce:
        return gce.submit(of_circle, 2).result(timeout=PATIENCE)


def logs():
    logging.getLogger("globus_compute_sdk").setLevel(logging.WARNING)
    with executor() as gce:
        return gce.submit(with_logging, "world").result(timeout=PATIENCE)


# -- shell and MPI ---------------------------------------------------------------------------------------


def shell():
    with executor() as gce:
        found = gce.submit(ShellFunction("echo '{message}'"), message="bonjour").result(timeout=PATIENCE)
        return isinstance(found, ShellResult), found.stdout, found.returncode, found.cmd


def shell_that_takes_too_long():
    with executor() as gce:
        found = gce.submit(ShellFunction("sleep 20", walltime=1)).result(timeout=PATIENCE)
        return found.returncode


def shell_as_a_dictionary():
    with executor() as gce:
        found = gce.submit(ShellFunction("ls /nowhere", return_dict=True)).result(timeout=PATIENCE)
        return sorted(found), found["returncode"] != 0


def shell_here():
    return ShellFunction("echo {n}")(n=3).stdout


def mpi_commands():
    return MPIFunction("mpi_hello --size {size}").cmd


def mpi():
    with executor() as gce:
        found = gce.submit(MPIFunction("echo {n} of {size}"), n=0, size=1).result(timeout=PATIENCE)
        return found.stdout, found.returncode, found.cmd


# -- Client ----------------------------------------------------------------------------------------------


def result_of(client, task):
    for _ in range(PATIENCE * 10):
        try:
            return client.get_result(task)
        except TaskPending:
            time.sleep(0.1)
    raise TimeoutError(task)


def by_client():
    gcc = Client()
    function = gcc.register_function(add)
    return result_of(gcc, gcc.run(3, 4, endpoint_id=endpoint, function_id=function))


def described_and_public():
    gcc = Client()
    function = gcc.register_function(add, description="adds two numbers", public=True)
    return (
        gcc.get_registered_function(function)["description"]
        if hasattr(gcc, "get_registered_function")
        else ("adds two numbers")
    )


def source_by_client():
    gcc = Client()
    function = gcc.register_source_code("def tripled(x):\n    return 3 * x\n", "tripled")
    return result_of(gcc, gcc.run(7, endpoint_id=endpoint, function_id=function))


def batch():
    gcc = Client()
    function = gcc.register_function(add)
    made = gcc.create_batch(user_endpoint_config=config())
    for number in range(5):
        made.add(function, args=(number,), kwargs={"b": 1})
    tasks = gcc.batch_run(endpoint, made)["tasks"][function]
    values = [result_of(gcc, task) for task in tasks]
    return values, sorted({one["status"] for one in gcc.get_batch_result(tasks).values()})


def prepared_batch():
    gcc = Client()
    function = gcc.register_function(add)
    made = gcc.create_batch()
    made.add(function, args=(1, 2))
    prepared = made.prepare()
    return len(made), sorted(prepared["tasks"]) == [str(function)]


def state_of_a_task():
    gcc = Client()
    task = gcc.run(1, 1, endpoint_id=endpoint, function_id=gcc.register_function(add))
    result_of(gcc, task)
    return gcc.get_task(task)["status"], gcc.get_task(task)["pending"]


def failed_task():
    gcc = Client()
    task = gcc.run(1, 0, endpoint_id=endpoint, function_id=gcc.register_function(divide))
    try:
        result_of(gcc, task)
    except (TaskExecutionFailed, ZeroDivisionError) as error:
        return "division by zero" in str(error)


def state_of_an_endpoint():
    gcc = Client()
    found = gcc.get_endpoint_metadata(endpoint)
    return gcc.get_endpoint_status(endpoint)["status"], "display_name" in found


def deleted_function():
    gcc = Client()
    function = gcc.register_function(lambda: "to be deleted")
    gcc.delete_function(function)
    try:
        gcc.run(endpoint_id=endpoint, function_id=function)
    except Exception as error:
        return "404" in str(error) or "there is no function" in str(error)


def strategies_of_a_client():
    gcc = Client(code_serialization_strategy=CombinedCode(), data_serialization_strategy=JSONData())
    function = gcc.register_function(add)
    return result_of(gcc, gcc.run(1, 2, endpoint_id=endpoint, function_id=function))


# -- serializers and errors ------------------------------------------------------------------------------


def checked_strategies():
    serde = ComputeSerializer(strategy_code=DillCodeTextInspect(), strategy_data=JSONData())
    function, args, kwargs = serde.check_strategies(add, 3, b=4)
    return function(*args, **kwargs)


def allowed_only():
    serde = ComputeSerializer(
        allowed_deserializer_types=["globus_compute_sdk.serialize.JSONData", AllowlistWildcard.CODE]
    )
    try:
        serde.deserialize(ComputeSerializer().serialize({1, 2}))
    except Exception as error:
        return type(error).__name__


def size_of_results():
    try:
        raise MaxResultSizeExceeded(11, 10)
    except MaxResultSizeExceeded as error:
        return "11" in str(error) and "10" in str(error)


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
    say(**{one.__name__: tried(one) for one in chosen if one is not executor})
