"""tqdm: a bar over `as_completed`."""

from __future__ import annotations

import io
from concurrent.futures import Executor, as_completed

from tqdm import tqdm


def test_a_bar_over_as_completed(executor: Executor) -> None:
    futures = [executor.submit(pow, n, 2) for n in range(30)]
    screen = io.StringIO()

    results = {future.result() for future in tqdm(as_completed(futures), total=len(futures), file=screen)}

    assert results == {n**2 for n in range(30)}
    assert "30/30" in screen.getvalue()
