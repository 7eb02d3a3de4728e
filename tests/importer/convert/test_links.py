"""Links are followed through what only the page has, and past what is switched off."""

from __future__ import annotations

from typing import Any

import pytest

from comfy_runner.errors import WorkflowError
from comfy_runner.importer.convert.wiring import fits, passed_on
from tests.importer.convert.support import class_, converted, inputs, node, page, server

_IMAGE = node(1, "LoadImage", ["a.png", "image"])


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("IMAGE", "IMAGE", True),
        ("IMAGE", "image", True),
        ("IMAGE", "MASK", False),
        ("*", "MASK", True),
        ("", "MASK", True),
        ("INT,FLOAT", "FLOAT", True),
        ("INT,FLOAT", "STRING,float", True),
        ("INT,FLOAT", "STRING", False),
    ],
)
def test_types_fit_by_any_member(one: str, other: str, expected: bool) -> None:
    assert fits(one, other) is fits(other, one) is expected


@pytest.mark.parametrize(
    ("inputs_", "output", "slot", "wanted", "expected"),
    [
        (["MODEL", "CLIP"], "CLIP", 1, "CLIP", 1),  # the input of the same index
        (["CLIP", "MODEL"], "CLIP", 1, "CLIP", 0),  # else the first of just that type
        (["MASK", "IMAGE"], "IMAGE", 0, "IMAGE", 1),
        (["INT,FLOAT"], "INT", 0, "INT", 0),
        (["MODEL"], "IMAGE", 0, "IMAGE", -1),
        (["A", "B"], "C", 1, "*", 1),  # whatever takes anything gets the same index
        (["A", "B"], "C", 5, "*", 0),
        ([], "C", 0, "*", -1),
    ],
)
def test_a_bypassed_node_passes_on_what_fits(inputs_: list[str], output: str, slot: int, wanted: str, expected: int) -> None:
    assert passed_on(inputs_, output, slot, wanted) == expected


def test_the_order_of_a_bypassed_nodes_inputs_is_that_of_its_class() -> None:
    two = class_({"first": ["IMAGE"], "second": ["IMAGE"]}, ["IMAGE"])
    nodes = [
        _IMAGE,
        node(2, "LoadImage", ["b.png", "image"]),
        node(3, "Two", mode=4, second=1, first=2),
        node(4, "SaveImage", ["x"], images=3),
    ]

    result = converted(
        page(*nodes, links=[[1, 1, 0, 3, 0, "IMAGE"], [2, 2, 0, 3, 1, "IMAGE"], [3, 3, 0, 4, 0, "IMAGE"]]), server(Two=two)
    )

    assert inputs(result, "4")["images"] == ["2", 0]


def test_an_input_behind_a_bypassed_node_without_a_fitting_input_has_what_its_control_says() -> None:
    nodes = [node(1, "EmptyLatentImage", [64, 64, 1], mode=4), node(2, "ImageScaleBy", ["lanczos", 2.0], scale_by=1)]
    nodes[1]["inputs"][0].update(type="FLOAT", widget={"name": "scale_by"})

    assert inputs(converted(page(*nodes, links=[[1, 1, 0, 2, 0, "FLOAT"]])), "2") == {"upscale_method": "lanczos", "scale_by": 2.0}


def test_reroutes_are_followed_to_what_is_meant() -> None:
    reroutes = [
        node(2, "Reroute", inputs=[{"name": "", "type": "*", "link": 1}]),
        node(3, "Reroute", inputs=[{"name": "", "type": "*", "link": 2}]),
    ]
    links = [[1, 1, 0, 2, 0, "*"], [2, 2, 0, 3, 0, "*"], [3, 3, 0, 4, 0, "*"]]

    result = converted(page(_IMAGE, *reroutes, node(4, "SaveImage", ["x"], images=3), links=links))

    assert set(result.graph) == {"1", "4"}
    assert inputs(result, "4")["images"] == ["1", 0]


