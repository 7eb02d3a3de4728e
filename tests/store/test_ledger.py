from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from comfy_runner.errors import RunFolderError
from comfy_runner.store import database
from comfy_runner.store.database import _is_on_own_disk
from comfy_runner.store.ledger import FILE, Ledger
from comfy_runner.store.ledger_rows import FileRow, JobUpdate, KnownJob, OpenSubmission, PlanRow, ServerSpeed
from comfy_runner.store.states import Change, IllegalTransition

_URL = "http://gpu:8188"
_ENDS = [Change.DONE, Change.PARTIAL, Change.FAILED, Change.CANCELLED]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / FILE) as opened:
        yield opened


def _row(job_id: str, position: int | None = 0, **changes: Any) -> PlanRow:
    values = {"recipe": "lake", "content_hash": f"c-{job_id}", "pixel_hash": f"p-{job_id}", "shares": "", "assignments": {}}
    return PlanRow(job_id=job_id, position=position, **{**values, **changes})


def _plan(ledger: Ledger, *job_ids: str, **changes: Any) -> None:
    ledger.write_plan((_row(job_id, number, **changes) for number, job_id in enumerate(job_ids)), recipes=["lake"])


def _file(role: str = "original", number: int = 0) -> FileRow:
    return FileRow(role, number, f"a/{role}.png", 7, 1_700_000_000_000_000_001, "ab" * 32)


def _submit(ledger: Ledger, prompt_id: str, *job_ids: str) -> None:
    ledger.submit(prompt_id, server=_URL, text=f"text of {prompt_id}", job_ids=job_ids)


def _states(ledger: Ledger) -> dict[str, str]:
    return {row.job_id: row.state for row in ledger.jobs()}


def _open(ledger: Ledger) -> dict[str, tuple[str, ...]]:
    return {found.prompt_id: found.job_ids for found in ledger.open_submissions()}


# Plans


def test_jobs_of_a_first_plan_are_pending_in_its_order(ledger: Ledger) -> None:
    ledger.write_plan([_row("a", 2), _row("b", 0), _row("c", 1)], recipes=["lake"])

    assert [(row.job_id, row.position, row.state) for row in ledger.jobs()] == [
        ("b", 0, "pending"),
        ("c", 1, "pending"),
        ("a", 2, "pending"),
    ]


def test_a_job_is_kept_as_it_was_planned(ledger: Ledger) -> None:
    values = {"seed": 2**64 - 1, "prompt": 'a "lake"\n🌅 \ud83d', "upscale.denoise": 0.55, "upscale.enabled": True}

    _plan(ledger, "a", assignments=values, shares="b", content_hash="c", pixel_hash="p")

    found = ledger.job("a")
    assert found is not None
    assert (found.recipe, found.content_hash, found.pixel_hash, found.shares) == ("lake", "c", "p", "b")
    assert found.assignments == values
    assert (found.removed, found.reason, found.error, found.attempts, found.prompt_id) == (False, "", "", 0, "")
    assert (found.seconds, found.work, found.finished) == (None, None, None)


def test_a_job_that_is_not_known_is_none(ledger: Ledger) -> None:
    assert ledger.job("a") is None
    assert ledger.files("a") == []


def test_a_ledger_is_as_it_was_when_it_is_opened_again(tmp_path: Path) -> None:
    with Ledger(tmp_path / FILE) as ledger:
        _plan(ledger, "a", "b")
        _submit(ledger, "p", "a")
        before = list(ledger.jobs()), ledger.open_submissions()

    with Ledger(tmp_path / FILE) as ledger:
        assert (list(ledger.jobs()), ledger.open_submissions()) == before


def test_what_is_known_of_jobs_are_their_hashes_and_state(ledger: Ledger) -> None:
    _plan(ledger, "a", "b")
    ledger.settle(JobUpdate("b", Change.FAILED))

    assert ledger.known() == {"a": KnownJob("c-a", "pending", "p-a"), "b": KnownJob("c-b", "failed", "p-b")}


@pytest.mark.parametrize("event", _ENDS)
def test_a_next_plan_leaves_what_has_ended(ledger: Ledger, event: Change) -> None:
    _plan(ledger, "a")
    ledger.settle(JobUpdate("a", event, files=[_file()], error="e", seconds=1.5, work=2.5, finished="2026-11-23T06:20:00+00:00"))
    before = ledger.job("a")

    _plan(ledger, "a")

    assert ledger.job("a") == before
    assert ledger.files("a") == [_file()]


