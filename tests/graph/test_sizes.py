"""Sizes and work that follow from a graph, by the rules of ComfyUI's nodes."""

from __future__ import annotations

from typing import Any

import pytest

from comfy_runner.graph.sizes import Size, node_counts, node_work, output_counts, output_sizes, weight
from tests.graph.support import chain, graph, node, shipped_graph, values

LATENT = node("EmptyLatentImage", width=832, height=1216, batch_size=1)
IMAGE = node("EmptyImage", width=1023, height=577)


def size_of(*steps: dict[str, Any], start: dict[str, Any] = LATENT) -> str:
    """The size of what is saved after these steps, each of which takes the one before as `_`."""
    nodes = {"n0": start}
    for index, step in enumerate(steps):
        inputs = {name: [f"n{index}", 0] if value == "_" else value for name, value in step["inputs"].items()}
        nodes[f"n{index + 1}"] = {**step, "inputs": inputs}
    nodes["save"] = node("SaveImage", role="x", images=[f"n{len(steps)}", 0], filename_prefix="x")
    return str(output_sizes(graph(**nodes)).get("x", "unknown"))


def latent_upscale(width: Any, height: Any) -> dict[str, Any]:
    return node("LatentUpscale", samples="_", width=width, height=height)


def test_a_latent_is_floored_to_cells_of_8_pixels() -> None:
    assert size_of(node("VAEDecode", samples="_"), start=node("EmptyLatentImage", width=1023, height=577)) == "1016x576"


def test_an_upscaled_latent_is_floored_and_at_least_64_pixels() -> None:
    assert size_of(latent_upscale(2047, 1153)) == "2040x1152"
    assert size_of(latent_upscale(16, 128)) == "64x128"


def test_a_latent_upscale_that_keeps_the_aspect_by_zero_has_no_known_size() -> None:
    assert size_of(latent_upscale(0, 1152)) == "unknown"


def test_an_upscale_by_a_factor_rounds_cells_as_python_does() -> None:
    assert size_of(node("LatentUpscaleBy", samples="_", scale_by=1.4)) == "1168x1704"


def test_sampling_and_decoding_pass_the_size_on() -> None:
    steps = [node("KSampler", latent_image="_"), node("KSamplerAdvanced", latent_image="_"), node("VAEDecodeTiled", samples="_")]
    assert size_of(*steps) == "832x1216"


def test_images_are_scaled_by_the_pixel() -> None:
    assert size_of(node("ImageScale", image="_", width=1001, height=7), start=IMAGE) == "1001x7"
    assert size_of(node("ImageScaleBy", image="_", scale_by=1.5), start=IMAGE) == "1534x866"


def test_encoding_an_image_crops_it_to_cells() -> None:
    assert size_of(node("VAEEncode", pixels="_"), start=IMAGE) == "1016x576"


@pytest.mark.parametrize("step", [node("SomethingNew", image="_"), node("ImageScale", image="_", width=0, height=512)])
def test_what_is_not_known_has_no_size(step: dict[str, Any]) -> None:
    assert size_of(step) == "unknown"
    assert size_of(step, node("ImageScaleBy", image="_", scale_by=2.0)) == "unknown"


@pytest.mark.parametrize("value", ["512", None, 0.5, -8, {"__value__": 8}, 10**400])
def test_a_size_that_is_no_size_is_not_known(value: Any) -> None:
    assert size_of(start=node("EmptyImage", width=value, height=512)) == "unknown"
    assert size_of(latent_upscale(value, 512)) == "unknown"


@pytest.mark.parametrize("factor", ["2", None, -1.0, 0, 1e308, 10**400])
def test_a_factor_that_is_no_factor_gives_no_size(factor: Any) -> None:
    assert size_of(node("LatentUpscaleBy", samples="_", scale_by=factor)) == "unknown"


def test_a_chain_of_enlargements_ends_in_an_unknown_size_not_in_a_failure() -> None:
    assert size_of(*[node("LatentUpscaleBy", samples="_", scale_by=8.0)] * 2000) == "unknown"


