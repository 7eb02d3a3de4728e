"""Two run folders that comfy_runner 0.1.0 made with a real ComfyUI 0.3.75: later versions read them, and go on in them.

``done``: six jobs of ``cfg`` 5, of which one was rendered again with ``cfg`` 4; its first pictures lie in ``superseded/``.
``killed``: its process was killed after the first of four jobs; two were submitted, one waited. Modification times are not those in
the ledger, as after any copy.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import requests

from comfy_runner import api
from comfy_runner.config import Config
from comfy_runner.control.cancel import cancel
from comfy_runner.control.clean import clean
from comfy_runner.control.repair import repair
from comfy_runner.engine.submission import Submission
from comfy_runner.errors import RunFolderError
from comfy_runner.report.run_data import read_material
from comfy_runner.store.ledger import FILE, Ledger
from comfy_runner.store.run_folder import FolderView
from comfy_runner.store.status import list_runs, status
from tests.running.support import files_in, posted_jobs, rendered, states
from tests.standin import HELD, StandIn

_FOLDERS = Path(__file__).parents[1] / "data" / "run_folders"
_DONE = [f"quickstart-d0{denoise}-s{seed}" for seed in (1, 2) for denoise in (30, 50, 55)]
_NO_JOB = {"extra_pnginfo": {"comfy_runner": {"job_id": "of the killed process"}}}
_SETS = ("size={width: 128, height: 72}", "upscale.denoise=0.55")


@pytest.fixture
def done(tmp_path: Path) -> Path:
    """A copy of the folder whose jobs are done."""
    return shutil.copytree(_FOLDERS / "done", tmp_path / "done")


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """A copy of the folder whose process was killed."""
    return shutil.copytree(_FOLDERS / "killed", tmp_path / "killed")


def _of_done(cfg: float) -> dict[str, Any]:
    """Return how the recipe of ``done`` was called."""
    axes = ("seed=1,2", "upscale.denoise=0.3,0.5,0.55")
    return {"sets": (_SETS[0], f"sampler.cfg={cfg}"), "sweeps": axes, "config": Config()}


def _of_killed() -> dict[str, Any]:
    """Return how the recipe of ``killed`` was called."""
    return {"sets": (*_SETS, "sampler.steps=150"), "sweeps": ("seed=1,2,3,4",), "config": Config()}


def _plan(out: Path, options: dict[str, Any]) -> dict[str, str]:
    return {row.job_id: row.state for row in api.plan(["quickstart"], out=out, **options).jobs}


def _points_to(folder: Path, server: StandIn) -> None:
    """Have the ledger say that the submissions went to this server."""
    with closing(sqlite3.connect(folder / FILE)) as connection, connection:
        connection.execute("UPDATE submissions SET server = ?", (server.url,))


def _submissions(folder: Path) -> list[Submission]:
    with Ledger(folder / FILE, readonly=True) as ledger:
        return [Submission.from_text(found.prompt_id, found.text) for found in ledger.open_submissions()]


# Looking


def test_status_tells_how_the_jobs_stand(done: Path, killed: Path) -> None:
    assert {state: count for state, count in status(done).counts.items() if count} == {"done": 1, "pending": 5}
    found = status(killed)
    assert {state: count for state, count in found.counts.items() if count} == {"done": 1, "submitted": 2, "pending": 1}
    assert [row.job_ids for row in found.submissions] == [("quickstart-s2",), ("quickstart-s3",)]
    assert found.holder is None, "the note of the killed process deceives nobody"


def test_both_are_listed(done: Path, killed: Path) -> None:
    assert [(found.folder, found.problem) for found in list_runs(done.parent)] == [(done, ""), (killed, "")]


def test_every_sidecar_is_read_and_its_pictures_are_as_recorded(done: Path, killed: Path) -> None:
    for folder, job_ids in ((done, _DONE), (killed, ["quickstart-s1"])):
        view = FolderView(folder)
        for job_id in job_ids:
            sidecar = view.sidecar(job_id)
            assert sidecar is not None
            assert (sidecar.state, sidecar.server["comfyui"]) == ("done", "0.3.75")
            assert list(sidecar.files) == ["original", "upscaled"]
            assert all(view.has(record) for records in sidecar.files.values() for record in records)


def test_a_sidecar_of_format_1_is_read(killed: Path) -> None:
    path = killed / "quickstart-s1" / "job.json"
    found = json.loads(path.read_text(encoding="utf-8"))
    for newer in ("notes", "attempts", "recipe_name", "assignments", "shares", "posted_with", "inputs"):
        found.pop(newer, None)
    for records in found["files"].values():
        for record in records:
            del record["frames"]
    path.write_text(json.dumps({**found, "format": 1}), encoding="utf-8")

    sidecar = FolderView(killed).sidecar("quickstart-s1")

    assert sidecar is not None
    assert (sidecar.state, sidecar.shares) == ("done", "")
    assert _plan(killed, _of_killed())["quickstart-s1"] == "done"


def test_a_report_finds_pictures_and_axes(done: Path) -> None:
    material = read_material(done)

    assert {axis.field: axis.values for axis in material.axes} == {"seed": (1, 2), "upscale.denoise": (0.3, 0.5, 0.55)}
    assert [entry.job_id for entry in material.entries] == _DONE
    assert [len(entry.pair()) for entry in material.entries] == [2] * 6
    assert all((done / row.path).is_file() for entry in material.entries for row in entry.pair())


def test_a_report_is_written(done: Path) -> None:
    made = api.write_report(done)

    page = made.page.read_text(encoding="utf-8")
    assert all(f'"name":"{job_id}/upscaled.png"' in page for job_id in _DONE)


# Going on


def test_what_is_done_is_found_and_what_was_changed_is_told(done: Path) -> None:
    as_rendered_first = _plan(done, _of_done(cfg=5.0))
    assert as_rendered_first == {job_id: "done" if job_id != _DONE[0] else "to render" for job_id in _DONE}

    (changed,) = (row.again for row in api.plan(["quickstart"], out=done, **_of_done(cfg=5.0)).jobs if row.state == "to render")
    assert changed == "sampler.cfg 4.0 → 5.0, the template latent_upscale has changed"
    as_rendered_last = _plan(done, _of_done(cfg=4.0))
    assert as_rendered_last == {job_id: "done" if job_id == _DONE[0] else "to render" for job_id in _DONE}


def test_nothing_is_rendered_again_by_the_same_recipe(done: Path, server: StandIn) -> None:
    before = files_in(done)

    results = rendered(server, done, "quickstart", only=["quickstart-d05*", "*-s2"], **_of_done(cfg=5.0))

    assert {(result.state, result.was_done) for result in results} == {("done", True)}
    assert len(results) == 5
    assert (posted_jobs(server), files_in(done)) == ([], before)


def test_what_is_rendered_again_is_superseded_beside_what_was_before(done: Path, server: StandIn) -> None:
    rendered(server, done, "quickstart", **_of_done(cfg=5.0))

    assert posted_jobs(server) == [_DONE[0]]
    replaced = sorted(path.name for path in (done / "superseded" / _DONE[0]).iterdir())
    assert len(replaced) == 2
    assert "9cd3171f" in replaced


@pytest.mark.slow
def test_submissions_are_unpacked_and_collected_from_their_server(killed: Path, server: StandIn) -> None:
    _points_to(killed, server)
    submissions = _submissions(killed)
    assert [found.job_ids for found in submissions] == [("quickstart-s2",), ("quickstart-s3",)]
    for found in submissions:
        body = {"prompt": found.workflow.to_api(), "prompt_id": found.prompt_id, "client_id": "killed", "extra_data": _NO_JOB}
        requests.post(f"{server.url}/prompt", json=body, timeout=HELD).raise_for_status()

    results = rendered(server, killed, "quickstart", **_of_killed())

    assert states(results) == {f"quickstart-s{seed}": "done" for seed in (1, 2, 3, 4)}
    assert {result.job_id for result in results if result.was_done} == {"quickstart-s1"}
    assert sorted(posted_jobs(server)) == ["of the killed process", "of the killed process", "quickstart-s4"]
    assert _submissions(killed) == []


def test_submissions_that_their_server_has_forgotten_are_posted_again(killed: Path, server: StandIn) -> None:
    _points_to(killed, server)

    assert set(states(rendered(server, killed, "quickstart", **_of_killed())).values()) == {"done"}
    assert sorted(posted_jobs(server)) == ["quickstart-s2", "quickstart-s3", "quickstart-s4"]


def test_submissions_are_taken_back_by_cancel(killed: Path, server: StandIn) -> None:
    _points_to(killed, server)

    found = cancel(killed, config=Config())

    assert (found.ended, found.errors) == ({"quickstart-s2": "cancelled", "quickstart-s3": "cancelled"}, ())


# Mending and tidying


def test_a_ledger_is_made_anew_from_the_sidecars(done: Path) -> None:
    rebuilt = repair(done)

    assert (rebuilt.jobs, rebuilt.problems) == (6, ())
    assert rebuilt.aside is not None
    assert rebuilt.aside.is_file()
    assert {job.row.job_id: (job.row.state, len(job.files)) for job in status(done).jobs} == dict.fromkeys(_DONE, ("done", 2))
    assert _plan(done, _of_done(cfg=5.0))[_DONE[1]] == "done"


def test_a_sound_ledger_with_submissions_is_not_thrown_away(killed: Path) -> None:
    with pytest.raises(RunFolderError, match="knows of prompts that servers may still have"):
        repair(killed)


def test_replaced_pictures_can_be_removed(done: Path) -> None:
    found = clean(done, yes=True, config=Config())

    assert [(files.kind, len(files.keys)) for files in found.files] == [("superseded", 3)]
    assert not (done / "superseded").exists()