@pytest.mark.parametrize("event", _ENDS)
def test_a_job_with_a_reason_is_pending_again(ledger: Ledger, event: Change) -> None:
    _plan(ledger, "a")
    _submit(ledger, "p", "a")
    ledger.settle(JobUpdate("a", event, error="e", seconds=1.5, work=2.5))

    _plan(ledger, "a", content_hash="new", requeue="denoise 0.40 → 0.50")

    found = ledger.job("a")
    assert found is not None
    assert (found.state, found.content_hash, found.reason) == ("pending", "new", "denoise 0.40 → 0.50")
    assert (found.error, found.attempts, found.seconds, found.work, found.finished) == ("", 0, None, None, None)


def test_the_reason_stays_until_the_job_has_ended(ledger: Ledger) -> None:
    _plan(ledger, "a")
    ledger.settle(JobUpdate("a", Change.DONE))
    _plan(ledger, "a", requeue="forced")
    reasons = []
    steps: list[Callable[[], None]] = [
        lambda: _plan(ledger, "a"),
        lambda: _submit(ledger, "p", "a"),
        lambda: ledger.settle(JobUpdate("a", Change.DONE)),
    ]
    for step in steps:
        step()
        found = ledger.job("a")
        assert found is not None
        reasons.append(found.reason)

    assert reasons == ["forced", "forced", ""]


def test_a_new_job_has_no_reason_to_be_rendered_again(ledger: Ledger) -> None:
    _plan(ledger, "a", requeue="its files are gone")

    found = ledger.job("a")
    assert found is not None
    assert (found.state, found.reason) == ("pending", "")


def test_jobs_that_their_recipe_no_longer_has_are_kept_and_marked(ledger: Ledger) -> None:
    _plan(ledger, "a", "b")
    ledger.settle(JobUpdate("a", Change.DONE, files=[_file()]))

    _plan(ledger, "b")

    found = ledger.job("a")
    assert found is not None
    assert (found.state, found.removed, found.position) == ("done", True, None)
    assert ledger.files("a") == [_file()]
    assert [row.job_id for row in ledger.jobs(removed=False)] == ["b"]
    assert [row.job_id for row in ledger.jobs(removed=True)] == ["a"]
    assert [row.job_id for row in ledger.jobs()] == ["b", "a"]


def test_a_removed_job_that_comes_back_is_as_it_was(ledger: Ledger) -> None:
    _plan(ledger, "a", "b")
    ledger.settle(JobUpdate("a", Change.DONE))
    _plan(ledger, "b")

    _plan(ledger, "a", "b")

    found = ledger.job("a")
    assert found is not None
    assert (found.state, found.removed, found.position) == ("done", False, 0)


def test_jobs_of_recipes_that_are_not_planned_have_no_place_and_are_not_removed(ledger: Ledger) -> None:
    _plan(ledger, "a")

    ledger.write_plan([_row("b", recipe="hill")], recipes=["hill"])

    found = ledger.job("a")
    assert found is not None
    assert (found.position, found.removed) == (None, False)


def test_a_recipe_without_jobs_removes_all_that_it_had(ledger: Ledger) -> None:
    _plan(ledger, "a", "b")

    ledger.write_plan([], recipes=["lake"])

    assert {row.job_id for row in ledger.jobs(removed=True)} == {"a", "b"}


def test_a_plan_with_a_job_twice_is_refused_as_a_whole(ledger: Ledger) -> None:
    with pytest.raises(ValueError, match="b is in the plan twice"):
        _plan(ledger, "a", "b", "b")

    assert ledger.known() == {}


def test_a_plan_that_breaks_off_changes_nothing(ledger: Ledger) -> None:
    _plan(ledger, "a")

    def rows() -> Iterator[PlanRow]:
        yield _row("a", 5, content_hash="new")
        yield _row("b")
        raise RuntimeError("broken off")

    with pytest.raises(RuntimeError, match="broken off"):
        ledger.write_plan(rows(), recipes=["lake"])

    assert ledger.known() == {"a": KnownJob("c-a", "pending", "p-a")}


# Looking


def test_jobs_are_found_by_state(ledger: Ledger) -> None:
    _plan(ledger, "a", "b", "c", "d")
    ledger.settle(JobUpdate("a", Change.DONE))
    ledger.settle(JobUpdate("c", Change.FAILED))

    assert [row.job_id for row in ledger.jobs(states=["done", "failed"])] == ["a", "c"]
    assert list(ledger.jobs(states=["cancelled"])) == []
    assert list(ledger.jobs(states=[])) == []


