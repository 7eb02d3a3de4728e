from __future__ import annotations

import pytest

from comfy_runner.wording import did_you_mean, nearest


def test_the_nearest_names_come_best_first() -> None:
    assert nearest("denoize", ["denoise", "seed", "denoised"]) == ["denoise", "denoised"]


def test_letter_case_does_not_count_and_names_keep_theirs() -> None:
    assert nearest("EULER", ["Euler", "heun"]) == ["Euler"]


def test_there_are_at_most_as_many_as_asked_for() -> None:
    assert nearest("a1", ["a2", "a3", "a4", "a5"], most=2) == nearest("a1", ["a2", "a3", "a4", "a5"])[:2]


@pytest.mark.parametrize(
    ("name", "known", "hint"),
    [
        ("seeed", ["seed", "size"], "did you mean seed?"),
        ("samplr", ["sampler", "samplers"], "did you mean sampler or samplers?"),
        ("xyz", ["seed", "size"], "known are seed, size"),
        ("xyz", [], "there is none"),
        ("xyz", [str(number) for number in range(14)], "known are 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 2 more"),
    ],
)
def test_a_hint_names_what_is_near_or_else_what_there_is(name: str, known: list[str], hint: str) -> None:
    assert did_you_mean(name, known) == hint


def test_names_may_come_from_a_generator() -> None:
    assert did_you_mean("seeed", (name for name in ["seed"])) == "did you mean seed?"
