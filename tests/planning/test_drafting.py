"""Jobs that are drafted from each other: each is what it would have been alone, whatever its template does with its values."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from comfy_runner.graph.cost import StepTable
from comfy_runner.planning.draft import Plan
from comfy_runner.planning.drafting import draft_all
from comfy_runner.recipe.sources import RecipeSource, load_source
from comfy_runner.recipe.sweep.expand import Variant, expand
from tests.recipe.support import written
from tests.running.support import small

_SEEDS = {"upscale.denoise": [0.48, 1], "seed": [1, 2, 3]}
_SWEEPS: dict[str, dict[str, Any]] = {
    "seeds": small(sweep=_SEEDS),
    "seeds, the second one after them": small(sweep=_SEEDS, upscale={"seed": "next"}),
    "seeds, the second one fixed": small(sweep=_SEEDS, upscale={"seed": 9}),
    "seeds and second seeds": small(sweep={"seed": [1, 2], "upscale.seed": ["same", "next", 7]}),
    "drawn seeds": small(seed="random", sweep={"sampler.cfg": [1.0, 2.0], "prompt": ["a", "b"]}),
    "seeds, some drawn": small(sweep={"seed": ["random", 2, 3], "clip_skip": [1, 2]}),
    "seeds outside": small(sweep={"seed": [1, 2], "sampler.steps": [5, 6], "checkpoint": ["a", "b"]}),
    "prompts": small(sweep={"prompt": ["a", "%s", '"'], "negative_prompt": ["", "é"], "upscale.method": ["area", "bislerp"]}),
    "points that are added": small(sweep={"seed": [1, 2], "include": [{"prompt": "b"}, {"seed": 3}, {"seed": 4, "prompt": "b"}]}),
    "tiles": small(sweep=_SEEDS, vae_decode="tiled", output={"format": "webp"}),
    "paths": small(sweep=_SEEDS, output={"original": "{seed}/{job_id}.png"}),
}
_OWN = """
    {"empty": {"class_type": "EmptyLatentImage", "inputs": {"width": %s, "height": 64, "batch_size": 1}},
     "sampler": {"class_type": "KSampler", "inputs": {"latent_image": ["empty", 0], "steps": %s, "denoise": 0.5, "seed": %s}},
     "picture": {"class_type": "VAEDecode", "inputs": {"samples": ["sampler", 0], "note": %s}},
     "save": {"class_type": "SaveImage", "inputs": {"images": ["picture", 0], "filename_prefix": "x"}, "_meta": {"role": "r"}}}
"""
_TEMPLATES = {
    "prints": _OWN % (64, 8, "{{ seed }}", "{{ prompt }}"),
    "prints in two places": _OWN % (64, 8, "{{ seed }}", "{{ seed }}"),
    "prints in a text": _OWN % (64, 8, "{{ seed }}", '{{ "%s of %s" % (prompt, job_id) }}'),
    "looks": _OWN % (64, 8, "{{ 1 if seed == 2 else 2 }}", "{{ upscale.seed }}"),
    "looks at a text": _OWN % (64, 8, "{{ seed }}", "{{ prompt | length }}"),
    "makes a size of it": _OWN % ("{{ seed }}", 8, 1, "{{ prompt }}"),
    "makes steps of it": _OWN % (64, "{{ seed }}", 1, "{{ prompt }}"),
    "prints the id": _OWN % (64, 8, 1, "{{ job_id }}"),
    "has usual seeds": "{# fields: {seed: {usual: [0, 2], above: is much}} #}" + _OWN % (64, 8, "{{ seed }}", 1),
}


def _same(recipe: RecipeSource, templates: list[Path], *, sweeps: Sequence[str] = ()) -> None:
    def plan(*variants: Variant) -> Plan:
        return draft_all(variants, templates=templates, seed_of=lambda variant: len(variant.job_id))

    variants = expand(load_source(recipe, sweeps=sweeps))
    together, alone = plan(*variants), [plan(variant) for variant in variants]
    for found, one in zip(together.drafts, alone, strict=True):
        (expected,) = one.drafts
        assert (found.variant, found.seed, found.inputs) == (expected.variant, expected.seed, expected.inputs)
        assert (found.content_hash, found.pixel_hash) == (expected.content_hash, expected.pixel_hash)
        assert repr(found.filled.workflow) == repr(expected.filled.workflow)
        assert (found.filled.sources, found.filled.sizes) == (expected.filled.sources, expected.filled.sizes)
        assert [(together.steps.kind(step), together.steps.cost(step)) for step in found.steps] == [
            (one.steps.kind(step), one.steps.cost(step)) for step in expected.steps
        ]
    # Numbered by their graphs alone, the same jobs share the same steps.
    table = StepTable()
    pairs = {pair for found in together.drafts for pair in zip(found.steps, table.of(found.filled), strict=True)}
    assert len(pairs) == len({one for one, _ in pairs}) == len({other for _, other in pairs}) == len(table)
    assert set(together.notes) == {note for one in alone for note in one.notes}


@pytest.mark.parametrize("recipe", _SWEEPS.values(), ids=_SWEEPS)
def test_each_job_of_a_sweep_is_drafted_as_if_it_were_alone(recipe: dict[str, Any]) -> None:
    _same(recipe, [])


@pytest.mark.parametrize("template", _TEMPLATES.values(), ids=_TEMPLATES)
def test_whatever_a_template_does_with_seeds_and_prompts(template: str, tmp_path: Path) -> None:
    written(tmp_path, "own.json.j2", template)

    _same(small(template="own", sweep={"seed": [1, 2, 64], "prompt": ["a", "bb"]}), [tmp_path])


@pytest.mark.parametrize("name", ["lora-stack", "qwen-image", "sdxl-refiner", "ultimate-sd-upscale"])
def test_seeds_and_prompts_of_shipped_recipes(name: str) -> None:
    _same(name, [], sweeps=("seed=1:2", "prompt=[a, b]"))
