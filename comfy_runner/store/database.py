"""One SQLite file of ours: opened, known to be ours, brought up to date, written in transactions, its errors made ours.

While it is open for writing it has a write-ahead log, on disks that are surely this machine's own. A commit is one write then,
which no end of the process undoes. It waits until it would survive a power cut too, unless another has waited within the last
`_UNSYNCED_SECONDS`: those that follow each other so fast wait together, for the next that does, or for `sync`. A power cut undoes
the last commits as a whole, and no more: of these a run finds again what has a sidecar, and only a job that was just posted to
another machine could be posted twice.

Elsewhere, as on network disks, it is a rollback journal: the readers of a log share memory with its writer, as two machines cannot.
Each commit waits for the disk then, several times. The journal is kept and overwritten: to make and remove one for each commit
costs twice as much, and a commit that ends with the removal of a file is undone where the power fails before that is on the disk.

Once it is closed it is one file, which can be read where nothing may be written.

What is in the tables is the business of subclasses.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import sqlite3
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self
from urllib.parse import quote

from comfy_runner.errors import RunFolderError
from comfy_runner.store.local import GONE, Identity, folder_errors, identity
from comfy_runner.text_files import is_file, shown

_CHECKED_BYTES = 8 * 1024 * 1024
"""Files up to this size are checked as a whole when they are opened for writing; it takes some milliseconds."""

_UNSYNCED_SECONDS = 0.1
"""How soon after a commit that has waited for the disk another one need not."""

_DISKS = frozenset({"bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "overlay", "tmpfs", "xfs", "zfs"})
"""File systems whose files only one machine has open."""

_ELSEWHERE = "choose another folder with --out"
_REASONS = {
    sqlite3.SQLITE_FULL: ("the disk is full", "free some space and run the same command again; finished pictures are safe"),
    sqlite3.SQLITE_READONLY: ("cannot be written: the file or its folder is read-only", _ELSEWHERE),
    sqlite3.SQLITE_PERM: ("no permission", _ELSEWHERE),
    sqlite3.SQLITE_CANTOPEN: ("cannot be opened", "check the permissions of its folder, or " + _ELSEWHERE),
    sqlite3.SQLITE_BUSY: ("is locked by another program", "close the program that has it open, and run the same command again"),
    sqlite3.SQLITE_LOCKED: ("is locked by another program", "close the program that has it open, and run the same command again"),
    sqlite3.SQLITE_IOERR: ("cannot be read or written: the disk reports an error", "check the disk, or " + _ELSEWHERE),
}


class Damaged(sqlite3.DatabaseError):
    """The file holds what this program never wrote."""


@contextmanager
def database_errors(path: Path, known: Identity | None = None) -> Iterator[None]:
    """Turn what SQLite raises about a file into a `RunFolderError`: the one place that does.

    A `sqlite3.ProgrammingError` is a fault of ours, as a `TypeError` would be, and stays what it is.

    Args:
        path: The file.
        known: Which file it was when it was opened; None while it is not.
    """
    try:
        with folder_errors(path):
            yield
    except sqlite3.ProgrammingError:
        raise
    # Names in a damaged file need not be text.
    except (sqlite3.Error, UnicodeDecodeError) as error:
        is_gone = identity(path) != known if known else not path.parent.is_dir()
        raise RunFolderError(GONE[0], where=shown(path), hint=GONE[1]) if is_gone else _translated(error, path) from error


class Database:
    """A connection to one file.

    It may be made in one thread and used in another, by one at a time: the coordinator's thread is not the one that plans.

    Args:
        path: The file; made if it does not exist, unless `readonly`.
        readonly: Whether to write nothing at all. A reader gets along with a writer in another process.

    Raises:
        RunFolderError: The file is damaged, not ours, written by a newer version, or cannot be opened.
    """

    application: ClassVar[int]
    """SQLite's ``application_id``, by which our files are known."""

    migrations: ClassVar[Sequence[Sequence[str]]]
    """What makes version n + 1 of the tables from version n (0 is an empty file): SQL statements, run in one transaction."""

    busy_seconds: ClassVar[float] = 30.0
    """How long to wait for others who read or write the file."""

    def __init__(self, path: Path, *, readonly: bool = False) -> None:
        self.path, self._is_batch = path, False
        self._has_log, self._waits = False, True
        self._is_synced, self._synced_at = True, -math.inf
        self._identity: Identity | None = None
        if readonly and not is_file(path):
            raise RunFolderError("does not exist", where=shown(path), hint="name the folder that `run --out` was given")
        with database_errors(path):
            _refuse_links(path)
            self._connection = _connect(path, "ro" if readonly else "rwc", self.busy_seconds)
            try:
                if readonly:
                    self._finish_rollback()
                version = self._version()
                self._identity = identity(path)
                if not readonly:
                    self._set_up(version)
                elif version < len(self.migrations):
                    what = f"is not up to date (schema {version}, needed is {len(self.migrations)})"
                    raise RunFolderError(what, where=shown(path), hint="continue the run, which brings it up to date")
            except BaseException:
                self._connection.close()
                raise

    def close(self) -> None:
        """Close the file; what was not committed is undone."""
        # A reader cannot, who has closed already need not, and of a damaged file the error may be no text.
        with contextlib.suppress(sqlite3.Error, UnicodeDecodeError):
            self._connection.execute("PRAGMA journal_mode = DELETE").fetchall()
        self._connection.close()

    def check(self) -> None:
        """Read the whole file and compare it with itself; seconds for a large one.

        Raises:
            RunFolderError: It is damaged.
        """
        with self._reading() as connection:
            found = connection.execute("PRAGMA integrity_check(1)").fetchone()
            if found != ("ok",):
                raise Damaged(str(found))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """Give the connection for reading. Every result must be fetched to its end inside: an open one blocks a writer."""
        with database_errors(self.path, self._identity):
            yield self._connection

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """Give the connection in a transaction, which is on the disk afterwards, or undone if anything is raised.

        Inside of `batch` it is the transaction of all that is written there.
        """
        with database_errors(self.path, self._identity), self._undoing():
            if not self._connection.in_transaction:
                self._refuse_moved()
                self._choose_sync()
                self._connection.execute("BEGIN IMMEDIATE")
            yield self._connection
            if not self._is_batch:
                self._commit()

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Put all that is written inside on the disk together, at the end or at `flush`.

        What does not exist yet is undone if anything is raised.
        """
        self._is_batch = True
        try:
            with self._undoing():
                yield
                self.flush()
        finally:
            self._is_batch = False

    @property
    def is_unwritten(self) -> bool:
        """Return whether something was written in a batch that is not on the disk yet."""
        return self._connection.in_transaction

    def flush(self) -> None:
        """Put what was written in a batch so far on the disk.

        Raises:
            RunFolderError: That cannot be done.
        """
        if self._connection.in_transaction:
            with database_errors(self.path, self._identity):
                self._commit()

    def sync(self) -> None:
        """Make sure that what was committed survives a power cut; to be called every second or so while the file is written.

        Raises:
            RunFolderError: That cannot be done.
        """
        if not self._is_synced:
            self._synced_at = -math.inf
            with self._writing() as connection:
                connection.execute(f"PRAGMA user_version = {len(self.migrations)}")  # as it is: there has to be something to write

    def _choose_sync(self) -> None:
        """Have the next commit wait for the disk, unless there is a log, and one has waited a moment ago."""
        waits = not self._has_log or time.monotonic() - self._synced_at >= _UNSYNCED_SECONDS
        if waits != self._waits:
            self._waits = waits
            self._connection.execute(f"PRAGMA synchronous = {'FULL' if waits else 'NORMAL'}")

    @contextmanager
    def _undoing(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            # SQLite has undone it by itself after some errors. What is raised is the first error, not that of undoing.
            if self._connection.in_transaction:
                with contextlib.suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
            raise

    def _commit(self) -> None:
        """Put the transaction on the disk; every commit goes this way."""
        self._refuse_moved()
        self._connection.execute("COMMIT")
        self._is_synced = self._waits
        if self._waits:
            self._synced_at = time.monotonic()

    def _refuse_moved(self) -> None:
        # SQLite would write on into a file that was removed, and lose it.
        if identity(self.path) != self._identity:
            raise RunFolderError(GONE[0], where=shown(self.path), hint=GONE[1])

    def _finish_rollback(self) -> None:
        """Undo what a writer that was killed has left half written; a read-only connection cannot, and would refuse to read.

        Nor can it read a log whose index somebody has taken away.
        """
        try:
            self._connection.execute("PRAGMA user_version").fetchone()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode not in (sqlite3.SQLITE_READONLY_ROLLBACK, sqlite3.SQLITE_CANTOPEN):
                raise
            self._connection.close()
            with contextlib.closing(_connect(self.path, "rw", self.busy_seconds)) as writer:
                writer.execute("PRAGMA journal_mode = DELETE").fetchall()
            self._connection = _connect(self.path, "ro", self.busy_seconds)

    def _version(self) -> int:
        """Return the version of the tables, 0 for an empty file, of what is surely our file."""
        # In one transaction: another process may just be making the file.
        self._connection.execute("BEGIN")
        application, version = (self._number(f"PRAGMA {name}") for name in ("application_id", "user_version"))
        is_new = self.path.stat().st_size == 0
        self._connection.execute("COMMIT")
        if is_new:
            return 0
        if application != self.application or version < 1:
            raise Damaged("not ours")
        if version > len(self.migrations):
            what = f"was written by a newer comfy_runner (schema {version})"
            raise RunFolderError(what, where=shown(self.path), hint="upgrade it")
        return version

    def _set_up(self, version: int) -> None:
        for pragma in ("synchronous = FULL", "secure_delete = OFF", "foreign_keys = ON"):
            self._connection.execute(f"PRAGMA {pragma}").fetchall()
        if version and self._number("PRAGMA page_count") * self._number("PRAGMA page_size") <= _CHECKED_BYTES:
            self.check()
        for number in range(version, len(self.migrations)):
            with self._writing() as connection:
                for statement in self.migrations[number]:
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id = {self.application}")
                connection.execute(f"PRAGMA user_version = {number + 1}")
        # Not before there are tables: a file that is empty but for its first page would be nobody's.
        journal = "WAL" if _is_on_own_disk(self.path.parent) else "PERSIST"
        self._has_log = self._connection.execute(f"PRAGMA journal_mode = {journal}").fetchone() == ("wal",)

    def _number(self, query: str) -> int:
        (number,) = self._connection.execute(query).fetchone()
        return int(number)


def _refuse_links(path: Path) -> None:
    """Refuse what SQLite would follow, or wait for: a symbolic link, a named pipe; also for the files that it keeps beside."""
    for name in ("", "-journal", "-wal", "-shm"):
        beside = path.with_name(path.name + name)
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            if not stat.S_ISREG(beside.lstat().st_mode):
                raise RunFolderError(
                    "is not a plain file: a symbolic link, a folder or a pipe", where=shown(beside), hint="move it away"
                )


def _is_on_own_disk(folder: Path) -> bool:
    """Return whether a folder is surely on a disk that no other machine has; only Linux is asked."""
    try:
        place, lines = folder.resolve(), Path("/proc/self/mounts").read_text(errors="surrogateescape").splitlines()
    except OSError:
        return False
    kinds: dict[Path, str] = {}
    for _, mounted, kind, *_ in (line.split(" ") for line in lines):
        kinds[Path(re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), mounted))] = kind  # what is mounted last is seen
    return next((kinds[parent] for parent in (place, *place.parents) if parent in kinds), "") in _DISKS


def _connect(path: Path, mode: str, busy_seconds: float) -> sqlite3.Connection:
    place = path.absolute().as_posix()
    # Not `Path.as_uri`, whose network paths SQLite takes for another computer's.
    uri = f"file://{'' if place.startswith('/') else '/'}{quote(os.fsencode(place))}?mode={mode}"
    if mode == "ro":
        uri += "&readonly_shm=1"  # otherwise it would write into what a log's readers and writers share
    connection = sqlite3.connect(uri, uri=True, timeout=busy_seconds, isolation_level=None, check_same_thread=False)
    # A file from elsewhere may bring views and triggers of its own.
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA temp_store = MEMORY")
    return connection


def _translated(error: sqlite3.Error | UnicodeDecodeError, path: Path) -> RunFolderError:
    code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
    repair = f"comfy-runner repair {shown(path.parent)} rebuilds it from the pictures' sidecars"
    what, hint = _REASONS.get(code & 0xFF, ("is damaged", repair))
    return RunFolderError(what, where=shown(path), hint=hint)
