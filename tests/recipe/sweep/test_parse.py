from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from comfy_runner.recipe.load import from_mapping, load
from comfy_runner.recipe.schema import json_schema
from comfy_runner.recipe.sweep.expand import expand
from tests.recipe.support import fault, faults, written


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make an empty folder the current directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def points(sweep: Any, sets: tuple[str, ...] = (), **fields: Any) -> list[dict[str, Any]]:
    return [variant.assignments for variant in expand(from_mapping({"seed": 1, "sweep": sweep, **fields}, sets=sets))]


def values(field: str, spec: Any, **fields: Any) -> list[Any]:
    return [point[field] for point in points({field: spec}, **fields)]


# ways to write values


def test_a_list_is_the_values_and_a_whole_number_is_one_with_decimals_where_the_field_has_them() -> None:
    found = values("upscale.denoise", [1, 0.50])

    assert [repr(value) for value in found] == ["1.0", "0.5"]


def test_numbers_go_from_one_to_another() -> None:
    found = values("upscale.denoise", {"from": 0.45, "to": 0.70, "step": 0.05})

    assert [repr(value) for value in found] == ["0.45", "0.5", "0.55", "0.6", "0.65", "0.7"]


def test_seeds_are_counted() -> None:
    assert values("seed", {"start": 5, "count": 3}) == [5, 6, 7]
    assert values("seed", {"start": 5, "count": 3, "step": 10}) == [5, 15, 25]


def test_a_text_file_has_a_value_per_line(here: Path) -> None:
    written(here, "prompts.txt", "# mine\na cat, big: 5 {x}\n\n12\r\n  \n'quoted'\n")
    written(here, "cfg.txt", "5\n 5.5 \n1e1\n")

    assert values("prompt", {"file": "prompts.txt"}) == ["a cat, big: 5 {x}", "12", "'quoted'"]
    assert values("sampler.cfg", {"file": "cfg.txt"}) == [5.0, 5.5, 10.0]
    assert values("params.x", {"file": "cfg.txt"}) == [5, 5.5, 10.0]


def test_a_column_of_a_table_has_a_value_per_row(here: Path) -> None:
    written(here, "table.csv", 'what,denoise\n"a, ""b""",0.5\n\nc,1\n')

    assert values("prompt", {"file": "table.csv", "column": "what"}) == ['a, "b"', "c"]
    assert values("upscale.denoise", {"file": "table.csv", "column": "denoise"}) == [0.5, 1.0]


def test_a_file_is_beside_the_recipe_that_names_it(here: Path) -> None:
    written(here, "lib/prompts.txt", "a\nb\n")
    written(here, "lib/base.yaml", "seed: 1\nsweep: {prompt: {file: prompts.txt}}\n")

    loaded = load(written(here, "child.yaml", "extends: lib/base.yaml\n"))

    assert [variant.assignments["prompt"] for variant in expand(loaded)] == ["a", "b"]


def test_a_mapping_changes_single_fields() -> None:
    found = expand(from_mapping({"seed": 1, "sweep": {"upscale": [{"factor": 1.5}, {"size": {"width": 640, "height": 360}}]}}))

    assert [variant.recipe().upscale.factor for variant in found] == [1.5, None]
    assert found[1].recipe().upscale.size is not None


def test_every_field_of_a_job_can_be_swept() -> None:
    recipe: dict[str, Any] = {"loras": ["a", {"name": "b"}], "params": {"list": [1, {"x": 2}]}}
    for field, value in {
        "template": "model_upscale",
        "loras.0.strength_model": 0.5,
        "loras[1]": "c",
        "loras": ["x"],
        "params.list.1.x": 3,
        "params.new.er": [1],
        "params": {"list": 5},
        "vae_decode": "full",
        "clip_skip": None,
    }.items():
        (point,) = points({field: [value]}, **recipe)
        assert list(point.values()) == [value], field


def test_values_that_are_given_twice_count_once_and_that_is_said() -> None:
    loaded = from_mapping({"seed": 1, "sweep": {"upscale.denoise": [0.5, 0.50, 1, 1.0, 0.6]}})

    assert [variant.point for variant in expand(loaded)] == [(0.5,), (1.0,), (0.6,)]
    assert [str(note) for note in loaded.notes] == [
        "recipe: sweep.upscale.denoise: 2 values are given twice and count once (got 0.5)"
    ]


