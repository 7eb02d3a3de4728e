"""What counts for the identity of a node and of a job, and what does not."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfy_runner.graph.signature import Signer, literals_of, signatures
from comfy_runner.graph.sizes import node_sizes
from comfy_runner.graph.workflow import Workflow, parse_workflow
from tests.graph.support import chain, content_hash, graph, node, pixel_hash, shipped_graph

_LITERALS = st.sampled_from([0, 1, 1.0, True, False, None, 0.0, -0.0, 0.5, 30, "a", "1", {"__value__": [1]}, {"__value__": [1.0]}])


def golden() -> dict[str, Any]:
    data: dict[str, Any] = json.loads(shipped_graph().workflow.to_json())
    return data


def hash_of(data: dict[str, Any]) -> str:
    return content_hash(parse_workflow(data))


def renamed(data: dict[str, Any]) -> dict[str, Any]:
    """The same graph with numbers for ids."""
    ids = {old: str(index) for index, old in enumerate(data)}
    for known in data.values():
        for name, value in known["inputs"].items():
            if isinstance(value, list):
                known["inputs"][name] = [ids[value[0]], value[1]]
    return {ids[old]: known for old, known in data.items()}


def test_the_ids_of_nodes_do_not_count() -> None:
    assert hash_of(renamed(golden())) == hash_of(golden())


def test_titles_do_not_count() -> None:
    data = golden()
    data["first_pass"]["_meta"]["title"] = "another"
    assert hash_of(data) == hash_of(golden())


def test_the_order_of_nodes_and_inputs_does_not_count() -> None:
    data = {node_id: {**known, "inputs": dict(reversed(known["inputs"].items()))} for node_id, known in reversed(golden().items())}
    assert hash_of(data) == hash_of(golden())


def test_file_prefixes_do_not_count() -> None:
    workflow = shipped_graph().workflow
    assert content_hash(workflow.with_prefixes({"original": "a/b", "upscaled": "c"})) == content_hash(workflow)


def test_nodes_that_no_output_needs_do_not_count() -> None:
    assert hash_of({**golden(), "extra": node("EmptyImage", width=64, height=64)}) == hash_of(golden())


def literals() -> list[tuple[str, str]]:
    return [
        (node_id, name)
        for node_id, known in golden().items()
        for name, value in known["inputs"].items()
        if not isinstance(value, list) and name != "filename_prefix"
    ]


@pytest.mark.parametrize(("node_id", "name"), literals())
def test_every_literal_counts(node_id: str, name: str) -> None:
    data = golden()
    value = data[node_id]["inputs"][name]
    data[node_id]["inputs"][name] = value + " " if isinstance(value, str) else value + 1
    assert hash_of(data) != hash_of(golden())


@pytest.mark.parametrize("node_id", golden())
def test_every_class_counts(node_id: str) -> None:
    data = golden()
    data[node_id]["class_type"] += "X"
    assert hash_of(data) != hash_of(golden())


def test_an_input_more_counts() -> None:
    data = golden()
    data["first_pass"]["inputs"]["extra"] = None
    assert hash_of(data) != hash_of(golden())


def test_which_node_a_link_leads_to_counts() -> None:
    data = golden()
    data["second_pass"]["inputs"]["latent_image"] = ["first_pass", 0]
    assert hash_of(data) != hash_of(golden())


def test_which_output_a_link_leads_to_counts() -> None:
    data = golden()
    data["prompt"]["inputs"]["clip"] = ["checkpoint", 2]
    assert hash_of(data) != hash_of(golden())


def test_roles_count() -> None:
    data = golden()
    data["save_original"]["_meta"]["role"], data["save_upscaled"]["_meta"]["role"] = "upscaled", "original"
    assert hash_of(data) != hash_of(golden())
    data["save_original"]["_meta"]["role"] = "first"
    assert hash_of(data) != hash_of(golden())


def test_a_link_is_not_the_literal_that_looks_like_one() -> None:
    def of(value: Any) -> Workflow:
        return graph(a=node("A"), save=node("SaveText", value=value, filename_prefix="x"))

    assert content_hash(of(["a", 0])) != content_hash(of({"__value__": ["a", 0]}))


def test_numbers_and_the_texts_of_them_differ() -> None:
    hashes = {
        content_hash(graph(save=node("SaveText", value=value, filename_prefix="x"))) for value in (1, "1", 1.5, "1.5", True, None)
    }
    assert len(hashes) == 6


def test_a_hash_is_the_same_for_ever() -> None:
    # Run folders hold it: another value would make every finished job be rendered again.
    assert content_hash(graph(save=node("SaveImage", filename_prefix="x", images="é"))) == (
        "799b88081e4c6592a288d48bcec80eb73466d0fc6effd27c5377d9d0704a2bab"
    )


def test_two_nodes_that_compute_the_same_have_one_signature() -> None:
    found = signatures(
        graph(
            a=node("EmptyImage", width=8, height=8),
            b=node("EmptyImage", height=8, width=8),
            c=node("EmptyImage", width=16, height=8),
            save_a=node("X", images=["a", 0]),
            save_b=node("X", images=["b", 0]),
            save_c=node("X", images=["c", 0]),
        )
    )
    assert found["a"] == found["b"] != found["c"]
    assert found["save_a"] == found["save_b"] != found["save_c"]


def test_text_of_any_kind_can_be_signed() -> None:
    hashes = {content_hash(graph(save=node("X", value=text, filename_prefix=""))) for text in ("", "\ud800", "\u2028", "😀")}
    assert len(hashes) == 4


@pytest.mark.slow
def test_a_chain_of_20000_nodes_can_be_signed() -> None:
    workflow = chain(20_000)
    assert len(set(signatures(workflow).values())) == 20_000
    assert len(content_hash(workflow)) == 64


@given(st.lists(st.tuples(_LITERALS, _LITERALS, _LITERALS), min_size=2, max_size=6))
def test_hashes_that_begin_with_those_of_another_graph_are_those_from_the_start(rows: list[tuple[Any, ...]]) -> None:
    graphs = [
        graph(
            empty=node("EmptyLatentImage", width=512, height=512, batch_size=row[0]),
            sampler=node("KSampler", latent_image=["empty", 0], steps=row[1], denoise=row[2], seed=1),
            larger=node("LatentUpscale", samples=["sampler", 0], upscale_method="area", width=1024, height=1024),
            save=node("SaveLatent", role="original", samples=["larger", 0], filename_prefix="x"),
        )
        for row in rows
    ]
    places, _ = literals_of(graphs[0])
    signer = Signer(graphs[0], places)
    for one in graphs:
        found = signer.sign(literals_of(one)[1], partial(node_sizes, one))
        assert found.content == content_hash(one)
        assert found.pixels == pixel_hash(one)
        alone = signatures(one)
        assert all(found.cells[signer.cell_of[id_]] == alone[id_] for id_ in ("empty", "sampler", "larger"))