def test_more_jobs_than_one_page_come_in_order(ledger: Ledger) -> None:
    names = [f"job-{number * 7919 % 1234}" for number in range(1234)]

    _plan(ledger, *names)

    assert [row.job_id for row in ledger.jobs()] == names


def test_jobs_can_be_changed_while_they_are_gone_through(ledger: Ledger) -> None:
    _plan(ledger, *(f"job-{number}" for number in range(1200)))

    seen = 0
    for row in ledger.jobs(states=["pending"]):
        seen += 1
        if seen % 100 == 0:
            ledger.settle(JobUpdate(row.job_id, Change.CANCELLED))
            ledger.settle(JobUpdate("job-1199", Change.CANCELLED))

    assert seen == 1199, "the last one was cancelled before its turn came"
    assert ledger.counts()["cancelled"] == 12


def test_jobs_are_counted_by_state_without_removed_ones(ledger: Ledger) -> None:
    _plan(ledger, "a", "b", "c")
    ledger.settle(JobUpdate("b", Change.DONE))
    _plan(ledger, "b", "c")

    assert ledger.counts() == {"pending": 1, "submitted": 0, "done": 1, "partial": 0, "failed": 0, "cancelled": 0}


def test_a_done_job_with_the_same_pixels_is_found(ledger: Ledger) -> None:
    ledger.write_plan([_row("a", pixel_hash="p"), _row("b", pixel_hash="q"), _row("c", pixel_hash="")], recipes=["lake"])
    for job_id in ("a", "c"):
        ledger.settle(JobUpdate(job_id, Change.DONE))
    ledger.settle(JobUpdate("b", Change.FAILED))
    ledger.write_plan([], recipes=["lake"])

    assert ledger.done_with(["p", "q", "r", ""]) == {"p": "a"}


def test_a_job_with_pictures_of_its_own_is_found_before_one_that_shares_them(ledger: Ledger) -> None:
    rows = [_row("a", pixel_hash="p", shares="b"), _row("b", pixel_hash="p"), _row("c", pixel_hash="p", shares="b")]
    ledger.write_plan(rows, recipes=["lake"])
    ledger.settle(*(JobUpdate(row.job_id, Change.DONE) for row in rows))

    assert ledger.done_with({"p"}) == {"p": "b"}


# Submissions


def test_what_is_submitted_is_on_the_disk_with_all_that_is_needed_to_collect_it(ledger: Ledger) -> None:
    _plan(ledger, "b", "a", "c")

    _submit(ledger, "p", "a", "b")

    with Ledger(ledger.path, readonly=True) as other:
        (found,) = other.open_submissions()
        assert _states(other) == {"a": "submitted", "b": "submitted", "c": "pending"}
        row = other.job("a")
    minted = found.minted
    assert found == OpenSubmission(
        prompt_id="p", server=_URL, server_prompt_id="", text="text of p", job_ids=("b", "a"), minted=minted
    )
    assert abs((datetime.now(UTC) - datetime.fromisoformat(minted)).total_seconds()) < 3600
    assert row is not None
    assert (row.prompt_id, row.attempts) == ("p", 1)


def test_a_submission_with_a_job_that_is_not_pending_changes_nothing(ledger: Ledger) -> None:
    _plan(ledger, "a", "b")
    ledger.settle(JobUpdate("b", Change.DONE))

    with pytest.raises(IllegalTransition):
        _submit(ledger, "p", "a", "b")

    assert _states(ledger) == {"a": "pending", "b": "done"}
    assert ledger.open_submissions() == []


def test_a_submission_with_an_unknown_job_changes_nothing(ledger: Ledger) -> None:
    _plan(ledger, "a")

    with pytest.raises(KeyError):
        _submit(ledger, "p", "a", "b")

    assert _states(ledger) == {"a": "pending"}


def test_a_submission_without_jobs_is_refused(ledger: Ledger) -> None:
    with pytest.raises(ValueError, match="no job"):
        _submit(ledger, "p")


def test_a_prompt_id_is_used_once(ledger: Ledger) -> None:
    _plan(ledger, "a", "b")
    _submit(ledger, "p", "a")

    with pytest.raises(ValueError, match="used before"):
        _submit(ledger, "p", "b")

    assert _states(ledger) == {"a": "submitted", "b": "pending"}