def test_what_a_set_node_keeps_is_found_by_its_name() -> None:
    setter = node(2, "SetNode", ["kept"], IMAGE=1)
    getter = node(3, "GetNode", ["kept"])

    result = converted(
        page(_IMAGE, setter, getter, node(4, "SaveImage", ["x"], images=2), links=[[1, 1, 0, 2, 0, "*"], [2, 3, 0, 4, 0, "*"]])
    )

    assert inputs(result, "4")["images"] == ["1", 0]


def test_two_set_nodes_of_one_name_are_refused() -> None:
    nodes = [
        _IMAGE,
        node(2, "SetNode", ["kept"], IMAGE=1),
        node(3, "SetNode", ["kept"]),
        node(5, "GetNode", ["kept"]),
        node(4, "SaveImage", ["x"], images=2),
    ]

    with pytest.raises(WorkflowError, match='several nodes of the class SetNode have the name "kept"'):
        converted(page(*nodes, links=[[1, 1, 0, 2, 0, "*"], [2, 5, 0, 4, 0, "*"]]))


def test_notes_are_left_out_and_muted_nodes_of_unknown_classes_too() -> None:
    nodes = [_IMAGE, node(2, "Note", ["hi"]), node(3, "MarkdownNote", ["# hi"]), node(4, "NobodyKnows", mode=2)]

    result = converted(page(*nodes, node(5, "Label (rgthree)", title="Step 1"), links=[]))

    assert set(result.graph) == {"1"}
    assert [note.what for note in result.notes] == [
        'node 5 ("Step 1", Label (rgthree)): only shows something in ComfyUI\'s page, and is left out'
    ]


@pytest.mark.parametrize(
    ("type_", "reason"),
    [
        ("Anything Everywhere", "links nodes"),
        ("Fast Groups Muter (rgthree)", "switches other nodes"),
        ("workflow>mine", "is a group node"),
    ],
)
def test_nodes_that_act_in_the_page_are_refused_by_name(type_: str, reason: str) -> None:
    with pytest.raises(WorkflowError) as caught:
        converted(page(_IMAGE, node(7, type_, title="Mine"), links=[]))

    assert f'node 7 ("Mine", {type_})' in str(caught.value)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("links", "reason"),
    [([], "its link 1 is not in the file"), ([[1, 9, 0, 2, 0, "IMAGE"]], "node 9, which is not in the file")],
)
def test_links_to_nothing_are_refused(links: list[Any], reason: str) -> None:
    with pytest.raises(WorkflowError, match=reason):
        converted(page(node(2, "SaveImage", ["x"], images=1), links=links))


def _numbers(value: Any, kind: str, options: dict[str, Any]) -> Any:
    wanted = [{"name": "n", "type": kind, "link": 1, "widget": {"name": "n"}}]
    nodes = [node(1, "PrimitiveNode", [value, "fixed"]), node(2, "Number", [1], inputs=wanted)]
    result = converted(page(*nodes, links=[[1, 1, 0, 2, 0, kind]]), server(Number=class_({"n": [kind, options]}, [])))
    return inputs(result, "2")["n"]


@pytest.mark.parametrize(
    ("value", "kind", "options", "expected"),
    [
        (77, "INT", {}, 77),
        (3.7, "INT", {}, 4),
        (1025, "INT", {"min": 16, "step": 8}, 1024),
        (8, "INT", {"min": 5, "step": 4}, 9),
        (3, "INT", {"min": 16, "step": 8}, 16),
        (2**60 + 1, "INT", {}, 2**60 + 1),
        (0.35, "FLOAT", {}, 0.3),
        (0.349, "FLOAT", {"max": 10, "step": 0.1}, 0.3),
        (0.1234, "FLOAT", {"max": 10, "step": 0.01}, 0.12),
        (7, "FLOAT", {"max": 100, "step": 5}, 7),
        (0.12345, "FLOAT", {"max": 100, "step": 0.1, "round": 0.001}, 0.1),
        (0.25, "FLOAT", {"max": 100, "step": 0.1, "round": 0.01}, 0.3),
        (20, "FLOAT", {"max": 10, "step": 0.01}, 10),
        ("text", "STRING", {}, "text"),
        (True, "BOOLEAN", {}, True),
    ],
)
def test_a_primitive_gives_its_value_on_the_steps_of_the_control(
    value: Any, kind: str, options: dict[str, Any], expected: Any
) -> None:
    assert _numbers(value, kind, options) == expected


