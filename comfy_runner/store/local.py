"""Artifacts as files of a local folder, and what an operating system refuses told as errors of the run folder."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from comfy_runner.atomic_files import is_leftover, move_into_place, open_beside, open_plain, remove_leftovers, sync_folder
from comfy_runner.errors import RunFolderError
from comfy_runner.store.interface import Artifact, ArtifactStore, Spooled, Stat, is_key
from comfy_runner.text_files import reason_of, shown

GONE = (
    "is gone: it was moved or deleted while in use",
    "run the same command again; if the run folder was moved, give its new place with --out",
)
"""What is said of a file or folder that was there, and what to do about it."""

_REASONS = {
    errno.ENOSPC: ("the disk is full", "free some space and run the same command again; finished pictures are safe"),
    errno.EDQUOT: ("the disk quota is used up", "free some space and run the same command again"),
    errno.EFBIG: ("the file is larger than this disk or account allows", "choose another folder with --out"),
    errno.EROFS: ("the disk is read-only", "choose another folder with --out"),
    errno.EACCES: ("no permission", "choose another folder with --out"),
    errno.EPERM: ("no permission", "choose another folder with --out"),
    errno.EBUSY: ("is in use by another program", "close it there and run the same command again; finished pictures are safe"),
    errno.ENOENT: GONE,
    errno.ENOTDIR: ("a file is where a folder should be", "choose another folder with --out"),
    errno.EEXIST: ("a file is where a folder should be", "choose another folder with --out"),
}

_CHUNK = 1024 * 1024

Identity = tuple[int, int]
"""How a file system numbers a file or folder, whatever it is called."""


@contextmanager
def folder_errors(place: Path | Artifact | Callable[[], Path | Artifact]) -> Iterator[None]:
    """Turn an `OSError` about a run folder into a `RunFolderError` that names the file.

    Args:
        place: What is named where the error itself names no file, or a temporary one; or what tells that.
    """
    try:
        yield
    except OSError as error:
        what, hint = _REASONS.get(error.errno or 0, (reason_of(error), ""))
        place = place() if callable(place) else place
        named = Path(os.fsdecode(error.filename)) if error.filename else place
        named = place if isinstance(named, Path) and is_leftover(named.name) else named
        raise RunFolderError(what, where=shown(named) if isinstance(named, Path) else str(named), hint=hint) from error


class LocalStore:
    """An `ArtifactStore` in a local folder: a key is a path below it.

    Files are spooled beside their places, hidden, so that putting one is a rename. Symbolic links are read, but neither listed nor
    removed, and nothing is written past one: it would go to where nobody has allowed it. What is no plain file is not read. A root
    that was there is not made anew: somebody has moved it, with all that is in it.

    Args:
        root: The folder, which need not be there.
    """

    def __init__(self, root: Path) -> None:
        self._root, self._known = root, identity(root)

    def spool(self, key: str) -> tuple[BinaryIO, Path]:
        """See `ArtifactStore.spool`."""
        (target,) = self._targets(key)
        with folder_errors(target):
            try:
                return open_beside(target)
            except FileNotFoundError:
                self._make_parent(target)
                return open_beside(target)

    def put(self, files: Sequence[Spooled]) -> None:
        """See `ArtifactStore.put`. What goes into the same folder costs one `sync_folder`."""
        targets = self._targets(*(spooled.key for spooled in files))
        for spooled, target, following in zip(files, targets, [*targets[1:], None], strict=True):
            with folder_errors(target):
                self._place(spooled.path, target)
                if following is None or following.parent != target.parent:
                    sync_folder(target.parent)

    def open(self, key: str) -> BinaryIO:
        """See `ArtifactStore.open`."""
        return open_plain(self._path(key))

    def stat(self, key: str) -> Stat | None:
        """See `ArtifactStore.stat`."""
        try:
            return _stat(self._path(key))
        except OSError:
            return None

    def copy(self, key: str, to: str) -> None:
        """See `ArtifactStore.copy`. It makes no link: whoever changes one file by hand means that one."""
        with folder_errors(self._path(key)), self.open(key) as original:
            self.put([write_spool(self, to, iter(partial(original.read, _CHUNK), b""))])

    def archive(self, key: str, to: str) -> bool:
        """See `ArtifactStore.archive`. Where a folder has the name, it is moved as a whole."""
        source = self._path(key)
        with folder_errors(source):
            if not source.exists():
                return False
            source, target = self._targets(key, to)
            self._make_parent(target)
            move_into_place(source, target)
            return True

    def list(self, prefix: str = "") -> Iterator[str]:
        """See `ArtifactStore.list`."""
        yield from (key for key in self._files(prefix) if not is_leftover(key.rpartition("/")[2]))

    def leftovers(self) -> Iterator[str]:
        """Yield the paths, relative to the folder, of what processes that were killed have spooled here and never put."""
        yield from (key for key in self._files("") if is_leftover(key.rpartition("/")[2]))

    def remove(self, key: str) -> None:
        """See `ArtifactStore.remove`. Folders that are empty then are removed as well."""
        path = self._path(key)
        if not is_plain_inside(self._root, path):
            return
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise RunFolderError(f"cannot be removed: {reason_of(error)}", where=shown(path)) from error
        with contextlib.suppress(OSError):  # something else is in it
            while (path := path.parent) != self._root:
                path.rmdir()

    def remove_spooled(self, key: str) -> None:
        """See `ArtifactStore.remove_spooled`."""
        with contextlib.suppress(RunFolderError):
            remove_leftovers(*self._targets(key))

    def url(self, key: str) -> str:
        """See `ArtifactStore.url`. It is relative to the folder, whatever is in the key."""
        return "/".join(quote(segment, safe="") for segment in key.split("/"))

    def local_path(self, key: str) -> Path:
        """See `ArtifactStore.local_path`."""
        return self._path(key)

    def location(self, key: str) -> str:
        """See `ArtifactStore.location`."""
        return shown(self._root / key)

    def _files(self, prefix: str) -> Iterator[str]:
        """Yield the keys of all plain files that begin so, past no symbolic link."""
        start = prefix.rpartition("/")[0]
        top = self._path(start) if start else self._root
        if not top.is_dir() or not _is_past_no_link(self._root, top):
            return
        for folder, folders, files in os.walk(top):
            folders.sort()
            inside = Path(folder).relative_to(self._root)
            for key in ((inside / name).as_posix() for name in sorted(files)):
                if key.startswith(prefix) and not (self._root / key).is_symlink():
                    yield key

    def _place(self, spooled: Path, target: Path) -> None:
        """Give a file its key; every file goes this way."""
        move_into_place(spooled, target)

    def _targets(self, *keys: str) -> Sequence[Path]:
        """Return the paths of what is to be written, or taken away."""
        paths = [self._path(key) for key in keys]
        with folder_errors(self._root):
            if self._known is None:
                self._root.mkdir(parents=True, exist_ok=True)
                self._known = identity(self._root)
            elif identity(self._root) != self._known:
                raise OSError(errno.ENOTDIR if self._root.is_file() else errno.ENOENT, "", str(self._root))
        for folder in {path.parent for path in paths}:
            refuse_links(self._root, folder)
        return paths

    def _make_parent(self, path: Path) -> None:
        """Make the folder of a file, but not the root, which may have been moved a moment ago."""
        folders, folder = [], path.parent
        while folder != self._root:
            folders.append(folder)
            folder = folder.parent
        for folder in reversed(folders):
            folder.mkdir(exist_ok=True)

    def _path(self, key: str) -> Path:
        if not is_key(key):
            raise RunFolderError(f"must be a relative path inside of it (got {key!r})", where=shown(self._root))
        return self._root / key


def write_spool(store: ArtifactStore, key: str, chunks: Iterable[bytes]) -> Spooled:
    """Write a local file that `ArtifactStore.put` can take; nothing is left of it where that fails.

    Args:
        store: Where it goes later.
        key: Its key there.
        chunks: Its content. What goes wrong with that is no `OSError`, or it is taken for the disk's.

    Returns:
        The file, which survives a power cut.

    Raises:
        RunFolderError: The disk does not take it.
    """
    where, digest, length = Artifact(store, key), hashlib.sha256(), 0
    with folder_errors(where):
        file, path = store.spool(key)
    try:
        # What the disk does not take may show as late as when the file is closed. It is that of this file where it goes elsewhere.
        with folder_errors(lambda: where if store.local_path(key) is not None else path), file:
            for chunk in chunks:
                digest.update(chunk)
                length += file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        with contextlib.suppress(OSError):
            path.unlink()
        raise
    return Spooled(path, key, digest.hexdigest(), length)


def identity(path: Path) -> Identity | None:
    """Return how the file system numbers what is now at a path; None where nothing is."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def refuse_links(root: Path, folder: Path) -> None:
    """Refuse to write into a folder that lies past a symbolic link.

    Args:
        root: The folder that is written to, which may be a link itself.
        folder: That folder, or one below it.

    Raises:
        RunFolderError: There is a link between them.
    """
    while folder != root:
        if folder.is_symlink():
            hint = "replace it with a folder, or choose another folder with --out"
            raise RunFolderError("is a symbolic link, and nothing is written through links", where=shown(folder), hint=hint)
        folder = folder.parent


def is_plain_inside(root: Path, path: Path) -> bool:
    """Return whether a path leads to a plain file inside a folder, past no symbolic link."""
    try:
        return _is_past_no_link(root, path.parent) and stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def _is_past_no_link(root: Path, folder: Path) -> bool:
    try:
        return folder.resolve() == root.resolve() / folder.relative_to(root)
    except (OSError, ValueError):
        return False


def _stat(path: Path) -> Stat:
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    return Stat(found.st_size, modified_ns=found.st_mtime_ns)
