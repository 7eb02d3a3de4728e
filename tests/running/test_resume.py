"""Clients that died and servers that were restarted: the same command goes on, nothing is lost, nothing runs twice for nothing."""

from __future__ import annotations

import json
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from comfy_runner import api
from comfy_runner.control.merge import merge
from comfy_runner.errors import RunFolderError, UsageError
from comfy_runner.planning.survey import plan_rows
from comfy_runner.running.events import JobFinished, JobSubmitted, RunFinished, RunStarted
from comfy_runner.running.handle import Run
from comfy_runner.store.ledger import FILE, Ledger
from comfy_runner.store.ledger_rows import JobRow, JobUpdate, OpenSubmission
from comfy_runner.store.states import Change
from tests.cli.support import Running, recipe_file
from tests.running.abandon import abandoned, ended, taken_in
from tests.running.support import begin, files_in, picture, pixels, plan_of, posted, rendered, sidecar_in, small, states, sweep
from tests.standin import StandIn


def _row(out: Path, job_id: str = "lake") -> JobRow:
    with Ledger(out / FILE, readonly=True) as ledger:
        found = ledger.job(job_id)
    assert found is not None
    return found


def _open(out: Path) -> list[OpenSubmission]:
    with Ledger(out / FILE, readonly=True) as ledger:
        return ledger.open_submissions()


def _until_submitted(rendering: Run) -> None:
    """Return when the run has heard from the server that it has a job."""
    next(event for event in rendering if isinstance(event, JobSubmitted))


def _ran_twice(server: StandIn) -> list[str]:
    """Return which passes ran more than once."""
    done = [ran.signature for ran in server.state.ran if ran.is_sampler]
    return [signature for signature in set(done) if done.count(signature) > 1]


def _tear(out: Path) -> None:
    with closing(sqlite3.connect(out / FILE)) as connection, connection:
        connection.execute("UPDATE submissions SET parcel = substr(parcel, 1, 100) WHERE settled = 0")


# The client died


def test_a_job_that_still_runs_is_attached_to_and_not_posted_again(server: StandIn, tmp_path: Path) -> None:
    gate = server.state.hold("second_pass")
    (submission,) = abandoned(server, tmp_path)
    gate.wait()

    with begin(server, tmp_path) as rendering:
        _until_submitted(rendering)
        gate.open()
        results = rendering.results()

    assert states(results) == {"lake": "done"}
    assert len(posted(server)) == 1
    assert sidecar_in(tmp_path)["prompt_id"] == submission.prompt_id
    assert _open(tmp_path) == []


def test_a_job_that_still_waits_in_the_queue_is_attached_to_and_not_posted_again(server: StandIn, tmp_path: Path) -> None:
    gate = server.state.hold("foreign_sampler")
    server.state.add_foreign()
    gate.wait()
    abandoned(server, tmp_path)

    with begin(server, tmp_path) as rendering:
        _until_submitted(rendering)
        gate.open()
        results = rendering.results()

    assert states(results) == {"lake": "done"}
    assert len(posted(server)) == 1


def test_a_job_that_finished_meanwhile_is_collected_and_nothing_is_rendered(server: StandIn, tmp_path: Path) -> None:
    ended(server, abandoned(server, tmp_path))
    before = server.state.work()

    results = rendered(server, tmp_path)

    assert states(results) == {"lake": "done"}
    assert (len(posted(server)), server.state.work()) == (1, before)
    assert files_in(tmp_path) == ["lake/job.json", "lake/original.png", "lake/upscaled.png"]
    assert _row(tmp_path).state == "done"


