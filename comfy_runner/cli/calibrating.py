"""``comfy-runner suggest --calibrate``: limits that agree with a person's picks, as people and programs read them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from comfy_runner.cli.formatting import aligned
from comfy_runner.cli.output import print_json, print_lines, print_notes, say
from comfy_runner.errors import Note
from comfy_runner.text_files import shown
from comfy_runner.wording import counted

if TYPE_CHECKING:
    from comfy_runner.report.calibrations import Calibration
    from comfy_runner.report.suggest import Limits


def print_calibration(found: Calibration, *, keep: bool, checkpoints: str, as_json: bool) -> None:
    """Print calibrated limits, and keep them where that is asked for.

    Args:
        found: The limits, and how well they agree with a person.
        keep: Whether they are kept.
        checkpoints: The pattern of the checkpoints that they are kept for.
        as_json: Whether one JSON object is printed instead of a table.

    Raises:
        ComfyRunnerError: They cannot be kept.
    """
    from comfy_runner import api
    from comfy_runner.cli.json_records import to_json

    print_notes(map(Note, found.notes))
    if not as_json:
        print_lines(_lines(found, api.Limits()))
    path = api.keep_calibration(found, checkpoints) if keep else None
    if as_json:
        print_json({**to_json(found), "usual": to_json(api.Limits()), "kept": None if path is None else str(path)})
    elif path is not None:
        say(f"kept in {shown(path)}: suggest, report and find use it from now on")
    elif found.problem:
        print_notes([Note(found.problem)])
    else:
        # No option says what drift costs.
        once = "" if found.limits.drift_cost else f"; to use it once: {_options(found.limits)}"
        say(f"nothing is kept; --keep would keep it{once}")


def _lines(found: Calibration, usual: Limits) -> Iterator[str]:
    numbers = [*usual.most(), "drift_cost"]
    rows = [("", "usual", "yours", "likely range")]
    for name in numbers:
        low, high = found.ranges[name]
        label = "cost of a drift of 1" if name == "drift_cost" else name.replace("_", " ")
        rows.append((label, f"{getattr(usual, name):g}", f"{getattr(found.limits, name):g}", f"{low:g} to {high:g}"))
    yield from aligned(rows)
    yield ""
    parts = [f"{found.compared} compared"] if found.compared else []
    if found.implied:
        parts.append(f"{found.implied} by their stars")
    yield (
        f"{counted(found.compared + found.implied, 'pair')} ({', '.join(parts)}) of {counted(found.originals, 'original')}, "
        f"which count as {found.opinions:g}"
    )
    if found.agreement is not None and found.usual_agreement is not None:
        yield (
            f"of originals left out, the usual limits order {found.usual_agreement:.0%} of the pairs as you do, "
            f"limits fitted to the others {found.agreement:.0%}"
        )


def _options(limits: Limits) -> str:
    return " ".join(f"--max-{name.replace('_', '-')} {value:g}" for name, value in limits.most().items())
