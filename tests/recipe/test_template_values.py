"""What a template sees: the one table, held against jobs, the schema and the documentation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from comfy_runner.recipe.field_docs import field_docs
from comfy_runner.recipe.job import job
from comfy_runner.recipe.load import from_mapping
from comfy_runner.recipe.template_values import NEEDED_IF_USED, SEEN_FIELDS, VALUES, deciding_field

_BASES: tuple[dict[str, Any], ...] = (
    {},
    {"upscale": {"size": {"width": 2048, "height": 1024}}},
    {"upscale": {"steps_mode": "scaled"}},
    {"upscale": {"seed": 7}},
    {"upscale": {"sampler": {"name": "dpmpp_2m", "scheduler": "beta", "steps": 11, "cfg": 3.0}}},
)
_OTHER: dict[str, Any] = {
    "checkpoint": "other.safetensors",
    "prompt": "other",
    "negative_prompt": "other",
    "vae": "other.safetensors",
    "clip_skip": 2,
    "loras": ["other.safetensors"],
    "seed": 99,
    "size": {"width": 512, "height": 512},
    "batch_size": 4,
    "sampler.name": "euler",
    "sampler.scheduler": "simple",
    "sampler.steps": 17,
    "sampler.cfg": 9.0,
    "upscale.factor": 3,
    "upscale.size": {"width": 4096, "height": 2048},
    "upscale.method": "area",
    "upscale.denoise": 0.25,
    "upscale.steps_mode": "scaled",
    "upscale.seed": 5,
    "upscale.sampler.name": "heun",
    "upscale.sampler.scheduler": "normal",
    "upscale.sampler.steps": 23,
    "upscale.sampler.cfg": 2.0,
}


def seen(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a template sees of a recipe, by dotted name."""
    given = {"checkpoint": "a.safetensors", "prompt": "a", "seed": 1, **recipe}
    return dict(_flat(job(from_mapping(given)).values))


def _flat(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict) and above + name in ("sampler", "upscale", "upscale.sampler"):
            yield from _flat(value, f"{above}{name}.")
        else:
            yield above + name, value


def changed(recipe: dict[str, Any], field: str, value: Any) -> dict[str, Any]:
    """Return a recipe with another value of a field; what excludes it goes."""
    first, _, rest = field.partition(".")
    if rest:
        inner = dict(recipe.get(first, {}))
        for one, other in (("factor", "size"), ("size", "factor")):
            if rest == one:
                inner.pop(other, None)
        return {**recipe, first: changed(inner, rest, value)}
    return {**recipe, first: value}


def test_a_job_has_the_values_of_the_table_in_its_order() -> None:
    assert list(seen({})) == list(VALUES)
    assert "checkpoint" not in job(from_mapping({"seed": 1, "prompt": "a"})).values
    assert set(NEEDED_IF_USED) <= VALUES.keys()


def test_the_fields_of_the_table_are_those_that_are_described() -> None:
    assert set(field_docs()) == SEEN_FIELDS == set(_OTHER)


@pytest.mark.parametrize("field", sorted(SEEN_FIELDS))
def test_a_field_decides_the_values_that_name_it_and_no_others(field: str) -> None:
    differ = set()
    for base in _BASES:
        before, after = seen(base), seen(changed(base, field, _OTHER[field]))
        differ |= {name for name in before if before[name] != after[name]}
    named = {name for name, value in VALUES.items() if field in value.fields}
    # The steps of the second pass are scaled by its denoise.
    assert differ - {"upscale.sampler.steps"} == named - {"upscale.sampler.steps"}
    assert "upscale.sampler.steps" in differ or "upscale.sampler.steps" not in named


@pytest.mark.parametrize("base", _BASES)
@pytest.mark.parametrize("name", [name for name, value in VALUES.items() if value.fields and name != "loras"])
def test_changing_the_field_that_a_message_names_changes_the_value(name: str, base: dict[str, Any]) -> None:
    recipe = from_mapping({"checkpoint": "a", "prompt": "a", "seed": 1, **base}).recipe
    field = deciding_field(name, recipe)
    if field.startswith(("size.", "upscale.size.")):
        whole, _, _side = field.rpartition(".")
        changes = (whole, _OTHER[whole])
    else:
        changes = (field, _OTHER[field])
    if name == "upscale.steps_mode" and base.get("upscale", {}).get("steps_mode"):
        changes = (name, "full")
    assert seen(changed(base, *changes))[name] != seen(base)[name]


def test_a_place_in_a_list_is_written_as_recipes_write_it() -> None:
    recipe = from_mapping({}).recipe
    assert deciding_field("loras.1.strength_model", recipe) == "loras[1].strength_model"
    assert deciding_field("params.passes.0.denoise", recipe) == "params.passes[0].denoise"


def test_the_documentation_names_every_value() -> None:
    text = (Path(__file__).parents[2] / "docs" / "templates.md").read_text(encoding="utf-8")
    table = text.partition("## What a template sees")[2].partition("\n## ")[0]
    for name in {name.partition(".")[0] for name in VALUES} | {"method", "factor", "denoise", "seed"}:
        assert f"`{name}`" in table, name
