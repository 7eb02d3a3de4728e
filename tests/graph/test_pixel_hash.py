"""Which graphs are one picture: literals that differ and give the same pixels by the code of ComfyUI's nodes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfy_runner.graph.signature import Signer, literals_of
from tests.graph.support import content_hash, graph, node, pixel_hash


def shows(**nodes: Any) -> str:
    return pixel_hash(graph(**nodes))


def is_(**nodes: Any) -> str:
    return content_hash(graph(**nodes))


def sampling(class_type: str = "KSampler", **inputs: Any) -> dict[str, Any]:
    """A graph with a sampler or scheduler of these inputs."""
    return {"a": node(class_type, **inputs), "save": node("SaveImage", filename_prefix="x", images=["a", 0])}


@pytest.mark.parametrize(
    ("class_type", "steps", "denoise", "other", "alike"),
    [
        ("KSampler", 10, 0.48, 0.5, True),
        ("KSampler", 10, 0.47, 0.5, False),
        ("KSampler", 30, 0.99995, 1.0, True),
        ("KSampler", 30, 1, 1.0, True),
        ("KSampler", 20000, 0.99995, 0.9999, False),
        # Not for every scheduler: a whole schedule of ddim_uniform is longer than its steps.
        ("KSampler", 30, 0.98, 1.0, False),
        ("KSampler", 30, 0.98, 0.97, True),
        ("BasicScheduler", 30, 0.98, 1.0, True),
        ("KSampler", 30, 0.96, 1.0, False),
        ("KSampler", 30, 0.0, 1e-9, False),
        ("BasicScheduler", 10, 0.48, 0.5, True),
        ("BasicScheduler", 200000, 0.99999, 1.0, False),
        ("SomethingElse", 10, 0.48, 0.5, False),
        ("KSampler", 0, 0.48, 0.5, False),
        ("KSampler", "10", 0.48, 0.5, False),
        ("KSampler", True, 0.48, 0.5, False),
        ("KSampler", 10**400, 0.48, 0.5, False),
        ("KSampler", 10, "0.48", 0.5, False),
        ("KSampler", 10, True, 1.0, False),
    ],
)
def test_only_the_length_of_the_schedule_counts(class_type: str, steps: Any, denoise: Any, other: Any, *, alike: bool) -> None:
    one, two = (sampling(class_type, steps=steps, denoise=value) for value in (denoise, other))
    assert (shows(**one) == shows(**two)) is alike
    assert is_(**one) != is_(**two)


def test_steps_count_though_the_schedule_is_as_long() -> None:
    assert shows(**sampling(steps=10, denoise=0.5)) != shows(**sampling(steps=20, denoise=1.0))
    assert shows(**sampling(steps=10, denoise=0.5)) != shows(**sampling(steps=5, denoise=0.25))


@pytest.mark.parametrize("name", ["steps", "denoise"])
def test_where_one_of_them_comes_by_a_link_the_other_counts_as_it_is(name: str) -> None:
    def of(steps: int, denoise: float) -> str:
        given: dict[str, Any] = {"steps": steps, "denoise": denoise, name: ["number", 0]}
        return shows(**sampling(**given), number=node("PrimitiveFloat", value=0.5))

    assert of(10, 0.48) != of(11, 0.5)


def enlarging(class_type: str, method: str, **inputs: Any) -> dict[str, Any]:
    """A graph that enlarges 64x128 pixels."""
    empty, source = ("EmptyLatentImage", "samples") if class_type.startswith("Latent") else ("EmptyImage", "image")
    return {
        "a": node(empty, width=64, height=128),
        "up": node(class_type, upscale_method=method, **{source: ["a", 0]}, **inputs),
        "save": node("X", filename_prefix="x", of=["up", 0]),
    }


@pytest.mark.parametrize(
    ("class_type", "inputs", "alike"),
    [
        ("LatentUpscale", {"width": 128, "height": 256, "crop": "disabled"}, True),
        ("LatentUpscale", {"width": 64, "height": 384, "crop": "disabled"}, True),
        ("LatentUpscale", {"width": 128, "height": 256, "crop": "center"}, False),
        ("LatentUpscale", {"width": 96, "height": 256, "crop": "disabled"}, False),
        ("LatentUpscale", {"width": 128, "height": 64, "crop": "disabled"}, False),
        ("LatentUpscale", {"width": 0, "height": 256, "crop": "disabled"}, False),
        ("LatentUpscale", {"width": 128, "height": 256}, False),
        ("LatentUpscaleBy", {"scale_by": 2.0}, True),
        ("LatentUpscaleBy", {"scale_by": 1}, True),
        ("LatentUpscaleBy", {"scale_by": 1.5}, False),
        ("LatentUpscaleBy", {"scale_by": 0.5}, False),
        ("LatentUpscaleBy", {"scale_by": 0.001}, False),
        ("ImageScale", {"width": 128, "height": 256, "crop": "disabled"}, True),
        ("ImageScale", {"width": 129, "height": 256, "crop": "disabled"}, False),
        ("ImageScaleBy", {"scale_by": 3.0}, True),
        ("ImageScaleBy", {"scale_by": 2.5}, False),
        ("SomethingElse", {"scale_by": 2.0}, False),
    ],
)
def test_area_is_nearest_exact_where_each_cell_becomes_whole_cells(class_type: str, inputs: dict[str, Any], *, alike: bool) -> None:
    one, two = (enlarging(class_type, method, **inputs) for method in ("area", "nearest-exact"))
    assert (shows(**one) == shows(**two)) is alike
    assert shows(**one) != shows(**enlarging(class_type, "bilinear", **inputs))
    assert is_(**one) != is_(**two)


def test_where_a_size_is_not_known_the_method_counts() -> None:
    def of(method: str) -> str:
        return shows(**{**enlarging("LatentUpscaleBy", method, scale_by=2.0), "a": node("SomethingNew")})

    assert of("area") != of("nearest-exact")


def test_what_is_alike_is_alike_further_down() -> None:
    def of(denoise: float) -> str:
        decoded = {"more": node("VAEDecode", samples=["a", 0]), "save": node("X", role="r", images=["more", 0])}
        return shows(**{**sampling(steps=10, denoise=denoise), **decoded})

    assert of(0.48) == of(0.5) != of(0.4)


def test_for_a_graph_without_such_nodes_the_two_hashes_are_one() -> None:
    workflow = graph(a=node("EmptyImage", width=8, height=8), save=node("SaveImage", filename_prefix="x", images=["a", 0]))
    assert pixel_hash(workflow) == content_hash(workflow)


_LITERALS = st.sampled_from([0, 1, 1.0, 0.0, -0.0, True, False, None, "1", [1], [1.0], {"a": 1}, {"a": True}])


@given(st.lists(st.tuples(_LITERALS, st.integers(0, 2)), min_size=1))
def test_each_of_many_graphs_is_signed_as_if_it_were_alone(changes: list[tuple[Any, int]]) -> None:
    literals: list[Any] = [0, 0, 0]
    signer = None
    for value, index in changes:
        literals[index] = {"__value__": value} if isinstance(value, list) else value
        workflow = graph(
            a=node("A", value=literals[0]),
            b=node("B", of=["a", 0], value=literals[1]),
            c=node("C", value=literals[2]),
            save=node("X", filename_prefix="x", b=["b", 0], c=["c", 0]),
        )
        places, found = literals_of(workflow)
        signer = signer or Signer(workflow, places)
        assert signer.sign(found, dict).content == content_hash(workflow)


def test_percent_signs_are_texts_like_others() -> None:
    def of(value: str) -> str:
        return is_(save=node("100%s", filename_prefix="x", **{"%d": value}))

    assert len({of("%(x)s"), of("%"), of("%s"), of("%%")}) == 4
