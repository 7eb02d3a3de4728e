"""Subgraphs stand in the place of their instances, and instances have values of their own for what is in them."""

from __future__ import annotations

from typing import Any

import pytest

from comfy_runner.errors import WorkflowError
from tests.importer.convert.support import CLASSES, class_, converted, inputs, node, page, server


def _socket(name: str, link: int | None = None, *, control: bool = True) -> dict[str, Any]:
    return {"name": name, "type": "*", "link": link, **({"widget": {"name": name}} if control else {})}


def _sub(
    nodes: list[dict[str, Any]],
    links: list[tuple[int, int, int, int, int]],
    *,
    id_: str = "sub",
    takes: dict[str, list[int]] | None = None,
    gives: dict[str, list[int]] | None = None,
) -> dict[str, Any]:
    """Return a definition; links are id, from node, its output, to node, its input; -10 and -20 are the sides."""
    keys = ("id", "origin_id", "origin_slot", "target_id", "target_slot")
    return {
        "id": id_,
        "name": id_.title(),
        "nodes": nodes,
        "links": [dict(zip(keys, link, strict=True)) for link in links],
        "inputs": [{"name": name, "type": "*", "linkIds": ids} for name, ids in (takes or {}).items()],
        "outputs": [{"name": name, "type": "*", "linkIds": ids} for name, ids in (gives or {}).items()],
    }


# An empty latent image whose width and height can be set from outside.
_SIZED = _sub(
    [node(1, "EmptyLatentImage", [64, 32, 2], inputs=[_socket("width", 1), _socket("height", 2), _socket("batch_size")])],
    [(1, -10, 0, 1, 0), (2, -10, 1, 1, 1), (3, 1, 0, -20, 0)],
    takes={"width": [1], "tall": [2]},
    gives={"LATENT": [3]},
)


def _instance(values: Any, *, id_: int = 5, mode: int = 0, proxies: Any = None, width: int | None = None) -> dict[str, Any]:
    properties = {} if proxies is None else {"proxyWidgets": proxies}
    return node(id_, "sub", values, mode=mode, inputs=[_socket("width", width), _socket("tall")], properties=properties)


def _read(
    *nodes: dict[str, Any], links: list[Any] | None = None, subgraphs: list[dict[str, Any]] | None = None, **more: Any
) -> Any:
    ui = page(*nodes, links=links or [], definitions={"subgraphs": subgraphs or [_SIZED]})
    return converted(ui, server(**more) if more else None)


def test_nodes_of_a_subgraph_are_named_after_its_instance() -> None:
    nodes = [_instance([128, 256]), node(6, "VAEDecode", samples=9)]

    result = _read(*nodes, links=[[9, 5, 0, 6, 0, "LATENT"]])

    assert result.notes == ()
    assert set(result.graph) == {"5:1", "6"}
    assert inputs(result, "6") == {"samples": ["5:1", 0]}
    assert inputs(result, "5:1") == {"width": 128, "height": 256, "batch_size": 2}


@pytest.mark.parametrize(
    ("values", "proxies", "expected"),
    [
        ([128, 256], None, (128, 256)),
        ([128], None, (128, 32)),
        (None, None, (64, 32)),
        ([256, 128], [["-1", "tall"], ["-1", "width"]], (128, 256)),
        ([None, 256], [["1", "batch_size"], ["-1", "tall"]], (64, 256)),
        ([], [["1", "batch_size"]], (64, 32)),
    ],
)
def test_values_of_an_instance_are_those_of_its_inputs_by_name(values: Any, proxies: Any, expected: tuple[int, int]) -> None:
    found = inputs(_read(_instance(values, proxies=proxies)), "5:1")

    assert (found["width"], found["height"]) == expected


@pytest.mark.parametrize(
    ("values", "proxies"),
    [
        ([256], [["-1", "tall"]]),  # the page would read it as the width first
        ([None, 7], [["-1", "width"], ["-1", "tall"]]),
        ([9], [["1", "width"]]),
    ],
)
def test_values_that_pages_read_differently_are_refused(values: Any, proxies: Any) -> None:
    with pytest.raises(WorkflowError, match=r"node 5 \(subgraph Sub\): "):
        _read(_instance(values, proxies=proxies))


