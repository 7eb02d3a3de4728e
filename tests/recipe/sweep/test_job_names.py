from __future__ import annotations

from pathlib import Path

import pytest

from comfy_runner.errors import UsageError
from comfy_runner.recipe.load import from_mapping, load
from comfy_runner.recipe.sweep.expand import Variant, expand
from tests.recipe.support import fault, faults, written


def batch(folder: Path, table: str, more: str = "", *, name: str = "batch.csv") -> list[Variant]:
    path = folder / name
    path.write_bytes(table.encode())
    return expand(load(written(folder, "zoo.yaml", f"seed: 1\nprompt: x\nsweep:\n  zip: [{{file: {name}}}]\n{more}")))


@pytest.mark.parametrize("start", ["", "\ufeff", "sep=;\r\n", "\ufeffsep=;\r\n"])
def test_a_column_called_name_names_the_jobs(tmp_path: Path, start: str) -> None:
    table = f"{start}name;prompt;sampler.steps\r\nRed Fox;a fox, red;7\r\n 007 ;an owl;5\r\n"

    found = batch(tmp_path, table, "  upscale.denoise: [0.5, 0.6]\n")

    assert [variant.job_id for variant in found] == ["red-fox-d050", "red-fox-d060", "007-d050", "007-d060"]
    job = found[2].job()
    assert (job.values["name"], job.values["prompt"], job.values["sampler"]["steps"]) == ("007", "an owl", 5)
    assert found[0].recipe_name == "zoo"
    assert found[0].assignments["name"] == "Red Fox"


def test_a_list_of_names_does_too() -> None:
    sweep = {"zip": {"name": ["day", "night"], "prompt": ["a", "b"]}, "include": [{"prompt": "c"}]}
    found = expand(from_mapping({"name": "zoo", "seed": 1, "sweep": sweep}))

    assert [variant.job_id for variant in found] == ["day", "night", "zoo-c"]
    assert fault(lambda: from_mapping({"sweep": {"name": ["a"]}})).hint == "only in a zip or in a table, whose rows it names"


@pytest.mark.parametrize(
    ("second", "what"),
    [
        ("red_FOX", 'names two jobs whose files would have the same name (got "red_FOX", first at {}:2: name)'),
        ("", "must have 1 to 100 characters"),
        ("../x", "must not contain any of /"),
        ("a\\b", "must not contain any of /"),
        ("狐", "must contain a letter from a to z"),
        ("x" * 101, "must have 1 to 100 characters"),
    ],
)
def test_a_name_that_no_file_can_have_is_told_at_its_row(tmp_path: Path, second: str, what: str) -> None:
    problem = fault(lambda: batch(tmp_path, f"name,prompt\nRed Fox,a\n{second},b\n"))

    assert problem.what.startswith(what.format(tmp_path / "batch.csv"))
    assert problem.where == f"{tmp_path / 'batch.csv'}:3: name"


def test_names_that_windows_reserves_are_other_ones(tmp_path: Path) -> None:
    assert [variant.job_id for variant in batch(tmp_path, "name\tprompt\nCON\ta\nlpt1\tb\n")] == ["job-con", "job-lpt1"]


def test_a_table_is_given_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path, "batch.csv", "name,vars.animal\na,fox\nb,owl\n")

    found = expand(from_mapping({"seed": 1, "prompt": "{animal}"}, sweeps=["@batch.csv", "sampler.steps=5,6"]))

    assert [(variant.job_id, variant.job().values["prompt"]) for variant in found] == [
        *(("a-st5", "fox"), ("a-st6", "fox"), ("b-st5", "owl"), ("b-st6", "owl"))
    ]
    assert fault(lambda: from_mapping({}, sweeps=["@no.csv"]), error=UsageError).where == "--sweep @no.csv"


def test_lines_of_a1111_are_jobs(tmp_path: Path) -> None:
    lines = (
        "# mine\n"
        '--prompt "a \\"big\\" cat, (red:1.2) \\(x\\)" --negative_prompt "blurry" --steps 7 --cfg_scale 5.5 '
        '--width 512 --height 768 --sampler_name "Euler a" --seed 1\n'
        "a plain dog: sitting\n"
        "--prompt a small owl --seed -1 --batch_size 4 --n_iter 2 --tiling\n"
        "a fox --steps 9\n"
    )
    found = batch(tmp_path, lines, name="lines.txt")
    first, second, third, fourth = [variant.job(seed=5 if variant.draw else None) for variant in found]

    assert first.values["prompt"] == 'a "big" cat, (red:1.2) \\(x\\)'
    assert (first.values["negative_prompt"], first.values["sampler"]["name"]) == ("blurry", "euler_ancestral")
    assert (first.values["sampler"]["steps"], first.values["sampler"]["cfg"]) == (7, 5.5)
    assert (first.values["width"], first.values["height"], first.seed) == (512, 768, 1)
    assert (second.values["prompt"], second.values["sampler"]["steps"], second.seed) == ("a plain dog: sitting", 30, 1)
    assert (third.values["prompt"], third.seed) == ("a small owl", 5)
    assert (second.values["batch_size"], third.values["batch_size"]) == (1, 4)
    assert (fourth.values["prompt"], fourth.values["sampler"]["steps"]) == ("a fox", 9)
    told = [note.what for note in found[0].loaded.notes if "is ignored" in note.what]
    assert told == [
        '--n_iter is ignored, because recipes have no such field (got "2")',
        '--tiling is ignored, because recipes have no such field (got "")',
    ]


def test_what_is_wrong_with_lines_is_told_at_each(tmp_path: Path) -> None:
    lines = '--prompt "a --steps 7\na --step 7 --steps 7\n--steps\n--steps 7 --steps 8\n--width 64 --prompt a\n'

    found = faults(lambda: batch(tmp_path, lines, name="lines.txt"))

    assert [(problem.where.rpartition(":")[2], problem.what) for problem in found] == [
        ("1", "has an unmatched quote or backslash"),
        ("2", "there is no option --step"),
        ("3", "--steps has no value"),
        ("4", "gives --steps twice"),
        ("5", "gives one of --width and --height"),
    ]
    assert found[1].hint == "did you mean steps?"
    many = fault(lambda: batch(tmp_path, "a --steps 0\n", name="lines.txt"))
    assert (many.what, many.where) == ("must be at least 1 (got 0)", f"{tmp_path / 'lines.txt'}:1: sampler.steps")


def test_each_prompt_has_a_seed_of_its_own_where_it_is_left_to_chance() -> None:
    sweep = {"prompt": ["a", "b"], "upscale.denoise": [0.5, 0.6], "include": [{"sampler.steps": 5}]}
    found = expand(from_mapping({"name": "zoo", "seed": "random", "prompt": "x", "sweep": sweep}))
    again = expand(from_mapping({"name": "zoo", "seed": "random", "sweep": {"prompt": ["c", "b"]}}))

    records = [variant.draw.record("zoo") for variant in found if variant.draw]
    assert records[0] == records[1] != records[2] == records[3]
    assert records[4:] == ["zoo"]
    assert again[1].draw == found[2].draw
    given = expand(from_mapping({"seed": 1, "sweep": {"seed": ["random"], "prompt": ["a", "b"]}}))
    assert [str(variant.draw) for variant in given] == ["random", "random"]
    assert given[0].draw == given[1].draw
