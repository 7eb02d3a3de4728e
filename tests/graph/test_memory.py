"""The memory that decoding takes, and when it is worth a warning."""

from __future__ import annotations

import pytest

from comfy_runner.errors import Note
from comfy_runner.graph.decoding import decode_bytes, largest_decode, with_decoding
from comfy_runner.graph.sizes import Size
from comfy_runner.graph.workflow import Workflow
from comfy_runner.wording import GIB
from tests.graph.support import filled, graph, node, shipped_graph, values


def enlarged(width: int, height: int) -> Workflow:
    """Return the shipped graph with a second pass of this size."""
    workflow = shipped_graph(values()).workflow
    return workflow.with_inputs({("upscale", "width"): width, ("upscale", "height"): height})


def memory_notes(workflow: Workflow, memory: int | None) -> tuple[Note, ...]:
    return largest_decode([filled(workflow)], vram_total=memory)[1]


@pytest.mark.parametrize(
    ("size", "bf16", "fp32"),
    [
        (Size(1024, 576), 2.4, 4.8),
        (Size(1024, 1024), 4.3, 8.5),
        (Size(1536, 864), 5.4, 10.8),
        (Size(2048, 1152), 9.6, 19.1),
        (Size(2048, 2048), 17.0, 34.0),
        (Size(4096, 2304), 38.3, 76.6),
    ],
    ids=str,
)
def test_a_full_decode_takes_what_comfyui_estimates(size: Size, bf16: float, fp32: float) -> None:
    assert decode_bytes(size) / GIB == pytest.approx(bf16, abs=0.06)
    assert decode_bytes(size, bytes_per_value=4) / GIB == pytest.approx(fp32, abs=0.06)


def test_decoding_in_tiles_takes_as_much_for_any_large_picture() -> None:
    tile = decode_bytes(Size(768, 768))
    assert decode_bytes(Size(2048, 1152), tiled=True) == decode_bytes(Size(8192, 8192), tiled=True) == tile


def test_decoding_a_small_picture_in_tiles_takes_no_more_than_decoding_it_at_once() -> None:
    for size in (Size(64, 64), Size(512, 512), Size(1536, 320), Size(320, 2048)):
        assert 0 < decode_bytes(size, tiled=True) <= decode_bytes(size)


def test_a_decode_that_will_not_fit_is_a_warning_with_sizes_and_the_way_out() -> None:
    (note,) = memory_notes(enlarged(2048, 1152), 8 * GIB)
    assert note.level == "warning"
    assert note.what == (
        'decoding 2048x1152 at once takes about 9.6 GiB of GPU memory, but the server has 8.0 GiB (node "decode_upscaled"); '
        '"vae_decode: tiled" needs 2.4 GiB at a time'
    )


def test_only_more_than_85_percent_of_the_memory_is_worth_a_warning() -> None:
    wanted = decode_bytes(Size(2048, 1152))
    assert memory_notes(enlarged(2048, 1152), int(wanted / 0.84)) == ()
    assert len(memory_notes(enlarged(2048, 1152), int(wanted / 0.86))) == 1


@pytest.mark.parametrize("memory", [None, 24 * GIB])
def test_there_is_no_warning_where_it_fits_or_the_memory_is_unknown(memory: int | None) -> None:
    assert memory_notes(enlarged(2048, 1152), memory) == ()


def test_there_is_no_warning_for_what_is_decoded_in_tiles() -> None:
    assert memory_notes(with_decoding(enlarged(2048, 1152), "tiled"), 8 * GIB) == ()


def test_there_is_no_warning_for_a_picture_of_unknown_size() -> None:
    save = node("SaveImage", images=["decode", 0], filename_prefix="x")
    workflow = graph(latent=node("MyLatent"), decode=node("VAEDecode", samples=["latent", 0]), save=save)
    assert memory_notes(workflow, GIB) == ()
