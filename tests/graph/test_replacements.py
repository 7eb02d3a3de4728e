"""Classes that a server puts in the place of others: what it does with a graph is known before it gets there."""

from __future__ import annotations

from typing import Any

import pytest

from comfy_runner.errors import Note
from comfy_runner.graph.conformance import Checked, ShapeCheck, check, selectors
from comfy_runner.graph.object_info import ObjectInfo
from comfy_runner.graph.workflow import Workflow
from tests.graph.support import graph, node, recorded
from tests.standin.newer import CLASSES, REPLACEMENTS

IMAGE = ["picture", 0]
PICTURE = node("EmptyImage", width=64, height=64, batch_size=1, color=0)


def info(table: Any = REPLACEMENTS, **changed: Any) -> ObjectInfo:
    """What a newer server says, with some further classes."""
    nodes = {**recorded()._data, **CLASSES, **changed}
    nodes["EmptyImage"] = {"input": {"required": {name: ["INT", {}] for name in PICTURE["inputs"]}}, "output": ["IMAGE"]}
    return ObjectInfo(nodes, source="http://server", replacements=table)


def with_old(class_type: str, *, slot: int = 0, **inputs: Any) -> Workflow:
    return graph(picture=PICTURE, old=node(class_type, **inputs), save=node("SaveImage", images=["old", slot], filename_prefix="x"))


def checked(workflow: Workflow, known: ObjectInfo | None = None) -> Checked:
    return check(
        workflow, known or info(), where="template t", locate=lambda _id, name: "r.yaml:1: by" if name == "scale_by" else ""
    )


def test_a_class_that_is_gone_becomes_what_the_server_would_make_of_it() -> None:
    found = checked(with_old("ImageScaleBy", image=IMAGE, upscale_method="area", scale_by=2.0))
    assert found.problems == ()
    assert found.notes == (
        Note('node "old" (ImageScaleBy) is run as ResizeImageMaskNode on http://server', "template t", "changed"),
    )
    assert found.workflow.nodes["old"].class_type == "ResizeImageMaskNode"
    assert found.workflow.nodes["old"].inputs == {
        "input": IMAGE,
        "resize_type": "scale by multiplier",
        "resize_type.multiplier": 2.0,
        "scale_method": "area",
    }


@pytest.mark.parametrize(
    ("inputs", "where", "what"),
    [
        ({"scale_by": 9.0}, "r.yaml:1: by", "input resize_type.multiplier: must be at most 8 (got 9.0)"),
        ({"upscale_method": "bislerp"}, "template t", '"bislerp" is not among the 5 that http://server has'),
        ({"image": ["load", 1]}, "template t", "input input: required by the server, not given"),
    ],
)
def test_what_the_server_would_refuse_of_the_new_node_is_told_at_the_old_place(
    inputs: dict[str, Any], where: str, what: str
) -> None:
    given = {"image": IMAGE, "upscale_method": "area", "scale_by": 2.0, **inputs}
    if inputs.get("image"):
        del given["image"]
    (found,) = checked(with_old("ImageScaleBy", **given)).problems
    assert found.where == where
    assert what in found.what


def test_what_grows_is_filled() -> None:
    found = checked(with_old("ImageBatch", image1=IMAGE, image2=IMAGE))
    assert found.problems == ()
    assert found.workflow.nodes["old"].inputs == {"images.image0": IMAGE, "images.image1": IMAGE}


def test_a_class_that_the_server_still_has_is_left_alone() -> None:
    own = {"input": {"required": {"image1": ["IMAGE"], "image2": ["IMAGE"]}}, "output": ["IMAGE"], "python_module": "nodes"}
    workflow = with_old("ImageBatch", image1=IMAGE, image2=IMAGE)
    assert checked(workflow, info(ImageBatch=own)) == Checked(workflow, ())


def test_a_class_that_has_only_got_another_name_keeps_its_inputs() -> None:
    average = {"input": {"required": {"i": ["IMAGE"]}}, "output": ["IMAGE"], "python_module": "nodes"}
    found = checked(with_old("ConditioningAverage ", i=IMAGE), info(ConditioningAverage=average))
    assert found.problems == ()
    assert found.workflow.nodes["old"].class_type == "ConditioningAverage"


def test_outputs_may_have_other_places() -> None:
    new = {"input": {}, "output": ["MASK", "IMAGE"]}
    table = {"Old": [{"new_node_id": "New", "input_mapping": [], "output_mapping": [{"old_idx": 0, "new_idx": 1}]}]}
    found = checked(with_old("Old"), info(table, New=new))
    assert found.problems == ()
    assert found.workflow.nodes["save"].inputs["images"] == ["old", 1]


@pytest.mark.parametrize(
    "table",
    [
        None,
        [],
        "x",
        {"Old": {}},
        {"Old": [5]},
        {"Old": [{"new_node_id": 5}]},
        {"Old": [{"new_node_id": "Nope"}]},
        {"Old": [{"new_node_id": "Nope"}, {"new_node_id": "SaveImage"}]},
    ],
)
def test_a_replacement_that_the_server_cannot_make_is_none(table: Any) -> None:
    (found,) = checked(with_old("Old"), info(table)).problems
    assert found.what == 'node "old": http://server has no node class Old'


@pytest.mark.parametrize(
    "entry",
    [
        {
            "input_mapping": [
                5,
                {},
                {"new_id": 1},
                {"new_id": "i", "set_value": ["nowhere", 0]},
                {"new_id": "j", "set_value": float("nan")},
            ]
        },
        {"input_mapping": [], "output_mapping": [{"old_idx": 0, "new_idx": -1}, {"old_idx": "0", "new_idx": 1}, 5]},
    ],
)
def test_a_table_that_means_harm_changes_nothing_else(entry: dict[str, Any]) -> None:
    new = {"input": {}, "output": ["IMAGE"]}
    found = checked(with_old("Old", i=1), info({"Old": [{"new_node_id": "New", **entry}]}, New=new))
    assert found.problems == ()
    assert found.workflow.nodes["old"].inputs == {}
    assert found.workflow.nodes["save"].inputs["images"] == ["old", 0]


def test_a_shape_is_judged_as_its_graphs_are() -> None:
    workflow = with_old("ImageScaleBy", image=IMAGE, upscale_method="area", scale_by=2.0)
    shape = ShapeCheck(workflow, info())
    assert shape.bad == frozenset()
    assert [shape.verdict("old", "scale_by", value) for value in (1.5, 9.0, "x")] == ["fine", "refused", "refused"]
    assert shape.verdict("old", "upscale_method", "bislerp") == "refused"
    assert selectors(workflow, info()) == {("old", "scale_by")}


def test_a_value_that_the_table_sets_and_the_server_refuses_is_bad_in_every_graph() -> None:
    table = {"Old": [{"new_node_id": "SaveImage", "input_mapping": [{"new_id": "filename_prefix", "set_value": 5}]}]}
    workflow = with_old("Old")
    assert "old" in ShapeCheck(workflow, info(table)).bad
