"""Whatever a recipe or an override says, it gives a sound job or is refused; nothing else comes out."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfy_runner.errors import ComfyRunnerError, InputError, RecipeError
from comfy_runner.recipe.job import Job, job
from comfy_runner.recipe.load import from_mapping, load
from comfy_runner.recipe.names import path_fault
from comfy_runner.recipe.schema import json_schema
from tests.hostile.tally import survives
from tests.hostile.values import TEXTS, deep, mangled, many, seeded, spoiled, tree

NAMES = sorted({name for model in (json_schema(), *json_schema()["$defs"].values()) for name in model["properties"]})
SOUND: dict[str, Any] = {
    "name": "lake",
    "prompt": "a lake",
    "checkpoint": "a.safetensors",
    "vae": "b.safetensors",
    "clip_skip": 2,
    "loras": ["c.safetensors", {"name": "d.safetensors", "strength_model": 0.5}],
    "seed": 1,
    "size": {"width": 512, "height": 768},
    "sampler": {"name": "euler", "scheduler": "normal", "steps": 20, "cfg": 7.0},
    "upscale": {"factor": 2, "denoise": 0.5, "method": "bislerp", "seed": "next", "sampler": {"steps": 9}},
    "output": {"original": "{job_id}/a.png", "upscaled": "{job_id}/b.png"},
    "params": {"a": [1, {"b": "c"}]},
}
YAML = json.dumps(SOUND, indent=1).encode()
BOMBS = {
    "aliases": "a: &a [x,x,x]\n" + "".join(f"{b}: &{b} [{','.join(['*' + a] * 9)}]\n" for a, b in pairwise("abcdefghi")),
    "aliases in mappings": "a: &a {}\n" + "".join(f"{b}: &{b} {{x: *{a}, y: *{a}}}\n" for a, b in pairwise("abcdefghijklmnopqrst")),
    "itself": "a: &a [*a]",
    "itself as a key": "? &a {*a : 1}\n: 1",
    "deep flow": deep(100_000),
    "deep flow mappings": deep(50_000, obj=True),
    "deep blocks": "\n".join(" " * level + "- " for level in range(1400)),
    "deep dashes": "- " * 100_000,
    "deep keys": "? " * 50_000,
    "python object": "prompt: !!python/object/apply:os.system ['id']",
    "python name": "prompt: !!python/name:os.system ''",
    "python module": "!!python/module:os",
    "binary": "prompt: !!binary aGk=",
    "set": "!!set {a, b}",
    "own tag": "%TAG ! tag:yaml.org,2002:\n---\nprompt: !python/object:os.x {}",
    "merge": "a: &a {prompt: x}\n<<: *a",
    "merge of many": "<<: [" + ",".join("{}" for _ in range(20_000)) + "]",
    "many documents": "---\nprompt: x\n" * 1000,
    "many keys": "\n".join(f"k{number}: 1" for number in range(50_000)),
    "the same key": "prompt: x\n" * 20_000,
    "a long number": "seed: " + "9" * 100_000,
    "a long hex number": "seed: 0x" + "f" * 100_000,
    "a long float": "seed: 1e" + "9" * 100,
    "sexagesimal": "seed: " + ":".join("59" for _ in range(5000)),
    "a timestamp": "seed: 2001-12-14t21:59:43.10-05:00",
    "a long anchor": "&" + "a" * 100_000 + " x",
    "a long tag": "!" + "a" * 100_000 + " x",
    "a long line": "prompt: " + "x" * 2_000_000,
    "a long key": "x" * 5000 + ": 1",
    "escapes": 'prompt: "\\x1b[2J\\0\\uD800"',
    "escape beyond unicode": 'prompt: "\\UFFFFFFFF"',
    "utf-16": "prompt: x\n",
    "brackets": "[" * 500_000,
    "quotes": '"' * 500_000,
    "percent": "%YAML 9.9\n---\nprompt: x",
    "directives": "%TAG !a! b\n" * 20_000 + "--- x",
    "nothing": "",
    "spaces": " " * 1_000_000,
    "line ends": "\n" * 1_000_000,
    "byte order marks": "\ufeff" * 1000,
    "extends itself": "extends: x.yaml\nprompt: x",
    "extends the device": "extends: /dev/zero",
    "extends the folder": "extends: .",
    "extends outside": "extends: ../../../../../../etc/passwd",
    "template outside": "template: ../../../../../etc/passwd\nprompt: x\ncheckpoint: x",
    "output outside": "output: {original: ../../x.png}\nprompt: x\ncheckpoint: x",
    "output absolute": "output: {original: /tmp/x.png}",
    "output over the sidecar": 'output: {original: "{job_id}/job.json"}',
    "output over the record": "output: {original: run.json}",
    "output over the lock": "output: {original: .lock}",
    "format attack": 'output: {original: "{job_id.__class__}.png"}',
    "format width": 'output: {original: "{job_id:>999999999}.png"}',
}  # fmt: skip


def outcome(values: Any, sets: list[str] | None = None) -> Job:
    loaded = from_mapping(values, sets=sets or [])
    return job(loaded, seed=1 if loaded.needs_seed else None)


def check(found: Job | ComfyRunnerError) -> None:
    if isinstance(found, ComfyRunnerError):
        assert isinstance(found, InputError)
        return
    values = found.values
    sides = (values["width"], values["height"], values["upscale"]["width"], values["upscale"]["height"])
    assert all(side % 8 == 0 and 16 <= side <= 16384 for side in sides)
    assert all(not path_fault(found.output_for(role)) for role in found.outputs)
    assert found.job_id.isascii()
    assert json.dumps(values, allow_nan=False, ensure_ascii=False).encode()


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_a_recipe_or_an_error_and_nothing_is_written(tmp_path: Path, name: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(BOMBS[name].encode("utf-16" if name == "utf-16" else "utf-8"))

    found = survives("recipes", lambda: load(path))

    if not isinstance(found, ComfyRunnerError):
        check(survives("recipes", lambda: job(found, seed=1 if found.needs_seed else None)))
    assert [*tmp_path.iterdir()] == [path]


@pytest.mark.slow
@many(150)
@given(data=st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_a_file_of_any_bytes_loads_or_is_a_recipe_error(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(data)
    found = survives("recipes", lambda: load(path))
    assert not isinstance(found, ComfyRunnerError) or isinstance(found, RecipeError)


def test_a_mangled_recipe_file_gives_a_sound_job_or_an_error(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    for seed in range(300):
        with seeded(seed) as dice:
            path.write_bytes(mangled(dice, YAML))
            found = survives("recipes", lambda: load(path))
            if not isinstance(found, ComfyRunnerError):
                check(survives("recipes", lambda: job(found, seed=1 if found.needs_seed else None)))  # noqa: B023 - called at once


def test_a_spoiled_recipe_gives_a_sound_job_or_an_error() -> None:
    for seed in range(1000):
        with seeded(seed) as dice:
            values = spoiled(dice, SOUND, NAMES)
            check(survives("recipes", lambda: outcome(values)))  # noqa: B023 - called at once


def test_a_mapping_of_any_values_gives_a_sound_job_or_an_error() -> None:
    for seed in range(300):
        with seeded(seed) as dice:
            values = {name: tree(dice, NAMES) for name in dice.sample(NAMES, 3)}
            check(survives("recipes", lambda: outcome(values)))  # noqa: B023 - called at once


LIKELY: dict[str, Any] = {
    "name": st.sampled_from(["a", "Con", "\u00c9t\u00e9 2"]) | st.text(alphabet="aZ9 ._-{/\u00e9", min_size=1, max_size=12),
    "prompt": st.text(max_size=40),
    "size": st.fixed_dictionaries({"width": st.integers(16, 9000), "height": st.integers(16, 9000)})
    | st.fixed_dictionaries({"aspect": st.from_regex(r"[0-9]{1,3}:[0-9]{1,3}"), "megapixels": st.floats(0.01, 64)}),
    "upscale": st.fixed_dictionaries({}, optional={"factor": st.floats(0.01, 4), "denoise": st.floats(0.01, 1)}),
    "output": st.dictionaries(
        st.sampled_from(["original", "upscaled", "Original", "mask"]),
        st.from_regex(r"(\{(job_id|name|role|seed)\}|[aA./ ]|con|\u00e9){1,6}\.png", fullmatch=True),
        max_size=3,
    ),
}


@many(150)
@given(st.fixed_dictionaries({}, optional=LIKELY))
def test_a_likely_recipe_gives_a_sound_job_or_an_error(values: dict[str, Any]) -> None:
    check(survives("recipes", lambda: outcome(values)))


def test_any_overrides_load_or_are_an_input_error() -> None:
    for seed in range(1000):
        with seeded(seed) as dice:
            value = dice.choice((*TEXTS, "[" * 5000, "{a: &a [*a]}", "!!python/name:os.x", "1e999", "{", "*x", "0x" + "f" * 99))
            place = ".".join(dice.choices(NAMES, k=dice.randint(1, 3)))
            sets = [dice.choice((f"{place}={value}", value, f"{value}={value}", f"{place}.{value}=1", f"{place}"))]
            found = survives("overrides", lambda: outcome({"prompt": "x"}, sets))  # noqa: B023 - called at once
            check(found)
            problems = found.problems if isinstance(found, ComfyRunnerError) else ()
            assert all(problem.where.startswith(("--set", "recipe")) for problem in problems)


@pytest.mark.parametrize("source", [text + end for text in TEXTS for end in ("", ".yaml", "/job.json")])
def test_a_source_of_any_name_is_a_recipe_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    monkeypatch.chdir(tmp_path)
    found = survives("recipes", lambda: load(source))
    assert isinstance(found, InputError) or source.startswith("/")
