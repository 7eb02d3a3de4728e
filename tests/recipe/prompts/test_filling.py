from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from comfy_runner.recipe.load import from_mapping, load
from comfy_runner.recipe.sweep.expand import expand
from tests.recipe.support import fault, faults, made, told, written


def prompts(sets: tuple[str, ...] = (), sweeps: tuple[str, ...] = (), **fields: Any) -> list[str]:
    variants = expand(from_mapping({"seed": 1, **fields}, sets=sets, sweeps=sweeps))
    return [variant.job().values["prompt"] for variant in variants]


def test_a_name_in_braces_is_what_the_variable_says() -> None:
    job = made(
        prompt="a {animal} in {place}, {n}",
        negative_prompt="no {place}",
        params={"prompt_2": "{animal}", "style": "{animal}"},
        vars={"animal": "fox", "place": "snow", "n": 3},
    )

    assert (job.values["prompt"], job.values["negative_prompt"]) == ("a fox in snow, 3", "no snow")
    assert job.values["params"] == {"prompt_2": "fox", "style": "{animal}"}
    assert job.filled_from["prompt"] == "a {animal} in {place}, {n}"
    assert job.filled_from["vars"] == {"animal": "fox", "place": "snow", "n": "3"}


@pytest.mark.parametrize("value", ["(oil:1.2), [x]", '"quoted" it\'s', "狐 🦊", "two\nlines", "{animal}", "\\{a\\}", "{a|b}", ""])
def test_a_value_is_taken_as_it_is(value: str) -> None:
    assert prompts(prompt="a {animal}!", vars={"animal": value}) == [f"a {value}!"]


def test_a_backslash_takes_a_brace_as_it_is() -> None:
    assert prompts(prompt=r"\{animal\} \(x\) a|b {animal}", vars={"animal": "fox"}) == [r"{animal} \(x\) a|b fox"]


def test_without_variables_braces_are_words() -> None:
    job = made(prompt=r"a {animal} \{x\} }{")

    assert job.values["prompt"] == r"a {animal} \{x\} }{"
    assert job.filled_from == {}
    assert "vars" in from_mapping({"prompt": "a {animal}"}).notes[0].what


@pytest.mark.parametrize("axis", ["seed=1,2", "negative_prompt=[x, '{b|']", "prompt=['{in|on} {', '}']"])
def test_a_sweep_leaves_braces_as_they_are_without_variables(axis: str) -> None:
    assert prompts(prompt="{in|on} {", sweeps=(axis,))[0] == "{in|on} {"


@pytest.mark.parametrize(
    ("prompt", "what", "hint"),
    [
        ("a {anmal}", "there is no variable anmal for {anmal}", r"did you mean animal?; or write \{ and \} for braces themselves"),
        ("a {red|blue}", "{red|blue} is not the name of a variable", "give `alternatives: combine`"),
        ("a {animal", "has a { without its } (near 'a {animal')", r"write \{ and \}"),
        ("a animal}", "has a } without its { (near 'a animal}')", r"write \{ and \}"),
    ],
)
def test_what_cannot_be_filled_in_is_told_with_the_way_out(tmp_path: Path, prompt: str, what: str, hint: str) -> None:
    path = written(tmp_path, "x.yaml", f"vars: {{animal: fox}}\nprompt: '{prompt}'\n")

    problem = fault(lambda: load(path))

    assert problem.what == what
    assert problem.where == f"{path}:2: prompt"
    assert hint in problem.hint


def test_a_variable_that_no_prompt_names_is_told_of() -> None:
    assert [note.what for note in from_mapping({"prompt": "a fox", "vars": {"animal": "fox"}}).notes] == [
        "no prompt has {animal} in it"
    ]
    assert from_mapping({"prompt": "a", "sweep": {"prompt": ["{animal}"]}, "vars": {"animal": "fox"}}).notes == ()


def test_a_variable_is_swept_whether_the_recipe_gives_it_or_not() -> None:
    sweep = {"vars.animal": ["fox", "owl, big"]}

    assert prompts(prompt="a {animal}", sweep=sweep) == ["a fox", "a owl, big"]
    assert prompts(prompt="a {animal}", vars={"animal": "cat"}, sweep=sweep) == ["a fox", "a owl, big"]
    assert prompts(sets=("vars.animal=a: b, c",), prompt="{animal}", vars={"animal": "cat"}) == ["a: b, c"]
    assert prompts(sweeps=("vars.animal=fox,16:9,2",), prompt="{animal}") == ["fox", "16:9", "2"]
    assert prompts(sweeps=("vars.a=x,y", 'prompt=["{a}1", "{a}2"]'), prompt="", vars={"a": "z"}) == ["x1", "x2", "y1", "y2"]


def test_ids_have_the_words() -> None:
    found = expand(from_mapping({"name": "zoo", "prompt": "{a} {n}", "sweep": {"vars.a": ["fox", "Red fox"], "vars.n": [2]}}))

    assert [variant.job_id for variant in found] == ["zoo-fox-n2", "zoo-red-fox-dc8024-n2"]


def test_prompts_of_a_sweep_are_told_of_where_they_are_written(tmp_path: Path) -> None:
    written(tmp_path, "table.csv", "prompt,vars.animal\na {animal},fox\na {anmal},owl\n")
    path = written(tmp_path, "x.yaml", "sweep:\n  zip: {file: table.csv}\n  include: [{prompt: '{x}'}]\n")

    found = faults(lambda: load(path))

    assert [problem.where.rpartition("/")[2] for problem in found] == ["table.csv:3: prompt", "x.yaml:3: sweep.include[0].prompt"]


def test_an_added_point_without_the_variable_is_refused() -> None:
    loaded = from_mapping({"seed": 1, "prompt": "{a}", "sweep": {"vars.a": ["x"], "include": [{"sampler.steps": 5}]}})
    first, added = expand(loaded)

    assert first.job().values["prompt"] == "x"
    assert "there is no variable a" in fault(added.job).what


@pytest.mark.parametrize(
    ("values", "where"),
    [
        ({"vars": {"a": True}}, "recipe: vars.a"),
        ({"vars": {"a": [1]}}, "recipe: vars.a"),
        ({"vars": {"a": float("nan")}}, "recipe: vars.a"),
        ({"vars": {"a b": "x"}}, "recipe: vars"),
        ({"sweep": {"vars": ["x"]}}, "recipe: sweep.vars"),
        ({"sweep": {"vars.a.b": ["x"]}}, "recipe: sweep.vars.a.b"),
        ({"sweep": {"vars.1": ["x"]}}, "recipe: sweep.vars.1"),
        ({"sweep": {"alternatives": ["combine"]}}, "recipe: sweep.alternatives"),
    ],
)
def test_what_is_no_variable_is_refused(values: dict[str, Any], where: str) -> None:
    assert fault(lambda: from_mapping({"prompt": "a", **values})).where.startswith(where)


def test_what_comfyui_does_not_know_is_told_of_what_is_written() -> None:
    found = from_mapping({"prompt": r"a {x} \{y\} BREAK", "vars": {"x": "<lora:a:1>"}}).notes

    assert [(note.where, note.what.split('"')[1]) for note in found] == [
        ("recipe: prompt", "BREAK"),
        ("recipe: vars.x", "<lora:a:1>"),
    ]
    assert told(made(prompt="{x}", vars={"x": "a"}), "warning") == []
