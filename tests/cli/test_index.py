"""``index``, and ``--open``, typed as a user types them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from comfy_runner.cli.opening import has_display
from tests.cli.support import Typed, typed
from tests.report.page.pages import paint
from tests.report.support import folder_of, make_run


def test_it_prints_where_the_page_is_and_what_it_could_not_read(cli: Callable[..., Typed], tmp_path: Path) -> None:
    make_run(tmp_path / "runs" / "lake", {"seed": [1]}, paint)
    (folder_of(tmp_path / "runs" / "broken") / "ledger.sqlite").write_bytes(b"no ledger" * 100)

    done = cli("index")

    assert (done.code, done.out) == (0, "runs/index.html\n")
    assert done.err.splitlines() == ["warning: runs/broken: is damaged", "2 runs: runs/index.html"]


def test_a_folder_that_is_not_there_is_told(cli: Callable[..., Typed]) -> None:
    done = cli("index", "nowhere")

    assert done.code == 2
    assert "nowhere: has no run folders below it" in done.err


@pytest.mark.skipif(sys.platform == "win32", reason="the browser is a shell script")
def test_open_shows_the_page_in_the_browser_that_the_user_names(tmp_path: Path) -> None:
    make_run(tmp_path / "runs" / "lake", {"seed": [1]}, paint)
    browser = tmp_path / "browser"
    browser.write_text(f"#!/bin/sh\necho \"$1\" > '{tmp_path}/opened'\n", encoding="utf-8")
    browser.chmod(0o700)

    done = typed("index", "--open", folder=tmp_path, BROWSER=f"{browser} %s")

    assert done.code == 0
    assert (tmp_path / "opened").read_text(encoding="utf-8").strip() == (tmp_path / "runs" / "index.html").as_uri()


def test_without_a_display_open_says_the_address(tmp_path: Path) -> None:
    make_run(tmp_path / "runs" / "lake", {"seed": [1]}, paint)

    done = typed("index", "--open", folder=tmp_path, BROWSER="", DISPLAY="", WAYLAND_DISPLAY="")

    assert done.code == 0
    assert done.err.splitlines()[-1] == f"no browser can be opened here; the page is {(tmp_path / 'runs/index.html').as_uri()}"


def test_a_display_is_told_by_the_system_or_by_variables() -> None:
    assert has_display({}, "darwin")
    assert has_display({"WAYLAND_DISPLAY": "wayland-0"}, "linux")
    assert not has_display({"DISPLAY": ""}, "linux")
