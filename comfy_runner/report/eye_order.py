"""Which values of an axis a person's eyes prefer, from pairs of pictures that were compared, and how sure that is.

The model is that of Bradley and Terry 1952: of two values of the strengths u and v the first is preferred with the probability
1 / (1 + exp(v - u)). Strengths and their covariance are those of choix (expectation propagation, after Chu and Ghahramani 2005)
under a normal prior with a standard deviation of 2 for each strength: odds of 17 to 1 between two values are no surprise. That two
pictures are as good counts as half a win of either.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from comfy_runner.errors import InputError, UsageError
from comfy_runner.report.measures import Measured
from comfy_runner.report.picked import current_picks, replaced_note
from comfy_runner.report.picks import PickedPair
from comfy_runner.report.run_data import Axis, Material, key, label
from comfy_runner.wording import counted

_SPREAD: Final = 2.0  # of a strength, before anything was compared
_DRAWS: Final = 20_000
_MOST_ROUNDS: Final = 1000
_SURE: Final = 0.9
_MISSING: Final = "pairs are ignored, because choix is not installed: pip install 'comfy-runner[picks]'"


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenValue:
    """How a person likes the pictures of one value.

    Attributes:
        value: The value.
        label: As people read it.
        better: In how many pairs its picture was better; half of each pair that was as good.
        compared: In how many pairs there was one.
        strength: Its strength, as the logarithm of odds; 0 is the mean of all.
        spread: Standard deviation of that.
        best: How probable it is that it is the best of all that were compared, from 0 to 1.
    """

    value: Any
    label: str
    better: float
    compared: int
    strength: float
    spread: float
    best: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EyeOrder:
    """The order of an axis' values by a person's eyes.

    Attributes:
        told: What they prefer, and how sure that is, in a sentence.
        pairs: How many pairs it rests on.
        values: The values that were compared, best first.
        is_clear: Whether the first one is the best with a probability of at least 0.9.
    """

    told: str
    pairs: int
    values: tuple[SeenValue, ...]
    is_clear: bool


def eye_order(
    material: Material, measured: Mapping[str, Measured], axis: Axis, *, named: str | None
) -> tuple[EyeOrder | None, tuple[str, ...]]:
    """Return which values of an axis are preferred, and notes on what was left out, a sentence each.

    A pair counts where both pictures are of one original, still those that were judged, and of different values.

    Args:
        material: The run.
        measured: What was measured, by the entries' names: it says which originals are the same.
        axis: The axis.
        named: The label of the value that is suggested by what is measured; None for none.

    Returns:
        None where nobody has compared such pictures, or that cannot be read.
    """
    try:
        picks, replaced = current_picks(material)
    except UsageError:
        return None, ()
    except InputError as error:
        return None, (str(error),)
    notes = tuple(note for note in (replaced_note(replaced),) if note)
    originals = {name: known.original for name, known in measured.items() if known.original}
    values = {entry.name: entry.values.get(axis.field) for entry in material.entries if entry.name in originals}
    pairs = [
        pair
        for pair in picks.pairs
        if pair.left in values
        and pair.right in values
        and originals[pair.left] == originals[pair.right]
        and key(values[pair.left]) != key(values[pair.right])
    ]
    if not pairs:
        return None, notes
    if importlib.util.find_spec("choix") is None:
        return None, (*notes, _MISSING)
    seen = _ordered(pairs, values)
    return EyeOrder(told=_told(seen, len(pairs), named), pairs=len(pairs), values=seen, is_clear=seen[0].best >= _SURE), notes


def _ordered(pairs: Sequence[PickedPair], values: Mapping[str, Any]) -> tuple[SeenValue, ...]:
    by_key = {key(values[name]): values[name] for pair in pairs for name in (pair.left, pair.right)}
    places = {each: place for place, each in enumerate(by_key)}
    met = [(places[key(values[pair.left])], places[key(values[pair.right])], pair.better) for pair in pairs]
    strengths, spreads, best = _fitted(len(places), met)
    better, compared = [0.0] * len(places), [0] * len(places)
    for left, right, which in met:
        for place, side in ((left, "left"), (right, "right")):
            better[place] += 0.5 if which == "same" else float(which == side)
            compared[place] += 1
    found = [
        SeenValue(
            value=value,
            label=label(value),
            better=better[place],
            compared=compared[place],
            strength=round(strengths[place], 3),
            spread=round(spreads[place], 3),
            best=round(best[place], 3),
        )
        for place, value in enumerate(by_key.values())
    ]
    return tuple(sorted(found, key=lambda each: -each.strength))


def _fitted(count: int, met: Iterable[tuple[int, int, str]]) -> tuple[list[float], list[float], list[float]]:
    """Return strengths, their standard deviations, and how probable it is that each is the largest."""
    import choix
    import numpy as np

    # The library knows no weights: each pair is two wins, one either way where both are as good. Prior and pairs are then those of
    # two people who say the same, so that the strengths are right, and the covariance is half of what it is to be.
    wins = {"left": ((0, 1), (0, 1)), "right": ((1, 0), (1, 0)), "same": ((0, 1), (1, 0))}
    data = [((left, right)[one], (left, right)[other]) for left, right, better in met for one, other in wins[better]]
    mean, covariance = choix.ep_pairwise(count, data, 2 / _SPREAD**2, max_iter=_MOST_ROUNDS)
    covariance = 2 * covariance
    drawn = np.random.default_rng(0).multivariate_normal(mean, covariance, size=_DRAWS, method="cholesky")
    best = np.bincount(drawn.argmax(axis=1), minlength=count) / _DRAWS
    return [float(each) for each in mean], [float(each) for each in np.sqrt(np.diag(covariance))], [float(each) for each in best]


def _told(seen: Sequence[SeenValue], pairs: int, named: str | None) -> str:
    first = seen[0]
    sure = f"{min(first.best, 0.99):.0%} sure" if first.best >= _SURE else f"but only {first.best:.0%} sure"
    beside = ", as the metrics do" if first.label == named else f"; the metrics name {named or 'none'}"
    return f"your eyes prefer {first.label} among {counted(len(seen), 'value')}, {sure} by {counted(pairs, 'pair')}{beside}"
