"""The run folders that a merge is asked for: those that are named, and those that lie side by side in a folder that is named."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath, PurePosixPath

from comfy_runner.errors import UsageError
from comfy_runner.store.lease import is_leased
from comfy_runner.store.local import folder_errors
from comfy_runner.store.registry import local_part, open_store
from comfy_runner.store.remote import RemoteStore
from comfy_runner.store.status import is_run_folder, require_run
from comfy_runner.text_files import shown, url_of


def folders_to_merge(given: Iterable[Path | str], target: Path) -> list[Path]:
    """Return the run folders that are meant, each once, in the order of their names where one folder holds several.

    Args:
        given: Run folders, or folders that hold them side by side: paths or URLs.
        target: The run folder to make.

    Returns:
        Their folders; of those at URLs the local parts, which need not be there.

    Raises:
        UsageError: There is none, or the target is among them, or inside of one, or has one inside.
        RunFolderError: A path is no run folder, or a store cannot be read.
    """
    found: dict[PurePath, Path] = {}
    for folder in map(local_part, given):
        with folder_errors(folder):
            inside = list(_at_url(folder, url) if (url := url_of(folder)) else _in_folder(folder))
        for each in inside or [folder]:
            found.setdefault(_place(each), each)
    place = _place(target)
    for other, folder in found.items():
        if place == other:
            raise UsageError("is one of the run folders to be merged", where=shown(target), hint="give another --to DIR")
        if other in place.parents or place in other.parents:
            raise UsageError(f"contains {shown(folder)}, which is to be merged", where=shown(target), hint="give another --to DIR")
    if not found:
        raise UsageError("no run folder is given")
    return list(found.values())


def _in_folder(folder: Path) -> Iterator[Path]:
    """Yield the run folders in a folder; nothing where it is one itself."""
    inside = [] if is_run_folder(folder) or not folder.is_dir() else sorted(filter(is_run_folder, folder.iterdir()))
    if not inside:
        require_run(folder)
    yield from inside


def _at_url(folder: Path, url: str) -> Iterator[Path]:
    """Yield the run folders below a URL; nothing where one lies there itself, or where that cannot be told."""
    store = open_store(folder)
    if isinstance(store, RemoteStore) and not is_leased(store):
        yield from (local_part(f"{url}/{name}") for name in store.folders() if is_leased(store, below=f"{name}/"))


def _place(folder: Path) -> PurePath:
    """Return where a run lies, in the one way in which it can be told whether others lie there as well."""
    url = url_of(folder)
    return PurePosixPath(url) if url else folder.resolve()
