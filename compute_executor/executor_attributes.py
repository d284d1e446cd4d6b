"""The attributes of an Executor that have names of the Globus Compute SDK, whose programs set some of them between
submits: those that say where and how later calls run can be set, some others until the first call, and the rest is
fixed when the Executor is made."""

from __future__ import annotations

import copy
import uuid
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from compute_executor.batch import Target
from compute_executor.errors import InvalidRequest
from compute_executor.executor_arguments import (
    check_batch_size,
    check_port,
    id_bytes,
    pace_of,
    strategy_paths,
)
from compute_executor.fixed_attributes import FixedAttribute
from compute_executor.functions.codecs import Serializer
from compute_executor.protocol.call_options import check_kept, replace_option
from compute_executor.protocol.endpoint_kind import EndpointKind
from compute_executor.protocol.endpoint_names import is_endpoint_name
from compute_executor.protocol.resources import check_fit, offer_of, resources_of
from compute_executor.sdk.ending import JSON, check_executors_serializer
from compute_executor.sdk.limits import HOSTED
from compute_executor.sdk.names import AnyId
from compute_executor.session.session import Session
from compute_executor.session.view import SessionView

if TYPE_CHECKING:
    from compute_executor.serialize import ComputeSerializer, Strategylike


class ExecutorAttributes:
    """Part of an Executor: what it says of itself, and what programs change of its later calls."""

    _session: Session
    _view: SessionView
    _serializer: ComputeSerializer | str | None

    label: FixedAttribute[str] = FixedAttribute(
        "give it when the Executor is made, Executor(label=...)", "_label"
    )
    client: FixedAttribute[Any] = FixedAttribute(
        "give it when the Executor is made, Executor(client=...)", "_given_client"
    )
    container_id: FixedAttribute[str] = FixedAttribute("use ex.options(container=...)")

    @property
    def task_group_id(self) -> str:
        """The group that the tasks are results of. Until the first call it can be set; None: to a new one."""
        return str(uuid.UUID(bytes=self._session.settings.group))

    @task_group_id.setter
    def task_group_id(self, value: AnyId | None) -> None:
        self._session.change("task_group_id", group=id_bytes(value or uuid.uuid4(), "task group"))

    @property
    def batch_size(self) -> int:
        """How many tasks leave together at most. It can be set, for what has not left."""
        return self._session.queue.batch_size

    @batch_size.setter
    def batch_size(self, value: int) -> None:
        self._session.queue.batch_size = check_batch_size(value)

    @property
    def amqp_port(self) -> int | None:
        """The port of the broker; None: the one that the service names. Until the first call it can be set."""
        return self._session.settings.amqp_port

    @amqp_port.setter
    def amqp_port(self, value: int | None) -> None:
        self._session.change("amqp_port", amqp_port=check_port(value))

    @property
    def api_burst_limit(self) -> int:
        """How many submits a hosted service gets in a window. It can be set until the first call."""
        return self._pace[0]

    @api_burst_limit.setter
    def api_burst_limit(self, value: int) -> None:
        self._session.change("api_burst_limit", pace=pace_of(value, self._pace[1]))

    @property
    def api_burst_window_s(self) -> float:
        """The time of :attr:`api_burst_limit`, in seconds. Until the first call it can be set."""
        return self._pace[1]

    @api_burst_window_s.setter
    def api_burst_window_s(self, value: float) -> None:
        self._session.change("api_burst_window_s", pace=pace_of(self._pace[0], value))

    @property
    def _pace(self) -> tuple[int, float]:
        return self._session.settings.pace or (HOSTED.requests, HOSTED.window)

    @property
    def endpoint_id(self) -> str | None:
        """The endpoint of later calls, as text; None for the service's own. It can be set."""
        endpoint = self._view.target.endpoint
        return str(uuid.UUID(bytes=endpoint)) if endpoint else None

    @endpoint_id.setter
    def endpoint_id(self, value: AnyId) -> None:
        self._set_target(Target(self._endpoint(value), None, self._view.target.options))

    @property
    def resource_specification(self) -> dict[str, Any] | None:
        """What later calls need of a Globus Compute endpoint, a copy. It can be set; None takes it away."""
        return copy.deepcopy(self._view.target.options.resource_specification)

    @resource_specification.setter
    def resource_specification(self, value: dict[str, Any] | None) -> None:
        self._set_option("resource_specification", value)

    @property
    def user_endpoint_config(self) -> dict[str, Any] | None:
        """What later calls want their user endpoint to be like, a copy. It can be set; None takes it away."""
        return copy.deepcopy(self._view.target.options.user_endpoint_config)

    @user_endpoint_config.setter
    def user_endpoint_config(self, value: dict[str, Any] | None) -> None:
        self._set_option("user_endpoint_config", value)

    @property
    def result_serializers(self) -> list[str] | None:
        """How endpoints of Globus Compute write the results of later calls: import paths of strategies. It can be set
        to what `compute_executor.serialize` takes for strategies; None takes it away."""
        return copy.copy(self._view.target.options.result_serializers)

    @result_serializers.setter
    def result_serializers(self, value: Iterable[Strategylike] | None) -> None:
        self._set_option("result_serializers", strategy_paths(value))

    @property
    def serializer(self) -> Serializer | str | None:
        """By what functions and arguments of later calls travel. It can be set to a `ComputeSerializer` without an
        allow list, and to None, which takes that away; "json" and an allow list are given when the Executor is
        made."""
        return self._view.serializer or (JSON if self._serializer == JSON else None)

    @serializer.setter
    def serializer(self, value: ComputeSerializer | None) -> None:
        chosen = check_executors_serializer(value)
        if (
            self._serializer == JSON
            or isinstance(chosen, str)
            or (chosen and chosen.allowed_deserializer_types)
        ):
            raise InvalidRequest(
                'serializer: "json" and a serializer with an allow list say how results are read, too: give them '
                "when the Executor is made, Executor(serializer=...)"
            )
        before = self._view
        self._view = SessionView(self._session, before.target, origin=before.origin, serializer=chosen)

    def _endpoint(self, value: AnyId | None) -> bytes:
        """Return the id of an endpoint that is given by id or name; of a name the service is asked. Raises
        InvalidRequest, NotFound."""
        if isinstance(value, str) and is_endpoint_name(value):
            return self._session.settings.peer.endpoint_named(value)
        return id_bytes(value, "endpoint")

    def _set_option(self, keyword: str, value: Any) -> None:
        target = self._view.target
        self._set_target(self._kept(replace(target, options=replace_option(target.options, keyword, value))))

    def _kept(self, target: Target) -> Target:
        """Return ``target``. Raises InvalidRequest for options that workers of this Executor do not keep."""
        if not target.endpoint:
            check_kept(target.options, EndpointKind.OURS)
            if (spec := self._session.settings.spec) is not None:
                check_fit(
                    resources_of(target.options), lambda: offer_of(spec), "the workers of this Executor"
                )
        return target

    def _set_target(self, target: Target) -> None:
        before = self._view
        self._view = SessionView(self._session, target, origin=before.origin, serializer=before.serializer)