# several axes


def test_axes_multiply_and_the_first_changes_slowest() -> None:
    found = points({"sampler.steps": [8, 9], "seed": [1, 2]})

    assert [tuple(point.values()) for point in found] == [(8, 1), (8, 2), (9, 1), (9, 2)]


def test_fields_of_a_group_move_together() -> None:
    group = {"seed": [1, 2], "upscale.denoise": {"from": 0.5, "to": 0.6, "step": 0.1}}

    assert [tuple(point.values()) for point in points({"zip": group})] == [(1, 0.5), (2, 0.6)]
    assert len(points({"zip": [group, {"sampler.steps": [8, 9, 10], "sampler.cfg": [1, 2, 3]}], "prompt": ["a", "b"]})) == 12


def test_a_table_gives_fields_that_move_together(here: Path) -> None:
    written(here, "pairs.csv", 'seed,prompt,upscale.denoise\n1,"a, b",0.5\n2,,1\n')

    found = points({"zip": [{"file": "pairs.csv"}]})

    assert [tuple(point.values()) for point in found] == [(1, "a, b", 0.5), (2, "", 1.0)]


@pytest.mark.parametrize(
    ("content", "delimiter"),
    [
        ('seed;prompt;upscale.denoise\n1;"a; ""b"", c";0.5\n2;"first\nsecond";1\n', None),
        ('\ufeffsep=;\r\nseed;prompt;upscale.denoise\r\n1;"a; ""b"", c";0.5\r\n2;"first\r\nsecond";1\r\n', None),
        ('"sep=;"\n"seed";"prompt";"upscale.denoise"\n1;"a; ""b"", c";0.5\n\n2;"first\nsecond";1', None),
        ('SEP=|\nseed|prompt|upscale.denoise\n1|"a; ""b"", c"|0.5\n||\n2|"first\nsecond"|1', None),
        ('seed\tprompt\tupscale.denoise\n1\t"a; ""b"", c"\t0.5\n2\t"first\nsecond"\t1\n', None),
        ('seed|prompt|upscale.denoise\n1|"a; ""b"", c"|0.5\n2|"first\nsecond"|1\n', None),
        ('seed,prompt,upscale.denoise\r1,"a; ""b"", c",0.5\r2,"first\rsecond",1\r', None),
        ('"seed"~"prompt"~"upscale.denoise"\n1~"a; ""b"", c"~0.5\n2~"first\nsecond"~1\n', "~"),
        ('sep=,\nseed\tprompt\tupscale.denoise\n1\t"a; ""b"", c"\t0.5\n2\t"first\nsecond"\t1\n', "tab"),
    ],
)
def test_what_separates_the_cells_of_a_table_is_told_by_the_recipe_the_file_or_its_header(
    here: Path, content: str, delimiter: str | None
) -> None:
    (here / "t.csv").write_bytes(content.encode())
    spec = {"file": "t.csv", **({"delimiter": delimiter} if delimiter else {})}

    assert [tuple(point.values()) for point in points({"zip": [spec]})] == [(1, 'a; "b", c', 0.5), (2, "first\nsecond", 1.0)]
    assert values("prompt", {**spec, "column": "prompt"}) == ['a; "b", c', "first\nsecond"]


def test_a_header_is_separated_so_that_it_has_the_column_that_is_asked_for(here: Path) -> None:
    written(here, "t.csv", "size, in pixels;seed\n1;2\n")
    written(here, "one.csv", "what;ever\n5\n6\n")

    assert values("seed", {"file": "t.csv", "column": "seed"}) == [2]
    assert values("params.x", {"file": "t.csv", "column": "size, in pixels"}) == [1]
    assert values("seed", {"file": "one.csv", "column": "what;ever"}) == [5, 6]


_OPTION = "options are read as part of the prompt; sweep the field instead"
_COMMENT = "comments are read as part of the prompt; only a line that starts with # in a file of prompts is a comment"


