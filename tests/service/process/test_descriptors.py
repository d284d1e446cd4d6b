"""How many files a service may have open."""

from __future__ import annotations

import resource

import pytest

from compute_executor.service.process import descriptors


@pytest.mark.parametrize(
    ("soft", "hard", "wanted"),
    [
        (256, 4096, 4096),
        (1024, 1 << 30, descriptors.DESCRIPTORS),
        (256, resource.RLIM_INFINITY, descriptors.DESCRIPTORS),
    ],
)
def test_the_limit_is_raised(monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, wanted: int) -> None:
    told: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: told.append(limits))
    assert descriptors.raise_limit() == wanted
    assert told == [(wanted, hard)]


@pytest.mark.parametrize(("soft", "hard"), [(100_000, 200_000), (512, 512)])
def test_a_limit_that_is_high_or_fixed_stays(monkeypatch: pytest.MonkeyPatch, soft: int, hard: int) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", None)
    assert descriptors.raise_limit() == soft


def test_a_limit_that_cannot_be_raised_is_what_there_is(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("current limit exceeds maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, resource.RLIM_INFINITY))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert descriptors.raise_limit() == 256
    assert "256 files" in caplog.text
