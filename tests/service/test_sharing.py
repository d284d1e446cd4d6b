"""The table of who may do what: an owner, a member of a group, a stranger and an admin, over every route of the
application's own list and every frame of the stream. A new one without a row fails.

Whoever may not gets, byte for byte, the answer about a thing that there is not. One kind of exception: where the
client draws the id and the thing is made by naming it (``claims``: a task group, a pool, a blob, an endpoint that
comes back), an absent one is made, and a foreign one is "not there for you".
"""

from __future__ import annotations

import contextlib
import hashlib
import types
import typing
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from compute_executor.endpoint.environments import runtimes
from compute_executor.protocol import frames
from compute_executor.protocol.ids import new_prefix, split_task_id
from compute_executor.service.api.routes import tasks as task_routes
from compute_executor.service.api.routes.login import TOKEN_PATH
from compute_executor.service.endpoints.ids import BUILT_IN
from tests.service.asgi import Answer
from tests.service.every_route import HTTP, STREAMS
from tests.service.fixture import CODE, SPEC, live
from tests.service.sharing import CALL, USERS, World, masked, shared_world

JSON, MSGPACK = "application/json", "application/msgpack"
Cells = dict[str, set[str]]  # how the thing is shared -> who may

O, M, S, A = USERS  # noqa: E741 - the columns
EVERYBODY: Cells = {"private": {O, M, S, A}}
NOBODY: Cells = {"private": set()}
OWNERS: Cells = {"private": {O}}
TEAMS: Cells = {"private": {O, M}}
ADMINS: Cells = {"private": {A}}
SHARED: Cells = {"private": {O}, "team": {O, M}, "public": {O, M, S, A}}
MANAGED: Cells = {"private": {O, A}, "team": {O, A}, "public": {O, A}}
ENDED: Cells = {"private": {O, A}}


class Probe(NamedTuple):
    """How a route or frame is asked about a thing, and who may. ``body``: JSON, bytes of msgpack, or a frame, of the
    world and the thing's id; ``id``: the {id} of the path if that is not the thing; ``more``: the rest of the path;
    ``shows``: what must be in the answer of whoever may."""

    thing: str
    allowed: Cells
    body: Callable[[World, str], Any] = lambda _, __: {}
    id: str = ""
    more: str = ""
    claims: bool = False
    shows: Callable[[str], bytes] = lambda _: b""


def the_id(thing: str) -> bytes:
    return thing.encode()


def packed(value: Any) -> bytes:
    return msgspec.msgpack.encode(value)


def raw(thing: str) -> bytes:
    return uuid.UUID(thing).bytes


def by_batch(thing: str) -> list[tuple[bytes, list[int]]]:
    prefix, position = split_task_id(thing)
    return [(prefix, [position])]


def v3(world: World, thing: str) -> Any:
    return {"tasks": {thing: [CALL]}}


def v3_open(world: World, thing: str) -> Any:
    return v3(world, str(uuid.UUID(bytes=world.open_function)))


def v2(world: World, thing: str) -> Any:
    return {"tasks": [(thing, str(BUILT_IN), CALL)]}


def v2_there(world: World, thing: str) -> Any:
    return {"tasks": [(str(uuid.UUID(bytes=world.open_function)), thing, CALL)]}


def submitting(**changed: Callable[[str], Any]) -> Callable[[World, str], frames.Submit]:
    """A frame whose fields follow from the thing."""

    def body(world: World, thing: str) -> frames.Submit:
        fields = {name: made(thing) for name, made in changed.items()}
        return world.batch(fields.pop("body", b""), **fields)

    return body


def refused_again(body: Callable[[World, str], frames.Submit]) -> Callable[[World, str], frames.Submit]:
    """The same prefix in each cell: the answer names it."""
    return lambda world, thing: msgspec.structs.replace(body(world, thing), prefix=world.prefix)


def registering(**changed: Callable[[str], Any]) -> Callable[[World, str], frames.Register]:
    def body(world: World, thing: str) -> frames.Register:
        fields: dict[str, Any] = {"digest": hashlib.sha256(CODE).digest(), "name": "f", "code": CODE}
        return frames.Register(**{**fields, **{name: made(thing) for name, made in changed.items()}})

    return body


def blob(thing: str) -> frames.Blob:
    return frames.Blob(thing, 70_000)


