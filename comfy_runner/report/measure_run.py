"""Measuring all pictures of a run, on all cores, each content once: what was measured before is kept in a file beside them.

The numbers themselves come from `metrics`, for which the extra ``comfy-runner[report]`` is needed. Installed packages add metrics,
and checks that rule pictures out; docs/metrics.md has an example of each.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from PIL import Image
from pydantic import ConfigDict, TypeAdapter

from comfy_runner.atomic_files import open_plain, remove_leftovers, write_atomically
from comfy_runner.check.interface import Check, Output, failures, installed_checks
from comfy_runner.check.thresholds import VETO_NAMES
from comfy_runner.errors import UsageError, VerificationError
from comfy_runner.plugins import METRICS, plugins
from comfy_runner.report.measures import NUMBERS, Measured, Measures, looks_alike
from comfy_runner.report.near_copies import Fingerprint, find_near_copies, fingerprint
from comfy_runner.report.read_pictures import read_rgb
from comfy_runner.report.run_data import ORIGINAL, UPSCALED, Entry, Material, sidecar_of
from comfy_runner.store.interface import ArtifactStore, checksum
from comfy_runner.store.job_files import JobFiles
from comfy_runner.store.ledger_rows import FileRow
from comfy_runner.store.local import folder_errors
from comfy_runner.store.run_folder import REPORT_FILES
from comfy_runner.wording import counted

if TYPE_CHECKING:
    from comfy_runner.report.metrics import Metric

Progress = Callable[[int, int], None]
"""Is told how many of how many pairs of pictures have been measured."""

EXTRA: Final = "pip install 'comfy-runner[report]'"
"""How what measuring needs is installed."""

_CACHE: Final = "measured.json"
_MOST_KEPT: Final = 64 * 1024 * 1024  # bytes of a cache that is read; one of ours has about 1 KB per picture


_KNOWN: Final = TypeAdapter(dict[str, Measured], config=ConfigDict(allow_inf_nan=False))
"""What is kept in the file, by what it depends on."""


def can_measure() -> bool:
    """Return whether what measuring needs is installed."""
    return importlib.util.find_spec("numpy") is not None


def require_metrics() -> None:
    """Make sure that what measuring needs is installed.

    Raises:
        UsageError: It is not.
    """
    if not can_measure():
        raise UsageError("measuring needs numpy, which is not installed", hint=EXTRA)


def measure_all(
    material: Material, *, custom: Mapping[str, Metric] | None = None, progress: Progress | None = None
) -> tuple[dict[str, Measured], tuple[str, ...]]:
    """Return what there is to say of each entry's original and upscaled picture, the first of several, by its name.

    Second come notes: of which jobs not all pictures are measured, and which metrics and checks of installed packages failed.

    Args:
        material: The run.
        custom: Metrics of the user's own, by name; None for the second opinion and those that installed packages announce.
        progress: Told how many of how many pairs have been measured; not called where all are known.

    Raises:
        UsageError: An announced metric or check cannot be used.
        RunFolderError: What was measured cannot be written down.
    """
    custom = _usual_metrics() if custom is None else custom
    checks = installed_checks()
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
                remove_leftovers(cache)
                write_atomically(cache, _KNOWN.dump_json({name: found for name, found in kept.items() if not found.failed}))
    failed = dict.fromkeys(problem for found in kept.values() for problem in found.failed)
    told = _told(material, {entry: kept[name] for entry, name in pairs.items() if name}, checks, failed)
    return told, (*_several(material), *failed)


def is_measured(material: Material) -> bool:
    """Return whether there are pictures to measure, and all is known of them, so that `measure_all` tells it at once.

    Args:
        material: The run.

    Raises:
        UsageError: An announced metric cannot be used.
    """
    if not can_measure():
        return False
    custom = _usual_metrics()
    needed = {_keyed(material, entry, custom) for entry in material.entries} - {""}
    return bool(needed) and needed <= _read(material.folder / REPORT_FILES / _CACHE).keys()


def _usual_metrics() -> Mapping[str, Metric]:
    from comfy_runner.report.metrics.ssimulacra import second_opinion

    return {**second_opinion(), **plugins(METRICS, "metric", taken=NUMBERS)}


def _several(material: Material) -> Iterator[str]:
    """Yield a note on jobs of which more pictures could be measured than the first."""
    jobs = {entry.job_id for entry in material.entries if entry.pair() and len(entry.pictures[UPSCALED]) > 1}
    if jobs:
        yield f"{counted(len(jobs), 'job')} with several upscaled pictures: only the first of them is measured"


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


def _read(path: Path) -> dict[str, Measured]:
    """Return what was measured before; nothing where the file is missing or makes no sense."""
    try:
        with open_plain(path) as file:
            content = file.read(_MOST_KEPT + 1)
        known = _KNOWN.validate_json(content) if len(content) <= _MOST_KEPT else {}
    except (OSError, ValueError):
        return {}
    return {name: found for name, found in known.items() if found.measures is None or VETO_NAMES.issuperset(found.measures.vetoes)}


def _measured(material: Material, todo: Mapping[str, Entry], custom: Mapping[str, Metric]) -> Iterator[tuple[str, Measured]]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    pool = ThreadPoolExecutor(cores, thread_name_prefix="measure")
    try:
        yield from zip(todo, pool.map(lambda entry: _measure(material, entry, custom), todo.values()), strict=True)
    finally:
        pool.shutdown(cancel_futures=True)


def _measure(material: Material, entry: Entry, custom: Mapping[str, Metric]) -> Measured:
    from comfy_runner.report.metrics import measure

    original, upscaled = map(material.artifact, entry.pair())
    failed: list[str] = []
    try:
        measures = measure(original, upscaled, custom=custom, failed=failed)
        first, second = (fingerprint(read_rgb(picture)) for picture in (original, upscaled))
        return Measured(measures=measures, original=first.pixels, print=second, failed=tuple(failed))
    except VerificationError as error:
        return Measured(measures=None, problem=error.problems[0].what)


def _told(
    material: Material, found: Mapping[str, Measured], checks: Mapping[str, Check], failed: dict[str, None]
) -> dict[str, Measured]:
    """Return what there is to say of each entry, with what checks find wrong as further vetoes; add those that failed."""
    same, close = _near_copies(material, found)
    told = {}
    for entry in material.entries:
        one = found.get(entry.name) or Measured(measures=None, problem=_missing(material.store, entry))
        measures = one.measures
        if measures is not None and checks:
            wrong = _wrong(output_of(material, entry, measures), checks, failed)
            measures = replace(measures, vetoes=(*measures.vetoes, *wrong))
        told[entry.name] = replace(one, measures=measures, same_as=same.get(entry.name, ""), close_to=close.get(entry.name, ""))
    return told


def _missing(store: ArtifactStore, entry: Entry) -> str:
    for role in (ORIGINAL, UPSCALED):
        row, name = entry.picture(role), entry.output if role == UPSCALED else role
        if row is None:
            return f"has no {name} picture"
        if store.stat(row.path) is None:
            return f"its {name} picture is gone"
    return "its pictures cannot be read"


def output_of(material: Material, entry: Entry, measures: Measures | None) -> Output:
    """Return what checks are given of an entry.

    Args:
        material: The run.
        entry: The entry.
        measures: What was measured of it; None where nothing was.
    """
    sidecar = sidecar_of(JobFiles(material.store), entry.job_id)
    return Output(
        job_id=entry.job_id,
        role=entry.output,
        record=next(iter(sidecar.files.get(entry.output, ())[entry.number - 1 :]), None) if sidecar else None,
        metrics={} if measures is None else {**{name: getattr(measures, name) for name in NUMBERS}, **measures.extra},
        values=entry.values,
    )


def _wrong(output: Output, checks: Mapping[str, Check], failed: dict[str, None]) -> Iterator[str]:
    """Yield what checks find wrong with an output, and note which of them failed: the others are still wanted."""
    for name, check in checks.items():
        try:
            yield from [found.label for found in failures(output, [check])]
        except Exception as error:  # whatever a foreign function raises
            failed[f"check {name} failed ({type(error).__name__}: {error})"] = None


def _near_copies(material: Material, found: Mapping[str, Measured]) -> tuple[dict[str, str], dict[str, str]]:
    prints: dict[str, Fingerprint] = {}
    groups: dict[str, list[str]] = {}
    pictures: dict[str, FileRow] = {}
    for entry in material.entries:
        one = found.get(entry.name)
        if one is not None and one.print is not None:
            prints[entry.name], pictures[entry.name] = one.print, entry.pair()[1]
            groups.setdefault(one.original, []).append(entry.name)

    def read(name: str) -> Image.Image:
        return read_rgb(material.artifact(pictures[name]))

    def alike(one: str, other: str) -> bool:
        this, that = found[one].measures, found[other].measures
        return this is not None and that is not None and looks_alike(this, that)

    return find_near_copies(prints, groups.values(), read, alike)
