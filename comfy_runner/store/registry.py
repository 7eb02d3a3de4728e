"""The store that an address names: a local folder, what an installed package has for the address's scheme, or one of fsspec's.

A package that brings one says ``[project.entry-points."comfy_runner.stores"]`` and ``s3 = "my_package:open_store"``: a function
that is called with the whole address, such as ``s3://bucket/run``, and returns an `ArtifactStore`.

A run whose files lie at a URL has a local part as well, with its ledger, its lock and control files: a folder in the user's state
folder that is named by the URL, so that whoever has the folder knows the store.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, cast
from urllib.parse import quote, urlsplit
from urllib.request import url2pathname

from comfy_runner.config import state_folder
from comfy_runner.errors import UsageError
from comfy_runner.plugins import plugins
from comfy_runner.store.filesystem import checked
from comfy_runner.store.interface import ArtifactStore
from comfy_runner.store.local import LocalStore
from comfy_runner.store.remote import RemoteStore
from comfy_runner.text_files import local_path, scheme_of, url_of

GROUP: Final = "comfy_runner.stores"

_FILE = "file"
_RUNS = "runs"
_SPOOL = ".spool"
_LONGEST = 240
"""Most characters of a folder's name; the systems' limit is 255 bytes."""


def local_part(address: Path | str) -> Path:
    """Return the folder on this machine of the run at an address: the path itself, or what is kept here of a run at a URL.

    Nothing is made.

    Args:
        address: A local path, or a URL.

    Raises:
        UsageError: The URL cannot be that of a run.
        ConfigError: The user has no state folder.
    """
    scheme = scheme_of(address)
    if not scheme:
        return local_path(address)
    if scheme == _FILE:
        split = urlsplit(str(address))
        if split.netloc not in ("", "localhost") or not split.path.strip("/"):
            raise UsageError(f"must name a folder on this machine (got {address})", hint="file:///home/me/runs/lake, or its path")
        return Path(url2pathname(split.path))
    name = quote(checked(str(address)), safe="")
    if len(name) > _LONGEST:
        raise UsageError(f"is longer than the URL of a run may be (got {address})", hint="choose a folder with a shorter name")
    return state_folder() / _RUNS / name


def open_store(address: Path | str) -> ArtifactStore:
    """Return the store at an address.

    Args:
        address: A local path, which need not be there, the local part of a run, or a URL.

    Raises:
        UsageError: No installed package has a store for the URL's scheme, or that package cannot be used.
    """
    folder = local_part(address)
    url = url_of(folder)
    if not url:
        return LocalStore(folder)
    scheme = scheme_of(url)
    opener = plugins(GROUP, "store", only=scheme).get(scheme)
    return RemoteStore(url, spool=folder / _SPOOL) if opener is None else cast(ArtifactStore, opener(url))
