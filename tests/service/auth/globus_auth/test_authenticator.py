"""Bearer tokens of Globus Auth, with real globus_sdk clients against fauxbus, and with a stand-in for the timing."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import traceback
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import globus_sdk
import pytest

from compute_executor.errors import LoginUnavailable
from compute_executor.service.access import Identity
from compute_executor.service.auth.authenticators import AuthenticatorChain, LocalToken
from compute_executor.service.auth.globus_auth import authenticator as module
from compute_executor.service.auth.globus_auth.authenticator import GlobusAuthenticator
from compute_executor.service.auth.globus_auth.decisions import LIFE
from compute_executor.service.auth.globus_auth.introspection import GroupMembership
from tests.service.auth.globus_auth.conftest import (
    ALICE,
    ALICES,
    BOB,
    BOBS,
    FORMER,
    OURS,
    SWEEPER,
    SWEEPER_SECRET,
    TEAM,
    Fauxbus,
)

INTROSPECT, TOKEN, MINE = "/v2/oauth2/token/introspect", "/v2/oauth2/token", "/v2/groups/my_groups"
Scenario = Callable[[GlobusAuthenticator], Awaitable[Any]]


def run(scenario: Scenario, **options: Any) -> Any:
    async def whole() -> Any:
        authenticator = GlobusAuthenticator(options.pop("ours", OURS), **options)
        try:
            return await scenario(authenticator)
        finally:
            authenticator.close()

    return asyncio.run(whole())


def whose(token: str, **options: Any) -> Identity | None:
    found: Identity | None = run(lambda globus: globus.identify(token), **options)
    return found


@pytest.fixture(autouse=True)
def no_repetitions(monkeypatch: pytest.MonkeyPatch) -> None:
    """What globus_sdk does between two attempts takes half a second."""
    monkeypatch.setattr("compute_executor.service.auth.globus_auth.introspection.REPETITIONS", 0)


# -- with fauxbus -------------------------------------------------------------------------------------------


def test_people_and_their_groups(fauxbus: Fauxbus) -> None:
    assert whose(ALICES) == Identity(ALICE, "alice@example.org", frozenset({TEAM}))
    assert whose(BOBS) == Identity(BOB, "bob@example.org", frozenset({FORMER}))


def test_a_client_with_credentials(fauxbus: Fauxbus) -> None:
    """The token comes from fauxbus's own token route."""
    login = globus_sdk.ConfidentialAppAuthClient(SWEEPER, SWEEPER_SECRET)
    issued = login.oauth2_client_credentials_tokens(OURS.scope).by_resource_server[OURS.client_id]
    who = whose(issued["access_token"])
    assert who == Identity(SWEEPER, f"{SWEEPER}@clients.auth.globus.org")
    login.oauth2_revoke_token(issued["access_token"])
    assert whose(issued["access_token"]) is None


@pytest.mark.parametrize("kind", ["old", "revoked", "elsewhere", "narrow", "never-issued"])
def test_whose_is_nobodys(fauxbus: Fauxbus, kind: str) -> None:
    assert whose(f"canary-{kind}") is None
    assert fauxbus.asked == [INTROSPECT]  # nobody's groups are asked for


def test_without_consent_nobody_is_in_a_group(fauxbus: Fauxbus, caplog: pytest.LogCaptureFixture) -> None:
    fauxbus.consents = False
    assert whose(ALICES) == Identity(ALICE, "alice@example.org")
    assert "groups of alice@example.org cannot be told (403" in caplog.text


@pytest.mark.parametrize("path", [INTROSPECT, TOKEN, MINE])
@pytest.mark.parametrize("status", [429, 500, 503])
def test_trouble_over_there_is_no_refusal(fauxbus: Fauxbus, path: str, status: int) -> None:
    fauxbus.fail(path, status, headers={"Retry-After": "17"})

    async def scenario(globus: GlobusAuthenticator) -> Identity | None:
        with pytest.raises(LoginUnavailable, match=rf"{status}.*try again") as caught:
            await globus.identify(ALICES)
        assert caught.value.retry_after == 17
        fauxbus.recover()
        return await globus.identify(ALICES)  # and it is not remembered

    assert run(scenario).id == ALICE


