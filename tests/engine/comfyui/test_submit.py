"""Finding a prompt again whose id is not known: only what is surely ours."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from comfy_runner.engine.comfyui.submit import Taken, file_prefixes, find_by_prefixes
from tests.engine.comfyui.support import plain_graph, sampler_graph


def item(prompt_id: str, graph: Any, client_id: Any = "me") -> list[Any]:
    return [1, prompt_id, graph, {"client_id": client_id}, ["save"]]


def test_the_prefixes_of_a_graph_are_those_of_all_that_it_saves() -> None:
    assert file_prefixes(sampler_graph("x")) == {"x-original", "x-upscaled"}


def test_a_prompt_is_found_by_its_prefixes_and_our_client_id() -> None:
    items = [item("other", plain_graph("b")), item("mine", plain_graph("a"))]
    assert find_by_prefixes(items, frozenset({"a"}), ["older", "me"]) == Taken("mine", "me")


def test_the_same_prefixes_of_another_client_are_not_ours() -> None:
    assert find_by_prefixes([item("theirs", plain_graph("a"), "they")], frozenset({"a"}), ["me"]) is None


def test_some_of_the_prefixes_are_not_enough() -> None:
    assert find_by_prefixes([item("part", plain_graph("x-original"))], file_prefixes(sampler_graph("x")), ["me"]) is None


def test_what_says_nothing_of_its_client_is_not_ours() -> None:
    odd = [[1, "short", plain_graph("a")], [1, "none", plain_graph("a"), None], item("number", plain_graph("a"), 3)]
    assert find_by_prefixes(odd, frozenset({"a"}), ["me"]) is None


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["inputs", "filename_prefix", "a", "client_id"]), inner),
    max_leaves=12,
)


@given(_JSON)
def test_no_graph_is_an_error(graph: Any) -> None:
    file_prefixes(graph)
