"""Which models jobs need of those that their recipes have a source for, and what is said where a server lacks them."""

from __future__ import annotations

from typing import Any

import pytest

from comfy_runner.errors import RecipeError, WorkflowError
from comfy_runner.graph.object_info import ObjectInfo
from comfy_runner.planning.capabilities import check_all
from comfy_runner.planning.draft import Plan
from comfy_runner.planning.models import needed_models, unnamed_models
from tests.running.support import plan_of, small
from tests.standin.nodes import object_info
from tests.standin.state import MODELS

_URL = "https://huggingface.co/a/b/resolve/main/"


def _source(name: str, sha: str = "ab", **more: Any) -> dict[str, Any]:
    return {"url": _URL + name, "sha256": sha * 32, **more}


def _plan(models: dict[str, Any], **changes: Any) -> Plan:
    return plan_of(small(models=models, **changes))


def _info() -> ObjectInfo:
    return ObjectInfo(object_info(MODELS), source="http://server")


def test_the_folder_is_that_of_the_input_where_the_name_stands() -> None:
    models = {name: _source(name) for name in ("a.safetensors", "style/b.safetensors", "c.safetensors", "d.safetensors")}

    found = needed_models(
        _plan(models, checkpoint="a.safetensors", loras=["style/b.safetensors"], vae="c.safetensors").drafts,
    )

    assert [(each.model.folder, each.model.name) for each in found] == [
        ("checkpoints", "a.safetensors"),
        ("loras", "style/b.safetensors"),
        ("vae", "c.safetensors"),
    ]
    assert found[1].inputs == {("LoraLoader", "lora_name")}
    assert (found[0].model.source, found[0].model.sha256, found[0].model.sizes) == (f"{_URL}a.safetensors", "ab" * 32, None)


def test_only_what_the_jobs_name_is_needed_and_the_rest_is_told() -> None:
    models = {name: _source(name) for name in ("a.safetensors", "b.safetensors", "c.safetensors")}
    plan = _plan(models, sweep={"checkpoint": ["a.safetensors", "b.safetensors"]})

    assert [each.model.name for each in needed_models(plan.drafts)] == ["a.safetensors", "b.safetensors"]
    assert [each.model.name for each in needed_models(plan.drafts[1:])] == ["b.safetensors"]
    (note,) = unnamed_models(plan.drafts)
    assert note.what == "no job names this model, so it is not needed"
    assert 'models."c.safetensors"' in note.where


def test_an_embedding_is_needed_although_no_input_names_it() -> None:
    plan = _plan({"bad.safetensors": _source("bad.safetensors", folder="embeddings")})

    (needed,) = needed_models(plan.drafts)

    assert (needed.model.folder, needed.inputs, needed.is_listed(_info())) == ("embeddings", frozenset(), None)
    assert list(unnamed_models(plan.drafts)) == []


def test_recipes_without_sources_need_nothing() -> None:
    assert needed_models(plan_of(small()).drafts) == ()


def test_two_recipes_agree_on_what_a_name_means() -> None:
    first, other = (
        small(name=name, checkpoint="a.safetensors", models={"a.safetensors": _source("a.safetensors", sha)})
        for name, sha in (("one", "ab"), ("two", "cd"))
    )

    assert len(needed_models(plan_of(first, {**first, "name": "again"}).drafts)) == 1
    with pytest.raises(RecipeError, match="has a different sha256 from "):
        needed_models(plan_of(first, other).drafts)


def test_a_name_in_an_input_that_is_not_known_needs_its_folder() -> None:
    plan = _plan({"a.safetensors": _source("a.safetensors")}, prompt="a.safetensors")

    with pytest.raises(RecipeError, match="the input text of CLIPTextEncode does not show to which model folder it belongs"):
        needed_models(plan.drafts)


def test_whether_a_server_lists_it_is_read_as_its_names_are() -> None:
    name = "SDXL/base.safetensors"
    (needed,) = needed_models(_plan({name: _source(name)}, checkpoint=name).drafts)
    assert needed.is_listed(_info()) is True
    (needed,) = needed_models(_plan({"a.safetensors": _source("a.safetensors")}, checkpoint="a.safetensors").drafts)
    assert needed.is_listed(_info()) is False
    expected = _info().with_options({("CheckpointLoaderSimple", "ckpt_name"): ["a.safetensors"], ("None", "x"): ["y"]})
    assert needed.is_listed(expected) is True
    assert expected.fingerprint != _info().fingerprint


def test_a_server_that_lacks_one_is_told_of_with_where_it_comes_from() -> None:
    plan = _plan({"a.safetensors": _source("a.safetensors", size="6.94 GB")}, checkpoint="a.safetensors")

    with pytest.raises(WorkflowError) as caught:
        check_all(plan.drafts, _info())

    (problem,) = caught.value.problems
    assert problem.what.startswith('"a.safetensors" is not among the ')
    assert problem.hint.startswith(f"put {_URL}a.safetensors (6.94 GB) in its folder checkpoints, under that name")
