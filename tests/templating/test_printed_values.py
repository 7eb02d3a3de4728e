"""Values in templates: whatever a recipe says arrives in the graph exactly, and as one JSON value."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfy_runner.errors import TemplateError
from comfy_runner.templating.lookup import find_template
from tests.graph.support import content_hash, fault, render, rendered, shipped_graph, template_fault, value_of, values

HOSTILE = {
    "quotes": """ "double" 'single' `back` """,
    "newlines": "one\ntwo\r\nthree\rfour\n",
    "braces": '{"a": [1, 2]}',
    "jinja": "{{ prompt }} {% for x in y %} {# comment #} {{ '",
    "backslashes": "\\ \\n \\u0041 \\",
    "emoji": "🌅👩‍👩‍👧",
    "html": "<b>&amp;</b> & < > &#34;",
    "control characters": "\0\x01\x1f\x7f\t",
    "line separators": "a\u2028b\u2029c\x85d\ufeffe",
    "lone surrogates": "\ud800 \udc00\ud83d",
    "surrogate halves side by side": "\ud83d" + "\ude00",
    "very long": 'ab"\\\n' * 20_000,
    "the end of a JSON object": '"}}, "evil": {"class_type": "X", "inputs": {}}, "y": {"z": {"_": "',
    "empty": "",
    "JSON itself": '"quoted"',
    "a number": "42",
    "a link": '["checkpoint", 0]',
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_text_arrives_as_it_is(text: str) -> None:
    workflow = shipped_graph({**values(), "prompt": text}).workflow
    assert workflow.nodes["prompt"].inputs["text"] == text
    assert json.loads(workflow.to_json())["prompt"]["inputs"]["text"] == text
    assert set(workflow.nodes) == set(shipped_graph().workflow.nodes)


@given(st.text() | st.text(alphabet="\"'\\{}%#[]:,\n\ud800\udc00\u2028 a0"))
def test_any_text_arrives_as_it_is(text: str) -> None:
    seen = {**values(), "prompt": text, "checkpoint": text}
    workflow = shipped_graph(seen).workflow
    assert workflow.nodes["prompt"].inputs["text"] == text
    assert workflow.nodes["checkpoint"].inputs["ckpt_name"] == text


@pytest.mark.parametrize("seed", [0, 2**53 - 1, 2**53 + 1, 2**63, 2**64 - 1, -(2**63)])
def test_a_64_bit_seed_is_exact(seed: int) -> None:
    workflow = shipped_graph({**values(), "seed": seed}).workflow
    assert workflow.nodes["first_pass"].inputs["seed"] == seed
    assert f'"seed": {seed},' in workflow.to_json()


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_is_the_same_text_and_the_same_number(number: float) -> None:
    workflow = shipped_graph({**values(), "sampler": {**values()["sampler"], "cfg": number}}).workflow
    assert workflow.nodes["first_pass"].inputs["cfg"] == number
    assert f'"cfg": {number!r},' in workflow.to_json()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(JSON)
def test_any_value_arrives_as_it_is(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    # In a wrapper, since a bare list would be a link.
    found = value_of(tmp_path_factory.getbasetemp(), '{"__value__": {{ params.x }}}', {"params": {"x": value}})["__value__"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ('{{ "literal" }}', "literal"),
        ("{{ 'it\\'s <b> & \"x\"' }}", 'it\'s <b> & "x"'),
        ("{{ 5 }}", 5),
        ("{{ -0.5 }}", -0.5),
        ("{{ true }}", True),
        ("{{ none }}", None),
        ('{{ text ~ ", " ~ 5 }}', 'say "hi", 5'),
        ("{{ text | upper }}", 'SAY "HI"'),
        ("{{ text | tojson }}", 'say "hi"'),
        ('{{ text | replace("hi", "\\\\") }}', 'say "\\"'),
        ('{{ [text, 1] | join("/") }}', 'say "hi"/1'),
        ("{{ text[:3] }}", "say"),
        ("{{ number + 1 }}", 8),
        ("{{ number / 2 }}", 3.5),
        ("{{ -number }}", -7),
        ("{{ number | string }}", "7"),
        ("{{ text if number > 3 else none }}", 'say "hi"'),
        ("{{ params.absent | default(3) }}", 3),
        ('{{ {"a": text} }}', {"a": 'say "hi"'}),
        ('{"__value__": {{ [text, number] }}}', {"__value__": ['say "hi"', 7]}),
        ("{% if number is integer %}{{ text }}{% else %}{{ 0 }}{% endif %}", 'say "hi"'),
        ("{% set x = text ~ text %}{{ x }}", 'say "hi"say "hi"'),
        ("{% autoescape false %}{{ text }}{% endautoescape %}", 'say "hi"'),
        ('{% raw %}"{{ x }}"{% endraw %}', "{{ x }}"),
    ],
)
def test_an_expression_prints_one_json_value(tmp_path: Path, expression: str, value: Any) -> None:
    found = value_of(tmp_path, expression, {"text": 'say "hi"', "number": 7, "params": {}})
    assert found == value
    assert type(found) is type(value)


def test_a_number_inside_a_quoted_text_is_part_of_the_text(tmp_path: Path) -> None:
    assert value_of(tmp_path, '"lora_{{ n }} of {{ params.m }}"', {"n": 3, "params": {"m": 7.5}}) == "lora_3 of 7.5"


def test_a_text_inside_a_quoted_text_is_an_error_that_says_how_to_write_it(tmp_path: Path) -> None:
    problem = template_fault(tmp_path, '"a {{ text }}"', {"text": "cat"})
    assert "does not render to JSON" in problem.what
    assert "cat" in problem.what
    assert problem.hint.startswith(
        "{{ value }} prints a whole JSON value: write no quotes around it, and join texts with ~ inside it"
    )


@pytest.mark.parametrize("text", ['{"a": {"class_type": "X", "inputs": {"b": 1,}}}', '{"a": {"class_type": "X", "inputs": {}},\n}'])
def test_a_comma_before_a_closing_bracket_is_told(text: str, tmp_path: Path) -> None:
    problem = fault(lambda: rendered(tmp_path, text), error=TemplateError)
    assert problem.hint == "remove the comma before the closing bracket; JSON allows none there"


def test_a_value_can_be_the_id_of_a_node(tmp_path: Path) -> None:
    text = '{ {{ name }}: {"class_type": "X", "inputs": {"filename_prefix": {{ name }}}} }'
    assert rendered(tmp_path, text, {"name": 'a"b'}).workflow.outputs == {'a"b': 'a"b'}


def test_what_a_macro_prints_is_not_encoded_twice(tmp_path: Path) -> None:
    macros = "{% macro said(text) %}{{ text }}{% endmacro %}{% macro twice(text) %}{{ said(text ~ text) }}{% endmacro %}"
    imported = '{% from "macros.j2" import twice %}{{ twice(text) }}'
    assert value_of(tmp_path, imported, {"text": '"<\n'}, macros=macros) == '"<\n"<\n'


def test_a_block_and_an_include_are_not_encoded_twice(tmp_path: Path) -> None:
    assert value_of(tmp_path, "{% set x %}{{ text }}{% endset %}{{ x }}", {"text": '"&'}) == '"&'
    assert value_of(tmp_path, '{% include "part.j2" %}', {"text": '"&'}, part="{{ text }}") == '"&'


def test_a_macro_can_print_whole_nodes(tmp_path: Path) -> None:
    macros = '{% macro save(id, prefix) %}{{ id }}: {"class_type": "X", "inputs": {"filename_prefix": {{ prefix }}}}{% endmacro %}'
    text = '{% import "macros.j2" as m %}{ {{ m.save("a", "x") }}, {{ m.save("b", "y\\"") }} }'
    nodes = rendered(tmp_path, text, macros=macros).workflow.nodes
    assert {node_id: known.inputs["filename_prefix"] for node_id, known in nodes.items()} == {"a": "x", "b": 'y"'}


def test_macros_are_found_in_the_template_folders_too(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "m.j2").write_text("{% macro x() %}{{ 5 }}{% endmacro %}", encoding="utf-8")
    text = '{% import "m.j2" as m %}{"a": {"class_type": "X", "inputs": {"filename_prefix": {{ m.x() }}}}}'
    (tmp_path / "own" / "t.json.j2").write_text(text, encoding="utf-8")
    found = render(find_template("t", [tmp_path / "own"]), {}, folders=[tmp_path / "shared"])
    assert found.workflow.nodes["a"].inputs == {"filename_prefix": 5}


def test_a_template_may_have_a_byte_order_mark_and_windows_line_ends(tmp_path: Path) -> None:
    text = '\ufeff{# a template #}\r\n{"a": {"class_type": "X",\r\n "inputs": {"filename_prefix": {{ x }}}}}\r\n'
    assert rendered(tmp_path, text, {"x": "1\r\n2"}).workflow.nodes["a"].inputs["filename_prefix"] == "1\r\n2"


def sources_of(folder: Path, expression: str, seen: dict[str, Any]) -> dict[tuple[str, str], str]:
    text = '{"a": {"class_type": "X", "inputs": {"filename_prefix": "", "v": %s}}}'
    return dict(rendered(folder, text % expression, seen).sources)


@pytest.mark.parametrize(
    ("expression", "source"),
    [
        ("{{ prompt }}", "prompt"),
        ("{{ sampler.steps }}", "sampler.steps"),
        ('{{ sampler["steps"] }}', "sampler.steps"),
        ("{{ loras[1].name }}", "loras.1.name"),
        ("{% for lora in loras[1:] %}{{ lora.name }}{% endfor %}", "loras.1.name"),
        ("{% set x = prompt %}{{ x }}", "prompt"),
        ("{% macro m(x) %}{{ x }}{% endmacro %}{{ m(prompt) }}", "prompt"),
        ("{{ params.deep.er }}", "params.deep.er"),
        ("{{ params.absent | default(prompt) }}", "prompt"),
    ],
)
def test_a_value_that_is_printed_as_it_is_keeps_its_field(tmp_path: Path, expression: str, source: str) -> None:
    seen = {"prompt": "p", "sampler": {"steps": 5}, "loras": [{"name": "a"}, {"name": "b"}], "params": {"deep": {"er": 0.5}}}
    assert sources_of(tmp_path, expression, seen) == {("a", "v"): source}


@pytest.mark.parametrize("expression", ['{{ prompt ~ "" }}', "{{ n + 1 }}", "{{ 5 }}", "{{ flag }}", '{"__value__": {{ prompt }}}'])
def test_a_value_that_is_computed_has_no_field(tmp_path: Path, expression: str) -> None:
    assert sources_of(tmp_path, expression, {"prompt": "p", "n": 5, "flag": True}) == {}


def test_a_quoted_number_costs_the_template_its_own_field_and_no_other(tmp_path: Path) -> None:
    text = '{"a_{{ n }}": {"class_type": "X", "inputs": {"filename_prefix": {{ prompt }}}}}'
    found = rendered(tmp_path, text, {"prompt": "p", "n": 5})
    assert found.workflow.nodes["a_5"].inputs == {"filename_prefix": "p"}
    assert found.sources == {("a_5", "filename_prefix"): "prompt"}


def test_rendering_twice_gives_the_same_job() -> None:
    assert content_hash(shipped_graph().workflow) == content_hash(shipped_graph().workflow)
    assert shipped_graph().workflow.to_json() == shipped_graph().workflow.to_json()


def test_rendering_leaves_the_recipe_as_it_was() -> None:
    seen = values(loras=["a.safetensors"])
    before = json.dumps(seen)
    shipped_graph(seen)
    assert json.dumps(seen) == before