def test_the_id_that_a_server_chose_is_kept(ledger: Ledger) -> None:
    _plan(ledger, "a")
    _submit(ledger, "p", "a")

    ledger.accepted("p", "theirs")

    assert [found.server_prompt_id for found in ledger.open_submissions()] == ["theirs"]


def test_a_submission_is_open_until_the_last_of_its_jobs_has_left_it(ledger: Ledger) -> None:
    _plan(ledger, "a", "b", "c")
    _submit(ledger, "p", "a", "b", "c")
    waiting = []
    for job_id, event in (("a", Change.DONE), ("b", Change.LOST), ("c", Change.FAILED)):
        waiting.append(_open(ledger))
        ledger.settle(JobUpdate(job_id, event, prompt_id="p"))

    assert waiting == [{"p": ("a", "b", "c")}, {"p": ("b", "c")}, {"p": ("c",)}]
    assert _open(ledger) == {}


def test_the_text_of_a_settled_submission_is_dropped(ledger: Ledger) -> None:
    _plan(ledger, "a")
    _submit(ledger, "p", "a")
    ledger.settle(JobUpdate("a", Change.DONE))

    with closing(sqlite3.connect(ledger.path)) as connection:
        assert connection.execute("SELECT prompt_id, parcel, settled FROM submissions").fetchall() == [("p", None, 1)]


def test_a_lost_job_is_pending_and_can_be_submitted_again(ledger: Ledger) -> None:
    _plan(ledger, "a")
    _submit(ledger, "p", "a")
    ledger.settle(JobUpdate("a", Change.LOST, error="the server was restarted"))
    lost = ledger.job("a")
    _submit(ledger, "q", "a")

    found = ledger.job("a")
    assert lost is not None
    assert found is not None
    assert (lost.state, lost.error, lost.prompt_id, lost.finished) == ("pending", "the server was restarted", "", None)
    assert (found.state, found.attempts, found.prompt_id) == ("submitted", 2, "q")
    assert _open(ledger) == {"q": ("a",)}


def test_an_older_submission_that_gave_the_pictures_after_all_settles_the_newer_one_too(ledger: Ledger) -> None:
    _plan(ledger, "a")
    _submit(ledger, "p", "a")
    ledger.settle(JobUpdate("a", Change.LOST))
    _submit(ledger, "q", "a")

    ledger.settle(JobUpdate("a", Change.DONE, prompt_id="p"))

    found = ledger.job("a")
    assert found is not None
    assert (found.state, found.prompt_id) == ("done", "p")
    assert _open(ledger) == {}


def test_a_job_that_was_changed_leaves_its_submission_which_stays_to_be_taken_back(ledger: Ledger) -> None:
    _plan(ledger, "a", "b")
    _submit(ledger, "p", "a")
    _submit(ledger, "q", "b")

    ledger.write_plan([_row("a", content_hash="new", requeue="cfg 7 → 8"), _row("b", 1)], recipes=["lake"])

    assert _states(ledger) == {"a": "pending", "b": "submitted"}
    assert _open(ledger) == {"p": (), "q": ("b",)}
    ledger.forget("p")
    assert _open(ledger) == {"q": ("b",)}


def test_jobs_of_a_forgotten_submission_wait_again(ledger: Ledger) -> None:
    _plan(ledger, "a", "b", "c")
    _submit(ledger, "p", "a", "b")
    _submit(ledger, "q", "c")
    ledger.settle(JobUpdate("a", Change.DONE))

    ledger.forget("p")

    assert _states(ledger) == {"a": "done", "b": "pending", "c": "submitted"}
    assert _open(ledger) == {"q": ("c",)}


@pytest.mark.parametrize("event", [Change.DONE, Change.LOST, Change.CANCELLED])
def test_a_prompt_id_that_is_not_known_is_refused(ledger: Ledger, event: Change) -> None:
    _plan(ledger, "a")
    _submit(ledger, "p", "a")

    attempts: list[Callable[[], None]] = [
        lambda: ledger.settle(JobUpdate("a", event, prompt_id="q")),
        lambda: ledger.forget("q"),
        lambda: ledger.accepted("q", "theirs"),
    ]
    for attempt in attempts:
        with pytest.raises(KeyError):
            attempt()

    assert _open(ledger) == {"p": ("a",)}


# Ends


