"""The page itself, of NiceGUI's widgets: figures over time, groups, tasks, failures, workers."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from nicegui import ui

from compute_executor.dashboard.figures import STATES, Sample, progress
from compute_executor.dashboard.source import Source
from compute_executor.durations import age, length
from compute_executor.errors import ComputeError

PERIOD = 1.0
"""Seconds between two looks at the service."""
SHOWN = 100
"""Tasks in the list."""
COLOURS = {
    "queued": "grey",
    "running": "blue",
    "succeeded": "green",
    "failed": "red",
    "lost": "deep-orange",
    "cancelled": "blue-grey",
}
_TASK_COLUMNS = [
    {"name": "short", "label": "Task", "field": "short", "align": "left"},
    {"name": "state", "label": "State", "field": "state", "align": "left"},
    {"name": "function", "label": "Function", "field": "function", "align": "left"},
    {"name": "submitted", "label": "Submitted", "field": "age", "align": "left"},
    {"name": "took", "label": "Took", "field": "took", "align": "left"},
    {"name": "error", "label": "Error", "field": "error", "align": "left"},
]
_GRID = {"color": "rgba(128, 128, 128, 0.3)"}
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


class Page:
    """One browser's view of a source. Owner: the loop thread."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._shown: list[dict[str, Any]] = []
        self._filter: dict[str, Any] = {"state": "", "function": "", "group": ""}
        self._build()
        ui.timer(PERIOD, self._refresh)
        ui.timer(3 * PERIOD, self._refresh_lists)

    # -- layout -------------------------------------------------------------------------------------------

    def _build(self) -> None:
        ui.dark_mode(None)  # as the browser says
        ui.page_title("compute_executor")
        with ui.column().classes("w-full max-w-screen-xl mx-auto p-2 sm:p-4 gap-4"):
            self._header()
            self._tiles()
            self._chart = ui.echart(_chart([])).classes("w-full h-56")
            self._sections()
        self._dialogs = (
            ui.element()
        )  # groups are drawn again and again, and would take their dialogs with them

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
        with ui.tabs().classes("w-full").props("align=left mobile-arrows outside-arrows") as tabs:
            names = ["Groups", "Tasks", "Failures", "Functions", "Workers", "Endpoints"]
            if self._source.operator:
                names.append("Users")
            places = [ui.tab(name) for name in names]
        with ui.tab_panels(tabs, value=places[0]).classes("w-full bg-transparent"):
            with ui.tab_panel(places[0]).classes("p-0"):
                self._groups = ui.column().classes("w-full gap-2")
            with ui.tab_panel(places[1]).classes("p-0"):
                self._task_list()
            columns = (
                (_FAILURE_COLUMNS, "error"),
                (_FUNCTION_COLUMNS, "function"),
                (_WORKER_COLUMNS, "pid"),
                (_ENDPOINT_COLUMNS, "id"),
                (_USER_COLUMNS, "user"),
            )
            self._tables: dict[str, ui.table] = {}
            for place, name, (head, key) in zip(places[2:], names[2:], columns, strict=False):
                with ui.tab_panel(place).classes("p-0"):
                    self._tables[name] = ui.table(columns=head, rows=[], row_key=key).classes("w-full")

    def _task_list(self) -> None:
        with ui.row().classes("w-full items-end gap-2"):
            ui.select(["", *STATES], label="State", on_change=self._filtered).bind_value(
                self._filter, "state"
            ).classes("w-36")
            ui.input("Function", on_change=self._filtered).bind_value(self._filter, "function").classes(
                "w-40"
            )
            ui.input("Group id", on_change=self._filtered).bind_value(self._filter, "group").classes("w-72")
        self._tasks = ui.table(columns=_TASK_COLUMNS, rows=[], row_key="id").classes("w-full")
        self._tasks.on("rowClick", self._clicked)

    # -- news ---------------------------------------------------------------------------------------------

    async def _refresh(self) -> None:
        source = self._source
        self._trouble.set_text(source.trouble)
        if not source.history.samples:
            return
        newest = source.history.samples[-1]
        self._figures["rate"].set_text(f"{newest.rate:,.0f}")
        self._figures["workers"].set_text(f"{newest.workers:,}")
        for name in STATES:
            self._figures[name].set_text(f"{source.counts()[name]:,}")
        self._chart.options.update(_chart(list(source.history.samples)))
        self._chart.update()
        self._show_groups()
        workers = source.overview.get("workers", ())
        self._fill(
            "Workers", [{**one, "pool": one["pool"][:8], "task": one["task"] or ""} for one in workers]
        )
        self._fill("Functions", [_function_row(one) for one in source.figures["functions"]])

    def _fill(self, name: str, rows: list[dict[str, Any]]) -> None:
        """Show these rows in a table, if the page has it and they have changed."""
        table = self._tables.get(name)
        if table is not None and table.rows != rows:
            table.rows = rows
            table.update()

    async def _refresh_lists(self) -> None:
        try:
            wanted = {name: value for name, value in self._filter.items() if value}
            rows = await self._source.tasks(limit=SHOWN, **wanted)
            found = await self._source.failures()
            endpoints, users = await self._source.endpoints(), await self._source.users()
        except ComputeError as error:
            self._trouble.set_text(str(error))
            return
        self._tasks.rows = [_row(task) for task in rows]
        self._tasks.update()
        self._fill("Failures", [one._asdict() for one in found])
        self._fill("Endpoints", endpoints)
        self._fill("Users", users)

    async def _filtered(self) -> None:
        await self._refresh_lists()

    def _show_groups(self) -> None:
        """Draw the groups again if they have changed: a button that is drawn again loses the focus."""
        if self._shown == self._source.groups and self._groups.default_slot.children:
            return
        self._shown = list(self._source.groups)
        self._groups.clear()
        with self._groups:
            if not self._source.groups:
                ui.label("Nothing was submitted here that is still kept.").classes("opacity-70")
            for group in self._source.groups:
                self._show_group(group)

    def _show_group(self, group: dict[str, Any]) -> None:
        how = progress(group, self._source.rates.get(group["id"], 0.0))
        with ui.card().classes("w-full p-3 gap-1"):
            with ui.row().classes("w-full items-center justify-between no-wrap"):
                with ui.column().classes("gap-0 min-w-0"):
                    ui.label(group.get("name", group["label"]) or group["id"][:8]).classes(
                        "font-semibold truncate"
                    )
                    client = "" if group["clients"] else ", its program has ended"
                    ui.label(f"{group['program']}{client}, {age(group['started'])}").classes(
                        "text-xs opacity-70 break-all"
                    )
                if group["queued"] or group["running"]:
                    ui.button("Cancel", on_click=lambda: self._ask_cancel("group", group["id"])).props(
                        "outline dense color=red-5"
                    )
            ui.linear_progress(how.share, show_value=False).props('rounded size="8px"')
            with ui.row().classes("gap-x-3 gap-y-0 text-sm"):
                for name in STATES:
                    if group[name]:
                        ui.badge(f"{group[name]:,} {name}", color=COLOURS[name])
                if how.left is not None:
                    ui.label(f"{length(how.left)} left").classes("opacity-70")

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
    took = length(max(0.0, task["ended"] - task["began"])) if task["began"] and task["ended"] else ""
    return {**task, "age": age(task["submitted"]), "took": took, "error": task["error"] or ""}


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
    took = (
        f", took {length(max(0.0, task['ended'] - task['began']))}" if task["began"] and task["ended"] else ""
    )
    return [
        task["id"],
        f"group {task['group']} {task.get('group_name', task.get('label', ''))}".rstrip(),
        f"{task.get('program', '')} (process {task.get('pid')} on {task.get('host')})",
        f"submitted {moment}{began}{took}, attempt {task['attempt']}",
        *([f"worker: process {task['worker']}"] if task.get("worker") else []),
        f"endpoint {task['endpoint']}",
    ]


