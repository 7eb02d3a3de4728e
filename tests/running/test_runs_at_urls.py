"""Runs whose files lie in an object store: rendered, continued, looked at from another machine, and what faults leave of them.

Another machine is one with another state folder; what is tried on S3's protocol is tried on a real server of it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from comfy_runner import api
from comfy_runner.config import Config
from comfy_runner.control.cancel import cancel
from comfy_runner.control.clean import clean
from comfy_runner.control.fleet_changes import change_fleet
from comfy_runner.control.repair import repair
from comfy_runner.control.verify_run import verify
from comfy_runner.errors import RunFolderError
from comfy_runner.store.interface import ArtifactStore
from comfy_runner.store.lease import Lease
from comfy_runner.store.registry import local_part, open_store
from comfy_runner.store.remote import RemoteStore
from comfy_runner.store.status import status
from tests.cli.support import Running, Typed, recipe_file, typed
from tests.running.support import posted, rendered, small, states, sweep
from tests.s3 import S3Server, Times, late, proxy
from tests.standin import StandIn

_NAMES = ("job.json", "original.png", "upscaled.png")


@pytest.fixture(autouse=True)
def _machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMFY_RUNNER_STATE", str(tmp_path / "here"))


@pytest.fixture
def url() -> str:
    return f"memory://{uuid.uuid4()}/runs/lake"


def _on_another_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str = "there") -> None:
    monkeypatch.setenv("COMFY_RUNNER_STATE", str(tmp_path / name))


def _keys(url: str) -> list[str]:
    return [key for key in open_store(url).list() if not key.startswith(".")]


def _bytes(store: ArtifactStore, key: str) -> bytes:
    with store.open(key) as file:
        return file.read()


def test_a_run_puts_everything_there_but_its_ledger(server: StandIn, url: str, tmp_path: Path) -> None:
    (result,) = rendered(server, url)

    assert result.state == "done"
    assert _keys(url) == [f"lake/{name}" for name in _NAMES]
    assert not list(tmp_path.rglob("*.png"))
    local = {path.name for path in local_part(url).iterdir()}
    assert {"ledger.sqlite", ".store.json"} <= local
    assert not {"lake", "run.json", "job.json"} & local
    assert not list((local_part(url) / ".spool").iterdir())


def test_what_is_there_is_not_rendered_again_and_what_has_changed_is_archived(server: StandIn, url: str) -> None:
    rendered(server, url)
    again = rendered(server, url)
    assert ([result.was_done for result in again], len(posted(server))) == ([True], 1)

    rendered(server, url, small(sampler={"steps": 3}))

    assert len(posted(server)) == 2
    shelves = {key.split("/")[2] for key in _keys(url) if key.startswith("superseded/")}
    assert len(shelves) == 1
    assert sum(key.startswith("superseded/") for key in _keys(url)) == 3


def test_a_plan_looks_there_and_leaves_nothing_on_this_machine(
    server: StandIn, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered(server, url)
    _on_another_machine(tmp_path, monkeypatch)

    found = api.plan([sweep({"upscale.denoise": [0.5, 0.6]})], out=url)
    one = api.plan([small()], out=url)

    assert not (tmp_path / "there").exists()
    assert len(found.jobs) == 2
    assert [job.state for job in one.jobs] == ["done"]


def test_another_machine_sees_and_continues_the_run_with_the_same_seeds(
    server: StandIn, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {"upscale.denoise": [0.5, 0.6]}
    rendered(server, url, sweep(values, seed="random"))
    _on_another_machine(tmp_path, monkeypatch)

    found = status(url)
    assert (found.counts["done"], found.holder) == (2, None)
    assert verify(url).discrepancies == ()
    assert verify(url).extra == ()
    results = rendered(server, url, sweep({"upscale.denoise": [0.5, 0.6, 0.7]}, seed="random"))

    assert [result.was_done for result in results] == [True, True, False]
    store = open_store(url)
    seeds = {json.loads(_bytes(store, key))["recipe"]["seed"] for key in _keys(url) if key.endswith("job.json")}
    assert len(seeds) == 1


def test_what_another_machine_has_done_meanwhile_is_seen_by_the_first_one(
    server: StandIn, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered(server, url)
    _on_another_machine(tmp_path, monkeypatch)
    rendered(server, url, sweep({"upscale.denoise": [0.5, 0.6]}), force=True)
    rendered(server, url, small(sampler={"steps": 3}))
    there = status(url)
    _on_another_machine(tmp_path, monkeypatch, "here")

    found = status(url)
    assert (found.counts["done"], found.removed) == (1, 2)
    assert (found.counts, found.removed) == (there.counts, there.removed)
    assert [path.name for path in local_part(url).glob("ledger*")] == ["ledger.sqlite"]
    before = len(posted(server))
    assert [result.was_done for result in rendered(server, url, small(sampler={"steps": 3}))] == [True]
    assert len(posted(server)) == before


def test_a_search_goes_on_from_what_another_machine_has_found(
    server: StandIn, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found() -> Mapping[str, Any]:
        return api.find(small(), over="upscale.denoise=0.3:0.8", jobs=4, server=server.url, out=url, config=Config()).values

    first = found()
    posts = len(posted(server))
    _on_another_machine(tmp_path, monkeypatch)

    assert found() == first
    assert len(posted(server)) == posts
    assert (status(url).counts["done"], status(url).removed) == (posts, 0)


@pytest.mark.slow
def test_a_report_lies_beside_the_pictures_and_finds_them(
    server: StandIn, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered(server, url)
    _on_another_machine(tmp_path, monkeypatch)

    report = api.write_report(url)
    sheet = api.draw_sheet(url)
    checked = api.check_run(url)

    store = open_store(url)
    page = _bytes(store, "report.html").decode()
    assert '"url":"lake/upscaled.png"' in page
    thumbnails = [key for key in _keys(url) if key.endswith(".webp")]
    assert len(thumbnails) == 2
    assert all(f'"thumb":"{key}"' in page for key in thumbnails)
    assert str(tmp_path) not in page
    assert {"metrics.json", "metrics.csv", "sheet.png"} <= set(_keys(url))
    assert report.page.exists()
    assert sheet.path.exists()
    assert [(job.outcome, job.failures) for job in checked.jobs] == [("passed", ())]
    assert verify(url).extra == ()


def test_a_ledger_is_made_from_the_store_alone(server: StandIn, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rendered(server, url)
    _on_another_machine(tmp_path, monkeypatch)

    found = repair(url)

    assert (found.jobs, found.problems) == (1, ())
    assert found.ledger.parent == local_part(url)


def test_where_nothing_is_that_is_said_and_nothing_is_made(url: str, tmp_path: Path) -> None:
    for use in (status, verify, api.write_report, api.suggest, api.check_run, repair, cancel, clean):
        with pytest.raises(RunFolderError) as caught:
            use(url)
        assert caught.value.problems[0].where == url
    assert not (tmp_path / "here").exists()


def test_who_works_there_on_another_machine_is_told_and_turns_others_away(server: StandIn, url: str) -> None:
    rendered(server, url)
    store = open_store(url)
    assert isinstance(store, RemoteStore)
    lease = Lease(store, "of another machine")

    found = status(url)
    assert found.holder is not None
    assert found.holder.pid == os.getpid()
    for use in (lambda: rendered(server, url, force=True), lambda: clean(url), lambda: cancel(url)):
        with pytest.raises(RunFolderError, match="is used by another comfy-runner: process"):
            use()
    for ask in (lambda: cancel(url), lambda: change_fleet(url, "add", "http://gpu2:8188")):
        with pytest.raises(RunFolderError, match="a live run can only be asked on its own machine"):
            ask()
    lease.close()
    assert status(url).holder is None
    assert states(rendered(server, url, force=True)) == {"lake": "done"}
    assert len(posted(server)) == 2


def test_what_was_replaced_can_be_cleaned_away(server: StandIn, url: str) -> None:
    for steps in (2, 3):
        rendered(server, url, small(sampler={"steps": steps}))

    clean(url, yes=True)

    assert _keys(url) == [f"lake/{name}" for name in _NAMES]


# S3, by the command


def _run(s3: S3Server, server: StandIn, folder: Path, url: str, *args: str, state: str = "here", **changes: str) -> Typed:
    variables = {**s3.environment, "COMFY_RUNNER_STATE": str(folder / state), **changes}
    recipe = str(recipe_file(folder, sweep={"upscale.denoise": [0.5, 0.6, 0.7]}))
    return typed("run", recipe, "--server", server.url, "--out", url, *args, folder=folder, **variables)


def test_a_run_on_s3_says_its_url_and_its_pictures_and_keeps_quiet_about_this_machine(
    s3: S3Server, server: StandIn, tmp_path: Path
) -> None:
    url = f"s3://{s3.bucket()}/runs/lake"

    done = _run(s3, server, tmp_path, url)
    variables = {**s3.environment, "COMFY_RUNNER_STATE": str(tmp_path / "there")}
    shown = typed("status", url, folder=tmp_path, **variables)
    told = typed("status", url, "--json", folder=tmp_path, **variables)

    assert (done.code, shown.code, told.code) == (0, 0, 0)
    assert done.out.splitlines()[0] == f"{url}/lake-d050/original.png"
    assert f"run folder {url}" in done.err
    assert f"{url}: 3 done" in shown.out
    assert json.loads(told.out)["folder"] == url
    assert json.loads(told.out)["jobs"][0]["files"]["original"] == [f"{url}/lake-d050/original.png"]
    assert str(tmp_path) not in done.out + done.err + shown.out + told.out


def test_a_store_is_asked_for_nothing_that_is_known(
    s3: S3Server, server: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Twice for each file of a job, which is put and held against its checksum, and a dozen times for the run, whatever it has.
    url, jobs = f"s3://{s3.bucket()}/runs/lake", sweep({"upscale.denoise": [0.3, 0.5, 0.7]})
    counted = list[int]()
    with proxy(s3) as before:
        monkeypatch.setenv("AWS_ENDPOINT_URL", before.as_server.url)

        def ask(use: Callable[[], object]) -> None:
            before.seen.clear()
            use()
            counted.append(len(before.seen))

        ask(lambda: rendered(server, url, jobs))
        ask(lambda: rendered(server, url, jobs))
        ask(lambda: status(url))
        ask(lambda: api.check_run(url, config=Config()))
        _on_another_machine(tmp_path, monkeypatch)
        ask(lambda: api.plan([jobs], out=url, config=Config()))
        ask(lambda: status(url))
        ask(lambda: verify(url))
        ask(lambda: rendered(server, url, jobs))

    most = {"first": 11 + 3 * 6, "again": 9, "status": 3, "check": 4 + 3}
    most |= {"plan elsewhere": 1 + 3 * 3, "status elsewhere": 5 + 3, "verify": 7 + 3 * 3, "run elsewhere": 9 + 3 * 4}
    assert all(count <= limit for count, limit in zip(counted, most.values(), strict=True)), (counted, most)


def test_a_store_that_fails_for_a_while_costs_nothing(s3: S3Server, server: StandIn, tmp_path: Path) -> None:
    bucket = s3.bucket()
    with proxy(s3) as before:
        for number, respond in enumerate([lambda handler, _: handler.refuse(503, "SlowDown"), lambda handler, _: handler.cut()]):
            before.responding.append(Times(respond, left=4, method="PUT" if number else "HEAD"))
        done = _run(before.as_server, server, tmp_path, f"s3://{bucket}/runs/lake")

    assert (done.code, len(posted(server))) == (0, 3)
    assert verify(f"s3://{bucket}/runs/lake").discrepancies == ()


def test_who_may_only_read_sees_a_run_that_goes_on_elsewhere(
    s3: S3Server, server: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"s3://{s3.bucket()}/runs/lake"
    assert _run(s3, server, tmp_path, url).code == 0
    store = open_store(url)
    assert isinstance(store, RemoteStore)
    lease = Lease(store, "of another machine")
    _on_another_machine(tmp_path, monkeypatch)
    with proxy(s3) as before:
        monkeypatch.setenv("AWS_ENDPOINT_URL", before.as_server.url)
        for method in ("PUT", "POST", "DELETE"):
            before.responding.append(Times(lambda handler, _: handler.refuse(403, "AccessDenied"), left=-1, method=method))
        found, verified = status(url), verify(url)
        with pytest.raises(RunFolderError, match="is used by another comfy-runner"):
            rendered(server, url)
    lease.close()

    assert (found.counts["done"], found.holder is not None) == (3, True)
    assert (verified.jobs, verified.discrepancies) == (3, ())


@pytest.mark.parametrize(
    ("status_code", "code", "words"),
    [(400, "ExpiredToken", "the credentials have expired"), (403, "QuotaExceeded", "the quota of the store is used up")],
)
def test_a_store_that_refuses_ends_the_run_and_the_next_one_collects_what_is_finished(
    s3: S3Server, server: StandIn, tmp_path: Path, status_code: int, code: str, words: str
) -> None:
    bucket = s3.bucket()
    url = f"s3://{bucket}/runs/lake"
    with proxy(s3) as before:
        refused = Times(lambda handler, _: handler.refuse(status_code, code), left=-1, part="upscaled.png")
        before.responding.append(refused)
        done = _run(before.as_server, server, tmp_path, url)
        keys = _keys(url)
        posts = len(posted(server))
        before.responding.clear()
        again = _run(before.as_server, server, tmp_path, url)

    assert (done.code, again.code) == (5, 0)
    assert words in done.err
    assert "hint: " in done.err
    assert not any(key.endswith("job.json") for key in keys), "nothing half counts as finished"
    jobs = [f"lake-{name}" for name in ("d050", "d060", "d070")]
    assert _keys(url) == [f"{job}/{name}" for job in jobs for name in _NAMES]
    assert verify(url).discrepancies == ()
    assert len(posted(server)) == max(posts, 3), "what is finished on the server is not rendered again"


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_client_that_is_killed_in_the_middle_of_an_upload_is_followed_by_one_that_loses_nothing(
    s3: S3Server, server: StandIn, tmp_path: Path
) -> None:
    bucket = s3.bucket()
    url = f"s3://{bucket}/runs/lake"
    recipe = str(recipe_file(tmp_path, sweep={"upscale.denoise": [0.5, 0.6, 0.7]}))
    with proxy(s3) as before:
        variables = {**before.as_server.environment, "COMFY_RUNNER_STATE": str(tmp_path / "here")}
        before.responding.append(Times(late(60.0), left=1, part="upscaled.png"))
        running = Running("run", recipe, "--server", server.url, "--out", url, folder=tmp_path, changes=variables)
        while not any(line.startswith("PUT") and "upscaled.png" in line for line in before.seen):
            time.sleep(0.01)
        running.signal(signal.SIGKILL)
        running.end()
        keys = _keys(url)
        before.responding.clear()
        again = _run(before.as_server, server, tmp_path, url)

    assert not any(key.startswith("lake-d050/") and key.endswith("job.json") for key in keys)
    assert again.code == 0, again.err
    assert len(posted(server)) == 3, "the lease of the killed one is over at once, and so is nothing else"
    assert verify(url).discrepancies == ()
    assert not list((local_part(url) / ".spool").iterdir())
