"""ComfyUI's own front end in a real browser: what its menu "Export (API)" makes of a workflow, and how it saves one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page
from playwright.sync_api import Error as PageError

_SCRIPT = Path(__file__).with_name("page.js")
_READY = """() => window.app?.vueAppReady && window.app.graph
    && Object.keys(window.LiteGraph?.registered_node_types ?? {}).length > 300"""
_PAGE_SECONDS = 120
_WORKFLOWS_A_PAGE = 25  # it keeps something of each workflow that it has seen


@dataclass(frozen=True, slots=True)
class Export:
    """What the page made of one workflow.

    Attributes:
        graph: The graph in API format as JSON text; None where the page failed.
        error: How it failed, or ""
        missing: Node types that the page does not know, which it exports as something that no server runs.
        repeats: Whether a second export gave the same.
        complaints: Warnings and errors that the page wrote to its console.
    """

    graph: str | None
    error: str = ""
    missing: tuple[str, ...] = ()
    repeats: bool = True
    complaints: tuple[str, ...] = ()


class FrontEnd:
    """The page of one ComfyUI, loaded anew now and then.

    Args:
        browser: A Chromium.
        url: The server's address; the page is loaded from there and from nowhere else.
    """

    def __init__(self, browser: Browser, url: str) -> None:
        self._browser = browser
        self._url = url
        self._context: BrowserContext | None = None
        self._page: Page | None = None
        self._seen = 0
        self._complaints: list[str] = []

    def export(self, workflow: str) -> Export:
        """Return what "Export (API)" gives for a workflow, which is JSON text."""
        try:
            said = self._call("export", workflow)
        except PageError as error:
            return Export(None, error=str(error)[:1000], complaints=tuple(self._complaints))
        return Export(said["graph"], missing=tuple(said["missing"]), repeats=said["repeats"], complaints=tuple(self._complaints))

    def serialised(self, workflow: str, schema: float) -> str:
        """Return a workflow as the page writes it.

        Args:
            workflow: JSON text.
            schema: 0.4, which is what it saves, or 1, in which links are objects.

        Raises:
            PageError: The page failed.
        """
        return str(self._call("serialised", workflow, schema))

    def nested(self, workflow: str, layers: Iterable[Iterable[int]], promoted: Iterable[tuple[int, str, Any]]) -> str:
        """Return a workflow of which the page has put nodes into a subgraph, saved by the page.

        Args:
            workflow: JSON text.
            layers: Ids of the nodes, outermost subgraph first, each of a part of those before.
            promoted: Widgets that become inputs of the innermost subgraph: the node's id, the widget's name and the value
                that the subgraph gives it; None for the value that is there.

        Raises:
            PageError: The page failed.
        """
        return str(self._call("nested", workflow, [list(layer) for layer in layers], [list(one) for one in promoted]))

    def close(self) -> None:
        """Close the page."""
        if self._context is not None:
            self._context.close()
        self._context = self._page = None

    def _call(self, name: str, *arguments: Any) -> Any:
        if self._page is None or self._seen >= _WORKFLOWS_A_PAGE:
            self.close()
            self._page = self._opened()
            self._seen = 0
        self._seen += 1
        self._complaints.clear()
        try:
            return self._page.evaluate("([name, given]) => window.truth[name](...given)", [name, list(arguments)])
        except PageError:
            self._seen = _WORKFLOWS_A_PAGE  # what failed once may have left the page in disorder
            raise

    def _opened(self) -> Page:
        self._context = self._browser.new_context(viewport={"width": 1200, "height": 800}, locale="en-US", timezone_id="UTC")
        self._context.add_init_script(path=_SCRIPT)
        page = self._context.new_page()
        page.on("console", lambda said: self._complaints.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: self._complaints.append(str(error)))
        page.on("dialog", lambda dialog: dialog.dismiss())
        page.goto(self._url, wait_until="load", timeout=_PAGE_SECONDS * 1000)
        page.wait_for_function(_READY, timeout=_PAGE_SECONDS * 1000)
        page.wait_for_timeout(1500)  # it goes on to load the user's settings and its last workflow
        return page