SUBMITS = [
    Probe("function", SHARED, submitting(functions=lambda thing: [raw(thing)])),
    Probe("endpoint", SHARED, submitting(endpoint=raw)),
    Probe("container", OWNERS, submitting(options=lambda thing: frames.Options(container=raw(thing)))),
    Probe("pool", OWNERS, submitting(pool=raw)),
    Probe("argument", OWNERS, submitting(body=blob)),
    Probe("code", {"private": {O}, "team": {O}, "public": {O}}, submitting(body=blob)),
    Probe("group", OWNERS, submitting(group=raw), claims=True),
]
REGISTERS = [
    Probe("nothing", EVERYBODY, registering()),
    Probe("team", TEAMS, registering(group=str)),
    Probe("argument", OWNERS, registering(code=blob)),
]
SOURCE = {"function_code": "def f(): 0", "function_name": "f", "serialized": False}
REGISTRATIONS = [
    Probe("team", TEAMS, lambda _, thing: {**SOURCE, "group": thing}),
    Probe("container", OWNERS, lambda _, thing: {**SOURCE, "container_uuid": thing}),
    *(probe._replace(body=lambda w, t, p=probe: packed(p.body(w, t))) for probe in REGISTERS),  # type: ignore[misc]
]

TABLE: dict[tuple[str, str], list[Probe]] = {
    ("POST", "/v3/endpoints/{id}/submit"): [
        Probe("endpoint", SHARED, v3_open),
        Probe("function", SHARED, v3, id=str(BUILT_IN)),
        Probe(
            "group",
            OWNERS,
            lambda world, thing: {**v3_open(world, ""), "task_group_id": thing},
            id=str(BUILT_IN),
            claims=True,
        ),
        *(
            probe._replace(body=lambda w, t, p=probe: packed(p.body(w, t)), id=str(BUILT_IN))  # type: ignore[misc]
            for probe in SUBMITS
        ),
    ],
    ("POST", "/v2/submit"): [
        Probe("endpoint", SHARED, v2_there),
        Probe("function", SHARED, v2),
    ],
    ("GET", "/v2/tasks/{id}"): [Probe("task", OWNERS), Probe("ended", OWNERS)],
    ("POST", "/v2/batch_status"): [
        Probe("task", OWNERS, lambda _, thing: {"task_ids": [thing]}),
        Probe("ended", OWNERS, lambda _, thing: {"task_ids": [thing]}),
        Probe("task", OWNERS, lambda _, thing: packed(by_batch(thing))),
        Probe("ended", OWNERS, lambda _, thing: packed(by_batch(thing))),
    ],
    ("GET", "/v2/taskgroup/{id}"): [Probe("group", OWNERS)],
    ("POST", "/v3/tasks/cancel"): [
        Probe("task", ENDED, lambda _, thing: {"task_ids": [thing]}, shows=the_id),
        Probe("task", ENDED, lambda _, thing: packed(by_batch(thing)), shows=lambda thing: raw(thing)[:12]),
    ],
    ("GET", "/v3/groups"): [
        Probe("group", OWNERS, shows=the_id),
        Probe("nothing", ADMINS, more="?everybody=true"),
    ],
    ("GET", "/v3/groups/{id}"): [Probe("group", OWNERS, shows=the_id)],
    ("POST", "/v3/groups/{id}/cancel"): [Probe("group", ENDED)],
    ("GET", "/v3/tasks"): [
        Probe("group", OWNERS, more="?group={thing}"),
        Probe("task", OWNERS, shows=the_id),
    ],
    ("GET", "/v3/tasks/{id}"): [Probe("task", OWNERS, shows=the_id), Probe("ended", OWNERS, shows=the_id)],
    ("GET", "/v3/tasks/{id}/output"): [Probe("task", OWNERS), Probe("ended", OWNERS)],
    ("GET", "/v3/groups/{id}/output"): [Probe("group", OWNERS)],
    ("GET", "/v3/figures"): [
        Probe("nothing", EVERYBODY),
        Probe("nothing", ADMINS, more="?everybody=true"),
        Probe("nothing", EVERYBODY, more="?only=tasks"),
        Probe("nothing", ADMINS, more="?everybody=true&only=tasks"),
    ],
    ("POST", "/v3/tasks/{id}/cancel"): [Probe("task", ENDED), Probe("ended", ENDED)],
    ("GET", "/v3/resolve"): [
        Probe("task", OWNERS, more="?name={thing}", shows=the_id),
        Probe("group", OWNERS, more="?name={thing}", shows=the_id),
    ],
    ("POST", "/v3/functions"): REGISTRATIONS,
    ("POST", "/v2/functions"): REGISTRATIONS,
    ("GET", "/v2/functions"): [Probe("function", SHARED, shows=the_id)],
    ("GET", "/v2/functions/{id}"): [Probe("function", SHARED)],
    ("DELETE", "/v2/functions/{id}"): [Probe("function", MANAGED)],
    ("POST", "/v3/pools"): [
        Probe("pool", OWNERS, lambda _, thing: packed(frames.OpenPool(raw(thing), SPEC)), claims=True),
        Probe(
            "container",
            OWNERS,
            lambda world, thing: packed(
                frames.OpenPool(
                    hashlib.md5(thing.encode()).digest(), msgspec.structs.replace(SPEC, container=raw(thing))
                )
            ),
        ),
    ],
    ("DELETE", "/v3/pools/{id}"): [Probe("pool", EVERYBODY)],  # closed already, as far as others know
    ("POST", "/v2/containers"): [
        Probe("nothing", EVERYBODY, lambda _, __: {"location": "alpine", "type": "podman"})
    ],
    ("POST", "/v2/containers/build"): [Probe("nothing", EVERYBODY, lambda _, __: {"pip": ["six"]})],
    ("GET", "/v2/containers/build/{id}"): [Probe("container", OWNERS)],
    ("GET", "/v2/containers/{id}"): [Probe("container", OWNERS)],
    ("GET", "/v2/containers/{id}/{type}"): [Probe("container", OWNERS)],
    ("GET", "/v2/endpoints"): [Probe("endpoint", SHARED, shows=the_id)],
    ("POST", "/v2/endpoints"): [
        Probe("team", TEAMS, lambda _, thing: {"endpoint_name": "e", "group": thing}),
        Probe("nothing", EVERYBODY, lambda _, __: {"endpoint_name": "e"}),
    ],
    ("POST", "/v3/endpoints"): [
        Probe("team", TEAMS, lambda _, thing: {"endpoint_name": "e", "group": thing}),
        Probe("nothing", EVERYBODY, lambda _, __: {"endpoint_name": "e"}),
    ],
    ("PUT", "/v3/endpoints/{id}"): [
        Probe("endpoint", MANAGED, lambda _, __: {"endpoint_name": "e"}, claims=True)
    ],
    ("GET", "/v2/endpoints/{id}"): [Probe("endpoint", SHARED)],
    ("DELETE", "/v2/endpoints/{id}"): [Probe("endpoint", MANAGED)],
    ("GET", "/v2/endpoints/{id}/status"): [
        Probe("endpoint", SHARED),
        Probe("nothing", ADMINS, id=str(BUILT_IN), shows=lambda _: b'"workers"'),
    ],
    ("POST", "/v2/endpoints/{id}/lock"): [Probe("endpoint", MANAGED)],
    ("POST", "/v3/endpoints/{id}/lock"): [Probe("endpoint", MANAGED)],
    ("GET", "/v3/endpoints/{id}/allowed_functions"): [Probe("endpoint", SHARED)],
    ("GET", "/v3/agents"): [Probe("agent", SHARED, shows=the_id)],
    ("GET", "/v3/agents/{name}"): [Probe("agent", SHARED, shows=the_id)],
    ("PUT", "/v3/agents/{name}"): [
        Probe("team", TEAMS, lambda _, thing: {"group": thing}, id="new"),
        Probe("nothing", EVERYBODY, lambda _, __: {}, id="new"),
    ],
    ("POST", "/v3/agents/{name}/end"): [Probe("agent", MANAGED)],
    ("POST", "/v3/agents/{name}/forget"): [Probe("agent", MANAGED)],
    ("POST", "/v3/agents/{name}/revoke"): [Probe("agent", MANAGED)],
    ("PUT", "/v3/blobs/{name}"): [
        Probe("argument", OWNERS, lambda _, __: b"x", claims=True),
        Probe("code", {"private": {O}, "team": {O}, "public": {O}}, lambda _, __: b"x", claims=True),
    ],
    ("GET", "/v3/blobs/{name}"): [Probe("argument", OWNERS), Probe("code", SHARED)],
    ("GET", "/v2/version"): [Probe("nothing", EVERYBODY)],
    ("GET", "/v3/overview"): [Probe("nothing", ADMINS)],
    ("GET", "/metrics"): [Probe("nothing", ADMINS)],
    ("GET", "/health"): [Probe("nothing", EVERYBODY)],
    ("POST", "/v3/shutdown"): [Probe("nothing", ADMINS)],
    ("POST", "/v3/gc"): [Probe("nothing", ADMINS)],
    ("POST", "/v3/admin/{command}"): [Probe("nothing", ADMINS)],
    ("POST", TOKEN_PATH): [Probe("nothing", NOBODY)],  # it looks at clients' credentials, not at tokens
    ("GET", "/v2/oauth2/userinfo"): [Probe("nothing", EVERYBODY)],
    ("GET", "/v2/api/identities"): [Probe("user", OWNERS, more="?ids={thing}", shows=the_id)],
    ("GET", "/v2/get_amqp_result_connection_url"): [Probe("nothing", EVERYBODY)],
}

