"""Random numbers that are the same in every run of a sweep, for any number of workers."""

from __future__ import annotations

from typing import Any

from compute_executor.sweeps.documents import optional


def child_seed(seed: int, place: int) -> int:
    """Return the seed of row ``place``: ``SeedSequence(seed).spawn(place + 1)[place].generate_state(1)[0]`` of numpy.

    Children of one seed are independent of each other, whatever their number (numpy's documentation of
    ``SeedSequence``); 32 bits, which every library takes as a seed.

    >>> child_seed(1, 0) == child_seed(1, 0), child_seed(1, 0) == child_seed(1, 1)
    (True, False)
    """
    random: Any = optional("numpy.random", "sample", "a seed for each row")
    state = random.SeedSequence(seed, spawn_key=(place,)).generate_state(1)
    return int(state[0])
