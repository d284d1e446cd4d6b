"""Submits to a service that is none of ours: functions registered first, batches in parts that the service takes.

    calls -> ids of their functions -> parts within the limits -> POST each
          <- taken          the calls have their task ids, in order
          <- refused        one part by function, then in halves, until the one to blame is alone
          <- nothing        SubmitOutcomeUnknown if it may have arrived: not sent again, unless that was asked for
          <- unreachable    again, until the patience is over

Owner: the I/O thread of the connection (`hosted.connection`), which all of this may block.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from compute_executor.batch import Call, Function, Target
from compute_executor.errors import (
    ComputeError,
    InvalidRequest,
    SubmitOutcomeUnknown,
)
from compute_executor.protocol.resources import stock_specification
from compute_executor.sdk.batch import BatchOptions, BatchTask
from compute_executor.sdk.limits import check
from compute_executor.sdk.splitting import parts, smaller
from compute_executor.sdk.wires.wire import BatchPart, SubmitAnswer, Wire
from compute_executor.serialization.large import whole

Answer = TypeVar("Answer")
Calls = list[Call[Any]]
Ready = list[tuple[Call[Any], BatchTask]]
"""Calls, and what is sent for each."""
UNKNOWN_TRIES = 5
"""How often a submit whose outcome is unknown is sent again where that is wished."""


class SubmitterEvents(Protocol):
    """Interface that a submitter needs of its connection."""

    def taken(self, target: Target, calls: Calls, task_ids: list[str]) -> None:
        """Note that these calls are tasks now."""

    def refused(self, call: Call[Any], error: ComputeError) -> None:
        """Note that this call will be no task."""

    def wait(self, seconds: float) -> bool:
        """Rest before another try; False if there shall be none."""
        ...


class HostedSubmitter:
    """See the module. ``register``: name and code to a function's id. ``grace``: seconds of patience with a service
    that has answered once; with another there is none beyond the tries of each request."""

    def __init__(
        self,
        wire: Wire,
        register: Callable[[str, bytes], str],
        place: SubmitterEvents,
        group: str,
        grace: float,
    ) -> None:
        self._wire = wire
        self._register = register
        self._place = place
        self._group = group
        self._grace = grace
        self._ids: dict[bytes, str] = {}
        self.resend_unknown = False
        self.reached: bool = False

    def post(self, target: Target, calls: Calls) -> None:
        """Hand in calls of one target. Never raises: what comes of it is told to the place, call by call."""
        ready = []
        for call in calls:
            try:
                _check_endpoint(target)
                self._name(call.function)
                ready.append((call, self._task(call)))
            except ComputeError as error:
                self._place.refused(call, error)
        sizes = [self._wire.size(task) for _, task in ready]
        for chosen in parts(sizes, self._wire.limits):
            part = [ready[one] for one in chosen]
            self._hand_in(target, part)

    def _name(self, function: Function) -> None:
        """Know the function's id: registered once for each content."""
        if function.digest in self._ids:
            return
        if function.code is None:
            self._ids[function.digest] = str(uuid.UUID(bytes=function.digest))
            return
        code = function.code
        assert isinstance(code, bytes), "there is no storage for blobs at such a service"
        self._ids[function.digest] = self._patiently(lambda: self._register(function.name, code))

    def _task(self, call: Call[Any]) -> BatchTask:
        assert isinstance(call.body, (bytes, list)), "there is no storage for blobs at such a service"
        task = BatchTask(self._ids[call.function.digest], None, whole(call.body))
        check(
            f"the arguments of {call.function.name}", self._wire.size(task), self._wire.limits.request_bytes
        )
        return task

    def _hand_in(self, target: Target, part: Ready) -> None:
        waiting = [part]
        while waiting:
            some = waiting.pop(0)
            try:
                answer = self._submit(target, [task for _, task in some])
            except ComputeError as error:
                split = smaller([task.function_id for _, task in some], error)
                waiting[:0] = [[some[one] for one in chosen] for chosen in split]
                if not split:
                    for call, _ in some:
                        self._place.refused(call, error)
            else:
                self._place.taken(target, [call for call, _ in some], answer.task_ids)

    def _submit(self, target: Target, tasks: list[BatchTask]) -> SubmitAnswer:
        options = BatchOptions(
            task_group_id=target.group_id(self._group),
            resource_specification=stock_specification(target.options),
            user_endpoint_config=target.options.user_endpoint_config,
            create_queue=True,
            result_serializers=target.options.result_serializers,
        )
        part = BatchPart(str(uuid.UUID(bytes=target.endpoint)), tasks, options)
        tries = UNKNOWN_TRIES if self.resend_unknown else 0
        while True:
            try:
                return self._patiently(lambda: self._wire.submit(part))
            except SubmitOutcomeUnknown:
                tries -= 1
                if tries < 0 or not self._place.wait(1.0):
                    raise

    def _patiently(self, act: Callable[[], Answer]) -> Answer:
        """Try again while the service is away, if it has been there."""
        until = time.monotonic() + self._grace
        while True:
            try:
                answer = act()
            except ComputeError as error:
                away = error.retryable and self.reached and time.monotonic() < until
                if not away or not self._place.wait(1.0):
                    raise
            else:
                self.reached = True
                return answer


def _check_endpoint(target: Target) -> None:
    if not target.endpoint:
        raise InvalidRequest(
            "endpoint_id is missing: this service has no endpoint of its own to run tasks on"
        )