@pytest.mark.parametrize(
    ("name", "content", "spec", "expected"),
    [
        ("p.txt", "a cat\nb --steps 7 --cfg 5\nc --cfg=7\n", {}, ["p.txt:2", _OPTION, '(got "--steps 7 --cfg 5", 1 more such)']),
        ("p.txt", '--prompt "a" --steps 7\n', {}, ["p.txt:1", _OPTION, '(got "--prompt \\"a\\" --steps 7")']),
        ("p.txt", "# a\n// b\n  # c\na #1 cat # best\n#1\n", {}, ["p.txt:2", _COMMENT, '(got "// b", 2 more such)']),
        ("p.csv", 'a;p\n1;"x\ny // z"\n', {"column": "p"}, ["p.csv:2", _COMMENT, '(got "// z")']),
        ("p.txt", "a cat -- big\nhttp://x//y\na #1 cat\nc# and b-flat\n1--2\n", {}, []),
    ],
)  # fmt: skip
def test_prompts_with_what_other_programs_do_not_take_for_prompts_are_told_once_a_kind(
    here: Path, name: str, content: str, spec: dict[str, str], expected: list[str]
) -> None:
    written(here, name, content)

    notes = [str(note) for note in from_mapping({"sweep": {"prompt": {"file": name, **spec}}}).notes]

    assert notes == (["{}: sweep.prompt: {} {}".format(*expected)] if expected else [])
    assert from_mapping({"sweep": {"params.x": {"file": name, **spec}}}).notes == ()


def test_points_that_match_all_of_an_exclusion_are_left_out() -> None:
    sweep: dict[str, Any] = {"seed": [1, 2, 3], "upscale.denoise": [0.5, 1]}

    found = points({**sweep, "exclude": [{"seed": [1, 2], "upscale.denoise": 1}, {"seed": 3}]})

    assert [tuple(point.values()) for point in found] == [(1, 0.5), (2, 0.5)]


def test_an_exclusion_that_leaves_nothing_is_an_error() -> None:
    loaded = from_mapping({"sweep": {"seed": [1], "exclude": [{"seed": 1}]}})

    assert str(fault(lambda: expand(loaded))) == "recipe: sweep.exclude: leaves no job"


def test_an_exclusion_that_matches_nothing_is_a_warning() -> None:
    (note,) = from_mapping({"sweep": {"seed": [1, 2], "exclude": [{"seed": 3}]}}).notes

    assert str(note) == "recipe: sweep.exclude[0]: matches no point of the sweep"


def test_points_can_be_added_and_keep_the_recipes_own_values() -> None:
    sweep = {"seed": [1, 2], "sampler.steps": [8], "include": [{"sampler.steps": 20}, {"upscale.factor": 1.5, "seed": 2}]}

    found = points(sweep)

    assert found[2:] == [{"sampler.steps": 20}, {"seed": 2, "upscale.factor": 1.5}]


def test_an_added_point_that_is_there_already_is_dropped() -> None:
    sweep = {
        "seed": [1, 2],
        "sampler.cfg": [5],
        "include": [{"seed": 2, "sampler.cfg": 5.0}, {"sampler.cfg": 5}, {"seed": 7}, {"seed": 7, "sampler.cfg": 4}],
    }

    assert points(sweep, sampler={"cfg": 4})[2:] == [{"seed": 7}]


def test_an_added_point_may_bring_back_what_was_left_out() -> None:
    assert points({"seed": [1, 2], "exclude": [{"seed": 2}], "include": [{"seed": 2}]}) == [{"seed": 1}, {"seed": 2}]


def test_without_axes_there_are_only_the_added_points() -> None:
    assert points({"include": [{"seed": 4}, {"seed": 5}]}) == [{"seed": 4}, {"seed": 5}]


# over each other


def test_a_child_replaces_an_axis_as_a_whole_and_adds_its_own(here: Path) -> None:
    written(here, "base.yaml", "seed: 1\nsweep:\n  upscale.denoise: {from: 0.5, to: 0.6, step: 0.1}\n  seed: [1, 2]\n")
    text = "extends: base.yaml\nsweep:\n  upscale.denoise: {start: 1, count: 1}\n  sampler.steps: [8]\n"

    found = expand(load(written(here, "child.yaml", text)))

    assert [tuple(variant.assignments.items()) for variant in found] == [
        (("upscale.denoise", 1.0), ("seed", 1), ("sampler.steps", 8)),
        (("upscale.denoise", 1.0), ("seed", 2), ("sampler.steps", 8)),
    ]


@pytest.mark.parametrize("sweep", [None, {}])
def test_a_sweep_of_nothing_is_none(sweep: object) -> None:
    assert points(sweep) == [{}]


