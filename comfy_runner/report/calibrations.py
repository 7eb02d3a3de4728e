"""Calibrations that the user keeps: limits that agree with their eyes, each for the checkpoints whose names match a pattern.

They are in ``calibrations.json``, beside the config file. Where no limits are given, `suggest`, `report` and `find` take them from
there and say so; what decides whether a run passes (`check`, `gates`) never does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from comfy_runner.atomic_files import open_plain, write_atomically
from comfy_runner.config import calibrations_file
from comfy_runner.errors import ConfigError, UsageError, VerificationError
from comfy_runner.report.measure_run import can_measure
from comfy_runner.report.run_data import Material, sidecar_of
from comfy_runner.report.suggest import LIMITED, Limits
from comfy_runner.store.job_files import JobFiles
from comfy_runner.text_files import on_one_line, reason_of, shown
from comfy_runner.wording import MIB, counted, named, now
from comfy_runner.yaml_loader import got

CHECKPOINT: Final = "checkpoint"
"""The recipe field that a calibration is kept by."""

_MOST_BYTES: Final = MIB
_LONGEST_PATTERN: Final = 500
_STRICT = ConfigDict(strict=True, extra="forbid", frozen=True)
_ANEW: Final = "calibrate again: comfy-runner suggest --calibrate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Limits that agree with a person's eyes as far as the pairs tell, and how well they do.

    Attributes:
        limits: The limits, and what drift costs.
        ranges: Where each is likely to lie, by its name in `Limits`; docs/metrics.md says how likely.
        compared: How many pairs were compared.
        implied: How many pairs follow from stars.
        opinions: How many opinions all of these count as.
        originals: How many originals they are of.
        usual_agreement: The share of pairs, of originals left out, that the usual limits order as the person did; None where there
            are too few originals for that.
        agreement: That of the limits that were fitted to the others; likewise.
        problem: Why they are not to be kept, a sentence; empty where they can be.
        runs: The run folders that the pairs are from.
        notes: What was left out, a sentence each.
    """

    limits: Limits
    ranges: Mapping[str, tuple[float, float]]
    compared: int
    implied: int
    opinions: float
    originals: int
    usual_agreement: float | None
    agreement: float | None
    problem: str
    runs: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()


class KeptCalibration(BaseModel):
    """A calibration that the user has kept.

    Attributes:
        checkpoints: A pattern that the checkpoints' names match, such as ``*xl*``; letter case does not count, ``*`` is all.
        drift: As in `Limits`.
        local_drift: Likewise.
        colour_shift: Likewise.
        drift_cost: Likewise.
        opinions: How many pairs it rests on, as `Calibration.opinions`.
        originals: How many originals those are of.
        agreement: The share of pairs that it predicted, of originals left out.
        usual_agreement: The share that the usual limits did.
        metrics: The version of the metrics that it was made with.
        made: When, ISO 8601 with offset.
    """

    model_config = _STRICT

    checkpoints: str = Field(min_length=1, max_length=_LONGEST_PATTERN)
    drift: float = Field(gt=0, le=2, allow_inf_nan=False)
    local_drift: float = Field(gt=0, le=10, allow_inf_nan=False)
    colour_shift: float = Field(gt=0, allow_inf_nan=False)
    drift_cost: float = Field(ge=0, allow_inf_nan=False)
    opinions: float
    originals: int
    agreement: float
    usual_agreement: float
    metrics: int
    made: str

    def limits(self) -> Limits:
        """Return its limits."""
        return Limits(**{name: getattr(self, name) for name in (*LIMITED, "drift_cost")}, calibration=self.checkpoints)

    def is_for(self, checkpoints: Iterable[str]) -> bool:
        """Return whether it is for all of these checkpoints."""
        pattern = self.checkpoints.casefold()
        return all(fnmatchcase(name.casefold(), pattern) for name in checkpoints)


class _File(BaseModel):
    model_config = _STRICT

    format: Literal[1] = 1
    calibrations: tuple[KeptCalibration, ...] = ()


def limits_kept_for(checkpoints: Callable[[], Iterable[str]]) -> Limits:
    """Return the limits that the user keeps for some checkpoints; the usual ones where none are kept for all of them.

    Of several calibrations that match, the one with the longest pattern counts. One that other metrics were used for does not.

    Args:
        checkpoints: Returns the checkpoints' names; not called where nothing is kept.

    Raises:
        ConfigError: The file of calibrations is damaged.
    """
    kept = _read(calibrations_file())
    if not kept or not can_measure():
        return Limits()
    names, version = list(checkpoints()), _metrics_version()
    found = [each for each in kept if each.metrics == version and each.is_for(names)]
    return max(found, key=lambda each: len(each.checkpoints)).limits() if found else Limits()


