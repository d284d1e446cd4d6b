"""Programs for the Globus Compute SDK, as text: what they become, and what is told."""

from __future__ import annotations

import importlib
import textwrap

import pytest

from compute_executor.cli.sdk_imports import COUNTERPARTS, Remark, find

KEYWORDS = {"Executor": {"endpoint_id", "client"}}


def migrated(source: str) -> str:
    source = textwrap.dedent(source)
    return find(source, KEYWORDS).apply(source)


def remarks(source: str) -> list[Remark]:
    return find(textwrap.dedent(source), KEYWORDS).remarks


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("from globus_compute_sdk import Executor", "from compute_executor import Executor"),
        (
            "from globus_compute_sdk import Executor as E, Client",
            "from compute_executor import Executor as E, Client",
        ),
        ("from globus_compute_sdk.sdk.client import Client", "from compute_executor import Client"),
        (
            "import globus_compute_sdk\nprint(globus_compute_sdk, globus_compute_sdk.Client)",
            "import compute_executor\nprint(compute_executor, compute_executor.Client)",
        ),
        ("import globus_compute_sdk as sdk\nprint(sdk)", "import compute_executor as sdk\nprint(sdk)"),
        (
            "from globus_compute_sdk.sdk.executor import ComputeFuture",
            "from compute_executor import ComputeFuture",
        ),
        (
            "from globus_compute_sdk.errors import TaskPending",
            "from compute_executor.errors import TaskPending",
        ),
        (
            "from globus_compute_sdk.errors.error_types import TaskPending",
            "from compute_executor.errors import TaskPending",
        ),
        (
            "from globus_compute_sdk.serialize import JSONData",
            "from compute_executor.serialize import JSONData",
        ),
        (
            "from globus_compute_sdk.serialize.concretes import JSONData",
            "from compute_executor.serialize import JSONData",
        ),
        ("from globus_compute_sdk.sdk.batch import Batch", "from compute_executor.sdk.batch import Batch"),
        ("from funcx import FuncXExecutor", "from compute_executor import Executor as FuncXExecutor"),
        ("from funcx.sdk.client import FuncXClient as C", "from compute_executor import Client as C"),
        ("import globus_compute_sdk as gc\ngc.Client()", "import compute_executor as gc\ngc.Client()"),
        (
            "import globus_compute_sdk\nglobus_compute_sdk.Client()",
            "import compute_executor\ncompute_executor.Client()",
        ),
        (
            "import globus_compute_sdk\nraise globus_compute_sdk.errors.TaskPending('x')",
            "import compute_executor\nraise compute_executor.errors.TaskPending('x')",
        ),
        (
            "import globus_compute_sdk as gc\ngc.sdk.client.Client().get_task",
            "import compute_executor as gc\ngc.Client().get_task",
        ),
        (
            "import globus_compute_sdk.serialize as s\ns.JSONData",
            "import compute_executor.serialize as s\ns.JSONData",
        ),
        (
            "import os, globus_compute_sdk.serialize\nglobus_compute_sdk.serialize.JSONData()",
            "import os, compute_executor.serialize\ncompute_executor.serialize.JSONData()",
        ),
        ("import globus_compute_endpoint", "import globus_compute_endpoint"),
        ("from .globus_compute_sdk import x", "from .globus_compute_sdk import x"),
        ("x = 'from globus_compute_sdk import Executor'", "x = 'from globus_compute_sdk import Executor'"),
    ],
)
def test_imports_and_what_follows(old: str, new: str) -> None:
    assert migrated(old) == new


def test_the_form_of_a_program_stays() -> None:
    assert migrated(
        """
            def f():  # ümläute before
                'é'; from globus_compute_sdk import (  # why
                    Executor,  # one
                    Client,
                )
                return Executor
            """
    ) == textwrap.dedent(
        """
            def f():  # ümläute before
                'é'; from compute_executor import (  # why
                    Executor,  # one
                    Client,
                )
                return Executor
            """
    )


def test_windows_line_ends_stay() -> None:
    source = "import os\r\nfrom globus_compute_sdk import Executor\r\nx = 1\r\n"
    assert find(source, {}).apply(source) == source.replace("globus_compute_sdk", "compute_executor")


def test_what_has_no_counterpart_is_left_and_told() -> None:
    source = "if 1:\n    from globus_compute_sdk.sdk.client import Client, _secret\n"
    found = find(source, {})
    assert found.apply(source) == (
        "if 1:\n    from compute_executor import Client\n    from globus_compute_sdk.sdk.client import _secret\n"
    )
    assert found.remarks == [Remark(2, "globus_compute_sdk.sdk.client._secret has no counterpart here")]
    assert remarks("import globus_compute_sdk.sdk.diagnostic")[0].line == 1
    assert remarks("import globus_compute_sdk as g\ng.sdk.web_client") == [
        Remark(2, "globus_compute_sdk.sdk.web_client has no counterpart here")
    ]


@pytest.mark.parametrize(
    ("call", "told"),
    [
        ("Executor(client=c)", "without endpoint_id"),
        ("Executor(e, funcx_client=None)", "takes no funcx_client"),
        ("Batch(None, None)", "Client.create_batch"),
        ("c.register_function(f, 'a name')", "function_name and container_uuid second"),
    ],
)
def test_calls_that_mean_something_else(call: str, told: str) -> None:
    imports = (
        "from globus_compute_sdk import Executor, Client\nfrom globus_compute_sdk.sdk.batch import Batch\n"
    )
    (remark,) = remarks(imports + call)
    assert remark.line == 3
    assert told in remark.text


def test_calls_that_mean_the_same_are_not_told() -> None:
    assert (
        remarks("from globus_compute_sdk import Executor\nExecutor(endpoint_id=e, client=c)\nExecutor(e)")
        == []
    )
    assert remarks("other.register_function(f, 'a name')") == []


def test_every_counterpart_is_there() -> None:
    for names in COUNTERPARTS.values():
        for place in names.values():
            module, _, name = place.rpartition(".")
            assert hasattr(importlib.import_module(module), name), place
