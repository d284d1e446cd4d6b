"""Environments that functions run in: described, built, taken as they are; and the Client's methods about them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from compute_executor.errors import InvalidRequest
from compute_executor.sdk.calls import Calls
from compute_executor.sdk.http.transport import field, mapping
from compute_executor.sdk.names import AnyId, canonical

CONTAINER_TYPES = ("docker", "podman", "singularity", "apptainer")

_VERSION = re.compile(r"3\.\d{1,3}(\.\d{1,3})?")


class ContainerSpec(msgspec.Struct):
    """What goes into an environment. ``apt``, ``pip`` and ``conda`` list packages; ``python_version`` is such as
    ``"3.12"`` (default: the endpoint's own); ``payload_url`` is the http or https address of a zip or tar archive,
    whose content functions can import."""

    name: str | None = None
    description: str | None = None
    apt: Sequence[str] | None = None
    pip: Sequence[str] | None = None
    conda: Sequence[str] | None = None
    python_version: str | None = None
    payload_url: str | None = None

    def __post_init__(self) -> None:
        for kind in ("apt", "pip", "conda"):
            packages = getattr(self, kind)
            if isinstance(packages, str) or not all(isinstance(one, str) for one in packages or ()):
                raise InvalidRequest(f"{kind} is a list of package names, not {packages!r:.100}")
        version = self.python_version
        if version is not None and not (isinstance(version, str) and _VERSION.fullmatch(version)):
            raise InvalidRequest(f"python_version is such as '3.12' or '3.12.4', not {version!r:.100}")

    def to_json(self) -> dict[str, Any]:
        """Return the document that a service builds from."""
        document = {key: value for key, value in msgspec.structs.asdict(self).items() if value is not None}
        return {key: list(value) if isinstance(value, tuple) else value for key, value in document.items()}


class ContainerCalls(Calls):
    """Part of Client."""

    def register_container(
        self, location: str, container_type: str, name: str = "", description: str = ""
    ) -> str:
        """Name an existing image, such as ``docker.io/library/python:3.12``; its id for ``container_uuid``.

        It is fetched if it is not there; if that fails it is tried again when it is registered again. Raises
        InvalidRequest for a type that is none of docker, podman, singularity, apptainer, or that the endpoint cannot
        run.
        """
        if container_type.lower() not in CONTAINER_TYPES:
            raise InvalidRequest(
                f"container_type is one of {', '.join(CONTAINER_TYPES)}, not {container_type!r}"
            )
        document = {
            "location": location,
            "type": container_type.lower(),
            "name": name,
            "description": description,
        }
        return str(field(self._session.post("/v2/containers", document), "container_id"))

    def build_container(self, container_spec: ContainerSpec, container_type: str | None = None) -> str:
        """Have an environment built; its id. The same content is built once. Tasks may be submitted at once: they
        wait for it, and fail with the end of the log if it fails. A build that failed is tried again when it is asked
        for again.

        ``container_type``: ``"venv"``, ``"podman"`` or ``"docker"`` (default: a virtual environment, or an image if
        apt packages are asked for). Raises InvalidRequest for what the endpoint cannot build.
        """
        document = container_spec.to_json()
        if container_type is not None:
            document["container_type"] = container_type
        return str(field(self._session.post("/v2/containers/build", document), "container_id"))

    def get_container(self, container_uuid: AnyId, container_type: str | None = None) -> dict[str, Any]:
        """Return what is known of a container. Raises NotFound."""
        path = f"/v2/containers/{canonical(container_uuid, 'container')}"
        document = self._session.get(f"{path}/{container_type}" if container_type else path)
        return mapping(field(document, "container"))

    def get_container_build_status(self, container_id: AnyId) -> str:
        """Return how its build stands: ``"queued"``, ``"building"``, ``"ready"``, ``"failed"``. Raises NotFound."""
        return str(field(self._build(container_id), "status"))

    def get_container_build_log(self, container_id: AnyId) -> str:
        """Return what the build has said so far. Raises NotFound."""
        return str(self._build(container_id).get("log", ""))

    def _build(self, container_id: AnyId) -> dict[str, Any]:
        return mapping(self._session.get(f"/v2/containers/build/{canonical(container_id, 'container')}"))
