from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from comfy_runner.errors import UsageError
from comfy_runner.recipe.load import from_mapping, load, shipped_recipes
from tests.recipe.support import fault, faults, written


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make an empty folder the current directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_file_is_loaded_by_its_path(here: Path) -> None:
    path = written(here, "recipes/My Pic.yaml", "prompt: a cat\n")
    for source in (path, str(path), "recipes/My Pic.yaml"):
        loaded = load(source)
        assert loaded.recipe.prompt == "a cat"
        assert loaded.path == path.resolve()


def test_the_default_name_is_the_stem_of_the_file(here: Path) -> None:
    assert load(written(here, "My Pic.yaml", "prompt: x")).recipe.name == "My Pic"


def test_a_stem_that_is_no_name_is_an_error_that_names_the_field(here: Path) -> None:
    problem = fault(lambda: load(written(here, "лес.yaml", "prompt: x")))
    assert str(problem) == 'лес.yaml: name: must contain a letter from a to z or a digit (got "лес")'


@pytest.mark.parametrize("name", ["forest-sunrise", "forest_sunrise", "quickstart", "urban-skyline"])
def test_a_shipped_recipe_is_loaded_by_name_with_dash_or_underscore(name: str) -> None:
    assert load(name).recipe.name == name.replace("_", "-")


def test_a_folder_named_like_a_shipped_recipe_is_not_in_its_way(here: Path) -> None:
    (here / "quickstart").mkdir()
    assert load("quickstart").recipe.name == "quickstart"


def test_a_file_named_like_a_shipped_recipe_comes_first(here: Path) -> None:
    written(here, "quickstart", "prompt: mine")
    assert load("quickstart").recipe.prompt == "mine"


def test_an_unknown_name_is_an_error_that_lists_the_shipped_ones() -> None:
    problem = fault(lambda: load("quikstart"))
    assert ", ".join(shipped_recipes()) in problem.what
    assert problem.hint == "did you mean quickstart?"


@pytest.mark.parametrize("mistyped", ["forest.yml", "froest.yaml", "forest"])
def test_a_file_of_nearly_that_name_is_the_hint(here: Path, mistyped: str) -> None:
    written(here, "forest.yaml", "prompt: mine")

    assert fault(lambda: load(mistyped)).hint == "did you mean forest.yaml?"


def test_a_file_with_the_name_of_a_shipped_recipe_that_is_not_there_is_answered_with_that_recipe() -> None:
    assert fault(lambda: load("forest_sunrise.yaml")).hint == "for the recipe that comes with comfy_runner, write forest-sunrise"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("nope.yaml", "nope.yaml: no such file"),
        ("some/where", "some/where: no such file"),
        ("NOPE.YML", "NOPE.YML: no such file"),
        ("./", "is a directory, not a file"),
        ("a\0b.yaml", "cannot be read"),
        ("x" * 5000 + ".yaml", "cannot be read"),
        ("", "there is no shipped recipe of this name"),
        ("-", "there is no shipped recipe of this name"),
        ("../quickstart", "no such file"),
    ],
)
def test_a_source_that_cannot_be_read_is_an_error(source: str, words: str) -> None:
    assert words in str(fault(lambda: load(source)))


def test_a_file_that_is_not_utf_8_is_an_error(here: Path) -> None:
    (here / "x.yaml").write_bytes(b"prompt: caf\xe9\n")
    assert str(fault(lambda: load("x.yaml"))) == "x.yaml:1: is not UTF-8 text (got byte 0xe9)"


@pytest.mark.parametrize(
    ("text", "words"),
    [("", "x.yaml: is empty"), ("- a", "must be a mapping of fields (got a list)"), ("a", 'mapping of fields (got "a")')],
)
def test_a_file_that_holds_no_mapping_is_an_error(here: Path, text: str, words: str) -> None:
    assert words in str(fault(lambda: load(written(here, "x.yaml", text))))


