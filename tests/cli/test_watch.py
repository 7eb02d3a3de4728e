"""``run --watch`` and ``watch`` as a user sees them: the address, the page behind it, what is said where there can be none."""

from __future__ import annotations

import importlib.util
import json
import re
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from tests.api.find_support import answer_from, recipe
from tests.cli.support import Running, Typed, recipe_file
from tests.report.page.pages import paint
from tests.report.support import make_run
from tests.standin import HELD, StandIn
from tests.watch.support import facts_of

_ADDRESS = re.compile(r"watch: (http://127\.0\.0\.1:\d+/[\w-]{43}/)\s")


def _address(running: Running) -> str:
    running.wait_for("watch: http")
    until = time.monotonic() + HELD
    while not (found := _ADDRESS.search(running.said)):
        assert time.monotonic() < until, running.said
    return found[1]


def test_a_run_says_where_its_page_is_and_ends_as_it_does_without(server: StandIn, tmp_path: Path) -> None:
    gate = server.state.hold("second_pass")
    running = Running("run", str(recipe_file(tmp_path)), "--server", server.url, "--watch", folder=tmp_path)
    gate.wait()
    url = _address(running)

    page = requests.get(url, timeout=30)
    changes = requests.get(f"{url}changes", timeout=30).json()["changes"]
    gate.open()
    done = running.end()

    assert [job["id"] for job in facts_of(page.content)["jobs"]] == ["lake"]
    assert (changes["run"]["state"], changes["job:lake"]["state"]) == ("running", "submitted")
    assert (done.code, len(done.out.splitlines())) == (0, 2)


def test_the_button_ends_a_run_as_cancel_does(server: StandIn, tmp_path: Path) -> None:
    gate = server.state.hold("second_pass")
    running = Running("run", str(recipe_file(tmp_path)), "--server", server.url, "--watch", "-q", folder=tmp_path)
    gate.wait()
    url = _address(running)

    _cancel(url)
    done = running.end()

    assert done.code == 130


@pytest.mark.slow
def test_a_search_is_served_over_all_of_its_runs_and_can_be_cancelled(server: StandIn, tmp_path: Path) -> None:
    answer_from(tmp_path / "variants", server)
    path = tmp_path / "lake.yaml"
    path.write_text(json.dumps(recipe()), encoding="utf-8")
    search = ("find", "lake.yaml", "--over", "upscale.denoise=0.3:0.7:0.1", "--server", server.url, "--watch")
    gate = server.state.hold("second_pass")
    running = Running(*search, folder=tmp_path)
    gate.wait()
    url = _address(running)
    page = requests.get(url, timeout=30)
    _cancel(url)
    gate.open()
    done = running.end()

    told = facts_of(page.content)["live"]["told"]["run"]
    assert (told["state"], told["jobs"], told["is_search"]) == ("running", 2, True)
    assert (done.code, done.out) == (130, ""), done.err
    # On the way, and at its end.
    running = Running(*search, "--no-report", folder=tmp_path)
    _address(running)
    done = running.end()
    assert (done.code, done.out) == (0, "0.6\n"), done.err


def test_a_run_that_has_ended_is_served_until_ctrl_c(tmp_path: Path) -> None:
    make_run(tmp_path / "lake", {"seed": [1, 2]}, paint)
    running = Running("watch", "lake", folder=tmp_path)
    url = _address(running)

    page = requests.get(url, timeout=30)
    running.signal(signal.SIGINT)
    done = running.end()

    assert len(facts_of(page.content)["jobs"]) == 2
    assert (done.code, done.out) == (0, "")
    assert "error" not in done.err


def test_a_run_of_another_process_is_followed_and_cancelled(server: StandIn, tmp_path: Path) -> None:
    gate = server.state.hold("second_pass")
    rendering = Running("run", str(recipe_file(tmp_path)), "--server", server.url, folder=tmp_path)
    gate.wait()
    watching = Running("watch", "runs/lake", folder=tmp_path)
    url = _address(watching)
    assert requests.get(url, timeout=30).status_code == 200

    changes = requests.get(f"{url}changes", timeout=30).json()["changes"]
    _cancel(url)

    assert rendering.end().code == 130
    watching.signal(signal.SIGINT)
    assert watching.end().code == 0
    assert changes["run"]["state"] == "running"
    assert [job["id"] for job in changes[f"server:{server.url}"]["jobs"]] == ["lake"]


def test_on_a_terminal_the_page_is_served_until_ctrl_c_which_is_no_error(server: StandIn, tmp_path: Path) -> None:
    running = Running("run", str(recipe_file(tmp_path)), "--server", server.url, "--watch", folder=tmp_path, terminal=True)
    running.wait_for("the page is served until Ctrl-C: http")
    url = _address(running)

    facts = facts_of(requests.get(url, timeout=30).content)
    running.signal(signal.SIGINT)

    assert running.end().code == 0
    assert (facts["live"]["told"]["run"]["state"], facts["jobs"][0]["state"]) == ("ended", "done")


def _cancel(url: str) -> None:
    answer = requests.post(f"{url}cancel", headers={"Origin": "/".join(url.split("/")[:3])}, timeout=30)
    assert answer.status_code == 202


def test_what_cannot_be_served_is_said_before_anything_begins(
    cli: Callable[..., Typed], server: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = str(recipe_file(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        in_use = cli("run", recipe, "--server", server.url, "--watch", "--watch-port", port)
    nowhere = cli("run", recipe, "--server", server.url, "--watch", "--watch-host", "192.0.2.1")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    missing = cli("run", recipe, "--server", server.url, "--watch")

    assert (in_use.code, in_use.err) == (2, _refused(f"127.0.0.1:{port}", "address already in use", "--watch-port"))
    assert nowhere.code == 2
    assert "--watch-host" in nowhere.err
    assert (missing.code, missing.err.splitlines()) == (
        2,
        [
            "error: watching needs starlette and uvicorn, which are not installed",
            "hint: pip install 'comfy-runner[watch]'",
        ],
    )
    assert not (tmp_path / "runs").exists()
    assert cli("watch", "nothing").code == 5


def test_a_page_for_others_is_warned_of(server: StandIn, cli: Callable[..., Typed], tmp_path: Path) -> None:
    done = cli("run", str(recipe_file(tmp_path)), "--server", server.url, "--watch", "--watch-host", "0.0.0.0")

    assert done.code == 0
    assert "warning: --watch-host 0.0.0.0: anyone who can reach this machine" in done.err


def _refused(where: str, reason: str, option: str) -> str:
    return f"error: {where}: cannot be used for listening ({reason})\nhint: choose another {option}, or omit it\n"
