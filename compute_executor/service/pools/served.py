"""Whose code may run on the service's own machine, with the rights of the service."""

from __future__ import annotations

from compute_executor.errors import EndpointNotShared


class ServedUsers:
    """The users whom the service's own workers serve, and for whom it builds environments, which is to run their code
    as well. ``operators``: their ids; None: everybody."""

    def __init__(self, operators: frozenset[str] | None = None) -> None:
        self._operators = operators

    def __contains__(self, user: str) -> bool:
        return self._operators is None or user in self._operators

    def check(self, user: str) -> None:
        """Raise EndpointNotShared for anybody else."""
        if user not in self:
            raise EndpointNotShared(
                "the endpoint of this service itself serves only whoever runs the service, because a task or the "
                "build of an environment there could read the service's secrets: name an endpoint of your own "
                "(compute-executor endpoint), or ask the operator, who can open it to all (serve --trust-all-users)"
            )