def test_two_instances_have_each_their_own_values() -> None:
    result = _read(_instance([128, 256]), _instance([512], id_=7))

    assert inputs(result, "5:1")["width"] == 128
    assert inputs(result, "7:1")["width"] == 512


def test_a_link_to_an_instance_wins_over_its_value() -> None:
    nodes = [node(1, "Number", [9]), _instance([128, 256], width=8)]

    result = _read(*nodes, links=[[8, 1, 0, 5, 0, "INT"]], Number=class_({"n": ["INT", {}]}, ["INT"]))

    assert inputs(result, "5:1") == {"width": ["1", 0], "height": 256, "batch_size": 2}


def test_a_primitive_gives_its_value_to_what_is_in_a_subgraph_and_that_is_said() -> None:
    result = _read(node(1, "PrimitiveNode", [96, "fixed"]), _instance([128, 256], width=8), links=[[8, 1, 0, 5, 0, "INT"]])

    assert inputs(result, "5:1")["width"] == 96
    assert "newer versions of ComfyUI's page send its own" in result.notes[0].what


def _nested(*, inner_first: bool) -> list[dict[str, Any]]:
    inner = node(7, "sub", [100, 200], inputs=[_socket("width", 1), _socket("tall")])
    outer = _sub([inner], [(1, -10, 0, 7, 0), (2, 7, 0, -20, 0)], id_="outer", takes={"across": [1]}, gives={"L": [2]})
    return [_SIZED, outer] if inner_first else [outer, _SIZED]


@pytest.mark.parametrize("inner_first", [True, False])
@pytest.mark.parametrize(("values", "width"), [([300], 300), (None, 100)])
def test_values_reach_nodes_two_subgraphs_deep(values: Any, width: int, inner_first: bool) -> None:
    nodes = [node(5, "outer", values, inputs=[_socket("across")]), node(6, "VAEDecode", samples=9)]

    result = _read(*nodes, links=[[9, 5, 0, 6, 0, "LATENT"]], subgraphs=_nested(inner_first=inner_first))

    assert inputs(result, "5:7:1") == {"width": width, "height": 200, "batch_size": 2}
    assert inputs(result, "6") == {"samples": ["5:7:1", 0]}
    assert bool(result.notes) is not inner_first  # the page sends the inner value where it meets the outer one first


def test_a_text_of_two_instances_is_said_to_be_mixed_up_by_some_pages() -> None:
    encoded = node(1, "CLIPTextEncode", ["P"], inputs=[_socket("clip", control=False), _socket("text", 1)])
    prompt = _sub([encoded], [(1, -10, 0, 1, 1)], takes={"text": [1]})
    nodes = [node(id_, "sub", [text], inputs=[_socket("text")]) for id_, text in ((5, "a {x|y}"), (6, "b"))]

    result = _read(*nodes, subgraphs=[prompt])

    # Of these, no choice is drawn: the page sends them as they are.
    assert [inputs(result, id_) for id_ in ("5:1", "6:1")] == [{"text": "a {x|y}"}, {"text": "b"}]
    assert [note.what for note in result.notes] == [
        "node 6 (subgraph Sub): input text is another text than in other instances of the subgraph; "
        "some versions of ComfyUI's page send one of them for all"
    ]


def test_a_link_within_that_is_at_another_place_than_the_page_has_it_is_said() -> None:
    encoded = node(1, "CLIPTextEncode", ["P"], inputs=[_socket("text", 1)])
    prompt = _sub([encoded], [(1, -10, 0, 1, 0)], takes={"text": [1]})

    result = _read(node(5, "sub", ["Q"], inputs=[_socket("text")]), subgraphs=[prompt])

    assert inputs(result, "5:1") == {"text": "Q"}
    assert "some versions of ComfyUI's page use another" in result.notes[0].what


def test_a_server_with_an_older_class_does_not_shift_the_values() -> None:
    lacking = class_({"height": CLASSES["EmptyLatentImage"]["input"]["required"]["height"]}, ["LATENT"])

    result = _read(_instance([128, 256]), EmptyLatentImage=lacking)

    assert inputs(result, "5:1") == {"height": 256}
    assert any("read by name" in note.what for note in result.notes)


