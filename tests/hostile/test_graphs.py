"""API-format graphs in any shape: a checked graph can be hashed, measured, printed and sent, or it is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from comfy_runner.errors import ComfyRunnerError, WorkflowError
from comfy_runner.graph.signature import signatures
from comfy_runner.graph.sizes import node_work, output_sizes
from comfy_runner.graph.workflow import Workflow, parse_workflow
from tests.graph.support import chain, content_hash, shipped_graph
from tests.hostile.tally import survives
from tests.hostile.values import TEXTS, deep, seeded, spoiled, tree

_SOUND = shipped_graph().workflow.to_api()
_KEYS = [*_SOUND, "class_type", "inputs", "_meta", "role", "width", "height", "steps", "scale_by", "filename_prefix", "prompt"]


def use(data: Any) -> Workflow:
    workflow = parse_workflow(data, where="here")
    assert len(content_hash(workflow)) == 64
    assert len(signatures(workflow)) == len(workflow.nodes)
    assert all(size.pixels > 0 or size.pixels == 0 for size in output_sizes(workflow).values())
    assert all(work >= 0 for work in node_work(workflow).values())
    assert json.loads(workflow.to_json()) is not None
    return workflow


@pytest.mark.parametrize("first", range(0, 1500, 100))
def test_a_spoiled_graph_can_be_used_or_is_refused(first: int) -> None:
    for seed in range(first, first + 100):
        with seeded(seed) as dice:
            data = spoiled(dice, _SOUND, _KEYS)
            found = survives("graphs", lambda: use(data))  # noqa: B023 - called at once
            assert isinstance(found, (Workflow, WorkflowError))


def test_a_tree_of_anything_can_be_used_or_is_refused() -> None:
    for seed in range(500):
        with seeded(seed) as dice:
            data = tree(dice, _KEYS, 5)
            survives("graphs", lambda: use(data))  # noqa: B023 - called at once


@pytest.mark.parametrize("text", TEXTS)
def test_a_node_of_any_name_can_be_used_or_is_refused(text: str) -> None:
    node = {"class_type": text, "inputs": {text: [text, 0], "filename_prefix": text}, "_meta": {"role": text, "title": text}}
    save = {"class_type": text, "inputs": {text: text, "filename_prefix": text}, "_meta": {"title": text}}
    survives("graphs", lambda: use({text: node}))
    survives("graphs", lambda: use({text: save}))
    survives("graphs", lambda: use({"a": node}))


@pytest.mark.parametrize("factor", [10**4200, -1, 2.5, 1e308, 5e-324])
def test_sizes_of_any_magnitude_are_measured_or_left_alone(factor: float) -> None:
    nodes = {
        "a": {"class_type": "EmptyImage", "inputs": {"width": factor, "height": factor, "steps": factor}},
        "b": {"class_type": "ImageScaleBy", "inputs": {"image": ["a", 0], "scale_by": factor, "steps": factor}},
        "c": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64}},
        "d": {"class_type": "KSampler", "inputs": {"latent_image": ["c", 0], "steps": factor}},
        "e": {"class_type": "LatentUpscaleBy", "inputs": {"samples": ["d", 0], "scale_by": factor, "filename_prefix": "x"}},
    }
    assert isinstance(survives("graphs", lambda: use(nodes)), Workflow)


@pytest.mark.slow
def test_a_very_long_chain_and_a_very_deep_literal_do_not_end_the_program() -> None:
    assert isinstance(survives("graphs", lambda: use(chain(20_000).to_api())), Workflow)
    literal = json.loads(deep(900, obj=True))
    found = survives("graphs", lambda: use({"a": {"class_type": "A", "inputs": {"x": literal, "filename_prefix": "x"}}}))
    assert isinstance(found, ComfyRunnerError)
