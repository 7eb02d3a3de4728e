"""The jobs of sweeps: their ids, files and sidecars, which of them are rendered, and what is wrong with them, all at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from comfy_runner import api
from comfy_runner.config import Config
from comfy_runner.errors import InputError, RecipeError, UsageError
from tests.recipe.support import written
from tests.running.support import draft, plan_of, planned, posted_jobs, rendered, sidecar_in, small, states, sweep
from tests.standin import NodeFault, StandIn

_GRID = sweep({"upscale.denoise": [0.4, 0.9], "seed": {"start": 1, "count": 2}})
_IDS = ["lake-d040-s1", "lake-d040-s2", "lake-d090-s1", "lake-d090-s2"]


# Sweeps, rendered


def test_every_point_of_a_sweep_is_a_job_with_files_and_a_sidecar_of_its_own(server: StandIn, tmp_path: Path) -> None:
    results = rendered(server, tmp_path, _GRID)

    assert states(results) == dict.fromkeys(_IDS, "done")
    for result in results:
        assert result.files["upscaled"] == (tmp_path / result.job_id / "upscaled.png",)
    assert [sidecar_in(tmp_path, job_id)["assignments"] for job_id in _IDS] == [
        {"upscale.denoise": denoise, "seed": seed} for denoise in (0.4, 0.9) for seed in (1, 2)
    ]
    assert len({(tmp_path / job_id / "upscaled.png").read_bytes() for job_id in _IDS}) == 4


def test_a_sidecars_recipe_run_alone_is_the_same_job(server: StandIn, tmp_path: Path) -> None:
    rendered(server, tmp_path / "all", _GRID)

    for job_id in _IDS:
        (alone,) = rendered(server, tmp_path / "alone" / job_id, tmp_path / "all" / job_id / "job.json")
        assert alone.job_id == job_id
        assert (
            sidecar_in(alone.files["upscaled"][0].parent.parent, job_id)["content_hash"]
            == (sidecar_in(tmp_path / "all", job_id)["content_hash"])
        )


def test_a_sweep_of_the_caller_is_one_more_axis(server: StandIn, tmp_path: Path) -> None:
    results = rendered(server, tmp_path, sweeps=["upscale.denoise=0.4,0.9", "seed=1,2"])

    assert states(results) == dict.fromkeys(_IDS, "done")


@pytest.mark.parametrize(
    ("only", "skip", "expected"),
    [
        (["*d040*"], [], _IDS[:2]),
        ([], ["*s1"], [_IDS[1], _IDS[3]]),
        (["*s1", "*d090*"], ["*d090-s1"], [_IDS[0], _IDS[3]]),
        (["lake-d090-s2"], [], [_IDS[3]]),
    ],
)
def test_only_the_selected_jobs_are_rendered_and_told_of(
    server: StandIn, tmp_path: Path, only: list[str], skip: list[str], expected: list[str]
) -> None:
    results = rendered(server, tmp_path, _GRID, only=only, skip=skip)

    assert states(results) == dict.fromkeys(expected, "done")
    assert sorted(posted_jobs(server)) == sorted(expected)


def test_a_pattern_that_fits_no_job_is_a_mistake(server: StandIn, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        rendered(server, tmp_path / "run", _GRID, only=["nope*"])
    assert not (tmp_path / "run").exists()


def test_after_a_failure_nothing_more_is_begun_where_that_is_wanted(server: StandIn, tmp_path: Path) -> None:
    server.state.failing_sampler = 1
    recipe = sweep({"seed": [1, 2, 3, 4]}, retry={"out_of_memory": 0})

    results = rendered(server, tmp_path, recipe, fail_fast=True, in_flight=1)

    assert list(states(results).values()) == ["failed", "pending", "pending", "pending"]
    assert len(posted_jobs(server)) == 1


def test_after_a_failure_the_rest_is_rendered_otherwise(server: StandIn, tmp_path: Path) -> None:
    server.state.node_faults["second_pass"] = NodeFault.ERROR

    results = rendered(server, tmp_path, sweep({"seed": [1, 2, 3]}))

    assert set(states(results).values()) == {"partial"}
    assert len(posted_jobs(server)) == 3


def test_several_recipes_and_a_pattern_of_files_make_one_run(server: StandIn, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 2)):
        written(tmp_path, f"recipes/{name}.yaml", json.dumps(small(name=name, seed=seed)))
    written(tmp_path, "c.yaml", json.dumps(sweep({"seed": [3, 4]}, name="c")))

    results = rendered(server, tmp_path / "run", str(tmp_path / "recipes/*.yaml"), str(tmp_path / "c.yaml"))

    assert states(results) == dict.fromkeys(["a", "b", "c-s3", "c-s4"], "done")


def test_several_recipes_have_no_run_folder_of_their_own(server: StandIn, tmp_path: Path) -> None:
    for name in "ab":
        written(tmp_path, f"{name}.yaml", json.dumps(small(name=name)))

    with pytest.raises(UsageError, match="share one run folder"):
        api.run([str(tmp_path / "*.yaml")], server=server.url, config=Config())


# As values


def test_a_draft_is_what_is_planned_of_it() -> None:
    for found in plan_of(_GRID).drafts:
        job = found.planned()
        assert (job.job_id, job.content_hash) == (found.job_id, found.content_hash)
        assert job.workflow == found.filled.workflow
        assert found.recipe_name == "lake"


def test_a_point_of_a_sweep_is_the_same_job_as_a_recipe_with_these_values() -> None:
    by_id = {found.job_id: found for found in plan_of(_GRID).drafts}

    alone = draft(upscale={"denoise": 0.9}, seed=2)

    assert by_id["lake-d090-s2"].content_hash == alone.content_hash


def _pixels(**changes: Any) -> str:
    return draft(sampler={"steps": 10}, **changes).pixel_hash


def test_jobs_of_the_same_pixels_are_known_by_their_hash_and_are_different_jobs() -> None:
    found = [draft(sampler={"steps": 10}, upscale={"denoise": value}) for value in (0.48, 0.49, 0.5)]

    assert len({one.pixel_hash for one in found}) == 1
    assert len({one.content_hash for one in found}) == 3
    assert _pixels(upscale={"denoise": 0.53}) != found[0].pixel_hash


def test_area_is_nearest_exact_at_a_whole_factor_and_not_at_another() -> None:
    assert _pixels(upscale={"method": "area"}) == _pixels(upscale={"method": "nearest-exact"})
    assert _pixels(upscale={"method": "area", "factor": 1.5}) != _pixels(upscale={"method": "nearest-exact", "factor": 1.5})


def test_whether_pictures_are_decoded_in_tiles_depends_on_their_size_alone() -> None:
    nodes = planned(size={"width": 4096, "height": 4096}).workflow.nodes

    assert nodes["decode_upscaled"].class_type == "VAEDecodeTiled"
    assert planned().workflow.nodes["decode_upscaled"].class_type == "VAEDecode"
    assert planned(vae_decode="tiled").workflow.nodes["decode_upscaled"].class_type == "VAEDecodeTiled"


def test_the_mistakes_of_all_jobs_are_told_at_once_and_each_once() -> None:
    recipes = [small(name=name, template="nope") for name in "ab"] + [sweep({"seed": [1, 2]}, name="Superseded")]

    with pytest.raises(InputError) as caught:
        plan_of(*recipes)

    assert len(caught.value.problems) >= 1
    assert len(set(caught.value.problems)) == len(caught.value.problems)


def test_what_is_wrong_with_many_jobs_is_told_once_with_the_first_of_them() -> None:
    factors = {"upscale.factor": [1, 7, 8], "size.width": [64, 16384], "seed": {"start": 1, "count": 100}}

    with pytest.raises(RecipeError) as caught:
        plan_of(sweep(factors, size={"width": 64, "height": 64}))

    assert [str(problem) for problem in caught.value.problems] == [
        f"recipe: sweep.upscale.factor: makes {size}, and sides must be from 16 to 16384 pixels "
        f"in job lake-w16384-x{factor}-s1 and others"
        for factor, size in ((7, "114688x448"), (8, "131072x512"))
    ]


def test_jobs_of_one_sweep_that_write_the_same_file_clash_with_the_way_out() -> None:
    recipe = sweep({"seed": [1, 2]}, output={"original": "x.png"})

    with pytest.raises(UsageError) as caught:
        plan_of(recipe)

    (problem,) = caught.value.problems
    assert problem.what == "file x.png belongs to both lake-s1 and lake-s2"
    assert problem.hint == "put {job_id} or {index} into the pattern"


def test_a_batch_takes_its_further_files_from_nobody() -> None:
    recipe = sweep({"seed": [1, 2]}, output={"original": "x/{seed}.png", "upscaled": "y/{seed}.png"})
    other = small(name="sea", seed=9, output={"upscaled": "y/1-3.png"})

    assert len(plan_of({**recipe, "batch_size": 2}, other).drafts) == 3
    with pytest.raises(UsageError, match=r"file y/1-3\.png also belongs to") as caught:
        plan_of({**recipe, "batch_size": 3}, other)
    assert caught.value.problems[0].hint == "give the recipes different names"
    with pytest.raises(RecipeError, match=r"original and upscaled would overwrite each other \(got 1-2\.png\)"):
        plan_of(small(output={"original": "{seed}.png", "upscaled": "{seed}-2.png"}, sweep={"batch_size": [1, 2]}))


def test_a_batch_takes_as_much_room_as_its_pictures() -> None:
    one, four = plan_of(sweep({"batch_size": [1, 4]})).drafts

    assert (one.job_id, four.job_id) == ("lake-b1", "lake-b4")
    assert four.space_needed == 4 * one.space_needed


def test_a_template_that_makes_one_picture_takes_no_batch() -> None:
    recipe = small(template="img2img_upscale", params={"image": "x.png"}, batch_size=4)

    with pytest.raises(RecipeError) as caught:
        plan_of(recipe)

    (problem,) = caught.value.problems
    assert str(problem) == "recipe: batch_size: the template img2img_upscale makes one picture of each output (got 4)"
    assert problem.hint == "sweep the seed: --sweep seed=1,2,3,4"


def test_notes_are_told_once_for_a_whole_sweep() -> None:
    notes = plan_of(sweep({"seed": [1, 2, 3]}, upscale={"denoise": 0.3})).notes

    assert notes
    assert len(set(notes)) == len(notes)


def test_a_text_that_looks_like_a_comment_is_kept(tmp_path: Path) -> None:
    text = """{"a": {"class_type": "CLIPTextEncode", "inputs": {"text": "a {# big #} cat"}},
    "s": {"class_type": "SaveImage", "inputs": {"filename_prefix": "x"}, "_meta": {"role": "original"}}}"""
    recipe = {"template": str(written(tmp_path, "exported.json.j2", text)), "seed": 1}

    plan = plan_of(recipe)

    assert [note.where for note in plan.notes] == ["recipe: seed"]
    assert plan.drafts[0].planned().workflow.nodes["a"].inputs["text"] == "a {# big #} cat"
