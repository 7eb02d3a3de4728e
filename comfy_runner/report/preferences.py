"""Which of two pictures a person prefers: pairs that were compared, and pairs that stars of pictures of one original imply.

Stars order whole sets of pictures, so that n starred pictures of one original give up to n (n - 1) / 2 pairs, which are not as many
opinions: together they weigh n - 1 at most, as each picture was looked at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

from comfy_runner.report.measures import Measured, Measures
from comfy_runner.report.picks import PickedPair, Picks
from comfy_runner.wording import counted, named

_NOT_HERE: Final = "that this run does not have"
_UNMEASURED: Final = "that could not be measured"
_VETOED: Final = "with a veto, which no limit changes"
_MOST_PAIRS: Final = 2000  # that stars of one original imply


@dataclass(frozen=True, slots=True, kw_only=True)
class Preference:
    """What a person said of two upscaled pictures of one original.

    Attributes:
        better: What was measured of the better one; of either, where they are as good.
        worse: That of the other one.
        is_same: Whether they are as good.
        weight: How many opinions it counts as: 1, or less where stars imply it.
        original: What is equal for pictures of one original.
        is_compared: Whether the two were compared with each other; else their stars were.
    """

    better: Measures
    worse: Measures
    is_same: bool = False
    weight: float = 1.0
    original: str
    is_compared: bool = True


@dataclass(frozen=True, slots=True)
class _Picture:
    measures: Measures
    original: str


def preferences(measured: Mapping[str, Measured], picks: Picks) -> tuple[list[Preference], list[str]]:
    """Return which pictures of a run a person prefers to which, and notes on what was left out, a sentence each.

    Args:
        measured: What was measured of the run's pictures, by the entries' names.
        picks: What a person said of them.
    """
    meant = dict.fromkeys(name for pair in picks.pairs for name in (pair.left, pair.right))
    meant |= dict.fromkeys(name for name, pick in picks.picks.items() if pick.grade is not None)
    why = {name: _why_not(measured.get(name)) for name in meant}
    pictures = {name: picture for name in meant if not why[name] and (picture := _picture(measured[name]))}
    compared = [pair for pair in picks.pairs if pair.left in pictures and pair.right in pictures]
    usable = [pair for pair in compared if _is_of_one_original(pair, pictures)]
    left_out = [(reason, [name for name in meant if why[name] == reason]) for reason in (_NOT_HERE, _UNMEASURED, _VETOED)]
    notes = [f"left out {counted(len(names), 'picture')} {reason}: {named(names)}" for reason, names in left_out if names]
    if len(usable) < len(compared):
        notes.append(f"left out {counted(len(compared) - len(usable), 'pair')} of different originals")
    return [*_compared(usable, pictures), *_implied(picks, pictures)], notes


def _why_not(known: Measured | None) -> str:
    if known is None:
        return _NOT_HERE
    if known.measures is None or not known.original:
        return _UNMEASURED
    return _VETOED if known.measures.vetoes else ""


def _picture(known: Measured) -> _Picture | None:
    return None if known.measures is None else _Picture(known.measures, known.original)


def _is_of_one_original(pair: PickedPair, pictures: Mapping[str, _Picture]) -> bool:
    return pair.left != pair.right and pictures[pair.left].original == pictures[pair.right].original


def _compared(pairs: Iterable[PickedPair], pictures: Mapping[str, _Picture]) -> Iterator[Preference]:
    for pair in pairs:
        names = (pair.right, pair.left) if pair.better == "right" else (pair.left, pair.right)
        better, worse = (pictures[name] for name in names)
        same = pair.better == "same"
        yield Preference(better=better.measures, worse=worse.measures, is_same=same, original=better.original)


def _implied(picks: Picks, pictures: Mapping[str, _Picture]) -> Iterator[Preference]:
    by_original: dict[str, list[tuple[int, Measures]]] = {}
    for name, pick in picks.picks.items():
        if pick.grade is not None and name in pictures:
            by_original.setdefault(pictures[name].original, []).append((pick.grade, pictures[name].measures))
    for original, graded in by_original.items():
        pairs = [_ordered(graded[one], graded[other]) for one, other in _places(len(graded)) if graded[one][0] != graded[other][0]]
        weight = min(1.0, (len(graded) - 1) / len(pairs)) if pairs else 0.0
        for better, worse in pairs:
            yield Preference(better=better, worse=worse, weight=weight, original=original, is_compared=False)


def _places(count: int) -> Iterable[tuple[int, int]]:
    """Return which of so many pictures are compared: all with all, or each with some others where that were too many."""
    if count * (count - 1) // 2 <= _MOST_PAIRS:
        return combinations(range(count), 2)
    others = max(1, _MOST_PAIRS // count)
    # What lies near each other in the file is often nearly alike.
    offsets = [1 + number * (count // 2 - 1) // others for number in range(others)]
    return ((one, (one + offset) % count) for offset in offsets for one in range(count))


def _ordered(one: tuple[int, Measures], other: tuple[int, Measures]) -> Sequence[Measures]:
    return (one[1], other[1]) if one[0] > other[0] else (other[1], one[1])
