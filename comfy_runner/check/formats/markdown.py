"""A summary in Markdown, for people: what failed in a table, then notes, then what passed. GitHub shows it as a step's summary.

GitHub refuses a summary above its limit as a whole, and strips pictures; so this one is cut in time, and has none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from comfy_runner.check.formats.lines import Root, complaint, headline, plain, shown, unlike, worst_first
from comfy_runner.check.results import CheckedJob, CheckedRun, Likeness, Outcome
from comfy_runner.wording import counted

MOST_BYTES: Final = 1_000_000
"""Most bytes of a summary: what GitHub takes is 1,024 KiB a step."""

_MARKS = re.compile(r"[\\`*_{}\[\]<>|~&$]")
_LINKS = re.compile(r"(?<=:)/(?=/)|(?<=[Ww]{3})\.")  # addresses are made links otherwise
_REFERENCES = re.compile(r"[@#](?=[\w-])")
_STARTS = re.compile(r"^(?=[#+=-]|[0-9]+[.)](?: |$))")  # of headings and lists
_OPEN, _CLOSE = "<details>", "</details>"


def markdown(run: CheckedRun, root: Root, *, most: int = MOST_BYTES) -> str:
    """Return a checked run as Markdown.

    Args:
        run: The run.
        root: What paths are relative to.
        most: Most bytes; what does not fit is left out, which the last line says.
    """
    lines: list[str] = []
    cut = ["", "_The summary was cut here: the report of the run has the rest._"]
    left = most - sum(len(line) + 1 for line in (_CLOSE, *cut))
    for line in _lines(run, root):
        left -= len(line.encode()) + 1
        if left < 0:
            lines += [*([_CLOSE] if lines.count(_OPEN) > lines.count(_CLOSE) else []), *cut]
            break
        lines.append(line)
    return "\n".join(lines) + "\n"


def _lines(run: CheckedRun, root: Root) -> Iterator[str]:
    well = not run.failures and not any(run.count(outcome) for outcome in (Outcome.ERROR, Outcome.FAILED))
    yield f"## {'✅' if well else '❌'} {headline(run)}"
    yield ""
    baseline = f", compared with the baseline {_code(root.relative(run.baseline))}" if run.baseline is not None else ""
    yield f"Run folder {_code(root.relative(run.folder))}{baseline}"
    yield from _wrong(run)
    yield from _differences(run, root)
    skipped = [job for job in run.jobs if job.outcome is Outcome.SKIPPED]
    if skipped:
        yield from ("", f"### {counted(len(skipped), 'job')} skipped")
        yield from _table(("job", "why"), ([_code(job.job_id), _prose(job.problem)] for job in skipped))
    if run.notes:
        yield from ("", "### Notes", "")
        yield from (f"- {_prose(note)}" for note in run.notes)
    if run.orphans:
        yield from ("", f"### {counted(len(run.orphans), 'job')} only in the baseline", "")
        yield from (f"- {_code(orphan)}" for orphan in run.orphans)
    passed = [job for job in run.jobs if job.outcome is Outcome.PASSED]
    if passed:
        yield from ("", _OPEN, f"<summary>{counted(len(passed), 'job')} passed</summary>")
        yield from _table(("job", "recipe", "seconds", "baseline"), (_passed(job) for job in passed))
        yield from ("", _CLOSE)


def _wrong(run: CheckedRun) -> Iterator[str]:
    rows: list[Sequence[str]] = []
    for job in worst_first(run.jobs):
        place = f"{job.file}:{job.line}" if job.file else ""
        if job.outcome is Outcome.ERROR:
            rows.append((_code(job.job_id), _prose(job.problem or "could not be done"), "", "", _code(place)))
        elif job.outcome is Outcome.FAILED and not job.failures:
            rows.append((_code(job.job_id), "is not as expected", "", "", _code(place)))
        for found in job.failures:
            values = (_prose(shown(found.measured)), _prose(shown(found.limit)))
            rows.append((_code(job.job_id), _prose(complaint(found)), *values, _code(found.where or place)))
    for found in run.failures:
        values = (_prose(shown(found.measured)), _prose(shown(found.limit)))
        rows.append(("the run", _prose(complaint(found)), *values, _code(found.where)))
    if rows:
        yield from ("", "### What is wrong")
        yield from _table(("job", "what", "measured", "limit", "where"), rows)


def _differences(run: CheckedRun, root: Root) -> Iterator[str]:
    """Yield where the pictures lie that show what differs from the baseline; GitHub would show none of them."""
    shown_by = [(job, pair) for job in worst_first(run.jobs) for pair in unlike(job) if pair.difference]
    if shown_by:
        yield from ("", "### What differs from the baseline")
        yield from _table(
            ("job", "role", "picture of the differences"),
            ((_code(job.job_id), _code(pair.role), _code(root.relative(run.folder / pair.difference))) for job, pair in shown_by),
        )


def _passed(job: CheckedJob) -> tuple[str, str, str, str]:
    seconds = "" if job.seconds is None else f"{job.seconds:.1f}"
    likeness = [pair.likeness for pair in job.comparisons]
    kinds = ", ".join(str(kind) for kind in Likeness if kind in likeness)
    return _code(job.job_id), _code(job.recipe), seconds, kinds


def _table(heads: Sequence[str], rows: Iterator[Sequence[str]] | Sequence[Sequence[str]]) -> Iterator[str]:
    yield ""
    yield f"| {' | '.join(heads)} |"
    yield f"|{' --- |' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _code(text: str) -> str:
    """Return a text as a code span, in which nothing is a mark, a link or somebody's name."""
    text = plain(text)
    if not text:
        return ""
    fence = "`" * (max(map(len, re.findall("`+", text)), default=0) + 1)
    blank = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{blank}{text}{blank}{fence}".replace("|", r"\|")


def _prose(text: str) -> str:
    """Return a text whose characters are no marks, links, names of people, or numbers of issues."""
    marked = _MARKS.sub(r"\\\g<0>", plain(text))
    unlinked = _REFERENCES.sub("\\g<0>\N{ZERO WIDTH SPACE}", _LINKS.sub(r"\\\g<0>", marked))
    return _STARTS.sub("\N{ZERO WIDTH SPACE}", unlinked)
