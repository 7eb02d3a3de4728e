"""A catalogue of node results made by hand, and the jobs of sweeps over a graph of two passes."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

COSTS = {
    "load": ("load", 40.0),
    "refiner": ("load", 40.0),
    "lora": ("other", 4.0),
    "upscaler": ("other", 4.0),
    "enlarge": ("other", 2.0),
    "prompt": ("other", 0.1),
    "latent": ("other", 0.0),
    "first": ("first", 30.0),
    "second": ("second", 142.0),
    "decode": ("decode", 0.7),
    "decode_second": ("decode", 3.3),
}


class Steps:
    """Numbers for node results; equal ones have equal numbers."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[Any, ...], int] = {}
        self._known: list[tuple[int, float, str]] = []
        self._columns: dict[str, int] = {}

    def column(self, step: int, /) -> int:
        return self._known[step][0]

    def cost(self, step: int, /) -> float:
        return self._known[step][1]

    def kind(self, step: int, /) -> str:
        return self._known[step][2]

    def add(self, name: str, *made_of: Any, cost: float | None = None) -> int:
        """Return the number of a result: what kind of node makes it, and of what."""
        key = (name, *made_of)
        if key not in self._numbers:
            kind, usual = COSTS.get(name, ("other", 1.0))
            self._numbers[key] = len(self._known)
            self._known.append((self._columns.setdefault(name, len(self._columns)), usual if cost is None else cost, kind))
        return self._numbers[key]

    def job(
        self,
        *,
        checkpoint: str = "a",
        prompt: str = "p",
        size: int = 1,
        seed: int = 1,
        denoise: float = 0.5,
        lora: str = "",
        refiner: str = "",
        upscaler: str = "",
    ) -> tuple[int, ...]:
        """Return a job of two passes, with a LoRA, a checkpoint for the second pass and an upscale model if they are given."""
        model = load = self.add("load", checkpoint)
        more = []
        if lora:
            model = self.add("lora", load, lora)
            more += [model]
        text, latent = self.add("prompt", model, prompt), self.add("latent", size)
        first = self.add("first", model, text, latent, seed)
        if refiner:
            model = self.add("refiner", refiner)
            more += [model]
        second = self.add("second", model, text, first, denoise)
        decode = self.add("decode", first)
        if upscaler:
            large = self.add("upscaler", upscaler)
            more += [large, self.add("enlarge", large, decode)]
        return (load, text, latent, first, second, decode, self.add("decode_second", second), *more)

    def sweep(self, **axes: Iterable[Any]) -> list[tuple[int, ...]]:
        """Return the jobs of all combinations of some axes, the last one fastest."""
        return [self.job(**dict(zip(axes, point, strict=True))) for point in itertools.product(*axes.values())]


def picked(jobs: Sequence[tuple[int, ...]], indices: Iterable[int]) -> list[tuple[int, ...]]:
    """Return some jobs by their indices."""
    return [jobs[index] for index in indices]
