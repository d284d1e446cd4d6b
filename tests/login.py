"""A login with one authorization after the other, for stand-ins of a service's locator."""

from __future__ import annotations

from collections.abc import Callable

from compute_executor.sdk.http.direct import DirectTransport, ServerAddress
from compute_executor.sdk.http.requests import ApiClient
from compute_executor.sdk.own_api import OwnApi


class LoginTransport(DirectTransport):
    """``renewed``: called when an authorization was refused, before the address is looked up again."""

    def __init__(self, locate: Callable[[], ServerAddress], renewed: Callable[[], object]) -> None:
        super().__init__(locate)
        self._on_refusal = renewed

    def renew(self) -> None:
        self._on_refusal()
        super().renew()


def api_of(locate: Callable[[], ServerAddress], renewed: Callable[[], object] = lambda: None) -> OwnApi:
    """The API of the service at an address, with no pauses between attempts."""
    return OwnApi(ApiClient(LoginTransport(locate, renewed), pause=lambda _: None))


def api_at(url: str, token: str | None = None) -> OwnApi:
    """The API of the service at a fixed address."""
    return api_of(lambda: ServerAddress(url, token))