@pytest.mark.parametrize("where", ["running", "ended", "collected", "half there", "restarted"])
def test_what_is_collected_of_a_dead_client_is_written_as_the_recipe_says_now(server: StandIn, tmp_path: Path, where: str) -> None:
    if where == "half there":
        rendered(server, tmp_path)
        (tmp_path / "lake/upscaled.png").unlink()
        with Ledger(tmp_path / FILE) as ledger:
            ledger.write_plan(plan_rows(plan_of().drafts, {}, {"lake": "a picture is gone"}), recipes=["lake"])
    gate = server.state.hold("save_upscaled") if where == "running" else None
    (submission,) = abandoned(server, tmp_path)
    if gate is None:
        ended(server, [submission])
    if where == "collected":
        taken_in(server, tmp_path, submission, "lake")
    if where == "restarted":
        server.state.restart()
    before = len(posted(server))
    now = small(output={"format": "webp", "upscaled": "pictures/{job_id}.webp"})

    rendering = begin(server, tmp_path, now)
    if gate is not None:
        _until_submitted(rendering)
        gate.open()
    (result,) = rendering.results()

    assert (result.state, len(posted(server))) == ("done", before)
    assert result.files["upscaled"] == (tmp_path / "pictures/lake.webp",)
    with Image.open(tmp_path / "pictures/lake.webp") as image:
        assert (image.format, image.size) == ("WEBP", (128, 128))
    # Of what was finished before, the next run makes what is wanted.
    originals = [path for path in files_in(tmp_path) if "original" in path and not path.startswith("superseded")]
    assert originals == ["lake/original.png" if where == "half there" else "lake/original.webp"]
    assert sidecar_in(tmp_path)["recipe"]["output"]["format"] == "webp"
    (again,) = rendered(server, tmp_path, now)
    assert (again.was_done, len(posted(server))) == (True, before)
    assert again.files["original"] == (tmp_path / "lake/original.webp",)


def test_a_seed_that_was_drawn_is_recorded_as_its_number_of_a_job_of_a_dead_client_too(server: StandIn, tmp_path: Path) -> None:
    recipe = small(sweep={"seed": ["random"]})
    (tmp_path / "run.json").write_text(json.dumps({"format": 1, "seeds": {"lake": 0}}), encoding="utf-8")
    ended(server, abandoned(server, tmp_path, recipe))

    (result,) = rendered(server, tmp_path, recipe)

    assert (result.state, len(posted(server))) == ("done", 1)
    assert sidecar_in(tmp_path, result.job_id)["assignments"] == {"seed": 0}


def test_each_prompt_keeps_the_seed_that_was_drawn_for_it(server: StandIn, tmp_path: Path) -> None:
    def seeds(*prompts: str) -> dict[str, int]:
        recipe = small(
            seed="random", prompt="{what}", sweep={"prompt": [f"a {prompt} {{what}}" for prompt in prompts]}, vars={"what": "x"}
        )
        rendered(server, tmp_path, recipe)
        found = [sidecar_in(tmp_path, folder.parent.name) for folder in tmp_path.glob("*/job.json")]
        assert all(sidecar["filled_from"]["vars"] == {"what": "x"} for sidecar in found)
        return {sidecar["recipe"]["prompt"]: sidecar["recipe"]["seed"] for sidecar in found}

    before, after = seeds("fox", "owl"), seeds("cat", "owl", "fox")

    assert len(posted(server)) == len(after) == len(set(after.values())) == 3
    assert before == {prompt: after[prompt] for prompt in ("a fox x", "a owl x")}


def test_the_day_on_which_a_run_began_is_in_its_paths_on_every_later_day(server: StandIn, tmp_path: Path) -> None:
    recipe = sweep({"seed": [1, 2]}, output={"upscaled": "{date}/{job_id}.png"})
    rendered(server, tmp_path / "first", recipe, only=["*-s1"])
    today = json.loads((tmp_path / "first" / "run.json").read_text())["date"]
    assert files_in(tmp_path / "first" / today) == ["lake-s1.png"]
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text('{"format": 2, "seeds": {}, "date": "2020-02-29"}')

    rendered(server, tmp_path / "run", recipe, only=["*-s1"])
    count = len(posted(server))
    planned = api.plan([recipe], out=tmp_path / "run")
    rendered(server, tmp_path / "run", recipe)

    assert [(job.job_id, job.state) for job in planned.jobs] == [("lake-s2", "to render"), ("lake-s1", "done")]
    assert files_in(tmp_path / "run" / "2020-02-29") == ["lake-s1.png", "lake-s2.png"]
    assert len(posted(server)) == count + 1
    with pytest.raises(UsageError, match=r"the output of lake-s1 has \{date\}"):
        api.plan([recipe], out=tmp_path / "shards", shard="1/2")
    with pytest.raises(RunFolderError, match=rf"began on different days, .*\(2020-02-29, {today}\)"):
        merge([tmp_path / "first", tmp_path / "run"], tmp_path / "merged", partial=True)


