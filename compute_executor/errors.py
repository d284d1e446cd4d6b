"""Every error that a user of this package can meet, in one tree.

    ComputeError
    ├── SerdeError                              serialization, either way
    │   ├── SerializationError (TypeError,      an argument, function or result cannot become bytes
    │   │   │                   PicklingError)
    │   │   └── ResultDecodeError               bytes arrived that cannot become an object here
    │   │                       (UnpicklingError)
    │   └── DeserializationError                a text that no serialization strategy reads, or may read
    ├── MaxResultSizeExceeded                   a result is larger than an endpoint hands back
    ├── InvalidRequest (ValueError)             the call itself is malformed
    │   ├── InvalidArgument (TypeError)         an argument of a type that cannot be meant
    │   ├── PayloadTooLarge                     over a limit of the service; names size and limit
    │   ├── ResourcesNotOffered                 a call asks for more than its workers have; names both
    │   └── UsedInImport                        a module uses an Executor while a worker imports it
    ├── NotAuthorized (PermissionError)         no valid credentials, or they do not allow this
    │   ├── FunctionNotPermitted                the endpoint runs only certain functions
    │   └── EndpointNotShared                   the service's own endpoint serves its operator only
    ├── NotFound (LookupError)                  no such task, function, endpoint, group, for this caller
    │   └── ResultGone                          a large result was taken before, and its file is deleted
    ├── ServiceUnavailable (ConnectionError)    the service cannot be reached, started, or has no room
    │   ├── SubmitOutcomeUnknown                sent, no answer, and repeating could run it twice
    │   ├── LoginUnavailable                    Globus Auth does not answer the service: who is it?
    │   ├── RequestNotSent, NoAnswer            the service did not see the request; it may have seen it
    │   ├── FolderTaken                         another service runs on this state folder
    │   ├── StorageFull, StoreBusy,             the disk is full; the database is locked by another process;
    │   │   StoreDamaged                        it is not what the service wrote
    │   └── BrokerUnconfirmed,                  the broker may not have a message; it has no queue for it;
    │       BrokerUnroutable, QueueMissing      a queue was deleted
    ├── QuotaExceeded                           a user has as much of a shared service as it allows
    │   └── BacklogFull                         as many open tasks: sent again when some have ended
    ├── VersionMismatch (RuntimeError)          the two sides do not understand each other
    ├── EndpointLocked                          the endpoint was stopped from afar a short while ago
    ├── EndpointTaken                           an endpoint of this name runs already, here or elsewhere
    ├── TaskPending                             the result is asked for before the task has ended
    ├── TaskExecutionFailed                     the function raised what cannot be rebuilt here
    ├── ProgramFailed                           a program of a sweep ended with an error, or without its results
    ├── TaskCancelled (CancelledError)          withdrawn before it began
    ├── TaskTimeout (TimeoutError)              stopped at its walltime
    └── WorkerLost (BrokenExecutor)             the worker process died under the task
        └── PoolBroken                          workers cannot start at all (initializer, interpreter)

Each also is the standard exception in brackets, so that ``except TimeoutError`` and the like go on
working. ``code`` and ``http_status`` are what a service answers (the Globus Compute code
numbers 1-22 where one exists; ours start at 100). An error travels as a document and comes back as
the same class: :meth:`ComputeError.document`, :func:`from_document`.
"""

from __future__ import annotations

import concurrent.futures
import pickle
from typing import Any, ClassVar

HELP = "help: compute-executor explain "
"""With this the line begins that leads to cause and remedy."""


class ComputeError(Exception):
    """The root. ``retryable``: the same call may succeed later. ``task_id``: the task concerned, if one."""

    code: ClassVar[int] = 18
    http_status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False
    retry_after: int | None = None
    """Seconds after which to ask again, where that is known: the header Retry-After."""

    def __init__(self, message: str = "", *, task_id: str | None = None) -> None:
        super().__init__(message)
        self.task_id = task_id
        self.__notes__: list[str] = [self.help]  # below the message of an uncaught error, from Python 3.11 on

    @property
    def help(self) -> str:
        """The line that leads to cause and remedy: by a command, which needs no network, and by the page it shows."""
        name = next(kind.__name__ for kind in type(self).__mro__ if kind.__module__ == __name__)
        return f"{HELP}{name} (docs/reference/errors.md#{name.lower()})"

    @property
    def message(self) -> str:
        """What happened, to what, and what to do about it."""
        return str(self.args[0]) if self.args else ""

    def __str__(self) -> str:
        return self.message

    def document(self) -> dict[str, Any]:
        """Return the JSON body with which a service reports this error (the shape of Globus Compute's own)."""
        return {
            "status": "Failed",
            "code": self.code,
            "name": type(self).__name__,
            "reason": self.message,
            "error_args": [],
            "http_status_code": self.http_status,
        }


