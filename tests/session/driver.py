"""Sessions driven without an Executor: with settings that users cannot give, and an end that a test chooses."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

from compute_executor.batch import Target
from compute_executor.future import ComputeFuture
from compute_executor.peer import ServiceLocator
from compute_executor.protocol.frames import Options, PoolSpec
from compute_executor.session.session import Session
from compute_executor.session.view import SessionView
from compute_executor.settings import ExecutorSettings

T = TypeVar("T")
SPEC = PoolSpec(1, "python", [], "/", {})


class SessionDriver:
    """One session and the only view of it. ``settings``: see `ExecutorSettings`."""

    def __init__(self, peer: ServiceLocator, **settings: Any) -> None:
        pool = os.urandom(16)
        self.session = Session(ExecutorSettings(peer, os.urandom(16), pool, SPEC, **settings))
        self.view = SessionView(self.session, Target(b"", pool, Options()))

    def submit(self, function: Callable[..., T], *args: Any) -> ComputeFuture[T]:
        route = self.view.codec().registry.route(function)
        return self.session.submit(self.view, route, args, {})
