from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from comfy_runner.recipe.load import from_mapping, load
from comfy_runner.recipe.sweep.expand import expand
from tests.recipe.support import fault, written


def prompts(**fields: Any) -> list[str]:
    return [variant.job().values["prompt"] for variant in expand(from_mapping({"seed": 1, **fields}))]


def test_each_combination_is_a_job() -> None:
    found = prompts(prompt=r"a {red|blue} {x}{| {big|huge}} \{a\|b\}", alternatives="combine", vars={"x": "fox|"})

    assert found == [f"a {color} fox|{size} {{a|b}}" for color in ("red", "blue") for size in ("", " big", " huge")]


def test_the_points_of_a_sweep_are_multiplied() -> None:
    sweep = {"zip": {"prompt": ["{a|b}", "c"], "seed": [1, 2]}, "include": [{"prompt": "{d|e}", "seed": 3}]}
    found = expand(from_mapping({"prompt": "x", "negative_prompt": "{n|m}", "alternatives": "combine", "sweep": sweep}))

    assert [(job.values["prompt"], job.values["negative_prompt"], job.seed) for job in (variant.job() for variant in found)] == [
        *(("a", "n", 1), ("a", "m", 1), ("b", "n", 1), ("b", "m", 1), ("c", "n", 2), ("c", "m", 2)),
        *(("d", "n", 3), ("e", "n", 3)),
    ]


def test_other_programs_syntax_in_combined_prompts_is_told() -> None:
    loaded = from_mapping({"prompt": "a {red|[blue:grey:5]} fox <lora:a:1>", "alternatives": "combine"})

    assert sorted(note.what.split('"')[1] for note in loaded.notes if "as words" in note.what) == ["<lora:a:1>", "[blue:grey:5]"]


def test_an_axis_that_is_pinned_has_the_alternatives_of_what_pins_it() -> None:
    loaded = from_mapping({"seed": 1, "alternatives": "combine", "sweep": {"prompt": ["a"]}}, sets=["prompt={b|c}"])

    assert [variant.job().values["prompt"] for variant in expand(loaded)] == ["b", "c"]


def test_one_of_them_is_taken_by_the_seed_the_same_everywhere() -> None:
    fields = {"prompt": "{a|b|c|d} {a|b|c|d}", "negative_prompt": "{a|b|c|d} {a|b|c|d}", "alternatives": "random"}
    jobs = [variant.job() for variant in expand(from_mapping({**fields, "sweep": {"seed": {"start": 1, "count": 6}}}))]

    assert [job.values["prompt"] for job in jobs] == ["d a", "a a", "c d", "b d", "c c", "c d"]
    assert [job.values["negative_prompt"] for job in jobs] != [job.values["prompt"] for job in jobs]
    assert jobs[0].filled_from == {
        "prompt": fields["prompt"],
        "negative_prompt": fields["negative_prompt"],
        "alternatives": "random",
    }


@pytest.fixture
def words(tmp_path: Path) -> Path:
    written(tmp_path, "words/animals.txt", "# mine\nfox\n\nowl, {big|small}\r\n {who}\n")
    written(tmp_path, "words/deep/er.txt", "in __place__\n")
    written(tmp_path, "words/place.txt", "snow\n")
    return tmp_path


def recipe(folder: Path, **fields: Any) -> Path:
    values = {"seed": 1, "wildcards": "words", "alternatives": "combine", "vars": {"who": "Ann"}, **fields}
    return written(folder, "x.yaml", "\n".join(f"{name}: {json.dumps(value)}" for name, value in values.items()))


def test_wildcards_are_the_lines_of_files(words: Path) -> None:
    loaded = load(recipe(words, prompt=r"a __animals__ __deep/er__ \__x__ a__b"))

    assert [variant.job().values["prompt"] for variant in expand(loaded)] == [
        f"a {animal} in snow __x__ a__b" for animal in ("fox", "owl, big", "owl, small", "Ann")
    ]
    one = load(recipe(words, prompt="__animals__", alternatives="random"))
    assert expand(one)[0].job().values["prompt"] == "owl, big"


@pytest.mark.parametrize(
    ("name", "what", "hint"),
    [
        ("animal", "there is no {}/animal.txt for __animal__", "did you mean animals?"),
        ("../x", "__../x__ is not the name of a file below {}", "without . and .."),
        ("/etc/passwd", "__/etc/passwd__ is not the name of a file below {}", "without . and .."),
        ("out", "{}/out.txt leads out of {}", "not a link"),
        ("circle", "names itself (__circle__ -> __circle__)", "remove one of them"),
        ("chain0", "names more than 10 nested files", "remove one of them"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_with_the_nearest_name(words: Path, name: str, what: str, hint: str) -> None:
    written(words, "secret.txt", "secret\n")
    (words / "words" / "out.txt").symlink_to(words / "secret.txt")
    written(words, "words/circle.txt", "a {b|__circle__}\n")
    for number in range(12):
        written(words, f"words/chain{number}.txt", f"__chain{number + 1}__\n")

    problem = fault(lambda: load(recipe(words, prompt=f"__{name}__")))

    assert problem.what.startswith(what.replace("{}", str(words / "words")))
    assert hint in problem.hint
    assert problem.where.endswith("x.yaml:5: prompt")


@pytest.mark.parametrize(
    ("content", "what"),
    [(b"", "has no lines"), (b"a\n{b|c\n", "has a { without its }"), (b"\xff", "is not UTF-8"), (b"a\x00", "control characters")],
)
def test_what_is_wrong_with_a_file_is_told_at_its_line(words: Path, content: bytes, what: str) -> None:
    (words / "words" / "bad.txt").write_bytes(content)

    problem = fault(lambda: load(recipe(words, prompt="__bad__")))

    assert what in problem.what
    assert "words/bad.txt" in problem.where


def test_the_folder_lies_below_the_recipe(words: Path) -> None:
    assert fault(lambda: load(recipe(words, prompt="a", wildcards=".."))).what == "must be below the recipe's folder"
    assert fault(lambda: load(recipe(words, prompt="a", wildcards="nowhere"))).what.startswith("no such folder")
    assert fault(lambda: from_mapping({"wildcards": "words"})).what == "also needs alternatives"


@pytest.mark.parametrize(
    ("prompt", "what"),
    [
        ("{a|b}" * 17, "has 131072 combinations, and at most 100000"),
        ("{a|b}" * 100, "has very many combinations"),
        ("{a|b}" * 201, "has more than 200 names, alternatives"),
        ("{a|" * 21 + "}" * 21, "has more than 20 nested braces"),
        ("{" + "x" * 1_000_000 + "|" + "y}" + "{a|b}" * 9, "of 64 million characters"),
        ("{2$$a|b}", "gives a weight or a count"),
        ("{a}", "there is no variable a"),
        ("{a b}", "is neither the name of a variable nor alternatives"),
    ],
)
def test_there_is_a_limit(prompt: str, what: str) -> None:
    assert what in fault(lambda: prompts(prompt=prompt, alternatives="combine")).what
