"""Whose code may run on the service's own machine, and under which account."""

from __future__ import annotations

from compute_executor.errors import EndpointNotShared
from compute_executor.service.access import Identity
from compute_executor.service.system_accounts import AccountMap, AccountUser


class ServedUsers:
    """The users whom the service's own workers serve, and for whom it builds environments, which is to run their code
    as well. ``operators``: their ids; None: everybody. ``accounts``: under which accounts the tasks of all others
    run, if they do."""

    def __init__(self, operators: frozenset[str] | None = None, accounts: AccountMap | None = None) -> None:
        self._operators = operators
        self._accounts = accounts

    def __contains__(self, user: str) -> bool:
        return self._operators is None or user in self._operators

    def check(self, user: str) -> None:
        """Raise EndpointNotShared for anybody else."""
        if user in self:
            return
        if self._accounts is not None:
            raise EndpointNotShared(
                "environments and images are built and started by the service itself, for whoever runs it: leave "
                "`container` out and use an interpreter with these packages that your account on this machine can "
                "start, or name an endpoint of your own (compute-executor endpoint)"
            )
        raise EndpointNotShared(
            "the endpoint of this service itself serves only whoever runs the service, because a task or the "
            "build of an environment there could read the service's secrets: name an endpoint of your own "
            "(compute-executor endpoint), or ask the operator, who can run each user's tasks under an account of "
            "their own (serve --run-as) or open it to all (serve --trust-all-users)"
        )

    def check_at_all(self, user: str) -> None:
        """Raise EndpointNotShared if tasks of this user run on the built-in endpoint under no account."""
        if self._accounts is None:
            self.check(user)

    def account(self, who: Identity) -> AccountUser | None:
        """Under which account tasks of ``who`` on the built-in endpoint run; None: that of the service. Raises
        EndpointNotShared if they may not run there at all."""
        if who.id in self or self._accounts is None:
            self.check(who.id)
            return None
        return AccountUser(who.name, self._accounts.find(who.name))

    def account_again(self, user: str, name: str | None) -> AccountUser | None:
        """Return the same for a user (id) whose pool was opened before a restart, under the name ``name``."""
        if user in self or self._accounts is None:
            self.check(user)
            return None
        if name is None:
            raise EndpointNotShared(
                "this pool was opened before each user's tasks ran under an account of their own: submit again"
            )
        return AccountUser(name, self._accounts.find(name))
