"""The Client's methods about endpoints: finding, registering, stopping; what their workers are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from compute_executor.sdk.functions import FunctionCalls
from compute_executor.sdk.http.transport import mapping, sequence
from compute_executor.sdk.names import AnyId, canonical
from compute_executor.sdk.tasks import TaskCalls

HARDWARE_REPORT = '''
def hardware_report():
    """What the workers of an endpoint run on."""
    import os
    import platform
    import shutil

    lines = [
        "Compute Endpoint worker",
        f"  host        {platform.node()}",
        f"  system      {platform.platform()}",
        f"  processor   {platform.processor() or platform.machine()}",
        f"  CPUs        {os.cpu_count()}",
        f"  Python      {platform.python_version()} ({platform.python_implementation()})",
    ]
    if hasattr(os, "sched_getaffinity"):
        lines.append(f"  usable CPUs {len(os.sched_getaffinity(0))}")
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        lines.append(f"  memory      {os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.1f} GiB")
    lines.append(f"  free disk   {shutil.disk_usage('/').free / 2**30:.1f} GiB")
    return "\\n".join(lines)
'''
"""Registered as source, so that it runs on any endpoint whatever is installed there."""


class EndpointCalls(FunctionCalls, TaskCalls):
    """Part of Client."""

    def get_endpoints(self, role: str | None = None) -> list[dict[str, Any]]:
        """Return the endpoints that the caller may use; ``role="owner"``: the caller's own."""
        return sequence(self._session.get("/v2/endpoints", {"role": role} if role else None))

    def get_endpoint_status(self, endpoint_uuid: AnyId) -> dict[str, Any]:
        """Return whether an endpoint is online, and what it last said of itself. Raises NotFound."""
        return mapping(self._session.get(f"{_path(endpoint_uuid)}/status"))

    def get_endpoint_metadata(self, endpoint_uuid: AnyId) -> dict[str, Any]:
        """Return what is known of an endpoint: name, host, versions. Raises NotFound."""
        return mapping(self._session.get(_path(endpoint_uuid)))

    def register_endpoint(  # noqa: PLR0917 - today's signature
        self,
        name: str,
        endpoint_id: AnyId | None = None,
        metadata: Mapping[str, Any] | None = None,
        multi_user: bool | None = None,
        display_name: str | None = None,
        allowed_functions: Iterable[AnyId] | None = None,
        auth_policy: AnyId | None = None,
        subscription_id: AnyId | None = None,
        public: bool | None = None,
        high_assurance: bool | None = None,
        admins: Iterable[AnyId] | None = None,
        group: AnyId | None = None,
    ) -> dict[str, Any]:
        """Register an endpoint, or change the one called ``endpoint_id``; the service's registration document.

        ``allowed_functions``: it runs only these. ``public``, ``group``: who may submit to it. ``admins``: ids of
        identities that may change it besides its owner (Globus Compute only).
        """
        functions = [canonical(one, "function") for one in allowed_functions] if allowed_functions else None
        document = {
            "endpoint_name": name,
            "metadata": dict(metadata) if metadata else None,
            "multi_user": multi_user or None,
            "display_name": display_name,
            "allowed_functions": functions,
            "authentication_policy": str(auth_policy) if auth_policy else None,
            "subscription_uuid": str(subscription_id) if subscription_id else None,
            "public": public,
            "high_assurance": high_assurance,
            "admins": [str(admin) for admin in admins] if admins else None,
            "group": str(group) if group else None,
        }
        sent = {key: value for key, value in document.items() if value is not None}
        if endpoint_id is None:
            return mapping(self._session.call_once("/v3/endpoints", sent))
        return mapping(self._session.put(f"/v3/endpoints/{canonical(endpoint_id, 'endpoint')}", sent))

    def stop_endpoint(self, endpoint_id: AnyId) -> dict[str, Any]:
        """Break an endpoint's connections, and keep it from coming back for a while. Raises NotFound."""
        return mapping(self._session.post(f"/v3/endpoints/{canonical(endpoint_id, 'endpoint')}/lock", {}))

    def delete_endpoint(self, endpoint_id: AnyId) -> dict[str, Any]:
        """Forget an endpoint. Raises NotFound."""
        return mapping(self._session.delete(_path(endpoint_id)))

    def get_allowed_functions(self, endpoint_id: AnyId) -> dict[str, Any]:
        """Return which functions an endpoint runs, if it is restricted to some. Raises NotFound."""
        return mapping(
            self._session.get(f"/v3/endpoints/{canonical(endpoint_id, 'endpoint')}/allowed_functions")
        )

    def get_worker_hardware_details(self, endpoint_id: AnyId | None = None) -> str:
        """Have a worker of the endpoint describe its machine; the id of that task, whose result is text."""
        function_id = self.register_source_code(HARDWARE_REPORT, "hardware_report")
        return self.run(endpoint_id=endpoint_id, function_id=function_id)


def _path(endpoint_id: AnyId) -> str:
    return f"/v2/endpoints/{canonical(endpoint_id, 'endpoint')}"