def test_a_size_that_comes_by_a_link_is_not_known() -> None:
    nodes = {
        "number": node("PrimitiveInt", value=512),
        "image": node("EmptyImage", width=["number", 0], height=512),
        "save": node("SaveImage", images=["image", 0], filename_prefix="x"),
    }
    assert output_sizes(graph(**nodes)) == {}


# Counted TFLOP of a step and of a decode with SDXL, a step at 1024x576 being 7.3.
@pytest.mark.parametrize(
    ("size", "flops"),
    [
        (Size(1024, 576), 7.3),
        (Size(1024, 1024), 13.5),
        (Size(1536, 864), 17.6),
        (Size(2048, 1152), 34.5),
        (Size(2688, 1536), 70.3),
        (Size(2048, 2048), 71.8),
    ],
)
def test_a_step_weighs_as_much_as_was_counted(size: Size, flops: float) -> None:
    assert weight(size.pixels) == pytest.approx(flops / 7.3, rel=0.02)


def test_nothing_weighs_nothing() -> None:
    assert weight(0) == 0.0


def test_the_second_pass_of_a_doubled_picture_is_almost_five_times_the_work() -> None:
    work = node_work(shipped_graph().workflow)
    assert work == {
        "first_pass": pytest.approx(30, rel=0.001),
        "second_pass": pytest.approx(30 * 4.73, rel=0.001),
        "decode_original": pytest.approx(0.7, rel=0.001),
        "decode_upscaled": pytest.approx(0.7 * 4.73, rel=0.001),
    }


def test_a_sampler_with_sigmas_makes_the_steps_of_their_scheduler() -> None:
    nodes = {
        "empty": node("EmptyLatentImage", width=1024, height=576),
        "sigmas": node("BasicScheduler", steps=20),
        "sample": node("SamplerCustomAdvanced", sigmas=["sigmas", 0], latent_image=["empty", 0]),
        "save": node("X", filename_prefix="x", latent=["sample", 0]),
    }
    assert node_work(graph(**nodes)) == {"sample": pytest.approx(20, rel=0.001)}


def test_a_batch_has_as_many_pictures_and_costs_as_much_as_these_one_by_one() -> None:
    one, four = shipped_graph().workflow, shipped_graph(values(batch_size=4)).workflow

    assert output_counts(one) == {"original": 1, "upscaled": 1}
    assert output_counts(four) == {"original": 4, "upscaled": 4}
    assert node_work(four) == {name: pytest.approx(4 * cost) for name, cost in node_work(one).items()}


@pytest.mark.parametrize("count", [0, 4097, -1, True, 2.0, "4", None, ["x", 0]])
def test_a_batch_of_no_known_number_has_none(count: Any) -> None:
    nodes = {"x": node("Number"), "n": node("EmptyImage", width=8, height=8, batch_size=count)}
    nodes["save"] = node("SaveImage", images=["n", 0], filename_prefix="x")
    assert output_counts(graph(**nodes)) == {}


def test_how_many_pictures_nodes_make_that_are_not_known_is_not_known() -> None:
    nodes = {
        "batch": node("EmptyImage", width=8, height=8, batch_size=3),
        "odd": node("Odd", images=["batch", 0]),
        "film": node("SaveAnimatedWEBP", images=["batch", 0], filename_prefix="x"),
        "save": node("SaveImage", images=["odd", 0], filename_prefix="x"),
        "loaded": node("LoadImage", image="a.gif"),
        "saved": node("SaveImage", images=["loaded", 0], filename_prefix="x"),
    }
    assert node_counts(graph(**nodes)) == {**dict.fromkeys(nodes), "batch": 3}
    assert output_counts(graph(**nodes)) == {}


def test_a_size_reads_width_by_height() -> None:
    assert str(Size(1024, 576)) == "1024x576"
    assert Size(1024, 576).pixels == 589_824


@pytest.mark.slow
def test_a_chain_of_20000_nodes_has_a_size() -> None:
    assert output_sizes(chain(20_000)) == {"save": Size(64, 64)}
