"""One task group on the page: its name, how far it is, and the button that ends it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nicegui import ui

from compute_executor.dashboard.figures import STATES, progress
from compute_executor.durations import age, length

COLOURS = {
    "queued": "grey",
    "running": "blue",
    "succeeded": "green",
    "failed": "red",
    "lost": "deep-orange",
    "cancelled": "blue-grey",
}


class GroupCard:
    """The card of a group, made in the slot that is open. It is changed, not drawn again: its button keeps the focus,
    and only what changes is sent to the browser. Owner: the loop thread."""

    def __init__(self, cancel: Callable[[], None]) -> None:
        self.element: ui.card = ui.card().classes("w-full p-3 gap-1")
        with self.element:
            with ui.row().classes("w-full items-center justify-between no-wrap"):
                with ui.column().classes("gap-0 min-w-0"):
                    self._name = ui.label().classes("font-semibold truncate max-w-full")
                    self._about = ui.label().classes("text-xs opacity-70 break-all")
                self._cancel = ui.button("Cancel", on_click=cancel).props("outline dense color=red-5")
            self._bar = ui.linear_progress(0.0, show_value=False).props('rounded size="8px"')
            with ui.row().classes("gap-x-3 gap-y-0 text-sm"):
                self._counts = {name: ui.badge(color=COLOURS[name]) for name in STATES}
                self._left = ui.label().classes("opacity-70")

    def show(self, group: dict[str, Any], rate: float) -> None:
        """Show the group as it is now; its tasks end at ``rate`` a second."""
        how = progress(group, rate)
        client = "" if group["clients"] else ", its program has ended"
        self._name.set_text(group.get("name", group["label"]) or group["id"][:8])
        self._about.set_text(f"{group['program']}{client}, {age(group['started'])}")
        self._cancel.set_visibility(bool(group["queued"] or group["running"]))
        self._bar.set_value(round(how.share, 3))
        for name, badge in self._counts.items():
            badge.set_text(f"{group[name]:,} {name}")
            badge.set_visibility(bool(group[name]))
        self._left.set_text("" if how.left is None else f"{length(how.left)} left")