def test_an_end_is_kept_with_its_files(ledger: Ledger) -> None:
    files = [_file("original"), _file("upscaled", 0), _file("upscaled", 1)]
    _plan(ledger, "a")
    _submit(ledger, "p", "a")

    ledger.settle(
        JobUpdate("a", Change.PARTIAL, files=files, error="e", seconds=1.5, work=20.25, finished="2026-11-23T06:20:00+00:00")
    )

    found = ledger.job("a")
    assert found is not None
    assert (found.state, found.error, found.seconds, found.work) == ("partial", "e", 1.5, 20.25)
    assert (found.finished, found.prompt_id) == ("2026-11-23T06:20:00+00:00", "p")
    assert ledger.files("a") == files


def test_a_job_can_end_without_a_submission(ledger: Ledger) -> None:
    _plan(ledger, "a")

    ledger.settle(JobUpdate("a", Change.DONE, files=[_file()]))

    found = ledger.job("a")
    assert found is not None
    assert (found.state, found.prompt_id) == ("done", "")
    assert found.finished is not None
    assert abs((datetime.now(UTC) - datetime.fromisoformat(found.finished)).total_seconds()) < 3600


def test_files_are_replaced_where_some_are_given_and_stay_where_none_are(ledger: Ledger) -> None:
    _plan(ledger, "a")
    ledger.settle(JobUpdate("a", Change.DONE, files=[_file("original"), _file("upscaled")]))
    ledger.settle(JobUpdate("a", Change.DONE))
    kept = ledger.files("a")
    ledger.settle(JobUpdate("a", Change.DONE, files=[_file("upscaled")]))

    assert kept == [_file("original"), _file("upscaled")]
    assert ledger.files("a") == [_file("upscaled")]


def test_ends_of_several_jobs_are_written_together_or_not_at_all(ledger: Ledger) -> None:
    _plan(ledger, "a", "b")
    ledger.settle(JobUpdate("b", Change.DONE))

    with pytest.raises(IllegalTransition):
        ledger.settle(JobUpdate("a", Change.DONE), JobUpdate("b", Change.CANCELLED))

    assert _states(ledger) == {"a": "pending", "b": "done"}


@pytest.mark.parametrize("event", [Change.PLANNED, Change.REQUEUED, Change.SUBMITTED])
def test_what_is_no_end_cannot_be_settled(ledger: Ledger, event: Change) -> None:
    _plan(ledger, "a")

    with pytest.raises(ValueError, match="is not an end"):
        ledger.settle(JobUpdate("a", event))


def test_an_unknown_job_cannot_be_settled(ledger: Ledger) -> None:
    with pytest.raises(KeyError):
        ledger.settle(JobUpdate("a", Change.DONE))


def test_half_an_emoji_in_what_a_server_says_is_kept_as_its_escape(ledger: Ledger) -> None:
    _plan(ledger, "a")
    ledger.submit("p", server=_URL, text=json.dumps({"a": "\ud83d"}, ensure_ascii=False), job_ids=["a"])
    (found,) = ledger.open_submissions()
    ledger.settle(JobUpdate("a", Change.FAILED, error="\ud83d and \0"))

    row = ledger.job("a")
    assert row is not None
    assert json.loads(found.text) == {"a": "\ud83d"}
    assert row.error == "\\ud83d and \0"


def test_speeds_are_sums_of_done_jobs_by_server(ledger: Ledger) -> None:
    _plan(ledger, "a", "b", "c", "d", "e", "f")
    for job_id, server in zip("abcde", ["one", "one", "two", "two", "two"], strict=True):
        ledger.submit(job_id, server=server, text="", job_ids=[job_id])
    for job_id in "abc":
        ledger.settle(JobUpdate(job_id, Change.DONE, seconds=2, work=10))
    ledger.settle(JobUpdate("d", Change.DONE, seconds=2))
    ledger.settle(JobUpdate("e", Change.FAILED, seconds=2, work=10))
    ledger.settle(JobUpdate("f", Change.DONE))

    assert ledger.speeds() == [ServerSpeed("one", 4.0, 20.0, 2), ServerSpeed("two", 2.0, 10.0, 1)]


# One file, several threads and processes


def test_a_submission_that_ended_elsewhere_can_be_named_and_is_not_waited_for(ledger: Ledger) -> None:
    _plan(ledger, "a")
    for _ in range(2):
        ledger.know_ended("1", server="http://there")

    ledger.settle(JobUpdate("a", Change.DONE, prompt_id="1", seconds=2.0, work=3.0))

    assert ledger.open_submissions() == []
    assert [(speed.server, speed.jobs) for speed in ledger.speeds()] == [("http://there", 1)]


