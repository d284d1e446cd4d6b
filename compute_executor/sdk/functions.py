"""The Client's methods about functions: registering, looking up, finding, deleting."""

from __future__ import annotations

import platform
import re
from collections.abc import Callable, Mapping
from typing import Any

from compute_executor._version import __version__
from compute_executor.errors import InvalidRequest
from compute_executor.sdk import limits
from compute_executor.sdk.calls import Calls
from compute_executor.sdk.http.transport import field, mapping, sequence
from compute_executor.sdk.names import AnyId, canonical
from compute_executor.sdk.service_warnings import tell_warning


class FunctionCalls(Calls):
    """Part of Client."""

    def register_function(  # noqa: PLR0917 - the guide's signature
        self,
        function: Callable[..., Any],
        function_name: str | None = None,
        container_uuid: AnyId | None = None,
        description: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        public: bool = False,
        group: AnyId | None = None,
        ha_endpoint_id: AnyId | None = None,
    ) -> str:
        """Register a function; its id, to be used with `run`, `create_batch` and by others it is shared with.

        ``description`` defaults to the docstring. ``public``: anyone may run it; ``group``: members of that group
        may. ``container_uuid``: run it in workers inside that environment. ``ha_endpoint_id``: it runs on that high
        assurance endpoint only, is refused elsewhere (FunctionNotPermitted), and is shared with nobody. The same
        content registered again has the same id on services of our own. Raises SerializationError or
        PayloadTooLarge for a function that cannot travel, InvalidRequest for what is no function.
        """
        import inspect  # it and ast take 10 ms, which an Executor's start need not pay

        if not callable(function):
            raise InvalidRequest(
                f"a function is registered, this is {type(function).__name__}: {function!r:.100}"
            )
        document = {
            "function_name": function_name or _name_of(function),
            "function_code": self._function_text(function),
            "serialized": True,
            "description": description if description is not None else inspect.getdoc(function),
            **_sharing(public, group, container_uuid, ha_endpoint_id),
        }
        return self._register(document, metadata)

    def register_source_code(  # noqa: PLR0917 - the SDK's signature
        self,
        source: str,
        function_name: str | None = None,
        description: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        public: bool = False,
        group: AnyId | None = None,
        ha_endpoint_id: AnyId | None = None,
        *,
        container_uuid: AnyId | None = None,
    ) -> str:
        """Register a function by its source text; its id. The source needs no Python of this version to run.

        ``function_name`` defaults to the last function that the source defines; it may also be bound by an assignment
        or an import. Raises InvalidRequest for source that does not compile or does not define it.
        """
        names = _defined(source)
        name = function_name or (names[-1] if names else None)
        if name not in names and not (name and _binds(source, name)):
            raise InvalidRequest(
                f"the source defines {', '.join(names) or 'no function'}, not {name or 'any'}"
            )
        document = {
            "function_name": name,
            "function_code": source,
            "serialized": False,
            "description": description,
            **_sharing(public, group, container_uuid, ha_endpoint_id),
        }
        return self._register(document, metadata)

    def get_function(self, function_id: AnyId) -> dict[str, Any]:
        """Return the document of a registered function: name, description, code, metadata. Raises NotFound."""
        return mapping(self._session.get(f"/v2/functions/{canonical(function_id, 'function')}"))

    def delete_function(self, function_id: AnyId) -> dict[str, Any]:
        """Forget a function. Tasks that are submitted already still run. Raises NotFound."""
        return mapping(self._session.delete(f"/v2/functions/{canonical(function_id, 'function')}"))

    def list_functions(self) -> list[dict[str, Any]]:
        """Documents of all functions that the caller may run (own services; Globus Compute has no such list)."""
        return self.search_functions("")

    def search_functions(self, text: str) -> list[dict[str, Any]]:
        """Documents of those functions that the caller may run whose name or description contains ``text``."""
        return sequence(self._session.get("/v2/functions", {"search": text} if text else None))

    def _register(self, document: dict[str, Any], metadata: Mapping[str, Any] | None) -> str:
        if metadata is not None and not isinstance(metadata, Mapping):
            raise InvalidRequest(
                f"metadata must be a mapping, not {type(metadata).__name__}: {metadata!r:.100}"
            )
        limits.check("the function's code", len(document["function_code"]), self._wire.limits.function_bytes)
        versions = {"python_version": platform.python_version(), "sdk_version": __version__}
        document["meta"] = {**versions, **(metadata or {})}
        sent = {key: value for key, value in document.items() if value is not None}
        answer = self._session.post("/v3/functions", sent)
        tell_warning(answer)
        return str(field(answer, "function_uuid"))


def _sharing(
    public: bool, group: AnyId | None, container_uuid: AnyId | None, ha_endpoint_id: AnyId | None
) -> dict[str, Any]:
    """Return the fields that say who may run it, and where. Raises InvalidRequest for a function of a high assurance
    endpoint that is shared."""
    if ha_endpoint_id and (public or group):
        raise InvalidRequest("`ha_endpoint_id` is mutually exclusive with `public` and `group`")
    return {
        "ha_endpoint_id": canonical(ha_endpoint_id, "endpoint") if ha_endpoint_id else None,
        "public": public or None,
        "group": str(group) if group else None,
        "container_uuid": canonical(container_uuid, "container") if container_uuid else None,
    }


def _name_of(function: Any) -> str:
    """Return what the function is called: its own name, that of what a partial wraps, or that of its class."""
    name = getattr(function, "__name__", None)
    if isinstance(name, str):
        return name
    wrapped = getattr(function, "func", None)
    return _name_of(wrapped) if wrapped is not None else type(function).__name__


def _binds(source: str, name: str) -> bool:
    """Return whether a source that compiles gives a value to a name at its top, or may do so: what `import *` brings
    is not known here."""
    import symtable

    text = _at_margin(source)
    try:
        table = symtable.symtable(text, "<source>", "exec")
    except SyntaxError as error:
        raise _refusal(error) from error
    bound = {one.get_name() for one in table.get_symbols() if one.is_assigned() or one.is_imported()}
    return name in bound or bool(re.search(r"^\s*from\s.*\simport\s*\*", text, re.MULTILINE))


def _refusal(error: SyntaxError) -> InvalidRequest:
    return InvalidRequest(f"the source does not compile: {error}")


def _at_margin(source: str) -> str:
    """Return the source as workers compile it: as if its first lines were not indented."""
    import inspect

    return inspect.cleandoc("\n" + source)


def _defined(source: str) -> list[str]:
    """Return names of the functions that a source defines at its top."""
    import ast

    try:
        tree = ast.parse(_at_margin(source))
    except SyntaxError as error:
        raise _refusal(error) from error
    return [node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
