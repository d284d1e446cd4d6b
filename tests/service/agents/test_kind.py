"""Endpoints of our own at the service: who may work for one, to whom it gives tasks, and what it makes of machines
that go away. The machines are made up, the service is whole."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path
from typing import Any

import msgspec
import pytest
from starlette.websockets import WebSocket

from compute_executor.endpoint.leases import frames
from compute_executor.endpoint.leases.bodies import BodyExchange
from compute_executor.endpoint.leases.frames import HolderHello
from compute_executor.endpoint.leases.grantor import GrantorSession
from compute_executor.endpoint.pool.events import TaskEnded
from compute_executor.errors import EndpointTaken, InvalidRequest, NotFound
from compute_executor.protocol.frames import LOST, VALUE, Reason
from compute_executor.service.access import Identity
from compute_executor.service.agents import engine
from compute_executor.service.agents.machines import Machine
from compute_executor.service.api.endpoint_stream import serve_endpoint
from compute_executor.service.api.stream import LONGEST_REASON
from compute_executor.service.endpoints.registry import EndpointRegistration
from compute_executor.service.limits import ServiceLimits
from compute_executor.service.service import Service
from tests.endpoint.leases.test_grantor import Sent
from tests.service.fixture import (
    ALICE,
    CODE,
    DIGEST,
    GROUP,
    Listener,
    ServiceFixture,
    batch,
    live,
    reason,
    register,
    serving,
    turn,
)

BOB = Identity("bob", "Bob")


def hello(number: int = 1, generation: int = 1, **more: Any) -> HolderHello:
    return HolderHello(
        frames.PROTOCOL, "0.1.0", "3.11.7", f"{number:032x}", generation, f"host{number}", 0.0, **more
    )


class MadeUpMachine:
    """A machine that is connected, and takes as many tasks as it says."""

    def __init__(self, service: Service, endpoint: uuid.UUID, said: HolderHello, credit: int = 10) -> None:
        self.service, self.endpoint, self.said = service, endpoint, said
        service.agents.welcome(endpoint, said)
        self.machine: Machine = service.agents.machine(endpoint, said)
        self.ended: list[str] = []
        self.connect(credit)

    def connect(self, credit: int) -> None:
        self.sent = Sent()
        agents = self.service.agents
        self.session = GrantorSession(
            self.machine,
            agents.engine,
            self.sent,
            BodyExchange(Path("/nowhere"), self.sent),
            code=agents.code,
        )
        agents.connected(self.machine, self.session, self.ended.append)
        self.session.begin()
        self.says(frames.Settled())
        self.says(frames.CreditLimit(credit))

    def says(self, frame: Any) -> None:
        self.session.received(frames.encode(frame))

    def leave(self) -> None:
        """Its connection ends."""
        self.service.agents.disconnected(self.machine, self.session)

    async def tasks(self, count: int) -> list[tuple[int, int, int]]:
        """Those that it was given, when there are so many."""
        while len(found := [task[:3] for task in self._given()]) < count:
            await turn()
        return found

    def _given(self) -> list[Any]:
        return [task for frame in self.sent.frames if isinstance(frame, frames.Tasks) for task in frame.tasks]


async def made(service: Service, name: str = "ws", who: Identity = ALICE, **more: Any) -> uuid.UUID:
    said = EndpointRegistration(name, multi_user=False, **{"public": False, "group": None, **more})
    return (await service.agents.register(who, said))[0].id


async def submitted(service: Service, endpoint: uuid.UUID, count: int) -> Listener:
    await register(service)
    listener = Listener()
    service.subscribe(ALICE, listener, GROUP)
    await service.submit(ALICE, batch([b"x"] * count, endpoint=endpoint.bytes))
    return listener


@live
async def test_one_machine_at_a_time_unless_it_joins_or_replaces() -> None:
    async with serving(ServiceFixture()) as service:
        endpoint = await made(service)
        first = MadeUpMachine(service, endpoint, hello(1))
        with pytest.raises(
            EndpointTaken, match=r"--join .*--replace .*host1 \(connected, 0 tasks\)"
        ) as refused:
            service.agents.welcome(endpoint, hello(2))
        assert len(str(refused.value)) <= LONGEST_REASON
        MadeUpMachine(service, endpoint, hello(2, join=True))
        with pytest.raises(EndpointTaken, match="newer process"):
            service.agents.welcome(endpoint, hello(1, generation=0))
        MadeUpMachine(service, endpoint, hello(3, replace=True))
        assert "was replaced" in first.ended[0]
        with pytest.raises(NotFound, match="start it again"):
            service.agents.welcome(uuid.uuid4(), hello(1))


@live
async def test_what_a_machine_holds_stays_with_it_until_it_is_given_up() -> None:
    async with serving(ServiceFixture()) as service:
        endpoint = await made(service)
        first = MadeUpMachine(service, endpoint, hello(1), credit=2)
        listener = await submitted(service, endpoint, 3)
        assert len(await first.tasks(2)) == 2
        first.leave()
        second = MadeUpMachine(service, endpoint, hello(2, join=True))
        assert len(await second.tasks(1)) == 1, "the one that nobody has, and no other"
        row = service.agents.find(ALICE, "ws")
        assert [machine["connected"] for machine in service.agents.view(ALICE, row)["machines"]] == [
            False,
            True,
        ]
        assert service.agents.forget_machines(row, "host1") == 2
        results = await listener.heard(2)
        assert [one.status for one in results] == [LOST] * 2
        assert "host1" in reason(results[0].body).message  # type: ignore[arg-type]


@live
async def test_a_loss_names_the_machine_and_an_outcome_counts_once() -> None:
    async with serving(ServiceFixture()) as service:
        endpoint = await made(service)
        machine = MadeUpMachine(service, endpoint, hello(1))
        listener = await submitted(service, endpoint, 2)
        one, other = await machine.tasks(2)
        lost = TaskEnded(*one, LOST, frames.encode(Reason("killed by SIGKILL")), 0.0, 2.0)
        value = TaskEnded(*other, VALUE, b"v", 1.0, 2.0)
        machine.says(frames.Report(1, [lost, value]))
        machine.says(frames.Report(2, [lost, value]))
        results = {found.position: found for found in await listener.heard(2)}
        assert reason(results[one[1]].body).message == "on host1: killed by SIGKILL"  # type: ignore[arg-type]
        assert results[other[1]].body == b"v"
        await turn(50)
        assert len(listener.got) == 2
        assert service.agents.engine.open_in(endpoint.bytes) == 0


@live
async def test_what_is_given_back_goes_to_another() -> None:
    async with serving(ServiceFixture()) as service:
        endpoint = await made(service)
        first = MadeUpMachine(service, endpoint, hello(1))
        await submitted(service, endpoint, 2)
        tasks = await first.tasks(2)
        second = MadeUpMachine(service, endpoint, hello(2, join=True))
        first.says(frames.CreditLimit(2))
        first.says(frames.TasksReturned(tasks[1:]))
        assert [task[:2] for task in await second.tasks(1)] == [tasks[1][:2]]


@live
async def test_the_next_service_knows_who_has_what() -> None:
    fixture = ServiceFixture()
    async with serving(fixture) as service:
        endpoint = await made(service)
        first = MadeUpMachine(service, endpoint, hello(1), credit=2)
        await submitted(service, endpoint, 3)
        tasks = await first.tasks(2)
    async with serving(fixture) as service:
        listener = Listener()
        service.subscribe(ALICE, listener, GROUP)
        again = MadeUpMachine(service, endpoint, hello(1), credit=0)
        (frame,) = [frame for frame in again.sent.frames if isinstance(frame, frames.Leased)]
        assert sorted(frame.tasks) == sorted(tasks)
        again.says(frames.Report(1, [TaskEnded(*tasks[0], VALUE, b"v", 1.0, 2.0)]))
        assert (await listener.heard(1))[0].body == b"v"


@live
async def test_what_no_machine_can_run_ends_in_its_words() -> None:
    async with serving(ServiceFixture()) as service:
        endpoint = await made(service)
        machine = MadeUpMachine(service, endpoint, hello(1), credit=0)
        listener = await submitted(service, endpoint, 1)
        machine.says(frames.WorkersFailed("Slurm does not take such jobs"))
        (result,) = await listener.heard(1)
        assert "host1: Slurm does not take such jobs" in reason(result.body).message  # type: ignore[arg-type]


@live
async def test_names_are_each_users_own() -> None:
    async with serving(ServiceFixture()) as service:
        mine, theirs = await made(service), await made(service, who=BOB, public=True)
        assert service.agents.find(ALICE, "ws").id == mine, "one's own comes first"
        assert service.agents.find(BOB, "ws").id == theirs
        assert service.agents.find(ALICE, str(theirs)).id == theirs
        with pytest.raises(NotFound, match="there are: ws"):
            service.agents.find(BOB, str(mine))
        others = Identity("carol", "Carol")
        assert service.agents.find(others, "ws").id == theirs
        await made(service, who=Identity("dan", "Dan"), public=True)
        with pytest.raises(InvalidRequest, match=r"2 endpoints .* name one by its id"):
            service.agents.find(others, "ws")
        assert "machines" not in service.agents.view(others, service.agents.find(BOB, "ws"))


@live
async def test_machines_are_told_to_end_by_host_or_all() -> None:
    async with serving(ServiceFixture()) as service:
        endpoint = await made(service)
        one = MadeUpMachine(service, endpoint, hello(1))
        other = MadeUpMachine(service, endpoint, hello(2, join=True))
        row = service.agents.find(ALICE, "ws")
        assert service.agents.end_machines(row, "host2", drain=True) == 1
        assert other.sent.last(frames.EndHolder).drain
        assert service.agents.end_machines(row, "", drain=False) == 2
        assert not one.sent.last(frames.EndHolder).drain
        with pytest.raises(NotFound, match="it has: host1, host2"):
            service.agents.end_machines(row, "host3", drain=True)
        one.says(frames.Leaving())
        one.leave()
        view = service.agents.view(ALICE, row)
        assert [machine["host"] for machine in view["machines"]] == ["host2"]


@live
async def test_what_waits_behind_long_tasks_goes_to_a_machine_that_has_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine, "LOOK_EVERY", 0.0)
    async with serving(ServiceFixture()) as service:
        endpoint = await made(service)
        first = MadeUpMachine(service, endpoint, hello(1), credit=4)
        first.says(frames.HolderState({"workers": 2}))
        await submitted(service, endpoint, 4)
        given = await first.tasks(4)
        second = MadeUpMachine(service, endpoint, hello(2, join=True), credit=4)
        second.says(frames.HolderState({"workers": 1}))
        while not (asked := [one for one in first.sent.frames if isinstance(one, frames.Recall)]):
            await turn()
        assert asked[0].tasks == [task[:2] for task in given], "it knows which have not begun"
        first.says(frames.TasksReturned(given[-1:]))
        assert (await second.tasks(1))[0][:2] == given[-1][:2]
        count = len(first.sent.frames)
        for _ in range(5):
            await turn()
        assert len(first.sent.frames) == count, "nobody has nothing to do"


@live
async def test_what_is_cancelled_while_its_lease_is_stored_is_not_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with serving(ServiceFixture()) as service:
        endpoint = await made(service)
        held: list[Any] = []
        records = service.agents.engine._records
        give = records.give
        monkeypatch.setattr(records, "give", lambda *lease: held.append(lease))
        await register(service)
        listener = Listener()
        service.subscribe(ALICE, listener, GROUP)
        sent = batch([b"x"] * 3, endpoint=endpoint.bytes)
        await service.submit(ALICE, sent)
        machine = MadeUpMachine(service, endpoint, hello(1), credit=3)
        while not held:
            await turn()
        assert await service.cancel(ALICE, [(sent.prefix, [1])]) == [(sent.prefix, [1])]
        give(*held.pop())
        assert [task[1] for task in await machine.tasks(2)] == [0, 2]
        assert machine.session.room() == 1, "what was not sent takes no room"
        assert await service.cancel(ALICE, [(sent.prefix, [1])]) == []  # it has ended
        leased = {name[1] for name in records.leased()}
        assert leased == {0, 2}


# -- machines that lie --------------------------------------------------------------------------------------


@live
async def test_a_machine_that_does_not_answer_keeps_no_other_endpoint_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine, "RECALL_WITHIN", 1e9)
    async with serving(ServiceFixture()) as service:
        mine, other = await made(service, "mine"), await made(service, "other", BOB)
        silent = MadeUpMachine(service, other, hello(1))
        machine = MadeUpMachine(service, mine, hello(2))
        await submitted(service, mine, 2)
        await service.register(BOB, DIGEST, "f", CODE)
        his = batch([b"x"], endpoint=other.bytes, group=b"b" * 16)
        await service.submit(BOB, his)
        given, _ = await machine.tasks(2), await silent.tasks(1)
        waiting = asyncio.ensure_future(service.cancel(BOB, [(his.prefix, [0])]))
        await turn()
        (opened,) = [one for one in service._parts.dispatch.batches() if one.owner == ALICE.id]
        cancelling = asyncio.ensure_future(service.cancel(ALICE, [(opened.prefix, [0])]))
        await turn()
        recall = machine.sent.last(frames.Recall)
        silent.says(frames.Recalled(recall.request))
        silent.leave()
        await turn()
        assert not cancelling.done(), "another machine cannot answer for it"
        machine.says(frames.TasksReturned(given[:1]))
        machine.says(frames.Recalled(recall.request))
        assert await cancelling == [(opened.prefix, [0])]
        assert await waiting == []
        assert not service.agents.engine._recalls


@live
async def test_of_a_recall_that_is_not_answered_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "RECALL_WITHIN", 0.0)
    async with serving(ServiceFixture()) as service:
        endpoint = await made(service)
        machine = MadeUpMachine(service, endpoint, hello(1))
        await submitted(service, endpoint, 2)
        await machine.tasks(2)
        (opened,) = service._parts.dispatch.batches()
        assert await service.cancel(ALICE, [(opened.prefix, [0])]) == []
        assert not service.agents.engine._recalls
        monkeypatch.setattr(engine, "RECALL_WITHIN", 1e9)
        cancelling = asyncio.ensure_future(service.cancel(ALICE, [(opened.prefix, [1])]))
        await turn()
        cancelling.cancel()  # its client has gone
        await asyncio.gather(cancelling, return_exceptions=True)
        assert not service._parts.queues.recalling


@live
async def test_tasks_are_given_share_by_share_whatever_a_machine_asks_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine, "SHARE", 2)
    async with serving(ServiceFixture()) as service:
        endpoint = await made(service)
        await submitted(service, endpoint, 10)
        taken: list[int] = []
        take = service.agents.engine._events.take
        monkeypatch.setattr(
            service.agents.engine._events,
            "take",
            lambda pool, limit: taken.append(limit) or take(pool, limit),
        )
        machine = MadeUpMachine(service, endpoint, hello(1), credit=1 << 53)
        await asyncio.sleep(0)
        assert taken == [2], "then everybody else has a turn"
        await machine.tasks(10)


@live
async def test_one_that_does_not_read_is_given_up_when_it_is_to_give_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with serving(ServiceFixture()) as service:
        endpoint = await made(service)
        machine = MadeUpMachine(service, endpoint, hello(1))
        await submitted(service, endpoint, 1)
        await machine.tasks(1)
        monkeypatch.setattr(machine.session, "reads", lambda: False)
        (opened,) = service._parts.dispatch.batches()
        assert await service.cancel(ALICE, [(opened.prefix, [0])]) == []
        assert machine.ended == ["it does not read what it is sent"]


@live
async def test_an_endpoint_has_a_bounded_number_of_machines_and_tokens() -> None:
    async with serving(ServiceFixture(), limits=ServiceLimits(endpoint_machines=3)) as service:
        endpoint = await made(service)
        for number in (1, 2):
            MadeUpMachine(service, endpoint, hello(number, join=True))
        away = MadeUpMachine(service, endpoint, hello(3, join=True))
        with pytest.raises(EndpointTaken, match="3 machines, which is the limit"):
            MadeUpMachine(service, endpoint, hello(4, join=True))
        MadeUpMachine(service, endpoint, hello(2, generation=2, join=True))  # it is one of them
        away.leave()
        away.machine.known = away.machine.known._replace(heard=0.0)
        MadeUpMachine(service, endpoint, hello(4, join=True))
        machines = service.agents.engine.machines(endpoint)
        assert sorted(one.known.host for one in machines) == ["host1", "host2", "host4"]
        died: list[bytes] = []
        service.agents.tokens.died = died.append
        tokens = [(await service.agents.register(ALICE, EndpointRegistration("ws")))[1] for _ in range(5)]
        good = [await service.agents.tokens.identify(token) is not None for token in tokens]
        assert good == [False, False, True, True, True]
        assert len(died) == 3, "with the one of the first registration"
        assert len(list(service._parts.store.read.rows("all_endpoint_tokens"))) == 3


@live
async def test_why_no_worker_starts_is_logged_when_it_changes(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(ServiceFixture()) as service:
        machine = MadeUpMachine(service, await made(service), hello(1))
        for _ in range(20):
            machine.says(frames.WorkersFailed("no disk" + "k" * 5_000))
        assert caplog.text.count("no worker can start") == 1
        assert len(caplog.text) < 3_000


@pytest.mark.parametrize("machine", ["00" * 15 + "  ", "0A" * 16, "00" * 15, "00" * 16 + "\n"])
@live
async def test_a_machine_has_one_name(machine: str) -> None:
    async with serving(ServiceFixture()) as service:
        endpoint = await made(service)
        said: list[dict[str, Any]] = [
            {"type": "websocket.connect"},
            {
                "type": "websocket.receive",
                "text": msgspec.json.encode(msgspec.structs.replace(hello(), machine=machine)).decode(),
            },
        ]
        heard: list[Any] = []

        async def receive() -> Any:
            return said.pop(0)

        async def send(message: Any) -> None:
            heard.append(message)

        websocket = WebSocket({"type": "websocket", "headers": []}, receive, send)
        who = Identity("endpoint", "endpoint", endpoint=endpoint)
        await serve_endpoint(websocket, who, service, b"")
        assert (heard[-1]["type"], heard[-1]["code"]) == ("websocket.close", 4400)
        assert not list(service.agents.engine.machines(endpoint))
