"""The page itself, of NiceGUI's widgets: figures over time, groups, tasks, failures, workers."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

from nicegui import ui

from compute_executor.dashboard.chart import options, series
from compute_executor.dashboard.figures import STATES, Sample
from compute_executor.dashboard.group_card import GroupCard
from compute_executor.dashboard.source import PERIOD, Source
from compute_executor.durations import age, length, took
from compute_executor.errors import ComputeError

SHOWN = 100
"""Tasks in the list."""
LISTS_PERIOD = 3 * PERIOD
"""Seconds between two looks at the list that is shown."""
DRAW_PERIOD, STILL_PERIOD = 1.9 * PERIOD, 4.9 * PERIOD
"""Seconds after which the line over time is drawn again, and the same if its figures have not changed: it is most of
what the page costs a browser, 30 ms each time where no graphics card helps."""
TABS = ("Groups", "Tasks", "Failures", "Functions", "Workers", "Endpoints", "Users")
REST = 30.0
"""So many times what a list took must pass before it is asked for again: a costly one costs the service 3 %."""
_TELL_VISIBILITY = "emitEvent('seen', !document.hidden)"
_TASK_COLUMNS = [
    {"name": "short", "label": "Task", "field": "short", "align": "left"},
    {"name": "state", "label": "State", "field": "state", "align": "left"},
    {"name": "function", "label": "Function", "field": "function", "align": "left"},
    {"name": "submitted", "label": "Submitted", "field": "age", "align": "left"},
    {"name": "took", "label": "Took", "field": "took", "align": "left"},
    {"name": "error", "label": "Error", "field": "error", "align": "left"},
]
_WORKER_COLUMNS = [
    {"name": name, "label": name.capitalize(), "field": name, "align": "left"}
    for name in ("pid", "state", "pool", "task")
]
_FAILURE_COLUMNS = [
    {"name": "tasks", "label": "Tasks", "field": "tasks", "align": "right"},
    {"name": "error", "label": "Error", "field": "error", "align": "left"},
    {"name": "example", "label": "For example", "field": "example", "align": "left"},
]
_FUNCTION_COLUMNS = [
    {"name": name, "label": label, "field": name, "align": align}
    for name, label, align in (
        ("function", "Function", "left"),
        ("succeeded", "Succeeded", "right"),
        ("failed", "Failed", "right"),
        ("lost", "Lost", "right"),
        ("each", "Each", "right"),
        ("most", "Longest", "right"),
    )
]
_ENDPOINT_COLUMNS = [
    {"name": name, "label": name.capitalize(), "field": name, "align": "left"}
    for name in ("name", "status", "load", "id")
]
_USER_COLUMNS = [
    {"name": name, "label": name.capitalize(), "field": name, "align": "left" if name == "user" else "right"}
    for name in ("user", "groups", *STATES)
]
_COLUMNS = {
    "Tasks": (_TASK_COLUMNS, "id"),
    "Failures": (_FAILURE_COLUMNS, "error"),
    "Functions": (_FUNCTION_COLUMNS, "function"),
    "Workers": (_WORKER_COLUMNS, "pid"),
    "Endpoints": (_ENDPOINT_COLUMNS, "id"),
    "Users": (_USER_COLUMNS, "user"),
}
"""Of each list: its columns, and the one that tells its rows apart."""


class Page:
    """One browser's view of a source. While it is hidden, nothing is asked for it and nothing is sent to it. Owner:
    the loop thread."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._tab = TABS[0]
        self._filter: dict[str, Any] = {"state": "", "function": "", "group": ""}
        self._cards: dict[str, GroupCard] = {}
        self._found_tasks: list[dict[str, Any]] = []
        self._listed: tuple[str, dict[str, int]] | None = None  # what the list that is shown was made of
        self._rest_until = 0.0
        self._list_trouble = ""
        self._drawn = Sample(0.0, 0.0, 0, 0, 0)
        self._build()
        self._timers = (ui.timer(PERIOD, self._refresh), ui.timer(LISTS_PERIOD, self._refresh_list))
        ui.add_body_html(
            f"<script>document.addEventListener('visibilitychange', () => {_TELL_VISIBILITY})</script>"
        )
        ui.on("seen", lambda event: self._seen(visible=bool(event.args)))
        ui.context.client.on_connect(lambda: ui.run_javascript(_TELL_VISIBILITY))
        ui.context.client.on_disconnect(lambda: self._seen(visible=False))

    def _seen(self, *, visible: bool) -> None:
        for timer in self._timers:
            timer.active = visible
        if visible:
            self._source.watch(self)
            self._refresh()
        else:
            self._source.unwatch(self)

    # -- layout -------------------------------------------------------------------------------------------

    def _build(self) -> None:
        ui.dark_mode(None)  # as the browser says
        ui.page_title("compute_executor")
        with ui.column().classes("w-full max-w-screen-xl mx-auto p-2 sm:p-4 gap-4"):
            self._header()
            self._tiles()
            self._chart = ui.echart(options()).classes("w-full h-56")
            self._sections()
        self._dialogs = ui.element()  # not within the cards of groups, which go with their groups

    def _header(self) -> None:
        with ui.row().classes("w-full items-baseline justify-between"):
            ui.label("compute_executor").classes("text-2xl font-semibold")
            ui.label(self._source.url).classes("opacity-70 text-sm")
        self._trouble = ui.label().classes("text-red-600 w-full").props('role="alert"')

    def _tiles(self) -> None:
        self._figures = {}
        with ui.grid().classes("w-full grid-cols-2 sm:grid-cols-4 lg:grid-cols-8 gap-2"):
            for name in ("rate", "workers", *STATES):
                with ui.card().classes("p-3 gap-0"):
                    self._figures[name] = ui.label("0").classes("text-xl font-semibold tabular-nums")
                    ui.label("tasks/s" if name == "rate" else name).classes("text-xs opacity-70")

    def _sections(self) -> None:
        names = TABS if self._source.operator else TABS[:-1]
        with ui.tabs(on_change=self._chosen) as tabs:
            tabs.classes("w-full").props("align=left mobile-arrows outside-arrows")
            for name in names:
                ui.tab(name)
        self._tables: dict[str, ui.table] = {}
        with ui.tab_panels(tabs, value=TABS[0]).classes("w-full bg-transparent"):
            with ui.tab_panel(TABS[0]).classes("p-0"):
                self._no_groups = ui.label("Nothing was submitted here that is still kept.")
                self._no_groups.classes("opacity-70").set_visibility(False)
                self._groups = ui.column().classes("w-full gap-2")
            for name in names[1:]:
                with ui.tab_panel(name).classes("p-0"):
                    self._list(name)

    def _list(self, name: str) -> None:
        if name == "Tasks":
            self._task_filter()
        columns, key = _COLUMNS[name]
        self._tables[name] = ui.table(columns=columns, rows=[], row_key=key).classes("w-full")
        if name == "Tasks":
            self._tables[name].on("rowClick", self._clicked)

    def _task_filter(self) -> None:
        with ui.row().classes("w-full items-end gap-2"):
            ui.select(["", *STATES], label="State", on_change=self._chosen_again).bind_value(
                self._filter, "state"
            ).classes("w-36")
            ui.input("Function", on_change=self._chosen_again).bind_value(self._filter, "function").classes(
                "w-40"
            )
            ui.input("Group id", on_change=self._chosen_again).bind_value(self._filter, "group").classes(
                "w-72"
            )

    # -- news ---------------------------------------------------------------------------------------------

    def _refresh(self) -> None:
        source = self._source
        self._trouble.set_text(source.trouble or self._list_trouble)
        if not source.history.samples:
            return
        newest = source.history.samples[-1]
        self._figures["rate"].set_text(f"{newest.rate:,.0f}")
        self._figures["workers"].set_text(f"{newest.workers:,}")
        for name in STATES:
            self._figures[name].set_text(f"{source.counts[name]:,}")
        self._draw(newest)
        if self._tab == "Groups":
            self._show_groups()
        elif self._tab == "Workers":
            self._fill("Workers", [_worker_row(one) for one in source.overview.get("workers", ())])

    def _draw(self, newest: Sample) -> None:
        """Draw the line over time again, if it is time."""
        period = STILL_PERIOD if newest[1:] == self._drawn[1:] else DRAW_PERIOD
        if newest.time - self._drawn.time >= period:
            self._drawn = newest
            self._chart.options["series"] = series(self._source.history.corners())
            self._chart.update()

    def _fill(self, name: str, rows: list[dict[str, Any]]) -> None:
        """Show these rows in a table, if they have changed."""
        table = self._tables[name]
        if table.rows != rows:
            table.rows = rows
            table.update()

    async def _refresh_list(self) -> None:
        """Ask again for the list that is shown if tasks have changed, and the last answer was not a costly one."""
        name, now = self._tab, time.monotonic()
        if name not in _LISTS or now < self._rest_until:
            return
        listed = (name, self._source.counts)
        try:
            if listed != self._listed or name == "Endpoints":
                await _LISTS[name](self)
                self._listed = listed
        except ComputeError as error:
            self._list_trouble = str(error)
        else:
            self._list_trouble = ""
        self._rest_until = time.monotonic() + REST * (time.monotonic() - now)
        if name == "Tasks":  # their age changes
            self._fill("Tasks", [_row(task) for task in self._found_tasks])

    async def _ask_tasks(self) -> None:
        wanted = {name: value for name, value in self._filter.items() if value}
        found = await self._source.tasks(limit=SHOWN, **wanted)
        if wanted == {name: value for name, value in self._filter.items() if value}:
            self._found_tasks = found

    async def _ask_failures(self) -> None:
        self._fill("Failures", [one._asdict() for one in await self._source.failures()])

    async def _ask_functions(self) -> None:
        self._fill("Functions", [_function_row(one) for one in await self._source.functions()])

    async def _ask_endpoints(self) -> None:
        self._fill("Endpoints", await self._source.endpoints())

    async def _ask_users(self) -> None:
        self._fill("Users", await self._source.users())

    async def _chosen(self, event: Any) -> None:
        self._tab = event.value
        self._refresh()
        await self._chosen_again()

    async def _chosen_again(self) -> None:
        """Note that another list or filter was chosen: it is asked for at once."""
        self._listed, self._rest_until, self._list_trouble = None, 0.0, ""
        await self._refresh_list()

    def _show_groups(self) -> None:
        groups = self._source.groups
        self._no_groups.set_visibility(not groups)
        for gone in self._cards.keys() - {group["id"] for group in groups}:
            self._cards.pop(gone).element.delete()
        for place, group in enumerate(groups):
            if group["id"] not in self._cards:
                self._add_card(group["id"], place)
            self._cards[group["id"]].show(group, self._source.rates.get(group["id"], 0.0))

    def _add_card(self, group_id: str, place: int) -> None:
        with self._groups:
            card = self._cards[group_id] = GroupCard(lambda: self._ask_cancel("group", group_id))
        if place < len(self._cards) - 1:
            card.element.move(target_index=place)

    # -- one task, and ends -------------------------------------------------------------------------------

    async def _clicked(self, event: Any) -> None:
        try:
            task = await self._source.task(event.args[1]["id"])
        except ComputeError as error:
            ui.notify(str(error), type="negative")
            return
        with self._dialogs, ui.dialog() as dialog, ui.card().classes("w-full max-w-3xl"):
            ui.label(f"{task['function']}: {task['state']}").classes("text-lg font-semibold")
            for text in _lines(task):
                ui.label(text).classes("text-sm break-all")
            for name in ("traceback", "output"):
                if task.get(name):
                    ui.label(task[name]).classes("text-xs font-mono whitespace-pre-wrap break-all w-full")
            with ui.row():
                ui.button("Close", on_click=dialog.close).props("flat")
                if task["state"] in ("queued", "running"):
                    ui.button("Cancel", on_click=lambda: self._ask_cancel("task", task["id"])).props(
                        "outline color=red-5"
                    )
        dialog.open()

    def _ask_cancel(self, kind: str, thing: str) -> None:
        with self._dialogs, ui.dialog() as dialog, ui.card():
            ui.label(f"Cancel {kind} {thing}?")
            running = ui.checkbox("Stop also what runs now: the worker of such a task is ended")

            async def confirmed() -> None:
                dialog.close()
                await self._cancel(kind, thing, running=bool(running.value))

            with ui.row():
                ui.button("Keep", on_click=dialog.close).props("flat")
                ui.button("Cancel it", on_click=confirmed).props("color=negative")
        dialog.open()

    async def _cancel(self, kind: str, thing: str, *, running: bool) -> None:
        try:
            report = await self._source.cancel(kind, thing, running=running)
        except ComputeError as error:
            ui.notify(str(error), type="negative")
            return
        ui.notify(
            f"{report['withdrawn']:,} withdrawn, {report['stopped']:,} stopped, {report['left']:,} still running"
        )


