"""Executor: submit, map, shutdown. The table of contents of the client side.

    submit -> registry (how does this function travel?) -> session (bytes, buffer, I/O thread) -> future

What an Executor was made with lies in its session, which all its views (:meth:`Executor.options`) share.
"""

from __future__ import annotations

import concurrent.futures
import functools
import os
import uuid
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar, cast, overload

from typing_extensions import Unpack

from compute_executor import checks, exit_hooks, mapping
from compute_executor import executor_arguments as arguments
from compute_executor.batch import Function, Target
from compute_executor.errors import ComputeError
from compute_executor.executor_attributes import ExecutorAttributes
from compute_executor.functions.registry import FunctionRef
from compute_executor.future import ComputeFuture
from compute_executor.local import config
from compute_executor.mapping import MapOptions
from compute_executor.peer import locator
from compute_executor.pool_spec import as_of_now, pool_spec
from compute_executor.protocol.call_options import with_options
from compute_executor.protocol.endpoint_names import is_endpoint_name
from compute_executor.sdk.arguments import named, positional
from compute_executor.sdk.ending import check_executors_serializer, reading_of
from compute_executor.sdk.names import AnyId, canonical
from compute_executor.serialization.refs import Ref, part_of
from compute_executor.session.map_submission import MapSubmission
from compute_executor.session.session import Session
from compute_executor.session.view import SessionView
from compute_executor.settings import ExecutorSettings

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from types import TracebackType

    from compute_executor.sdk.client import Client
    from compute_executor.serialize import ComputeSerializer, Strategylike

T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
P = ParamSpec("P")


