"""Our filters beside those of scipy and scikit-image: the same to the bit wherever these reckon in the same order."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import fft, ndimage
from skimage.color import rgb2lab
from skimage.metrics import structural_similarity as published

from comfy_runner.report.metrics.composition import _lab
from comfy_runner.report.metrics.filters import (
    bend,
    blurred,
    blurred_along,
    largest,
    means,
    medians,
    smallest,
    structural_similarity,
)
from comfy_runner.report.metrics.structure import _fast_length

_SHAPES = [(1, 1), (3, 300), (70, 41), (400, 300)]


def _plane(shape: tuple[int, ...]) -> NDArray[np.float32]:
    return np.random.default_rng(1).random(shape, dtype=np.float32)


@pytest.mark.parametrize("shape", _SHAPES)
def test_blurring_is_scipys(shape: tuple[int, int]) -> None:
    plane = _plane(shape)

    for sigma, reach in ((0.7, 3.0), (1.6, 2.5), (2.0, 2.0), (5.0, 4.0)):
        assert np.array_equal(blurred(plane, sigma, reach=reach), ndimage.gaussian_filter(plane, sigma, truncate=reach))
    assert np.array_equal(blurred_along(plane, 4, axis=1), ndimage.gaussian_filter1d(plane, 4, axis=1))


@pytest.mark.parametrize("shape", _SHAPES)
def test_means_extremes_and_bends_are_scipys(shape: tuple[int, int]) -> None:
    plane = _plane(shape)

    for sizes in (17, (2, 5), (32, 32)):
        assert means(plane, sizes) == pytest.approx(ndimage.uniform_filter(plane, sizes, mode="reflect"), abs=1e-7)
        assert means(plane, sizes, border="edge") == pytest.approx(ndimage.uniform_filter(plane, sizes, mode="nearest"), abs=1e-7)
    assert np.array_equal(largest(plane, 3), ndimage.maximum_filter(plane, 3, mode="nearest"))
    assert np.array_equal(smallest(plane > 0.2, 3), ndimage.minimum_filter(plane > 0.2, 3, mode="nearest"))
    assert np.array_equal(bend(plane), ndimage.laplace(plane))


@pytest.mark.parametrize("length", [1, 2, 7, 64, 65, 1000])
def test_filters_of_a_row_are_scipys(length: int) -> None:
    row = np.random.default_rng(1).random(length)

    assert means(row, 65) == pytest.approx(ndimage.uniform_filter1d(row, 65, mode="reflect"), abs=1e-12)
    assert np.array_equal(medians(row, min(65, length)), ndimage.median_filter(row, min(65, length), mode="nearest"))
    for size in (1, min(4, length), min(9, length)):
        assert np.array_equal(largest(row, size), ndimage.maximum_filter1d(row, size, mode="nearest"))
        assert np.array_equal(largest(row, size, border="wrap"), ndimage.maximum_filter1d(row, size, mode="wrap"))


@pytest.mark.parametrize("shape", _SHAPES)
def test_structural_similarity_is_scikit_images(shape: tuple[int, int]) -> None:
    one = _plane(shape)
    other = np.clip(one + np.random.default_rng(2).normal(0, 0.1, shape).astype(np.float32), 0, 1)

    # A window's size that is given keeps scikit-image from refusing planes that are smaller.
    window = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "win_size": 1}
    _, expected = published(one, other, full=True, data_range=1.0, **window)

    assert structural_similarity(one, other) == pytest.approx(expected, abs=1e-5)
    assert np.array_equal(structural_similarity(one, one), np.ones(shape, np.float32))


def test_colours_in_lab_are_scikit_images_and_those_of_the_standard() -> None:
    colours = np.random.default_rng(1).random((40, 50, 3))

    assert _lab(colours) == pytest.approx(rgb2lab(colours), abs=1e-9)
    assert _lab(np.array([[1.0, 0.0, 0.0]])) == pytest.approx(np.array([[53.24, 80.09, 67.20]]), abs=0.01)


def test_lengths_for_fourier_transforms_are_scipys() -> None:
    assert [_fast_length(least) for least in range(1, 1500)] == [fft.next_fast_len(least, real=True) for least in range(1, 1500)]
