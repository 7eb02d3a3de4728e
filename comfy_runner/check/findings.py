"""What is known of a finished job, held against what is expected of it: findings, each with the line that sets its limit.

What is expected and cannot be known has not passed. Nothing is read here; `gates` reads run folders.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from comfy_runner.check.expected import Expected
from comfy_runner.check.interface import Finding, Value
from comfy_runner.expect import Limit

_ORIGINAL = "original"  # what other pictures are made from, whose size is not that of the result
_PASSES = {"first": "first passes", "second": "second passes", "loads": "model loads"}


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFacts:
    """A file of a job.

    Attributes:
        role: The output role.
        size_bytes: Its length.
        width: In pixels; None where it is not a picture.
        height: Likewise.
        problem: Why it is not as it was collected, in a few words that follow its name; empty where it is.
    """

    role: str
    size_bytes: int
    width: int | None = None
    height: int | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredFacts:
    """What was measured of a picture against the job's original.

    Attributes:
        role: The output role.
        number: Which of its pictures, from 1.
        metrics: The numbers, by name.
        vetoes: What rules the picture out.
        problem: Why numbers are missing; empty where none is.
    """

    role: str
    number: int = 1
    metrics: Mapping[str, float] = field(default_factory=dict)
    vetoes: tuple[str, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFacts:
    """What is known of a job that is done.

    Attributes:
        files: Its files.
        measured: What was measured of its pictures.
        seconds: How long its server worked on it; None where that is not known.
        same_as: A job that differs from it in seeds alone and has the same pixels; empty where there is none.
    """

    files: tuple[FileFacts, ...] = ()
    measured: tuple[MeasuredFacts, ...] = ()
    seconds: float | None = None
    same_as: str = ""


_NO_PICTURE = MeasuredFacts(role="", problem="it has no picture to measure")
_NO_SIZE = FileFacts(role="", size_bytes=0)


def job_findings(expected: Expected, facts: JobFacts) -> Iterator[Finding]:
    """Yield a finding for each limit that a job is held against, and for each of its files whether it is as it was collected.

    Args:
        expected: What is expected of the job.
        facts: What is known of it.
    """
    expect = expected.expect
    if expected.problem:
        yield _finding(expected, "intact", None, problem=expected.problem)
    for file in facts.files:
        yield _finding(expected, "intact", None, role=file.role, problem=file.problem)
    yield from _held(expected, "outputs", expect.outputs, len(facts.files))
    for file in facts.files:
        yield from _held(expected, "bytes", expect.bytes, file.size_bytes, role=file.role)
    pictures = [file for file in facts.files if file.width is not None]
    for file in [file for file in pictures if file.role != _ORIGINAL] or pictures or [_NO_SIZE]:
        yield from _held(expected, "width", expect.width, file.width, role=file.role, missing=_NO_PICTURE.problem)
        yield from _held(expected, "height", expect.height, file.height, role=file.role, missing=_NO_PICTURE.problem)
    for one in facts.measured or (_NO_PICTURE,):
        which = f"picture {one.number}: " if one.number > 1 else ""
        told = {"role": one.role, "missing": one.problem, "which": which}
        for name, limit in expect.metrics.items():
            yield from _held(expected, name, limit, one.metrics.get(name), **told)
        count = None if one.problem and not one.metrics else len(one.vetoes)
        yield from _held(expected, "vetoes", expect.vetoes, count, more=", ".join(one.vetoes), **told)
    yield from _held(expected, "seconds", expect.seconds, facts.seconds, missing="the server did not say how long it worked")
    if expect.distinct:
        problem = f"has the same pixels as {facts.same_as}, which differs only in seeds" if facts.same_as else ""
        yield _finding(expected, "distinct", facts.same_as, problem=problem)


def pass_findings(expected: Expected, passes: Mapping[str, int], *, is_whole: bool = True, missing: str = "") -> Iterator[Finding]:
    """Yield a finding for each limit of what servers ran for all jobs of a recipe.

    Args:
        expected: What is expected of any of its jobs.
        passes: What was run: ``first``, ``second``, ``loads``; what is missing was not counted.
        is_whole: Whether all of its jobs are done; otherwise only what is too much already says anything.
        missing: Why it could not be counted; empty where it was.
    """
    limits = expected.expect.passes
    for name, said in _PASSES.items() if limits is not None else ():
        limit: Limit | None = getattr(limits, name)
        if limit is not None and not is_whole:
            limit = limit.model_copy(update={"min": None})
        for found in _held(expected, f"passes.{name}", limit, None if missing else passes.get(name, 0), said=said, missing=missing):
            if is_whole or not found.passed:
                yield replace(found, job_id="", message=found.message and f"{expected.recipe}: {found.message}")


def _held(
    expected: Expected,
    name: str,
    limit: Limit | None,
    measured: float | None,
    *,
    role: str = "",
    said: str = "",
    missing: str = "",
    more: str = "",
    which: str = "",
) -> Iterator[Finding]:
    """Yield a finding for the most and one for the least that a number may be, where there are such limits.

    Args:
        expected: What is expected of the job.
        name: The limit, as in a recipe.
        limit: The limit.
        measured: The number; None where it is not known.
        role: The output role; empty for the job as a whole.
        said: What messages call the number; empty for its name.
        missing: Why it is not known.
        more: What messages add to the number in parentheses.
        which: What messages begin with: the picture, where it is not the first.
    """
    word = which + (said or name.replace("_", " "))
    for side in ("max", "min") if limit is not None else ():
        bound = getattr(limit, side)
        if bound is None:
            continue
        problem = ""
        if measured is None:
            problem = f"{word} could not be measured: {missing or 'it did not return a number'}"
        # So that what is not a number does not pass.
        elif not (measured <= bound if side == "max" else measured >= bound):
            number = _number(measured, bound) + (f" ({more})" if more else "")
            problem = f"{word} {number}, at {'most' if side == 'max' else 'least'} {_number(bound, measured)} expected"
        yield _finding(expected, name, measured, limit=bound, role=role, problem=problem, where=f"{name}.{side}")


def _finding(
    expected: Expected, check: str, measured: Value, *, problem: str, limit: Value = None, role: str = "", where: str = ""
) -> Finding:
    place = expected.place(where or check) if where or check == "distinct" else ""
    return Finding(
        check=check,
        job_id=expected.job_id,
        role=role,
        measured=measured,
        limit=limit,
        passed=not problem,
        message=problem,
        where=place,
    )


def _number(value: float, other: float) -> str:
    """Return a number as people read it; with all its digits where it would look like another one."""
    if isinstance(value, int):
        return str(value)
    short = f"{value:.4g}" if abs(value) < 1000 else f"{value:.0f}"
    return short if value == other or short != (f"{other:.4g}" if abs(other) < 1000 else f"{other:.0f}") else repr(value)
