"""A browser that watches a run: pictures appear while it goes on, the button cancels it, and a reload loses nothing."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from comfy_runner.running.events import RunStarted
from comfy_runner.running.handle import Run
from comfy_runner.store.ledger_rows import PlanRow
from comfy_runner.store.run_folder import RunFolder
from comfy_runner.watch.sources import LiveRun, LiveSearch
from tests.report.page.pages import paint, wait_for_pictures
from tests.report.support import make_run
from tests.running.support import begin, states, sweep
from tests.standin import HELD, StandIn, State
from tests.standin.generations import V0_38
from tests.watch.support import watched

_SEEDS = [1, 2, 3]


@pytest.fixture
def newer() -> Iterator[StandIn]:
    """A server that knows of previews."""
    with StandIn(State(generation=V0_38)) as standin:
        yield standin


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A window that may not complain."""
    complaints: list[str] = []
    with contextlib.closing(browser.new_context(viewport={"width": 1280, "height": 900})) as context:
        context.set_default_timeout(30_000)
        window = context.new_page()
        window.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
        window.on("pageerror", lambda error: complaints.append(str(error)))
        yield window
    assert complaints == []


@contextlib.contextmanager
def _watched(server: StandIn, out: Path, page: Page) -> Iterator[tuple[str, Run]]:
    """Render three jobs and serve their page."""
    rendering = begin(server, out, sweep({"seed": _SEEDS}), previews=True)
    source = LiveRun(out)

    def follow() -> None:
        for event in rendering:
            source.follow(event)

    follows = threading.Thread(target=follow)
    follows.start()
    with watched(out, source) as served:
        yield served.url, rendering
        page.goto("about:blank")  # or it would complain that nobody answers any more
        rendering.cancel()
        follows.join()


def _wait_for_a_cancel(server: StandIn) -> None:
    until = time.monotonic() + HELD
    while not any(asked.path.endswith("/cancel") for asked in server.state.asked):
        assert time.monotonic() < until
        time.sleep(0.01)


def test_pictures_appear_while_the_run_goes_on_and_a_reload_loses_nothing(newer: StandIn, tmp_path: Path, page: Page) -> None:
    gate = newer.state.hold("save_upscaled")
    with _watched(newer, tmp_path / "lake", page) as (url, rendering):
        gate.wait()
        page.goto(url)
        expect(page.locator(".card")).to_have_count(3)
        expect(page.locator(".live-words")).to_contain_text("0 of 3 jobs")
        expect(page.locator(".lane")).to_contain_text("lake-s1")
        # One runs and one waits.
        expect(page.locator(".card .early")).to_have_count(2)
        wait_for_pictures(page, ".early img")
        page.reload()
        expect(page.locator(".card .early")).to_have_count(2)

        gate.open()

        expect(page.locator(".live-words")).to_have_text("The run has ended. 3 of 3 jobs")
        expect(page.locator(".card .shot:not(.early):not(.without) img")).to_have_count(3)
        wait_for_pictures(page, ".card img")
        expect(page.locator("#counts")).to_contain_text("3 done")
        expect(page.locator(".lane")).to_have_count(0)
        page.locator(".card").first.focus()
        with page.expect_response(lambda found: found.request.method == "PUT"):
            page.keyboard.press("4")
        assert '"stars": 4' in (tmp_path / "lake" / "picks.json").read_text(encoding="utf-8")
        page.locator(".card").first.click()
        wait_for_pictures(page, ".stage img")
        expect(page.locator("#viewer")).to_contain_text("a lake")
        page.reload()
        expect(page.locator(".card img")).to_have_count(3)
        assert set(states(rendering.results()).values()) == {"done"}


def test_where_streams_do_not_come_through_the_page_asks(newer: StandIn, tmp_path: Path, page: Page) -> None:
    gate = newer.state.hold("save_upscaled")
    page.clock.install()
    # A proxy that keeps what it is given.
    page.route("**/events?*", lambda _route: None)
    with _watched(newer, tmp_path / "lake", page) as (url, _):
        gate.wait()
        page.goto(url)
        with page.expect_response("**/changes?*"):
            page.clock.fast_forward(10_000)
        gate.open()

        until = time.monotonic() + HELD
        while "ended" not in page.locator(".live-words").inner_text() and time.monotonic() < until:
            page.clock.fast_forward(4_000)

        expect(page.locator(".live-words")).to_have_text("The run has ended. 3 of 3 jobs")


def test_the_button_cancels_and_what_is_rendered_is_kept(newer: StandIn, tmp_path: Path, page: Page) -> None:
    # Too late for the first job to be cancelled.
    gate = newer.state.hold("history")
    with _watched(newer, tmp_path / "lake", page) as (url, rendering):
        gate.wait()
        page.goto(url)
        button = page.locator(".live button", has_text="Cancel")
        button.click()
        expect(button).to_contain_text("Click again")
        expect(page.locator(".live-words")).not_to_contain_text("End")

        button.click()
        expect(page.locator(".live-words")).to_contain_text("Ending")
        _wait_for_a_cancel(newer)
        gate.open()

        expect(page.locator(".live-words")).to_contain_text("The run has ended")
        expect(page.locator("#counts")).to_contain_text("1 done")
        assert sorted(states(rendering.results()).values()) == ["cancelled", "done", "pending"]
        assert list((tmp_path / "lake").glob("*/upscaled.png"))


def _add_job(folder: Path, seed: int) -> None:
    row = PlanRow(
        job_id=f"lake-s{seed}",
        position=seed,
        recipe="lake",
        content_hash="0",
        pixel_hash="0",
        shares="",
        assignments={"seed": seed},
    )
    with contextlib.closing(RunFolder(folder)) as locked:
        locked.ledger.write_plan([row], recipes=[])


def test_jobs_that_a_search_adds_come_by_themselves_unless_a_picture_is_open(tmp_path: Path, page: Page) -> None:
    folder = make_run(tmp_path / "lake", {"seed": [1]}, paint)
    source = LiveSearch(folder)
    source.follow(RunStarted(folder, "", ("lake-s1",), 1, ()))
    with watched(folder, source) as served:
        page.goto(served.url)  # with one job, its picture is opened at once
        expect(page.locator(".live-words")).to_have_text("Searching: 1 of 1 job so far")
        _add_job(folder, 2)
        expect(page.get_by_role("button", name="Show the update")).to_be_visible()
        expect(page.locator(".card")).to_have_count(1)

        page.keyboard.press("Escape")

        _add_job(folder, 3)
        expect(page.locator(".card")).to_have_count(3)
        source.end()
        expect(page.locator(".live-words")).to_contain_text("The search has ended.")
        page.goto("about:blank")
