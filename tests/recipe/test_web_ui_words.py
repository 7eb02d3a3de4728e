"""Samplers and schedulers by the web UIs' names in recipes, overrides and sweeps: ComfyUI's names are what everything else sees."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from comfy_runner import api
from comfy_runner.errors import Note, Problem, UsageError
from comfy_runner.recipe.load import LoadedRecipe, from_mapping, load
from comfy_runner.recipe.sweep.expand import expand
from tests.recipe.support import fault, written

BASE = {"name": "x", "checkpoint": "c", "prompt": "p", "seed": 1}
KARRAS = '"DPM++ 2M Karras" is dpmpp_2m with karras in ComfyUI'


def loaded(values: dict[str, Any], **options: Any) -> LoadedRecipe:
    return from_mapping({**BASE, **values}, **options)


def points(recipe: LoadedRecipe, *, first: bool = True) -> list[tuple[str, Any, Any]]:
    """Return each job's id, sampler and scheduler, of its first or its second pass."""
    found = [(variant.job_id, variant.recipe()) for variant in expand(recipe)]
    samplers = [(job_id, recipe.sampler if first else recipe.upscale.sampler) for job_id, recipe in found]
    return [(job_id, sampler.name, sampler.scheduler) for job_id, sampler in samplers]


def test_a_sampler_is_comfyuis_and_that_is_said_at_its_line(tmp_path: Path) -> None:
    path = written(tmp_path, "x.yaml", "seed: 1\nsampler:\n  name: DPM++ 2M Karras\nupscale:\n  sampler: {name: Euler a}\n")

    recipe = load(path)

    assert (recipe.recipe.sampler.name, recipe.recipe.sampler.scheduler) == ("dpmpp_2m", "karras")
    assert (recipe.recipe.upscale.sampler.name, recipe.recipe.upscale.sampler.scheduler) == ("euler_ancestral", None)
    assert [(note.where.rpartition("/")[2], note.what, note.level) for note in recipe.notes] == [
        ("x.yaml:3: sampler.name", KARRAS, "changed"),
        ("x.yaml:5: upscale.sampler.name", '"Euler a" is euler_ancestral in ComfyUI', "changed"),
    ]


def test_a_scheduler_is_comfyuis() -> None:
    recipe = loaded({"sampler": {"scheduler": "SGM Uniform"}})
    assert recipe.recipe.sampler.scheduler == "sgm_uniform"
    assert recipe.notes == (Note('"SGM Uniform" is sgm_uniform in ComfyUI', "recipe: sampler.scheduler", "changed"),)


@pytest.mark.parametrize(
    "sampler",
    [{"name": "euler", "scheduler": "karras"}, {"name": "ddim", "scheduler": "normal"}, {"name": "res_2m", "scheduler": "My One"}],
)
def test_other_names_are_left_as_they_are(sampler: dict[str, str]) -> None:
    recipe = loaded({"sampler": sampler})
    assert {"name": recipe.recipe.sampler.name, "scheduler": recipe.recipe.sampler.scheduler} == sampler
    assert recipe.notes == ()


def test_the_schedule_of_a_name_beside_the_same_scheduler_is_no_contradiction() -> None:
    recipe = loaded({"sampler": {"name": "DPM++ 2M Karras", "scheduler": "karras"}})
    assert [note.what for note in recipe.notes] == [KARRAS]


def test_the_schedule_of_a_name_beside_another_scheduler_is_an_error() -> None:
    assert fault(lambda: loaded({"sampler": {"name": "DPM++ 2M Karras", "scheduler": "exponential"}})) == Problem(
        '"DPM++ 2M Karras" has the scheduler karras (got "exponential")',
        "recipe: sampler.scheduler",
        "write name: dpmpp_2m beside it, or remove it",
    )


def test_ddim_has_its_own_spacing_unless_another_is_given() -> None:
    assert loaded({"sampler": {"name": "DDIM"}}).recipe.sampler.scheduler == "ddim_uniform"
    recipe = loaded({"sampler": {"name": "DDIM", "scheduler": "normal"}})
    assert recipe.recipe.sampler.scheduler == "normal"
    assert [note.what for note in recipe.notes] == ['"DDIM" is ddim in ComfyUI']


