from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from comfy_runner import validate
from comfy_runner.errors import ComfyRunnerError, Problem, RecipeError, TemplateError, UsageError, WorkflowError
from comfy_runner.graph.object_info import ObjectInfo
from comfy_runner.graph.sizes import Size
from comfy_runner.planning.capabilities import capabilities_of, check_all
from comfy_runner.planning.job_graph import PlannedJob
from comfy_runner.recipe.sources import RecipeSource
from tests.recipe.support import written
from tests.running.support import draft, plan_of, planned, small
from tests.standin.nodes import object_info
from tests.standin.state import MODELS

_INFO = ObjectInfo(object_info(MODELS), source="server")


def _template(colour: str = "1") -> str:
    """Return a template that needs neither checkpoint nor prompt; its colour tells which one was found."""
    nodes = f"""
      "picture": {{"class_type": "EmptyImage", "inputs": {{"width": 64, "height": 64, "batch_size": 1, "color": {colour}}}}},
      "save": {{
        "class_type": "SaveImage",
        "inputs": {{"images": ["picture", 0], "filename_prefix": "x"}},
        "_meta": {{"role": "picture"}}
      }}"""
    return f"{{{nodes}\n}}\n"


def _planned(recipe: RecipeSource, *templates: Path) -> PlannedJob:
    (found,) = plan_of(recipe, templates=templates).drafts
    return found.planned()


def _colour(found: PlannedJob) -> Any:
    return found.workflow.nodes["picture"].inputs["color"]


def _fit(job: PlannedJob, info: ObjectInfo) -> PlannedJob:
    return capabilities_of((), info).fit(job)


def _problems(call: Callable[[], object], error: type[ComfyRunnerError] = RecipeError) -> list[Problem]:
    with pytest.raises(error) as caught:
        call()
    return list(caught.value.problems)


# Which template


def test_a_template_of_the_given_folders_comes_first_then_one_beside_the_recipe(tmp_path: Path) -> None:
    recipe = written(tmp_path, "recipes/x.yaml", "template: mine\nseed: 1\n")
    given = tmp_path / "given"
    written(tmp_path, "recipes/templates/mine.json.j2", _template("2"))
    assert _colour(_planned(recipe, given)) == 2

    written(given, "mine.json.j2", _template("3"))
    assert _colour(_planned(recipe, given)) == 3
    assert _colour(_planned(recipe, given, tmp_path / "another")) == 3


def test_a_template_beside_the_recipe_hides_the_shipped_one(tmp_path: Path) -> None:
    recipe = written(tmp_path, "x.yaml", "seed: 1\n")
    written(tmp_path, "templates/latent_upscale.json.j2", _template("4"))

    assert _colour(_planned(recipe)) == 4


def test_without_another_the_shipped_template_is_taken(tmp_path: Path) -> None:
    recipe = written(tmp_path, "x.yaml", "seed: 1\ncheckpoint: c\nprompt: p\n")

    assert sorted(_planned(recipe).outputs) == ["original", "upscaled"]


@pytest.mark.parametrize("name", ["./mine.json.j2", "mine.json.j2", "./mine", "sub/../mine.json.j2"])
def test_a_template_can_be_a_path_from_the_recipe_that_names_it(tmp_path: Path, name: str) -> None:
    recipe = written(tmp_path, "x.yaml", f"template: {name}\nseed: 1\n")
    written(tmp_path, "mine.json.j2", _template("5"))
    (tmp_path / "sub").mkdir()

    assert _colour(_planned(recipe)) == 5


def test_the_path_of_a_template_starts_at_the_file_that_gives_it_not_at_the_one_that_extends_it(tmp_path: Path) -> None:
    written(tmp_path, "base/base.yaml", "template: ./mine.json.j2\nseed: 1\n")
    written(tmp_path, "base/mine.json.j2", _template("6"))
    recipe = written(tmp_path, "x.yaml", "extends: base/base.yaml\n")

    assert _colour(_planned(recipe)) == 6


def test_a_template_that_is_nowhere_is_an_error_at_the_line_with_the_nearest_name(tmp_path: Path) -> None:
    recipe = written(tmp_path, "x.yaml", "seed: 1\ntemplate: latent_upscal\n")

    (problem,) = _problems(lambda: _planned(recipe), TemplateError)

    assert problem.where.endswith("x.yaml:2: template")
    assert problem.hint.startswith("did you mean latent_upscale or ")


def test_a_template_path_that_is_nowhere_is_an_error_at_the_line(tmp_path: Path) -> None:
    recipe = written(tmp_path, "x.yaml", "template: ./nowhere/mine.json.j2\nseed: 1\n")

    (problem,) = _problems(lambda: _planned(recipe), TemplateError)

    assert problem.where.endswith("x.yaml:1: template")


# What a template needs


def test_a_template_that_uses_neither_checkpoint_nor_prompt_needs_none(tmp_path: Path) -> None:
    recipe = written(tmp_path, "x.yaml", "template: mine\nseed: 1\nparams: {colour: 7}\n")
    written(tmp_path, "templates/mine.json.j2", _template("{{ params.colour }}"))

    found = _planned(recipe)

    assert _colour(found) == 7
    assert found.outputs == {"picture": "x/picture.png"}
    assert found.sizes == {"picture": Size(64, 64)}


