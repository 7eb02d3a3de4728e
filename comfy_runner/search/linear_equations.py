"""Linear equations whose matrix is symmetric and positive definite, in plain Python: the same to the last digit on every machine.

Matrices are lower triangles, row by row; a search has at most some hundred rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from operator import mul

Triangle = Sequence[Sequence[float]]
"""The rows of a lower triangle; the first has one number, each next one more."""


def cholesky(matrix: Triangle, *, least: float = 0.0) -> list[list[float]]:
    """Return the lower triangle L for which L times transposed L is a matrix.

    Args:
        matrix: The lower triangle of the matrix.
        least: What the squares on the diagonal of L are at least. Where rounding makes a matrix singular, they may be negative.
    """
    root: list[list[float]] = []
    for row in matrix:
        new = forward(root, row[:-1])
        root.append([*new, sqrt(max(row[-1] - sum(map(mul, new, new)), least))])
    return root


def forward(root: Triangle, numbers: Sequence[float]) -> list[float]:
    """Return the x for which L x are some numbers, with the lower triangle L."""
    found: list[float] = []
    for row, number in zip(root, numbers, strict=True):
        found.append((number - sum(map(mul, row, found))) / row[-1])
    return found


def backward(root: Triangle, numbers: Sequence[float]) -> list[float]:
    """Return the x for which transposed L times x are some numbers, with the lower triangle L."""
    found = [*numbers]
    for index in reversed(range(len(root))):
        found[index] /= root[index][index]
        for before in range(index):
            found[before] -= root[index][before] * found[index]
    return found