@pytest.mark.parametrize(
    ("sampler", "field", "nearest"),
    [
        ({"name": "PLMS"}, "sampler.name", "ddim"),
        ({"name": "Restart"}, "sampler.name", "dpmpp_2m"),
        ({"scheduler": "Align Your Steps"}, "sampler.scheduler", "karras"),
    ],
)
def test_what_comfyui_does_not_have_is_refused_with_the_nearest(sampler: dict[str, str], field: str, nearest: str) -> None:
    problem = fault(lambda: loaded({"sampler": sampler}))
    assert problem.where == f"recipe: {field}"
    assert f"the nearest is {nearest}" in problem.hint


def test_a_name_with_a_schedule_replaces_the_scheduler_of_the_recipe_below(tmp_path: Path) -> None:
    written(tmp_path, "base.yaml", "seed: 1\nsampler: {name: Euler a, scheduler: normal}\n")
    path = written(tmp_path, "x.yaml", "extends: ./base.yaml\nsampler: {name: DPM++ 2M Karras}\n")

    assert load(path).recipe.sampler.scheduler == "karras"
    assert [note.what for note in load(path).notes] == [KARRAS]


def test_a_scheduler_of_a_later_layer_replaces_that_of_a_name() -> None:
    recipe = loaded({"sampler": {"name": "DPM++ 2M Karras"}}, sets=["sampler.scheduler=normal"])
    assert (recipe.recipe.sampler.name, recipe.recipe.sampler.scheduler) == ("dpmpp_2m", "normal")
    assert [note.what for note in recipe.notes] == ['"DPM++ 2M Karras" is dpmpp_2m in ComfyUI']


@pytest.mark.parametrize("swap", [False, True])
def test_the_command_line_counts_as_one(swap: bool) -> None:
    def sets(scheduler: str) -> list[str]:
        both = ["sampler.name=DPM++ 2M Karras", f"sampler.scheduler={scheduler}"]
        return both[::-1] if swap else both

    assert loaded({}, sets=sets("Karras")).recipe.sampler.scheduler == "karras"
    problem = fault(lambda: loaded({}, sets=sets("normal")))
    assert problem.where == "--set sampler.scheduler"
    assert "has the scheduler karras" in problem.what


def test_a_sweep_over_names_moves_their_schedulers_along() -> None:
    sweep = {"sampler.name": ["Euler a", "DPM++ 2M Karras", "euler"]}
    recipe = loaded({"sampler": {"scheduler": "normal"}, "sweep": sweep})

    assert points(recipe) == [
        ("x-euler-ancestral", "euler_ancestral", "normal"),
        ("x-dpmpp-2m-karras", "dpmpp_2m", "karras"),
        ("x-euler", "euler", "normal"),
    ]
    assert [str(note) for note in recipe.notes] == [
        'recipe: sweep.sampler.name[0]: "Euler a" is euler_ancestral in ComfyUI',
        f"recipe: sweep.sampler.name[1]: {KARRAS}",
    ]


def test_the_jobs_of_a_sweep_are_drafted_and_known_by_comfyuis_names() -> None:
    recipe = {
        **BASE,
        "sweep": {"sampler.name": ["Euler a", "DPM++ 2M SDE Exponential"], "upscale.sampler.name": ["DPM++ 2M Karras"]},
    }
    graph = api.render(recipe, only=["*-exponential-*"])

    assert [graph.nodes[each].inputs["sampler_name"] for each in ("first_pass", "second_pass")] == ["dpmpp_2m_sde", "dpmpp_2m"]
    assert [graph.nodes[each].inputs["scheduler"] for each in ("first_pass", "second_pass")] == ["exponential", "karras"]