def test_a_child_takes_a_sweep_away_with_null(here: Path) -> None:
    written(here, "base.yaml", "seed: 1\nsweep: {seed: [1, 2]}\n")

    assert len(expand(load(written(here, "child.yaml", "extends: base.yaml\nsweep: null\n")))) == 1


@pytest.mark.parametrize(
    ("axis", "override"),
    [
        ({"seed": [1, 2]}, "seed=9"),
        ({"upscale.size.width": [640, 704]}, "upscale.size={width: 1280, height: 720}"),
        ({"upscale.factor": [1, 2]}, "upscale.size={width: 1280, height: 720}"),
        ({"loras": [["a"], []]}, "loras=[b]"),
        ({"params.a.b": [1, 2]}, "params.a=5"),
    ],
)
def test_an_override_pins_a_swept_field_and_that_is_said(axis: dict[str, Any], override: str) -> None:
    upscale = {"size": {"width": 640, "height": 360}} if "upscale.size.width" in axis else {}
    loaded = from_mapping({"seed": 1, "upscale": upscale, "sweep": {**axis, "sampler.steps": [8, 9]}}, sets=[override])

    assert [variant.assignments for variant in expand(loaded)] == [{"sampler.steps": 8}, {"sampler.steps": 9}]
    (note,) = loaded.notes
    assert str(note).startswith(f"--set {override.partition('=')[0]}")
    assert note.what == f"replaces the sweep over {next(iter(axis))}"
    assert note.level == "changed"


def test_an_override_of_another_field_beside_a_swept_one_pins_nothing() -> None:
    assert len(points({"upscale.denoise": [0.5, 0.6]}, sets=("upscale={factor: 1.5}",))) == 2


def test_an_override_pins_one_field_of_a_group_and_its_conditions() -> None:
    sweep = {
        "zip": {"seed": [1, 2, 3], "sampler.steps": [8, 9, 9]},
        "exclude": [{"seed": 2, "sampler.steps": 9}, {"seed": 7, "sampler.steps": 8}],
    }

    assert points(sweep, sets=("seed=7",)) == [{"sampler.steps": 9}]


def test_a_sweep_whose_axes_are_all_pinned_is_one_job() -> None:
    (variant,) = expand(from_mapping({"name": "x", "sweep": {"seed": [1, 2]}}, sets=["seed=9"]))

    assert (variant.job_id, variant.recipe().seed, variant.recipe().sweep) == ("x", 9, None)


def test_a_child_pins_a_field_that_its_parent_sweeps(here: Path) -> None:
    written(here, "base.yaml", "sweep: {seed: [1, 2]}\n")

    loaded = load(written(here, "child.yaml", "extends: base.yaml\nseed: 5\n"))

    assert len(expand(loaded)) == 1
    assert [note.where for note in loaded.notes] == ["child.yaml:2: seed"]


# errors


def test_all_that_is_wrong_is_told_once_with_its_place(here: Path) -> None:
    written(here, "bad.csv", "seed,upscale.denois,sampler.cfg\n1,2,101\n")
    text = (
        "prompt: 5\n"
        "seed: 1\n"
        "sweep:\n"
        "  upscale.denoise: [0.5, 0.6,\n"
        "    0.7, 1.5]\n"
        "  upscale.denois: [0.5]\n"
        "  seed: {from: -2, to: 0}\n"
        "  name: [a, b]\n"
        "  output.original: [a.png]\n"
        "  retry.server_lost: [1]\n"
        "  sampler.steps: []\n"
        "  sampler.cfg: {from: 1, to: 2, step: 0}\n"
        "  prompt: {file: nope.txt}\n"
        "  upscale: {sampler: [1]}\n"
        "  loras.0.strength_model: [1]\n"
        "  clip_skip: 5\n"
        "  size.width: {from: 64, too: 128}\n"
    )
    written(here, "x.yaml", text)

    found = {str(problem): problem.hint for problem in faults(lambda: load("x.yaml"))}

    assert set(found) == {
        "x.yaml:1: prompt: must be text (got 5)",
        "x.yaml:5: sweep.upscale.denoise[3]: must be at most 1 (got 1.5)",
        "x.yaml:6: sweep.upscale.denois: unknown field",
        'x.yaml:7: sweep.seed[0]: must be at least 0, or "random" (got -2)',
        'x.yaml:7: sweep.seed[1]: must be at least 0, or "random" (got -1)',
        "x.yaml:8: sweep.name: cannot be swept",
        "x.yaml:9: sweep.output.original: cannot be swept",
        "x.yaml:10: sweep.retry.server_lost: cannot be swept",
        "x.yaml:11: sweep.sampler.steps: has no values",
        "x.yaml:12: sweep.sampler.cfg: step must not be 0",
        "x.yaml:13: sweep.prompt.file: no such file (got nope.txt)",
        "x.yaml:14: sweep.upscale: cannot be swept together with upscale.denoise",
        "x.yaml:15: sweep.loras.0.strength_model: the recipe has no such LoRA, only 0",
        "x.yaml:16: sweep.clip_skip: must be a list of values (got 5)",
        'x.yaml:17: sweep.size.width.too: "too" cannot be combined with from',
    }
    assert found["x.yaml:6: sweep.upscale.denois: unknown field"] == "did you mean upscale.denoise?"
    assert found['x.yaml:17: sweep.size.width.too: "too" cannot be combined with from'] == "did you mean to?"


