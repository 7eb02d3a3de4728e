"""Whatever stands in prompts, variables, wildcard files, tables and lines, it is filled in or refused, and no path leads astray."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from comfy_runner.errors import InputError, RecipeError
from comfy_runner.recipe.load import from_mapping, load
from comfy_runner.recipe.names import path_fault, slug
from comfy_runner.recipe.sweep.expand import expand
from tests.example_counts import tried

_SIGNS = st.lists(st.sampled_from([*"{}|\\_ab/. $:-\n\"'", "__", "é", "狐", "\u202e"]), max_size=40).map("".join)
_SOME = settings(max_examples=tried(200), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@_SOME
@given(_SIGNS, _SIGNS, st.sampled_from(["combine", "random", None]))
def test_any_prompt_is_filled_in_or_refused(prompt: str, value: str, mode: str | None) -> None:
    fields: dict[str, Any] = {"seed": 1, "prompt": prompt, "vars": {"a": value}}
    try:
        jobs = [variant.job() for variant in expand(from_mapping({**fields, "alternatives": mode}))]
    except RecipeError:
        return
    for job in jobs:
        # What was made is taken as it is when the job is repeated.
        again = expand(from_mapping({"seed": 1, "prompt": job.values["prompt"]}))[0].job()
        assert again.values["prompt"] == job.values["prompt"]


@_SOME
@given(st.binary(max_size=60) | _SIGNS.map(str.encode), _SIGNS)
def test_any_wildcard_file_is_filled_in_or_refused(tmp_path: Path, content: bytes, name: str) -> None:
    (tmp_path / "words").mkdir(exist_ok=True)
    (tmp_path / "words" / "a.txt").write_bytes(content)
    (tmp_path / "secret.txt").write_text("SECRET", encoding="utf-8")
    recipe = tmp_path / "x.yaml"
    recipe.write_text("seed: 1\nalternatives: random\nwildcards: words\nprompt: __a__\n", encoding="utf-8")
    try:
        found = expand(load(recipe, sets=[f"prompt=__{name}__ __a__"]))[0].job()
    except InputError:
        return
    assert "SECRET" not in found.values["prompt"]


@_SOME
@given(st.sampled_from(["batch.csv", "lines.txt"]), st.binary(max_size=80) | _SIGNS.map(str.encode))
def test_any_table_gives_jobs_of_safe_names_or_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    start = b"name,prompt\n" if name == "batch.csv" else b"--prompt "
    (tmp_path / name).write_bytes(start + content)
    recipe = tmp_path / "x.yaml"
    recipe.write_text(
        f'seed: 1\noutput: {{upscaled: "{{prompt}}/{{job_id}}.png"}}\nsweep:\n  zip: {{file: {name}}}\n', encoding="utf-8"
    )
    try:
        jobs = [variant.job() for variant in expand(load(recipe))]
    except InputError:
        return
    assert len({job.job_id for job in jobs}) == len(jobs)
    assert all(slug(job.job_id) == job.job_id and not path_fault(path) for job in jobs for path in job.outputs.values())


_BOMBS = ["{a|" * 300_000, "{" * 1_000_000, "__a" * 300_000, "\\" * 1_000_000, "}" * 1_000_000, "{a|b}" * 200_000]


@pytest.mark.parametrize("prompt", _BOMBS, ids=lambda prompt: prompt[:6])
def test_a_bomb_is_refused_or_text(prompt: str) -> None:
    try:
        (variant,) = expand(from_mapping({"seed": 1, "prompt": prompt, "alternatives": "random"}))
        found = variant.job().values["prompt"]
    except RecipeError as error:
        found = str(error)
    assert found == prompt or len(found) < 1000
