"""What a graph cuts off of a picture, and how it stretches it, with ComfyUI's own arithmetic."""

from __future__ import annotations

from typing import Any

import pytest

from comfy_runner.graph.reshaping import Reshaped, reshaped
from comfy_runner.graph.sizes import Size
from tests.graph.support import graph, node

_TALL = Size(64, 128)


def _found(pictures: dict[str, Size] | None = None, **nodes: Any) -> list[Reshaped]:
    loading = {"load": node("LoadImage", image="a"), "mask": node("LoadImageMask", image="m", channel="red")}
    return list(reshaped(graph(**loading, **nodes), {"a": _TALL, **(pictures or {})}))


def _scaled(width: int, height: int, crop: str, *, of: str = "load") -> Any:
    return node("ImageScale", image=[of, 0], upscale_method="lanczos", width=width, height=height, crop=crop)


@pytest.mark.parametrize(
    ("before", "after", "crop", "kept"),
    [
        (_TALL, Size(256, 144), "center", Size(64, 36)),
        (_TALL, Size(128, 128), "center", Size(64, 64)),
        (Size(200, 100), Size(64, 64), "center", Size(100, 100)),
        (Size(67, 90), Size(128, 176), "center", Size(65, 90)),
        (_TALL, Size(256, 144), "disabled", _TALL),
    ],
)
def test_a_picture_of_another_shape_is_cropped_or_stretched(before: Size, after: Size, crop: str, kept: Size) -> None:
    (found,) = _found({"a": before}, scale=_scaled(after.width, after.height, crop))

    assert found == Reshaped("a", before, kept, after)
    assert found.lost == pytest.approx(1 - kept.pixels / before.pixels)
    assert (found.stretch > 0.02) is (crop == "disabled")


@pytest.mark.parametrize("crop", ["center", "disabled"])
@pytest.mark.parametrize("size", [(128, 256), (32, 64), (640, 1280)])
def test_the_same_shape_at_another_size_is_nothing_to_tell(size: tuple[int, int], crop: str) -> None:
    assert _found(scale=_scaled(*size, crop)) == []


@pytest.mark.parametrize("class_type", ["VAEEncode", "VAEEncodeForInpaint"])
def test_what_is_encoded_loses_what_fills_no_latent_cell(class_type: str) -> None:
    (found,) = _found({"a": Size(67, 90)}, encode=node(class_type, pixels=["load", 0]))

    assert found == Reshaped("a", Size(67, 90), Size(64, 88), Size(64, 88))


def test_a_shape_is_followed_through_the_nodes_in_between() -> None:
    found = _found(
        encode=node("VAEEncode", pixels=["load", 0]),
        pass_=node("KSampler", latent_image=["encode", 0], steps=4),
        enlarge=node("LatentUpscale", samples=["pass_", 0], width=256, height=256, crop="disabled"),
        decode=node("VAEDecode", samples=["enlarge", 0]),
        scale=_scaled(64, 128, "center", of="decode"),
    )

    assert found == [
        Reshaped("a", _TALL, _TALL, Size(256, 256)),
        Reshaped("a", Size(256, 256), Size(128, 256), Size(64, 128)),
    ]


@pytest.mark.parametrize(("class_type", "name"), [("VAEEncodeForInpaint", "pixels"), ("SetLatentNoiseMask", "samples")])
def test_a_mask_of_another_shape_is_stretched_and_one_of_another_size_is_not_told(class_type: str, name: str) -> None:
    nodes = {"encode": node("VAEEncode", pixels=["load", 0])}
    masked = node(class_type, **{name: ["load" if name == "pixels" else "encode", 0], "mask": ["mask", 0]})

    assert _found({"m": Size(64, 64)}, **nodes, masked=masked) == [Reshaped("m", Size(64, 64), Size(64, 64), _TALL)]
    assert _found({"m": Size(32, 64)}, **nodes, masked=masked) == []


def test_pictures_and_nodes_that_nobody_knows_are_nothing_to_tell() -> None:
    assert _found(other=node("Other", image=["load", 0]), scale=_scaled(64, 64, "center", of="other")) == []
    unknown = graph(load=node("LoadImage", image=["other", 0]), other=node("Other"), scale=_scaled(64, 64, "center"))
    assert list(reshaped(unknown, {"a": _TALL})) == []
