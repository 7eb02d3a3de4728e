from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import pytest

from comfy_runner.bisecting.search import Judgment
from comfy_runner.bisecting.versions import Version
from comfy_runner.bisecting.walk import Judged, walk
from comfy_runner.errors import ComfyRunnerError, ServerError, UsageError

_VERSIONS = [Version(str(number)) for number in range(10)]


class _Judge:
    def __init__(self, first_bad: int, broken: Collection[int] = (), error: ComfyRunnerError | None = None) -> None:
        self.first_bad, self.broken, self.error = first_bad, broken, error
        self.asked: list[int] = []

    def __call__(self, version: Version) -> Judged:
        number = int(version.name)
        self.asked.append(number)
        judgment = Judgment.SKIPPED if number in self.broken else Judgment.BAD if number >= self.first_bad else Judgment.GOOD
        return Judged(version=version, judgment=judgment, why="it is so", folder=Path(version.name), error=self.error)


def test_both_ends_are_judged_before_anything_else() -> None:
    judge = _Judge(7)

    *_, (search, last) = walk(_VERSIONS, judge)

    assert judge.asked[:2] == [0, 9]
    assert (search.good, search.bad, search.steps) == (6, 7, 0)
    assert last.version.name in ("6", "7")


def test_neighbors_need_no_more_than_that() -> None:
    judge = _Judge(1)

    assert [search.suspects for search, _ in walk(_VERSIONS[:2], judge)] == [[1], [1]]
    assert judge.asked == [0, 1]


@pytest.mark.parametrize(
    ("judge", "told", "asked"),
    [
        (_Judge(0), r"0: GOOD is bad \(it is so\)", [0]),
        (_Judge(10), "9: BAD is good", [0, 9]),
        (_Judge(5, broken=[0]), r"0: GOOD cannot be judged \(it is so\)", [0]),
        (_Judge(5, broken=[9]), r"9: BAD cannot be judged \(it is so\)", [0, 9]),
    ],
)
def test_ends_that_are_not_as_was_said_end_the_search(judge: _Judge, told: str, asked: list[int]) -> None:
    with pytest.raises(UsageError, match=told):
        list(walk(_VERSIONS, judge))

    assert judge.asked == asked


def test_an_end_that_cannot_be_started_is_told_with_its_own_error() -> None:
    error = ServerError("does not start")

    with pytest.raises(ServerError) as caught:
        list(walk(_VERSIONS, _Judge(5, broken=[9], error=error)))

    assert caught.value is error