FRAMES: dict[type, list[Probe]] = {
    frames.OpenPool: [
        Probe("pool", OWNERS, lambda _, thing: frames.OpenPool(raw(thing), SPEC), claims=True),
    ],
    frames.ClosePool: [Probe("pool", EVERYBODY, lambda _, thing: frames.ClosePool(raw(thing)))],
    frames.Register: REGISTERS,
    frames.Subscribe: [Probe("group", OWNERS, lambda _, thing: frames.Subscribe(raw(thing)), claims=True)],
    frames.Submit: [probe._replace(body=refused_again(probe.body)) for probe in SUBMITS],
    frames.Ack: [Probe("group", OWNERS, lambda _, thing: frames.Ack(raw(thing), 1))],
    frames.Hold: [Probe("argument", EVERYBODY, lambda _, thing: frames.Hold([frames.Blob(thing, 70_000)]))],
    frames.Release: [Probe("argument", EVERYBODY, lambda _, thing: frames.Release([thing]))],
    frames.Cancel: [
        Probe(
            "task",
            ENDED,
            lambda _, thing: frames.Cancel(1, by_batch(thing)),
            shows=lambda thing: raw(thing)[:12],
        )
    ],
}

LEFT_OUT = {
    (("GET", "/v2/functions"), "function"),
    (("GET", "/v3/groups"), "group"),
    (("GET", "/v3/tasks"), "task"),
    (("GET", "/v3/resolve"), "task"),
    (("GET", "/v3/resolve"), "group"),
    (("GET", "/v2/endpoints"), "endpoint"),
    (("GET", "/v3/agents"), "agent"),
    (("GET", "/v2/api/identities"), "user"),
    (("GET", "/v2/endpoints/{id}/status"), "nothing"),
}
"""Lists, and what shows more to some: what is not theirs is left out, and nothing is refused."""

