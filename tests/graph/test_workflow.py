"""The graph's shape: what is refused before it can hurt a server, and what a graph tells of itself."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfy_runner.errors import WorkflowError
from comfy_runner.graph.workflow import EXPORT_HINT, Link, as_link, parse_workflow
from tests.graph.support import chain, fault, faults, graph, node

SAVE = node("SaveImage", images=["empty", 0], filename_prefix="x")
EMPTY = node("EmptyImage", width=64, height=64)
_SILENT = '{"name": "latent", "reports": "nothing"}'


def what(data: Any) -> str:
    return fault(lambda: parse_workflow(data, where="graph.json"), error=WorkflowError).what


def test_a_graph_comes_out_as_it_went_in() -> None:
    data = {"empty": EMPTY, "save": {**SAVE, "_meta": {"title": "Save it", "role": "original"}}}
    assert parse_workflow(data).to_api() == data
    assert json.loads(parse_workflow(data).to_json()) == data


def test_a_graph_may_be_wrapped_as_it_is_posted() -> None:
    data = {"empty": EMPTY, "save": SAVE}
    assert parse_workflow({"prompt": data, "client_id": "x"}).to_api() == data


def test_a_node_may_be_called_prompt() -> None:
    data = {"prompt": EMPTY, "save": node("SaveImage", images=["prompt", 0])}
    assert parse_workflow(data).to_api() == data


def test_a_malformed_node_called_prompt_is_not_taken_for_a_wrapper() -> None:
    assert what({"prompt": {"inputs": {}}}) == 'node "prompt": has no class_type'
    assert what({"prompt": {"class_type": "X"}}) == 'node "prompt": has no "inputs" object; ComfyUI crashes on such a node'


@pytest.mark.parametrize(
    ("data", "kind"), [([], "a list"), ("{}", "text"), (None, "null"), (True, "true or false"), (1, "a number"), (0.5, "a number")]
)
def test_what_is_no_object_is_no_workflow(data: Any, kind: str) -> None:
    assert what(data) == f"a workflow is a JSON object of nodes (got {kind})"


def test_an_empty_workflow_is_an_error() -> None:
    assert what({}) == "the workflow has no nodes"
    assert what({"prompt": {}}) == "the workflow has no nodes"


@pytest.mark.parametrize("more", [{"links": []}, {"last_node_id": 3}])
def test_the_ui_format_is_an_error_that_says_how_to_export(more: dict[str, Any]) -> None:
    problem = fault(lambda: parse_workflow({"nodes": [{"id": 1}], **more}, where="graph.json"), error=WorkflowError)
    assert str(problem) == "graph.json: this is a workflow in the UI format, not the API format"
    assert problem.hint == EXPORT_HINT


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ([], 'node "a": must be an object with class_type and inputs (got a list)'),
        (None, 'node "a": must be an object with class_type and inputs (got null)'),
        ({"inputs": {}}, 'node "a": has no class_type'),
        ({"class_type": "", "inputs": {}}, 'node "a": has no class_type'),
        ({"class_type": 5, "inputs": {}}, 'node "a": has no class_type'),
        ({"class_type": "X"}, 'node "a": has no "inputs" object; ComfyUI crashes on such a node'),
        ({"class_type": "X", "inputs": None}, 'node "a": has no "inputs" object; ComfyUI crashes on such a node'),
        ({"class_type": "X", "inputs": []}, 'node "a": has no "inputs" object; ComfyUI crashes on such a node'),
        ({"class_type": "X", "inputs": {}, "_meta": "t"}, 'node "a": _meta must be an object (got text)'),
        *(
            (
                {"class_type": "X", "inputs": {}, "_meta": {"role": role}},
                f'node "a": a role must be text, or like {_SILENT} (got {kind})',
            )
            for role, kind in [
                (5, "a number"),
                (["a"], "a list"),
                ({"name": "a"}, "an object"),
                ({"name": "", "reports": "nothing"}, "an object"),
                ({"name": 5, "reports": "nothing"}, "an object"),
                ({"name": "a", "reports": "files"}, "an object"),
                ({"name": "a", "reports": "nothing", "more": 1}, "an object"),
            ]
        ),
        (node("X", i=["b", 0]), 'node "a", input i: links to node "b", which does not exist'),
        (node("X", i=["a", -1]), 'node "a", input i: an output index is never negative (got -1)'),
        (node("X", i=math.nan), 'node "a", input i: must be a finite number (got nan)'),
        (node("X", i=math.inf), 'node "a", input i: must be a finite number (got inf)'),
        (node("X", i={"__value__": [1, {"x": -math.inf}]}), 'node "a", input i: must be a finite number (got -inf)'),
        ({"class_type": "X", "inputs": {}, "_meta": {"x": math.nan}}, 'node "a", _meta: must be a finite number (got nan)'),
    ],
)
def test_a_malformed_node_is_an_error(broken: Any, message: str) -> None:
    assert what({"a": broken}) == message


@pytest.mark.parametrize("value", [[], ["a"], ["a", 0, 0], ["a", "0"], ["a", 0.0], ["a", True], [1, 0], [None, 0], [["a", 0], 0]])
def test_a_list_that_is_no_link_is_an_error(value: list[Any]) -> None:
    problem = fault(lambda: parse_workflow({"a": node("X", i=value)}), error=WorkflowError)
    assert problem.what == 'node "a", input i: not a link; a link is [node id as text, output index]'
    assert problem.hint == 'a literal list is written {"__value__": […]}'


def test_all_malformed_nodes_are_named_in_one_error() -> None:
    found = faults(lambda: parse_workflow({"a": [], "b": {"class_type": "", "inputs": 0}, "c": EMPTY}), error=WorkflowError)
    assert [problem.what.split(":")[0] for problem in found] == ['node "a"', 'node "b"', 'node "b"']


def test_literals_that_are_nested_without_end_are_an_error() -> None:
    value: Any = 1
    for _ in range(900):
        value = {"x": value}
    assert what({"a": node("X", i=value)}) == 'node "a", input i: must be nested at most 50 deep'


def test_a_node_that_links_to_itself_is_a_cycle() -> None:
    assert what({"a": node("X", i=["a", 0])}) == "the workflow has a cycle: a -> a"


def test_a_cycle_is_named_in_the_direction_of_the_data() -> None:
    data = {"a": node("X", i=["c", 0]), "b": node("X", i=["a", 0]), "c": node("X", i=["b", 0]), "d": node("X", i=["a", 0])}
    cycle = what(data).removeprefix("the workflow has a cycle: ").split(" -> ")
    assert cycle[0] == cycle[-1]
    assert "abcabc".find("".join(cycle[:-1])) >= 0


@pytest.mark.slow
def test_a_long_cycle_is_found_and_its_message_is_short() -> None:
    length = 20_000
    data = {f"n{i}": node("X", i=[f"n{(i + 1) % length}", 0]) for i in range(length)}
    assert len(what(data)) < 200


def test_two_ways_to_one_node_are_no_cycle() -> None:
    workflow = graph(a=EMPTY, b=node("X", i=["a", 0], j=["a", 0]), c=node("X", i=["a", 0], j=["b", 0]))
    assert workflow.in_order == ("a", "b", "c")


@pytest.mark.slow
def test_a_chain_of_20000_nodes_is_a_graph() -> None:
    workflow = chain(20_000)
    assert workflow.in_order[0] == "n0"
    assert len(workflow.ancestors(["save"])) == 20_000


def test_a_lattice_with_more_paths_than_atoms_is_a_graph() -> None:
    nodes = {"a0": EMPTY, "b0": EMPTY}
    for i in range(1, 400):
        nodes |= {f"{side}{i}": node("X", x=[f"a{i - 1}", 0], y=[f"b{i - 1}", 0]) for side in "ab"}
    assert len(parse_workflow(nodes).in_order) == 800


@given(st.permutations([f"n{i}" for i in range(6)]), st.sets(st.tuples(st.integers(0, 5), st.integers(0, 5))))
def test_in_order_every_node_comes_after_what_it_links_to(ids: list[str], pairs: set[tuple[int, int]]) -> None:
    edges = {(max(pair), min(pair)) for pair in pairs if pair[0] != pair[1]}
    data = {id_: node("X", **{f"i{to}": [f"n{to}", 0] for start, to in sorted(edges) if f"n{start}" == id_}) for id_ in ids}
    workflow = parse_workflow(data)
    place = {id_: index for index, id_ in enumerate(workflow.in_order)}
    assert set(place) == set(ids)
    assert all(place[f"n{to}"] < place[f"n{start}"] for start, to in edges)


def test_a_role_names_an_output() -> None:
    workflow = graph(a=EMPTY, b=node("SaveImage", role="original", images=["a", 0], filename_prefix="x"))
    assert workflow.outputs == {"original": "b"}


def test_a_node_that_saves_and_has_no_role_is_known_by_its_id() -> None:
    assert graph(empty=EMPTY, nine=SAVE).outputs == {"nine": "nine"}


def test_a_role_may_be_given_to_a_node_without_a_file_prefix() -> None:
    assert graph(a=EMPTY, b=node("SaveImageWebsocket", role="live", images=["a", 0])).outputs == {"live": "b"}


def test_of_a_role_that_reports_nothing_nothing_is_collected() -> None:
    role: Any = {"name": "weights", "reports": "nothing"}
    workflow = graph(a=EMPTY, b={**SAVE, "_meta": {"role": role}}, c={**SAVE, "_meta": {"role": "upscaled"}}, empty=EMPTY)

    assert (workflow.outputs, workflow.collected) == ({"weights": "b", "upscaled": "c"}, {"upscaled": "c"})
    assert workflow.nodes["b"].with_role("b_2").meta["role"] == {**role, "name": "b_2"}


def test_two_nodes_of_one_role_are_an_error() -> None:
    two = {"a": {**SAVE, "_meta": {"role": "original"}}, "b": {**SAVE, "_meta": {"role": "original"}}, "empty": EMPTY}
    assert what(two) == 'nodes "a" and "b" both have the role "original"'


def test_a_role_that_is_the_id_of_another_output_is_an_error() -> None:
    assert what({"a": {**SAVE, "_meta": {"role": "b"}}, "b": SAVE, "empty": EMPTY}) == 'nodes "a" and "b" both have the role "b"'


def test_a_role_that_is_the_id_of_a_node_that_saves_nothing_is_fine() -> None:
    assert graph(a={**SAVE, "_meta": {"role": "empty"}}, empty=EMPTY).outputs == {"empty": "a"}


def test_file_prefixes_are_set_by_role() -> None:
    workflow = graph(empty=EMPTY, a={**SAVE, "_meta": {"role": "original"}}, live=node("SaveImageWebsocket", role="live"))
    changed = workflow.with_prefixes({"original": "run/7", "live": "run/8"})
    assert changed.nodes["a"].inputs["filename_prefix"] == "run/7"
    assert "filename_prefix" not in changed.nodes["live"].inputs
    assert workflow.nodes["a"].inputs["filename_prefix"] == "x"


def test_what_is_kept_of_a_graph_is_what_its_outputs_need() -> None:
    workflow = graph(empty=EMPTY, save=SAVE, other=EMPTY)
    assert workflow.ancestors(["save"]) == {"save", "empty"}
    assert list(workflow.keep(workflow.ancestors(["save"])).nodes) == ["empty", "save"]


def test_what_depends_on_a_node_are_all_below_it() -> None:
    workflow = graph(save=SAVE, empty=EMPTY, other=EMPTY)
    assert workflow.descendants(["empty"]) == {"empty", "save"}
    assert workflow.descendants([]) == set()


def test_a_title_is_the_class_where_there_is_none() -> None:
    assert graph(a={**EMPTY, "_meta": {"title": "Canvas"}}).nodes["a"].title == "Canvas"
    assert graph(a=EMPTY).nodes["a"].title == "EmptyImage"


def test_a_link_is_a_node_id_and_an_index() -> None:
    assert as_link(["a", 1]) == Link("a", 1)
    assert as_link({"__value__": ["a", 1]}) is None
    assert as_link("a") is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["class_type", "inputs", "_meta", "a"]), inner),
    max_leaves=20,
)


@given(JSON)
def test_any_json_is_a_workflow_or_a_workflow_error(data: Any) -> None:
    try:
        workflow = parse_workflow(data)
    except WorkflowError:
        return
    assert json.loads(workflow.to_json()) == workflow.to_api()