def test_a_job_that_was_never_posted_is_posted_once(server: StandIn, tmp_path: Path) -> None:
    abandoned(server, tmp_path, post=False)

    assert states(rendered(server, tmp_path)) == {"lake": "done"}
    assert len(posted(server)) == 1
    assert _open(tmp_path) == []


def test_of_a_sweep_only_what_the_dead_client_had_not_begun_is_posted(server: StandIn, tmp_path: Path) -> None:
    recipe = sweep({"seed": [1, 2, 3, 4]})
    ended(server, abandoned(server, tmp_path, recipe, only=["lake-s1", "lake-s2"]))

    results = rendered(server, tmp_path, recipe)

    assert set(states(results).values()) == {"done"}
    assert len(posted(server)) == 4
    assert _ran_twice(server) == []


def test_a_job_that_was_collected_but_not_written_down_is_neither_rendered_nor_put_away(server: StandIn, tmp_path: Path) -> None:
    (submission,) = abandoned(server, tmp_path)
    ended(server, [submission])
    taken_in(server, tmp_path, submission, "lake")

    assert states(rendered(server, tmp_path)) == {"lake": "done"}
    assert len(posted(server)) == 1
    assert files_in(tmp_path) == ["lake/job.json", "lake/original.png", "lake/upscaled.png"]


