"""Whatever a file holds, it is converted or refused: no other error, and no long wait."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from comfy_runner.errors import WorkflowError
from comfy_runner.importer.convert.convert import convert
from tests.example_counts import tried
from tests.importer.convert.support import CLASSES, server

_IDS = st.one_of(st.integers(-20, 6), st.sampled_from(["1", "2", "a", "", "-10", None, True, 1.5, 2.0]))
_SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-3, 9), st.floats(), st.text(max_size=5), st.just("randomize"))
_JSON = st.recursive(_SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3))
_TYPES = st.sampled_from(
    [*CLASSES, "Reroute", "PrimitiveNode", "SetNode", "GetNode", "Note", "sub", "sub2", "Unknown", "workflow>x"]
)
_SLOT = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["model", "text", "seed", "x"]),
        "type": _JSON,
        "link": _IDS,
        "widget": _JSON | st.just({"name": "seed"}),
    },
)
_NODE = st.fixed_dictionaries(
    {"id": _IDS, "type": _TYPES | _JSON},
    optional={
        "mode": st.sampled_from([0, 2, 4]) | _JSON,
        "inputs": st.lists(_SLOT | _JSON, max_size=3) | _JSON,
        "outputs": st.lists(_SLOT | _JSON, max_size=2) | _JSON,
        "widgets_values": st.lists(_JSON, max_size=4) | _JSON,
        "widgets_values_named": _JSON,
        "properties": _JSON
        | st.fixed_dictionaries(
            {"proxyWidgets": st.lists(st.lists(st.sampled_from(["-1", "1", "x"]), max_size=2), max_size=3) | _JSON}
        ),
        "title": _JSON,
    },
)
_LINK = st.lists(_IDS, min_size=5, max_size=6) | st.fixed_dictionaries(
    {"id": _IDS, "origin_id": _IDS, "origin_slot": _IDS, "target_id": _IDS, "target_slot": _IDS}
)
_BOUNDARY = st.fixed_dictionaries(
    {}, optional={"name": st.sampled_from(["x", "seed"]), "type": _JSON, "linkIds": st.lists(_IDS, max_size=3) | _JSON}
)


def _graphs(**more: Any) -> st.SearchStrategy[dict[str, Any]]:
    fields = {"nodes": st.lists(_NODE | _JSON, max_size=5) | _JSON, "links": st.lists(_LINK | _JSON, max_size=6) | _JSON}
    return st.fixed_dictionaries({**fields, **more})


_SUBGRAPH = _graphs(
    id=st.sampled_from(["sub", "sub2"]),
    inputs=st.lists(_BOUNDARY | _JSON, max_size=3) | _JSON,
    outputs=st.lists(_BOUNDARY | _JSON, max_size=2) | _JSON,
)
_FILES = _graphs(definitions=st.fixed_dictionaries({"subgraphs": st.lists(_SUBGRAPH | _JSON, max_size=3) | _JSON}) | _JSON)


@settings(max_examples=tried(150), deadline=None, suppress_health_check=list(HealthCheck))
@given(_FILES | st.dictionaries(st.text(max_size=6), _JSON, max_size=4))
def test_any_json_is_converted_or_refused(ui: dict[str, Any]) -> None:
    try:
        result = convert(ui, server(), where="file")
    except WorkflowError:
        return
    else:
        assert all(
            value[0] in result.graph
            for node in result.graph.values()
            for value in node["inputs"].values()
            if isinstance(value, list)
        )


def test_a_graph_of_hundreds_of_reroutes_in_a_row_takes_no_time() -> None:
    nodes: list[dict[str, Any]] = [{"id": 0, "type": "EmptyLatentImage"}]
    links: list[Any] = []
    for index in range(1, 2000):
        nodes.append({"id": index, "type": "Reroute", "inputs": [{"name": "", "type": "*", "link": index}]})
        links.append([index, index - 1, 0, index, 0, "*"])
    nodes.append({"id": 2000, "type": "VAEDecode", "inputs": [{"name": "samples", "type": "LATENT", "link": 2000}]})
    links.append([2000, 1999, 0, 2000, 0, "*"])

    result = convert({"nodes": nodes, "links": links}, server(), where="file")

    assert result.graph["2000"]["inputs"] == {"samples": ["0", 0]}


def test_subgraphs_that_double_at_each_level_are_refused() -> None:
    definitions: list[dict[str, Any]] = []
    for level in range(30):
        inner = [{"id": 1, "type": f"level{level + 1}"}, {"id": 2, "type": f"level{level + 1}"}]
        definitions.append({"id": f"level{level}", "nodes": inner if level < 29 else [], "links": []})

    with pytest.raises(WorkflowError, match="more than 20000 nodes"):
        convert(
            {"nodes": [{"id": 1, "type": "level0"}], "links": [], "definitions": {"subgraphs": definitions}}, server(), where="file"
        )


@pytest.mark.parametrize("target", ["sub", "other"])
def test_a_subgraph_within_itself_is_refused(target: str) -> None:
    definitions = [
        {"id": "sub", "name": "Sub", "nodes": [{"id": 1, "type": target}], "links": []},
        {"id": "other", "name": "Other", "nodes": [{"id": 1, "type": "sub"}], "links": []},
    ]

    with pytest.raises(WorkflowError, match="contains itself"):
        convert(
            {"nodes": [{"id": 1, "type": "sub"}], "links": [], "definitions": {"subgraphs": definitions}}, server(), where="file"
        )


def test_links_in_a_circle_are_refused() -> None:
    nodes = [
        {"id": 1, "type": "Reroute", "inputs": [{"name": "", "link": 1}]},
        {"id": 2, "type": "Reroute", "inputs": [{"name": "", "link": 2}]},
        {"id": 3, "type": "VAEDecode", "inputs": [{"name": "samples", "link": 3}]},
    ]

    with pytest.raises(WorkflowError, match="in a circle"):
        convert({"nodes": nodes, "links": [[1, 2, 0, 1, 0], [2, 1, 0, 2, 0], [3, 1, 0, 3, 0]]}, server(), where="file")
