"""Structural similarity is scikit-image's, which takes half as long again."""

from __future__ import annotations

import numpy as np
import pytest
from skimage import data
from skimage.metrics import structural_similarity

from comfy_runner.report.metrics.composition import similarity
from comfy_runner.report.metrics.planes import luma


@pytest.mark.parametrize("noise", [0.0, 2.0, 30.0])
def test_similarity_is_that_of_scikit_image(noise: float) -> None:
    picture = data.astronaut()[:200, :300]
    spoilt = np.clip(picture + np.random.default_rng(1).normal(0, noise, picture.shape), 0, 255).astype(np.uint8)
    one, other = luma(picture), luma(spoilt)

    _, theirs = structural_similarity(
        one, other, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1.0, full=True
    )

    assert np.abs(similarity(one, other) - theirs).max() < 1e-3
    assert abs(float(similarity(one, other).mean() - theirs.mean())) < 1e-5
