"""Tasks and groups by what people type: an id, the beginning of one, a short id, the name of a group."""

from __future__ import annotations

from urllib.parse import quote

from compute_executor.cli.chosen_service import ChosenService
from compute_executor.cli.wrong_input import WrongInput


def resolved(service: ChosenService | None, name: str) -> tuple[str, str]:
    """Return the kind (``task`` or ``group``) and the whole id. Raises WrongInput, NotFound, InvalidRequest."""
    if service is None:
        raise WrongInput(f"there is no task or task group {name}")
    found = service.ask("GET", f"/v3/resolve?name={quote(name, safe='')}")
    ((kind, whole),) = found.items()
    return kind, whole


def named_group(service: ChosenService, name: str) -> str:
    """Return the whole id of a group. Raises WrongInput if it is a task."""
    kind, whole = resolved(service, name)
    if kind != "group":
        raise WrongInput(f"{name} is a task, not a task group; see it with: compute-executor task {name}")
    return whole