def _chart(samples: list[Sample]) -> dict[str, Any]:
    """The options of an ECharts line chart over the last minutes."""
    series = {
        "tasks/s": [[one.time * 1000, round(one.rate, 2)] for one in samples],
        "queued": [[one.time * 1000, one.queued] for one in samples],
        "running": [[one.time * 1000, one.running] for one in samples],
    }
    return {
        "animation": False,
        "tooltip": {"trigger": "axis"},
        "legend": {"top": 0, "textStyle": {"color": "#888"}},
        "grid": {"left": 48, "right": 48, "top": 32, "bottom": 24},
        "color": ["#3b82f6", "#9ca3af", "#f59e0b"],
        "xAxis": {"type": "time", "axisLabel": {"color": "#888", "hideOverlap": True}},
        "yAxis": [
            {"type": "value", "axisLabel": {"color": "#888"}, "min": 0, "splitLine": {"lineStyle": _GRID}},
            {"type": "value", "axisLabel": {"color": "#888"}, "min": 0, "splitLine": {"show": False}},
        ],
        "series": [
            {
                "name": name,
                "type": "line",
                "showSymbol": False,
                "data": data,
                "yAxisIndex": 0 if name == "tasks/s" else 1,
                "areaStyle": {"opacity": 0.1} if name == "tasks/s" else None,
            }
            for name, data in series.items()
        ],
    }
