"""Endpoints of our own at the service: who may work for one, to whom it gives tasks, and what it makes of machines
that go away. The machines are made up, the service is whole."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest

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
from compute_executor.service.api.stream import LONGEST_REASON
from compute_executor.service.endpoints.registry import EndpointRegistration
from compute_executor.service.service import Service
from tests.endpoint.leases.test_grantor import Sent
from tests.service.fixture import (
    ALICE,
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