@pytest.mark.parametrize(
    ("sweep", "words"),
    [
        ({"seed": [1], "zip": {"seed": [1]}}, "sweep.zip.seed: is swept twice (first at recipe: sweep.seed)"),
        ({"upscale.factor": [1], "upscale.size": [{"width": 64, "height": 64}]}, "cannot be swept together with upscale.factor"),
        ({"size.width": [64], "size.preset": ["sdxl-square"]}, "sweep.size.preset: cannot be swept together with size.width"),
        ({"zip": {"seed": [1, 2], "prompt": ["a"]}}, "sweep.zip: fields that move together need the same "
            "number of values (got 2 of"),
        ({"zip": 5}, "sweep.zip: must be a list of groups (got 5)"),
        ({"zip": {"file": "x.csv", "column": "a"}}, 'sweep.zip.column: "column" cannot be combined with file'),
        ({"zip": [[]]}, "sweep.zip[0]: must be a mapping of fields that move together (got a list)"),
        ({"exclude": {"seed": 1}}, "sweep.exclude: must be a list of mappings (got a mapping)"),
        ({"seed": [1], "exclude": [{}]}, "sweep.exclude[0]: must be a mapping of fields to values (got a mapping)"),
        ({"seed": [1], "exclude": [{"sampler.steps": 1}]}, "sweep.exclude[0].sampler.steps: is not swept"),
        ({"seed": [1], "exclude": [{"seed": -1}]}, "sweep.exclude[0].seed: must be at least 0"),
        ({"include": [{"seed": [1]}]}, "sweep.include[0].seed: must be a whole number"),
        ({"include": [{"sed": 1}]}, "sweep.include[0].sed: unknown field"),
        ({"include": [{"upscale.factor": 1, "upscale.size.width": 64}]}, "cannot be combined with upscale.factor"),
        ({"prompt": [1]}, "sweep.prompt[0]: must be text (got 1)"),
        ({f"params.{'.'.join('a' * 5000)}": [1]}, "must have at most 50 parts"),
        ({"prompt.x": [1]}, "sweep.prompt.x: unknown field"),
        ({"a b": [1]}, 'sweep."a b": must be a dotted field'),
        ({"sampler": [{"nme": "x"}]}, "sweep.sampler[0].nme: unknown field"),
        ({"size": ["big"]}, 'sweep.size[0]: must be a mapping (got "big")'),
        ({"loras": [["a", {"name": "b", "strength": 1}]]}, "sweep.loras[0][1].strength: unknown field"),
        ({"params.list.3": [1]}, "sweep.params.list.3: the recipe has no such item, only 1"),
        ({"seed": {"start": 1}}, "sweep.seed: count is missing"),
        ({"seed": {"start": 1, "count": 1.5}}, "sweep.seed.count: must be a whole number (got 1.5)"),
        ({"seed": {"from": "a", "to": 3}}, 'sweep.seed.from: must be a number (got "a")'),
        ({"seed": {"from": True, "to": 3}}, "sweep.seed.from: must be a number (got true)"),
        ({"seed": {"from": "random", "to": 3}}, 'sweep.seed.from: must be a number (got "random")'),
        ({"seed": {"start": "random", "count": 2, "step": 0.5}}, "sweep.seed.step: must be a whole number (got 0.5)"),
        ({"seed": {"start": "random", "count": 3, "step": 2**52}}, "sweep.seed: must be at most 9007199254740991 from the first"),
        ({"seed": {"start": "random", "count": 0}}, "sweep.seed: count must be at least 1 (got 0)"),
        ({"upscale.seed": {"start": "random", "count": 2}}, 'sweep.upscale.seed.start: must be a number (got "random")'),
        ({"seed": {}}, "sweep.seed: is not a way to write values (got the keys none)"),
        ({"seed": {"file": 5}}, "sweep.seed.file: must be the path of a file (got 5)"),
        ({"seed": {"from": 1, "to": 100001}}, "sweep.seed: must be at most 100000 values (got 100001)"),
        ({"seed": {"from": 1, "to": 4001}, "sampler.steps": {"from": 1, "to": 1000}}, "sweep: makes 4001000 jobs"),
        (5, "sweep: must be a mapping (got 5)"),
    ],
)  # fmt: skip
def test_a_sweep_that_is_none_is_refused(sweep: Any, words: str) -> None:
    problem = fault(lambda: from_mapping({"sweep": sweep, "params": {"list": [1]}}))

    assert words in str(problem)


