"""Every method of globus_sdk's clients of this service: which fields the answers have. No argument.

An answer is shown by its fields, those of a document in it too; a text, a list or a number by its type.
"""

import uuid

from globus_compute_sdk import Client
from globus_compute_sdk.serialize import ComputeSerializer
from work import say

BUILT_IN = "c0de0000-0000-8000-8000-00000000c0de"


def square(x):
    return x * x


def fields(data):
    if isinstance(data, dict):
        return {
            name: fields(value) if isinstance(value, dict) else type(value).__name__
            for name, value in data.items()
        }
    return type(data).__name__


def answer(call, *arguments):
    return fields(call(*arguments).data)


v2, v3 = Client()._compute_web_client.v2, Client()._compute_web_client.v3
serializer = ComputeSerializer()
code = serializer.pack_buffers([serializer.serialize(square)])
call = serializer.pack_buffers([serializer.serialize((6,)), serializer.serialize({})])
said = {
    "endpoint_name": "of-routes",
    "display_name": "Of routes",
    "description": "an endpoint that never runs",
    "subscription_uuid": str(uuid.uuid4()),
    "metadata": {
        "endpoint_version": "4.19.0",
        "hostname": "nowhere",
        "local_user": "nobody",
        "endpoint_config": "display_name: Of routes",
        "user_config_template": "engine: {}",
        "user_config_schema": {"type": "object"},
    },
}
found = {"get_version": answer(v2.get_version), "get_version all": answer(v2.get_version, "all")}
registered = v3.register_endpoint(said).data
endpoint = registered["endpoint_id"]
function = v2.register_function({"function_name": "square", "function_code": code}).data["function_uuid"]
also = v3.register_function({"function_name": "square", "function_code": code}).data["function_uuid"]
submitted = v2.submit({"tasks": [[function, BUILT_IN, call], [function, str(uuid.uuid4()), call]]}).data
batch = v3.submit(BUILT_IN, {"tasks": {function: [call]}}).data
task, group = submitted["results"][0]["task_uuid"], submitted["task_group_id"]
while v2.get_task(task).data["status"] not in ("success", "failed"):
    pass
found |= {
    "register_endpoint": fields(registered),
    "update_endpoint": answer(v3.update_endpoint, endpoint, said),
    "register_endpoint v2": answer(v2.register_endpoint, {**said, "endpoint_name": "of-routes-2"}),
    "get_endpoint": v2.get_endpoint(endpoint).data,
    "get_endpoints": [fields(one) for one in v2.get_endpoints("any").data if one["uuid"] == endpoint],
    "get_endpoint_status": answer(v2.get_endpoint_status, endpoint),
    "get_endpoint_status built-in": answer(v2.get_endpoint_status, BUILT_IN),
    "get_endpoint_allowlist": answer(v3.get_endpoint_allowlist, endpoint),
    "get_function": answer(v2.get_function, function),
    "submit v2": {**fields(submitted), "results": submitted["results"]},
    "submit v3": fields(batch),
    "get_task": answer(v2.get_task, task),
    "get_task_batch": {
        **answer(v2.get_task_batch, [task]),
        "results": list(v2.get_task_batch([task])["results"]),
    },
    "get_task_group": {
        **answer(v2.get_task_group, group),
        "tasks": fields(v2.get_task_group(group)["tasks"][0]),
    },
    "get_result_amqp_url": answer(v2.get_result_amqp_url),
    "lock_endpoint v3": answer(v3.lock_endpoint, endpoint),
    "lock_endpoint v2": answer(v2.lock_endpoint, endpoint),
    "delete_endpoint": v2.delete_endpoint(endpoint).data,
    "delete_function": v2.delete_function(also).data,
}
say(said=said, task=task, endpoint=endpoint, found=found)
