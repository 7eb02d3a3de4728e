"""Annotations of GitHub Actions: lines that its runner takes from a step's output, and shows at the recipes' lines.

GitHub shows the first ten of each kind that a step prints, so the worst come first, and jobs that miss the same limit are told in
one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from comfy_runner.check.formats.lines import LONGEST, Root, complaint, excess, plain, subject, worst_first
from comfy_runner.check.results import CheckedRun, Outcome
from comfy_runner.wording import counted

MOST: Final = 10
"""Most annotations of one kind."""

_MOST_JOBS = 5
_DATA = {"%": "%25", "\r": "%0D", "\n": "%0A"}
_IN_DATA = str.maketrans(_DATA)
_IN_PROPERTIES = str.maketrans({**_DATA, ":": "%3A", ",": "%2C"})

_Place = tuple[str, int]


def workflow_commands(run: CheckedRun, root: Root) -> list[str]:
    """Return a checked run as GitHub's workflow commands, each a line.

    Args:
        run: The run.
        root: What paths are relative to: the checkout.
    """
    undone: dict[tuple[str, _Place], list[str]] = {}
    unbegun: dict[tuple[str, _Place], list[str]] = {}
    missed: dict[tuple[str, _Place], list[tuple[float, str]]] = {}
    for job in worst_first(run.jobs):
        name = plain(job.job_id)
        if job.outcome is Outcome.ERROR:
            undone.setdefault((plain(job.problem or "could not be done"), root.place(job)), []).append(name)
        elif job.outcome is Outcome.SKIPPED:
            unbegun.setdefault((plain(job.problem or "was not begun"), root.place(job)), []).append(name)
        for found in job.failures:
            lines = missed.setdefault((subject(found), root.place(job, found)), [])
            lines.append((excess(found), f"{name}: {complaint(found)}"))
    for found in run.failures:
        missed.setdefault((subject(found), root.place(None, found)), []).append((excess(found), complaint(found)))
    errors = [
        _command("error", place, f"{counted(len(jobs), 'job')} could not be done", [problem, *jobs])
        for (problem, place), jobs in undone.items()
    ]
    errors += [
        _command("error", place, f"{name}: {counted(len(lines), 'failure')}", [line for _, line in sorted(lines, key=_most_excess)])
        for (name, place), lines in sorted(missed.items(), key=lambda group: min(map(_most_excess, group[1])))
    ]
    warnings = [
        _command("warning", place, f"{counted(len(jobs), 'job')} skipped", [problem, *jobs])
        for (problem, place), jobs in unbegun.items()
    ]
    notices = [_command("notice", ("", 0), "comfy-runner", [plain(note, longest=2 * LONGEST)]) for note in run.notes]
    if run.orphans:
        title = counted(len(run.orphans), "job") + " only in the baseline"
        notices.append(_command("notice", ("", 0), title, list(map(plain, run.orphans))))
    return [line for kind in (errors, warnings, notices) for line in _first(kind)]


def _most_excess(line: tuple[float, str]) -> float:
    return -line[0]


def _first(lines: Sequence[str]) -> list[str]:
    if len(lines) <= MOST:
        return list(lines)
    # Nothing else would tell that there are more.
    return [*lines[: MOST - 1], f"{lines[MOST - 1]}%0A(and {len(lines) - MOST} more of this kind)"]


def _command(kind: str, place: _Place, title: str, lines: Sequence[str]) -> str:
    file, line = place
    properties = {"file": file, "line": str(line) if line else "", "title": title}
    given = ",".join(f"{name}={value.translate(_IN_PROPERTIES)}" for name, value in properties.items() if value)
    more = [f"and {len(lines) - _MOST_JOBS} more"] if len(lines) > _MOST_JOBS + 1 else []
    text = "\n".join([*lines[: _MOST_JOBS + (not more)], *more])
    return f"::{kind} {given}::{text.translate(_IN_DATA)}"
