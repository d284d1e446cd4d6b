"""Who has said something lately."""

from __future__ import annotations

from compute_executor.service.scheduling.speakers import Speakers


def test_who_spoke_last_besides_oneself() -> None:
    speakers = Speakers()
    assert not speakers.another_since("a", 0)
    for peer, now in (("b", 1), ("a", 2), ("a", 3)):
        speakers.spoke(peer, now)
    assert speakers.another_since("a", 1)
    assert not speakers.another_since("a", 1.5)
    assert speakers.another_since("b", 3)


def test_several_are_there_if_another_one_spoke_before_the_last_one() -> None:
    speakers = Speakers()
    assert not speakers.several_since(0)
    for now in (1, 2, 3):
        speakers.spoke("a", now)
    assert not speakers.several_since(0)
    speakers.spoke("b", 4)
    speakers.spoke("b", 5)
    assert speakers.several_since(3)
    assert not speakers.several_since(3.5)