def _row(task: dict[str, Any]) -> dict[str, Any]:
    return {**task, "age": age(task["submitted"]), "took": took(task), "error": task["error"] or ""}


def _worker_row(worker: dict[str, Any]) -> dict[str, Any]:
    return {**worker, "pool": worker["pool"][:8], "task": worker["task"] or ""}


def _function_row(figures: dict[str, Any]) -> dict[str, Any]:
    mean, longest = figures["mean"], figures["longest"]
    return {
        **figures,
        "each": "" if mean is None else length(mean),
        "most": "" if longest is None else length(longest),
    }


def _lines(task: dict[str, Any]) -> list[str]:
    moment = datetime.fromtimestamp(task["submitted"]).astimezone().isoformat(" ", "seconds")
    began = f", began {length(max(0.0, task['began'] - task['submitted']))} later" if task["began"] else ""
    ran = f", took {took(task)}" if task["began"] else ""
    return [
        task["id"],
        f"group {task['group']} {task.get('group_name', task.get('label', ''))}".rstrip(),
        f"{task.get('program', '')} (process {task.get('pid')} on {task.get('host')})",
        f"submitted {moment}{began}{ran}, attempt {task['attempt']}",
        *([f"worker: process {task['worker']}"] if task.get("worker") else []),
        f"endpoint {task['endpoint']}",
    ]


_LISTS: dict[str, Callable[[Page], Awaitable[None]]] = {
    "Tasks": Page._ask_tasks,
    "Failures": Page._ask_failures,
    "Functions": Page._ask_functions,
    "Endpoints": Page._ask_endpoints,
    "Users": Page._ask_users,
}
"""Lists that are asked for while they are shown."""
