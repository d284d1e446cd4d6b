"""A real browser: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from integration import debian

# Without these it looks for its maker's hosts.
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium, installed if it is absent and root asks."""
    if not shutil.which("chromium"):
        try:
            debian.install("chromium")
        except debian.CannotInstall as error:
            pytest.skip(f"no browser: {error}")
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=QUIET)
        yield found
        found.close()
