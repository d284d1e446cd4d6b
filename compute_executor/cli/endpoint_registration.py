"""What the service is told of an endpoint, and when: once its engine has started, if that is new.

The settings of a start, and what it has the service told, hold from when the service has accepted them. A start that
fails before leaves both as they were.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from compute_executor.cli.chosen_service import ChosenService, choose
from compute_executor.endpoint.agent.folder import Credentials, EndpointFolder
from compute_executor.endpoint.settings import EndpointSettings, StartOrder, load, save

WHOM: dict[str, Any] = {"description": "", "public": False, "group": "", "allowed_functions": []}
"""The settings about whom an endpoint is for, with their defaults. They are the service's; all others are this
machine's."""


def admit(order: StartOrder) -> Credentials:
    """Return the id of an endpoint and its token, registered anew where that is needed; from now on its settings
    hold. Raises what the service answers."""
    folder = EndpointFolder(order.name)
    known = _known(folder, order.settings)
    said = to_say(order.settings, order.chosen, {} if known is None else known.said or {})
    if known is None or said != known.said:
        me = {"machine": folder.machine(), "join": order.join, "replace": order.replace}
        answer = service_of(order.settings).ask("PUT", f"/v3/agents/{folder.name}", {**said, **me})
        known = Credentials(answer["endpoint_id"], answer["token"], place_of(order.settings), said)
        folder.keep_credentials(known)
    save(folder.settings, order.settings)
    return known


def look_ahead(order: StartOrder) -> None:
    """Ask the service something, where it will be needed: what would refuse the endpoint is told before its engine
    starts. Raises what it answers; that there is no such endpoint, where it is to be joined."""
    folder = EndpointFolder(order.name)
    known = _known(folder, order.settings)
    if known is None or to_say(order.settings, order.chosen, known.said or {}) != known.said:
        path = f"/v3/agents/{order.name}" if order.join else "/v3/agents"
        service_of(order.settings).ask("GET", path)


def to_say(settings: EndpointSettings, chosen: Collection[str], said: dict[str, Any]) -> dict[str, Any]:
    """Return what the service is told: what differs from the defaults, what was chosen now, and what it was told
    before, which may have become the default again. Of the rest it keeps what another machine of the endpoint has
    said.

    >>> to_say(EndpointSettings(public=True), [], {"group": "5d1c"})
    {'public': True, 'group': None}
    >>> to_say(EndpointSettings(), ["public"], {})
    {'public': False}
    >>> to_say(EndpointSettings(), [], {})
    {}
    """
    values = {name: getattr(settings, name) for name in WHOM}
    told = {
        name: value for name, value in values.items() if value != WHOM[name] or name in chosen or name in said
    }
    return {
        name: None if value in ("", []) and name != "description" else value for name, value in told.items()
    }


def _known(folder: EndpointFolder, settings: EndpointSettings) -> Credentials | None:
    """Return what the service of these settings gave the endpoint. Where it was not noted what that was told, it was
    told what the file of its settings says."""
    known = folder.credentials()
    if known is None or known.service != place_of(settings):
        return None
    return known if known.said is not None else known._replace(said=to_say(load(folder.settings), [], {}))


def place_of(settings: EndpointSettings) -> str:
    """Return what says for which service a token is."""
    return settings.url or (f"profile {settings.profile}" if settings.profile else "")


def service_of(settings: EndpointSettings) -> ChosenService:
    """Return the service, as this user. The local one is started if there is none."""
    if settings.url or settings.profile:
        found = chosen_by(settings)
        assert found is not None
        return found
    from compute_executor.local.embedded import find_or_start

    address = find_or_start()
    return ChosenService(address.url, address.token)


def chosen_by(settings: EndpointSettings) -> ChosenService | None:
    """Return the service that the settings name, as this user; the one that is usual for commands if they name none
    (None: nothing is stored)."""
    return choose(None, settings.profile or None, settings.url or None, settings.certificate or None)
