"""The way through the versions: both ends first, then the middle of what is left, until the first bad one is known.

Judging a version is the caller's business, and may take hours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from comfy_runner.bisecting.search import Judgment, Search
from comfy_runner.bisecting.versions import Version
from comfy_runner.errors import ComfyRunnerError, UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A version, and what is said of it.

    Attributes:
        version: The version.
        judgment: What is said of it.
        why: Why it is bad, or was skipped, in one line; empty for a good one.
        folder: Its run folder, which is not there if its server did not start.
        was_judged: Whether an earlier process has rendered it.
        left: How many versions may yet have to be judged; 0 while the ends are looked at.
        steps: In how many steps, at most, if none is skipped; likewise.
        error: Why it was skipped, where that is an error of its own; None otherwise.
    """

    version: Version
    judgment: Judgment
    why: str = ""
    folder: Path
    was_judged: bool = False
    left: int = 0
    steps: int = 0
    error: ComfyRunnerError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bisected:
    """What a search has found.

    Attributes:
        good: The last good version before the first bad one.
        bad: The first version that is known to be bad.
        suspects: Those that may be the first bad one, in their order: `bad`, behind those after `good` that could not be judged.
        judged: What was said of versions, in the order in which they were judged.
        inside: Where the first bad version is a merge of git's, the ends between which to look for what it has brought.
    """

    good: Version
    bad: Version
    suspects: tuple[Version, ...]
    judged: tuple[Judged, ...]
    inside: tuple[Version, Version] | None = None


Judge = Callable[[Version], Judged]


def walk(versions: Sequence[Version], judge: Judge) -> Iterator[tuple[Search, Judged]]:
    """Judge versions until the first bad one is known; yield each judgment, and how far the search is with it.

    Args:
        versions: At least two; the first one is to be good, the last one bad.
        judge: Judges a version.

    Raises:
        UsageError: The first one is bad, or the last one good.
        ComfyRunnerError: One of these cannot be judged.
    """
    search = Search(0, len(versions) - 1)
    for place, name, expected in ((search.good, "GOOD", Judgment.GOOD), (search.bad, "BAD", Judgment.BAD)):
        judged = judge(versions[place])
        yield search, judged
        if judged.judgment is not expected:
            raise _not_so(name, judged)
    while (middle := search.next()) is not None:
        judged = judge(versions[middle])
        search = search.judged(middle, judged.judgment)
        yield search, judged


def _not_so(name: str, judged: Judged) -> ComfyRunnerError:
    where = str(judged.version)
    if judged.judgment is Judgment.SKIPPED:
        if judged.error is not None:
            return judged.error
        return UsageError(f"{name} cannot be judged ({judged.why})", where=where, hint=f"give another version as {name}")
    if judged.judgment is Judgment.BAD:
        hint = "give an earlier version as GOOD, or check whether the recipe expects something that this version never gave"
        return UsageError(f"GOOD is bad ({judged.why})", where=where, hint=hint)
    hint = "it meets everything that is expected: check whether it failed with another recipe, server or baseline"
    return UsageError("BAD is good", where=where, hint=hint)