def test_a_primitive_for_two_inputs_of_the_same_steps_is_rounded_for_both() -> None:
    wanted = [{"name": name, "type": "INT", "link": link, "widget": {"name": name}} for name, link in (("a", 1), ("b", 2))]
    nodes = [node(1, "PrimitiveNode", [1025, "fixed"]), node(2, "Two", [1, 1], inputs=wanted)]
    two = class_({"a": ["INT", {"step": 8}], "b": ["INT", {"step": 8}]}, [])

    result = converted(page(*nodes, links=[[1, 1, 0, 2, 0, "INT"], [2, 1, 0, 2, 1, "INT"]]), server(Two=two))

    assert inputs(result, "2") == {"a": 1024, "b": 1024}


def test_a_primitive_for_two_inputs_that_would_round_it_otherwise_is_refused() -> None:
    wanted = [{"name": name, "type": "INT", "link": link, "widget": {"name": name}} for name, link in (("a", 1), ("b", 2))]
    nodes = [node(1, "PrimitiveNode", [1025, "fixed"]), node(2, "Two", [1, 1], inputs=wanted)]
    two = class_({"a": ["INT", {}], "b": ["INT", {"step": 8}]}, [])

    with pytest.raises(WorkflowError, match="1025 is outside the range or the steps of b"):
        converted(page(*nodes, links=[[1, 1, 0, 2, 0, "INT"], [2, 1, 0, 2, 1, "INT"]]), server(Two=two))


def test_a_linked_control_keeps_its_place_among_the_values() -> None:
    wanted = [{"name": "height", "type": "INT", "link": 1, "widget": {"name": "height"}}]
    nodes = [node(1, "Number", [5]), node(2, "EmptyLatentImage", [128, 256, 3], inputs=wanted)]

    result = converted(page(*nodes, links=[[1, 1, 0, 2, 0, "INT"]]), server(Number=class_({"n": ["INT", {}]}, ["INT"])))

    assert inputs(result, "2") == {"width": 128, "height": ["1", 0], "batch_size": 3}


def test_links_that_only_a_node_pack_makes_are_refused() -> None:
    with pytest.raises(WorkflowError, match="Anything Everywhere links its nodes"):
        converted(page(_IMAGE, links=[], extra={"ue_links": [{"downstream": 1, "upstream": "2"}]}))


def test_behind_a_bypassed_node_an_input_that_takes_on_a_type_has_the_one_that_the_file_says() -> None:
    info = server(
        Film=class_({"film": ["VIDEO"]}, ["VIDEO"]),
        Parts=class_({"film": ["VIDEO"]}, ["IMAGE"]),
        Any=class_({"thing": ["COMFY_MATCHTYPE_V3", {"template": {"template_id": "t", "allowed_types": "IMAGE,MASK"}}]}, ["IMAGE"]),
    )
    taking = {"id": 3, "type": "Any", "mode": 0, "inputs": [{"name": "thing", "type": "IMAGE,MASK", "link": 2}]}
    nodes = [node(1, "Film", film=None), node(2, "Parts", mode=4, film=1), taking]

    result = converted(page(*nodes, links=[[1, 1, 0, 2, 0, "VIDEO"], [2, 2, 0, 3, 0, "IMAGE"]]), info)

    assert inputs(result, "3") == {}
