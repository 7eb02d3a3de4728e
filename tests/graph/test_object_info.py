"""What a server says of its nodes, in either generation's shape, and from servers that say nonsense."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfy_runner.errors import WorkflowError
from comfy_runner.graph.object_info import InputInfo, NodeInfo, ObjectInfo
from tests.graph.support import fault, recorded


def only(spec: Any, *, group: str = "required") -> InputInfo:
    """What is understood of one input."""
    known = ObjectInfo({"X": {"input": {group: {"i": spec}}}}, source="http://server").get("X")
    assert known is not None
    return known.inputs["i"]


def test_a_recorded_node_is_understood() -> None:
    known = recorded().get("KSampler")
    assert known is not None
    assert (known.name, known.outputs, known.is_output, known.is_core) == ("KSampler", ("LATENT",), False, True)
    denoise = known.inputs["denoise"]
    assert replace(denoise, tooltip="") == InputInfo("FLOAT", True, None, 0.0, 1.0, True, 1.0, step=0.01)
    assert denoise.tooltip.startswith("The amount of denoising applied, lower values will maintain the structure")
    assert known.inputs["seed"].maximum == 2**64 - 1
    assert known.inputs["model"] == InputInfo("MODEL", True, tooltip="The model used for denoising the input latent.")
    assert known.inputs["scheduler"].options is not None
    assert "karras" in known.inputs["scheduler"].options


def test_what_is_said_for_people_is_read() -> None:
    known = recorded().get("CheckpointLoaderSimple")
    assert known is not None
    assert (known.display_name, known.category, known.module) == ("Load Checkpoint", "loaders", "nodes")
    assert known.description.startswith("Loads a diffusion model checkpoint")
    assert (known.output_names, known.marks) == (("MODEL", "CLIP", "VAE"), ())


@pytest.mark.parametrize("said", [None, 5, [{}, 1], {}, ""])
def test_a_node_that_says_nothing_for_people_is_called_by_its_class_and_its_outputs_by_their_types(said: Any) -> None:
    words = dict.fromkeys(["display_name", "category", "description", "output_name"], said)
    known = ObjectInfo({"X": {"input": {}, "output": ["A", "B"], **words}}, source="x").get("X")
    assert known is not None
    assert (known.display_name, known.category, known.description) == ("X", "", "")
    assert known.output_names == ("A", "B")


def test_outputs_have_as_many_names_as_there_are_types() -> None:
    raw = {"input": {}, "output": ["A", ["a", "b"], "C"], "output_name": ["first", None, "third", "fourth"]}
    known = ObjectInfo({"X": raw}, source="x").get("X")
    assert known is not None
    assert (known.outputs, known.output_names) == (("A", "COMBO", "C"), ("first", "COMBO", "third"))


def test_what_is_to_be_known_before_a_node_is_used_is_marked() -> None:
    raw = {"input": {}, "deprecated": True, "experimental": False, "api_node": True}
    known = ObjectInfo({"X": raw}, source="x").get("X")
    assert known is not None
    assert known.marks == ("deprecated", "api_node")


def test_hidden_inputs_are_not_inputs() -> None:
    known = recorded().get("SaveImage")
    assert known is not None
    assert set(known.inputs) == {"images", "filename_prefix"}
    assert known.is_output


@pytest.mark.parametrize(
    "spec",
    [[["a", "b"]], [["a", "b"], {}], ["COMBO", {"options": ["a", "b"]}], ["COMBO", {"options": ["a", "b"], "multiselect": False}]],
)
def test_both_generations_of_an_enum_are_read(spec: Any) -> None:
    assert only(spec) == InputInfo("COMBO", True, ("a", "b"))


def test_the_default_of_an_enum_is_read_in_both_generations() -> None:
    assert only([["a", "b"], {"default": "b"}]).default == "b"
    assert only(["COMBO", {"options": ["a", "b"], "default": "b"}]).default == "b"


@pytest.mark.parametrize(
    "spec", [["COMBO", {"remote": {"route": "/x"}}], ["COMBO", {"options": ["a"], "multiselect": True}], ["COMBO"]]
)
def test_an_enum_that_the_server_does_not_list_has_no_options(spec: Any) -> None:
    assert only(spec).options is None


def test_optional_inputs_are_not_required() -> None:
    assert not only(["INT", {}], group="optional").required


def test_a_default_of_nothing_is_no_default() -> None:
    assert not only(["INT", {"default": None}]).has_default
    assert only(["INT", {"default": 0}]).has_default


def test_an_input_that_files_are_uploaded_to_takes_more_than_is_listed() -> None:
    assert only([["a.png"], {"image_upload": True}]).takes_unlisted
    assert not only([["a.png"], {"image_upload": False}]).takes_unlisted
    assert not only([["a.png"], {}]).takes_unlisted


def test_several_types_are_told_apart() -> None:
    assert only(["INT, FLOAT", {}]).types == {"INT", "FLOAT"}


@pytest.mark.parametrize(
    ("module", "core"), [("nodes", True), ("comfy_extras.nodes_x", True), ("custom_nodes.x", False), (None, False)]
)
def test_core_nodes_are_told_from_others_by_their_module(module: Any, core: bool) -> None:
    known = ObjectInfo({"X": {"input": {}, "python_module": module}}, source="x").get("X")
    assert known is not None
    assert known.is_core is core


def test_a_class_that_the_server_has_not_is_unknown() -> None:
    assert recorded().get("Nothing") is None
    assert "KSampler" in recorded().classes


def test_a_type_is_produced_if_a_node_has_it_as_an_output() -> None:
    info = recorded()
    assert info.is_produced("MODEL")
    assert info.is_produced("WEBCAM,MODEL")
    assert not info.is_produced("WEBCAM")


@pytest.mark.parametrize("data", [None, [], {}, "x", 5, {"error": "x"}, {"X": {}}, {"X": {"name": "X"}}])
def test_what_is_no_object_info_is_an_error(data: Any) -> None:
    problem = fault(lambda: ObjectInfo(data, source="saved.json"), error=WorkflowError)
    assert str(problem) == "saved.json: is not an answer of ComfyUI's /object_info"
    assert problem.hint == "curl SERVER/object_info > object_info.json"


@pytest.mark.parametrize("spec", [None, [], {}, "INT", 5, [None], [{}], ["INT", None], ["INT", {"min": "a", "max": True}], [[], 5]])
def test_an_input_that_is_nonsense_is_still_an_input(spec: Any) -> None:
    found = only(spec)
    assert (found.required, found.minimum, found.maximum) == (True, None, None)


def test_equal_answers_have_one_fingerprint_whoever_gives_them_in_whatever_order() -> None:
    data = {"X": {"input": {"required": {"i": ["INT", {"min": 1, "max": 2}]}}, "output": []}, "Y": {"input": {}}}
    turned = {"Y": {"input": {}}, "X": {"output": [], "input": {"required": {"i": ["INT", {"max": 2, "min": 1}]}}}}

    first, second = ObjectInfo(data, source="http://a"), ObjectInfo(turned, source="http://b")

    assert first.fingerprint == second.fingerprint
    assert len(first.fingerprint) == 64


@pytest.mark.parametrize("other", [1.0, True, "1", None, [1], {"a": 1}, "\ud800"])
def test_every_difference_between_answers_is_in_their_fingerprints(other: Any) -> None:
    prints = {ObjectInfo({"X": {"input": {}, "more": value}}, source="x").fingerprint for value in (1, other)}

    assert len(prints) == 2


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["input", "required", "output", "X", "i"]), inner),
    max_leaves=15,
)


@given(JSON)
def test_nonsense_is_read_or_refused_and_never_fails_otherwise(data: Any) -> None:
    try:
        info = ObjectInfo({"X": data, "Y": {"input": {"required": data}, "output": data}}, source="x")
    except WorkflowError:
        return
    found = [info.get(name) for name in info.classes]
    assert all(isinstance(known, NodeInfo) for known in found)
    info.is_produced("INT")