def test_at_most_a_hundred_fields_can_be_swept() -> None:
    sweep: dict[str, Any] = {f"params.x{index}": [1] for index in range(101)}

    assert str(fault(lambda: from_mapping({"sweep": sweep}))).startswith(
        "recipe: sweep.params.x100: is one field more than the 100"
    )


def test_many_exclusions_are_all_heeded() -> None:
    sweep = {"seed": {"start": 0, "count": 500}, "sampler.steps": [8, 9]}

    found = points({**sweep, "exclude": [{"seed": index, "sampler.steps": 8 + index % 2} for index in range(500)]})

    assert [tuple(point.values()) for point in found] == [(index, 9 - index % 2) for index in range(500)]


def test_a_nested_field_is_told_to_be_written_dotted() -> None:
    assert fault(lambda: from_mapping({"sweep": {"upscale": {"denoise": [1]}}})).hint == "write the field as upscale.denoise"


def test_of_very_many_wrong_values_some_are_shown_and_the_rest_counted() -> None:
    found = faults(lambda: from_mapping({"sweep": {"sampler.cfg": {"from": 101, "to": 1100}}}))

    assert len(found) == 21
    assert found[-1].what == "and 980 more values are wrong"


@pytest.mark.parametrize(
    ("spec", "content", "words"),
    [
        ({"file": "x.csv"}, "a\n1\n", "sweep.seed: column is missing"),
        ({"file": "x.csv", "column": "b"}, "a\n1\n", 'x.csv:1: has no column "b"'),
        ({"file": "x.csv", "column": 5}, "a\n1\n", "sweep.seed.column: must be the name of a column (got 5)"),
        ({"file": "x.csv", "column": "a"}, "a\n", "sweep.seed: has no values"),
        ({"file": "x.csv", "column": "a"}, "", "x.csv: is empty"),
        ({"file": "x.csv", "column": "a"}, "a,a\n1,2\n", 'x.csv:1: has two columns "a"'),
        ({"file": "x.csv", "column": "a"}, "a,b\n1,2\n1\n", "x.csv:3: must have 2 cells (got 1)"),
        ({"file": "x.csv", "column": "a"}, 'a\n1\n"2', "x.csv:3: is not CSV"),
        ({"file": "x.csv", "column": "a"}, "a\n1\n-2\n", "x.csv:3: sweep.seed: must be at least 0"),
        ({"file": "x.csv", "column": "a"}, "a\n1\n.nan\n", "x.csv:3: must be a finite number (got .nan)"),
        ({"file": "x.csv", "column": "x"}, "a;b,c\n1;2,3\n", "x.csv:1: has a comma and a semicolon in its header"),
        ({"file": "x.csv", "column": "c"}, "a;b\n1;2\n", 'x.csv:1: has no column "c"'),
        ({"file": "x.csv", "column": "a"}, "sep=;\na;b\n1;2\n1;2;3\n", "x.csv:4: must have 2 cells (got 3)"),
        ({"file": "x.csv", "column": "a", "delimiter": ";;"}, "a", "sweep.seed.delimiter: must be one character"),
        ({"file": "x.csv", "column": "a", "delimiter": "x"}, "a", 'is not a letter, digit or quote; or tab (got "x")'),
        ({"file": "x.csv", "column": "a", "delimiter": ""}, "a", "sweep.seed.delimiter: must be one character"),
        ({"file": "x.csv", "column": "a", "delimiter": 5}, "a", "sweep.seed.delimiter: must be one character"),
        ({"file": "x.txt", "delimiter": ";"}, "a", "sweep.seed: column is missing"),
        ({"file": "x.txt"}, "1\n\n# two\nx\n", "x.txt:4: sweep.seed: must be a whole number"),
        ({"file": "x.txt"}, "# nothing\n", "sweep.seed: has no values"),
        ({"file": "x.txt"}, "1\n\0\n", "x.txt:2: must not contain control characters (got U+0000)"),
        ({"file": "x.txt"}, "1\n" * 100_001, "x.txt: must have at most 100000 values (got 100001)"),
        ({"file": "x.txt"}, "#" * (17 << 20), "x.txt: must be at most 16777216 bytes"),
        ({"file": "."}, "", "sweep.seed.file: no such file"),
    ],
)  # fmt: skip
def test_a_file_without_sound_values_is_refused(here: Path, spec: dict[str, Any], content: str, words: str) -> None:
    (here / "x.csv").write_text(content, encoding="utf-8")
    (here / "x.txt").write_text(content, encoding="utf-8")

    assert words in str(fault(lambda: from_mapping({"sweep": {"seed": spec}})))