def test_all_errors_of_a_file_come_at_once_with_their_places(here: Path) -> None:
    written(
        here,
        "recipes/x.yaml",
        "name: x\n"
        "denoise: 3\n"
        "prompt: 42\n"
        "seed: -1\n"
        "size: {width: 10, height: 20000}\n"
        "sampler:\n"
        '  steps: "30"\n'
        "  cfg: true\n"
        "upscale:\n"
        "  denoise: 1.5\n"
        "  size:\n"
        "    width: 100\n"
        "loras:\n"
        "  - a\n"
        "  - name: b\n"
        "    strength: 4\n"
        "output:\n"
        "  original: ../a.png\n",
    )
    found = sorted(str(problem) for problem in faults(lambda: load("recipes/x.yaml")))
    assert found == sorted(
        [
            "recipes/x.yaml:2: denoise: unknown field",
            "recipes/x.yaml:3: prompt: must be text (got 42)",
            'recipes/x.yaml:4: seed: must be at least 0, or "random" (got -1)',
            "recipes/x.yaml:5: size.width: must be at least 16 (got 10)",
            "recipes/x.yaml:5: size.height: must be at most 16384 (got 20000)",
            'recipes/x.yaml:7: sampler.steps: must be a whole number (got "30")',
            "recipes/x.yaml:8: sampler.cfg: must be a number (got true)",
            "recipes/x.yaml:10: upscale.denoise: must be at most 1 (got 1.5)",
            "recipes/x.yaml:11: upscale.size.height: is missing",
            "recipes/x.yaml:16: loras[1].strength: unknown field",
            'recipes/x.yaml:18: output.original: must not contain empty parts, . or .. (got "../a.png")',
        ]
    )


