"""The sets that metrics are tried on say what is right: halves apart, damages that are seen and the same each time, fair shares."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.metric_sets import contents
from benchmarks.metric_sets.contents import FACTORS, SHRINKING, Sample, samples, shrunk
from benchmarks.metric_sets.damages import COPIES, DAMAGES, DIFFERENT, is_seen
from benchmarks.metric_sets.scores import DUPLICATES, ORDERINGS, VETOES, Verdict, judged, shares
from tests.report.metrics import pictures as paint


@pytest.fixture
def sample(monkeypatch: pytest.MonkeyPatch) -> Sample:
    """A sample of photographs that are installed with the tests."""
    monkeypatch.setattr(contents, "HALVES", {"few": ("astronaut", "coins")})
    return next(samples("few", 0, longer=(64, 80)))


def test_no_content_is_in_both_halves() -> None:
    tuned, held_out = (set(names) for names in contents.HALVES.values())

    assert not tuned & held_out
    assert len(tuned) == len(held_out)


def test_a_seed_gives_the_same_pictures_again_and_another_one_others(sample: Sample) -> None:
    again, other = next(samples("few", 0, longer=(64, 80))), next(samples("few", 1, longer=(64, 80)))

    assert np.array_equal(sample.scene.truth, again.scene.truth)
    assert np.array_equal(sample.other, again.other)
    assert sample.factor in FACTORS
    assert sample.scene.plain.shape == sample.scene.truth.shape == sample.other.shape
    assert sample.scene.truth.shape != other.scene.truth.shape or not np.array_equal(sample.scene.truth, other.scene.truth)


@pytest.mark.parametrize("how", SHRINKING)
def test_an_original_is_made_small_in_place(how: str) -> None:
    ramp = np.repeat(np.linspace(0, 250, 96)[None, :, None], 64, axis=0).repeat(3, axis=2).astype(np.uint8)
    small = shrunk(ramp, (48, 32), how)

    assert small.shape == (32, 48, 3)
    # The middle of each small pixel is between two large ones.
    assert np.abs(small[16, 4:-4].astype(float) - ramp[32].reshape(48, 2, 3).mean(axis=1)[4:-4]).max() <= 1


def test_each_damage_is_seen_and_the_same_each_time(sample: Sample) -> None:
    for damage in DAMAGES:
        for base in damage.bases:
            clean = paint.mixed(sample.scene.plain, sample.scene.truth, {"plain": 0.0, "half": 0.5, "truth": 1.0}[base])
            one, again = (damage.make(sample, clean, sample.rng(damage.name)) for _ in range(2))

            assert is_seen(one, clean), damage.name
            assert np.array_equal(one, again), damage.name


def test_copies_are_nearer_than_what_is_no_copy(sample: Sample) -> None:
    truth = sample.scene.truth
    copies, others = (
        [np.abs(make(sample, truth, sample.rng(name)).astype(int) - truth).mean() for name, make in makers.items()]
        for makers in (COPIES, DIFFERENT)
    )

    assert max(copies) < 3.5
    assert all(difference > 0 for difference in others)


def test_who_rules_out_everything_is_right_half_of_the_time() -> None:
    verdicts = [*(Verdict(VETOES, "noise", True, "") for _ in range(9)), Verdict(VETOES, "kept", False, "")]

    assert shares(verdicts)[VETOES, ""] == 0.5
    assert shares(verdicts)[VETOES, "noise"] == 1


@pytest.mark.slow
def test_one_class_is_judged_alone(sample: Sample) -> None:
    found = list(judged("few", 0, only="color"))

    assert sample.content in found[0].told
    assert {(one.score, one.group) for one in found} == {(ORDERINGS, "color"), (VETOES, "color")}
    assert DUPLICATES not in {one.score for one in found}
    assert all(one.right for one in found)
