"""How a task stands: the status word of the guide, and its value or exception once it has ended.

The body stays bytes until the caller asks: what is cached has a known size, and each call makes fresh objects.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from compute_executor.errors import ComputeError, DeserializationError, ResultDecodeError, TaskPending
from compute_executor.protocol import frames
from compute_executor.sdk.ending import ANYTHING, Reading
from compute_executor.sdk.http.transport import mapping
from compute_executor.serialization import exceptions, packing

WAITING, RUNNING, SUCCESS, FAILED = "waiting-for-ep", "running", "success", "failed"


class Outcome(NamedTuple):
    """What is known of a task. ``kind``: frames.VALUE and so on, None while it is pending. ``body``: of a VALUE a
    native stream or text buffer; of an EXCEPTION our encoding, or the text of a traceback; else a msgpack Reason."""

    task_id: str
    status: str
    kind: int | None = None
    body: bytes = b""
    completion_t: str = ""
    details: dict[str, Any] | None = None

    @property
    def pending(self) -> bool:
        """Whether the task has not ended."""
        return self.kind is None

    def value(self, reading: Reading = ANYTHING) -> Any:
        """Return the result. Raises the function's own exception, TaskPending, or why there is neither. ``reading``:
        by which alone anything is read."""
        if self.pending:
            raise TaskPending(
                f"task {self.task_id} is still pending: it is {self.status}",
                task_id=self.task_id,
                status=self.status,
            )
        if self.kind != frames.VALUE:
            raise self.exception(reading)
        return reading.value(self.body)

    def exception(self, reading: Reading = ANYTHING) -> BaseException:
        """Return why the task failed. ``reading``: as for :meth:`value`."""
        assert self.kind is not None, "a pending task has no exception"
        try:
            return reading.exception(self.kind, self.body, self.task_id)
        except ResultDecodeError as error:
            return error

    def document(self, reading: Reading = ANYTHING) -> dict[str, Any]:
        """Return the entry of ``get_batch_result`` and ``get_task``, in the guide's words."""
        if self.pending:
            return {"pending": True, "status": self.status}
        document: dict[str, Any] = {"pending": False, "status": self.status, **self._ending(reading)}
        document["completion_t"] = self.completion_t
        if self.details:
            document["details"] = self.details
        return document

    def _ending(self, reading: Reading) -> dict[str, Any]:
        """Return the result; or the exception, also where the result cannot be read here."""
        if self.kind != frames.VALUE:
            return {"exception": self.exception(reading)}
        try:
            return {"result": self.value(reading)}
        except (ResultDecodeError, DeserializationError) as error:
            return {"exception": error, "status": FAILED}


def pending(task_id: str, status: str) -> Outcome:
    """Of a task that has not ended."""
    return Outcome(task_id, status)


def failed(task_id: str, error: BaseException, completion_t: str) -> Outcome:
    """Of a task that was refused before it became one."""
    return Outcome(task_id, FAILED, frames.EXCEPTION, exceptions.encode(error), completion_t)


def of_document(task_id: str, document: dict[str, Any]) -> Outcome:
    """From a service's JSON task document. Raises ComputeError if that is of another task."""
    status = str(mapping(document).get("status", "unknown")).lower()
    if status not in (SUCCESS, FAILED):
        return pending(task_id, status)
    if str(document.get("task_id", task_id)) != task_id:
        raise ComputeError(f"asked for task {task_id}, the service answered about {document.get('task_id')}")
    end = (str(document.get("completion_t", "unknown")), document.get("details"))
    if "result" in document:
        body = packing.result_from_text(str(document["result"]))
        return Outcome(task_id, SUCCESS, frames.VALUE, body, *end)
    text = str(document.get("exception") or document.get("reason") or "no reason was given")
    return Outcome(task_id, FAILED, frames.EXCEPTION, text.encode(errors="backslashreplace"), *end)


def of_result(task_id: str, result: frames.Result, body: bytes) -> Outcome:
    """From a result of our own service whose body has been fetched."""
    status = SUCCESS if result.status == frames.VALUE else FAILED
    return Outcome(task_id, status, result.status, body, f"{result.ended:.7f}")
