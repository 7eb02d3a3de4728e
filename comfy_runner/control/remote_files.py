"""What a run has left on servers: files in their output folders, entries in their histories.

ComfyUI has no way to delete a file that it has saved. Those of the managed local ComfyUI lie on this machine, and can be removed
once they are surely ours and collected. The run folder itself is tidied by `garbage`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from comfy_runner.collect.picture_texts import differ_in_texts_alone
from comfy_runner.config import Config
from comfy_runner.engine.comfyui.address import is_loopback
from comfy_runner.engine.interface import Engine
from comfy_runner.engine.ray_actors.ended import SCHEME
from comfy_runner.engine.registry import local_options
from comfy_runner.errors import LocalError, Note, RunFolderError, ServerError
from comfy_runner.store.local import is_plain_inside
from comfy_runner.store.run_folder import RunFolder
from comfy_runner.store.sidecar import FileRecord, Sidecar, sha256_of
from comfy_runner.text_files import reason_of, shown

_OURS = "comfy_runner"
_MOST_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class LocalCopy:
    """A file of ours that a server on this machine saved.

    Attributes:
        path: Where it lies.
        sha256: Of the bytes that we got of it, hex.
        record: The collected one; None where that was replaced since.
    """

    path: Path
    sha256: str
    record: FileRecord | None


@dataclass(slots=True)
class RemoteFiles:
    """What is left on one server.

    Attributes:
        url: The server.
        files: The files that we cannot remove, as ``subfolder/filename``.
        local: Those that lie on this machine, in the folder of the managed local ComfyUI.
        local_bytes: The lengths of these together.
        prompts: Our prompts, which its history may still list.
    """

    url: str
    files: dict[str, None] = field(default_factory=dict)
    local: dict[str, LocalCopy] = field(default_factory=dict)
    local_bytes: int = 0
    prompts: dict[str, None] = field(default_factory=dict)

    @property
    def folders(self) -> tuple[str, ...]:
        """Return the folders that the files lie in, below the server's output folder."""
        return tuple(sorted({name.rpartition("/")[0] for name in self.files}))


def find_remote_files(folder: RunFolder, sidecars: Iterable[Sidecar | None], config: Config) -> tuple[RemoteFiles, ...]:
    """Return what jobs that are done, and pictures that were replaced, have left on servers, which are not asked.

    Args:
        folder: The run folder, locked.
        sidecars: Its sidecars.
        config: Where the managed local ComfyUI is.
    """
    awaited = {name for found in folder.ledger.open_submissions() for name in (found.prompt_id, found.server_prompt_id)}
    local = _Local.of(config)
    found: dict[str, RemoteFiles] = {}
    done = ((sidecar, True) for sidecar in sidecars if sidecar is not None and sidecar.state == "done")
    replaced = ((sidecar, False) for sidecar in folder.superseded())
    for sidecar, is_current in (*done, *replaced):
        url = _text(sidecar.server.get("url") if isinstance(sidecar.server, Mapping) else "")
        there = found.setdefault(url, RemoteFiles(url))
        if _text(sidecar.prompt_id) and sidecar.prompt_id not in awaited:
            there.prompts[sidecar.prompt_id] = None
        for record in (record for records in sidecar.files.values() for record in records):
            name = _text(record.server_name).replace("\\", "/")
            if not name.startswith(f"{_OURS}/"):
                continue
            path = local.path_of(name, record, is_current) if local is not None and is_loopback(url) else None
            if path is not None and name not in there.local:
                there.local[name] = LocalCopy(path, record.sha256, record if is_current else None)
                there.local_bytes += path.lstat().st_size
            elif path is None and (local is None or url not in local.urls):
                there.files[name] = None
    # What actors had is gone with them.
    return tuple(there for url, there in found.items() if url and not url.startswith(f"{SCHEME}://"))


def remove_local(folder: RunFolder, there: RemoteFiles) -> int:
    """Remove the files on this machine that are what we have collected, and return how many.

    Raises:
        RunFolderError: One cannot be removed.
    """
    count = 0
    for copy in there.local.values():
        # The server's may be the only whole one.
        kept = copy.record is None or folder.has(copy.record)
        try:
            if kept and (sha256_of(copy.path) == copy.sha256 or _is_ours_retold(folder, copy)):
                copy.path.unlink()
                count += 1
        except FileNotFoundError:
            continue
        except OSError as error:
            raise RunFolderError(f"cannot be removed: {reason_of(error)}", where=shown(copy.path)) from error
    return count


def _is_ours_retold(folder: RunFolder, copy: LocalCopy) -> bool:
    """Return whether a file is what we have collected, but for what it says of itself, which recipes may want otherwise."""
    return copy.record is not None and differ_in_texts_alone(copy.path, folder.artifact(copy.record))


def forget_prompts(there: RemoteFiles, engine: Engine) -> Note | None:
    """Take our prompts out of a server's history; return a note where it cannot be reached."""
    prompts = list(there.prompts)
    try:
        for start in range(0, len(prompts), _MOST_AT_ONCE):
            engine.forget(prompts[start : start + _MOST_AT_ONCE])
    except ServerError as error:
        return Note(f"its history stays as it is: {error.problems[0].what}", there.url)
    return None


@dataclass(frozen=True, slots=True)
class _Local:
    """The managed local ComfyUI: its output folder, and where it answers or has last answered."""

    output: Path
    urls: frozenset[str]

    @classmethod
    def of(cls, config: Config) -> _Local | None:
        """Return it; None where there is none."""
        from comfy_runner.engine.local.state_files import read_json  # only here, for what it brings along

        try:
            options = local_options(config)
        except LocalError:
            return None
        output = options.base / "output"
        if not output.is_dir():
            return None
        ports = (read_json(path).get("port") for path in (options.record, options.remembered_port))
        return cls(output, frozenset(f"http://127.0.0.1:{port}" for port in ports))

    def path_of(self, name: str, record: FileRecord, is_current: bool) -> Path | None:
        """Return where a file of this name lies that may be what was collected; None where there is none."""
        path = self.output / name
        if not is_plain_inside(self.output, path):
            return None
        # A PNG may have other texts here than there.
        may_be_retold = is_current and all(str(each).endswith(".png") for each in (name, record.path))
        return path if may_be_retold or path.lstat().st_size == record.size_bytes else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
