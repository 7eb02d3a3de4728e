"""The record of a search, as ``git bisect log`` prints it; of commits, ``git bisect replay`` can read it.

It is written for people, but for its ``skip`` lines: a version that could not be judged is not tried again while its line is there,
and whoever adds one has a version left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from comfy_runner.atomic_files import write_atomically
from comfy_runner.bisecting.search import Judgment
from comfy_runner.bisecting.versions import Version
from comfy_runner.errors import RunFolderError, UsageError
from comfy_runner.text_files import on_one_line, read, shown

LOG = "bisect.log"
"""The name of its file, in the folder of the search."""

_SKIP = re.compile(r"(?:git bisect )?skip (?P<version>\S.*)")


def read_skipped(folder: Path) -> set[str]:
    """Return the names of the versions that are left out.

    Args:
        folder: The folder of the search, which need not be there.

    Raises:
        UsageError: Its record cannot be read.
    """
    path = folder / LOG
    if not path.exists():
        return set()
    found = (_SKIP.fullmatch(line.strip()) for line in read(path, error=UsageError).splitlines())
    return {match["version"] for match in found if match}


def write_journal(
    folder: Path, judged: Mapping[Version, tuple[Judgment, str]], *, commits: bool, suspects: Iterable[Version] = ()
) -> None:
    """Write the record of a search, whole.

    Args:
        folder: The folder of the search.
        judged: What was said of versions, in the order in which they were judged, and why; empty where there is no reason.
        commits: Whether they are commits.
        suspects: Those that may be the first bad one, at the end; empty before.

    Raises:
        RunFolderError: It cannot be written.
    """
    command = "git bisect " if commits else ""
    lines = [f"{command}start{' --first-parent' if commits else ''}"]
    for version, (judgment, why) in judged.items():
        lines += [f"# {judgment}: {_titled(version, commits)}", *([f"# {on_one_line(why)}"] if why else [])]
        lines.append(f"{command}{judgment} {version.name}")
    found = [*suspects]
    word = "commit" if commits else "version"
    lines += [f"# {'first' if len(found) == 1 else 'possible first'} bad {word}: {_titled(version, commits)}" for version in found]
    try:
        write_atomically(folder / LOG, "".join(f"{line}\n" for line in lines).encode())
    except OSError as error:
        raise RunFolderError(f"cannot be written ({error.strerror or error})", where=shown(folder / LOG)) from error


def _titled(version: Version, commits: bool) -> str:
    return f"[{version.name}] {version.subject}".rstrip() if commits else version.name
