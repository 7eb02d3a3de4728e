"""Templates of pictures that were rendered without being imported into a folder: kept in the user's cache folder, by their content.

Such a template has to be a file as any other one has, also later, when a finished job is made again from its sidecar. What nobody
has used for a quarter of a year is removed; where a sidecar's template is gone, its graph is imported anew.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

from comfy_runner.atomic_files import write_atomically
from comfy_runner.errors import UsageError
from comfy_runner.templating.lookup import SUFFIX
from comfy_runner.text_files import is_file

_FOLDER = "imported"
_UNUSED_SECONDS = 90 * 24 * 3600
_DIGITS = 64


def cache_template(template: str, *, name: str, caches: Path | None) -> Path:
    """Return the file of a template with this text, which is written unless it is there.

    Args:
        template: Its text.
        name: Its name, which its file is called after.
        caches: The user's cache folder; where there is none, or it cannot be written, the file lasts as long as this process.

    Raises:
        UsageError: There is no place to write it at all.
    """
    data = template.encode("utf-8", "surrogatepass")
    digest = hashlib.sha256(data).hexdigest()
    if caches is not None:
        with contextlib.suppress(OSError):
            return _written(caches / _FOLDER / digest / f"{name}{SUFFIX}", data)
    with contextlib.suppress(OSError):
        return _written(_of_process() / digest / f"{name}{SUFFIX}", data)
    raise UsageError(
        "neither the cache folder nor the folder for temporary files can be written", hint="set TMPDIR to one that can"
    )


def cached_template(sha256: str, *, name: str, caches: Path | None) -> Path | None:
    """Return the file of a template that was kept; None where it is not there any more, or was changed.

    Args:
        sha256: Of its text, 64 hex digits.
        name: Its name.
        caches: The user's cache folder; None where there is none.
    """
    # The name may be anybody's, and is no way to other folders.
    if caches is None or Path(name).name != name:
        return None
    return _there(caches / _FOLDER / sha256 / f"{name}{SUFFIX}")


def _there(path: Path) -> Path | None:
    """Return a file that was kept, which is in use by that; None where it is not there any more, or was changed."""
    with contextlib.suppress(OSError):
        if is_file(path) and hashlib.sha256(path.read_bytes()).hexdigest() == path.parent.name:
            with contextlib.suppress(OSError):
                os.utime(path.parent)
            return path
    return None


def _written(path: Path, data: bytes) -> Path:
    """Return a file that holds these bytes.

    Raises:
        OSError: It cannot be written.
    """
    if _there(path) is None:
        write_atomically(path, data, durable=False)
        _remove_unused(path.parent.parent, now=path.stat().st_mtime)
    return path


@cache
def _of_process() -> Path:
    """Return a folder that is removed when this process ends.

    Raises:
        OSError: None can be made.
    """
    folder = Path(tempfile.mkdtemp(prefix="comfy-runner-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _remove_unused(folder: Path, *, now: float) -> None:
    """Remove what was kept in a folder and has not been used for long."""
    with contextlib.suppress(OSError):
        for entry in [*folder.iterdir()]:
            if len(entry.name) == _DIGITS and entry.stat().st_mtime < now - _UNUSED_SECONDS:
                shutil.rmtree(entry, ignore_errors=True)
