"""Limits that agree with a person's eyes, fitted to the picks of finished runs. Nothing is rendered, or kept unasked."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from comfy_runner.errors import UsageError
from comfy_runner.report.calibrations import Calibration, checkpoints_of, limits_kept_for
from comfy_runner.report.measure_run import measure_all, require_metrics
from comfy_runner.report.picked import DESCRIBED, current_picks, replaced_note
from comfy_runner.report.picks import FILE
from comfy_runner.report.preferences import Preference, preferences
from comfy_runner.report.run_data import read_material
from comfy_runner.report.suggest import Limits
from comfy_runner.store.registry import local_part
from comfy_runner.text_files import shown


def calibrate(run_folders: Path | str | Sequence[Path | str], *, progress: Callable[[int, int], None] | None = None) -> Calibration:
    """Return limits for suggestions that agree with a person's picks; `keep_calibration` keeps them.

    Args:
        run_folders: One or several run folders, or their URLs, each with a ``picks.json`` (docs/choosing.md).
        progress: Called with the number of pairs measured so far in the current run, and with their total; None for nothing.

    Raises:
        InputError: A run has no picks, or faulty ones; no two pictures are compared; or a package that measuring or calibrating
            needs is not installed.
        RunFolderError: The folder is not a run folder, or cannot be read.
    """
    several = [run_folders] if isinstance(run_folders, (Path, str)) else run_folders
    folders = [local_part(folder) for folder in several]
    require_metrics()
    if importlib.util.find_spec("scipy") is None:
        raise UsageError("calibrating needs scipy, which is not installed", hint="pip install 'comfy-runner[picks]'")
    from comfy_runner.report.calibrate import calibrate as fit

    pairs: list[Preference] = []
    notes: list[str] = []
    for folder in dict.fromkeys(folders):
        material = read_material(folder)
        picks, replaced = current_picks(material)
        measured, _ = measure_all(material, progress=progress)
        found, left_out = preferences(measured, picks)
        pairs += found
        notes += [f"{shown(folder / FILE)}: {note}" for note in (replaced_note(replaced), *left_out) if note]
    if all(pair.is_same for pair in pairs):
        what = "it does not rank any two pictures of one original"
        raise UsageError("; ".join([what, *notes]), where=", ".join(shown(folder / FILE) for folder in folders), hint=DESCRIBED)
    return replace(fit(pairs), runs=tuple(folders), notes=tuple(notes))


def kept_limits(run_folder: Path | str) -> Limits:
    """Return the limits that `keep_calibration` has kept for a run's checkpoints, or the defaults if there are none.

    Args:
        run_folder: The folder of a run, which may be in use.

    Raises:
        ConfigError: The file of kept calibrations is damaged.
        RunFolderError: The folder is not a run folder, or cannot be read.
    """
    return limits_kept_for(lambda: checkpoints_of(read_material(local_part(run_folder))))
