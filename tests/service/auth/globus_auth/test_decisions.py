"""The cache of decisions: short, bounded, never beyond the token's own end."""

from __future__ import annotations

from compute_executor.service.access import Identity
from compute_executor.service.auth.globus_auth.decisions import LIFE, Decisions

WHO = Identity("a", "alice")


def test_a_decision_holds_for_its_life() -> None:
    decisions = Decisions()
    decisions.put(b"t", WHO, now=100.0, expires=1e9)
    found = decisions.get(b"t", 100.0 + LIFE - 0.1)
    assert found is not None
    assert found.identity == WHO
    assert decisions.get(b"t", 100.0 + LIFE) is None
    assert decisions.get(b"u", 100.0) is None


def test_but_never_longer_than_the_token() -> None:
    decisions = Decisions()
    decisions.put(b"t", WHO, now=100.0, expires=103.0)
    assert decisions.get(b"t", 102.9) is not None
    assert decisions.get(b"t", 103.0) is None


def test_a_refusal_is_kept_too() -> None:
    decisions = Decisions()
    decisions.put(b"t", None, now=0.0, expires=1e9)
    found = decisions.get(b"t", 1.0)
    assert found is not None
    assert found.identity is None


def test_it_is_forgotten_on_demand_alone() -> None:
    decisions = Decisions()
    decisions.put(b"t", WHO, now=0.0, expires=1e9)
    decisions.put(b"u", WHO, now=0.0, expires=1e9)
    decisions.forget(b"t")
    decisions.forget(b"never there")
    assert decisions.get(b"t", 0.0) is None
    assert decisions.get(b"u", 0.0) is not None


def test_the_oldest_goes_first() -> None:
    decisions = Decisions(limit=2)
    for name in (b"1", b"2", b"1", b"3"):
        decisions.put(name, WHO, now=0.0, expires=1e9)
    assert len(decisions) == 2
    assert decisions.get(b"2", 0.0) is None
    assert decisions.get(b"1", 0.0) is not None
