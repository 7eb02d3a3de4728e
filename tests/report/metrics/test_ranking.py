"""Whether pictures come out in the order that people would give them, over all contents, the ones held out included."""

from __future__ import annotations

import pytest

from comfy_runner.report.measures import NUMBERS
from comfy_runner.report.suggest import Limits
from tests.report.metrics.order import SPOILINGS, is_better, is_told_apart, measured, passes, scenes
from tests.report.metrics.pictures import HELD_OUT, TUNED

pytestmark = pytest.mark.slow  # each picture is made and measured, which takes half a minute in sum

_SPOILT = [name for name in SPOILINGS if name != "truth"]

_PAIRS = [
    *(("truth", name) for name in _SPOILT),
    ("three quarters", "half"),
    *(("half", name) for name in ("plain", "blur", "blurred plain", "sharpened plain", "nearest", "noisy half", "black")),
    ("plain", "blurred plain"),
    *(("half", name) for name in ("a tenth elsewhere", "two fifths elsewhere", "mosaic", "tiles")),
]


def _told(content: str, spoiling: str) -> str:
    found = measured(content, spoiling)
    numbers = ", ".join(f"{name} {getattr(found, name):.4f}" for name in NUMBERS)
    return f"{content}, {spoiling}: {' '.join(found.vetoes) or 'no veto'}; {numbers}"


@pytest.mark.parametrize("contents", [TUNED, HELD_OUT], ids=["tuned", "held out"])
@pytest.mark.parametrize(("better", "worse"), _PAIRS)
def test_the_better_picture_comes_first_for_nine_contents_in_ten(better: str, worse: str, contents: tuple[str, ...]) -> None:
    # Of a sky nobody can tell three quarters of the detail from half of it.
    told_apart = [name for name in contents if is_told_apart(name, better, worse)]
    wrong = [name for name in told_apart if not is_better(measured(name, better), measured(name, worse))]

    told = "\n".join(f"{_told(name, better)}\n{_told(name, worse)}" for name in wrong)
    # One of eleven is nine in ten, nearly.
    assert len(wrong) <= 1, told


def test_of_all_pairs_ninety_eight_in_a_hundred_come_in_order() -> None:
    right = [
        is_better(measured(name, better), measured(name, worse))
        for name in scenes()
        for better, worse in _PAIRS
        if is_told_apart(name, better, worse)
    ]

    assert sum(right) / len(right) >= 0.98


@pytest.mark.parametrize("content", [*TUNED, *HELD_OUT])
def test_a_truth_is_never_ruled_out(content: str) -> None:
    assert passes(measured(content, "truth")), _told(content, "truth")


@pytest.mark.parametrize(
    ("spoiling", "veto", "least"),
    [
        ("noise", "noise", 0.9),
        ("much noise", "noise", 0.9),
        ("noise in luma", "noise", 0.7),
        ("noisy half", "noise", 0.9),
        ("nearest", "blocks", 0.9),
        ("mosaic", "blocks", 0.8),
        ("jpeg", "blocks", 0.85),
        ("grid", "blocks", 0.7),
        ("tiles", "seams", 0.95),
        ("lines", "seams", 0.7),
        ("sharpened", "halos", 0.6),
        ("sharpened plain", "halos", 0.7),
        ("black", "flat", 1.0),
    ],
)
def test_what_spoils_a_picture_is_named(spoiling: str, veto: str, least: float) -> None:
    missed = [name for name in scenes() if veto not in measured(name, spoiling).vetoes]

    assert 1 - len(missed) / len(scenes()) >= least, "\n".join(_told(name, spoiling) for name in missed)


def test_a_cast_is_a_colour_shift_beyond_the_limit() -> None:
    missed = [name for name in scenes() if measured(name, "tint").colour_shift <= Limits().colour_shift]

    assert len(missed) <= 2, "\n".join(_told(name, "tint") for name in missed)


@pytest.mark.parametrize("spoiling", ["a tenth elsewhere", "two fifths elsewhere"])
def test_another_composition_in_a_part_is_a_local_drift_beyond_the_limit(spoiling: str) -> None:
    missed = [name for name in scenes() if measured(name, spoiling).local_drift <= 0.65]

    assert len(missed) <= 2, "\n".join(_told(name, spoiling) for name in missed)


@pytest.mark.parametrize("spoiling", ["truth", "half", "three quarters", "plain", "noise"])
def test_the_same_composition_keeps_far_from_the_limits(spoiling: str) -> None:
    far = [name for name in scenes() if measured(name, spoiling).drift > 0.15 or measured(name, spoiling).local_drift > 0.33]

    assert far == [], "\n".join(_told(name, spoiling) for name in far)