def test_a_file_outside_the_current_directory_is_named_in_full(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(here, "x.yaml", "seed: -1\n")
    (here / "in").mkdir()
    monkeypatch.chdir(here / "in")
    assert fault(lambda: load(path)).where == f"{path}:1: seed"


def test_where_is_the_line_of_a_field_or_of_its_file(here: Path) -> None:
    loaded = load(written(here, "x.yaml", "prompt: x\nupscale:\n  denoise: 0.6\nloras:\n  - name: a\n"))
    assert loaded.where("upscale.denoise") == "x.yaml:3: upscale.denoise"
    assert loaded.where("upscale.method") == "x.yaml:2: upscale.method"
    assert loaded.where("loras[0].name") == "x.yaml:5: loras[0].name"
    assert loaded.where("seed") == "x.yaml: seed"


# extends


def test_a_child_changes_what_it_gives_and_keeps_the_rest(here: Path) -> None:
    written(
        here,
        "base.yaml",
        "name: base\nprompt: a\nloras: [x, y]\nsampler: {steps: 10, cfg: 3}\nparams: {a: {b: 1, c: 2}, d: [1, 2]}\n",
    )
    child = written(here, "sub/child.yaml", "extends: ../base.yaml\nloras: [z]\nsampler: {cfg: 4}\nparams: {a: {b: 9}, d: [3]}\n")
    recipe = load(child).recipe
    assert recipe.prompt == "a"
    assert [lora.name for lora in recipe.loras] == ["z"]
    assert (recipe.sampler.steps, recipe.sampler.cfg) == (10, 4)
    assert recipe.params == {"a": {"b": 9, "c": 2}, "d": [3]}


def test_a_name_is_not_inherited(here: Path) -> None:
    written(here, "base.yaml", "name: base\n")
    assert load(written(here, "child.yaml", "extends: base.yaml\n")).recipe.name == "child"


def test_a_shipped_recipe_can_be_extended_by_name(here: Path) -> None:
    recipe = load(written(here, "mine.yaml", "extends: urban_skyline\nseed: 7\n")).recipe
    assert (recipe.name, recipe.seed) == ("mine", 7)
    assert recipe.prompt == load("urban-skyline").recipe.prompt


def test_a_chain_of_three_is_read_from_the_top_down(here: Path) -> None:
    written(here, "a.yaml", "prompt: a\nseed: 1\nclip_skip: 1\n")
    written(here, "b.yaml", "extends: ./a.yaml\nseed: 2\nclip_skip: 2\n")
    loaded = load(written(here, "c.yaml", "extends: b.yaml\nseed: 3\n"))
    assert (loaded.recipe.prompt, loaded.recipe.seed, loaded.recipe.clip_skip) == ("a", 3, 2)


def test_a_fault_in_a_parent_is_placed_in_the_parent(here: Path) -> None:
    written(here, "base.yaml", "prompt: a\nupscale:\n  denoise: 1.5\n")
    child = written(here, "child.yaml", "extends: base.yaml\nupscale:\n  factor: 9\n")
    assert {problem.where for problem in faults(lambda: load(child))} == {
        "base.yaml:3: upscale.denoise",
        "child.yaml:3: upscale.factor",
    }


def test_a_fault_that_the_child_corrects_is_none(here: Path) -> None:
    written(here, "base.yaml", "upscale: {denoise: 1.5}\n")
    assert load(written(here, "child.yaml", "extends: base.yaml\nupscale: {denoise: 0.5}\n")).recipe.upscale.denoise == 0.5


@pytest.mark.parametrize("files", [{"a.yaml": "a.yaml"}, {"a.yaml": "b.yaml", "b.yaml": "c.yaml", "c.yaml": "./a.yaml"}])
def test_a_cycle_is_an_error_that_shows_it(here: Path, files: Mapping[str, str]) -> None:
    for name, parent in files.items():
        written(here, name, f"prompt: x\nextends: {parent}\n")
    problem = fault(lambda: load("a.yaml"))
    assert problem.where == f"{list(files)[-1]}:2: extends"
    assert problem.what == f"extends itself ({' -> '.join([*files, 'a.yaml'])})"


def test_a_chain_without_end_is_an_error(here: Path) -> None:
    for number in range(30):
        written(here, f"{number}.yaml", f"extends: {number + 1}.yaml\n")
    assert fault(lambda: load("0.yaml")).what.startswith("extends more than 16 recipes")


@pytest.mark.parametrize(
    ("parent", "words"),
    [
        ("nope.yaml", 'no such file (got "nope.yaml")'),
        ("nope", 'there is no shipped recipe of this name (got "nope")'),
        ("5", "must be the path or name of a recipe (got 5)"),
        ("[a.yaml]", "must be the path or name of a recipe (got a list)"),
        ("''", 'must be the path or name of a recipe (got "")'),
    ],
)
def test_a_parent_that_cannot_be_found_is_an_error_on_its_line(here: Path, parent: str, words: str) -> None:
    problem = fault(lambda: load(written(here, "x.yaml", f"prompt: x\nextends: {parent}\n")))
    assert str(problem).startswith(f"x.yaml:2: extends: {words}")


def test_a_folder_is_that_of_the_file_that_gave_the_field(here: Path) -> None:
    written(here, "lib/base.yaml", "template: mine.json\n")
    loaded = load(written(here, "child.yaml", "extends: lib/base.yaml\nprompt: x\n"))
    assert loaded.folder("template") == here / "lib"
    assert loaded.folder("prompt") == here
    assert loaded.folder("sampler") is None
    assert load("child.yaml", sets=["template=x"]).folder("template") is None


# texts that are not what they look like


@pytest.mark.parametrize(
    ("text", "place", "comment", "value"),
    [
        ("prompt: a cat # best", "1: prompt", "# best", "a cat"),
        ("prompt: a #1 cat # best", "1: prompt", "#1 cat # best", "a"),
        ("prompt: cat # best", "1: prompt", "# best", "cat"),
        ("seed: 1\nprompt: a cat\n  sitting # best", "2: prompt", "# best", "a cat sitting"),
        ("prompt: a cat\n  #1 of all\n", "1: prompt", "#1 of all", "a cat"),
        ("prompt: a {# big #} cat\n", "1: prompt", "#} cat", "a {# big"),
        ("sweep:\n  prompt: [a, b]\n  negative_prompt:\n  - blur # all", "4: sweep.negative_prompt[0]", "# all", "blur"),
        ("vae: model #2.safetensors", "1: vae", "#2.safetensors", "model"),
        ("params: {title: my cat # 1\n}", "1: params.title", "# 1", "my cat"),
    ],
)
def test_a_comment_that_may_be_a_part_of_a_text_is_a_warning(here: Path, text: str, place: str, comment: str, value: str) -> None:
    (note,) = load(written(here, "x.yaml", text)).notes
    assert note.where == f"x.yaml:{place}"
    assert note.what.startswith(f'"{comment}" is a comment, not part of "{value}"; if it is meant as text, put the whole text')
    assert note.level == "warning"


@pytest.mark.parametrize(
    "text", ["vae: x.pt # mine", "seed: 1 #2", "prompt: 'a cat' # best", "prompt: a cat\n# best", "vae: #x.pt"]
)
def test_other_comments_are_no_warnings(here: Path, text: str) -> None:
    assert load(written(here, "x.yaml", text)).notes == ()


def test_comments_in_a_parent_count_where_its_text_does(here: Path) -> None:
    written(here, "base.yaml", "prompt: a cat # best\n")
    child = written(here, "child.yaml", "extends: base.yaml\n")
    assert [note.where for note in load(child).notes] == ["base.yaml:1: prompt"]
    assert load(child, sets=["prompt=x"]).notes == ()


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("prompt: [cat]", "a text that begins with [ or {"),
        ("prompt: {a|b}", "a text that begins with [ or {"),
        ("negative_prompt: #1 cat", "a text that begins with # needs quotes"),
        (r'vae: "SDXL\new.pt"', r"\n in double quotes is that character: put the value in single quotes"),
        (r'output: {original: "a\test.png"}', r"\t in double quotes is that character"),
        (r'name: "a\rest"', r"\r in double quotes is that character"),
    ],
)
def test_a_text_that_yaml_takes_for_something_else_is_an_error_with_the_way_out(here: Path, text: str, hint: str) -> None:
    assert hint in fault(lambda: load(written(here, "x.yaml", text))).hint