def checkpoints_of(material: Material) -> list[str]:
    """Return the checkpoints that a run's pictures were rendered with, as its recipes name them."""
    axis = next((axis for axis in material.axes if axis.field == CHECKPOINT), None)
    if axis is not None:
        return [name for name in axis.values if isinstance(name, str)]
    files = JobFiles(material.store)
    found: dict[str, str] = {}
    for entry in material.entries:
        # Jobs of one recipe that do not differ in it have the same.
        if entry.row.recipe not in found and (sidecar := sidecar_of(files, entry.job_id)):
            found[entry.row.recipe] = str(sidecar.recipe.get(CHECKPOINT) or "")
    return list(found.values())


def keep_calibration(calibration: Calibration, checkpoints: str = "*") -> Path:
    """Keep a calibration, in the place of an earlier one for the same checkpoints, and return the file.

    Args:
        calibration: What `calibrate` has found.
        checkpoints: A pattern that the checkpoints' names are to match, such as ``*xl*``; letter case does not count, ``*`` is all.

    Raises:
        VerificationError: It agrees with the person no better than the usual limits, or too little is known of that.
        ConfigError: The file is damaged or cannot be written, or the user has no config folder.
        UsageError: It is no such pattern.
    """
    if not checkpoints.strip() or len(checkpoints) > _LONGEST_PATTERN or not checkpoints.isprintable():
        raise UsageError(
            f"must be a pattern of checkpoints (got {got(checkpoints)})", where="--models", hint="write for example '*xl*'"
        )
    if calibration.problem or calibration.agreement is None or calibration.usual_agreement is None:
        raise VerificationError(f"the calibration is not kept: {calibration.problem}", hint="compare more pictures")
    path = calibrations_file()
    if path is None:
        raise ConfigError("there is no config folder to keep a calibration in", hint="name one: export COMFY_RUNNER_CONFIG=…")
    one = KeptCalibration(
        checkpoints=checkpoints,
        **calibration.limits.most(),
        drift_cost=calibration.limits.drift_cost,
        opinions=calibration.opinions,
        originals=calibration.originals,
        agreement=round(calibration.agreement, 4),
        usual_agreement=round(calibration.usual_agreement, 4),
        metrics=_metrics_version(),
        made=now(),
    )
    others = [each for each in _read(path) if each.checkpoints.casefold() != checkpoints.casefold()]
    text = json.dumps(_File(calibrations=(*others, one)).model_dump(), ensure_ascii=False, indent=2) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text.encode())
    except OSError as error:
        raise ConfigError(f"cannot be written ({reason_of(error)})", where=shown(path)) from None
    return path


def told_limits(limits: Limits) -> str:
    """Return a sentence on limits that come from a calibration; empty for others."""
    if not limits.calibration:
        return ""
    cost = f", each drift of 0.1 costs {limits.drift_cost / 10:.2g} of detail" if limits.drift_cost else ""
    most = ", ".join(f"{name.replace('_', ' ')} at most {value:g}" for name, value in limits.most().items())
    pattern = "" if limits.calibration == "*" else f" for checkpoints like {on_one_line(limits.calibration, longest=100)}"
    return f"limits calibrated by your own picks{pattern}: {most}{cost} (--no-calibration: the usual ones)"


def outdated_note() -> str:
    """Return a sentence on kept calibrations that do not count, since the metrics have changed; empty where all of them do.

    Raises:
        ConfigError: The file of calibrations is damaged.
    """
    kept = _read(calibrations_file())
    old = [on_one_line(each.checkpoints, longest=100) for each in kept if can_measure() and each.metrics != _metrics_version()]
    one, many = "calibration does not count, because it was", "calibrations do not count, because they were"
    return f"{counted(len(old), one, many)} made with other metrics ({named(old)}): {_ANEW}" if old else ""


def _metrics_version() -> int:
    # It needs the extra.
    from comfy_runner.report.metrics import VERSION

    return VERSION


def _read(path: Path | None) -> Sequence[KeptCalibration]:
    if path is None:
        return ()
    try:
        with open_plain(path) as file:
            content = file.read(_MOST_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot be read ({reason_of(error)})", where=shown(path)) from None
    try:
        return _File.model_validate_json(content).calibrations
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place, said = ".".join(map(str, first["loc"])), first["msg"]
        hint = f"repair it, or delete it and {_ANEW}"
        raise ConfigError(
            f"is damaged ({on_one_line(f'{place}: {said}' if place else said)})", where=shown(path), hint=hint
        ) from None
