from __future__ import annotations

from tests.cli.conftest import command, here

__all__ = ["command", "here"]
