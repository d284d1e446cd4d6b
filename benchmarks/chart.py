"""The charts of docs/. A dot is a median, its line the span; to the right is better, everywhere."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.jobs import Figure, Job
from benchmarks.peers import OURS, REFERENCE, Peer
from benchmarks.runner import Findings

COLUMNS = 4
COLOURS = {True: "#c1272d", False: "#4c6a92"}


def ratios(findings: Findings, figures: list[tuple[Job, Figure]], peers: list[Peer], path: Path) -> None:
    """A small panel per figure, a line per peer, the advantage over ProcessPoolExecutor on a log axis."""
    plt = _pyplot()
    figures = [(job, figure) for job, figure in figures if figure.ratio]
    peers = [peer for peer in peers if any(pair.peer == peer.name for pair in findings.pairs)]
    rows = -(-len(figures) // COLUMNS)
    figure, axes = plt.subplots(rows, COLUMNS, figsize=(13, 0.7 + 1.9 * rows), sharey=True, squeeze=False)
    for axis, (job, measured) in zip(axes.flat, figures, strict=False):
        _panel(axis, findings, job, measured, peers)
    for axis in axes.flat[len(figures) :]:
        axis.set_visible(False)
    figure.suptitle(f"Times better than {REFERENCE} on the same job beside it (dot: median, line: span)")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _panel(axis: Any, findings: Findings, job: Job, measured: Figure, peers: list[Peer]) -> None:
    for place, peer in enumerate(reversed(peers)):
        found = [pair.ratio(measured.name) for pair in findings.of(job.name, peer.name)]
        better = sorted((ratio if measured.more else 1 / ratio) for ratio in found if ratio > 0)
        if better:
            colour = COLOURS[peer.name == OURS]
            axis.plot([better[0], better[-1]], [place, place], color=colour, linewidth=2, alpha=0.5)
            axis.plot([statistics.median(better)], [place], "o", color=colour, markersize=5)
        else:
            axis.text(
                0.5, place, "-", transform=axis.get_yaxis_transform(), va="center", ha="center", color="0.6"
            )
    axis.axvline(1, color="0.3", linewidth=0.8)
    axis.set_xscale("log")
    axis.set_yticks(range(len(peers)), [peer.name for peer in reversed(peers)], fontsize=8)
    axis.set_ylim(-0.6, len(peers) - 0.4)
    axis.tick_params(axis="x", which="both", labelsize=7)
    axis.grid(axis="x", alpha=0.3)
    axis.set_title(f"{job.name}: {measured.label}", fontsize=9)


def lines(panels: Sequence[tuple[str, str, str, dict[str, list[tuple[float, float]]]]], path: Path) -> None:
    """Growth: a log-log panel per ``(title, x label, y label, {series: points})``."""
    plt = _pyplot()
    rows = -(-len(panels) // 2)
    figure, axes = plt.subplots(rows, 2, figsize=(11, 3.4 * rows), squeeze=False)
    for axis, (title, across, up, series) in zip(axes.flat, panels, strict=False):
        for name, points in series.items():
            axis.plot(*zip(*sorted(points), strict=True), "o-", label=name)
        axis.set(title=title, xlabel=across, ylabel=up, xscale="log", yscale="log")
        axis.grid(which="both", alpha=0.3)
        axis.legend(fontsize=8)
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _pyplot() -> Any:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot
