"""Several graphs as one: what becomes of their nodes, and that a real ComfyUI without a cache makes the same pictures of it."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from comfy_runner.engine.comfyui.ws_messages import Ended
from comfy_runner.engine.local import LocalServer
from comfy_runner.engine.reports import NodeProgress
from comfy_runner.graph.merge import MergedGraph, merge
from comfy_runner.graph.signature import signatures
from comfy_runner.graph.workflow import Workflow, parse_workflow
from tests.graph.support import graph, node, shipped_graph, values
from tests.graph.test_real_server import Client

DENOISE = (0.4, 0.6, 0.8)


def variant(denoise: float, **fields: Any) -> Workflow:
    """Return the shipped graph, small enough for the real server, saving under names of its own."""
    sampler = {"name": "euler", "scheduler": "normal", "steps": 8, "cfg": 1.0}
    size = {"width": 64, "height": 64}
    upscale = {"factor": 2, "denoise": denoise, "method": "nearest-exact"}
    small = {"checkpoint": "tiny-random-sd15.safetensors", "size": size, "sampler": sampler, "upscale": upscale}
    workflow = shipped_graph(values(**{**small, **fields})).workflow
    return workflow.with_prefixes({role: f"merge/{role}-{denoise}" for role in workflow.outputs})


@pytest.fixture(scope="module")
def merged() -> MergedGraph:
    return merge([variant(denoise) for denoise in DENOISE])


def classes(workflow: Workflow) -> Counter[str]:
    return Counter(node.class_type for node in workflow.nodes.values())


# --- what becomes of the nodes


def test_what_the_graphs_have_in_common_is_there_once(merged: MergedGraph) -> None:
    found = classes(merged.workflow)
    assert (found["CheckpointLoaderSimple"], found["KSampler"], found["VAEDecode"]) == (1, 1 + 3, 1 + 3)


def test_every_output_stays_one_of_its_own(merged: MergedGraph) -> None:
    prefixes = {known.inputs["filename_prefix"] for known in merged.workflow.nodes.values() if known.is_output}
    assert prefixes == {f"merge/{role}-{denoise}" for role in ("original", "upscaled") for denoise in DENOISE}


def test_outputs_that_do_the_very_same_stay_apart_too() -> None:
    found = merge([variant(0.5), variant(0.5)])
    assert classes(found.workflow)["SaveImage"] == 4
    assert found.ids[0]["second_pass"] == found.ids[1]["second_pass"]


def test_equal_nodes_within_one_graph_become_one() -> None:
    picture = {"width": 64, "height": 64, "batch_size": 1, "color": 1}
    twins = graph(
        one=node("EmptyImage", **picture),
        two=node("EmptyImage", **picture),
        both=node("ImageBatch", image1=["one", 0], image2=["two", 0]),
        save=node("SaveImage", images=["both", 0], filename_prefix="x"),
    )

    found = merge([twins])

    assert found.ids == ({"one": "one", "two": "one", "both": "both", "save": "save"},)
    assert dict(found.workflow.nodes["both"].inputs) == {"image1": ["one", 0], "image2": ["one", 0]}


def test_nodes_get_numbers_where_their_ids_are_taken(merged: MergedGraph) -> None:
    second = [ids["second_pass"] for ids in merged.ids]
    assert second == ["second_pass", "second_pass_2", "second_pass_3"]
    assert {ids["first_pass"] for ids in merged.ids} == {"first_pass"}


def test_a_number_that_is_an_id_already_is_not_given_again() -> None:
    def saving(colour: int, *names: str) -> Workflow:
        return graph(**{name: node("PreviewImage", role=name, images=colour + index) for index, name in enumerate(names)})

    found = merge([saving(1, "a", "a_2"), saving(3, "a"), saving(4, "a_3", "a_2")])

    assert [list(ids.values()) for ids in found.ids] == [["a", "a_2"], ["a_3"], ["a_3_2", "a_2_2"]]


def test_each_output_has_its_own_role_and_none_is_lost() -> None:
    first, second = (
        graph(picture=node("EmptyImage", color=colour), show=node("PreviewImage", role="shown", images=["picture", 0]))
        for colour in (1, 2)
    )

    found = merge([first, second])

    assert parse_workflow(found.workflow.to_api()).outputs == {"show": "show", "show_2": "show_2"}


def test_titles_are_kept(merged: MergedGraph) -> None:
    assert merged.workflow.nodes["second_pass_3"].title == variant(0.4).nodes["second_pass"].title


def test_one_graph_without_twins_only_gets_its_roles_renamed() -> None:
    alone = variant(0.5)
    found = merge([alone]).workflow
    assert list(found.nodes) == list(alone.nodes)
    assert [known.inputs for known in found.nodes.values()] == [known.inputs for known in alone.nodes.values()]


@st.composite
def small_graphs(draw: st.DrawFn) -> Workflow:
    """Graphs of few kinds of nodes, so that much of them is alike, with ids that clash."""
    ids = draw(st.lists(st.sampled_from(["a", "a_2", "a_2_2", "a_3", "b", "b_2"]), min_size=1, unique=True))
    nodes: dict[str, Any] = {}
    for node_id in ids:
        inputs: dict[str, Any] = {"value": draw(st.integers(0, 1))}
        for name in ("left", "right"):
            if draw(st.booleans()) and nodes:
                inputs[name] = [draw(st.sampled_from(list(nodes))), draw(st.integers(0, 1))]
        role = node_id if draw(st.booleans()) else ""
        nodes[node_id] = node(draw(st.sampled_from(["First", "Second"])), role=role, **inputs)
    return parse_workflow(dict(draw(st.permutations(list(nodes.items())))))


@given(st.lists(small_graphs(), min_size=1, max_size=4))
def test_every_node_computes_in_the_merged_graph_what_it_did_before(workflows: list[Workflow]) -> None:
    found = merge(workflows)

    known = signatures(parse_workflow(found.workflow.to_api()))
    for workflow, ids in zip(workflows, found.ids, strict=True):
        assert {node_id: known[ids[node_id]] for node_id in workflow.nodes} == signatures(workflow)


@given(st.lists(small_graphs(), min_size=1, max_size=4))
def test_nothing_but_outputs_is_there_twice_and_no_output_is_lost(workflows: list[Workflow]) -> None:
    found = merge(workflows)

    known = signatures(found.workflow)
    inner = [known[node_id] for node_id, it in found.workflow.nodes.items() if not it.is_output]
    assert len(inner) == len(set(inner))
    ours = [ids[node_id] for workflow, ids in zip(workflows, found.ids, strict=True) for node_id in workflow.outputs.values()]
    assert sorted(ours) == sorted(found.workflow.outputs.values())


# --- what a real server without a cache makes of it


@pytest.fixture(scope="module")
def client(server_without_cache: LocalServer) -> Iterator[Client]:
    found = Client(server_without_cache.url)
    yield found
    found.socket.close()


def posted(client: Client, workflow: Workflow) -> tuple[list[str], dict[str, Any]]:
    """Run a graph; return the ids of the nodes that ran, and what the history says of its outputs."""
    status, answer = client.post(workflow.to_api())
    assert (status, answer.get("node_errors")) == (200, {}), answer
    prompt_id, ran = answer["prompt_id"], []
    while not (isinstance(event := client.events.get(timeout=120), Ended) and event.prompt_id == prompt_id):
        if isinstance(event, NodeProgress) and event.key == prompt_id and event.node not in ran:
            ran.append(event.node)
    entry = requests.get(f"{client.url}/history/{prompt_id}", timeout=60).json()[prompt_id]
    assert entry["status"]["status_str"] == "success"
    return ran, entry["outputs"]


def picture(client: Client, output: dict[str, Any]) -> NDArray[np.uint8]:
    answer = requests.get(f"{client.url}/view", params=output["images"][0], timeout=60)
    with Image.open(io.BytesIO(answer.content)) as image:
        return np.asarray(image.convert("RGB"))


def test_a_server_without_a_cache_makes_the_same_pictures_with_one_first_pass(client: Client, merged: MergedGraph) -> None:
    alone = [variant(denoise) for denoise in DENOISE]
    single = [posted(client, workflow) for workflow in alone]

    ran, outputs = posted(client, merged.workflow)

    assert [node_id for ran_alone, _ in single for node_id in ran_alone].count("first_pass") == 3
    assert sorted(ran) == sorted(merged.workflow.nodes)
    for workflow, (_, outputs_alone), ids in zip(alone, single, merged.ids, strict=True):
        for node_id in workflow.outputs.values():
            assert np.array_equal(picture(client, outputs[ids[node_id]]), picture(client, outputs_alone[node_id]))
    upscaled = [picture(client, outputs[ids["save_upscaled"]]) for ids in merged.ids]
    assert not np.array_equal(upscaled[0], upscaled[1])
