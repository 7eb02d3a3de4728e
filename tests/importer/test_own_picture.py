"""What pictures claim of themselves: whatever that is, their own recipe is given, or the reason why not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from comfy_runner.graph.workflow import Workflow, parse_workflow
from comfy_runner.importer.found import Found
from comfy_runner.importer.own_picture import OtherRecipe, OwnRecipe, own_recipe
from tests.example_counts import tried
from tests.running.support import HASH, planned

_JOB = planned()
_SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
_ANY = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3), max_leaves=9
)


def _about(**changes: Any) -> dict[str, Any]:
    about = {
        "version": "0.1.0",
        "job_id": _JOB.job_id,
        "content_hash": _JOB.content_hash,
        "recipe": _JOB.repeatable,
        "template": {"name": _JOB.template.name, "sha256": _JOB.template.sha256},
        "inputs": [],
    }
    return {**about, **changes}


def _own(about: dict[str, Any], graph: Workflow | None = _JOB.workflow, path: Path = Path("fox.png")) -> OwnRecipe:
    return own_recipe(Found(path, graph.to_api() if graph else None, about=about), templates=(), caches=None)


def test_the_recipe_that_made_a_picture_is_given() -> None:
    assert _own(_about()) == OwnRecipe(_JOB.repeatable, "latent_upscale", is_shipped=True)
    assert _own(_about(), graph=None).template == "latent_upscale"


def test_a_server_may_have_other_names_for_models_and_more_inputs() -> None:
    posted = _JOB.workflow.to_api()
    posted["checkpoint"]["inputs"]["ckpt_name"] = "sd15\\Tiny-Random-SD15.safetensors"
    posted["first_pass"]["inputs"] |= {"denoise": 1.0, "newer": "x"}

    assert _own(_about(), graph=parse_workflow(posted)).is_shipped


def test_of_several_jobs_that_were_posted_together_each_has_its_own_recipe() -> None:
    posted = _JOB.workflow.to_api()
    other = {**posted["second_pass"], "inputs": {**posted["second_pass"]["inputs"], "denoise": 0.9}}

    assert _own(_about(), graph=parse_workflow({**posted, "second_pass_2": other})).is_shipped


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"recipe": None}, "does not contain its recipe"),
        ({"template": "latent_upscale"}, "does not contain its recipe"),
        ({"template": {"name": "latent_upscale", "sha256": HASH}}, "cannot be found unchanged"),
        ({"template": {"name": "../latent_upscale", "sha256": HASH}}, "cannot be found unchanged"),
        ({"recipe": {**_JOB.repeatable, "seed": -5}}, "can no longer be used"),
        ({"recipe": {**_JOB.repeatable, "seed": 5}}, "makes a different picture"),
        ({"content_hash": HASH}, "makes a different picture"),
    ],
)
def test_what_is_no_more_as_it_was_is_told(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(OtherRecipe, match=said):
        _own(_about(**changes))


def test_a_graph_of_another_picture_is_not_taken_for_its_own() -> None:
    changed = _JOB.workflow.with_inputs({("second_pass", "denoise"): 0.7})

    with pytest.raises(OtherRecipe, match="makes a different picture"):
        _own(_about(), graph=changed)


@settings(max_examples=tried(60), suppress_health_check=[HealthCheck.too_slow])
@given(
    st.fixed_dictionaries({}, optional=dict.fromkeys(_about(), _ANY)),
    st.dictionaries(st.sampled_from(sorted(_JOB.repeatable)), _ANY),
)
def test_any_claim_is_heard(changes: dict[str, Any], fields: dict[str, Any]) -> None:
    about = _about(recipe={**_JOB.repeatable, **fields}) | changes
    try:
        found = _own(about)
    except OtherRecipe:
        return
    assert found.template == "latent_upscale"


def test_the_name_of_a_template_makes_no_lines_of_its_own_in_messages() -> None:
    with pytest.raises(OtherRecipe) as caught:
        _own(_about(template={"name": "a\nerror: all is lost\x1b[2J" + "!" * 5000, "sha256": "0" * 64}))

    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 200