class SerdeError(ComputeError):
    """Serialization or deserialization failed; also raised for a strategy that there is not."""

    code = 123
    http_status = 400


class SerializationError(SerdeError, TypeError, pickle.PicklingError):
    """An argument, a function or a result cannot be turned into bytes.

    A TypeError and a PicklingError both, because a ProcessPoolExecutor's caller meets now the one, now the other.
    """

    code = 100
    http_status = 400


class ResultDecodeError(SerializationError, pickle.UnpicklingError):
    """Bytes arrived that cannot be turned into an object here; says how many and why."""

    code = 101
    http_status = 500


class DeserializationError(SerdeError):
    """A text cannot be read by a serialization strategy (`compute_executor.serialize`), or may not be."""

    code = 124
    http_status = 400


class MaxResultSizeExceeded(ComputeError):
    """A result is larger than an endpoint hands back. ``result_size``, ``result_size_limit``: bytes."""

    code = 125

    def __init__(
        self, result_size: int | str, result_size_limit: int = 0, *, task_id: str | None = None
    ) -> None:
        """``result_size`` is the whole message where the figures are not known apart, as in an error's document."""
        known = isinstance(result_size, int)
        message = f"Task result of {result_size}B exceeded current limit of {result_size_limit}B"
        super().__init__(message if known else str(result_size), task_id=task_id)
        self.result_size: int = result_size if isinstance(result_size, int) else 0
        self.result_size_limit: int = result_size_limit


class InvalidRequest(ComputeError, ValueError):
    """The call is malformed: an id that is no UUID, a missing field, a wrong type."""

    code = 17
    http_status = 400


class InvalidArgument(InvalidRequest, TypeError):
    """An argument is of a type that cannot be meant: both a ValueError and a TypeError, for users of either."""

    code = 126


class PayloadTooLarge(InvalidRequest):
    """A function, an argument, a batch or a result is over a limit; names both figures."""

    code = 102
    http_status = 413


class ResourcesNotOffered(InvalidRequest):
    """A call asks for cores, memory, devices, machines or ranks that its workers do not have; names both figures."""

    code = 145


class UsedInImport(InvalidRequest):
    """A module uses an Executor while a worker imports it for a task: workers would start workers without end."""

    code = 146


class NotAuthorized(ComputeError, PermissionError):
    """No valid credentials were given, or they do not allow this."""

    code = 1
    http_status = 401


class FunctionNotPermitted(NotAuthorized):
    """The endpoint runs only certain functions, and this is none of them; or the function runs on another endpoint
    only."""

    code = 10
    http_status = 403


class EndpointNotShared(NotAuthorized):
    """The service's own endpoint serves only whoever runs the service: its tasks could read the service's secrets."""

    code = 134
    http_status = 403


class NotFound(ComputeError, LookupError):
    """Nothing of that id exists for this caller: services do not tell foreign ids from absent ones."""

    code = 6
    http_status = 404


class ResultGone(NotFound):
    """A large result was taken by its client before, and its file was deleted to free the disk."""

    code = 131


class ServiceUnavailable(ComputeError, ConnectionError):
    """The service cannot be reached, cannot be started, or has no room; accepted tasks are not lost by it."""

    code = 103
    http_status = 503
    retryable = True


class SubmitOutcomeUnknown(ServiceUnavailable):
    """A batch was sent, no answer came, and the service has no way to recognise a repetition."""

    code = 104
    retryable = False


class LoginUnavailable(ServiceUnavailable):
    """The service cannot find out whose token this is, because whoever knows (Globus Auth) does not answer it.

    The token may be all right: nothing was done, ask again. ``retry_after``: in how many seconds.
    """

    code = 111
    retry_after: int | None

    def __init__(self, message: str = "", *, task_id: str | None = None, retry_after: int = 5) -> None:
        super().__init__(message, task_id=task_id)
        self.retry_after = retry_after


class FolderTaken(ServiceUnavailable):
    """Another service runs on this state folder."""

    code = 112


class StorageFull(ServiceUnavailable):
    """The disk of the service has no room: nothing was stored."""

    code = 113
    http_status = 507
    retry_after: int | None = 60


class StoreBusy(ServiceUnavailable):
    """Another process holds the write lock of the service's database."""

    code = 114
    retry_after: int | None = 5


class StoreDamaged(ServiceUnavailable):
    """The database, or another file of the state folder, is not what the service wrote, or a part of it is gone."""

    code = 115
    retryable = False


class BrokerUnconfirmed(ServiceUnavailable):
    """The connection was lost before the broker had said that it has the message."""

    code = 116


