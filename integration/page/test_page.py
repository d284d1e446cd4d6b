"""A program dies and leaves 10,000 tasks: they are found, read and ended on the page, by mouse and by keyboard."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

PROGRAM = [sys.executable, "-m", "compute_executor"]
PATIENCE = 20_000
"""Milliseconds."""
DYING = """
import os, time
from compute_executor import Executor

def wait(x):
    if x == 0:
        raise ValueError("no root in this interval")
    if x > 1:
        time.sleep(300)

ex = Executor(max_workers=2, label="fit")
futures = [ex.submit(wait, x) for x in range(10_000)]
futures[1].result()
while sum(future.running() for future in futures) < 2:
    time.sleep(0.01)
os._exit(9)
"""


def run(*arguments: str) -> str:
    return subprocess.run(
        [*PROGRAM, *arguments], capture_output=True, text=True, timeout=60, check=True
    ).stdout


@pytest.fixture
def link(tmp_path: Path) -> Iterator[str]:
    """The link of a dashboard beside the work of a program that has died."""
    script = tmp_path / "fit.py"
    script.write_text(DYING)
    assert subprocess.run([sys.executable, script], check=False, timeout=60).returncode == 9
    dashboard = subprocess.Popen([*PROGRAM, "dashboard", "--no-browser"], stdout=subprocess.PIPE, text=True)
    assert dashboard.stdout is not None
    yield dashboard.stdout.readline().strip()
    dashboard.terminate()
    dashboard.wait(20)
    dashboard.stdout.close()
    run("stop", "--force")


def opened(browser: Browser, link: str, width: int, scheme: str) -> Page:
    """The page, with everything that goes wrong in the browser in ``page.troubles``."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
    page = context.new_page()
    troubles: list[str] = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("requestfailed", lambda request: troubles.append(f"failed: {request.url}"))
    page.on("request", lambda request: troubles.extend([request.url] * ("127.0.0.1" not in request.url)))
    page.goto(link)
    page.troubles = troubles  # type: ignore[attr-defined]
    return page


def shown(page: Page, name: str) -> Any:
    """The figure of a tile."""
    return page.locator(".q-card", has=page.get_by_text(name, exact=True)).first


def test_forgotten_work_is_found_read_and_ended(browser: Browser, link: str) -> None:
    page = opened(browser, link, 1280, "light")
    expect(shown(page, "queued")).to_contain_text("9,996", timeout=PATIENCE)
    expect(page.get_by_text(", its program has ended")).to_be_visible()
    page.get_by_role("tab", name="Failures").click()
    expect(page.get_by_text("ValueError: no root in this interval")).to_be_visible(timeout=PATIENCE)
    page.get_by_role("tab", name="Tasks").click()
    page.get_by_label("State").click()
    page.get_by_role("option", name="failed").click()
    page.get_by_role("cell", name="ValueError: no root in this interval").click()
    expect(page.get_by_text("Traceback (most recent call last)")).to_be_visible(timeout=PATIENCE)
    page.get_by_role("button", name="Close").click()
    page.get_by_role("tab", name="Groups").click()
    page.get_by_role("button", name="Cancel", exact=True).focus()
    page.keyboard.press("Enter")
    page.get_by_role("checkbox").click()
    page.get_by_role("button", name="Cancel it").click()
    expect(shown(page, "cancelled")).to_contain_text("9,998", timeout=PATIENCE)
    (group,) = json.loads(run("groups", "--json"))
    assert (group["succeeded"], group["failed"], group["cancelled"]) == (1, 1, 9_998)
    assert page.troubles == []  # type: ignore[attr-defined]


def test_on_a_telephone_in_the_dark_nothing_sticks_out(browser: Browser, link: str) -> None:
    page = opened(browser, link, 400, "dark")
    expect(shown(page, "queued")).to_contain_text("9,996", timeout=PATIENCE)
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert sum(map(int, re.findall(r"\d+", background)[:3])) < 3 * 64
    assert page.troubles == []  # type: ignore[attr-defined]


def test_the_link_works_once_and_the_page_holds_no_token(browser: Browser, link: str) -> None:
    page = opened(browser, link, 1280, "light")
    expect(shown(page, "queued")).to_contain_text("9,996", timeout=PATIENCE)
    (place,) = (path for path in Path(run("status").split("state    ")[1].split(",")[0]).glob("service.json"))
    assert json.loads(place.read_text())["token"] not in page.content()
    stranger = browser.new_context().new_page()
    answer = stranger.goto(link)
    assert answer is not None
    assert answer.status == 403


def test_a_hidden_page_is_told_nothing_until_it_is_seen_again(browser: Browser, link: str) -> None:
    page = opened(browser, link, 1280, "light")
    expect(shown(page, "queued")).to_contain_text("9,996", timeout=PATIENCE)
    page.evaluate("Object.defineProperty(document, 'hidden', {get: () => window.away, configurable: true})")
    tell = "away => { window.away = away; document.dispatchEvent(new Event('visibilitychange')) }"
    page.evaluate(tell, arg=True)
    page.wait_for_timeout(3_000)  # what was under way
    run("cancel", "fit")
    page.wait_for_timeout(4_000)
    assert "9,996" in shown(page, "queued").inner_text()
    page.evaluate(tell, arg=False)
    expect(shown(page, "cancelled")).to_contain_text("9,996", timeout=PATIENCE)
