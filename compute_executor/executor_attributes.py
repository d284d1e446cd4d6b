"""The attributes of an Executor that have names of the Globus Compute SDK, whose programs set some of them between
submits: those that say where and how later calls run can be set, the service until the first call, and the rest is
fixed when the Executor is made."""

from __future__ import annotations

import copy
import uuid
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec

from compute_executor import checks
from compute_executor.batch import Target
from compute_executor.errors import InvalidRequest
from compute_executor.executor_arguments import (
    check_batch_size,
    check_client,
    check_port,
    dicts_of,
    id_bytes,
    pace_of,
    strategy_paths,
)
from compute_executor.fixed_attributes import FixedAttribute
from compute_executor.functions.codecs import Serializer
from compute_executor.peer import EmbeddedLocator, locator
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
    from compute_executor.sdk.client import Client
    from compute_executor.serialize import ComputeSerializer, Strategylike


class ExecutorAttributes:
    """Part of an Executor: what it says of itself, and what programs change of its later calls."""

    _session: Session
    _view: SessionView
    _serializer: ComputeSerializer | str | None
    _given_client: Client | None
    _given: dict[str, dict[str, Any]]
    """Options as they were passed, by keyword: programs change these dicts between submits."""
    _of_client: ComputeSerializer | None
    """The serializer that the Client was last seen with."""

    container_id: FixedAttribute[str] = FixedAttribute("use ex.options(container=...)")

    @property
    def label(self) -> str:
        """By what lists name the tasks. Until the first call it can be set."""
        return self._session.settings.label

    @label.setter
    def label(self, value: str) -> None:
        label, spec = checks.text("label", value), self._session.settings.spec
        renamed = None if spec is None else msgspec.structs.replace(spec, label=label)
        self._session.change_unused("label", label=label, spec=renamed)

    @property
    def client(self) -> Client:
        """The Client that this Executor was given, or one of the same service and login, made now. Until the first
        call it can be set."""
        if self._given_client is None:
            self._given_client = self._session.settings.peer.client()
        return self._given_client

    @client.setter
    def client(self, value: Client) -> None:
        self._session.change_unused("client", peer=locator(check_client(value), None, own=False))
        self._given_client = value

    @property
    def task_group_id(self) -> uuid.UUID:
        """The group that the tasks of later calls are results of. It can be set; None: to a new one."""
        return uuid.UUID(bytes=self._view.target.group or self._session.settings.group)

    @task_group_id.setter
    def task_group_id(self, value: AnyId | None) -> None:
        group = id_bytes(value or uuid.uuid4(), "task group")
        if self._session.used:
            self._set_target(replace(self._view.target, group=group))
        else:
            self._session.change(group=group)

    @property
    def batch_size(self) -> int:
        """How many tasks leave together at most. It can be set, for what has not left."""
        return self._session.queue.batch_size

    @batch_size.setter
    def batch_size(self, value: int) -> None:
        self._session.queue.batch_size = check_batch_size(value)

    @property
    def amqp_port(self) -> int | None:
        """The port of the broker; None: the one that the service names. It can be set, for the next connection."""
        return self._session.settings.amqp_port

    @amqp_port.setter
    def amqp_port(self, value: int | None) -> None:
        self._session.change(amqp_port=check_port(value))

    @property
    def api_burst_limit(self) -> int:
        """How many submits a hosted service gets in a window. It can be set."""
        return self._pace[0]

    @api_burst_limit.setter
    def api_burst_limit(self, value: int) -> None:
        self._session.change(pace=pace_of(value, self._pace[1]))

    @property
    def api_burst_window_s(self) -> float:
        """The time of :attr:`api_burst_limit`, in seconds. It can be set."""
        return self._pace[1]

    @api_burst_window_s.setter
    def api_burst_window_s(self, value: float) -> None:
        self._session.change(pace=pace_of(self._pace[0], value))

    @property
    def _pace(self) -> tuple[int, float]:
        return self._session.settings.pace or (HOSTED.requests, HOSTED.window)

    @property
    def endpoint_id(self) -> uuid.UUID | None:
        """The endpoint of later calls; None for the service's own. It can be set. An Executor that was made without
        one, and without a service, gets its service with it."""
        endpoint = self._view.target.endpoint
        return uuid.UUID(bytes=endpoint) if endpoint else None

    @endpoint_id.setter
    def endpoint_id(self, value: AnyId | None) -> None:
        peer = self._session.settings.peer
        if isinstance(peer, EmbeddedLocator) and value is not None and not is_endpoint_name(value):
            id_bytes(value, "endpoint")
            if not self._session.used:
                self._session.change(peer=locator(None, None, own=False))
        self._set_target(replace(self._view.target, endpoint=self._endpoint(value), pool=None))

    @property
    def resource_specification(self) -> dict[str, Any] | None:
        """What later calls need of a Globus Compute endpoint. It can be set, and changed; None takes it away."""
        return self._option("resource_specification")

    @resource_specification.setter
    def resource_specification(self, value: dict[str, Any] | None) -> None:
        self._set_option("resource_specification", value)

    @property
    def user_endpoint_config(self) -> dict[str, Any] | None:
        """What later calls want their user endpoint to be like. It can be set, and changed; None takes it away."""
        return self._option("user_endpoint_config")

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
    def serializer(self) -> Serializer | str:
        """By what functions and arguments of later calls travel, if that was chosen, or "json"; else the SDK's
        default. It can be set to a `ComputeSerializer` without an allow list, and to None, which takes that away;
        "json" and an allow list are given when the Executor is made."""
        if self._serializer == JSON:
            return JSON
        if self._view.serializer is not None:
            return self._view.serializer
        from compute_executor.serialize import ComputeSerializer  # only who looks at it pays for it

        return ComputeSerializer()

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

    def _option(self, keyword: str) -> dict[str, Any] | None:
        if keyword in self._given:
            return self._given[keyword]
        found: dict[str, Any] | None = copy.deepcopy(getattr(self._view.target.options, keyword))
        return found

    def _set_option(self, keyword: str, value: Any) -> None:
        target = self._view.target
        self._set_target(self._kept(replace(target, options=replace_option(target.options, keyword, value))))
        kept = {name: one for name, one in self._given.items() if name != keyword}
        self._given = kept | dicts_of(**{keyword: value})  # another one: views keep theirs

    def _current_view(self) -> SessionView:
        """Return the way of a call made now: with the options that were passed as dicts, and the serializer of the
        Client, as they are now."""
        for keyword, value in self._given.items():
            if value != getattr(self._view.target.options, keyword):
                self._set_option(keyword, value)
        if self._given_client is not None and self._given_client.chosen_serializer is not self._of_client:
            self._of_client = self._given_client.chosen_serializer
            self.serializer = self._of_client
        return self._view

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
