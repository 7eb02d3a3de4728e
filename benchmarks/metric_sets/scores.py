"""How often the metrics are right on the pictures of a set: in orderings, vetoes, suggestions, near copies and with networks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Final, NamedTuple

import numpy as np
from PIL import Image

from benchmarks.metric_sets import networks
from benchmarks.metric_sets.contents import Sample, samples
from benchmarks.metric_sets.damages import COPIES, DAMAGES, DIFFERENT, Damage, is_seen
from comfy_runner.report.measures import NUMBERS, Measures, looks_alike
from comfy_runner.report.metrics import measure_pictures
from comfy_runner.report.metrics.ssimulacra import second_opinion
from comfy_runner.report.near_copies import find_near_copies, fingerprint
from comfy_runner.report.suggest import suggest
from tests.report.metrics import pictures as paint
from tests.report.metrics.order import is_better, passes
from tests.report.metrics.pictures import Picture
from tests.report.values import DENOISE, material, measured

ORDERINGS, VETOES, SUGGESTIONS, DUPLICATES, NETWORKS = "orderings", "vetoes", "suggestions", "duplicates", "networks"
OPINION: Final = "second opinion"
SOFT: Final = "networks, out of focus"
OVERALL: Final = (ORDERINGS, VETOES, SUGGESTIONS, DUPLICATES)
"""The scores whose mean is the overall one."""

_SHARES: Final = {"plain": 0.0, "quarter": 0.25, "half": 0.5, "three quarters": 0.75, "truth": 1.0}
"""Pictures that are as they should be, by how much of the detail they have."""

_GROUP: Final = "partial detail"
_INVENTED: Final = "invented"
_KEPT: Final = "kept"
_APART: Final = "told apart"


class Verdict(NamedTuple):
    """One decision of the metrics.

    Attributes:
        score: `ORDERINGS` and so on.
        group: The class of what is looked at.
        right: Whether it is the right one.
        told: What was looked at, for people.
    """

    score: str
    group: str
    right: bool
    told: str


class Candidate(NamedTuple):
    """A picture with its numbers."""

    picture: Picture
    found: Measures


class Spoilt(NamedTuple):
    """A damaged picture.

    Attributes:
        damage: What was done.
        base: What to: a key of `_SHARES`.
        candidate: What came of it.
    """

    damage: Damage
    base: str
    candidate: Candidate


@dataclass
class Pool:
    """All pictures of a sample that have been measured.

    Attributes:
        sample: The sample.
        clean: Pictures without a fault, by a key of `_SHARES`.
        spoilt: Damaged ones, by name.
    """

    sample: Sample
    clean: dict[str, Candidate]
    spoilt: dict[str, Spoilt] = field(default_factory=dict)


def judged(half: str, seed: int, *, only: str = "", with_networks: bool = True, with_opinion: bool = False) -> Iterator[Verdict]:
    """Yield all decisions on the scenes of one seed.

    Args:
        half: A key of `contents.HALVES`.
        seed: From 0 on.
        only: The class of damages to look at; empty for all of them, and for suggestions and near copies.
        with_networks: Whether to run real networks.
        with_opinion: Whether to ask for a second opinion on suggestions; the decisions are then told by whether it agreed, too.
    """
    for sample in samples(half, seed):
        pool = _pool(sample, only)
        yield from _orderings(pool, only)
        yield from _vetoes(pool, only)
        if not only:
            yield from _suggestions(pool, with_opinion)
            yield from _duplicates(pool)
    if with_networks and only in ("", NETWORKS):
        yield from _networks(half, seed)


def shares(verdicts: Iterable[Verdict]) -> dict[tuple[str, str], float]:
    """Return the share of right decisions by score and class, 0 to 1; the class "" is all of a score.

    Where decisions are of two opposite kinds, to rule out and to keep, or alike and different, each kind counts half: whoever rules
    out everything is right half of the time.
    """
    by_group: dict[tuple[str, str], list[bool]] = defaultdict(list)
    by_kind: dict[str, dict[bool, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for verdict in verdicts:
        by_group[verdict.score, verdict.group].append(verdict.right)
        by_kind[verdict.score][verdict.group in (_KEPT, _APART)].append(verdict.right)
    found = {name: fmean(right) for name, right in by_group.items()}
    return found | {(score, ""): fmean(map(fmean, kinds.values())) for score, kinds in by_kind.items()}


def _pool(sample: Sample, only: str) -> Pool:
    scene = sample.scene

    pool = Pool(sample, {name: _candidate(sample, paint.mixed(scene.plain, scene.truth, share)) for name, share in _SHARES.items()})
    for damage in DAMAGES:
        for base in damage.bases if only in ("", damage.group) else ():
            name = f"{damage.name} on {base}"
            clean = pool.clean[base].picture
            picture = damage.make(sample, clean, sample.rng(name))
            if is_seen(picture, clean):
                pool.spoilt[name] = Spoilt(damage, base, _candidate(sample, picture))
    return pool


def _candidate(sample: Sample, picture: Picture) -> Candidate:
    return Candidate(picture, measure_pictures(sample.scene.original, picture))


def _orderings(pool: Pool, only: str) -> Iterator[Verdict]:
    """What is better comes first: the truth before all else, and each picture before the same one with a fault."""
    if only in ("", _GROUP):
        names = list(_SHARES)
        for worse, better in ((one, other) for number, one in enumerate(names) for other in names[number + 1 :]):
            if is_seen(pool.clean[worse].picture, pool.clean[better].picture):
                yield _in_order(pool, _GROUP, (better, pool.clean[better]), (worse, pool.clean[worse]))
    for name, (damage, base, spoilt) in pool.spoilt.items():
        for better in dict.fromkeys(("truth", base)):
            if is_seen(pool.clean[better].picture, spoilt.picture):
                yield _in_order(pool, damage.group, (better, pool.clean[better]), (name, spoilt))


def _in_order(pool: Pool, group: str, better: tuple[str, Candidate], worse: tuple[str, Candidate]) -> Verdict:
    right = is_better(better[1].found, worse[1].found)
    return Verdict(ORDERINGS, group, right, f"{_where(pool.sample)}: {_told(*better)} | should come before {_told(*worse)}")


def _vetoes(pool: Pool, only: str) -> Iterator[Verdict]:
    for name, one in pool.clean.items() if not only else ():
        yield Verdict(VETOES, _KEPT, passes(one.found), f"{_where(pool.sample)}: ruled out: {_told(name, one)}")
    for name, (damage, _, one) in pool.spoilt.items():
        if damage.ruled_out:
            yield Verdict(VETOES, damage.group, not passes(one.found), f"{_where(pool.sample)}: not ruled out: {_told(name, one)}")


def _suggestions(pool: Pool, with_opinion: bool) -> Iterator[Verdict]:
    """Small sweeps: clean pictures with more and more detail, and damaged ones that a value may have led to."""
    plans: Mapping[str, tuple[tuple[str, ...], Callable[[Spoilt], bool], int]] = {
        "with the truth": (tuple(_SHARES), lambda one: one.base != "plain", 4),
        "up to three quarters": (tuple(_SHARES)[:-1], lambda one: one.base == "truth" and one.damage.ruled_out, 4),
        "half and damages of it": (("plain", "half"), lambda one: one.base == "half", 4),
        "nothing gained": (("plain",), lambda one: one.base == "plain" and one.damage.group != _INVENTED, 3),
        "junk beside half": (("plain", "half"), lambda one: one.damage.group == _INVENTED, 3),
    }
    for plan, (clean, wanted, count) in plans.items():
        able = [name for name, one in pool.spoilt.items() if wanted(one)]
        chosen = pool.sample.rng(plan).permutation(len(able))[:count]
        yield from _suggested(pool, plan, clean, [able[index] for index in chosen], with_opinion)


def _suggested(pool: Pool, plan: str, clean: tuple[str, ...], spoilt: list[str], with_opinion: bool) -> Iterator[Verdict]:
    candidates = {name: pool.clean[name] for name in clean} | {name: pool.spoilt[name].candidate for name in spoilt}
    numbers = {name: _scored(pool.sample, one) if with_opinion else one.found for name, one in candidates.items()}
    run = material({DENOISE: list(candidates)})
    found = suggest(run, measured(run, {(name,): one for name, one in numbers.items()}), run.axes[0])
    best = candidates[clean[-1]]
    # Of a smooth sky, three quarters of the detail are the truth.
    as_good = [name for name in clean if not is_seen(candidates[name].picture, best.picture)]
    named = found.chosen.value if found.chosen else "nothing"
    told = f"{_where(pool.sample)}: {named} is suggested: {'; '.join(_told(name, one) for name, one in candidates.items())}"
    yield Verdict(SUGGESTIONS, plan, named in as_good, told)
    if found.second is not None:
        yield Verdict(OPINION, "ours where it agrees" if found.second.agrees else "ours where it does not", named in as_good, told)
        yield Verdict(OPINION, "its own", found.second.chosen in as_good, told)


def _scored(sample: Sample, one: Candidate) -> Measures:
    """Return the numbers of a picture with that of the second measure."""
    scene = sample.scene
    floats = [picture.astype(np.float32) / np.float32(255) for picture in (scene.original, scene.plain, one.picture)]
    return replace(one.found, extra={name: measure(*floats) for name, measure in second_opinion().items()})


def _duplicates(pool: Pool) -> Iterator[Verdict]:
    truth = pool.clean["truth"]
    for makers, alike in ((COPIES, True), (DIFFERENT, False)):
        for name, make in makers.items():
            picture = make(pool.sample, truth.picture, pool.sample.rng(f"copy {name}"))
            if alike or is_seen(picture, truth.picture):
                other = _candidate(pool.sample, picture)
                right = _is_near_copy(truth, other) == alike
                told = f"{_where(pool.sample)}: {'not found to be' if alike else 'found to be'} a near copy: {_told(name, other)}"
                yield Verdict(DUPLICATES, name if alike else _APART, right, f"{told} | {_told('truth', truth)}")


def _is_near_copy(one: Candidate, other: Candidate) -> bool:
    pictures = {"one": Image.fromarray(one.picture), "other": Image.fromarray(other.picture)}
    prints = {name: fingerprint(picture) for name, picture in pictures.items()}
    alike = looks_alike(one.found, other.found)
    same, close = find_near_copies(prints, [list(pictures)], pictures.__getitem__, lambda _one, _other: alike)
    return bool(same or close)


def _networks(half: str, seed: int) -> Iterator[Verdict]:
    """What networks paint lies between the plain upscale and the truth, where these two can be told apart."""
    for score in (NETWORKS, SOFT):
        for sample, network, picture in networks.enlarged(half, seed, soft=score == SOFT):
            scene = sample.scene
            plain, truth, painted = (measure_pictures(scene.original, one) for one in (scene.plain, scene.truth, picture))
            numbers = "; ".join(_numbers(name, one) for name, one in (("plain", plain), ("painted", painted), ("truth", truth)))
            told = f"{_where(sample)}, {network.name}: {numbers}"
            if is_seen(picture, scene.plain) and is_seen(scene.truth, scene.plain):
                yield Verdict(score, "above the plain upscale", is_better(painted, plain), told)
            if is_seen(picture, scene.truth):
                yield Verdict(score, "below the truth", is_better(truth, painted), told)


def _where(sample: Sample) -> str:
    height, width = sample.scene.original.shape[:2]
    return f"{sample.content} {sample.seed} ({width}x{height}, x{sample.factor:g}, {sample.shrinking})"


def _told(name: str, one: Candidate) -> str:
    return _numbers(name, one.found)


def _numbers(name: str, found: Measures) -> str:
    numbers = " ".join(f"{each} {value:.3g}" for each in NUMBERS if (value := getattr(found, each)))
    return f"{name} [{' '.join(found.vetoes) or 'no veto'}] {numbers}"
