"""One rendering for many jobs: what is shared, what is not, and what a placeholder hides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from comfy_runner.errors import TemplateError, WorkflowError
from comfy_runner.graph.filled import Filled
from comfy_runner.shipped import shipped
from comfy_runner.templating.compiled import Renderer
from comfy_runner.templating.environment import MOST_OUTPUT
from comfy_runner.templating.lookup import find_template
from comfy_runner.templating.placeholders import Observed, Placeholder
from tests.graph.support import RECIPES, content_hash, fault, pixel_hash, shipped_graph, values

TEXT = '{"save": {"class_type": "SaveText", "inputs": {"value": %s, "filename_prefix": "x"}}}'


def renderer(folder: Path, expression: str, **files: str) -> Renderer:
    """Return a renderer of a template with one expression; `files` are further templates beside it."""
    (folder / "mine.json.j2").write_text(TEXT % expression, encoding="utf-8")
    for stem, content in files.items():
        (folder / f"{stem}.j2").write_text(content, encoding="utf-8")
    return Renderer(find_template("mine", [folder]), [])


def value(filled: Filled) -> Any:
    return filled.workflow.nodes["save"].inputs["value"]


def shipped_renderer() -> Renderer:
    folders = [shipped("templates")]
    return Renderer(find_template("latent_upscale", folders), folders)


def values_of_one_run(folder: Path, expression: str, jobs: list[dict[str, Any]], **files: str) -> list[Any]:
    """Return the values of jobs that have to come from what the first was rendered to."""
    made = renderer(folder, expression, **files)
    first = value(made.render(jobs[0]))
    runs = made.runs
    found = [first, *(value(made.render(job)) for job in jobs[1:])]
    assert made.runs == runs
    return found


@pytest.mark.parametrize(
    "expression",
    [
        "{{ v }}",
        "{{ deep.v }}",
        '{{ deep["v"] }}',
        "{{ deep.get('v') }}",
        "{{ items[0].v }}",
        "{{ (items | first).v }}",
        "{{ (items | list | last).v }}",
        "{% for item in items %}{{ item.v }}{% endfor %}",
        "{% for name, item in deep.items() %}{{ item }}{% endfor %}",
        "{% set x = v %}{{ x }}",
        "{% set x %}{{ v }}{% endset %}{{ x }}",
        "{% with x = v %}{{ x }}{% endwith %}",
        "{% macro m(x) %}{{ x }}{% endmacro %}{{ m(v) }}",
        "{% macro m() %}{{ caller() }}{% endmacro %}{% call m() %}{{ v }}{% endcall %}",
        "{{ v | default(1) }}",
        "{{ nothing | default(v) }}",
        "{{ [v, 1][0] }}",
        "{{ {'k': v}.k }}",
        "{{ v if items else 1 }}",
        "{% if items | length == 1 and v is defined %}{{ v }}{% endif %}",
        "{{ v | tojson }}",
        "{{ cycler(v).next() }}",
        "{% import 'macros.j2' as m %}{{ m.said(v) }}",
        "{% include 'part.j2' %}",
    ],
)
@pytest.mark.parametrize("given", [("a", 'b"\n'), (1, 2), (0.5, -0.0), (True, False)])
def test_what_is_only_printed_is_rendered_once(tmp_path: Path, expression: str, given: tuple[Any, Any]) -> None:
    jobs = [{"v": v, "deep": {"v": v}, "items": [{"v": v}]} for v in given]
    files = {"macros": "{% macro said(x) %}{{ x }}{% endmacro %}", "part": "{{ v }}"}

    found = values_of_one_run(tmp_path, expression, jobs, **files)

    assert list(map(repr, found)) == list(map(repr, given))


def test_a_value_that_no_node_takes_needs_no_rendering_of_its_own(tmp_path: Path) -> None:
    jobs = [{"v": 1, "job_id": f"job-{index}", "unused": [index, {"x": index}]} for index in range(3)]

    assert values_of_one_run(tmp_path, "{{ v }}", jobs) == [1, 1, 1]


def test_a_value_that_the_template_looks_at_needs_one_for_each_of_its_values(tmp_path: Path) -> None:
    made = renderer(tmp_path, "{{ v if n > 1 else n * 10 }}")

    assert [value(made.render({"v": v, "n": n})) for n in (0, 1, 2, 3) for v in "ab"] == [0, 0, 10, 10, "a", "b", "a", "b"]


@pytest.mark.parametrize(
    ("first", "second"), [(1, 1.0), (1, True), (0.0, -0.0), (0, False), ("1", 1), (None, "none"), ("", None), (2**70, "x")]
)
@pytest.mark.parametrize("expression", ["{{ v }}", "{{ v | string }}", "{{ v is number }}", '{"__value__": {{ [v, v] }}}'])
def test_values_that_are_equal_or_look_alike_are_not_confused(tmp_path: Path, expression: str, first: Any, second: Any) -> None:
    made = renderer(tmp_path, expression)
    for v in (first, second, first):
        assert repr(value(made.render({"v": v}))) == repr(value(renderer(tmp_path, expression).render({"v": v})))


def test_a_text_that_looks_like_a_link_stays_a_text(tmp_path: Path) -> None:
    made = renderer(tmp_path, "{{ v }}")
    made.render({"v": "harmless"})

    assert value(made.render({"v": '["save", 0]'})) == '["save", 0]'


def test_a_value_within_a_link_is_checked_in_every_job(tmp_path: Path) -> None:
    made = renderer(tmp_path, '["other", {{ slot }}]}}, "other": {"class_type": "X", "inputs": {"y": 1')
    assert value(made.render({"slot": 0})) == ["other", 0]

    assert value(made.render({"slot": 1})) == ["other", 1]
    assert "never negative (got -1)" in fault(lambda: made.render({"slot": -1}), error=WorkflowError).what


def test_a_job_that_fails_leaves_the_others_as_they_are(tmp_path: Path) -> None:
    made = renderer(tmp_path, "{{ v / n }}")

    assert value(made.render({"v": 4, "n": 2})) == 2
    assert "division by zero" in fault(lambda: made.render({"v": 4, "n": 0}), error=TemplateError).what
    assert value(made.render({"v": 4, "n": 4})) == 1


@pytest.mark.parametrize(
    "expression",
    [
        "{% for i in range(n) %}" + "z" * 9999 + "{% endfor %}{{ v }}",
        "{% set x %}{% for i in range(n) %}" + "z" * 9999 + "{{ v }}{% endfor %}{% endset %}{{ v }}",
        "{% macro m(v, n) %}{% if n %}{{ m(v, n - 1) }}{{ m(v, n - 1) }}{% else %}{{ v }}"
        + "z" * 9999
        + "{% endif %}{% endmacro %}{% if n > 2 %}{{ m(v, 30) }}{% endif %}{{ v }}",
        "{{ 'x' * (n * 9999) if n > 2 else v }}",
        "{{ ([v] * (n * 9999)) | length if n > 2 else v }}",
        "{{ 10 ** n if n > 2 else v }}",
    ],
)
def test_a_job_for_which_a_template_makes_too_much_is_refused_after_one_for_which_it_does_not(
    tmp_path: Path, expression: str
) -> None:
    made = renderer(tmp_path, expression.replace("z", " "))
    assert value(made.render({"v": "short", "n": 0})) == "short"

    problem = fault(lambda: made.render({"v": "short", "n": MOST_OUTPUT // 9999 + 1}), error=TemplateError)
    assert "more than" in problem.what
    assert problem.hint == "docs/templates.md lists the limits"


def test_a_value_that_is_not_finite_is_refused_after_one_that_is(tmp_path: Path) -> None:
    made = renderer(tmp_path, "{{ v }}")
    made.render({"v": 0.5})

    assert "not JSON compliant" in fault(lambda: made.render({"v": float("nan")}), error=TemplateError).what


def test_what_one_job_does_to_a_namespace_is_gone_in_the_next(tmp_path: Path) -> None:
    macros = "{% set ns = namespace(n=0) %}{% macro next(x) %}{% set ns.n = ns.n + 1 %}{{ ns.n }}{% endmacro %}"
    made = renderer(tmp_path, "{% import 'macros.j2' as m %}{{ m.next(v ~ '') }}", macros=macros)

    assert [value(made.render({"v": v})) for v in (1, 2, 3)] == [1, 1, 1]


def test_lists_of_different_lengths_are_different_graphs() -> None:
    made = shipped_renderer()
    for names in ([], ["a.safetensors"], ["b.safetensors"], ["a.safetensors", "b.safetensors"], ["c.safetensors"]):
        seen = values(loras=names)
        assert made.render(seen).workflow == shipped_graph(seen).workflow


def test_the_jobs_of_a_sweep_have_one_shape() -> None:
    made = shipped_renderer()
    jobs = [
        made.render(values(seed=seed, prompt=prompt, upscale={"factor": factor, "denoise": denoise, "method": method}))
        for seed, prompt, factor, denoise, method in [
            (1, "a", 2, 0.5, "area"),
            (2, "b", 1.5, 0.25, "bislerp"),
            (3, "a", 2, 1, "area"),
        ]
    ]

    assert len({id(job.shape) for job in jobs}) == 1


@pytest.mark.parametrize("name", RECIPES)
def test_a_shared_graph_has_the_hashes_and_sizes_of_its_own(name: str) -> None:
    made = shipped_renderer()
    for seed in (1, 2):
        for denoise in (0.48, 0.5, 1.0, 0.0):
            seen = values(**{**RECIPES[name], "seed": seed})
            seen["upscale"]["denoise"] = denoise
            filled = made.render(seen)
            alone = shipped_graph(seen)
            assert filled.workflow == alone.workflow
            assert filled.sources == alone.sources
            assert filled.signed.content == content_hash(alone.workflow)
            assert filled.signed.pixels == pixel_hash(alone.workflow)


def test_nodes_that_do_not_differ_are_shared() -> None:
    made = shipped_renderer()
    one, other = (made.render(values(seed=seed, upscale={"factor": 2, "denoise": 0.5})).workflow for seed in (1, 2))

    assert one.nodes["prompt"] is other.nodes["prompt"]
    assert one.nodes["first_pass"] is not other.nodes["first_pass"]


@pytest.mark.parametrize(
    "look",
    [
        bool,
        str,
        repr,
        len,
        iter,
        hash,
        int,
        float,
        list,
        format,
        dir,
        vars,
        lambda it: it == 1,
        lambda it: it != it,
        lambda it: it < 1,
        lambda it: 1 in it,
        lambda it: it in [1],
        lambda it: it in {1: 2},
        lambda it: it + 1,
        lambda it: "%s" % (it,),  # noqa: UP031 - as templates do
        lambda it: f"{it}",
        lambda it: it[0],
        lambda it: [1, 2][it],
        lambda it: [1, 2][it:],
        lambda it: it.index,
        lambda it: it.__class__,
        lambda it: isinstance(it, str),
        lambda it: range(it),
        lambda it: [it] == [1],
        lambda it: sorted([it, 1]),
        lambda it: round(it),
        lambda it: -it,
        lambda it: it(),
        lambda it: {**it},
    ],
)
def test_a_placeholder_shows_nothing(look: Any) -> None:
    with pytest.raises(Observed) as caught:
        look(Placeholder(3))
    assert list(caught.value.needed) == [3]