class BrokerUnroutable(ServiceUnavailable):
    """The broker has no queue for the message."""

    code = 117


class QueueMissing(ServiceUnavailable):
    """The broker has no queue of this name: it was deleted, by hand or by a policy."""

    code = 121


class RequestNotSent(ServiceUnavailable):
    """No connection could be made: the service surely did not see the request."""

    code = 118


class NoAnswer(ServiceUnavailable):
    """The connection broke, or the time was over, after something was sent: the service may have done it."""

    code = 119


class QuotaExceeded(ComputeError):
    """A user has as much of a shared service as its limits allow; names the limit, what is in use, and what helps."""

    code = 132
    http_status = 403


class BacklogFull(QuotaExceeded):
    """A user has as many open tasks as the service allows. An Executor sends again when some have ended."""

    code = 133
    http_status = 429
    retryable = True


class VersionMismatch(ComputeError, RuntimeError):
    """Client, service or worker are of versions that do not understand each other."""

    code = 19
    http_status = 400


class EndpointLocked(ComputeError):
    """The endpoint was stopped from afar a short while ago; the stock CLI understands the status."""

    code = 120
    http_status = 423
    retryable = True


class EndpointTaken(ComputeError):
    """An endpoint of this name runs already, on this machine or on another one."""

    code = 130
    http_status = 409


class TaskPending(ComputeError):
    """The task has not ended; ``status`` is its state now (``"waiting-for-ep"``, ``"running"`` ...)."""

    code = 105
    http_status = 409
    retryable = True

    def __init__(self, message: str = "", *, task_id: str | None = None, status: str = "") -> None:
        super().__init__(message, task_id=task_id)
        self.status = status


class TaskExecutionFailed(ComputeError):
    """The function raised, and its exception cannot be rebuilt here; ``remote_traceback`` is its text.
    ``remote_type``: the name of its class, where that is known."""

    code = 106

    def __init__(
        self,
        message: str = "",
        *,
        task_id: str | None = None,
        remote_traceback: str = "",
        remote_type: str = "",
    ) -> None:
        super().__init__(message, task_id=task_id)
        self.remote_traceback = remote_traceback
        self.remote_type = remote_type


class ProgramFailed(ComputeError):
    """A program of a sweep could not be run, ended with an error, or wrote nothing that `--collect` finds."""

    code = 140


class TaskCancelled(ComputeError, concurrent.futures.CancelledError):
    """The task was withdrawn before it began."""

    code = 107
    http_status = 409


class TaskTimeout(ComputeError, TimeoutError):
    """The task was stopped because it ran longer than the ``timeout`` that was set for it."""

    code = 108


class WorkerLost(ComputeError, concurrent.futures.BrokenExecutor):
    """The worker process died under this task.

    ``exit_code``: as of ``Popen.returncode``, negative for a signal, None if unknown. ``began``: whether
    the function had begun. ``attempts``: how often it was tried in all.
    """

    code = 109

    def __init__(
        self,
        message: str = "",
        *,
        task_id: str | None = None,
        exit_code: int | None = None,
        began: bool = True,
        attempts: int = 1,
    ) -> None:
        super().__init__(message, task_id=task_id)
        self.exit_code = exit_code
        self.began = began
        self.attempts = attempts


class PoolBroken(WorkerLost):
    """Workers of this pool cannot start: the initializer raised, or the interpreter cannot be run."""

    code = 110


def _tree(root: type[ComputeError]) -> dict[str, type[ComputeError]]:
    """Return every class below ``root`` by its name."""
    found = {root.__name__: root}
    for child in root.__subclasses__():
        found.update(_tree(child))
    return found


def from_document(document: dict[str, Any], *, http_status: int | None = None) -> ComputeError:
    """Return the error that a service's answer describes: by our class name, else by HTTP status."""
    message = str(document.get("reason") or document.get("message") or document)
    named = _tree(ComputeError).get(str(document.get("name")))
    if named is not None:
        return named(message)
    return _by_status(http_status or _status(document))(message)


def _status(document: dict[str, Any]) -> int:
    """Return the HTTP status in a document; 500 if it has none, or nonsense."""
    found = document.get("http_status_code")
    return found if isinstance(found, int) else 500


def _by_status(status: int) -> type[ComputeError]:
    """Return the class for an answer that names none of ours (the hosted service, a proxy in between)."""
    by_status: dict[int, type[ComputeError]] = {
        400: InvalidRequest,
        401: NotAuthorized,
        403: NotAuthorized,
        404: NotFound,
        413: PayloadTooLarge,
        422: InvalidRequest,
    }
    if status in by_status:
        return by_status[status]
    return ServiceUnavailable if status in (429, 502, 503, 504, 507) else ComputeError
