from __future__ import annotations

import pytest

from compute_executor.errors import InvalidRequest, NotFound
from compute_executor.service.auth.accounts.commands import AccountCommand, perform
from tests.service.fixture import ServiceFixture, live, serving


@live
async def test_through_a_service(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        accounts = service.accounts()
        await perform(accounts, "user-add", AccountCommand(name="ann"))
        made = await perform(accounts, "token-new", AccountCommand(name="ann", expires="1h"))
        assert await service.accounts().identify(made["token"]) is not None
        listed = await perform(accounts, "token-list", AccountCommand())
        assert made["token"] not in str(listed)
        with pytest.raises(NotFound, match="command"):
            await perform(accounts, "user-rename", AccountCommand(name="ann"))
        with pytest.raises(InvalidRequest, match="member is missing"):
            await perform(accounts, "group-join", AccountCommand(name="ann"))
