"""The axes of a run as people name them: found by full or short name, shown by the shortest that says which is meant."""

from __future__ import annotations

from comfy_runner.errors import UsageError
from comfy_runner.hints import did_you_mean
from comfy_runner.report.run_data import Axis, Material

DENOISE = "upscale.denoise"
"""The field that this program is about, and the axis that is meant where none is named."""


def find_axis(material: Material, name: str, where: str = "") -> Axis:
    """Return the axis that a user means: by its field, or by the end of it (``denoise``), as long as only one ends so.

    Args:
        material: The run.
        name: What the user wrote; letter case and blanks around it do not count.
        where: What it was written for, such as ``--columns``, for the error.

    Raises:
        UsageError: No axis is called so, or several are.
    """
    wanted = name.strip().casefold()
    fields = {axis.field.casefold(): axis for axis in material.axes}
    if wanted in fields:
        return fields[wanted]
    found = [axis for field, axis in fields.items() if wanted and field.endswith(f".{wanted}")]
    if len(found) == 1:
        return found[0]
    if found:
        names = " or ".join(axis.field for axis in found)
        raise UsageError(f"can be several axes (got {name})", where=where, hint=f"write {names}")
    if not material.axes:
        raise UsageError(f"is no axis of this run, whose jobs differ in nothing (got {name})", where=where)
    known = [axis.field for axis in material.axes]
    short = [short_name(material, axis) for axis in material.axes]
    # Somebody who misspells a short name is nearer to the short one than to the full one.
    hint = did_you_mean(name, dict.fromkeys([*short, *known]))
    raise UsageError(f"is no axis of this run (got {name})", where=where, hint=hint.replace("known are", "its axes are"))


def main_axis(material: Material) -> Axis | None:
    """Return the axis that is looked at where none is named: `DENOISE`, else the last one; None where nothing was swept."""
    return next((axis for axis in material.axes if axis.field == DENOISE), material.axes[-1] if material.axes else None)


def short_name(material: Material, axis: Axis) -> str:
    """Return the last part of an axis' field, or all of it where another axis ends in the same."""
    last = axis.field.rpartition(".")[2]
    others = [other.field.rpartition(".")[2] for other in material.axes if other.field != axis.field]
    # The last part of a list's item is a number, which says nothing.
    return axis.field if last in others or last.isdecimal() else last