def test_everything_that_the_template_needs_and_the_recipe_lacks_is_named_at_the_recipe(tmp_path: Path) -> None:
    recipe = written(tmp_path, "x.yaml", "seed: 1\nprompt: #1 cat\n")

    problems = _problems(lambda: _planned(recipe))

    assert [(problem.what, problem.hint) for problem in problems] == [
        ("the template latent_upscale needs it", "give `checkpoint:`"),
        ("the template latent_upscale needs it", "give `prompt:` a value; a text that begins with # needs quotes"),
    ]
    assert problems[0].where.endswith("x.yaml: checkpoint")


def test_params_that_are_wrong_are_errors_at_their_lines(tmp_path: Path) -> None:
    header = "{#\nparams:\n  colour: {type: integer, min: 0, max: 10}\n  needed: {type: text}\n#}\n"
    written(tmp_path, "templates/mine.json.j2", header + _template("{{ params.colour }}"))
    recipe = written(tmp_path, "x.yaml", "template: mine\nseed: 1\nparams:\n  colour: 11\n  color: 1\n")

    problems = _problems(lambda: _planned(recipe))

    assert [(problem.where.rsplit("x.yaml", 1)[1], problem.what) for problem in problems] == [
        (":4: params.colour", "must be at most 10 (got 11)"),
        (":5: params.color", "the template has no such parameter"),
        (":3: params.needed", "the template needs this parameter"),
    ]
    assert problems[1].hint == "did you mean colour?"


def test_the_default_of_a_param_is_used_where_the_recipe_gives_none(tmp_path: Path) -> None:
    header = "{#\nparams:\n  colour: {type: integer, default: 9}\n#}\n"
    written(tmp_path, "templates/mine.json.j2", header + _template("{{ params.colour }}"))
    recipe = written(tmp_path, "x.yaml", "template: mine\nseed: 1\n")

    assert _colour(_planned(recipe)) == 9


# Outputs and clashes


def test_jobs_of_the_same_name_clash() -> None:
    (problem,) = _problems(lambda: plan_of(small(name="A Lake"), small(name="a-lake", seed=2)), UsageError)

    assert problem.what == "job a-lake also belongs to recipe: name"
    assert problem.hint == "give the recipes different names"


def test_jobs_that_write_the_same_file_clash_whatever_the_letter_case() -> None:
    recipes = [small(name="a", output={"original": "x.png"}), small(name="b", output={"upscaled": "X.png"})]

    (problem,) = _problems(lambda: plan_of(*recipes), UsageError)

    assert problem.what.startswith("file x.png also belongs to")


def test_jobs_of_different_names_and_files_do_not_clash() -> None:
    assert len(plan_of(small(name="a"), small(name="b")).drafts) == 2


def test_no_job_may_be_called_as_the_folder_of_replaced_pictures() -> None:
    problems = _problems(lambda: planned(name="Superseded"))

    assert "folder of replaced pictures" in problems[0].what


def test_no_picture_may_go_to_the_folder_of_replaced_pictures() -> None:
    problems = _problems(lambda: planned(output={"original": "Superseded/x.png"}))

    assert "superseded/ is for replaced pictures" in problems[0].what
    assert problems[0].where == "recipe: output.original"


@pytest.mark.parametrize("path", ["sheet.png", "Report_Files/x.png"])
def test_no_picture_may_go_where_the_report_goes(path: str) -> None:
    problems = _problems(lambda: planned(output={"original": path}))

    assert problems[0].what == f"is for the run's report (got {path})"
    assert problems[0].where == "recipe: output.original"


def test_two_roles_of_one_job_cannot_be_the_same_file() -> None:
    problems = _problems(lambda: planned(output={"original": "lake/upscaled.png"}))

    assert "upscaled" in problems[0].what


# What the job is


def test_what_a_job_is_does_not_depend_on_its_name_or_its_outputs() -> None:
    other = planned(name="other", output={"original": "elsewhere.png"})

    assert other.content_hash == planned().content_hash


@pytest.mark.parametrize("change", [{"seed": 2}, {"prompt": "a hill"}, {"upscale": {"denoise": 0.6}}, {"sampler": {"steps": 3}}])
def test_what_a_job_is_depends_on_whatever_changes_its_pixels(change: dict[str, Any]) -> None:
    assert planned(**change).content_hash != planned().content_hash


def test_what_a_job_is_does_not_depend_on_what_the_server_calls_its_models() -> None:
    windows = ObjectInfo(object_info({**MODELS, "checkpoints": ["deep\\tiny-random-sd15.safetensors"]}), source="server")

    fitted = _fit(planned(), windows)

    assert fitted.workflow.nodes["checkpoint"].inputs["ckpt_name"] == "deep\\tiny-random-sd15.safetensors"
    assert fitted.content_hash == planned().content_hash


