from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfy_runner.engine.comfyui.submit import complaints
from comfy_runner.engine.reports import Complaint


def test_a_complaint_names_the_node_the_input_and_the_reason() -> None:
    error = {"type": "value_bigger_than_max", "message": "Value 1.5 bigger than max of 1.0", "details": "denoise"}
    error_with_place = {**error, "extra_info": {"input_name": "denoise", "received_value": 1.5}}
    body = {
        "error": {"message": "Prompt outputs failed validation", "details": ""},
        "node_errors": {"second": {"errors": [error_with_place], "dependent_outputs": ["save"], "class_type": "KSampler"}},
    }
    (found,) = complaints(body)
    assert found == Complaint("second", "KSampler", "denoise", "Value 1.5 bigger than max of 1.0: denoise")
    assert str(found) == 'node "second" (KSampler), input denoise: Value 1.5 bigger than max of 1.0: denoise'


def test_every_error_of_every_node_is_told() -> None:
    body = {
        "node_errors": {
            "a": {"class_type": "A", "errors": [{"message": "one"}, {"message": "two"}]},
            "b": {"class_type": "B", "errors": [{"message": "three"}]},
        }
    }
    assert [(found.node, found.what) for found in complaints(body)] == [("a", "one"), ("a", "two"), ("b", "three")]


def test_the_whole_graph_is_complained_of_where_no_node_is() -> None:
    error = {"type": "prompt_no_outputs", "message": "Prompt has no outputs", "details": "", "extra_info": {}}
    assert [str(found) for found in complaints({"error": error, "node_errors": {}})] == ["Prompt has no outputs"]


def test_a_success_complains_of_nothing() -> None:
    assert complaints({"prompt_id": "p", "number": 1, "node_errors": {}}) == []


def test_an_answer_that_is_text_is_one_short_complaint() -> None:
    (found,) = complaints("<html>" + "x" * 10_000)
    assert len(found.what) < 400


@pytest.mark.parametrize("body", [None, "", [], {}, {"error": "plain"}, {"node_errors": []}, {"node_errors": {"a": None}}])
def test_odd_answers_are_no_errors(body: Any) -> None:
    assert len(complaints(body)) <= 1


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.sampled_from(["error", "node_errors", "errors", "extra_info", "message", "details", "n"]), inner)
    ),
    max_leaves=12,
)


@given(_JSON)
def test_no_answer_is_an_error(body: Any) -> None:
    for found in complaints(body):
        assert "\n" not in str(found.what)