def test_a_ledger_opened_in_one_thread_is_used_in_another(ledger: Ledger) -> None:
    thread = threading.Thread(target=_plan, args=(ledger, "a"))
    thread.start()
    thread.join()

    assert _states(ledger) == {"a": "pending"}


_READ = """
import json, pathlib, sys
from comfy_runner.store.ledger import Ledger
with Ledger(pathlib.Path(sys.argv[1]), readonly=True) as ledger:
    print("open", flush=True)
    done = -1
    while done < int(sys.argv[2]):
        counts = ledger.counts()
        assert counts["done"] >= done, "a state was seen that is older than one seen before"
        assert sum(counts.values()) == int(sys.argv[2])
        waiting = [job_id for found in ledger.open_submissions() for job_id in found.job_ids]
        assert len(waiting) == len(set(waiting))
        assert len(list(ledger.jobs())) == int(sys.argv[2])
        done = counts["done"]
print("done", done)
"""


def test_a_reader_in_another_process_follows_while_the_ledger_is_written(ledger: Ledger) -> None:
    names = [f"job-{number}" for number in range(100)]
    _plan(ledger, *names)
    command = [sys.executable, "-c", _READ, str(ledger.path), str(len(names))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, encoding="utf-8") as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "open\n"
        for number, job_id in enumerate(names):
            _submit(ledger, str(number), job_id)
            ledger.settle(JobUpdate(job_id, Change.DONE, files=[_file()]))
        told = reader.stdout.read()

    assert (told, reader.returncode) == ("done 100\n", 0)


_WRITE = """
import pathlib, sys
from comfy_runner.store.ledger import Ledger
from comfy_runner.store.ledger_rows import PlanRow
from comfy_runner.store.states import Change
values = dict(recipe="lake", content_hash="c", pixel_hash="p", shares="", assignments={})
with Ledger(pathlib.Path(sys.argv[1])) as ledger:
    first = len(ledger.known())
    for number in range(first, first + 10_000):
        ledger.write_plan([PlanRow(job_id=f"job-{n}", position=n, **values) for n in range(number + 1)], recipes=["lake"])
        print("pending", flush=True)
        ledger.submit(f"prompt-{number}", server="http://gpu", text="{}", job_ids=[f"job-{number}"])
        print("submitted", flush=True)
        ledger.settle(JobUpdate(f"job-{number}", Change.DONE))
        print("done", flush=True)
"""


@pytest.mark.parametrize("lines", [1, 2, 3, 11, 12, 13])
def test_what_a_method_has_written_when_it_returns_survives_a_kill(tmp_path: Path, lines: int) -> None:
    path = tmp_path / FILE
    with subprocess.Popen([sys.executable, "-c", _WRITE, str(path)], stdout=subprocess.PIPE, text=True, encoding="utf-8") as writer:
        assert writer.stdout is not None
        told = [writer.stdout.readline().strip() for _ in range(lines)]
        writer.kill()
        told += writer.stdout.read().split()

    with Ledger(path) as ledger:
        ledger.check()
        rows = list(ledger.jobs())
        waiting = [job_id for found in ledger.open_submissions() for job_id in found.job_ids]
    assert len(rows) in (told.count("pending"), told.count("pending") + 1)
    assert sum(row.state == "done" for row in rows) in (told.count("done"), told.count("done") + 1)
    assert sum(row.attempts for row in rows) in (told.count("submitted"), told.count("submitted") + 1)
    assert waiting == [row.job_id for row in rows if row.state == "submitted"]


def test_a_reader_writes_nothing(ledger: Ledger) -> None:
    _plan(ledger, "a")
    before = ledger.path.read_bytes()

    with Ledger(ledger.path, readonly=True) as reader:
        with pytest.raises(RunFolderError, match="cannot be written"):
            reader.settle(JobUpdate("a", Change.DONE))
        assert _states(reader) == {"a": "pending"}

    assert ledger.path.read_bytes() == before


def test_a_reader_makes_no_ledger(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="does not exist"):
        Ledger(tmp_path / FILE, readonly=True)

    assert list(tmp_path.iterdir()) == []


