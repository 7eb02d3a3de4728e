"""A finished job that lies at a URL, as files of this machine for as long as it is looked at."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from comfy_runner.errors import UsageError
from comfy_runner.store.filesystem import checked
from comfy_runner.store.interface import Artifact
from comfy_runner.store.job_files import SIDECAR, JobFiles
from comfy_runner.store.local import folder_errors
from comfy_runner.store.media_types import PICTURES, suffix_of
from comfy_runner.store.registry import local_part, open_store
from comfy_runner.text_files import local_path, on_one_line, scheme_of

_GIVE = "give the URL of a finished job, of its job.json, or of a picture"


@contextmanager
def fetched(source: Path | str) -> Iterator[Path]:
    """Give the path of a job or a picture; what lies at a URL is fetched before, and gone afterwards.

    Args:
        source: A path, or the URL of a job in a run folder, of its ``job.json``, or of a picture.

    Raises:
        UsageError: It is the URL of something else, or no installed package has a store for it.
        RunFolderError: The store cannot be read, or the sidecar is damaged.
    """
    scheme = scheme_of(source)
    if scheme in ("", "file"):
        yield local_path(source) if not scheme else local_part(source)
        return
    with tempfile.TemporaryDirectory(prefix="comfy-runner-") as folder:
        yield _fetch(checked(str(source)), Path(folder))


def _fetch(url: str, folder: Path) -> Path:
    above, _, name = url.rpartition("/")
    is_file = name == SIDECAR or suffix_of(name) in PICTURES
    run, _, job_id = (above if is_file else url).rpartition("/")
    if not run.partition("://")[2].strip("/"):
        raise UsageError("is neither a finished job nor a picture", where=on_one_line(url), hint=_GIVE)
    files = JobFiles(open_store(run))
    # Messages call what is below such a folder by its URL.
    root = folder / quote(run, safe="")
    sidecar = files.sidecar(job_id)
    if sidecar is None and (not is_file or name == SIDECAR):
        inside = next((key for key in files.store.list(f"{job_id}/") if key.endswith(f"/{SIDECAR}")), None)
        named = f"{run}/{inside.removesuffix(f'/{SIDECAR}')}" if inside else ""
        raise UsageError("no such job", where=on_one_line(url), hint=f"name one, such as {on_one_line(named)}" if named else _GIVE)
    wanted = [f"{job_id}/{name}"] if is_file else []
    if sidecar is not None:
        recorded = [record.path for records in sidecar.files.values() for record in records if not record.problem]
        # What was replaced lies below its job.
        wanted += [files.sidecar_key(job_id), *recorded, *(f"{job_id}/{key}" for key in recorded)]
    for key in dict.fromkeys(wanted):
        artifact, target = Artifact(files.store, key), root / key
        with folder_errors(artifact), suppress(FileNotFoundError), artifact.open() as content:
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as copy:
                shutil.copyfileobj(content, copy)
    return root / job_id / name if is_file else root / job_id
