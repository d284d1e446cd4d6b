from __future__ import annotations

import json
import os
from typing import Any

from compute_executor.errors import ServiceUnavailable, from_document
from compute_executor.service.process.starter import StartNotifier


def told(read: int) -> Any:
    with os.fdopen(read, "rb") as pipe:
        return json.loads(pipe.read())


def test_that_it_serves() -> None:
    read, write = os.pipe()
    os.set_inheritable(write, True)
    report = StartNotifier(write)
    assert not os.get_inheritable(write)
    report.serving("http://127.0.0.1:5000")
    assert told(read) == {"serving": True}
    report.serving("http://127.0.0.1:5000")  # once is enough


def test_why_it_does_not() -> None:
    read, write = os.pipe()
    StartNotifier(write).failed(ServiceUnavailable("the disk is full"))
    error = from_document(told(read)["error"])
    assert isinstance(error, ServiceUnavailable)
    assert str(error) == "the disk is full"


def test_whoever_started_it_may_have_gone() -> None:
    read, write = os.pipe()
    os.close(read)
    StartNotifier(write).serving("http://127.0.0.1:5000")
    StartNotifier(None).failed(ServiceUnavailable("nobody hears it"))