_READ_AS_NOBODY = """
import os, pathlib, sys
from comfy_runner.store.ledger import Ledger
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
with Ledger(pathlib.Path(sys.argv[1]), readonly=True) as ledger:
    print(*(f"{row.job_id} {row.state}" for row in ledger.jobs()))
try:
    Ledger(pathlib.Path(sys.argv[1])).write_plan([], recipes=["lake"])
except Exception as error:
    print(type(error).__name__)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="a folder cannot be made read-only there")
def test_a_ledger_in_a_folder_that_cannot_be_written_can_be_read() -> None:
    # Not pytest's folder, which nobody else may enter; and root may write everywhere, so another user looks.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with Ledger(folder / FILE) as ledger:
            _plan(ledger, "a")
        (folder / FILE).chmod(0o444)
        folder.chmod(0o555)
        try:
            command = [sys.executable, "-c", _READ_AS_NOBODY, str(folder / FILE)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
        finally:
            folder.chmod(0o755)

    assert done.stdout == "a pending\nRunFolderError\n"


def test_a_reader_finishes_what_a_killed_writer_left_half_written(tmp_path: Path) -> None:
    path, copy = tmp_path / FILE, tmp_path / "copy" / FILE
    copy.parent.mkdir()
    with Ledger(path) as ledger:
        _plan(ledger, *(f"job-{number}" for number in range(300)))
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        # So small a cache that what is not committed goes to the file.
        writer.execute("PRAGMA cache_size = 5")
        writer.execute("PRAGMA journal_mode = TRUNCATE")
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("UPDATE jobs SET state = 'done', error = ?", ("x" * 500,))
        for name in (FILE, f"{FILE}-journal"):
            (copy.parent / name).write_bytes((tmp_path / name).read_bytes())
        writer.execute("ROLLBACK")
    assert b"xxxx" in copy.read_bytes()

    with Ledger(copy, readonly=True) as reader:
        assert reader.counts()["pending"] == 300


_DIE = """
import os, pathlib, signal, sys
from comfy_runner.store.ledger import Ledger
from comfy_runner.store.ledger_rows import PlanRow
ledger = Ledger(pathlib.Path(sys.argv[1]))
row = dict(position=0, recipe="lake", content_hash="a", pixel_hash="", shares="", assignments={})
ledger.write_plan([PlanRow(job_id="a", **row)], recipes=["lake"])
ledger.submit("p", server="http://s", text="t", job_ids=["a"])
with ledger.batch():
    ledger.forget("p")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
@pytest.mark.parametrize("disks", ["own", "others"])
@pytest.mark.parametrize("lost", ["", "-shm"])
def test_what_was_committed_outlives_a_kill_and_is_read_without_writing(tmp_path: Path, disks: str, lost: str) -> None:
    path = tmp_path / FILE
    others = "import comfy_runner.store.database as d; d._DISKS = frozenset()\n" if disks == "others" else ""
    subprocess.run([sys.executable, "-c", others + _DIE, str(path)], check=False)
    beside = {each.name.removeprefix(FILE) for each in tmp_path.iterdir()}
    assert beside == ({"", "-journal"} if disks == "others" or not _is_on_own_disk(tmp_path) else {"", "-wal", "-shm"})
    if lost:
        path.with_name(FILE + lost).unlink(missing_ok=True)

    with Ledger(path, readonly=True) as reader:
        assert (_states(reader), set(_open(reader))) == ({"a": "submitted"}, {"p"})
    if not lost:
        assert {each.name.removeprefix(FILE) for each in tmp_path.iterdir()} == beside
    with Ledger(path) as ledger:
        assert (_states(ledger), set(_open(ledger))) == ({"a": "submitted"}, {"p"})
    assert [each.name for each in tmp_path.iterdir()] == [FILE]


def test_a_ledger_that_another_program_keeps_locked_is_an_error_with_a_way_out(tmp_path: Path) -> None:
    path = tmp_path / FILE
    Ledger(path).close()

    class Hasty(Ledger):
        busy_seconds = 0.05

    with closing(sqlite3.connect(path, isolation_level=None)) as other, Hasty(path) as ledger:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(RunFolderError, match="is locked by another program") as caught:
            _plan(ledger, "a")

    assert caught.value.exit_code == 5
    assert caught.value.problems[0].hint


