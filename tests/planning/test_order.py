"""The order of jobs: the best one where that can be known, never worse than the given one, and the groups in it."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfy_runner.planning.order import groups, order, split
from comfy_runner.planning.passes import Passes, passes
from tests.planning.model_lists import Steps, picked

AXES = {"checkpoint": "ab", "seed": range(4), "denoise": range(9)}
# What the order may cost more than the best there is, where results are shared in more than one way.
WORST = 1.2


def ordered(jobs: Sequence[tuple[int, ...]], steps: Steps) -> Passes:
    return passes(picked(jobs, order(jobs, steps)), steps)


def least(jobs: Sequence[tuple[int, ...]], steps: Steps) -> float:
    """Return the cost of the best of all orders."""
    new = [[sum(steps.cost(step) for step in set(job) - set(before)) for job in jobs] for before in [(), *jobs]]
    return min(
        sum(new[before][job] for before, job in zip((0, *(index + 1 for index in way)), way, strict=False))
        for way in itertools.permutations(range(len(jobs)))
    )


# --- sweeps


@pytest.mark.parametrize("axes", list(itertools.permutations(AXES)), ids=" > ".join)
@pytest.mark.parametrize("shuffled", [False, True], ids=["as written", "shuffled"])
def test_two_checkpoints_four_seeds_nine_denoise_values_are_2_loads_8_first_and_72_second_passes(
    axes: tuple[str, ...], *, shuffled: bool
) -> None:
    steps = Steps()
    jobs = steps.sweep(**{axis: AXES[axis] for axis in axes})
    if shuffled:
        random.Random(str(axes)).shuffle(jobs)  # noqa: S311 - no secret

    found = ordered(jobs, steps)

    assert (found.loads, found.first, found.second, found.decodes) == (2, 8, 72, 80)


@given(st.permutations(range(72)))
def test_no_shuffle_of_the_jobs_makes_more_of_them(way: list[int]) -> None:
    steps = Steps()
    found = ordered(picked(steps.sweep(**AXES), way), steps)
    assert (found.loads, found.first, found.second) == (2, 8, 72)


def test_axes_keep_the_order_of_their_values() -> None:
    steps = Steps()
    axes: dict[str, Any] = {"denoise": (0.7, 0.3, 0.5), "seed": (5, 1), "checkpoint": "ba"}
    points = list(itertools.product(*axes.values()))

    found = [points[index] for index in order(steps.sweep(**axes), steps)]

    assert found == [point[::-1] for point in itertools.product(*reversed(axes.values()))]


def test_a_good_order_is_left_alone() -> None:
    steps = Steps()
    jobs = steps.sweep(checkpoint="ab", prompt="pq", denoise=(0.5, 0.3))
    assert order(jobs, steps) == list(range(8))


def test_jobs_that_share_nothing_of_any_cost_stay_as_they_are() -> None:
    steps = Steps()
    jobs = [(steps.add("latent", size), steps.add("whole", index)) for index, size in enumerate([1, 2, 1, 2])]
    assert order(jobs, steps) == [0, 1, 2, 3]


def test_an_independent_inner_model_is_gone_through_to_and_fro() -> None:
    steps = Steps()
    points = list(itertools.product((1, 2, 3), "xyz"))
    jobs = steps.sweep(seed=(1, 2, 3), upscaler="xyz")

    found = [points[index] for index in order(jobs, steps)]

    assert found == [(1, "x"), (1, "y"), (1, "z"), (2, "z"), (2, "y"), (2, "x"), (3, "x"), (3, "y"), (3, "z")]


def test_a_second_checkpoint_is_loaded_anew_as_rarely_as_can_be() -> None:
    steps = Steps()
    # 6 first passes, in each both refiners, one of which is still there from the one before.
    found = ordered(steps.sweep(refiner="xy", seed=(1, 2, 3), checkpoint="ab"), steps)
    assert (found.first, found.loads) == (6, 2 + 2 + 5)


def test_what_is_dear_decides() -> None:
    steps = Steps()
    axes: dict[str, Any] = {"dear": range(3), "cheap": range(3)}
    costs = {"dear": 10.0, "cheap": 1.0}
    for names in (("dear", "cheap"), ("cheap", "dear")):
        jobs = [
            tuple(steps.add(name, value, cost=costs[name]) for name, value in zip(names, point, strict=True))
            for point in itertools.product(*(axes[name] for name in names))
        ]
        assert ordered(jobs, steps).weighted == 3 * 10 + (3 * 3 - 2) * 1


def test_templates_with_different_nodes_meet_in_the_checkpoint() -> None:
    steps = Steps()
    plain, large = (steps.sweep(checkpoint="ab", seed=(1, 2), upscaler=[name]) for name in ("", "x"))
    jobs = [job for pair in zip(plain, large, strict=True) for job in pair]
    random.Random(7).shuffle(jobs)  # noqa: S311 - no secret

    found = ordered(jobs, steps)

    assert (found.loads, found.first, found.second) == (2, 4, 4)


@pytest.mark.parametrize("count", [9, 12, 15], ids=["all sequences tried", "dearest first", "dearest first of many rows"])
def test_of_independent_columns_the_dearest_stands_outermost(count: int) -> None:
    steps = Steps()
    jobs = [
        tuple(steps.add(f"axis{axis}", number >> axis & 1, cost=axis + 1.0) for axis in range(count))
        for number in range(1 << count)
    ]

    found = picked(jobs, order(jobs, steps))

    runs = [1 + sum(one[axis] != other[axis] for one, other in itertools.pairwise(found)) for axis in range(count)]
    # To and fro, a column inside of n groups is made once for each, and once more.
    assert runs == [(1 << (count - 1 - axis)) + 1 for axis in range(count)]


@st.composite
def trees(draw: st.DrawFn) -> tuple[Steps, list[tuple[int, ...]]]:
    """Jobs of which each result belongs to one branch of a tree, in any order."""
    steps = Steps()
    point = st.tuples(*[st.integers(0, 2)] * draw(st.integers(1, 4)))
    costs = draw(st.lists(st.floats(0, 100), min_size=4, max_size=4))
    jobs = []
    for values in draw(st.lists(point, max_size=40)):
        branch = [values[: level + 1] for level in range(len(values))]
        jobs.append(tuple(steps.add(f"level{level}", at, cost=costs[level]) for level, at in enumerate(branch)))
    return steps, jobs


@given(trees())
def test_in_a_tree_everything_is_made_exactly_once(tree: tuple[Steps, list[tuple[int, ...]]]) -> None:
    steps, jobs = tree
    once = sum(steps.cost(step) for step in {step for job in jobs for step in job})
    assert ordered(jobs, steps).weighted == pytest.approx(once)


@st.composite
def sweeps(draw: st.DrawFn, *, most: int) -> tuple[Steps, list[tuple[int, ...]]]:
    """Some points of a sweep over up to three axes, in any order."""
    steps = Steps()
    every: dict[str, Sequence[Any]] = {
        "checkpoint": "ab",
        "prompt": "pq",
        "size": (1, 2),
        "seed": (1, 2, 3),
        "denoise": (0.3, 0.5),
        "lora": ("", "k", "l"),
        "refiner": ("", "x", "y"),
        "upscaler": ("", "u", "v"),
    }
    axes = {name: every[name] for name in draw(st.lists(st.sampled_from(list(every)), min_size=1, max_size=3, unique=True))}
    jobs = steps.sweep(**axes)
    return steps, picked(jobs, draw(st.lists(st.sampled_from(range(len(jobs))), max_size=most)))


@given(sweeps(most=6))
def test_no_order_of_a_few_jobs_is_much_better(sweep: tuple[Steps, list[tuple[int, ...]]]) -> None:
    steps, jobs = sweep
    assert ordered(jobs, steps).weighted <= WORST * least(jobs, steps) + 1e-9


@given(sweeps(most=30))
def test_the_order_is_a_permutation_and_never_worse_than_the_given_one(sweep: tuple[Steps, list[tuple[int, ...]]]) -> None:
    steps, jobs = sweep
    found = order(jobs, steps)
    assert sorted(found) == list(range(len(jobs)))
    assert passes(picked(jobs, found), steps).weighted <= passes(jobs, steps).weighted
    assert found == list(range(len(jobs))) or passes(picked(jobs, found), steps).weighted < passes(jobs, steps).weighted


def test_no_jobs_have_no_order() -> None:
    assert (order([], Steps()), groups([], Steps())) == ([], [])


# --- groups


def test_a_group_shares_its_loads_and_its_first_pass() -> None:
    steps = Steps()
    jobs = steps.sweep(checkpoint="ab", seed=(1, 2), upscaler=("", "u"), denoise=(0.3, 0.5))
    assert groups(jobs, steps) == [range(4), range(4, 8), range(8, 12), range(12, 16)]


def test_another_checkpoint_for_the_second_pass_is_another_group() -> None:
    steps = Steps()
    assert groups(steps.sweep(refiner="xy", denoise=(0.3, 0.5)), steps) == [range(2), range(2, 4)]


def test_jobs_that_load_and_sample_nothing_are_groups_of_their_own() -> None:
    steps = Steps()
    jobs = [(steps.add("upscaler", "u"), steps.add("enlarge", picture)) for picture in "abc"]
    assert groups(jobs, steps) == [range(1), range(1, 2), range(2, 3)]


@pytest.mark.parametrize(
    ("group", "most", "parts"),
    [
        (range(4), 4, [range(4)]),
        (range(3, 13), 4, [range(3, 6), range(6, 9), range(9, 13)]),
        (range(3), 1, [range(1), range(1, 2), range(2, 3)]),
    ],
)
def test_a_group_is_split_into_parts_as_equal_as_can_be(group: range, most: int, parts: list[range]) -> None:
    assert split(group, most=most) == parts
