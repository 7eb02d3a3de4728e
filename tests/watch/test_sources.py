"""What is told of a run: by its events where this process renders, by its ledger and its lock where another one does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from comfy_runner.errors import ServerStuck
from comfy_runner.running.events import (
    JobFinished,
    JobPreviewed,
    JobProgressed,
    JobResult,
    JobSubmitted,
    JobWaiting,
    RunFinished,
    RunStarted,
    ServerChanged,
)
from comfy_runner.store.ledger_rows import PlanRow
from comfy_runner.store.run_folder import RunFolder
from comfy_runner.watch.sources import FolderRun, LiveRun, LiveSearch
from tests.report.page.pages import paint
from tests.report.support import make_run


def _job(job_id: str, **known: Any) -> dict[str, Any]:
    return {"id": job_id, "node": "", "step": 0, "steps": 0, "fraction": 0.0, "ahead": None, **known}


def test_a_run_of_this_process_is_told_of_by_its_events(tmp_path: Path) -> None:
    source = LiveRun(tmp_path, clock=lambda: 0.0)
    jobs = ("a", "b", "c", "d")
    source.follow(RunStarted(tmp_path, "http://one", jobs, 0, (), ("one", "two"), (10.0, 10.0, 10.0, 10.0), 100.0))
    for job_id in ("a", "b"):
        source.follow(JobSubmitted(job_id, f"prompt-{job_id}", "one"))
    source.follow(JobProgressed("a", "First pass", 1, 4, 0.25))
    source.follow(JobWaiting("b", 1))
    source.follow(JobPreviewed("a", b"jpeg"))
    source.follow(ServerChanged("two", "http://two", "out", ServerStuck("hangs"), 2.0))

    values = source.values()

    assert values["run"] == {"state": "running", "jobs": 4, "finished": 0, "share": 0.062, "left": 150, "problem": ""}
    first, second = _job("a", node="First pass", step=1, steps=4, fraction=0.25), _job("b", ahead=1)
    assert values["server:one"] == {"stage": "up", "why": "", "done": 0, "current": "a", "jobs": [first, second]}
    assert values["server:two"]["stage"] == "out"
    assert values["server:two"]["why"] == "hangs"
    assert (values["preview:a"], source.preview("a"), source.preview("b")) == (1, b"jpeg", None)

    source.follow(JobFinished(JobResult("a", "done", {}, server="one")))
    values = source.values()
    assert (values["preview:a"], source.preview("a")) == (None, None)
    assert (values["server:one"]["done"], values["server:one"]["jobs"]) == (1, [second])

    source.follow(RunFinished(()))
    values = source.values()
    assert (source.is_live, values["run"]["state"], values["server:one"]) == (False, "ended", None)
    source.cancel()
    assert list(tmp_path.iterdir()) == []


def test_a_search_is_one_run_after_the_other_until_it_ends(tmp_path: Path) -> None:
    source = LiveSearch(tmp_path, clock=lambda: 0.0)
    for done, job in enumerate("ab"):
        source.follow(RunStarted(tmp_path, "http://one", ("a", "b")[: done + 1], done, (), ("one",), (10.0,) * (done + 1)))
        source.follow(JobSubmitted(job, f"prompt-{job}", "one"))
        source.follow(JobFinished(JobResult(job, "done", {}, server="one")))
        values = source.values()["run"]
        assert (values["state"], values["finished"], values["jobs"], values["is_search"]) == ("running", done + 1, done + 1, True)
        source.follow(RunFinished(()))
        assert source.is_live

    source.cancel()  # between two runs nobody would hear of it
    assert list(tmp_path.iterdir()) == []
    source.follow(RunStarted(tmp_path, "http://one", ("a", "b", "c"), 2, (), ("one",)))
    assert [path.name for path in tmp_path.iterdir()] == [".cancel"]
    source.end()
    assert (source.is_live, source.values()["run"]["state"]) == (False, "ended")


def test_a_run_of_another_process_is_told_of_by_its_ledger_and_its_lock(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "lake", {"seed": [1, 2]}, paint)
    source = FolderRun(folder)
    assert source.values() == {"run": {"state": "ended", "jobs": 2, "finished": 2, "share": 1.0, "left": None, "problem": ""}}

    locked = RunFolder(folder)
    try:
        row = PlanRow(
            job_id="lake-s3", position=2, recipe="lake", content_hash="0", pixel_hash="0", shares="", assignments={"seed": 3}
        )
        locked.ledger.write_plan([row], recipes=[])
        locked.ledger.submit("prompt", server="http://one", text="{}", job_ids=["lake-s3"])
        values = source.values()
    finally:
        locked.close()

    assert values["run"] == {"state": "running", "jobs": 3, "finished": 2, "share": 0.667, "left": None, "problem": ""}
    assert values["server:http://one"]["jobs"] == [_job("lake-s3")]
    assert source.values()["server:http://one"] is None
