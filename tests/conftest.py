"""Executors of the fake service, for the tests of the client side."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import settings

from compute_executor import peer as module
from compute_executor.executor import Executor
from tests.fake_service import FakeService, Faults

MakeExecutor = Callable[..., Executor]

# How long an example takes depends on what else runs on the machine. The same examples in every run: whether a commit
# passes depends on the commit alone. `make search` takes new ones.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.register_profile("search", deadline=None)
settings.register_profile("thorough", deadline=None, max_examples=10_000)
settings.load_profile("repeatable")


@pytest.fixture
def fake() -> Iterator[FakeService]:
    """A running service in a thread, without faults until a test orders some."""
    service = FakeService()
    service.start()
    yield service
    service.stop()


@pytest.fixture
def make(fake: FakeService, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeExecutor]:
    """Makes Executors whose embedded service is the fake one; shut down after the test."""
    monkeypatch.setattr(module, "EmbeddedLocator", lambda: fake)
    with ExitStack() as stack:

        def make(*given: Any, **options: Any) -> Executor:
            return stack.enter_context(Executor(*given, **options))

        yield make
        fake.faults = Faults()
        fake.speak()
        fake.release()


@pytest.fixture
def executor(make: MakeExecutor) -> Executor:
    return make()
