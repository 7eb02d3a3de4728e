"""The git repository whose revisions are searched: which there are, checking one out, and leaving it as it was found.

Of a history with merges, the versions are those that a branch itself has been at: ``git rev-list --first-parent``. Whatever a merge
brought came at once, as it did for whoever follows the branch, and what a side branch was like in between may not even start.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from comfy_runner.atomic_files import write_atomically
from comfy_runner.bisecting.versions import Version
from comfy_runner.errors import UsageError
from comfy_runner.text_files import on_one_line, reason_of, shown

# In git's own folder, as git's BISECT_START is: what was checked out before, for whoever comes after a process that was killed.
_START = "COMFY_RUNNER_BISECT_START"


class Checkout:
    """A git repository that is taken from revision to revision, and back.

    Args:
        folder: The repository, or a folder in it.

    Raises:
        UsageError: It is not a git repository with files, has uncommitted changes, or there is no git.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        if self._git("rev-parse", "--is-inside-work-tree", failing="is not a git repository with files") != "true":
            raise UsageError("is not a git repository with files", where=shown(folder))
        if changed := self._git("status", "--porcelain", "--untracked-files=no"):
            what = f"has uncommitted changes (got {on_one_line(changed.splitlines()[0].strip(), longest=200)})"
            raise UsageError(what, where=shown(folder), hint="commit them, or stash them with git stash")
        self._record = folder / self._git("rev-parse", "--git-path", _START)
        self._start = self._ask("symbolic-ref", "--quiet", "--short", "HEAD") or self._earlier_start() or self.commit("HEAD")

    def commit(self, revision: str) -> str:
        """Return the full hash of a revision's commit.

        Raises:
            UsageError: There is no such commit.
        """
        found = "" if revision.startswith("-") else self._ask("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
        if not found:
            raise UsageError(f"there is no such commit (got {revision})", where=shown(self._folder))
        return found

    def versions(self, good: str, bad: str) -> list[Version]:
        """Return the commits from a good revision to a bad one, both included, by first parents.

        Raises:
            UsageError: There is no such revision, or the bad one does not come after the good one.
        """
        first, last = self.commit(good), self.commit(bad)
        if first == last:
            raise UsageError(f"GOOD and BAD are the same commit (got {first[:10]})", where=shown(self._folder))
        base = self._ask("merge-base", first, last)
        if base != first:
            what = f"BAD does not come after GOOD (got {good} and {bad})"
            forked = f"both go back to {base[:10]}; check whether that is good, and give it as GOOD" if base else ""
            hint = "GOOD comes after BAD: swap them" if base == last else forked
            raise UsageError(what, where=shown(self._folder), hint=hint)
        return [self.version(first), *self._log("--first-parent", "--reverse", f"{first}..{last}")]

    def version(self, revision: str) -> Version:
        """Return the commit of a revision.

        Raises:
            UsageError: There is no such commit.
        """
        return self._log("--max-count=1", self.commit(revision))[0]

    def merged(self, version: Version) -> tuple[Version, Version] | None:
        """Return the good and the bad end of what a merge has brought, for a search in it; None for a commit that is none."""
        parents = self._git("rev-list", "--parents", "--max-count=1", version.name).split()[1:]
        base = self._ask("merge-base", parents[0], parents[1]) if len(parents) == 2 else ""
        return (self.version(base), self.version(parents[1])) if base else None

    def tracks(self, path: Path) -> bool:
        """Return whether git has a file, or anything in a folder: it would be another one at another commit."""
        return bool(self._ask("ls-files", "--", str(path.resolve())))

    def take(self, version: Version) -> None:
        """Check a version out.

        Raises:
            UsageError: Git does not, for instance since files were changed meanwhile.
        """
        self._write_start()
        self._git("checkout", "--quiet", "--detach", version.name, failing=f"cannot be moved to {version}")

    def restore(self) -> None:
        """Check out what was checked out in the beginning.

        Raises:
            UsageError: Git does not.
        """
        if not self._record.exists():
            return
        self._git("checkout", "--quiet", self._start, "--", failing=f"cannot be moved back to {self._start}")
        self._record.unlink(missing_ok=True)

    def _write_start(self) -> None:
        try:
            write_atomically(self._record, f"{self._start}\n".encode())
        except OSError as error:
            raise UsageError(f"cannot be written ({error})", where=shown(self._record)) from error

    def _earlier_start(self) -> str:
        """Return what an earlier process was to take the repository back to; empty where none has left it away from there."""
        try:
            start = self._record.read_text("utf-8").strip()
        except (OSError, ValueError):
            return ""
        return start if start and not start.startswith("-") and self._ask("rev-parse", "--verify", "--quiet", start) else ""

    def _log(self, *chosen: str) -> list[Version]:
        lines = self._git("log", "--no-color", "--no-show-signature", "--format=%H %s", *chosen, "--").splitlines()
        found = (line.partition(" ") for line in lines)
        return [Version(name, on_one_line(subject, longest=80)) for name, _, subject in found]

    def _ask(self, *args: str) -> str:
        """Return what git says; empty where it says no."""
        return self._run(*args)[1]

    def _git(self, *args: str, failing: str = "git cannot read it") -> str:
        """Return what git says.

        Raises:
            UsageError: It fails, which is told in these words with the first line that it said.
        """
        code, said, complaint = self._run(*args)
        if code:
            told = on_one_line((complaint.splitlines() or [f"exit code {code}"])[0], longest=300)
            raise UsageError(f"{failing} (got {told})", where=shown(self._folder))
        return said

    def _run(self, *args: str) -> tuple[int, str, str]:
        """Return git's exit code and what it said on stdout and stderr; Ctrl-C comes through when it has ended."""
        command = ["git", "-C", str(self._folder), *args]
        pipe = subprocess.PIPE
        try:
            # In a session of its own: one that a Ctrl-C ends in the middle of a checkout would leave a mixture of two revisions.
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, start_new_session=True)
        except OSError as error:
            raise UsageError(f"git cannot be run ({reason_of(error)})", hint="install git") from error
        try:
            said, complaint = process.communicate()
        except KeyboardInterrupt:
            process.communicate()
            raise
        return process.returncode, said.decode("utf-8", "replace").rstrip("\n"), complaint.decode("utf-8", "replace").strip()
