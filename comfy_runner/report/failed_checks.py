"""What the last check of a run found wrong with its jobs, kept beside the report so that its page can show it.

It is of a job as it was when it was checked: of one that has been rendered again since, nothing is known.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter

from comfy_runner.atomic_files import open_plain, remove_leftovers, write_atomically
from comfy_runner.check.results import CheckedRun, Comparison
from comfy_runner.errors import RunFolderError
from comfy_runner.store.interface import is_key
from comfy_runner.store.ledger_rows import storable
from comfy_runner.store.local import refuse_links
from comfy_runner.store.run_folder import COMPARISON_FILES, REPORT_FILES

_FILE: Final = "checked.json"
_MOST_KEPT: Final = 64 * 1024 * 1024  # bytes of a file that is read; a failure has some 100


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownDifference:
    """A picture that differs from the baseline's, with copies of both in the run folder (`report.triples`).

    Attributes:
        role: The output role.
        number: Which of the pictures of that role, from 1.
        message: In which way it differs, in words that follow its name.
        actual: The picture, relative to the run folder; empty where there is none.
        expected: The baseline's, likewise.
        difference: A picture of where they differ, likewise.

    Raises:
        ValueError: One of these lies elsewhere.
    """

    role: str
    number: int
    message: str
    actual: str
    expected: str
    difference: str

    def __post_init__(self) -> None:
        for path in (self.actual, self.expected, self.difference):
            if path and not (is_key(path) and path.startswith(f"{COMPARISON_FILES}/")):
                raise ValueError("not a copy of ours")


@dataclass(frozen=True, slots=True)
class FailedChecks:
    """What was found wrong with a job.

    Attributes:
        finished: When the job ended of which this is said, ISO 8601 with offset.
        what: What is wrong, each with its output role; that of the job as a whole is empty.
        differences: Its pictures that differ from a baseline, as far as they were put beside what was expected.
    """

    finished: str
    what: tuple[tuple[str, str], ...]
    differences: tuple[ShownDifference, ...] = ()

    def of(self, output: str) -> tuple[str, ...]:
        """Return what is wrong with the job as a whole and with an output of it."""
        return tuple(what for role, what in self.what if role in ("", output))


_KNOWN: Final = TypeAdapter(dict[str, FailedChecks])


def remember(checked: CheckedRun) -> None:
    """Write down what was found wrong; a folder that takes nothing has no such page either."""
    file = checked.folder / REPORT_FILES / _FILE
    found = {
        job.job_id: FailedChecks(
            job.finished,
            tuple((each.role, storable(each.message)) for each in job.failures),
            tuple(_shown(each) for each in job.comparisons if each.expected),
        )
        for job in checked.jobs
        if job.failures
    }
    if not found and not file.exists():
        return
    with contextlib.suppress(OSError, RunFolderError):
        refuse_links(checked.folder, file.parent)
        file.parent.mkdir(exist_ok=True)
        remove_leftovers(file)
        write_atomically(file, _KNOWN.dump_json(found))


def _shown(one: Comparison) -> ShownDifference:
    actual = one.actual if one.actual.startswith(f"{COMPARISON_FILES}/") else ""
    return ShownDifference(
        role=one.role,
        number=one.number,
        message=storable(one.message),
        actual=actual,
        expected=one.expected,
        difference=one.difference,
    )


def remembered(folder: Path) -> Mapping[str, FailedChecks]:
    """Return what was found wrong with jobs, by their ids; nothing where the file is missing or makes no sense."""
    try:
        with open_plain(folder / REPORT_FILES / _FILE) as file:
            content = file.read(_MOST_KEPT + 1)
        return _KNOWN.validate_json(content) if len(content) <= _MOST_KEPT else {}
    except (OSError, ValueError):
        return {}