# Notes


def test_the_notes_of_the_recipe_and_of_the_server_are_both_kept() -> None:
    found = _fit(planned(upscale={"denoise": 0.3}, checkpoint="TINY-random-sd15.safetensors"), _INFO)

    assert [note.level for note in found.notes] == [*(note.level for note in planned(upscale={"denoise": 0.3}).notes), "changed"]
    assert "tiny-random-sd15.safetensors" in found.notes[-1].what
    assert found.notes[-1].where == "recipe: checkpoint"


# Where a mistake that only the server can see stands in the recipe


def _places(tmp_path: Path, text: str) -> list[str]:
    recipe = written(tmp_path, "x.yaml", "name: x\ncheckpoint: tiny-random-sd15.safetensors\nprompt: p\nseed: 1\n" + text)
    found = _planned(recipe)
    return [problem.where.rsplit("x.yaml:", 1)[-1] for problem in _problems(lambda: _fit(found, _INFO), WorkflowError)]


def test_what_the_second_pass_inherits_is_wrong_where_the_first_pass_gives_it(tmp_path: Path) -> None:
    assert _places(tmp_path, "sampler:\n  name: euler_b\n") == ["6: sampler.name"]


def test_what_the_second_pass_has_of_its_own_is_wrong_where_it_is_given(tmp_path: Path) -> None:
    assert _places(tmp_path, "upscale:\n  sampler:\n    scheduler: nope\n") == ["7: upscale.sampler.scheduler"]


def test_a_wrong_lora_is_named_at_its_own_line(tmp_path: Path) -> None:
    text = "loras:\n  - detail.safetensors\n  - name: nope.safetensors\n    strength_model: 0.5\n"

    assert _places(tmp_path, text) == ["7: loras[1].name"]


def test_a_size_that_the_server_does_not_take_is_wrong_where_it_comes_from(tmp_path: Path) -> None:
    small = object_info(MODELS)
    small["LatentUpscale"]["input"]["required"]["width"][1]["max"] = 100
    small["EmptyLatentImage"]["input"]["required"]["height"][1]["max"] = 32
    info = ObjectInfo(small, source="server")
    text = "name: x\ncheckpoint: tiny-random-sd15.safetensors\nprompt: p\nseed: 1\nsize:\n  width: 64\n  height: 64\nupscale:\n"
    by_factor = _planned(written(tmp_path, "x.yaml", text + "  factor: 2\n"))
    by_size = _planned(written(tmp_path, "y.yaml", text + "  size: {width: 128, height: 128}\n"))

    problems = _problems(lambda: _fit(by_factor, info), WorkflowError) + _problems(lambda: _fit(by_size, info), WorkflowError)

    assert [problem.where.rsplit(".yaml:", 1)[1] for problem in problems] == [
        "7: size.height",
        "9: upscale.factor",
        "7: size.height",
        "9: upscale.size.width",
    ]


@pytest.mark.parametrize(
    ("seed", "field"), [({}, "recipe: seed"), ({"seed": "next"}, "recipe: seed"), ({"seed": 5}, "recipe: upscale.seed")]
)
def test_an_inherited_seed_is_located_at_the_first_pass(seed: dict[str, Any], field: str) -> None:
    assert planned(upscale=seed).locate("second_pass", "seed") == field


def test_an_input_that_no_recipe_gives_has_no_place() -> None:
    assert planned().locate("first_pass", "denoise") == ""


def test_the_mistakes_of_all_jobs_are_told_at_once_and_each_once() -> None:
    jobs = [draft(name="a", checkpoint="x"), draft(name="b", checkpoint="x"), draft(name="c", checkpoint="y")]

    problems = _problems(lambda: check_all(jobs, _INFO), WorkflowError)

    assert [problem.what.split(" ", 1)[0] for problem in problems] == ['"x"', '"y"']


def test_rendering_is_the_same_for_a_mapping_and_a_file(tmp_path: Path) -> None:
    recipe = {"name": "x", "checkpoint": "c", "prompt": "p", "seed": 3}
    file = written(tmp_path, "x.yaml", json.dumps(recipe))

    assert _planned(file).workflow == _planned(recipe).workflow


# Held against what a server says of its nodes


_NODE: dict[str, Any] = {"input": {"required": {"value": ["*", {}]}}, "output": [], "output_node": True, "python_module": "nodes"}


def test_an_input_may_be_a_json_object_or_a_list(tmp_path: Path) -> None:
    graph = '{"save": {"class_type": "Show", "inputs": {"value": {{ params.value }}}, "_meta": {"role": "original"}}}'
    (tmp_path / "object.json.j2").write_text(graph, encoding="utf-8")
    (tmp_path / "object_info.json").write_text(json.dumps({"Show": _NODE}), encoding="utf-8")
    sweep = {"params.value": [{"a": 1}, {"a": 2}, {"__value__": [1, 2]}]}

    validate(
        [{"name": "lake", "template": "object", "sweep": sweep}],
        templates=[tmp_path],
        object_info=tmp_path / "object_info.json",
    )
