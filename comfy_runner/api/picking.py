"""A person's picks of a run's pictures: read, extended, copied. Nothing is rendered, and no server is asked."""

from __future__ import annotations

from pathlib import Path

from comfy_runner.errors import InputError, UsageError
from comfy_runner.report.copied_picks import copy_pictures
from comfy_runner.report.picked import RunPicks, read_run_picks
from comfy_runner.report.picks import MOST_BYTES
from comfy_runner.report.run_data import read_material
from comfy_runner.report.saved_picks import SavedPicks, save_picks
from comfy_runner.store.registry import local_part
from comfy_runner.text_files import local_path, reason_of, shown


def picks(run_folder: Path | str) -> RunPicks:
    """Return the picks in a run's ``picks.json``, except those of pictures that have since been rendered again.

    Args:
        run_folder: The folder of a run, which may be in use, or its URL.

    Raises:
        UsageError: The run has no ``picks.json``.
        InputError: Something in it is wrong.
        RunFolderError: The folder is not a run folder, or cannot be read.
    """
    return read_run_picks(read_material(local_part(run_folder)))


def import_picks(run_folder: Path | str, file: Path | str) -> SavedPicks:
    """Add the picks of a file, such as one that the page has downloaded, to a run's ``picks.json``.

    Args:
        run_folder: The folder of the run, which may be in use, or its URL.
        file: The file.

    Raises:
        InputError: The file cannot be read, or it or the run's own ``picks.json`` is faulty; then nothing is changed.
        RunFolderError: The folder is not a run folder, or cannot be written.
    """
    path = local_path(file)
    try:
        with path.open("rb") as opened:
            content = opened.read(MOST_BYTES + 1)
    except OSError as error:
        raise InputError(f"cannot be read ({reason_of(error)})", where=shown(path)) from None
    return save_picks(read_material(local_part(run_folder)), content, where=shown(path))


def copy_picks(run_folder: Path | str, target: Path | str, *, least: int = 1) -> tuple[Path, ...]:
    """Copy the picked pictures of a run into a folder, each named after its job, and return the copies.

    No file is overwritten: existing copies stay, and if another file has one of the names, nothing is copied.

    Args:
        run_folder: The folder of the run, which may be in use, or its URL.
        target: The folder; it is created if needed.
        least: The fewest stars of a picture that is copied, from 1 to 5; rejected pictures are left out.

    Raises:
        UsageError: The run has no ``picks.json``, no picture has enough stars, or another file is in the way.
        InputError: Something in ``picks.json`` is wrong.
        VerificationError: A picture has changed since it was collected.
        RunFolderError: The folder is not a run folder, a picture cannot be read, or the target cannot be written.
    """
    material = read_material(local_part(run_folder))
    chosen = read_run_picks(material).best(least)
    if not chosen:
        raise UsageError(f"no picture has {least} stars or more", where=shown(material.folder))
    return copy_pictures(material, chosen, local_path(target))
