"""What the scripts of the patterns import: ``Pool``, the executor that COLUMN names. Run beside them, not in a
package, so that their workers can import it, too."""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import Executor as AnyExecutor
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any


def _processes(method: str, workers: int, options: dict[str, Any]) -> AnyExecutor:
    context = multiprocessing.get_context(method)
    return ProcessPoolExecutor(workers, mp_context=context, **options)


def Pool(workers: int = 2, **options: Any) -> AnyExecutor:
    """An executor as the script's author would make it."""
    column = os.environ["COLUMN"]
    if column == "threads":
        return ThreadPoolExecutor(workers, **options)
    if column in ("fork", "spawn"):
        return _processes(column, workers, options)
    if column == "loky":
        from loky import ProcessPoolExecutor as Loky

        made: AnyExecutor = Loky(workers, **options)
        return made
    from compute_executor import Executor

    return Executor(workers, **options)
