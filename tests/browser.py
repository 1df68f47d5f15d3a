"""Pages in a headless Chromium, without a network."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

_NAMES = ("chromium-headless-shell", "chromium", "google-chrome")


def executable() -> str:
    """The browser; a test is skipped where there is none, but not in CI."""
    found = os.environ.get("VXQUAL_CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        lacks = "needs a Chromium: scripts/setup --dev installs one, VXQUAL_CHROMIUM names one"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(lacks)
    return str(found)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser for the pages of several tests; its sandbox cannot be set up by root."""
    path = executable()
    with sync_playwright() as play:
        running = play.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield running
        finally:
            running.close()


@contextmanager
def opened(
    browser: Browser,
    file: Path,
    at: str = "",
    *,
    width: int = 1440,
    height: int = 1000,
    dark: bool = False,
    stopped: bool = False,
    ready: str = "[role=treegrid]",
) -> Iterator[Page]:
    """A page opened from disk, which must fetch nothing and say nothing on the console.

    Args:
        browser: The browser.
        file: The page.
        at: What comes behind "#" in its address.
        width: Of the window, CSS pixels.
        height: Of the window, CSS pixels.
        dark: Whether the user prefers dark pages.
        stopped: Whether time only goes on by `page.clock`.
        ready: A selector; the page is ready once it matches.
    """
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light"
    )
    context.set_offline(True)
    page = context.new_page()
    if stopped:
        page.clock.install()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    try:
        page.goto(f"{file.absolute().as_uri()}#{at}")
        page.wait_for_selector(ready)
        yield page
        assert said == []
        assert {url.partition("#")[0] for url in asked} == {file.absolute().as_uri()}
    finally:
        context.close()


def screenshot(page: Page, name: str) -> None:
    """Keeps a picture of a whole page in the directory that `VXQUAL_SCREENSHOTS` names, if any.

    Args:
        page: The page.
        name: Of the picture, without its ending.
    """
    directory = os.environ.get("VXQUAL_SCREENSHOTS")
    if directory:
        page.screenshot(path=Path(directory) / f"{name}.png", full_page=True)


def accessibility_faults(page: Page) -> list[str]:
    """What axe-core finds wrong with a page, by rule and element."""
    found = Axe().run(page).response["violations"]
    return [
        f"{one['id']}: {node['target']} {node.get('failureSummary', '')}"
        for one in found
        for node in one["nodes"]
    ]


def sideways(page: Page) -> list[int]:
    """The width of the content and of the window, CSS pixels; they are equal if nothing is cut."""
    found: list[int] = page.evaluate(
        "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    return found
