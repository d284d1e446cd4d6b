"""The line over time, as ECharts wants it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from compute_executor.dashboard.figures import Sample

_LABEL = {"color": "#888"}
_GRID = {"color": "rgba(128, 128, 128, 0.3)"}
_LINES = {"tasks/s": "rate", "queued": "queued", "running": "running", "workers": "workers"}


def options() -> dict[str, Any]:
    """Return a chart without lines. Tasks a second are on its left axis, all else on the right one."""
    return {
        "animation": False,
        "tooltip": {"trigger": "axis"},
        "legend": {"top": 0, "textStyle": _LABEL},
        "grid": {"left": 48, "right": 48, "top": 32, "bottom": 24},
        "color": ["#3b82f6", "#9ca3af", "#f59e0b", "#10b981"],
        "xAxis": {"type": "time", "axisLabel": {**_LABEL, "hideOverlap": True}},
        "yAxis": [
            {"type": "value", "axisLabel": _LABEL, "min": 0, "splitLine": {"lineStyle": _GRID}},
            {"type": "value", "axisLabel": _LABEL, "min": 0, "splitLine": {"show": False}},
        ],
        "series": series(()),
    }


def series(samples: Sequence[Sample]) -> list[dict[str, Any]]:
    """Return the lines through these samples."""
    return [
        {
            "name": name,
            "type": "line",
            "showSymbol": False,
            "data": [[round(one.time * 1000), round(getattr(one, field), 2)] for one in samples],
            "yAxisIndex": 0 if field == "rate" else 1,
            "areaStyle": {"opacity": 0.1} if field == "rate" else None,
        }
        for name, field in _LINES.items()
    ]
