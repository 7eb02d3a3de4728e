"""Continuing a run folder: what is done stays, what changed is made again with the reason, what is gone is made again in part."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from comfy_runner.errors import Unreachable
from comfy_runner.planning.survey import Survey, plan_rows, survey
from comfy_runner.store.ledger import FILE, Ledger
from comfy_runner.store.ledger_rows import JobRow
from comfy_runner.store.run_folder import RunFolder
from tests.recipe.support import written
from tests.running.support import (
    begin,
    fill,
    notes_of,
    picture,
    pixels,
    plan_of,
    posted,
    posted_jobs,
    rendered,
    sidecar_in,
    small,
    states,
    sweep,
)
from tests.standin import NodeFault, StandIn

_SEEDS = sweep({"seed": [1, 2, 3]})


def _row(out: Path, job_id: str) -> JobRow:
    with Ledger(out / FILE, readonly=True) as ledger:
        found = ledger.job(job_id)
    assert found is not None
    return found


def _again(server: StandIn, out: Path, *recipes: Any, **options: Any) -> dict[str, str]:
    """Render, and return why jobs were rendered again."""
    start = "is rendered again: "
    notes = [note for note in notes_of(server, out, *recipes, **options) if note.what.startswith(start)]
    assert {note.level for note in notes} <= {"changed"}
    return {note.where: note.what.removeprefix(start) for note in notes}


def _surveyed(folder: RunFolder, *recipes: Any, force: bool = False) -> Survey:
    plan = plan_of(*recipes)
    forced = [draft.job_id for draft in plan.drafts] if force else []
    return survey(plan.drafts, folder, folder.ledger, forced=forced)


# What is done


def test_a_finished_sweep_needs_no_server(server: StandIn, tmp_path: Path) -> None:
    rendered(server, tmp_path, _SEEDS)
    server.state.go_away()

    results = rendered(server, tmp_path, _SEEDS)

    assert all(result.was_done for result in results)
    server.state.come_back()


def test_what_is_new_in_a_sweep_is_rendered_and_what_was_done_is_not(server: StandIn, tmp_path: Path) -> None:
    rendered(server, tmp_path, sweep({"seed": [1, 2]}))

    results = rendered(server, tmp_path, _SEEDS)

    assert [(result.job_id, result.was_done) for result in results] == [
        ("lake-s1", True),
        ("lake-s2", True),
        ("lake-s3", False),
    ]
    assert posted_jobs(server) == ["lake-s1", "lake-s2", "lake-s3"]


# What has changed


def test_a_changed_value_is_told_with_both_values_and_the_old_pictures_are_kept(server: StandIn, tmp_path: Path) -> None:
    rendered(server, tmp_path, small(upscale={"denoise": 0.4}))
    old = picture(tmp_path)

    again = _again(server, tmp_path, small(upscale={"denoise": 0.7}))

    assert again == {"lake": "upscale.denoise 0.4 → 0.7"}
    assert picture(tmp_path) != old
    (kept,) = (tmp_path / "superseded").rglob("upscaled.png")
    assert kept.read_bytes() == old


def test_what_is_expected_is_no_reason_and_is_not_told_as_one(server: StandIn, tmp_path: Path) -> None:
    rendered(server, tmp_path, small(upscale={"denoise": 0.4}, expect={"drift": {"max": 0.3}}))

    assert _again(server, tmp_path, small(upscale={"denoise": 0.4}, expect={"drift": {"max": 0.2}})) == {}
    changed = _again(server, tmp_path, small(upscale={"denoise": 0.7}, expect={"seconds": {"max": 9}}))
    assert changed == {"lake": "upscale.denoise 0.4 → 0.7"}


def test_a_changed_field_beside_the_sweep_changes_every_job_of_it(server: StandIn, tmp_path: Path) -> None:
    rendered(server, tmp_path, _SEEDS)

    again = _again(server, tmp_path, {**_SEEDS, "prompt": "a hill"})

    assert again == dict.fromkeys(["lake-s1", "lake-s2", "lake-s3"], "prompt a lake → a hill")
    assert len(posted(server)) == 6


def test_several_changes_are_all_told_up_to_three(server: StandIn, tmp_path: Path) -> None:
    rendered(server, tmp_path)

    again = _again(server, tmp_path, small(prompt="x" * 100, seed=2, negative_prompt="n", sampler={"steps": 3, "cfg": 2}))

    assert again["lake"].endswith(", 2 more changes")
    assert "x" * 41 not in again["lake"]


def test_a_changed_template_is_named(server: StandIn, tmp_path: Path) -> None:
    text = (
        '{"p": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": COLOUR}},'
        '"s": {"class_type": "SaveImage", "inputs": {"images": ["p", 0], "filename_prefix": "x"}, "_meta": {"role": "p"}}}'
    )
    recipe = written(tmp_path, "mine.yaml", "template: mine\nseed: 1\n")
    written(tmp_path, "templates/mine.json.j2", text.replace("COLOUR", "1"))
    rendered(server, tmp_path / "run", recipe)
    written(tmp_path, "templates/mine.json.j2", text.replace("COLOUR", "2"))

    assert _again(server, tmp_path / "run", recipe) == {"mine": "the template mine has changed"}


def test_two_recipes_that_exchange_their_prompts_exchange_their_pictures(server: StandIn, tmp_path: Path) -> None:
    rendered(server, tmp_path, small(name="a", prompt="x"), small(name="b", prompt="y"))
    before = pixels(tmp_path, "a"), pixels(tmp_path, "b")

    results = rendered(server, tmp_path, small(name="a", prompt="y"), small(name="b", prompt="x"))

    assert states(results) == {"a": "done", "b": "done"}
    assert (pixels(tmp_path, "b"), pixels(tmp_path, "a")) == before


def test_a_job_that_becomes_what_a_changed_one_was_does_not_get_what_that_one_is_now(server: StandIn, tmp_path: Path) -> None:
    rendered(server, tmp_path, small(name="a", prompt="x"), small(name="b", prompt="y"))
    y = pixels(tmp_path, "b")

    results = rendered(server, tmp_path, small(name="a", prompt="y"), small(name="b", prompt="z"))

    assert states(results) == {"a": "done", "b": "done"}
    assert pixels(tmp_path, "a") == y
    assert pixels(tmp_path, "b") != y


# What was removed


def test_a_removed_job_is_kept_and_marked_and_not_rendered_when_it_is_put_back(server: StandIn, tmp_path: Path) -> None:
    rendered(server, tmp_path, _SEEDS)
    rendered(server, tmp_path, sweep({"seed": [1, 2]}))
    removed = _row(tmp_path, "lake-s3")
    assert (removed.state, removed.removed, removed.position) == ("done", True, None)
    assert (tmp_path / "lake-s3/upscaled.png").exists()

    results = rendered(server, tmp_path, _SEEDS)

    assert all(result.was_done for result in results)
    assert (_row(tmp_path, "lake-s3").removed, len(posted(server))) == (False, 3)


def test_jobs_of_a_recipe_that_is_not_given_this_time_are_not_removed(server: StandIn, tmp_path: Path) -> None:
    rendered(server, tmp_path, small(), small(name="hill", seed=2))
    rendered(server, tmp_path)

    assert _row(tmp_path, "hill").removed is False


# What is gone


@pytest.mark.parametrize("role", ["original", "upscaled"])
@pytest.mark.parametrize("touched", [False, True])
def test_only_the_picture_that_is_gone_or_touched_is_made_again(server: StandIn, tmp_path: Path, role: str, touched: bool) -> None:
    rendered(server, tmp_path, _SEEDS)
    path = tmp_path / f"lake-s2/{role}.png"
    before = pixels(tmp_path, "lake-s2", role)
    if touched:
        path.write_bytes(b"mine")
    else:
        path.unlink()

    again = _again(server, tmp_path, _SEEDS)

    assert list(again) == ["lake-s2"]
    assert role in again["lake-s2"]
    assert pixels(tmp_path, "lake-s2", role) == before
    graph = posted(server)[-1]
    saved = {node_id for node_id in graph if node_id.startswith("save_")}
    assert (len(posted(server)), saved) == (4, {f"save_{role}"})
    assert role == "upscaled" or "second_pass" not in graph
    assert not touched or b"mine" in [kept.read_bytes() for kept in (tmp_path / "superseded").rglob("*.png")]
    assert (_row(tmp_path, "lake-s2").state, sidecar_in(tmp_path, "lake-s2")["state"]) == ("done", "done")


def test_a_picture_that_was_only_copied_elsewhere_and_back_is_not_made_again(server: StandIn, tmp_path: Path) -> None:
    rendered(server, tmp_path)
    path = tmp_path / "lake/upscaled.png"
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data)

    (again,) = rendered(server, tmp_path)

    assert again.was_done


def test_a_failed_job_is_made_again_and_told(server: StandIn, tmp_path: Path) -> None:
    server.state.node_faults["first_pass"] = NodeFault.ERROR
    rendered(server, tmp_path)
    server.state.node_faults.clear()

    assert _again(server, tmp_path) == {"lake": "was not finished"}
    assert _row(tmp_path, "lake").state == "done"


def test_a_picture_that_was_never_finished_is_told_so(server: StandIn, tmp_path: Path) -> None:
    server.state.node_faults["second_pass"] = NodeFault.ERROR
    rendered(server, tmp_path)
    server.state.node_faults.clear()

    assert _again(server, tmp_path) == {"lake": "the upscaled picture was not finished"}


# Forced


def test_only_selected_jobs_are_forced(server: StandIn, tmp_path: Path) -> None:
    rendered(server, tmp_path, _SEEDS)

    again = _again(server, tmp_path, _SEEDS, force=True, only=["*s2"])

    assert again == {"lake-s2": "is made again"}
    assert posted_jobs(server)[3:] == ["lake-s2"]


@pytest.mark.parametrize("fault", [NodeFault.ERROR, None])
def test_a_forced_job_that_failed_or_was_cancelled_keeps_its_old_pictures_and_the_next_run_goes_on(
    server: StandIn, tmp_path: Path, fault: NodeFault | None
) -> None:
    rendered(server, tmp_path)
    server.state.memory.cache.clear()
    if fault is not None:
        server.state.node_faults["first_pass"] = fault
        rendered(server, tmp_path, force=True)
        server.state.node_faults.clear()
    else:
        gate = server.state.hold("first_pass")
        with begin(server, tmp_path, force=True) as rendering:
            gate.wait()
            rendering.cancel()
            rendering.results()
        gate.open()

    results = rendered(server, tmp_path)

    assert states(results) == {"lake": "done"}
    assert _row(tmp_path, "lake").state == "done"


# As values


def test_a_folder_without_anything_has_nothing_and_nothing_is_made_again(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    found = _surveyed(folder)
    folder.close()

    assert found == Survey(frozenset(), frozenset(), {}, {})


def test_pictures_whose_ledger_knows_nothing_of_them_are_found(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    (draft,) = plan_of().drafts
    made = fill(folder, "lake", {"original": b"1", "upscaled": b"2"}, content_hash=draft.content_hash)
    found = _surveyed(folder)
    folder.close()

    assert (found.done, found.found) == (frozenset({"lake"}), {"lake": made.files})


def test_a_job_that_was_submitted_is_not_done_whatever_lies_there(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    plan = plan_of()
    fill(folder, "lake", {"original": b"1", "upscaled": b"2"}, content_hash=plan.drafts[0].content_hash)
    folder.ledger.write_plan(plan_rows(plan.drafts, {}, {}), recipes=["lake"])
    folder.ledger.submit("key", server="x", text="", job_ids=["lake"])
    same, other = _surveyed(folder, force=True), _surveyed(folder, small(seed=2))
    folder.close()

    assert (same.done, same.submitted, same.again) == (frozenset(), frozenset({"lake"}), {})
    assert (other.submitted, other.again) == (frozenset(), {"lake": "has changed since it was submitted"})


def test_without_a_server_what_is_to_be_rendered_is_an_error_that_leaves_the_folder_usable(server: StandIn, tmp_path: Path) -> None:
    rendered(server, tmp_path, sweep({"seed": [1]}))
    server.state.go_away()
    with pytest.raises(Unreachable):
        rendered(server, tmp_path, _SEEDS)
    server.state.come_back()

    assert set(states(rendered(server, tmp_path, _SEEDS)).values()) == {"done"}