def test_what_a_killed_client_left_beside_its_targets_is_removed(server: StandIn, tmp_path: Path) -> None:
    running = Running("run", str(recipe_file(tmp_path)), "--server", server.url, "--out", "out", folder=tmp_path)
    gate = server.state.hold("GET /view")
    gate.wait()
    running.process.kill()
    running.end()
    gate.open()

    assert states(rendered(server, tmp_path / "out")) == {"lake": "done"}
    assert len(posted(server)) == 1
    assert files_in(tmp_path / "out") == ["lake/job.json", "lake/original.png", "lake/upscaled.png"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
@pytest.mark.parametrize("place", ["checkpoint", "first_pass", "second_pass", "save_upscaled", "history", "POST /prompt"])
def test_a_command_that_was_killed_while_the_server_was_anywhere_goes_on(server: StandIn, tmp_path: Path, place: str) -> None:
    gate = server.state.hold(place)
    recipe = sweep({"seed": [1, 2, 3]})
    running = Running("run", str(recipe_file(tmp_path, **recipe)), "--server", server.url, "--out", "out", folder=tmp_path)
    gate.wait()
    running.process.kill()
    running.end()
    gate.open()

    results = rendered(server, tmp_path / "out", recipe)

    assert states(results) == dict.fromkeys(["lake-s1", "lake-s2", "lake-s3"], "done")
    assert _ran_twice(server) == []
    assert not (tmp_path / "out/superseded").exists()


# The recipe was changed meanwhile


def test_a_job_that_was_changed_meanwhile_is_taken_back_and_rendered_as_it_is_now(server: StandIn, tmp_path: Path) -> None:
    gate = server.state.hold("first_pass")
    (submission,) = abandoned(server, tmp_path)
    gate.wait()

    with begin(server, tmp_path, small(seed=2)) as rendering:
        server.state.until_asked("POST", "/interrupt", 1)
        gate.open()
        results = rendering.results()

    assert states(results) == {"lake": "done"}
    assert sidecar_in(tmp_path)["recipe"]["seed"] == 2
    assert server.state.memory.history[submission.prompt_id]["status"]["status_str"] == "error"
    assert not (tmp_path / "superseded").exists()
    assert _open(tmp_path) == []


def test_a_changed_job_that_waits_in_the_queue_is_taken_out_of_it(server: StandIn, tmp_path: Path) -> None:
    gate = server.state.hold("foreign_sampler")
    server.state.add_foreign()
    gate.wait()
    (submission,) = abandoned(server, tmp_path)

    with begin(server, tmp_path, small(seed=2)) as rendering:
        server.state.until_asked("POST", "/prompt", 2)
        gate.open()
        results = rendering.results()

    assert states(results) == {"lake": "done"}
    assert submission.prompt_id not in {ran.prompt_id for ran in server.state.ran}


def test_what_a_changed_job_was_and_finished_meanwhile_ends_up_among_the_superseded(server: StandIn, tmp_path: Path) -> None:
    ended(server, abandoned(server, tmp_path))

    results = rendered(server, tmp_path, small(seed=2))

    assert states(results) == {"lake": "done"}
    assert sidecar_in(tmp_path)["recipe"]["seed"] == 2
    (old,) = (tmp_path / "superseded").rglob("job.json")
    assert json.loads(old.read_text(encoding="utf-8"))["recipe"]["seed"] == 1
    assert len(list((tmp_path / "superseded").rglob("*.png"))) == 2
    assert len(posted(server)) == 2


def test_a_job_in_flight_that_is_changed_to_what_another_one_has_shares_its_pictures(server: StandIn, tmp_path: Path) -> None:
    rendered(server, tmp_path, small(name="a"), small(name="b", seed=2), only=["a"])
    ended(server, abandoned(server, tmp_path, small(name="a"), small(name="b", seed=2), only=["b"]))
    before = len(posted(server))

    results = rendered(server, tmp_path, small(name="a"), small(name="b"))

    assert states(results) == {"a": "done", "b": "done"}
    assert pixels(tmp_path, "b") == pixels(tmp_path, "a")
    assert sidecar_in(tmp_path, "b")["recipe"]["seed"] == 1
    assert len(posted(server)) == before
    assert _open(tmp_path) == []


# Jobs that this run is not about


def test_jobs_in_flight_that_are_not_selected_are_collected_too_and_not_told_of(server: StandIn, tmp_path: Path) -> None:
    recipe = sweep({"seed": [1, 2]})
    ended(server, abandoned(server, tmp_path, recipe, only=["lake-s2"]))

    with begin(server, tmp_path, recipe, only=["*s1"]) as rendering:
        events = list(rendering)

    assert states(rendering.results()) == {"lake-s1": "done"}
    assert _row(tmp_path, "lake-s2").state == "done"
    assert (tmp_path / "lake-s2/upscaled.png").exists()
    told = {getattr(event, "job_id", "lake-s1") for event in events if not isinstance(event, RunStarted | RunFinished)}
    assert told == {"lake-s1"}


def test_jobs_in_flight_that_were_removed_from_the_sweep_are_collected_and_marked(server: StandIn, tmp_path: Path) -> None:
    ended(server, abandoned(server, tmp_path, sweep({"seed": [1, 2]})))

    results = rendered(server, tmp_path, sweep({"seed": [1]}, name="lake"), only=["*"])

    assert set(states(results).values()) == {"done"}
    row = _row(tmp_path, "lake-s2")
    assert (row.state, row.removed) == ("done", True)
    assert (tmp_path / "lake-s2/upscaled.png").exists()
    assert _open(tmp_path) == []


def test_what_is_in_flight_is_collected_also_where_all_that_is_planned_is_done(server: StandIn, tmp_path: Path) -> None:
    both = small(), small(name="hill", seed=2)
    rendered(server, tmp_path, *both, only=["lake"])
    ended(server, abandoned(server, tmp_path, *both, only=["hill"]))

    rendered(server, tmp_path)

    assert _row(tmp_path, "hill").state == "done"


# Submissions


def test_a_job_whose_parcel_is_torn_is_posted_again(server: StandIn, tmp_path: Path) -> None:
    ended(server, abandoned(server, tmp_path))
    _tear(tmp_path)

    assert states(rendered(server, tmp_path)) == {"lake": "done"}
    assert len(posted(server)) == 2
    assert _open(tmp_path) == []


def test_a_torn_parcel_that_no_job_waits_for_is_given_up(server: StandIn, tmp_path: Path) -> None:
    ended(server, abandoned(server, tmp_path))
    _tear(tmp_path)

    assert states(rendered(server, tmp_path, small(seed=2))) == {"lake": "done"}
    assert _open(tmp_path) == []


@pytest.mark.parametrize("written_down", [False, True])
def test_of_a_parcel_that_is_half_collected_the_other_half_is_collected(
    server: StandIn, tmp_path: Path, written_down: bool
) -> None:
    server.state.cache = "none"
    recipe = sweep({"upscale.denoise": [0.4, 0.9]})
    (submission,) = abandoned(server, tmp_path, recipe, together=True)
    ended(server, [submission])
    first, second = submission.job_ids
    rows = taken_in(server, tmp_path, submission, first)
    if written_down:
        with Ledger(tmp_path / FILE) as ledger:
            ledger.settle(JobUpdate(first, Change.DONE, prompt_id=submission.prompt_id, files=rows))
    kept = (tmp_path / first / "upscaled.png").stat().st_mtime_ns

    results = rendered(server, tmp_path, recipe)

    assert states(results) == {first: "done", second: "done"}
    assert len(posted(server)) == 1
    assert picture(tmp_path, first) != picture(tmp_path, second)
    assert not (tmp_path / "superseded").exists()
    assert not written_down or (tmp_path / first / "upscaled.png").stat().st_mtime_ns == kept
    assert _open(tmp_path) == []


def test_jobs_that_share_the_pictures_of_one_in_flight_get_them(server: StandIn, tmp_path: Path) -> None:
    recipe = sweep({"upscale.denoise": [0.48, 0.49, 0.5]}, sampler={"steps": 10})
    ended(server, abandoned(server, tmp_path, recipe, only=["lake-d048"]))

    results = rendered(server, tmp_path, recipe)

    assert set(states(results).values()) == {"done"}
    assert len(posted(server)) == 1
    assert [sidecar_in(tmp_path, f"lake-d0{n}")["shares"] for n in (48, 49, 50)] == ["", "lake-d048", "lake-d048"]


# The server was restarted


def test_pictures_that_a_restarted_server_still_has_are_found_by_their_names(server: StandIn, tmp_path: Path) -> None:
    gate = server.state.hold("history")
    with begin(server, tmp_path) as rendering:
        gate.wait()
        server.state.restart()
        gate.open()
        results = rendering.results()

    assert states(results) == {"lake": "done"}
    assert len(posted(server)) == 1
    assert sidecar_in(tmp_path)["recovered"] is True
    assert sidecar_in(tmp_path)["attempts"] == []


def test_a_batch_that_the_dying_server_has_saved_in_part_is_rendered_and_no_picture_is_lost(
    server: StandIn, tmp_path: Path
) -> None:
    gate = server.state.hold("history")
    with begin(server, tmp_path, small(batch_size=3)) as rendering:
        gate.wait()
        server.state.restart()
        (last,) = (server.state.files / "output").rglob("*upscaled_00003_.png")
        last.unlink()
        gate.open()
        results = rendering.results()

    assert states(results) == {"lake": "done"}
    assert len(posted(server)) == 2
    assert "save_original" not in posted(server)[1]
    names = [f"{role}{number}.png" for role in ("original", "upscaled") for number in ("", "-2", "-3")]
    assert files_in(tmp_path / "lake") == sorted([*names, "job.json"])
    found = sidecar_in(tmp_path)
    assert [len(found["files"][role]) for role in ("original", "upscaled")] == [3, 3]
    assert [attempt["reason"] for attempt in found["attempts"]] == ["server_lost"]
    assert len({(tmp_path / "lake" / name).read_bytes() for name in names}) == 6
    rendered(server, tmp_path, small(batch_size=3))
    assert len(posted(server)) == 2


def test_a_file_that_the_dying_server_tore_is_not_kept_and_only_its_half_is_rendered(server: StandIn, tmp_path: Path) -> None:
    gate = server.state.hold("save_upscaled")
    with begin(server, tmp_path) as rendering:
        gate.wait()
        server.state.restart(torn=True)
        gate.open()
        results = rendering.results()

    assert states(results) == {"lake": "done"}
    assert "save_original" not in posted(server)[1]
    assert len(posted(server)) == 2
    found = sidecar_in(tmp_path)
    assert [attempt["reason"] for attempt in found["attempts"]] == ["server_lost"]
    assert not list(tmp_path.rglob("*.part"))


def test_after_a_restart_in_the_middle_of_a_sweep_nothing_is_lost_and_what_is_there_stays(server: StandIn, tmp_path: Path) -> None:
    recipe = sweep({"seed": [1, 2, 3, 4]})
    gate = server.state.hold("second_pass")
    gate.open()
    with begin(server, tmp_path, recipe) as rendering:
        server.state.until(lambda: sum(ran.is_sampler for ran in server.state.ran) >= 4)
        server.state.restart(down=0.05)
        results = rendering.results()

    assert set(states(results).values()) == {"done"}
    assert not (tmp_path / "superseded").exists()


def test_after_both_have_died_finished_pictures_are_found_and_the_rest_is_rendered(server: StandIn, tmp_path: Path) -> None:
    recipe = sweep({"seed": [1, 2, 3]})
    first, _second = abandoned(server, tmp_path, recipe, only=["lake-s1", "lake-s2"])
    ended(server, [first])
    server.state.restart()
    before = _saved(server)

    results = rendered(server, tmp_path, recipe)

    assert set(states(results).values()) == {"done"}
    assert sidecar_in(tmp_path, "lake-s1")["recovered"] is True
    assert sidecar_in(tmp_path, "lake-s1")["prompt_id"] == first.prompt_id
    assert len(posted(server)) == 2 + 3 - len(before)


def _saved(server: StandIn) -> list[Any]:
    """Return the jobs whose upscaled picture is there."""
    return [ran for ran in server.state.ran if ran.node_id == "save_upscaled"]


def test_an_original_that_a_restarted_server_has_is_kept_where_the_job_is_not_tried_again(server: StandIn, tmp_path: Path) -> None:
    gate = server.state.hold("second_pass")
    with begin(server, tmp_path, small(retry={"server_lost": 0})) as rendering:
        gate.wait()
        server.state.restart()
        gate.open()
        (result,) = rendering.results()

    assert (result.state, list(result.files)) == ("partial", ["original"])
    assert states(rendered(server, tmp_path)) == {"lake": "done"}
    assert "save_original" not in posted(server)[1]


@pytest.mark.parametrize("force", [False, True])
def test_a_changed_job_whose_turn_is_last_is_rendered_once(server: StandIn, tmp_path: Path, force: bool) -> None:
    seeds = {"seed": {"start": 1, "count": 6}}
    ended(server, abandoned(server, tmp_path, sweep(seeds), only=["lake-s6"]))

    with begin(server, tmp_path, sweep(seeds, prompt="another lake"), force=force) as rendering:
        told = [event.result.job_id for event in rendering if isinstance(event, JobFinished)]

    assert sorted(told) == [f"lake-s{seed}" for seed in range(1, 7)]
    assert sidecar_in(tmp_path, "lake-s6")["recipe"]["prompt"] == "another lake"
