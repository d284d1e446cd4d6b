"""What is still to be acknowledged."""

from __future__ import annotations

from compute_executor.protocol.frames import Ack
from compute_executor.session.stream.acknowledgements import Acknowledgements

ONE, TWO = b"1" * 16, b"2" * 16


def test_what_was_read_is_said_once() -> None:
    read: dict[bytes, int] = {}
    one = Acknowledgements(read)
    assert not one.owed

    read.update({ONE: 3, TWO: 5})
    assert one.owed
    assert list(one.due()) == [Ack(ONE, 3), Ack(TWO, 5)]
    assert not one.owed
    assert list(one.due()) == []
    read[TWO] = 6
    assert list(one.due()) == [Ack(TWO, 6)]


def test_a_group_that_is_read_from_the_start_again_owes_nothing() -> None:
    read = {ONE: 3}
    one = Acknowledgements(read)
    list(one.due())

    del read[ONE]
    assert not one.owed
    read[ONE] = 2
    assert not one.owed