_NO = (b"for you", b"is not there", b"authenticated", b"bearer token")


@pytest.fixture(autouse=True)
def _still_life(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some answers tell the time; and there is a podman."""

    async def find(kind: str) -> str:
        return kind

    monkeypatch.setattr(runtimes, "find", find)
    monkeypatch.setattr(task_routes, "time", types.SimpleNamespace(time=lambda: 5.0))


def test_every_route_and_every_frame_has_its_row() -> None:
    assert sorted(TABLE) == HTTP
    assert set(FRAMES) == set(typing.get_args(frames.ToService))
    assert len(STREAMS) == 3


def told(answer: Answer) -> bytes:
    """All that an HTTP answer tells."""
    headers = {name: value for name, value in answer.headers.items() if name != "date"}
    return f"{answer.status} {headers}".encode() + b"\n" + answer.body


async def asked(world: World, user: str, route: tuple[str, str], probe: Probe, thing: str) -> bytes:
    method, path = route
    body = probe.body(world, thing)
    kind = MSGPACK if isinstance(body, bytes) else JSON
    data = body if isinstance(body, bytes) else msgspec.json.encode(body)
    if path == TOKEN_PATH:
        kind = "application/x-www-form-urlencoded"
    path = path.replace("{type}", "venv").replace("{command}", "user-list")
    path = path.replace("{id}", probe.id or thing).replace("{name}", probe.id or thing)
    return told(await world.ask(user, method, path + probe.more.replace("{thing}", thing), data, kind))


async def said(world: World, user: str, _: object, probe: Probe, thing: str) -> bytes:
    return b"\n".join(await world.say(user, probe.body(world, thing)))


def granted(answer: bytes, probe: Probe, thing: str) -> bool:
    ok = not answer[:1].isdigit() or answer[:1] == b"2" or answer[:3] == b"503"
    return ok and not any(word in answer for word in _NO) and probe.shows(thing) in answer


async def judge(world: World, ask: Any, what: Any, probe: Probe) -> None:
    """Every cell of one row."""
    for sharing, allowed in probe.allowed.items():
        for user in USERS:
            cell = (what, probe.thing, sharing, user)
            thing, world.prefix = await world.make(probe.thing, sharing), new_prefix()
            world.audit()
            answer = await ask(world, user, what, probe, thing)
            assert granted(answer, probe, thing) == (user in allowed), (cell, answer[:500])
            if user in allowed:
                assert world.audit() == [], cell
                continue
            if (what, probe.thing) not in LEFT_OUT:
                check_audited(world, user, thing, cell)
            assert world.stands(probe.thing, thing), cell
            if probe.thing != "nothing" and not probe.claims:
                absent = world.absent(probe.thing)
                world.audit()
                other = await ask(world, user, what, probe, absent)
                assert world.audit() == [] or probe.thing == "team", cell  # who knows which groups there are?
                assert masked(answer, thing) == masked(other, absent), cell
                if (what, probe.thing) not in LEFT_OUT:
                    await check_same_work(world, ask, user, what, probe, thing, absent)


async def check_same_work(
    world: World, ask: Any, user: str, what: Any, probe: Probe, thing: str, absent: str
) -> None:
    """Whether something is there cannot be told by the time either: the same statements are run for it."""
    run: list[list[str]] = []
    for one in (thing, absent):
        world.prefix = new_prefix()
        with statements(world) as names:
            await ask(world, user, what, probe, one)
        run.append(names)
    assert run[0] == run[1], (what, probe.thing, user)


@contextlib.contextmanager
def statements(world: World) -> Iterator[list[str]]:
    """The names of all queries that are made inside the ``with``."""
    reader, names = world.fixture.parts.store.read, list[str]()
    ask = reader._all

    def noted(name: str, values: Any = ()) -> Any:
        names.append(name)
        return ask(name, values)

    reader._all = noted
    try:
        yield names
    finally:
        del reader._all


def check_audited(world: World, user: str, thing: str, cell: Any) -> None:
    """One line, of who it was, and not of which thing."""
    (line,) = world.audit() or [f"nothing, for {cell}"]
    names = ("somebody",) if TOKEN_PATH.rpartition("/")[2] in line else (f"{USERS[user].name} ({user})",)
    assert line.startswith(tuple(f"refused: {name} " for name in names)), cell
    assert not thing or not any(one in line for one in (thing, thing.replace("-", ""))), cell


@pytest.mark.parametrize("route", HTTP, ids=" ".join)
@live
async def test_who_may_do_what_by_http(tmp_path: Path, route: tuple[str, str]) -> None:
    async with shared_world(tmp_path) as world:
        for probe in TABLE[route]:
            await judge(world, asked, route, probe)


@pytest.mark.parametrize("frame", FRAMES, ids=lambda frame: frame.__name__)
@live
async def test_who_may_do_what_on_the_stream(tmp_path: Path, frame: type) -> None:
    async with shared_world(tmp_path) as world:
        for probe in FRAMES[frame]:
            await judge(world, said, frame, probe)


@live
async def test_who_may_listen_to_a_group_on_the_stream_of_the_guides_time(tmp_path: Path) -> None:
    from tests.service.api.test_stream import Client

    async with shared_world(tmp_path) as world:
        group = await world.make("group", "private")
        for user in (M, S, A):
            client = Client(world.service, USERS[user])
            await client.message()
            client.say(group)
            code, reason = await client.closed()
            assert (code, "there is no task group" in reason) == (4404, True)


@live
async def test_closing_anothers_pool_does_nothing_and_looks_like_closing_one_that_is_gone(
    tmp_path: Path,
) -> None:
    async with shared_world(tmp_path) as world:
        for user in (M, S, A):
            pool = await world.make("pool", "private")
            world.service.close_pool(USERS[user], raw(pool))
            assert world.stands("pool", pool)
        world.service.close_pool(USERS[O], raw(pool))
        assert not world.stands("pool", pool)
