"""What a task raised, out of whichever form it came in: our encoding, or the text of a traceback."""

from __future__ import annotations

from compute_executor.errors import TaskExecutionFailed
from compute_executor.serialization import carrier, exceptions
from compute_executor.serialization.traceback_text import summary

_PICKLE = b"\x80"


def raised(body: bytes | memoryview, task_id: str | None = None) -> BaseException:
    """Return the exception; as a TaskExecutionFailed where there is only its text. Raises ResultDecodeError."""
    if body[:1] == _PICKLE:
        error = exceptions.decode(body, task_id)
        text = error.remote_traceback if isinstance(error, TaskExecutionFailed) else ""
        return carrier.unload(text) or error
    return of_text(bytes(body).decode("utf-8", "backslashreplace"), task_id)


def of_text(text: str, task_id: str | None = None) -> BaseException:
    """Return the exception that the text of a traceback carries, if it carries one."""
    carried = carrier.unload(text)
    if carried is not None:
        return carried
    what = f"task {task_id}" if task_id else "the task"
    return TaskExecutionFailed(f"{what} failed: {summary(text)}", task_id=task_id, remote_traceback=text)
