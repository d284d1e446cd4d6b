"""A small campaign: that it finds nothing, and that it would find what it looks for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from compute_executor.protocol import frames
from compute_executor.session.stream.router import Router
from integration.campaign import fuzz, report
from integration.campaign.__main__ import main
from integration.campaign.checker import ok_without_a_run, read_journals, started_twice
from integration.campaign.simulation import Simulation, simulate
from integration.campaign.soak import soak


@pytest.mark.slow
def test_a_round_of_faults_finds_nothing() -> None:
    found = soak(7, 1, 1, 10.0, print, each=(4000, 8.0))
    assert found.notes == []
    assert found.figures.attempted >= 4000
    assert found.faults.total() > 5


def test_the_simulation_finds_nothing() -> None:
    assert simulate(1, 400, 20.0).notes == []


def test_the_simulation_finds_a_service_that_forgets_prefixes(monkeypatch: pytest.MonkeyPatch) -> None:
    accept = Simulation._on_submit

    def forgetful(self: Simulation, frame: frames.Submit) -> None:
        self.store.batches.pop(frame.prefix, None)
        accept(self, frame)

    monkeypatch.setattr(Simulation, "_on_submit", forgetful)
    assert simulate(1, 30, 20.0).notes


def test_the_simulation_finds_a_client_that_trusts_the_order_of_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def from_the_last(self: Router, group: bytes) -> int:
        return self.read.get(group, 0)

    monkeypatch.setattr(Router, "resume_from", from_the_last)
    assert simulate(959, 1, 20.0).notes == ["seed 959: Violation: task 3 never ends"]


def test_changed_messages_find_nothing() -> None:
    found = fuzz.fuzz(1, 500, 20.0)
    assert found.notes == []
    assert set(found.inputs.values()) == {500}


def test_the_fuzzer_finds_what_may_not_be_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    careless = fuzz.Parser("careless", lambda data: data.decode(), (ValueError,), [b"text"])
    worse = careless._replace(parse=lambda data: [data[5]])
    monkeypatch.setattr(fuzz, "PARSERS", (careless, worse))
    found = fuzz.fuzz(1, 200, 20.0)
    assert found.notes
    assert all(note.startswith("careless: IndexError") for note in found.notes)


def test_the_account(tmp_path: Path) -> None:
    whole = ["group g", "tried 1", "tried 2", "tried 3", "tried 4"]
    ends = [
        "ended 1 ok",
        "ended 2 WorkerLost(begun)",
        "ended 2 ok",
        "ended 4 KeyError!",
        "left 1 2 0",
        "waited 3.5",
    ]
    killed = ["tried 7", "tried 8", "ended 7 ok"]
    successor = ["reloaded 2", "found ok", "found Forgotten"]
    (tmp_path / "trace").write_text("1\n1\n8\n")
    found = read_journals([[*whole, *ends], killed, successor])
    assert (found.attempted, found.ok, found.hung, found.duplicated) == (7, 4, 1, 1)
    assert (found.lost, found.unexpected, found.waited) == (1, 2, 3.5)
    assert (found.leaked_threads, found.leaked_descriptors, found.leaked_processes) == (1, 2, 0)
    assert started_twice(tmp_path / "trace") == 1
    assert ok_without_a_run([[*whole, *ends], killed], tmp_path / "trace") == 2
    assert found.faults()["lost"] == 1


def test_figures_find_their_place_in_the_page(tmp_path: Path) -> None:
    (tmp_path / report.PAGE).write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    run: dict[str, Any] = {"commit": "abc", "began": "2026-01-01 00:00", "seconds": 3600, "notes": []}
    report.note(tmp_path, "simulation", {**run, "seeds": 1000, "tasks": 5})
    report.note(tmp_path, "simulation", {**run, "seeds": 2000, "tasks": 5})
    report.write_page(tmp_path)
    page = (tmp_path / report.PAGE).read_text()
    assert page.startswith("before\n")
    assert page.endswith("after\n")
    assert "old" not in page
    assert "**3,000 seeds**" in page
    assert "Not run." in page


def test_a_folder_without_the_page_is_refused_before_anything_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["fuzz", "--output", str(tmp_path)])
    assert "copy docs/reliability.md there first" in capsys.readouterr().err
