"""The guide's Client: one object that speaks to a compute service for one identity.

    from compute_executor import Client

    client = Client()                                   # this user's embedded service, no account
    function_id = client.register_function(simulate)
    task_id = client.run(0.3, function_id=function_id)
    client.get_result(task_id)

Which service and whose login: `backends`. The methods, by subject: `functions`, `tasks`, `endpoints`, `containers`.
What the Executor uses besides: :meth:`Client.address` and below.

Nothing is opened before the first request (except that a Globus login asks its user at once, as the guide says).
Any thread may use a Client.
"""

from __future__ import annotations

import threading
import uuid
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from compute_executor.errors import InvalidRequest, NotFound
from compute_executor.protocol.call_options import check_kept
from compute_executor.protocol.endpoint_kind import EndpointKind, kind_of
from compute_executor.protocol.endpoint_names import is_endpoint_name
from compute_executor.protocol.frames import Options
from compute_executor.protocol.submit import endpoint_options
from compute_executor.sdk import backends, ending, versions
from compute_executor.sdk.backends import BackendChoice
from compute_executor.sdk.batch import BatchOptions
from compute_executor.sdk.containers import ContainerCalls
from compute_executor.sdk.endpoints import EndpointCalls
from compute_executor.sdk.http.pacing import Pacer
from compute_executor.sdk.http.requests import ApiClient
from compute_executor.sdk.http.transport import Request, field, mapping, sequence
from compute_executor.sdk.limits import HOSTED
from compute_executor.sdk.login_manager import environments
from compute_executor.sdk.login_manager.protocol import LoginManagerProtocol
from compute_executor.sdk.names import AnyId, canonical
from compute_executor.sdk.own_api import OwnApi
from compute_executor.sdk.result_cache import ResultCache
from compute_executor.sdk.wires.native_wire import NativeWire
from compute_executor.sdk.wires.text_wire import TextWire
from compute_executor.sdk.wires.wire import Wire
from compute_executor.serialization import json_form, json_source, packing, stock
from compute_executor.serialization.python_versions import Versions
from compute_executor.serialize import ComputeSerializer, Strategylike

if TYPE_CHECKING:
    from globus_sdk import GlobusApp
    from globus_sdk.authorizers import GlobusAuthorizer


_NOTHING: Mapping[str, str] = {}
_NO_CACHE: Mapping[str, str] = {"Cache-Control": "no-cache"}
"""What a service of ours remembers about the token is not to count (`service.api.middleware.token`)."""


class ResultQueueAddress(NamedTuple):
    """A broker's address, which holds a password, and how the queue of a task group is called: prefix and id."""

    url: str
    prefix: str
    trouble: str = ""
    """Why the broker takes no messages, as far as the service tells."""

    def __repr__(self) -> str:
        return f"ResultQueues(url=..., prefix={self.prefix!r})"


class Client(EndpointCalls, ContainerCalls):
    """Speaks to a compute service.

    ``environment``: a deployment of Globus Compute ("production", "preview", ...). ``base_url`` and ``token``: a
    service of one's own. ``login_manager``, ``authorizer``, ``app``: who is asking, by means of globus_sdk.
    ``force_login``: log in again even if there are tokens; a service of one's own is asked at once to find out anew
    whose the token is and in which groups they are. ``insecure_http``: allow plain http to another machine.
    ``do_version_check``: ask before the first call whether the service serves clients like this one.
    ``code_serialization_strategy``, ``data_serialization_strategy``: how functions and arguments travel (see
    `compute_executor.serialize`); by default as suits the service. ``serializer="json"``: arguments, and results of
    functions that this Client registers, travel as JSON, and nothing is ever unpickled here (docs/security.md). An
    unknown keyword is warned about. With none of these: the hosted service if client credentials are set or somebody
    has logged in, else this user's embedded service, which is started if need be. Raises InvalidRequest for
    arguments that exclude each other, NotAuthorized if a login fails.
    """

    FUNCX_SCOPE = environments.SCOPE
    FUNCX_SDK_CLIENT_ID = environments.NATIVE_CLIENT_ID

    def __init__(
        self,
        environment: str | None = None,
        local_compute_services: bool = False,
        do_version_check: bool = True,
        *,
        base_url: str | None = None,
        token: str | None = None,
        login_manager: LoginManagerProtocol | None = None,
        authorizer: GlobusAuthorizer | None = None,
        app: GlobusApp | None = None,
        force_login: bool = False,
        insecure_http: bool = False,
        profile: str | None = None,
        code_serialization_strategy: Strategylike | None = None,
        data_serialization_strategy: Strategylike | None = None,
        serializer: Literal["json"] | None = None,
        **unrecognized: Any,
    ) -> None:
        for name in unrecognized:
            warnings.warn(
                f"The '{name}' argument is unrecognized. (It might have been removed in a previous release.)",
                stacklevel=2,
            )
        named = environments.LOCAL if local_compute_services else environment
        wanted = BackendChoice(
            named, base_url, token, login_manager, authorizer, app, force_login, insecure_http, profile
        )
        backend = backends.choose(wanted)
        self.login_manager: LoginManagerProtocol | None = backend.login_manager
        self.app = app
        self.authorizer = authorizer
        self._auth_client: Any = None
        self._serializer: ComputeSerializer | None = None  # None: as the service's workers like it best
        if code_serialization_strategy is not None or data_serialization_strategy is not None:
            self._serializer = ComputeSerializer(code_serialization_strategy, data_serialization_strategy)
        self._json = ending.check_serializer(serializer) is not None
        if self._json and self._serializer is not None:
            raise InvalidRequest(
                'serializer="json" says how functions and arguments travel: leave out '
                "code_serialization_strategy and data_serialization_strategy"
            )
        self._own = backend.own
        self._asking = threading.Lock()
        self._spoken: Wire | None = None
        self._checks_version = do_version_check
        self._session = ApiClient(
            backend.transport,
            Pacer(HOSTED.requests, HOSTED.window) if self._hosted else None,
            opening=_check_version if self._hosted and do_version_check else None,
        )
        self._results = ResultCache()
        self._versions = Versions()
        self._kinds: dict[str, EndpointKind] = {}  # of endpoints of a service of ours, by id
        if force_login and not self._hosted:
            self._own = self._ask_whether_own(_NO_CACHE)

    def logout(self) -> bool:
        """Revoke and forget the login. False where there is none to forget: embedded service, token, authorizer."""
        return bool(self.login_manager.logout()) if self.login_manager is not None else False

    def close(self) -> None:
        """Close the connections; also done when the Client is garbage. It may be used again."""
        self._session.transport.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Client of {self._session.transport!r}>"

    # -- under the names of the SDK --------------------------------------------------------------------------

    @property
    def web_service_address(self) -> str:
        """The service's base URL. The embedded service is found, or started, for it."""
        return self.address()

    @property
    def fx_serializer(self) -> ComputeSerializer:
        """How functions and arguments travel, if that was chosen; else the SDK's default. It can be set; one with an
        allow list keeps this Client from reading any result by other strategies."""
        return self._serializer or ComputeSerializer()

    @fx_serializer.setter
    def fx_serializer(self, serializer: ComputeSerializer) -> None:
        if self._json:
            raise InvalidRequest('this Client was made with serializer="json", which stays')
        if not isinstance(serializer, ComputeSerializer):
            raise TypeError(f"Expected ComputeSerializer, got {type(serializer).__name__}")
        self._serializer = serializer

    @property
    def chosen_serializer(self) -> ComputeSerializer | None:
        """How functions and arguments travel, if that was chosen."""
        return self._serializer

    @property
    def serializer(self) -> str | None:
        """ "json", or None: what the Client was made with."""
        return "json" if self._json else None

    def version_check(self, endpoint_version: str | None = None) -> None:
        """Ask the service whether it serves clients like this one, and endpoints of this version. Raises
        VersionMismatch."""
        document = _version_document(self._session)
        versions.check(document, self.address())
        if endpoint_version is not None:
            versions.check_endpoint(document, self.address(), endpoint_version)

    def get_result_amqp_url(self) -> dict[str, str]:
        """Return where results are streamed by AMQP: ``connection_url``, which holds a password, and
        ``queue_prefix``. Raises NotFound if nowhere."""
        return mapping(self._session.get("/v2/get_amqp_result_connection_url"))

    @property
    def auth_client(self) -> Any:
        """Globus Auth, by the ``app`` that the Client was made with (deprecated in the SDK, too)."""
        warnings.warn("The 'Client.auth_client' attribute is deprecated.", DeprecationWarning, stacklevel=2)
        if self._auth_client is not None:
            return self._auth_client
        if self.app is None:
            raise InvalidRequest("auth_client is there for a Client that was made with app=")
        from globus_sdk import AuthClient  # 30 ms, and only logins need it

        return AuthClient(app=self.app)

    @auth_client.setter
    def auth_client(self, client: Any) -> None:
        self._auth_client = client

    # -- for the Executor -----------------------------------------------------------------------------------

    def address(self) -> str:
        """Return the service's base URL. The embedded service is found, or started, for it."""
        return self._session.transport.address()

    def authorization(self) -> str | None:
        """Return the value of the Authorization header that this Client's requests have."""
        return self._session.transport.authorization()

    def is_own_service(self) -> bool:
        """Return whether the service is one of this package, so that streams, frames and cancelling can be used."""
        with self._asking:
            if self._own is None:
                self._own = self._ask_whether_own()
            return self._own

    @property
    def hosted(self) -> bool:
        """Whether the service is known to be Globus Compute's own, without asking it."""
        return self._hosted

    def look(self) -> tuple[dict[str, Any], str | None]:
        """Return the service's version document, and the time that it says it is (a Date header)."""
        answer = self._session.call(Request("GET", "/v2/version", query={"service": "all"}))
        document = answer.document()
        return (document if isinstance(document, dict) else {"api": document}), answer.headers.get("date")

    def result_queues(self, *, trouble: bool = False) -> ResultQueueAddress:
        """Return where results are streamed by AMQP, with credentials of this moment; with ``trouble``, a service of
        this package is asked how the broker is. Raises NotFound if nowhere."""
        query = {"trouble": "true"} if trouble else {}
        document = self._session.get("/v2/get_amqp_result_connection_url", query)
        return ResultQueueAddress(
            str(field(document, "connection_url")),
            str(field(document, "queue_prefix")),
            str(document.get("trouble", "")),
        )

    def register_code(self, name: str, code: bytes, description: str = "") -> str:
        """Register a function that is serialised already (a native stream or packed text); its id."""
        document = {
            "function_name": name,
            "function_code": packing.function_to_text(code),
            "serialized": True,
            "description": description or None,
        }
        return self._register(document, None)

    def group_tasks(self, group: str) -> list[str]:
        """Return the ids of a task group's tasks. Raises NotFound."""
        tasks = sequence(field(self._session.get(f"/v2/taskgroup/{group}"), "tasks"))
        return [str(field(task, "id")) for task in tasks]

    def text_wire(self) -> TextWire:
        """Return the way of speaking that every service understands."""
        return TextWire(self._session)

    def own_api(self) -> OwnApi:
        """Return the HTTP API of an own service, under this Client's login. Asks nothing."""
        return OwnApi(self._session)

    def _endpoint(self, endpoint_id: AnyId | None) -> str | None:
        if is_endpoint_name(endpoint_id) and self.is_own_service():
            return str(uuid.UUID(bytes=self.own_api().endpoint_named(str(endpoint_id))))
        return canonical(endpoint_id, "endpoint") if endpoint_id is not None else None

    # -- which wire -----------------------------------------------------------------------------------------

    @property
    def _hosted(self) -> bool:
        return self._own is False

    @property
    def _wire(self) -> Wire:
        if self._spoken is None:
            self._spoken = NativeWire(self._session) if self.is_own_service() else TextWire(self._session)
        return self._spoken

    def _encode_call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        if self._json:
            return json_form.dump_call(args, kwargs)
        if self._serializer is None:
            return self._wire.encode_call(args, kwargs)
        packed = self._serializer.pack_buffers([self._serializer.serialize(one) for one in (args, kwargs)])
        return self._wire.packed_call(packed)

    def _function_text(self, function: Callable[..., Any]) -> str:
        if self._json:
            own = self.is_own_service()
            dumps = stock.dumps_in_json_for_all if own else stock.dumps_in_json
            return packing.function_to_text(dumps(function))
        if self._serializer is None:
            return self._wire.function_text(function)
        return self._serializer.pack_buffers([self._serializer.serialize(function)])

    @property
    def _reading(self) -> ending.Reading:
        return ending.reading_of(self._serializer or self.serializer)

    def _result_serializers(self, endpoint_id: str | None) -> list[str] | None:
        asked = self._json and self._kind(endpoint_id) in {EndpointKind.STOCK, EndpointKind.HOSTED}
        return [json_source.STRATEGY] if asked else None

    def _check_kept(self, endpoint_id: str | None, options: BatchOptions) -> None:
        """Raise InvalidRequest for options of a batch that the endpoint would leave out in silence."""
        chosen = endpoint_options(
            resource_specification=options.resource_specification or None,
            user_endpoint_config=options.user_endpoint_config or None,
            result_serializers=options.result_serializers or None,
            user_runtime=None,
        )
        if chosen != Options():
            check_kept(chosen, self._kind(endpoint_id))

    def _kind(self, endpoint_id: str | None) -> EndpointKind:
        """Return who runs the tasks of an endpoint. A service of ours is asked once for each."""
        if not self.is_own_service():
            return EndpointKind.HOSTED
        if endpoint_id is None:
            return EndpointKind.OURS
        if endpoint_id not in self._kinds:
            self._kinds[endpoint_id] = kind_of(self.get_endpoint_metadata(endpoint_id))
        return self._kinds[endpoint_id]

    def _ask_whether_own(self, headers: Mapping[str, str] = _NOTHING) -> bool:
        """Return our services name themselves in their version document; stock ones have no such entry."""
        document = _version_document(self._session, headers)
        if self._checks_version:
            versions.check(document, self.address())
        return "compute_executor" in document


def _version_document(session: ApiClient, headers: Mapping[str, str] = _NOTHING) -> dict[str, Any]:
    """Return what the service says of its versions; empty if it says nothing."""
    try:
        found = session.call(
            Request("GET", "/v2/version", query={"service": "all"}, headers=headers)
        ).document()
    except NotFound:
        return {}
    return found if isinstance(found, dict) else {}


def _check_version(session: ApiClient) -> None:
    versions.check(_version_document(session), session.transport.address())