def test_a_full_disk_is_an_error_and_the_ledger_is_as_before(tmp_path: Path) -> None:
    class Tight(Ledger):
        def limit(self) -> None:
            """SQLite says that the disk is full when a file may not grow."""
            self._connection.execute(f"PRAGMA max_page_count = {self.path.stat().st_size // 4096 + 2}")

    with Tight(tmp_path / FILE) as ledger:
        _plan(ledger, "a")
        ledger.limit()
        with pytest.raises(RunFolderError, match="the disk is full"):
            _plan(ledger, *(f"job-{number}" for number in range(1000)))

        assert _states(ledger) == {"a": "pending"}
        ledger.settle(JobUpdate("a", Change.DONE))


@pytest.mark.skipif(os.name == "nt", reason="an open file cannot be removed there")
def test_a_ledger_that_was_deleted_meanwhile_is_an_error(ledger: Ledger) -> None:
    ledger.path.unlink()

    with pytest.raises(RunFolderError, match="was moved or deleted"):
        _plan(ledger, "a")


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="is gone"):
        Ledger(tmp_path / "missing" / FILE)


def test_names_that_a_url_would_not_take_are_taken(tmp_path: Path) -> None:
    folder = tmp_path / "a b%20c?mode=ro#d&é"
    folder.mkdir()

    with Ledger(folder / FILE) as ledger:
        _plan(ledger, "a")

    assert (folder / FILE).exists()
    with Ledger(folder / FILE, readonly=True) as ledger:
        assert _states(ledger) == {"a": "pending"}


# Batches


class Counted(Ledger):
    """A ledger that counts its commits."""

    commits = 0

    def _commit(self) -> None:
        self.commits += 1
        super()._commit()


def test_what_is_written_in_a_batch_goes_onto_the_disk_with_one_commit(tmp_path: Path) -> None:
    with Counted(tmp_path / FILE) as ledger, Ledger(tmp_path / FILE, readonly=True) as reader:
        _plan(ledger, "a", "b")
        _submit(ledger, "p", "a")
        before = ledger.commits
        with ledger.batch():
            ledger.settle(JobUpdate("a", Change.DONE, prompt_id="p", files=[_file()]))
            _submit(ledger, "q", "b")
            assert _states(ledger) == {"a": "done", "b": "submitted"}
            assert _states(reader) == {"a": "submitted", "b": "pending"}
            ledger.flush()
            assert (_states(reader), ledger.commits - before) == ({"a": "done", "b": "submitted"}, 1)

        assert ledger.commits - before == 1


class Waiting(Ledger):
    """A ledger that notes which of its commits wait for the disk."""

    waited: list[bool]

    def _commit(self) -> None:
        self.waited.append(self._connection.execute("PRAGMA synchronous").fetchone() == (2,))
        super()._commit()


def test_commits_that_follow_each_other_fast_wait_for_the_disk_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not _is_on_own_disk(tmp_path):
        pytest.skip("the tests run on a disk without a log")
    monkeypatch.setattr(Waiting, "waited", [], raising=False)
    monkeypatch.setattr(database, "_UNSYNCED_SECONDS", 1000.0)
    with Waiting(tmp_path / FILE) as ledger:
        _plan(ledger, "a", "b", "c")
        ledger.sync()
        ledger.waited.clear()
        _submit(ledger, "p", "a")
        ledger.sync()
        ledger.sync()  # has nothing to do
        _submit(ledger, "q", "b")
        monkeypatch.setattr(database, "_UNSYNCED_SECONDS", 0.0)
        _submit(ledger, "r", "c")

        assert ledger.waited == [False, True, False, True]


def test_on_disks_of_other_machines_every_commit_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Waiting, "waited", [], raising=False)
    monkeypatch.setattr(database, "_DISKS", frozenset())
    with Waiting(tmp_path / FILE) as ledger:
        _plan(ledger, "a", "b")
        _submit(ledger, "p", "a")
        ledger.sync()

        assert ledger.waited[-2:] == [True, True]
        assert (tmp_path / f"{FILE}-journal").exists()


def test_an_error_in_a_batch_undoes_what_is_not_on_the_disk_and_nothing_else(ledger: Ledger) -> None:
    _plan(ledger, "a", "b")

    def write() -> None:
        with ledger.batch():
            _submit(ledger, "p", "a")
            ledger.flush()
            _submit(ledger, "q", "b")
            ledger.settle(JobUpdate("nobody's", Change.DONE))

    with pytest.raises(KeyError):
        write()

    assert _states(ledger) == {"a": "submitted", "b": "pending"}
    _submit(ledger, "r", "b")
    assert set(_open(ledger)) == {"p", "r"}
