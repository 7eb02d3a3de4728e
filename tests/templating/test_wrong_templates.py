"""Templates that are wrong, or mean harm: each an error with file, line and reason."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from comfy_runner.errors import TemplateError, WorkflowError
from comfy_runner.graph.workflow import EXPORT_HINT
from comfy_runner.templating.lookup import find_template, template_names
from comfy_runner.templating.recipe_template import named_template
from tests.graph.support import fault, render, rendered, template_fault, value_of

SEEN: dict[str, Any] = {"prompt": "text", "seed": 5, "cfg": 0.5, "loras": [{"name": "a"}], "params": {}, "sampler": {"steps": 3}}


@pytest.mark.parametrize(
    "expression",
    [
        "{{ ''.__class__ }}",
        "{{ ''['__class__'] }}",
        "{{ '' | attr('__class__') }}",
        "{{ prompt.__class__.__mro__ }}",
        "{{ prompt.format.__self__ }}",
        "{{ '{0.__class__}'.format(prompt) }}",
        "{{ '{x.__class__}'.format_map({'x': prompt}) }}",
        "{{ '%s' | format(prompt.__class__) }}",
        "{{ [prompt] | map(attribute='__class__') | list }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ cycler.__init__ }}",
        "{{ joiner.__init__.__globals__.os }}",
        "{{ namespace.__init__ }}",
        "{{ self.__init__ }}",
        "{{ self._TemplateReference__context }}",
        "{% macro m() %}{% endmacro %}{{ m.__init__ }}",
        "{% macro m() %}{% endmacro %}{{ m._func }}",
        "{{ prompt.source }}",
        "{{ prompt._source }}",
        "{{ seed._source }}",
        "{{ cfg.source }}",
        "{{ loras.append(1) }}",
        "{{ loras.clear() }}",
        "{{ sampler.update({'steps': 1}) }}",
        "{{ sampler.pop('steps') }}",
        "{{ (5).to_bytes.__self__ }}",
        "{{ lipsum() }}",
        "{{ lipsum.__globals__ }}",
        "{{ range(10 ** 9) | list }}",
        "{{ cycler }}",
        "{{ self }}",
        "{{ range }}",
        "{{ prompt.encode() }}",
        "{{ prompt.upper }}",
    ],
)
def test_a_template_cannot_reach_into_python(tmp_path: Path, expression: str) -> None:
    problem = template_fault(tmp_path, expression, SEEN)
    assert problem.where.endswith("mine.json.j2:1")


@pytest.mark.parametrize("name", ["safe", "e", "escape", "forceescape", "urlize", "xmlattr", "striptags", "pprint", "random"])
def test_a_filter_that_would_print_other_than_json_is_not_there(tmp_path: Path, name: str) -> None:
    assert template_fault(tmp_path, f"{{{{ prompt | {name} }}}}", SEEN).what == f"no filter named '{name}'"
    assert name in template_fault(tmp_path, f"{{{{ [prompt] | map('{name}') | list }}}}", SEEN).what


@pytest.mark.parametrize(
    ("expression", "what"),
    [
        ("{{ nothing }}", "'nothing' is undefined"),
        ("{{ params.nothing }}", "there is no value called nothing"),
        ("{{ params.nothing.more }}", "there is no value called nothing"),
        ("{{ loras[7] }}", "list object has no element 7"),
        ("{{ nothing ~ 'x' }}", "'nothing' is undefined"),
        ("{{ {'a': nothing} }}", "'nothing' is undefined"),
        ("{% if nothing %}{% endif %}", "'nothing' is undefined"),
        ("{% for x in nothing %}{% endfor %}", "'nothing' is undefined"),
    ],
)
def test_what_is_undefined_is_an_error_with_its_line(tmp_path: Path, expression: str, what: str) -> None:
    problem = template_fault(tmp_path, expression, SEEN)
    assert problem.what == what
    assert problem.where.endswith("mine.json.j2:1")
    assert problem.hint.startswith(
        "docs/templates.md lists what a template sees; parameters are written params.NAME; write {% raw %}"
    )


@pytest.mark.parametrize(
    ("expression", "what"),
    [
        ("{{ 1 / 0 }}", "division by zero (ZeroDivisionError)"),
        ("{{ prompt + 1 }}", 'can only concatenate str (not "int") to str (TypeError)'),
        ("{{ prompt() }}", "'str' object is not callable (TypeError)"),
        ("{{ params.x }}", "out of range float values are not JSON compliant"),
        ("{{ range(3) | map('nope') | list }}", "no filter named 'nope'"),
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "calls itself endlessly"),
        ("{{ '%d' | format('x') }}", "TypeError"),
        ("{{ prompt[prompt | reject('none')] }}", "str object has no element <generator object select_or_reject>"),
    ],
)
def test_an_expression_that_fails_is_an_error_with_its_line(tmp_path: Path, expression: str, what: str) -> None:
    problem = template_fault(tmp_path, "5,\n\n\n" + expression, {**SEEN, "params": {"x": math.nan}})
    assert what in problem.what
    assert problem.where.endswith("mine.json.j2:4")


@pytest.mark.parametrize(
    ("expression", "what"),
    [
        ("{{ }}", "expected an expression, got 'end of print statement'"),
        ("{% if x %}", "unexpected end of template"),
        ("{% frobnicate %}", "encountered unknown tag 'frobnicate'"),
        ("{{ 'x }}", "unexpected char"),
        ("{{ x | nope }}", "no filter named 'nope'"),
        ("{% if x is nope %}{% endif %}", "no test named 'nope'"),
        ("{# never closed", "missing end of comment tag"),
    ],
)
def test_a_syntax_error_is_an_error_with_its_line(tmp_path: Path, expression: str, what: str) -> None:
    problem = template_fault(tmp_path, "5,\n\n\n" + expression, SEEN)
    assert problem.what.lower().startswith(what.lower())
    assert problem.where.endswith("mine.json.j2:4")


def test_a_syntax_error_in_an_imported_file_is_named_there(tmp_path: Path) -> None:
    problem = template_fault(tmp_path, '{% import "macros.j2" as m %}', macros="\n\n{% if %}")
    assert problem.where.endswith("macros.j2:3")


def test_a_failure_in_an_imported_macro_is_named_there(tmp_path: Path) -> None:
    macros = "{% macro m(x) %}\n{{ x / 0 }}\n{% endmacro %}"
    problem = template_fault(tmp_path, '{% import "macros.j2" as m %}{{ m.m(1) }}', macros=macros)
    assert problem.where.endswith("macros.j2:2")


def test_the_line_is_right_for_a_path_that_goes_up(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "mine.json.j2").write_text("{}\n\n{{ 1 / 0 }}", encoding="utf-8")
    template = find_template("mine", [tmp_path / "sub" / ".."])
    assert fault(lambda: render(template, {}, folders=[]), error=TemplateError).where.endswith("mine.json.j2:3")


@pytest.mark.parametrize(
    "expression",
    [
        "{{ loras | map('string') | string }}",
        "{{ [loras | map(attribute='name')] | upper }}",
        "{{ 'of ' ~ (loras | select) }}",
        "{% autoescape false %}{{ 'of ' ~ (loras | select) }}{% endautoescape %}",
        "{{ '%s' % (loras | reject) }}",
        "{{ [loras | map('string')] | join(', ') }}",
        "{{ [loras | map('string')] | map('string') | list }}",
        "{{ prompt.replace | string }}",
        "{{ cycler('a', 'b') | lower }}",
        "{% macro m() %}{% endmacro %}{{ prompt | replace('t', m) }}",
    ],
)
def test_no_text_is_made_of_where_something_lies_in_memory(tmp_path: Path, expression: str) -> None:
    problem = template_fault(tmp_path, expression, SEEN)
    assert problem.what.startswith("makes a text of a ")
    assert problem.where.endswith("mine.json.j2:1")
    assert "| list" in problem.hint


@pytest.mark.parametrize("name", ["../secret.j2", "sub/../../secret.j2", "..\\\\secret.j2", "{absolute}", "nothing.j2", ""])
@pytest.mark.parametrize("tag", ["{{% include {} %}}", "{{% import {} as m %}}", "{{% extends {} %}}", "{{% from {} import m %}}"])
def test_an_import_cannot_leave_the_template_folders(tmp_path: Path, name: str, tag: str) -> None:
    (tmp_path / "secret.j2").write_text("5", encoding="utf-8")
    folder = tmp_path / "templates"
    folder.mkdir()
    name = name.format(absolute=(tmp_path / "secret.j2").as_posix())
    problem = template_fault(folder, tag.format(f'"{name}"'))
    assert problem.what.startswith("imports a file that does not exist (got ")
    assert problem.where.endswith("mine.json.j2:1")
    assert problem.hint == "imported files are looked for beside the template, then in the template folders"


@pytest.mark.parametrize(
    ("expression", "what"),
    [
        ("", "expecting value at line 1 of the result"),
        ("5,", "expecting property name enclosed in double quotes at line 1 of the result"),
        ("cat", "expecting value at line 1 of the result"),
        ("'cat'", "expecting value at line 1 of the result"),
        ('{{ "a" }}{{ "b" }}', "expecting ',' delimiter at line 1 of the result"),
    ],
)
def test_what_is_no_json_is_an_error_that_shows_the_place(tmp_path: Path, expression: str, what: str) -> None:
    problem = template_fault(tmp_path, expression)
    assert problem.what.startswith(f"does not render to JSON: {what} (got ")
    assert problem.where.endswith("mine.json.j2")


def test_the_place_of_a_json_error_is_shown_in_a_long_line_too(tmp_path: Path) -> None:
    problem = template_fault(tmp_path, f'"{"a" * 5000}", "b" "c": 1')
    assert '\\"c\\": 1' in problem.what
    assert len(problem.what) < 250


def test_a_line_separator_in_a_value_does_not_shift_the_line_of_an_error(tmp_path: Path) -> None:
    problem = template_fault(tmp_path, '{{ x }}, "y": 1,\n"b": wrong', {"x": "1\u20282\u20283\x85"})
    assert "at line 2 of the result" in problem.what
    assert "wrong" in problem.what


def test_nothing_after_the_graph_is_allowed(tmp_path: Path) -> None:
    assert "extra data" in fault(lambda: rendered(tmp_path, "{} {}"), error=TemplateError).what


def test_two_nodes_of_one_id_are_an_error(tmp_path: Path) -> None:
    text = '{"a": {"class_type": "X", "inputs": {}}, "a": {"class_type": "Y", "inputs": {}}}'
    assert fault(lambda: rendered(tmp_path, text), error=TemplateError).what == 'the key "a" is twice in one object'


def test_two_nodes_whose_ids_come_from_values_are_an_error(tmp_path: Path) -> None:
    text = '{ {% for x in params %}"n{{ x }}": {"class_type": "X", "inputs": {}},{% endfor %} "m": 5}'
    assert 'the key "n1" is twice' in fault(lambda: rendered(tmp_path, text, {"params": [1, 1]}), error=TemplateError).what


def test_an_input_that_is_given_twice_is_an_error(tmp_path: Path) -> None:
    assert template_fault(tmp_path, '1, "value": 2').what == 'the key "value" is twice in one object'


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_number_that_is_not_finite_is_an_error(tmp_path: Path, number: str) -> None:
    problem = fault(lambda: value_of(tmp_path, number), error=WorkflowError)
    assert problem.what.startswith('node "save", input value: must be a finite number (got ')
    assert problem.where.endswith("mine.json.j2")


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_is_an_error(tmp_path: Path, number: float) -> None:
    assert "not JSON compliant" in template_fault(tmp_path, "{{ x }}", {"x": number}).what


def test_a_number_of_thousands_of_digits_is_an_error(tmp_path: Path) -> None:
    assert "digits" in template_fault(tmp_path, "9" * 5000).what
    assert "digits" in template_fault(tmp_path, "{{ 10 ** 5000 }}").what


def test_a_result_that_is_nested_without_end_is_an_error(tmp_path: Path) -> None:
    problem = template_fault(tmp_path, '{"a":' * 50_000 + "1" + "}" * 50_000)
    assert problem.what == "the result is nested too deeply"


def test_an_expression_that_is_nested_without_end_is_an_error(tmp_path: Path) -> None:
    problem = template_fault(tmp_path, "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}")
    assert "nested too deeply" in problem.what
    assert problem.where.endswith("mine.json.j2")


@pytest.mark.parametrize("text", ["[]", "5", '"text"', "null"])
def test_a_result_that_is_no_object_is_no_workflow(tmp_path: Path, text: str) -> None:
    problem = fault(lambda: rendered(tmp_path, text), error=WorkflowError)
    assert problem.what.startswith("a workflow is a JSON object of nodes (got ")
    assert problem.where.endswith("mine.json.j2")


def test_a_template_in_the_ui_format_is_an_error_that_says_how_to_export(tmp_path: Path) -> None:
    problem = fault(lambda: rendered(tmp_path, '{"nodes": [], "links": [], "version": 0.4}'), error=WorkflowError)
    assert problem.hint == EXPORT_HINT


def test_a_template_that_saves_nothing_is_an_error(tmp_path: Path) -> None:
    text = '{"a": {"class_type": "EmptyImage", "inputs": {}}}'
    problem = fault(lambda: rendered(tmp_path, text), error=WorkflowError)
    assert problem.what == "no node saves anything"
    assert problem.hint == 'give the node that does a "_meta": {"role": "original"}'


def test_a_malformed_node_is_an_error_at_the_template(tmp_path: Path) -> None:
    problem = fault(lambda: rendered(tmp_path, '{"a": {"inputs": {}}}'), error=WorkflowError)
    assert problem.what == 'node "a": has no class_type'
    assert problem.where.endswith("mine.json.j2")


@pytest.mark.parametrize("name", ["", "../x", "a/b", "a b", ".hidden", "-x", "x\0", "ü", "x\n"])
def test_a_name_that_is_no_name_is_an_error_at_its_place(tmp_path: Path, name: str) -> None:
    problem = fault(lambda: find_template(name, [tmp_path], where="recipe.yaml:2: template"), error=TemplateError)
    assert problem.what == f"not the name of a template (got {name!r})"
    assert problem.where == "recipe.yaml:2: template"


def test_a_template_that_is_not_there_is_an_error_with_the_nearest_names(tmp_path: Path) -> None:
    (tmp_path / "latent_upscale.json.j2").write_text("{}", encoding="utf-8")
    problem = fault(lambda: find_template("latent_upscal", [tmp_path / "none", tmp_path], where="here"), error=TemplateError)
    assert str(problem) == "here: no template of this name (got latent_upscal)"
    assert problem.hint == "did you mean latent_upscale?"


def test_a_template_by_its_path_in_a_folder_without_any_says_what_one_is_called(tmp_path: Path) -> None:
    problem = fault(lambda: named_template("mine/portrait.json.j2", [], beside=tmp_path, where="here"), error=TemplateError)
    assert str(problem) == "here: no template of this name (got portrait)"
    assert problem.hint == "a template is a file NAME.json.j2, but that folder has none"


@pytest.mark.parametrize("expression", ['"a {# cat"', '"a {% cat %}"', '"a {{ big cat }}"'])
def test_braces_of_an_exported_text_are_an_error_that_says_how_to_keep_them(tmp_path: Path, expression: str) -> None:
    assert "{% raw %}" in template_fault(tmp_path, expression, SEEN).hint


def test_a_comment_in_the_header_that_may_be_text_is_a_note_with_its_line(tmp_path: Path) -> None:
    text = "\n{#\nparams:\n  style: {type: text,\n    default: a #1 cat\n  }\n  n: {type: integer, default: 1} # a number\n#}\n{}"
    (tmp_path / "mine.json.j2").write_text(text, encoding="utf-8")

    (note,) = find_template("mine", [tmp_path]).notes

    assert note.where.endswith("mine.json.j2:5: params.style.default")
    assert note.what.startswith('"#1 cat" is a comment, not part of "a"')


def test_the_first_folder_that_has_a_template_wins(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "t.json.j2").write_text(f"{{# {folder} #}}", encoding="utf-8")
    folders = [tmp_path / "absent", tmp_path / "two", tmp_path / "one"]
    assert find_template("t", folders).header.description == "two"
    assert template_names(folders) == ["t"]


def test_a_template_tells_which_recipe_fields_it_uses(tmp_path: Path) -> None:
    text = "{# d #}{% set x = prompt %}{{ x }}{{ sampler.steps }}{% if vae %}{% endif %}{{ range(3) }}"
    (tmp_path / "t.json.j2").write_text(text, encoding="utf-8")
    assert find_template("t", [tmp_path]).uses - {"range"} == {"prompt", "sampler.steps", "vae"}


def test_a_template_that_is_not_utf8_is_an_error_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "t.json.j2").write_bytes(b"{}\n\xff")
    assert fault(lambda: find_template("t", [tmp_path]), error=TemplateError).where.endswith("t.json.j2:2")


def test_a_template_that_is_too_large_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "t.json.j2").write_bytes(b" " * (1 << 20) + b"{}")
    assert "at most" in fault(lambda: find_template("t", [tmp_path]), error=TemplateError).what