# fields that cannot be used together


WAYS: list[dict[str, Any]] = [
    {"width": 512, "height": 256},
    {"aspect": "1:1", "megapixels": 1.0},
    {"preset": "sdxl-square"},
]


@pytest.mark.parametrize("under", WAYS)
@pytest.mark.parametrize("over", WAYS)
def test_a_size_in_one_way_replaces_the_parents_in_another(here: Path, under: Mapping[str, Any], over: Mapping[str, Any]) -> None:
    written(here, "base.yaml", f"size: {json.dumps(under)}\n")
    child = written(here, "child.yaml", f"extends: base.yaml\nsize: {json.dumps(over)}\n")
    assert load(child).recipe.size.model_dump(exclude_none=True) == over
    sets = [f"size.{key}={value}" for key, value in over.items()]
    assert load("base.yaml", sets=sets).recipe.size.model_dump(exclude_none=True) == over


def test_half_a_size_completes_the_parents_of_the_same_way(here: Path) -> None:
    written(here, "base.yaml", "size: {width: 512, height: 256}\n")
    size = load("base.yaml", sets=["size.width=1024"]).recipe.size
    assert (size.width, size.height) == (1024, 256)


def test_an_upscaled_size_replaces_the_parents_factor_and_the_other_way_round(here: Path) -> None:
    written(here, "factor.yaml", "upscale: {factor: 3, denoise: 0.7}\n")
    sized = written(here, "size.yaml", "extends: factor.yaml\nupscale: {size: {width: 1280, height: 720}}\n")
    upscale = load(sized).recipe.upscale
    assert upscale.factor is None
    assert upscale.size is not None
    assert upscale.denoise == 0.7
    again = load(sized, sets=["upscale.factor=1.5"]).recipe.upscale
    assert (again.factor, again.size) == (1.5, None)


# overrides


def test_an_override_replaces_a_field_and_is_where_it_comes_from(here: Path) -> None:
    loaded = load(written(here, "x.yaml", "upscale: {denoise: 0.5}\n"), sets=["upscale.denoise=0.6", "seed=random"])
    assert loaded.recipe.upscale.denoise == 0.6
    assert loaded.needs_seed
    assert loaded.where("upscale.denoise") == "--set upscale.denoise"


def test_of_two_overrides_of_one_field_the_last_wins() -> None:
    assert from_mapping({}, sets=["seed=1", "seed=2"]).recipe.seed == 2


@pytest.mark.parametrize(
    ("override", "field", "expected"),
    [
        ("prompt=a: b, #c {d}", "prompt", "a: b, #c {d}"),
        ("prompt=42", "prompt", "42"),
        ("prompt=null", "prompt", "null"),
        ('prompt="a\\nb"', "prompt", "a\nb"),
        ("prompt='it''s'", "prompt", "it's"),
        ('prompt="a" and "b"', "prompt", '"a" and "b"'),
        ("prompt=a=b", "prompt", "a=b"),
        ("prompt=", "prompt", ""),
        ("negative_prompt=", "negative_prompt", ""),
        ("vae=null", "vae", None),
        ("checkpoint=a\\b.safetensors", "checkpoint", "a\\b.safetensors"),
        ("params={a: [1, 16:9]}", "params", {"a": [1, "16:9"]}),
        ("prompt=[a:b:0.1,0.5],cat", "prompt", "[a:b:0.1,0.5],cat"),
        ('prompt="a": b', "prompt", '"a": b'),
        ('params.x="[a:b:0.1],cat"', "params", {"x": "[a:b:0.1],cat"}),
        *[
            (f"params.x={text}", "params", {"x": text})
            for text in ("a #1", "#1", "a: b", "@a", "&a b", "*a", "!a b", "| a", "%", "`")
        ],
        ("params.x= 0x10 ", "params", {"x": 16}),
        ("params.deep.er=true", "params", {"deep": {"er": True}}),
    ],
)
def test_an_override_means_what_it_says(override: str, field: str, expected: object) -> None:
    assert getattr(from_mapping({"vae": "x"}, sets=[override]).recipe, field) == expected


