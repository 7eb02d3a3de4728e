"""``comfy-runner verify``: whether a run folder still has what was collected."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from comfy_runner.cli import exit_codes
from comfy_runner.cli.json_records import to_json
from comfy_runner.cli.options import json_option, run_argument
from comfy_runner.cli.output import print_error, print_json, print_line, print_notes
from comfy_runner.errors import ComfyRunnerError, Note, Problem, RunFolderError, VerificationError
from comfy_runner.text_files import shown
from comfy_runner.wording import counted, named, size

if TYPE_CHECKING:
    from comfy_runner.control.verify_job import Discrepancy
    from comfy_runner.control.verify_run import VerifiedRun

VERSION = 1

_WORTH_SAYING = 2000  # jobs; fewer are looked at in a moment
_OF_FILES = ("missing", "changed")


@click.command()
@run_argument
@json_option("Print one JSON object (docs/repeat.md).")
def verify(folder: Path, *, as_json: bool) -> int:
    """Check every file in the run folder RUN against its checksum, and every sidecar against the ledger.

    Says what is missing, what was changed, and which files are not recorded. Nothing is changed and no server is asked; of a live
    run, it looks at the jobs that have ended. Exit code 4: a file is not what was collected; 5: a sidecar or the ledger is
    damaged.
    """
    from comfy_runner import api
    from comfy_runner.cli.report import measuring

    with measuring(quiet=as_json, verb="verifying", noun="job", worth_saying=_WORTH_SAYING) as progress:
        found = api.verify(folder, progress=progress)
    errors = list(_errors(found.discrepancies))
    if as_json:
        print_json({"v": VERSION, **to_json(found)})
        return exit_codes.of_errors(errors)
    for error in errors:
        print_error(error)
    print_notes(_notes(found))
    print_line(_summary(found))
    return exit_codes.of_errors(errors)


def _errors(found: tuple[Discrepancy, ...]) -> list[ComfyRunnerError]:
    problems = [(each.kind, Problem(each.what, each.file, each.hint)) for each in found]
    of_files = [problem for kind, problem in problems if kind in _OF_FILES]
    of_records = [problem for kind, problem in problems if kind not in _OF_FILES]
    return [kind.of(some) for kind, some in ((VerificationError, of_files), (RunFolderError, of_records)) if some]


def _notes(found: VerifiedRun) -> list[Note]:
    notes = []
    if found.extra:
        what = f"{counted(len(found.extra), 'file')} that no job records: {named(found.extra)}"
        notes.append(Note(what, shown(found.folder), "changed"))
    if found.leftovers:
        what = f"{counted(found.leftovers, 'half-written file')} of clients that were killed; `comfy-runner clean` removes them"
        notes.append(Note(what, shown(found.folder), "changed"))
    if found.holder is not None:
        what = f"{counted(found.unfinished, 'job that has', 'jobs that have')} not ended, and unrecorded files, were not checked"
        who = str(found.holder) or "another comfy-runner"
        notes.append(Note(f"is in use by {who}: {what}", shown(found.folder), "changed"))
    return notes


def _summary(found: VerifiedRun) -> str:
    seen = f"{counted(found.jobs, 'job')}, {counted(found.files, 'file')}, {size(found.size_bytes)}"
    counts = Counter(each.kind for each in found.discrepancies)
    told = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    return f"{shown(found.folder)}: {seen}: {told or 'all as collected'}"
