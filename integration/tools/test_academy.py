"""academy: agents are tasks that run until they are told to stop; they talk over an exchange of their own."""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import Executor

from academy.agent import Agent, action
from academy.exchange.cloud.client import spawn_http_exchange
from academy.manager import Manager


class Counter(Agent):
    def __init__(self) -> None:
        self.count = 0

    @action
    async def add(self, value: int) -> int:
        self.count += value
        return self.count


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_two_agents(executor: Executor) -> None:
    async def main() -> tuple[int, int]:
        with spawn_http_exchange("127.0.0.1", free_port()) as factory:
            async with await Manager.from_exchange_factory(factory, executors=executor) as manager:
                first = await manager.launch(Counter)
                second = await manager.launch(Counter)
                await first.add(1)
                return await first.add(2), await second.add(10)

    assert asyncio.run(main()) == (3, 10)
