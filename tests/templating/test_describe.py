"""What there is to know of a template before it is used: from its header, the recipe's schema, and an example of its graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from comfy_runner.errors import Problem, TemplateError
from comfy_runner.recipe.field_docs import Param, UsualRange, deciding_fields, field_docs
from comfy_runner.recipe.schema import Recipe
from comfy_runner.shipped import shipped
from comfy_runner.templating.describe import Description, describe, first_sentence, list_templates, missing, stand_in
from comfy_runner.templating.lookup import find_template, template_names
from tests.graph.support import recorded, with_options

_SHIPPED = [shipped("templates")]
_SAVE = '"save": {"class_type": "SaveImage", "inputs": {"images": ["x", 0], "filename_prefix": "x"}, "_meta": {"role": "original"}}'


def _of(name: str) -> Description:
    return describe(find_template(name, _SHIPPED), _SHIPPED)


def _made(folder: Path, header: str, inputs: str = "", class_type: str = "Xyzzy9000") -> Description:
    text = f'{{#\n{header}\n#}}\n{{"x": {{"class_type": "{class_type}", "inputs": {{{inputs}}}}}, {_SAVE}}}'
    (folder / "mine.json.j2").write_text(text, encoding="utf-8")
    return describe(find_template("mine", [folder]), [folder])


def _setting(settings: tuple[Param, ...], name: str) -> Param:
    return next(setting for setting in settings if setting.name == name)


@pytest.mark.parametrize("name", template_names(_SHIPPED))
def test_every_shipped_template_has_a_description_an_example_outputs_and_models(name: str) -> None:
    found = _of(name)

    assert found.is_shipped
    assert found.failure == ""
    assert found.template.header.description
    assert found.outputs[0].class_type == "SaveImage"
    assert all(output.description for output in found.outputs)
    assert all(model.kind and model.field for model in found.models)
    assert all(setting.description for setting in (*found.params, *found.fields))


def test_a_field_has_the_templates_default_its_sentence_and_what_is_usual() -> None:
    found = _of("controlnet_tile").fields
    denoise, method = _setting(found, "upscale.denoise"), _setting(found, "upscale.method")

    assert (denoise.type, denoise.default, denoise.minimum, denoise.maximum, denoise.excludes_minimum) == (
        "number",
        0.75,
        0,
        1,
        True,
    )
    assert denoise.usual == UsualRange(0.4, 0.85, "less is painted than the ControlNet would hold together")
    assert denoise.description == field_docs()["upscale.denoise"].description
    assert (method.default, method.usual) == ("lanczos", None)
    assert method.description.startswith("How pixels are enlarged")


def test_a_field_that_the_template_needs_is_required_unless_it_has_a_default_there() -> None:
    needed, given = (_setting(_of(name).fields, "checkpoint") for name in ("latent_upscale", "flux"))

    assert (needed.required, needed.default) == (True, None)
    assert (given.required, given.default) == (False, "flux1-dev.safetensors")


def test_only_fields_that_a_template_uses_are_there(tmp_path: Path) -> None:
    found = _made(tmp_path, "params: {}", '"steps": {{ upscale.sampler.steps }}, "width": {{ upscale.width }}')

    assert [setting.name for setting in found.fields] == [
        "size",
        "sampler.steps",
        "upscale.factor",
        "upscale.size",
        "upscale.steps_mode",
        "upscale.sampler.steps",
    ]


def test_what_is_used_as_a_whole_means_all_its_fields() -> None:
    assert deciding_fields("sampler") == {"sampler.name", "sampler.scheduler", "sampler.steps", "sampler.cfg"}
    assert {name for name in field_docs() if name.startswith(("upscale.", "sampler.", "size", "seed"))} == deciding_fields(
        "upscale"
    )
    assert deciding_fields("loras.0.name") == {"loras"}
    assert deciding_fields("job_id") == deciding_fields("params.x") == frozenset()


def test_every_field_that_is_told_of_is_one_of_recipes() -> None:
    for name in field_docs():
        here: Any = Recipe()
        for step in name.split("."):
            here = getattr(here, step)


def test_a_parameter_is_as_it_is_declared() -> None:
    strength, net = (_setting(_of("controlnet_tile").params, f"params.{name}") for name in ("strength", "control_net"))

    assert (strength.type, strength.default, strength.minimum, strength.maximum) == ("number", 1.0, 0, 10)
    assert (net.type, net.required) == ("text", True)


def test_the_example_names_models_with_their_kinds_and_fields() -> None:
    models = [(model.kind, model.file, model.field) for model in _of("flux").models]

    assert models == [
        ("diffusion_models", "flux1-dev.safetensors", "checkpoint"),
        ("text_encoders", "t5xxl_fp16.safetensors", "params.clip_1"),
        ("text_encoders", "clip_l.safetensors", "params.clip_2"),
        ("vae", "ae.safetensors", "vae"),
    ]


def test_a_model_of_an_unknown_loader_is_known_by_its_suffix(tmp_path: Path) -> None:
    found = _made(tmp_path, "description: x", '"model_name": "bbox/face.pt", "mode": "fast"')

    assert [(model.kind, model.file, model.field) for model in found.models] == [("", "bbox/face.pt", "")]


def test_outputs_are_those_of_the_example_then_those_that_the_header_tells_of() -> None:
    found = {output.role: output.class_type for output in _of("compare").outputs}

    assert found["latent_0_55"] == "SaveImage"
    assert found["model_0_3"] == ""


def test_node_classes_come_with_the_packs_that_the_header_names() -> None:
    found = {node.class_type: (node.count, node.pack) for node in _of("ultimate_sd_upscale").nodes}

    assert found["UltimateSDUpscale"] == (1, "the node pack ComfyUI_UltimateSDUpscale")
    assert found["CLIPTextEncode"] == (2, "")


def test_no_file_has_to_exist() -> None:
    found = _of("img2img_upscale")

    assert found.example is not None
    assert found.example.workflow.nodes["image"].inputs == {"image": "IMAGE"}
    assert "params.image" in found.example.stand_ins


def test_a_template_without_a_declaration_gets_words_for_what_it_uses(tmp_path: Path) -> None:
    found = _made(tmp_path, "description: x", '"a": {{ params.glow }}')

    assert found.takes_any
    assert [setting.name for setting in found.params] == ["params.glow"]
    assert found.example is not None
    assert found.example.workflow.nodes["x"].inputs == {"a": "GLOW"}


def test_a_template_that_needs_more_than_words_is_described_without_an_example(tmp_path: Path) -> None:
    header = "params: {rows: {type: list, description: Rows}}\noutputs: {original: It.}\nneeds: {nodes: {Xyzzy9000: a pack}}"
    found = _made(tmp_path, header, '"a": {{ params.rows[0] }}')

    assert found.example is None
    assert found.failure.startswith("mine.json.j2:") or "mine.json.j2:" in found.failure
    assert [(output.role, output.class_type) for output in found.outputs] == [("original", "")]
    assert [(node.class_type, node.count) for node in found.nodes] == [("Xyzzy9000", 0)]
    assert missing(found, recorded()) == ()


@pytest.mark.parametrize(
    ("changes", "value"),
    [
        ({"type": "text"}, "GLOW"),
        ({"type": "image"}, "GLOW"),
        ({"type": "any"}, "GLOW"),
        ({"type": "text", "choices": ("soft", "hard")}, "soft"),
        ({"type": "number"}, 1),
        ({"type": "number", "maximum": 0.5}, 0.5),
        ({"type": "number", "minimum": 2.5}, 2.5),
        ({"type": "integer", "minimum": 1.5}, 2),
        ({"type": "boolean"}, False),
        ({"type": "list"}, []),
        ({"type": "object"}, {}),
    ],
)
def test_what_has_no_default_gets_a_value_of_its_type(changes: dict[str, Any], value: Any) -> None:
    rest: dict[str, Any] = {"minimum": None, "maximum": None, "choices": (), **changes}

    made = stand_in(Param(name="glow", required=True, default=None, description="", **rest))

    assert made == value
    assert type(made) is type(value)


def test_a_server_lacks_a_class_and_a_model_that_the_template_itself_names() -> None:
    lacking = {problem.what.rpartition(" ")[2]: problem for problem in missing(_of("ultimate_sd_upscale"), recorded())}

    assert lacking["UltimateSDUpscale"].hint == "it comes with the node pack ComfyUI_UltimateSDUpscale"
    assert lacking["UltimateSDUpscale"].where == ""
    assert any(problem.where == "vae" for problem in missing(_of("flux"), recorded(VAELoader=with_options("vae_name", ["other"]))))


def test_of_what_only_a_recipe_can_give_a_server_lacks_nothing() -> None:
    assert missing(_of("latent_upscale"), recorded(CheckpointLoaderSimple=with_options("ckpt_name", []))) == ()


def test_a_header_that_is_wrong_about_fields_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match="at most 1"):
        _made(tmp_path, "fields: {upscale.denoise: {default: 5}}")


def test_a_list_has_each_name_from_the_first_folder_and_broken_ones_hide_no_others(tmp_path: Path) -> None:
    (tmp_path / "latent_upscale.json.j2").write_text("{# description: One. Two. #}{}", encoding="utf-8")
    (tmp_path / "syntax.json.j2").write_text("{{", encoding="utf-8")
    (tmp_path / "-x y.json.j2").write_text("{}", encoding="utf-8")

    found = {listed.name: listed for listed in list_templates([tmp_path, *_SHIPPED])}

    assert set(found) == {"-x y", "syntax", *template_names(_SHIPPED)}
    assert (found["latent_upscale"].sentence, found["latent_upscale"].is_shipped) == ("One.", False)
    assert {name for name, listed in found.items() if listed.error} == {"-x y", "syntax"}
    assert isinstance(found["syntax"].error.problems[0] if found["syntax"].error else None, Problem)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("One. Two.", "One."), ("A factor of 1.5 is\n  fine. Yes", "A factor of 1.5 is fine."), ("no stop", "no stop"), ("", "")],
)
def test_the_first_sentence(text: str, sentence: str) -> None:
    assert first_sentence(text) == sentence