def test_columns_of_a_table_have_to_be_fields(here: Path) -> None:
    written(here, "pairs.csv", "seed,upscale.denois,sampler.cfg\n1,2,3\n2,3,101\n")

    found = {str(problem) for problem in faults(lambda: from_mapping({"sweep": {"zip": {"file": "pairs.csv"}}}))}

    assert found == {"pairs.csv: upscale.denois: unknown field", "pairs.csv:3: sampler.cfg: must be at most 100 (got 101)"}


def test_a_header_that_does_not_tell_what_separates_its_columns_is_refused(here: Path) -> None:
    written(here, "pairs.csv", "seed;prompt,clip_skip\n1;a,2\n")

    problem = fault(lambda: from_mapping({"sweep": {"zip": {"file": "pairs.csv"}}}))

    assert str(problem) == "pairs.csv:1: has a comma and a semicolon in its header, and only one can separate columns"
    assert problem.hint == 'write for example delimiter: ";" beside file, or sep=; as the file\'s first line'


# the JSON schema


@pytest.mark.parametrize(
    "sweep",
    [
        {"upscale.denoise": [0.5], "seed": {"start": 1, "count": 4}, "sampler.cfg": {"from": 1, "to": 2, "step": 0.5}},
        {"prompt": {"file": "a.txt"}, "vae": {"file": "a.csv", "column": "x", "delimiter": ";"}},
        {
            "zip": [{"seed": [1], "prompt": ["a"]}, {"file": "x.csv", "delimiter": "tab"}],
            "exclude": [{"seed": 1}],
            "include": [{"seed": 2}],
        },
        {"zip": {"seed": [1]}, "seed": {"start": "random", "count": 4}},
        None,
    ],
)
def test_the_json_schema_knows_the_ways_to_sweep(sweep: object) -> None:
    Draft202012Validator(json_schema()).validate({"sweep": sweep, "vae_decode": "tiled"})


@pytest.mark.parametrize(
    "values",
    [
        {"sweep": {"seed": 5}},
        {"sweep": {"seed": []}},
        {"sweep": {"seed": {"from": 1}}},
        {"sweep": {"seed": {"start": 1, "count": 0}}},
        {"sweep": {"seed": {"from": 1, "count": 3}}},
        {"sweep": {"exclude": {"seed": 1}}},
        {"sweep": {"zip": 5}},
        {"retry": {"server_lost": 21}},
        {"retry": {"graph_error": 1}},
        {"vae_decode": "no"},
    ],
)
def test_the_json_schema_refuses_what_the_recipe_refuses(values: dict[str, Any]) -> None:
    assert not Draft202012Validator(json_schema()).is_valid(values)
    assert faults(lambda: from_mapping(values))


def test_the_json_schema_knows_what_is_tried_again() -> None:
    retry = {"server_lost": 3, "out_of_memory": {"times": 1, "free": True, "vae_decode": "tiled"}}

    Draft202012Validator(json_schema()).validate({"retry": retry})
    assert from_mapping({"retry": retry}).recipe.retry is not None
