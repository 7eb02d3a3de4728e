"""Measuring all pictures of a run, on all cores, each content once: what was measured before is kept in a file beside them.

The numbers themselves come from `metrics`, for which the extra ``comfy-runner[report]`` is needed.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from PIL import Image

from comfy_runner.atomic_files import leftovers, write_atomically
from comfy_runner.check.thresholds import VETO_NAMES
from comfy_runner.errors import UsageError, VerificationError
from comfy_runner.report.extensions import installed_metrics, ruled_out
from comfy_runner.report.measures import NUMBERS, Measured, Measures
from comfy_runner.report.near_copies import Fingerprint, Likeness, find_likeness, fingerprint
from comfy_runner.report.read_pictures import read_rgb
from comfy_runner.report.run_data import ORIGINAL, UPSCALED, Entry, Material
from comfy_runner.store.interface import Artifact, ArtifactStore, checksum
from comfy_runner.store.job_files import JobFiles
from comfy_runner.store.ledger_rows import FileRow
from comfy_runner.store.local import folder_errors
from comfy_runner.store.run_folder import REPORT_FILES
from comfy_runner.store.sidecar import UNREADABLE

if TYPE_CHECKING:
    from comfy_runner.report.metrics import Metric

Progress = Callable[[int, int], None]
"""Is told how many of how many pairs of pictures have been measured."""

EXTRA: Final = "pip install 'comfy-runner[report]'"
"""How what measuring needs is installed."""

_CACHE: Final = "measured.json"
_NEEDED: Final = ("numpy", "scipy", "skimage")
_MOST_KEPT: Final = 64 * 1024 * 1024  # bytes of a cache that is read; one of ours has about 1 KB per picture
_READ_AT_ONCE: Final = 4


@dataclass(frozen=True, slots=True)
class _MeasuredPair:
    """What is known of a pair of pictures, whatever job it belongs to.

    Attributes:
        measures: The numbers; None where they could not be had.
        problem: Why not.
        print: Of the upscaled picture; None where it cannot be read.
        failed: Which metrics of the user's own could not be had, and why. Such a pair is measured again the next time.
    """

    measures: Measures | None
    problem: str
    print: Fingerprint | None
    failed: tuple[str, ...] = ()


def can_measure() -> bool:
    """Return whether what measuring needs is installed."""
    return all(importlib.util.find_spec(name) is not None for name in _NEEDED)


def require_metrics() -> None:
    """Make sure that what measuring needs is installed.

    Raises:
        UsageError: It is not.
    """
    if not can_measure():
        raise UsageError("measuring needs numpy and scikit-image, which are not installed", hint=EXTRA)


def measure_all(
    material: Material, *, custom: Mapping[str, Metric] | None = None, progress: Progress | None = None
) -> tuple[dict[str, Measured], tuple[str, ...]]:
    """Return what there is to say of each entry's first original and first upscaled picture, by its name.

    Second come the metrics and checks of installed packages that failed, and why; each is left out where it did.

    Args:
        material: The run.
        custom: Metrics of the user's own, by name; None for those that installed packages announce.
        progress: Told how many of how many pairs have been measured; not called where all are known.

    Raises:
        UsageError: An announced metric or check cannot be used.
        RunFolderError: What was measured cannot be written down.
    """
    custom = installed_metrics() if custom is None else custom
    pairs = {entry.name: _keyed(material, entry, custom) for entry in material.entries}
    cache = material.folder / REPORT_FILES / _CACHE
    known = _read(cache)
    todo = {name: entry for entry in material.entries if (name := pairs[entry.name]) and name not in known}
    try:
        for number, (name, found) in enumerate(_measured(material, todo, custom), start=1):
            known[name] = found
            if progress is not None:
                progress(number, len(todo))
    finally:
        # What was measured before an interruption need not be measured again.
        kept = {name: known[name] for name in pairs.values() if name in known}
        if todo or kept.keys() != known.keys():
            with folder_errors(cache):
                for leftover in leftovers(cache) if cache.parent.is_dir() else ():
                    leftover.unlink(missing_ok=True)
                write_atomically(cache, _dumped({name: found for name, found in kept.items() if not found.failed}))
    failed = dict.fromkeys(problem for found in kept.values() for problem in found.failed)
    judged, broken = ruled_out(material, _told(material, {entry: kept[name] for entry, name in pairs.items() if name}))
    return judged, (*failed, *broken)


def _keyed(material: Material, entry: Entry, custom: Mapping[str, Metric]) -> str:
    """Return what a measurement depends on, as a text; empty where there is nothing to measure."""
    from comfy_runner.report.metrics import VERSION

    hashes = [_hash(material.store, row) for row in entry.pair()]
    return "" if not hashes else " ".join([str(VERSION), *hashes, *sorted(custom)]) if all(hashes) else ""


def _hash(store: ArtifactStore, row: FileRow) -> str:
    """Return a file's SHA-256, which the ledger knows unless somebody has changed the file since; empty if it is gone."""
    try:
        return row.sha256 if JobFiles(store).is_untouched(row) else checksum(store, row.path)
    except OSError:
        return ""


