"""What a template makes of a recipe, from its header to the plan."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from comfy_runner.errors import RecipeError, TemplateError
from comfy_runner.planning.draft import Plan
from comfy_runner.planning.drafting import draft_all
from comfy_runner.recipe.load import load
from comfy_runner.recipe.sweep.expand import expand

SAVE = '{"save": {"class_type": "SaveImage", "inputs": {"x": {{ %s }}, "filename_prefix": "x"}}}'
RECIPE = "prompt: a\nseed: 1\ncheckpoint: c\n"


def drafted(recipe: str, *, sets: Sequence[str] = (), folder: Path | None = None, text: str = RECIPE) -> Plan:
    """Return the plan of a recipe's text with a template."""
    path = (folder or Path()) / "recipe.yaml"
    path.write_text(f"template: {recipe}\n{text}", encoding="utf-8")
    return draft_all(expand(load(path, sets=sets)), templates=[], seed_of=lambda _: 1)


def notes(plan: Plan) -> list[tuple[str, str]]:
    return [(note.where.rpartition(": ")[2], note.what) for note in plan.notes]


def mine(folder: Path, header: str, body: str = SAVE % "seed") -> str:
    """Write a template and return its path for a recipe."""
    (folder / "mine.json.j2").write_text(f"{{#\n{header}\n#}}\n{body}", encoding="utf-8")
    return "./mine.json.j2"


def test_each_template_of_a_sweep_has_its_own_defaults(tmp_path: Path) -> None:
    text = "prompt: a\nseed: 1\ncheckpoint: c\nparams: {upscale_model: u}\n"
    plan = drafted(
        "latent_upscale", folder=tmp_path, text=text + "sweep: {template: [latent_upscale, pixel_upscale, model_upscale]}\n"
    )
    graphs = [draft.planned().workflow for draft in plan.drafts]
    assert [graph.nodes["second_pass"].inputs["denoise"] for graph in graphs] == [0.55, 0.45, 0.3]
    assert [draft.planned().job.values["upscale"]["method"] for draft in plan.drafts] == ["nearest-exact", "lanczos", "lanczos"]
    assert plan.notes == ()


def test_a_parameter_of_one_template_is_nothing_to_the_others_of_a_sweep(tmp_path: Path) -> None:
    text = RECIPE + "params: {upscale_modle: u}\nsweep: {template: [latent_upscale, model_upscale]}\n"
    with pytest.raises(RecipeError) as caught:
        drafted("latent_upscale", folder=tmp_path, text=text)
    assert {(problem.what, problem.hint) for problem in caught.value.problems} == {
        ("the template has no such parameter in job recipe-latent-upscale", "it has no parameters at all"),
        ("the template has no such parameter in job recipe-model-upscale", "did you mean upscale_model?"),
        ("the template needs this parameter in job recipe-model-upscale", "File of the upscale model, as the server lists it."),
    }


@pytest.mark.parametrize(
    ("template", "given", "field"),
    [
        ("flux", "negative_prompt=ugly", "negative_prompt"),
        ("flux", "clip_skip=2", "clip_skip"),
        ("plain_image_upscale", "upscale.denoise=0.5", "upscale.denoise"),
        ("./mine.json.j2", "size.preset=sdxl-square", "size"),
    ],
)
def test_a_field_that_a_template_does_nothing_with_is_a_warning(template: str, given: str, field: str, tmp_path: Path) -> None:
    mine(tmp_path, "description: x")
    name = template.removeprefix("./").removesuffix(".json.j2")
    assert (f"--set {field}", f"the template {name} does not use it") in [
        (note.where, note.what) for note in drafted(template, sets=[given], folder=tmp_path).notes
    ]


@pytest.mark.parametrize("given", ["negative_prompt=", "upscale.sampler.steps=5", "clip_skip=null"])
def test_what_is_as_it_is_by_default_or_used_is_no_warning(given: str, tmp_path: Path) -> None:
    assert drafted("flux", sets=[given], folder=tmp_path).notes == ()


def test_nobody_is_warned_where_another_file_sees_all_values(tmp_path: Path) -> None:
    (tmp_path / "all.j2").write_text("{{ seed }}", encoding="utf-8")
    template = mine(tmp_path, "description: x", SAVE.replace("{{ %s }}", '{% include "all.j2" %}'))
    assert drafted(template, folder=tmp_path, sets=["vae=v"]).notes == ()
    assert (
        notes(drafted(mine(tmp_path, "description: x"), folder=tmp_path, sets=["vae=v"]))[-1][1]
        == "the template mine does not use it"
    )


def test_what_is_unusual_with_a_template_is_a_warning(tmp_path: Path) -> None:
    found = drafted("model_upscale", sets=["params.upscale_model=u", "upscale.denoise=0.6"], folder=tmp_path).notes
    assert [note.what for note in found] == ["above 0.5 the edges that the upscale model has drawn are painted over (got 0.6)"]


def test_a_factor_is_judged_by_the_template_that_knows_better(tmp_path: Path) -> None:
    assert [note.what for note in drafted("pixel_upscale", sets=["upscale.factor=3"], folder=tmp_path).notes] == [
        "more than 2 times at once tends to double subjects and needs a lot of memory (got 3)"
    ]
    assert drafted("iterative_upscale", sets=["upscale.factor=3"], folder=tmp_path).notes == ()


@pytest.mark.parametrize(
    ("field", "where", "what"),
    [
        ("upscale.denoise: {default: 2}", ":3: fields.upscale.denoise", "must be at most 1 (got 2)"),
        ("denoise: {default: 0.5}", ":3: fields.denoise", "cannot be set by a template"),
        ("output: {default: x}", ":3: fields.output", "cannot be set by a template"),
    ],
)
def test_a_default_that_cannot_be_is_an_error_in_the_template(field: str, where: str, what: str, tmp_path: Path) -> None:
    with pytest.raises(TemplateError) as caught:
        drafted(mine(tmp_path, f"fields:\n  {field}"), folder=tmp_path)
    (problem,) = caught.value.problems
    assert problem.what == what
    assert problem.where.endswith(f"mine.json.j2{where}")


def test_a_field_cannot_be_declared_within_one_that_has_a_default(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match=r"fields.upscale.denoise: is a part of upscale, which also has a default"):
        drafted(mine(tmp_path, "fields:\n  upscale.denoise: {default: 0.5}\n  upscale: {default: 5}"), folder=tmp_path)