@pytest.mark.parametrize("override", ["", "seed", "=5", " =5", "a..b=1", ".a=1", "a.=1", "a b=1", "loras[0]=x"])
def test_a_malformed_override_is_a_usage_error(override: str) -> None:
    problem = fault(lambda: from_mapping({}, sets=[override]), error=UsageError)
    assert problem.what.startswith("must be field=value")


@pytest.mark.parametrize("text", ["[1", "[a:b:0.1,0.5],cat", '"a "big" cat"', "{a|b} cat"])
def test_an_override_that_begins_as_yaml_and_is_none_is_a_usage_error_with_the_way_out(text: str) -> None:
    problem = fault(lambda: from_mapping({}, sets=[f"params.x={text}"]), error=UsageError)
    assert problem.where == "--set params.x"
    assert """--set params.x='"..."'""" in problem.hint


def test_an_override_of_a_very_deep_field_is_a_usage_error() -> None:
    deep = f"params.{'.'.join('a' * 5000)}=1"

    assert "at most 50 parts" in fault(lambda: from_mapping({}, sets=[deep]), error=UsageError).what


def test_all_malformed_overrides_are_named() -> None:
    assert len(faults(lambda: from_mapping({}, sets=["a", "b", "seed=[", "extends=x"]), error=UsageError)) == 4


def test_overrides_that_do_not_fit_are_all_reported_like_fields() -> None:
    sets = ["upscale.denoise=1.5", "upscale.denois=0.5", "prompt.x=1", "seed=-1"]
    found = {str(problem): problem.hint for problem in faults(lambda: from_mapping({}, sets=sets))}
    assert set(found) == {
        "--set upscale.denoise: must be at most 1 (got 1.5)",
        "--set upscale.denois: unknown field",
        "--set prompt: must be text (got a mapping)",
        '--set seed: must be at least 0, or "random" (got -1)',
    }
    assert found["--set upscale.denois: unknown field"] == "did you mean upscale.denoise?"


# from Python


def test_a_mapping_may_extend_and_is_named_recipe(here: Path) -> None:
    written(here, "base.yaml", "prompt: a\n")
    loaded = from_mapping({"extends": "base.yaml", "seed": 3})
    assert (loaded.recipe.name, loaded.recipe.prompt, loaded.recipe.seed, loaded.path) == ("recipe", "a", 3, None)


def test_tuples_count_as_lists() -> None:
    assert [lora.name for lora in from_mapping({"loras": ("a", {"name": "b"})}).recipe.loras] == ["a", "b"]


def test_what_has_no_plain_form_is_an_error_with_its_place() -> None:
    values: dict[Any, Any] = {
        "params": {"a": object(), "b": float("nan"), "c": [1, {2}], 3: 4},
        "prompt": "a\0b",
        "negative_prompt": "\ud800",
        "seed": 10**5000,
    }
    assert {str(problem) for problem in faults(lambda: from_mapping(values))} == {
        "recipe: params.a: must be text, a number, true, false, a list or a mapping (got a value of type object)",
        "recipe: params.b: must be a finite number (got nan)",
        "recipe: params.c[1]: must be text, a number, true, false, a list or a mapping (got a value of type set)",
        "recipe: params: a key must be text (got 3)",
        "recipe: prompt: must not contain U+0000",
        "recipe: negative_prompt: must not contain U+D800",
        "recipe: seed: must be a number of at most 64 bits",
    }


def test_a_mapping_that_contains_itself_is_an_error() -> None:
    values: dict[str, Any] = {}
    values["params"] = values
    assert "nested at most" in fault(lambda: from_mapping(values)).what


def test_the_values_given_stay_as_they_are() -> None:
    inner: dict[str, Any] = {"a": [1]}
    given = {"params": inner, "upscale": {"factor": 2}}
    from_mapping(given, sets=["params.a=5", "upscale.size={width: 640, height: 360}"])
    assert given == {"params": {"a": [1]}, "upscale": {"factor": 2}}