def test_nobody_answers(fauxbus: Fauxbus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLOBUS_SDK_SERVICE_URL_AUTH", "http://127.0.0.1:9/")
    with pytest.raises(LoginUnavailable, match="Globus Auth does not answer"):
        whose(ALICES)
    monkeypatch.setenv("GLOBUS_SDK_SERVICE_URL_AUTH", fauxbus.url)
    monkeypatch.setenv("GLOBUS_SDK_SERVICE_URL_GROUPS", "http://127.0.0.1:9/")
    with pytest.raises(LoginUnavailable, match="Globus Groups does not answer"):
        whose(ALICES)


def test_our_own_credentials_are_wrong(fauxbus: Fauxbus) -> None:
    with pytest.raises(
        LoginUnavailable, match=r"refuses this service itself.*COMPUTE_EXECUTOR_GLOBUS_CLIENT_SECRET"
    ):
        whose(ALICES, ours=OURS._replace(client_secret="canary-wrong"))


def test_a_decision_is_asked_for_once_and_dropped_on_demand(fauxbus: Fauxbus) -> None:
    async def scenario(globus: GlobusAuthenticator) -> None:
        for _ in range(3):
            assert (await _known(globus, ALICES)).groups == {TEAM}
        await globus.identify("canary-never-issued")
        await globus.identify("canary-never-issued")
        assert fauxbus.asked == [INTROSPECT, TOKEN, MINE, INTROSPECT]
        fauxbus.world.groups[TEAM].memberships[ALICE].status = "removed"
        assert (await _known(globus, ALICES)).groups == {TEAM}  # as of up to LIFE seconds ago
        globus.forget(BOBS)
        assert (await _known(globus, ALICES)).groups == {TEAM}
        globus.forget(ALICES)
        assert (await _known(globus, ALICES)).groups == frozenset()

    run(scenario)


def test_it_is_asked_again_after_its_life_and_when_the_token_ends(fauxbus: Fauxbus) -> None:
    start, now = time.time(), [0.0]
    now[0] = start

    async def scenario(globus: GlobusAuthenticator) -> None:
        await _known(globus, ALICES)
        now[0] = start + LIFE - 1
        await _known(globus, ALICES)
        assert fauxbus.asked.count(INTROSPECT) == 1
        now[0] = start + LIFE + 1
        await _known(globus, ALICES)
        assert fauxbus.asked.count(INTROSPECT) == 2
        fauxbus.world.tokens[BOBS].expires_at = int(now[0]) + 5
        await _known(globus, BOBS)
        now[0] += 6
        assert await globus.identify(BOBS) is None

    run(scenario, clock=lambda: now[0])


async def _known(globus: GlobusAuthenticator, token: str) -> Identity:
    found = await globus.identify(token)
    assert found is not None
    return found


def test_nothing_secret_is_shown(fauxbus: Fauxbus, caplog: pytest.LogCaptureFixture) -> None:
    """All loggers at their most talkative, also those of globus_sdk and urllib3; errors with all they hold."""
    caplog.set_level(logging.DEBUG)
    shown = []
    for path, status in ((INTROSPECT, 500), (TOKEN, 403), (MINE, 429)):
        fauxbus.fail(path, status)
        try:
            shown.append(repr(whose(ALICES)))
        except LoginUnavailable as error:
            shown += ["".join(traceback.format_exception(error)), repr(vars(error))]
            shown.append(f"cause and context: {error.__cause__} {error.__context__}")
        fauxbus.recover()
    for token in ("canary-old", "canary-never-issued"):
        assert whose(token) is None
    shown += [repr(OURS), repr(vars(GlobusAuthenticator(OURS))), caplog.text]
    everything = "\n".join(shown)
    assert "a token was refused: it is not active" in everything
    assert everything.count("cause and context: None None") == 2
    assert "canary" not in everything


def test_a_token_of_this_service_is_not_shown_to_globus(fauxbus: Fauxbus) -> None:
    who = run(lambda globus: AuthenticatorChain(LocalToken("canary-local"), globus).identify("canary-local"))
    assert who is not None
    assert who.admin
    assert fauxbus.asked == []


def test_other_groups_are_told(fauxbus: Fauxbus) -> None:
    async def scenario(globus: GlobusAuthenticator) -> None:
        told: list[Identity] = []
        globus.changed = told.append
        await _known(globus, ALICES)
        globus.forget(ALICES)
        await _known(globus, ALICES)
        fauxbus.consents = False  # this says nothing about groups, so queued tasks are not to suffer
        globus.forget(ALICES)
        await _known(globus, ALICES)
        assert told == []
        fauxbus.consents = True
        fauxbus.world.groups[FORMER].memberships[ALICE].status = "active"
        globus.forget(ALICES)
        await _known(globus, ALICES)
        assert [who.groups for who in told] == [{TEAM, FORMER}]

    run(scenario)


# -- with a stand-in, for the timing ------------------------------------------------------------------------


class Slow:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.questions = 0
        self.answer = threading.Event()
        self.sub = ALICE

    def introspect(self, token: str) -> dict[str, Any]:
        self.questions += 1
        sub = self.sub
        assert self.answer.wait(10)
        return {
            "active": True,
            "sub": sub,
            "scope": OURS.scope,
            "aud": [OURS.client_id],
            "exp": time.time() + 60,
        }

    def groups(self, token: str) -> GroupMembership:
        return GroupMembership(frozenset())


@pytest.fixture
def slow() -> Iterator[Slow]:
    slow = Slow()
    yield slow
    slow.answer.set()


def test_the_loop_goes_on_and_many_requests_are_one_question(slow: Slow) -> None:
    async def scenario(globus: GlobusAuthenticator) -> None:
        asking = [asyncio.ensure_future(globus.identify("t")) for _ in range(20)]
        while not slow.questions:
            await asyncio.sleep(0)  # the loop turns while the answer is out
        asking[0].cancel()  # that client is gone
        slow.answer.set()
        answers = await asyncio.gather(*asking, return_exceptions=True)
        assert isinstance(answers[0], asyncio.CancelledError)
        assert all(isinstance(answer, Identity) and answer.id == ALICE for answer in answers[1:])
        assert slow.questions == 1

    run(scenario, globus=slow)


def test_an_answer_that_was_on_its_way_is_not_kept_after_forget(slow: Slow) -> None:
    async def scenario(globus: GlobusAuthenticator) -> None:
        early = asyncio.ensure_future(globus.identify("t"))
        while not slow.questions:
            await asyncio.sleep(0)
        globus.forget("t")
        slow.sub = BOB
        late = asyncio.ensure_future(globus.identify("t"))
        await asyncio.sleep(0)
        slow.answer.set()
        assert [(await early).id, (await late).id] == [ALICE, BOB]  # type: ignore[union-attr]
        assert (await _known(globus, "t")).id == BOB
        assert slow.questions == 2

    run(scenario, globus=slow)


def test_a_flood_is_told_to_come_again(slow: Slow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 2)

    async def scenario(globus: GlobusAuthenticator) -> None:
        asking = [asyncio.ensure_future(globus.identify(f"t{number}")) for number in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(LoginUnavailable, match="2 tokens are being looked into"):
            await globus.identify("t2")
        slow.answer.set()
        await asyncio.gather(*asking)
        assert (await _known(globus, "t2")).id == ALICE

    run(scenario, globus=slow)
