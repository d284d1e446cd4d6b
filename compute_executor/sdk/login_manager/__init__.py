"""Who is asking: logins of people and of services with Globus Auth, and where their tokens lie.

`LoginManager` is imported when it is asked for, because it imports globus_sdk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from compute_executor.sdk.login_manager.protocol import LoginManagerProtocol

if TYPE_CHECKING:
    from compute_executor.sdk.login_manager.manager import LoginManager as LoginManager

__all__ = ["LoginManager", "LoginManagerProtocol"]


def __getattr__(name: str) -> Any:
    """LoginManager, at first use."""
    if name != "LoginManager":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from compute_executor.sdk.login_manager.manager import LoginManager

    return LoginManager
