from __future__ import annotations

import pytest

from comfy_runner.engine.verdict import Failure


@pytest.mark.parametrize(
    ("exception", "message", "word"),
    [
        ("torch.OutOfMemoryError", "Allocation on device", "memory"),
        ("torch.cuda.OutOfMemoryError", "", "memory"),
        ("RuntimeError", "mat1 and mat2 shapes cannot be multiplied (77x768 and 2048x640)", "families"),
        ("safetensors_rust.SafetensorError", "Error while deserializing header: HeaderTooLarge", "download"),
        ("OSError", "[Errno 28] No space left on device", "disk"),
        ("RuntimeError", "CUDA error: an illegal memory access was encountered", "restart"),
        ("torch.AcceleratorError", "CUDA error", "restart"),
    ],
)
def test_a_well_known_failure_has_a_way_out(exception: str, message: str, word: str) -> None:
    assert word in Failure("n", "KSampler", exception, message).hint


def test_an_unknown_failure_has_none() -> None:
    assert Failure("n", "KSampler", "ValueError", "seven is not a colour").hint == ""