def _measured(material: Material, todo: Mapping[str, Entry], custom: Mapping[str, Metric]) -> Iterator[tuple[str, _MeasuredPair]]:
    if not todo:
        return
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    with ThreadPoolExecutor(cores, thread_name_prefix="measure") as pool:
        futures = {
            name: pool.submit(_measure, [material.artifact(row) for row in entry.pair()], custom) for name, entry in todo.items()
        }
        try:
            for name, future in futures.items():
                yield name, future.result()
        finally:
            for future in futures.values():
                future.cancel()


def _measure(pair: Sequence[Artifact], custom: Mapping[str, Metric]) -> _MeasuredPair:
    from comfy_runner.report.metrics import measure

    original, upscaled = pair
    failed: list[str] = []
    try:
        measures = measure(original, upscaled, custom={name: _guarded(name, metric, failed) for name, metric in custom.items()})
        return _MeasuredPair(measures, "", fingerprint(read_rgb(upscaled)), tuple(failed))
    except VerificationError as error:
        return _MeasuredPair(None, error.problems[0].what, None)


def _guarded(name: str, metric: Metric, failed: list[str]) -> Metric:
    """Return a metric that gives no number where the user's raises or gives none, and says so: the others are still wanted."""

    def guarded(original: Any, plain: Any, upscaled: Any) -> float:
        try:
            value = float(metric(original, plain, upscaled))
        except Exception as error:  # whatever a foreign function raises
            failed.append(f"metric {name} failed ({type(error).__name__}: {error})")
            return math.nan
        if not math.isfinite(value):
            failed.append(f"metric {name} gave no number (got {value})")
        return value

    return guarded


def _told(material: Material, found: Mapping[str, _MeasuredPair]) -> dict[str, Measured]:
    likeness = _likeness(material, {job_id: one.print for job_id, one in found.items() if one.print is not None})
    measured = {}
    for entry in material.entries:
        one, like = found.get(entry.name), likeness.get(entry.name, Likeness())
        measured[entry.name] = (
            Measured(measures=one.measures, problem=one.problem, same_as=like.same_as, close_to=like.close_to)
            if one is not None
            else Measured(measures=None, problem=_missing(material.store, entry))
        )
    return measured


def _missing(store: ArtifactStore, entry: Entry) -> str:
    for role in (ORIGINAL, UPSCALED):
        row = entry.picture(role)
        if row is None:
            return f"has no {entry.output if role == UPSCALED else role} picture"
        if store.stat(row.path) is None:
            return f"its {entry.output if role == UPSCALED else role} picture is gone"
    return "its pictures cannot be read"


def _likeness(material: Material, prints: Mapping[str, Fingerprint]) -> dict[str, Likeness]:
    groups: dict[str, list[str]] = {}
    pictures: dict[str, Artifact] = {}
    for entry in material.entries:
        if entry.name in prints:
            original, upscaled = entry.pair()
            groups.setdefault(original.sha256, []).append(entry.name)
            pictures[entry.name] = material.artifact(upscaled)

    @lru_cache(maxsize=_READ_AT_ONCE)
    def read(job_id: str) -> Image.Image:
        return read_rgb(pictures[job_id])

    return find_likeness(prints, list(groups.values()), read)


def _dumped(known: Mapping[str, _MeasuredPair]) -> bytes:
    return json.dumps({name: asdict(found) for name, found in known.items()}, allow_nan=False, default=bytes.hex).encode()


def _read(path: Path) -> dict[str, _MeasuredPair]:
    """Return what was measured before; nothing where the file is missing or makes no sense."""
    try:
        if path.stat().st_size > _MOST_KEPT:
            return {}
        data = json.loads(path.read_bytes())
        return {str(name): _found(values) for name, values in data.items()}
    except (OSError, *UNREADABLE):
        return {}


def _found(values: Mapping[str, Any]) -> _MeasuredPair:
    numbers, prints = values["measures"], values["print"]
    measures = None
    if numbers is not None:
        measures = Measures(
            **{name: _finite(numbers[name]) for name in NUMBERS},
            vetoes=tuple(veto for veto in numbers["vetoes"] if veto in VETO_NAMES),
            extra={str(name): _finite(value) for name, value in numbers["extra"].items()},
        )
    if prints is not None:
        width, height = prints["size"]
        prints = Fingerprint(str(prints["pixels"]), (int(width), int(height)), bytes.fromhex(prints["small"]))
    return _MeasuredPair(measures, str(values["problem"]), prints)


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError("not a number")
    return number
