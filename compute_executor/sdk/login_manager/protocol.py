"""What a Client needs of a login manager: the guide's protocol, so that anyone can bring their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import globus_sdk

    from compute_executor.sdk.web_client import WebClient


@runtime_checkable
class LoginManagerProtocol(Protocol):
    """Serves authorised clients. ``isinstance`` asks for the presence of the four methods."""

    def ensure_logged_in(self) -> Any:
        """Have tokens, asking the user if need be."""

    def logout(self) -> Any:
        """Forget and revoke the tokens."""

    def get_auth_client(self) -> globus_sdk.AuthClient:
        """Return a client of Globus Auth with a token for ``openid``."""
        ...

    def get_web_client(self, *, base_url: str) -> WebClient:
        """Return the client that every request goes through, with a token for ``Client.FUNCX_SCOPE``."""
        ...
