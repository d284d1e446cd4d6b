"""What an administrator can ask for: a name and a document in, a document out. The same whether it comes through a
route or from a folder in which no service runs. Only the answers to token-new and client-add hold a secret."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from compute_executor.errors import InvalidRequest, NotFound
from compute_executor.service.auth.accounts.accounts import Accounts
from compute_executor.service.auth.accounts.book import CLIENT, USER, Account, UserGroup
from compute_executor.service.auth.accounts.durations import seconds

Document = dict[str, Any]


class AccountCommand(msgspec.Struct, forbid_unknown_fields=True):
    """The fields of all commands. ``expires``: a duration."""

    name: str | None = None
    member: str | None = None
    expires: str | None = None

    def life(self) -> float | None:
        """Return the seconds; None if it does not expire."""
        return None if self.expires is None else seconds(self.expires)

    def needed(self, field: str) -> str:
        """Return a field that must be there. Raises InvalidRequest."""
        value: str | None = getattr(self, field)
        if not value:
            raise InvalidRequest(f"{field} is missing")
        return value


def _shown(one: Account | UserGroup) -> Document:
    return {"id": one.id, "name": one.name, "created": one.created}


async def _user_add(accounts: Accounts, asked: AccountCommand) -> Document:
    return _shown(await accounts.add_user(asked.needed("name")))


async def _user_remove(accounts: Accounts, asked: AccountCommand) -> Document:
    return _shown(await accounts.remove(asked.needed("name"), USER))


async def _list(accounts: Accounts, kind: str) -> Document:
    found = [one for one in accounts.book.accounts.values() if one.kind == kind]
    return {"found": [{**_shown(one), "expires": one.expires} for one in found]}


async def _user_list(accounts: Accounts, _: AccountCommand) -> Document:
    return await _list(accounts, USER)


async def _client_add(accounts: Accounts, asked: AccountCommand) -> Document:
    one, secret = await accounts.add_client(asked.needed("name"), asked.life())
    return {**_shown(one), "secret": secret, "expires": one.expires}


async def _client_remove(accounts: Accounts, asked: AccountCommand) -> Document:
    return _shown(await accounts.remove(asked.needed("name"), CLIENT))


async def _client_list(accounts: Accounts, _: AccountCommand) -> Document:
    return await _list(accounts, CLIENT)


async def _group_add(accounts: Accounts, asked: AccountCommand) -> Document:
    return _shown(await accounts.add_group(asked.needed("name")))


async def _group_remove(accounts: Accounts, asked: AccountCommand) -> Document:
    return _shown(await accounts.remove_group(asked.needed("name")))


async def _group_join(accounts: Accounts, asked: AccountCommand) -> Document:
    await accounts.join(asked.needed("name"), asked.needed("member"))
    return {}


async def _group_leave(accounts: Accounts, asked: AccountCommand) -> Document:
    await accounts.leave(asked.needed("name"), asked.needed("member"))
    return {}


async def _group_list(accounts: Accounts, _: AccountCommand) -> Document:
    book = accounts.book
    members = {
        group: sorted(book.accounts[one].name for one in members) for group, members in book.members.items()
    }
    return {"found": [{**_shown(one), "members": members[one.id]} for one in book.groups.values()]}


async def _token_new(accounts: Accounts, asked: AccountCommand) -> Document:
    token, kept = await accounts.new_token(asked.needed("name"), asked.life())
    return {"id": kept.id, "token": token, "expires": kept.expires}


async def _token_revoke(accounts: Accounts, asked: AccountCommand) -> Document:
    await accounts.revoke_token(asked.needed("name"))
    return {}


async def _token_list(accounts: Accounts, _: AccountCommand) -> Document:
    book = accounts.book
    found = [
        {
            "id": one.id,
            "name": book.accounts[one.account].name,
            "created": one.created,
            "expires": one.expires,
        }
        for one in book.tokens.values()
    ]
    return {"found": found}


COMMANDS: dict[str, Callable[[Accounts, AccountCommand], Awaitable[Document]]] = {
    "user-add": _user_add,
    "user-remove": _user_remove,
    "user-list": _user_list,
    "client-add": _client_add,
    "client-remove": _client_remove,
    "client-list": _client_list,
    "group-add": _group_add,
    "group-remove": _group_remove,
    "group-join": _group_join,
    "group-leave": _group_leave,
    "group-list": _group_list,
    "token-new": _token_new,
    "token-revoke": _token_revoke,
    "token-list": _token_list,
}


async def perform(accounts: Accounts, command: str, asked: AccountCommand) -> Document:
    """Do it. Raises NotFound for what there is not, InvalidRequest for what cannot be."""
    if command not in COMMANDS:
        raise NotFound(f"there is no command {command!r}")
    return await COMMANDS[command](accounts, asked)