def test_set_nodes_of_a_graph_are_seen_in_its_subgraphs() -> None:
    getting = _sub([node(1, "GetNode", ["pic"]), node(2, "SaveImage", ["x"], images=1)], [(1, 1, 0, 2, 0)])
    nodes = [node(1, "LoadImage", ["a.png", "image"]), node(2, "SetNode", ["pic"], IMAGE=1), node(5, "sub")]

    assert inputs(_read(*nodes, links=[[1, 1, 0, 2, 0, "*"]], subgraphs=[getting]), "5:2")["images"] == ["1", 0]


def test_a_bypassed_instance_passes_on_what_fits() -> None:
    doubled = _sub(
        [node(1, "ImageScaleBy", ["lanczos", 2.0], mode=4, image=1)],
        [(1, -10, 0, 1, 0), (2, 1, 0, -20, 0)],
        takes={"image": [1]},
        gives={"IMAGE": [2]},
    )
    nodes = [node(1, "LoadImage", ["a.png", "image"]), node(5, "sub", mode=4, image=1), node(6, "SaveImage", ["x"], images=2)]
    doubled["inputs"][0]["type"] = doubled["outputs"][0]["type"] = "IMAGE"

    result = _read(*nodes, links=[[1, 1, 0, 5, 0, "IMAGE"], [2, 5, 0, 6, 0, "IMAGE"]], subgraphs=[doubled])

    assert set(result.graph) == {"1", "6"}
    assert inputs(result, "6")["images"] == ["1", 0]


@pytest.mark.parametrize("mode", [2, 4])
def test_nodes_that_are_on_in_a_subgraph_that_is_off_are_refused_where_pages_differ(mode: int) -> None:
    with pytest.raises(WorkflowError, match="the subgraph is switched off, but nodes in it are not"):
        _read(_instance([128, 256], mode=mode), node(6, "SaveImage", ["x"]))


def test_newer_pages_leave_them_out() -> None:
    newer = class_({"f": ["COMFY_DYNAMICCOMBO_V3", {"options": [{"key": "a", "inputs": {}}]}]}, [])

    result = _read(_instance([128, 256], mode=4), node(6, "SaveImage", ["x"]), Newer=newer)

    assert set(result.graph) == {"6"}
    assert "the nodes in it are left out" in result.notes[0].what


_SHOWN_TOO = _sub(
    [
        node(1, "EmptyLatentImage", [64, 32, 2], inputs=[_socket("width", 1), _socket("height"), _socket("batch_size")]),
        node(2, "Show", anything=2),
    ],
    [(1, -10, 0, 1, 0), (2, -10, 0, 2, 0), (3, 1, 0, -20, 0)],
    takes={"width": [1, 2]},
    gives={"LATENT": [3]},
)
_SHOW = class_({"anything": ["*"]}, [])


def test_a_value_that_an_instance_shows_goes_to_inputs_without_a_control_too_as_newer_pages_have_it() -> None:
    newer = class_({"f": ["COMFY_DYNAMICCOMBO_V3", {"options": [{"key": "a", "inputs": {}}]}]}, [])

    result = _read(_instance([], proxies=[["1", "width"]]), subgraphs=[_SHOWN_TOO], Show=_SHOW, Newer=newer)

    assert inputs(result, "5:1")["width"] == 64
    assert inputs(result, "5:2") == {"anything": 64}


def test_older_pages_send_it_to_controls_alone_and_that_is_said() -> None:
    result = _read(_instance([], proxies=[["1", "width"]]), subgraphs=[_SHOWN_TOO], Show=_SHOW)

    assert inputs(result, "5:1")["width"] == 64
    assert inputs(result, "5:2") == {}
    assert "input anything: has no value" in result.notes[0].what


@pytest.mark.parametrize("value", [["a", "b"], {"text": "a"}], ids=["list", "mapping"])
def test_a_value_of_an_instance_that_is_no_text_is_refused(value: Any) -> None:
    encoded = node(1, "CLIPTextEncode", ["P"], inputs=[_socket("text", 1)])
    prompt = _sub([encoded], [(1, -10, 0, 1, 0)], takes={"text": [1]})

    with pytest.raises(WorkflowError, match=r"node 5 \(subgraph Sub\): input text is text \(got a"):
        _read(node(5, "sub", [value], inputs=[_socket("text")]), subgraphs=[prompt])
