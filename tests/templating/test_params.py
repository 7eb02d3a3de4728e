"""The header of a template: its description and its free parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from comfy_runner.errors import TemplateError
from comfy_runner.recipe.field_docs import UsualRange
from comfy_runner.templating.lookup import find_template
from comfy_runner.templating.metadata import given_params, parse_header
from tests.graph.support import fault, faults

HEADER = """
description: Text to image
params:
  tile: {type: integer, default: 512, min: 64, max: 4096, description: Edge of a tile in pixels}
  mode: {type: text, choices: [fast, good], description: How}
  ratio: {type: number, default: 1, min: 0.5}
  flag: {type: boolean, default: false}
  names: {type: list, default: []}
  extra: {type: object, default: {}}
  whatever: {type: any, default: 5}
"""
NAME = "t.json.j2"
TYPES = "integer, number, text, image, file, boolean, list, object, any"
DECLARED = parse_header(HEADER, name=NAME).params


def problems_of(**given: Any) -> list[tuple[str, str, str]]:
    _, problems = given_params(DECLARED, {"mode": "fast", **given})
    return [(problem.where, problem.what, problem.hint) for problem in problems]


def test_defaults_fill_what_is_not_given() -> None:
    found, problems = given_params(DECLARED, {"mode": "good", "tile": 1024})
    assert problems == []
    assert found == {"tile": 1024, "mode": "good", "ratio": 1, "flag": False, "names": [], "extra": {}, "whatever": 5}


def test_a_parameter_without_a_default_is_required() -> None:
    _, problems = given_params(DECLARED, {})
    assert [(problem.where, problem.what, problem.hint) for problem in problems] == [
        ("params.mode", "the template needs this parameter", "How")
    ]


def test_an_unknown_parameter_is_an_error_with_the_nearest_name() -> None:
    assert problems_of(tiles=5) == [("params.tiles", "the template has no such parameter", "did you mean tile?")]


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("tile", 512.0, "must be of type integer (got 512.0)"),
        ("tile", "512", 'must be of type integer (got "512")'),
        ("tile", True, "must be of type integer (got true)"),
        ("tile", None, "must be of type integer (got nothing)"),
        ("tile", 63, "must be at least 64 (got 63)"),
        ("tile", 4097, "must be at most 4096 (got 4097)"),
        ("ratio", 0.49, "must be at least 0.5 (got 0.49)"),
        ("ratio", False, "must be of type number (got false)"),
        ("ratio", "1", 'must be of type number (got "1")'),
        ("mode", "slow", 'must be one of fast, good (got "slow")'),
        ("mode", 5, "must be of type text (got 5)"),
        ("flag", 0, "must be of type boolean (got 0)"),
        ("flag", "no", 'must be of type boolean (got "no")'),
        ("names", "a", 'must be of type list (got "a")'),
        ("names", {}, "must be of type list (got a mapping)"),
        ("extra", [], "must be of type object (got a list)"),
    ],
)
def test_a_value_that_does_not_fit_is_an_error_with_what_the_parameter_is(name: str, value: Any, what: str) -> None:
    description = (DECLARED or {})[name].description
    assert problems_of(**{name: value}) == [(f"params.{name}", what, description)]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tile", 64),
        ("tile", 4096),
        ("ratio", 0.5),
        ("ratio", 7),
        ("flag", True),
        ("names", ["a", 1]),
        ("extra", {"a": [1]}),
        ("whatever", 0.5),
        ("whatever", True),
        ("whatever", None),
        ("whatever", [1, "x"]),
    ],
)
def test_a_value_that_fits_is_taken_as_it_is(name: str, value: Any) -> None:
    assert problems_of(**{name: value}) == []
    assert given_params(DECLARED, {"mode": "fast", name: value})[0][name] == value


def test_all_that_is_wrong_is_told_at_once() -> None:
    assert len(problems_of(tile=0, flag=1, more=1, mode="x")) == 4


def test_a_long_wrong_value_is_not_repeated_in_full() -> None:
    assert len(problems_of(tile="x" * 100_000)[0][1]) < 200


def test_a_template_that_declares_nothing_takes_any_parameters() -> None:
    assert given_params(None, {"x": [1]}) == ({"x": [1]}, [])


def test_a_template_that_declares_an_empty_list_takes_none() -> None:
    declared = parse_header("params: {}", name=NAME).params
    assert declared == {}
    _, problems = given_params(declared, {"x": 1})
    assert [(problem.what, problem.hint) for problem in problems] == [
        ("the template has no such parameter", "it has no parameters at all")
    ]


def template_of(folder: Path, text: str) -> Any:
    (folder / "t.json.j2").write_text(text, encoding="utf-8")
    return find_template("t", [folder])


def test_a_header_may_be_a_description_alone(tmp_path: Path) -> None:
    template = template_of(tmp_path, "{# Text to image, then more #}\n{}")
    assert (template.header.description, template.header.params) == ("Text to image, then more", None)


def test_a_header_may_have_a_description_and_no_params(tmp_path: Path) -> None:
    template = template_of(tmp_path, "{#-\ndescription: >-\n  Text to\n  image\n-#}\n{}")
    assert (template.header.description, template.header.params) == ("Text to image", None)


def test_a_template_without_a_header_has_no_description_and_takes_any_parameters(tmp_path: Path) -> None:
    template = template_of(tmp_path, "{} {# not: [a header #}")
    assert (template.header.description, template.header.params) == ("", None)


@pytest.mark.parametrize("text", ["{##}", "{# #}", "{# 5 #}", "{#\nparams:\n#}"])
def test_an_empty_header_is_no_header(tmp_path: Path, text: str) -> None:
    template = template_of(tmp_path, text)
    assert (template.header.description, template.header.params) == ("", None)


@pytest.mark.parametrize(
    ("header", "line", "what"),
    [
        ("parms: {}", 2, "parms is not a key of a template's header"),
        ("params: [a]", 2, "must be a mapping (got a list)"),
        ("params: 5", 2, "must be a mapping (got 5)"),
        ("params:\n  x: 5", 3, "must be a mapping such as {type: number, default: 0.5} (got 5)"),
        ("params:\n  x: {}", 3, f"type must be one of {TYPES} (got nothing)"),
        ("params:\n  x: {type: int}", 3, f'type must be one of {TYPES} (got "int")'),
        ("params:\n  x: {type: [any]}", 3, f"type must be one of {TYPES} (got a list)"),
        ("params:\n  x: {type: any, defualt: 5}", 3, "defualt is not a key of a parameter; did you mean default?"),
        (
            "params:\n  x: {type: any, description: Text, say 3}",
            3,
            "say 3 is not a key of a parameter; put quotes around a sentence that has a comma",
        ),
        ("params:\n  x: {type: text, choices: a}", 3, 'choices must be a list (got "a")'),
        ("params:\n  x: {type: text, min: 5}", 3, "min must be a number, and belongs to type integer or number (got 5)"),
        ("params:\n  x: {type: integer, max: a}", 3, 'max must be a number, and belongs to type integer or number (got "a")'),
        ("params:\n  x: {type: integer, default: 5.5}", 3, "the default must be of type integer (got 5.5)"),
        ("params:\n  x: {type: integer, default: 5, max: 4}", 3, "the default must be at most 4 (got 5)"),
        ("params:\n  x: {type: text, default: c, choices: [a, b]}", 3, 'the default must be one of a, b (got "c")'),
        ("fields: 5", 2, "must be a mapping (got 5)"),
        ("fields:\n  seed: 5", 3, "must be a mapping such as {default: 0.45, usual: [0.3, 0.55]} (got 5)"),
        ("fields:\n  seed: {usal: [0, 1]}", 3, "usal is not a key of a field; did you mean usual?"),
        ("fields:\n  seed: {usual: [1, 0]}", 3, "usual must be the smallest and the largest, such as [0.3, 0.55] (got a list)"),
        ("fields:\n  seed: {usual: 1}", 3, "usual must be the smallest and the largest, such as [0.3, 0.55] (got 1)"),
        ("outputs: [a]", 2, "must be a mapping (got a list)"),
        ("outputs: {original: 5}", 2, "must be text (got 5)"),
        ("needs: {node: {}}", 2, "node is not a key of needs"),
        ("needs: {nodes: [A]}", 2, "must be a mapping (got a list)"),
        ("needs: {comfyui: [0]}", 2, "must be a version such as 0.3.40 (got a list)"),
        ("params:\n  y: {type: any}\n  x: {type: integer, choices: [1, a]}", 4, 'the choice must be of type integer (got "a")'),
    ],
)
def test_a_wrong_header_is_an_error_with_its_line(tmp_path: Path, header: str, line: int, what: str) -> None:
    problem = fault(lambda: template_of(tmp_path, f"{{#\n{header}\n#}}\n{{}}"), error=TemplateError)
    assert problem.what == what
    assert problem.where.split(": ")[0].endswith(f"t.json.j2:{line}")


def test_the_parameter_is_named_in_the_place_of_a_problem(tmp_path: Path) -> None:
    problem = fault(lambda: template_of(tmp_path, "{#\nparams:\n  x: 5\n#}"), error=TemplateError)
    assert problem.where.endswith("t.json.j2:3: params.x")


def test_blank_lines_above_a_header_count(tmp_path: Path) -> None:
    problem = fault(lambda: template_of(tmp_path, "\n\n{#\nparams: 5\n#}"), error=TemplateError)
    assert problem.where.endswith("t.json.j2:4: params")


def test_a_header_that_is_no_yaml_is_an_error_with_its_line(tmp_path: Path) -> None:
    problem = fault(lambda: template_of(tmp_path, "{#\ndescription: x\nparams: {x\n#}"), error=TemplateError)
    assert "t.json.j2:" in problem.where


def test_a_parameter_that_is_declared_twice_is_an_error(tmp_path: Path) -> None:
    text = "{#\nparams:\n  x: {type: any}\n  x: {type: any}\n#}"
    assert faults(lambda: template_of(tmp_path, text), error=TemplateError)


def test_everything_that_is_wrong_with_a_header_is_told_at_once(tmp_path: Path) -> None:
    text = "{#\nmore: 1\nparams:\n  x: {type: a, b: 1}\n  y: {type: integer, default: a}\n#}"
    assert len(faults(lambda: template_of(tmp_path, text), error=TemplateError)) == 4


def test_the_shipped_template_says_what_it_does() -> None:
    from comfy_runner.shipped import shipped

    template = find_template("latent_upscale", [shipped("templates")])
    assert template.header.params == {}
    assert template.header.description.startswith("Text to image")
    assert template.uses >= {"checkpoint", "prompt", "negative_prompt", "sampler", "upscale", "seed", "loras", "vae", "clip_skip"}


def test_a_header_says_what_its_fields_outputs_and_needs_are() -> None:
    header = parse_header(
        """
fields:
  upscale.denoise: {default: 0.45, usual: [0.3, 0.55], below: soft, description: How much.}
  vae: {description: Which.}
outputs: {original: The first pass.}
needs: {comfyui: 0.3.40, nodes: {Special: the node pack Special}}
""",
        name=NAME,
    )
    assert header.fields == {"upscale.denoise": "How much.", "vae": "Which."}
    assert header.defaults == {"upscale.denoise": 0.45}
    assert header.usual == {"upscale.denoise": UsualRange(0.3, 0.55, "soft", "")}
    assert header.outputs == {"original": "The first pass."}
    assert (header.version, header.packs) == ("0.3.40", {"Special": "the node pack Special"})
    assert header.lines == {"upscale.denoise": 3, "vae": 4}