class Executor(ExecutorAttributes, concurrent.futures.Executor):
    """Runs functions in worker processes: on this machine, on a service of your own, or on Globus Compute.

    >>> with Executor(max_workers=2) as ex:
    ...     list(ex.map(pow, range(5), [2] * 5))
    [0, 1, 4, 9, 16]
    """

    @arguments.number_first
    def __init__(  # noqa: PLR0917 - the positions of the Globus Compute SDK
        self,
        endpoint_id: AnyId | int | None = None,
        client: Client | None = None,
        task_group_id: AnyId | None = None,
        resource_specification: dict[str, Any] | None = None,
        user_endpoint_config: dict[str, Any] | None = None,
        label: str = "",
        batch_size: int = 128,
        amqp_port: int | None = None,
        api_burst_limit: int | None = None,
        api_burst_window_s: float | None = None,
        serializer: Literal["json"] | ComputeSerializer | None = None,
        result_serializers: Iterable[Strategylike] | None = None,
        *,
        max_workers: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        flush_interval: float = 0.005,
        by_source: bool = False,
        resend_unknown: bool = False,
        trace: str | os.PathLike[str] | None = None,
        output: Literal["program", "log"] | None = None,
        profile: str | None = None,
        name: str = "",
        gpus: Literal["all"] | Sequence[int | str | Sequence[int | str]] | None = None,
        threads_per_worker: int | None = None,
    ) -> None:
        """Nothing is started until the first submit.

        ``endpoint_id``: where to run, an id or the name of an endpoint of this package on the service; None for the
        service's own endpoint. A number in its position is ``max_workers``, so that
        ``Executor(4)`` means what it means for the standard pools. ``client``: a Client of another
        service than this user's local one. ``max_workers`` (default: the CPUs that this program may use),
        ``initializer`` and ``initargs`` are ThreadPoolExecutor's; workers see the interpreter and its options,
        ``sys.path``, working directory, environment, resource limits, priority, affinity and umask that the program
        has at its first submit, as the initializer sees its globals.
        ``batch_size`` tasks at most leave together, after ``flush_interval`` seconds at most. Tasks are results of
        ``task_group_id`` (default: a new one; see :meth:`reload_tasks`).

        With ``endpoint_id`` and no ``client``, the service is Globus Compute's if somebody has logged in. For its
        endpoints: ``resource_specification`` and ``user_endpoint_config`` are theirs; ``result_serializers`` (see
        `compute_executor.serialize`) are tried in turn for each result; ``by_source`` sends functions as source text,
        for workers of another Python; ``resend_unknown`` submits again when it is unknown whether
        a submit arrived, so that its tasks may run twice (else they end with SubmitOutcomeUnknown).

        ``amqp_port``: of its broker, instead of the one that the service names; ``api_burst_limit`` submits in
        ``api_burst_window_s`` seconds (16) at most, instead of as many as the service takes. Services of this package
        need neither.

        ``serializer="json"``: arguments and results travel as JSON, and nothing is ever unpickled in this program:
        for services and workers that it does not trust (docs/security.md). Values that JSON would change are refused.
        A ``ComputeSerializer``: functions and arguments travel by its strategies; with an allow list, results are
        read by what that allows only.

        ``trace``: a file for a time line of every task (see `compute_executor.tracing`); None: the one that the
        environment variable COMPUTE_EXECUTOR_TRACE names, if any.

        ``output``: what tasks print appears in this program's stdout and stderr, and log records reach its loggers;
        "log": both go into the service's log. `ComputeFuture.output` gives the text of a task in either case.

        ``profile``: a service of the configuration file, instead of ``client``. ``name``: goes on with the task
        group that has this name, which is its ``label``, so that :meth:`reload_tasks` finds the tasks of an earlier
        program; the service is asked for it at once.

        ``gpus``: "all" or a list of devices, one worker for each, which sees no other (a list in it: several for one
        worker; `compute_executor.devices`); a number counts those that this program sees. More ``max_workers`` share
        them evenly. ``threads_per_worker``: how many threads numpy and other libraries start in a worker, and how
        many cores it counts as (see :meth:`options`).

        Raises ValueError and TypeError as ThreadPoolExecutor does.
        """
        defaults = config.load().defaults
        output = output or defaults.output or "program"
        arguments.check_output(output)
        arguments.check_endpoint(endpoint_id)
        max_workers = arguments.check_workers(max_workers, initializer)
        options = arguments.endpoint_options(
            endpoint_id, resource_specification, user_endpoint_config, result_serializers
        )
        arguments.check_service(client, profile)
        arguments.check_own_workers(endpoint_id, max_workers, initializer, gpus, threads_per_worker)
        label = checks.text("label", label) or checks.text("name", name)
        own = endpoint_id is None
        peer = locator(client, profile, own=own or is_endpoint_name(endpoint_id))
        arguments.check_name(name, label, task_group_id)
        if name:
            task_group_id = peer.api().find_group(name)
        group = canonical(task_group_id or uuid.uuid4(), "task group")
        self._of_client = None if client is None else client.chosen_serializer
        self._serializer = (
            check_executors_serializer(serializer) or self._of_client or getattr(client, "serializer", None)
        )
        self._given_client = client
        self._given = arguments.dicts_of(
            resource_specification=resource_specification, user_endpoint_config=user_endpoint_config
        )
        spec = (
            pool_spec(
                max_workers
                or (defaults.max_workers if gpus is None and threads_per_worker is None else None),
                initializer,
                initargs,
                label,
                output,
                gpus=gpus,
                threads=threads_per_worker,
            )
            if own
            else None
        )
        settings = ExecutorSettings(
            peer=peer,
            group=uuid.UUID(group).bytes,
            pool=os.urandom(16) if own else None,
            spec=spec,
            spec_of_now=functools.partial(as_of_now, initializer=initializer, initargs=initargs),
            batch_size=arguments.check_batch_size(batch_size),
            flush_interval=checks.seconds("flush_interval", flush_interval, zero=True),
            by_source=by_source,
            resend_unknown=resend_unknown,
            trace=os.fspath(trace) if trace is not None else os.environ.get("COMPUTE_EXECUTOR_TRACE"),
            label=label,
            prints=output == "program",
            serializer=self._serializer,
            amqp_port=arguments.check_port(amqp_port),
            pace=arguments.pace_of(api_burst_limit, api_burst_window_s),
        )
        self._session = Session(settings)
        where = self._endpoint(cast("AnyId | None", endpoint_id))  # no number any more
        self._view = SessionView(
            self._session,
            Target(where, settings.pool, options),
            serializer=arguments.strategies_of(self._serializer),
        )
        self._owner, self._shut = cast("Executor | None", None), False  # of a view: what it is a view of
        weakref.finalize(self, self._session.release).atexit = False

    # -- concurrent.futures.Executor -------------------------------------------------------------------------

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> ComputeFuture[T]:
        """Run ``fn(*args, **kwargs)`` in a worker. Every keyword is the function's own.

        What cannot be serialised fails its own future (SerializationError), as does what is too large
        (PayloadTooLarge). Raises RuntimeError after shutdown, PoolBroken after the initializer has failed.
        """
        self._check_open()
        view = self._current_view()
        try:
            route = view.codec().registry.route(fn)
        except ComputeError as error:
            return self._session.failed(view, error)
        return self._session.submit(view, route, args, kwargs)

    @overload  # type: ignore[override]  # the standard library's does not check the arguments
    def map(
        self, fn: Callable[[A], T], one: Iterable[A], /, **options: Unpack[MapOptions]
    ) -> Iterator[T]: ...
    @overload
    def map(
        self, fn: Callable[[A, B], T], one: Iterable[A], two: Iterable[B], /, **options: Unpack[MapOptions]
    ) -> Iterator[T]: ...
    @overload
    def map(  # of three and more, only how many there are at least is known
        self,
        fn: Callable[..., T],
        one: Iterable[Any],
        two: Iterable[Any],
        three: Iterable[Any],
        /,
        *more: Iterable[Any],
        **options: Unpack[MapOptions],
    ) -> Iterator[T]: ...

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
        progress: bool = False,
    ) -> Iterator[T]:
        """``map(fn, *iterables)``, in input order, with the calls made in workers.

        ``chunksize`` calls travel as one task. With ``buffersize``, that many tasks are under way at a time and
        inputs are read as results are taken; without, all inputs are read at once. Closing the iterator, an
        error or a timeout (seconds from now, TimeoutError) withdraws what has not begun. The function is
        serialised once, here. ``progress`` shows a bar on stderr while results are taken.
        """
        chunksize, buffersize, timeout = mapping.checked(chunksize, buffersize, timeout)
        self._check_open()
        submission = MapSubmission(self, self._session, self._current_view(), fn, chunked=chunksize > 1)
        calls = zip(*iterables)  # noqa: B905 - the shortest ends it, as in the standard library
        results: Iterator[T]
        if chunksize == 1:
            results = mapping.MapResults(submission, calls, timeout, buffersize)
        else:
            chunks = mapping.chunks(calls, chunksize)
            results = mapping.UnchunkedResults(
                mapping.MapResults(submission, chunks, timeout, buffersize),
                reading_of(self._serializer).raised_in_chunk,
            )
        if progress:
            from compute_executor.progress_bar import over_results  # only who wants a bar pays for it

            lengths = [len(one) for one in iterables if isinstance(one, Sized)]
            return over_results(results, min(lengths) if len(lengths) == len(iterables) else None, self.label)
        return results

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls. ``cancel_futures``: withdraw those that no worker has begun; the oldest ``max_workers``
        calls count as begun, as with a pool of threads, which gives them to its workers when they are submitted.
        ``wait``: return when all have ended and nothing is left of this Executor here. On a view: the same for
        its own calls only."""
        self._end(wait, cancel_futures, self._max_workers or 0)

    def leave(self) -> None:
        """Take no more calls, and wait for nothing, at the end of the program either: what has begun goes on in the
        service, and :meth:`reload_tasks` of another Executor finds it. What has not begun is withdrawn."""
        self._shut = True
        self._session.abandon()

    def _end(self, wait: bool, cancel_futures: bool, spared: int) -> None:
        self._shut = True
        if self._owner is None:
            self._session.shutdown(wait, cancel_futures, spared)
            return
        open_futures = self._session.open_futures(self._view)
        if cancel_futures:
            self._session.withdraw(open_futures)
        if wait:
            concurrent.futures.wait(open_futures)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        """Finish what was submitted; after Ctrl-C, leave at once and withdraw what no worker has begun."""
        if exit_hooks.by_interrupt(error):
            self._end(wait=False, cancel_futures=True, spared=0)
        else:
            self.shutdown(wait=True)
        return None

    @property
    def _max_workers(self) -> int | None:
        """What tools read of the standard pools, dask for one; None where the workers are not ours."""
        spec = self._session.settings.spec
        return None if spec is None else spec.max_workers

    @property
    def _broken(self) -> bool:
        """Whether workers cannot start, under the name of the standard pools."""
        return self._session.broken is not None

    # -- beyond it -------------------------------------------------------------------------------------------

    def options(
        self,
        *,
        endpoint_id: AnyId | None = None,
        container: AnyId | None = None,
        timeout: float | None = None,
        retries: int | None = None,
        keep: float | str | None = None,
        cores: int | None = None,
        memory: int | str | None = None,
        gpus: int | None = None,
        nodes: int | None = None,
        ranks: int | None = None,
        resource_specification: dict[str, Any] | None = None,
        user_endpoint_config: dict[str, Any] | None = None,
        result_serializers: Iterable[Strategylike] | None = None,
    ) -> Executor:
        """Return this Executor with other options per call: a view that shares its connection and its workers.

        ``endpoint_id``: run there. ``container``: a registered container's id. ``timeout``: seconds after which
        a running call is stopped (TaskTimeout). ``retries``: how often a call is run again when its worker died.
        ``keep``: how long the service keeps results: seconds, a time such as "14d", or "until taken".
        ``cores``, ``memory`` (bytes, "8GB", "8GiB"), ``gpus``: what each call takes of its machine; it begins when
        that is free, in the order of submission. ``ranks``: MPI processes that a call starts (`MPIFunction`), each
        with ``cores``; ``nodes``: the machines that they are on.
        ``resource_specification``, ``user_endpoint_config`` and ``result_serializers``: for endpoints of Globus
        Compute. What is not given stays as it is here. Raises TypeError and ValueError for wrong values,
        InvalidRequest for an option that is not kept where the calls go.
        """
        options = with_options(
            self._current_view().target.options,
            timeout=timeout,
            retries=retries,
            keep=keep,
            container=None if container is None else arguments.id_bytes(container, "container"),
            cores=cores,
            memory=memory,
            gpus=gpus,
            nodes=nodes,
            ranks=ranks,
            resource_specification=resource_specification,
            user_endpoint_config=user_endpoint_config,
            result_serializers=arguments.strategy_paths(result_serializers),
        )
        target = replace(self._current_view().target, options=options)
        given = self._given | arguments.dicts_of(
            resource_specification=resource_specification, user_endpoint_config=user_endpoint_config
        )
        if endpoint_id is None:
            return self._viewing(self._kept(target), given)
        return self._viewing(replace(target, endpoint=self._endpoint(endpoint_id), pool=None), given)

    def _viewing(self, target: Target, given: dict[str, dict[str, Any]]) -> Executor:
        view = object.__new__(type(self))
        view.__dict__.update(self.__dict__)
        view._given = given
        view._view = SessionView(self._session, target, serializer=self._view.serializer)
        view._owner = (
            self._owner or self
        )  # the session ends when the Executor is collected, so it must outlive its views
        view._shut = False
        return view

    @property
    def task_count_submitted(self) -> int:
        """How many calls have left for the service, of this Executor and its views."""
        return self._session.queue.submitted

    def put(self, value: Any) -> Any:  # to type checkers it is whatever an argument has to be
        """Store ``value`` as it is now, once, and return what stands for it in later calls, also inside of lists,
        dicts and objects: a `Ref`. Raises SerializationError, PayloadTooLarge, ServiceUnavailable."""
        self._check_open()
        return self._session.put(self._view, value)

    def ref(self, ref_id: str) -> Any:
        """Return the reference with this id, which another program of yours has put at the same service, and
        keeps."""
        return Ref(part_of(checks.text("ref_id", ref_id)))

    def submit_to_registered_function(
        self, function_id: AnyId, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None
    ) -> ComputeFuture[Any]:
        """Run a function that is registered already, by its id. Raises InvalidRequest for what is no id, no sequence
        or no mapping from names."""
        self._check_open()
        number = uuid.UUID(canonical(function_id, "function"))
        route = FunctionRef(Function(number.bytes, f"function {number}", None))
        return self._session.submit(self._current_view(), route, positional(args), named(kwargs))

    def register_function(
        self,
        fn: Callable[..., Any],
        function_id: AnyId | None = None,
        *,
        description: str = "",
        **registration_kwargs: Any,
    ) -> str:
        """Register ``fn`` at the service and return its id; again with the same content: the same id.

        ``function_id``: the id under which it is registered already. Nothing is sent then, and `submit` runs what is
        registered under that id whenever it gets ``fn``. The other keywords, ``public``, ``group``, ``metadata`` and
        so on, are those of `Client.register_function`. Raises SerializationError, PayloadTooLarge,
        ServiceUnavailable; InvalidRequest for what is no id.
        """
        self._check_open()
        text = checks.text("description", description)
        if function_id is None and not registration_kwargs:
            return self._session.register(self._view, fn, text)
        if function_id is None:
            with self._client() as client:
                function_id = client.register_function(fn, description=text or None, **registration_kwargs)
        known = canonical(function_id, "function")
        self._view.codec().registry.pin(fn, uuid.UUID(known).bytes)
        return known

    def register_source_code(self, source: str, function_name: str, **registration_kwargs: Any) -> str:
        """Register a function by its source text and return its id, for :meth:`submit_to_registered_function`. The
        keywords are those of `Client.register_source_code`."""
        self._check_open()
        with self._client() as client:
            return client.register_source_code(source, function_name, **registration_kwargs)

    def get_worker_hardware_details(self) -> str:
        """Have a worker describe its machine, and wait for its answer."""
        from compute_executor.sdk.endpoints import HARDWARE_REPORT  # only who asks for it needs the Client

        function_id = self.register_source_code(HARDWARE_REPORT, "hardware_report")
        return str(self.submit_to_registered_function(function_id).result())

    def _client(self) -> AbstractContextManager[Client]:
        """Return the Client that this Executor was given; without one, a Client of the same service for one use."""
        return self._session.settings.peer.borrowed_client()

    def reload_tasks(
        self, task_group_id: AnyId | None = None, *, known: Mapping[bytes, int] | None = None
    ) -> list[ComputeFuture[Any]]:
        """Futures for all tasks of a group (default: this Executor's own), in the order of their submission: after
        the program that submitted them has died, or to share them. The group is this Executor's from then on. Raises
        NotFound, ServiceUnavailable.

        ``known``: how many tasks of each batch the caller has outcomes of, by the prefix that the ids of a batch
        share (12 bytes). Batches that are known whole are left out; only for services of this package.
        """
        self._check_open()
        if task_group_id is not None:
            self.task_group_id = task_group_id
        return self._session.reload(self.task_group_id, self._view, known or {})

    def _check_open(self) -> None:
        if self._shut:
            self._session.check()
            raise RuntimeError("cannot schedule new futures after shutdown")

    def __repr__(self) -> str:
        label = f" {self.label}" if self.label else ""
        return f"<{type(self).__name__}{label} {self._session.describe()}>"

    def _repr_html_(self) -> str:
        """For notebooks."""
        from compute_executor.notebook_views import of_executor  # only a notebook asks for it

        endpoint = str(self.endpoint_id or "")
        return of_executor(
            type(self).__name__, self.label, str(self.task_group_id), endpoint, self._session.describe()
        )
