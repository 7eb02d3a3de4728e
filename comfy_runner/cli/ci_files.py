"""What CI systems get of a checked run: the files that are asked for, and what GitHub takes unasked."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from comfy_runner.atomic_files import is_device, open_plain
from comfy_runner.cli.options import LocalPath
from comfy_runner.cli.output import print_error, print_notes, print_stderr
from comfy_runner.errors import Note, RunFolderError
from comfy_runner.text_files import reason_of, shown

if TYPE_CHECKING:
    from comfy_runner.check.formats.lines import Root
    from comfy_runner.check.results import CheckedRun

_IN_ACTIONS, _STEP_SUMMARY = "GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"
# The checkout: GitHub's, GitLab's and Jenkins' name for it.
_CHECKOUTS = ("GITHUB_WORKSPACE", "CI_PROJECT_DIR", "WORKSPACE")
# Where no file can ever be, whoever may write what.
_NO_PLACES = (errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP)


class CiFile(LocalPath):
    """A file to be written, refused before any work is done where that cannot be.

    An existing one must be of the same kind: pictures and recipes are never written over.

    Args:
        beginning: What files of the kind begin with.
    """

    def __init__(self, beginning: str) -> None:
        super().__init__(dir_okay=False)
        self._beginning = beginning.encode()

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path."""
        if str(value) == "-":
            self.fail(
                "must be a file, because stdout is used for other output (got -); name /dev/stdout to write both there", param, ctx
            )
        path = cast(Path, super().convert(value, param, ctx))
        found = b""
        try:
            with open_plain(path) as file:
                found = file.read(len(self._beginning))
        except OSError as error:
            if error.errno in _NO_PLACES:
                self.fail(f"{shown(path)} cannot be written ({reason_of(error)})", param, ctx)
        if found and found != self._beginning:
            self.fail(f"{shown(path)} already exists and is something else: it is not overwritten", param, ctx)
        folder = _first_that_exists(Path(os.path.realpath(path)).parent)
        if not is_device(path) and not (folder.is_dir() and os.access(folder, os.W_OK)):
            self.fail(f"{shown(path)} cannot be written: {shown(folder)} is not a folder in which files can be created", param, ctx)
        return path


def _first_that_exists(folder: Path) -> Path:
    """Return a folder, or the one above it that would be the first to get something new."""
    return next((each for each in (folder, *folder.parents) if each.exists()), folder)


def is_in_ci() -> bool:
    """Return whether this runs in a CI system, all of which set ``CI``, and where nothing is to be added by itself."""
    return os.environ.get("CI", "").casefold() not in ("", "0", "false")


def write(run: CheckedRun, *, junit: Path | None, summary: Path | None, code_quality: Path | None) -> int:
    """Write the files that are asked for, and what GitHub takes unasked; return an exit code, 0 if all is well.

    Args:
        run: The run.
        junit: Where JUnit's XML goes; None for no such file.
        summary: Where a summary in Markdown goes; likewise.
        code_quality: Where GitLab's code quality report goes; likewise.
    """
    from comfy_runner.check.formats import github, gitlab, markdown
    from comfy_runner.check.formats import junit as junit_xml
    from comfy_runner.report.target import write_target

    root, code = _root(), 0
    writers = ((junit, junit_xml.junit), (summary, markdown.markdown), (code_quality, gitlab.code_quality))
    for path, text in writers:
        if path is not None:
            try:
                write_target(path, text(run, root).encode(), what="it")
            except RunFolderError as error:
                print_error(error)
                code = error.exit_code
    if os.environ.get(_IN_ACTIONS) == "true":
        for line in github.workflow_commands(run, root):
            print_stderr(line)
    if place := os.environ.get(_STEP_SUMMARY):
        _add_to_summary(Path(place), run, root)
    return code


def is_read_by_github() -> bool:
    """Return whether GitHub shows what becomes of a run without being asked to."""
    return os.environ.get(_IN_ACTIONS) == "true" or bool(os.environ.get(_STEP_SUMMARY))


def _root() -> Root:
    """Return the checkout that this is in, or else the current folder."""
    from comfy_runner.check.formats.lines import Root

    current = Path.cwd()
    checkouts = (Path(os.environ[name]).resolve() for name in _CHECKOUTS if os.environ.get(name))
    return Root(next((folder for folder in checkouts if current.is_relative_to(folder)), current), current)


def _add_to_summary(path: Path, run: CheckedRun, root: Root) -> None:
    """Add a summary to those of the step; GitHub refuses all of them where they are too large together."""
    from comfy_runner.check.formats.markdown import MOST_BYTES, markdown

    try:
        with path.open("ab") as file:
            room = MOST_BYTES - file.tell() - 1
            if room > 200:
                file.write(b"\n" * (file.tell() > 0) + markdown(run, root, most=room).encode())
    except OSError as error:
        print_notes([Note(f"no summary for GitHub: {shown(path)} cannot be written ({reason_of(error)})")])
