"""Prompts of exported graphs with Jinja's brackets in them: they stay as typed, or the line and the way out are told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from comfy_runner import api
from comfy_runner.errors import Problem, TemplateError
from tests.graph.support import fault


def exported(folder: Path, prompt: str, *, second: str = "") -> Path:
    """Return a recipe of a graph that was exported with these prompts, and made a template as it is."""
    graph = {
        "prompt": {"class_type": "CLIPTextEncode", "inputs": {"text": prompt}},
        "second": {"class_type": "CLIPTextEncode", "inputs": {"text": second}},
        "save": {"class_type": "SaveImage", "inputs": {"filename_prefix": "x"}},
    }
    (folder / "mine.json.j2").write_text(json.dumps(graph, indent=2), encoding="utf-8")
    recipe = folder / "recipe.yaml"
    recipe.write_text("{template: ./mine.json.j2, seed: 1}", encoding="utf-8")
    return recipe


@pytest.mark.parametrize(
    "prompt",
    [
        "a {# big #} cat",
        "{##}",
        "{#- big -#}  cat",
        "{# a #}{# b #} {# c #}",
        'say "{# a #}" and \\{# b #}',
        "\n{# a #}\n",
        "{# {{ seed }} #} {# {% if %} #}",
        "a }} b %} c #} d",
        "{a|b} {c}",
    ],
)
def test_a_prompt_renders_as_it_was_typed(tmp_path: Path, prompt: str) -> None:
    recipe = exported(tmp_path, prompt)
    assert api.render(recipe).nodes["prompt"].inputs["text"] == prompt
    assert [note.where for note in api.validate([recipe]) if "mine" in note.where] == []


@pytest.mark.parametrize(
    "prompt",
    [
        *(
            "{{masterpiece}}",
            "{{a|b}}",
            "{{red|blue|green}}",
            "{{a cat}}",
            "{{1girl}}",
            "{{a, b}}",
            "{{a:1.2}}",
            "{{{cat}}}",
            "{{}}",
        ),
        *("{{", "a {{ b", "{% cat %}", "{%", "{% if x %}", "{% raw %}", "a {# b", "{#}", "{# endraw #}", "{{- a -}}", '{{"a"}}'),
    ],
)
def test_what_jinja_takes_for_its_own_is_an_error_at_its_line_with_the_way_out(tmp_path: Path, prompt: str) -> None:
    problem = fault(lambda: api.render(exported(tmp_path, prompt)), error=TemplateError)
    assert problem.where.endswith("mine.json.j2:5")
    assert "write {% raw %} before and {% endraw %} after a text" in problem.hint


def test_a_text_that_prints_a_value_between_quotes_is_told_both_ways_out(tmp_path: Path) -> None:
    problem = fault(lambda: api.render(exported(tmp_path, "{{'cat'}}")), error=TemplateError)
    assert "line 5 of the result" in problem.what
    assert "between {% raw %} and {% endraw %}" in problem.hint


def test_a_comment_from_one_text_to_another_takes_nothing_with_it(tmp_path: Path) -> None:
    assert fault(lambda: api.render(exported(tmp_path, "a {# b", second="c #} d")), error=TemplateError) == Problem(
        "{# within a text begins a comment, which ends on another line, and all between them would vanish",
        f"{tmp_path / 'mine.json.j2'}:5",
        "write {% raw %} before and {% endraw %} after a text that must keep its {{, {% or {#",
    )


def test_comments_beside_texts_are_comments(tmp_path: Path) -> None:
    (tmp_path / "mine.json.j2").write_text(
        """{# description: a "header" #}
{ {# "no text" #}
  "a": {"class_type": "CLIPTextEncode", "inputs": {"text": {{ "x {# kept #}" }}, "n": {# one
    two #} 1}},
  "b": {"class_type": "CLIPTextEncode", "inputs": {"text": {% raw %}"{# kept #}"{% endraw %}{# none #}}},
  "c": {"class_type": "CLIPTextEncode", "inputs": {"text": "{{ seed }}{# kept #}"}},
  "save": {"class_type": "SaveImage", "inputs": {"filename_prefix": "x"}}
}""",
        encoding="utf-8",
    )
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("{template: ./mine.json.j2, seed: 7}", encoding="utf-8")

    nodes = api.render(recipe).nodes

    assert [nodes[name].inputs["text"] for name in "abc"] == ["x {# kept #}", "{# kept #}", "7{# kept #}"]
    assert nodes["a"].inputs["n"] == 1
