"""A real browser that opens pages as files, without a network; whatever it complains of fails the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Dialog, Page, Request

from tests.report.page.pages import sweep_page

Opener = Callable[..., Page]
"""Opens a page in a window of its own; keywords are those of a browser context, and whether it may complain."""


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Opener]:
    contexts: list[BrowserContext] = []
    complaints: list[str] = []
    asked: list[str] = []

    def said(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            complaints.append(message.text)

    def dismissed(dialog: Dialog) -> None:
        complaints.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def forbidden(request: Request) -> None:
        """The browser tells of a request that the page's policy forbids, and does not make it."""
        if request.failure == "csp":
            asked.remove(request.url)

    def opened(path: Path, *, may_complain: bool = False, **options: Any) -> Page:
        settings: dict[str, Any] = {"viewport": {"width": 1280, "height": 800}, "offline": True, **options}
        context = browser.new_context(**settings)
        contexts.append(context)
        context.set_default_timeout(15_000)
        page = context.new_page()
        page.on("dialog", dismissed)
        page.on("request", lambda request: asked.append(request.url))
        page.on("requestfailed", forbidden)
        if not may_complain:
            page.on("console", said)
            page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(path.as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []


@pytest.fixture(scope="package")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a sweep of 2 samplers, 2 seeds and 3 denoises."""
    return sweep_page(tmp_path_factory.mktemp("report") / "lake")