def test_axes_of_the_command_line_are_translated_too() -> None:
    recipe = loaded({}, sweeps=["upscale.sampler.name=Euler a,DPM++ 2M Karras"])
    assert points(recipe, first=False) == [
        ("x-u-euler-ancestral", "euler_ancestral", None),
        ("x-u-dpmpp-2m-u-karras", "dpmpp_2m", "karras"),
    ]


def test_schedulers_and_whole_samplers_of_a_sweep_are_translated() -> None:
    assert [each[2] for each in points(loaded({"sweep": {"sampler.scheduler": ["Karras", "SGM Uniform"]}}))] == [
        "karras",
        "sgm_uniform",
    ]
    whole = {"sweep": {"sampler": [{"name": "DPM++ 2M Karras"}, {"name": "Euler a", "scheduler": "Simple"}]}}
    assert [each[1:] for each in points(loaded(whole))] == [("dpmpp_2m", "karras"), ("euler_ancestral", "simple")]


def test_names_are_left_out_and_added_by_both_fields() -> None:
    sweep = {
        "sampler.name": ["Euler a", "DPM++ 2M Karras", "DPM++ 2M Exponential"],
        "seed": [1, 2],
        "exclude": [{"sampler.name": ["Euler a", "DPM++ 2M Karras"], "seed": 2}],
        "include": [{"sampler.name": "DPM++ SDE Karras", "seed": 9}],
    }
    assert [job_id for job_id, _, _ in points(loaded({"sweep": sweep}))] == [
        "x-euler-ancestral-s1",
        "x-dpmpp-2m-karras-s1",
        "x-dpmpp-2m-exponential-s1",
        "x-dpmpp-2m-exponential-s2",
        "x-dpmpp-sde-karras-s9",
    ]


def test_fields_that_move_together_must_not_contradict_each_other() -> None:
    zipped = {"sampler.name": ["Euler a", "DPM++ 2M Karras"], "sampler.scheduler": ["normal", "Karras"]}
    assert [each[2] for each in points(loaded({"sweep": {"zip": [zipped]}}))] == ["normal", "karras"]
    zipped["sampler.scheduler"] = ["normal", "normal"]
    problem = fault(lambda: loaded({"sweep": {"zip": [zipped]}}))
    assert problem.where == "recipe: sweep.zip[0].sampler.name[1]"
    assert "has the scheduler karras" in problem.what


def test_a_scheduler_cannot_be_swept_beside_names_that_say_it() -> None:
    sweep = {"sampler.scheduler": ["karras", "normal"], "sampler.name": ["Euler a", "DPM++ 2M Karras"]}
    assert fault(lambda: loaded({"sweep": sweep})) == Problem(
        '"DPM++ 2M Karras" includes a scheduler, which is also swept (recipe: sweep.sampler.scheduler)',
        "recipe: sweep.sampler.name",
        'write dpmpp_2m for "DPM++ 2M Karras"',
    )
    assert "is swept twice" in fault(lambda: loaded({"sweep": dict(reversed(sweep.items()))})).what


def test_a_set_scheduler_takes_the_place_of_those_of_a_recipes_sweep_but_not_of_the_command_lines() -> None:
    names = ["Euler a", "DPM++ 2M Karras"]
    recipe = loaded({"sweep": {"sampler.name": names}}, sets=["sampler.scheduler=normal"])
    assert [each[1:] for each in points(recipe)] == [("euler_ancestral", "normal"), ("dpmpp_2m", "normal")]
    assert "replaces the sweep over sampler.scheduler" in [note.what for note in recipe.notes]
    assert (
        "gives one, too"
        in fault(
            lambda: loaded({}, sets=["sampler.scheduler=normal"], sweeps=[f"sampler.name={','.join(names)}"]), error=UsageError
        ).what
    )


def test_what_comfyui_does_not_have_is_refused_in_a_sweep() -> None:
    problem = fault(lambda: loaded({"sweep": {"sampler.name": ["euler", "PLMS"]}}))
    assert (problem.where, problem.what) == ("recipe: sweep.sampler.name[1]", 'ComfyUI has no such sampler (got "PLMS")')
