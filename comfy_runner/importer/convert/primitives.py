"""PrimitiveNodes: nodes of the page whose value takes the place of the controls that they are linked to."""

from __future__ import annotations

import math
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from comfy_runner.graph.object_info import InputInfo
from comfy_runner.importer.convert.page_graph import PageNode

_LEAST, _MOST, _FLOAT_STEP = 0, 2048, 0.5  # of the page, for numbers of which the server says nothing

_LARGEST, _FINEST = 2**53, 1e-9  # beyond them doubles have no steps to speak of


def primitive_value(node: PageNode) -> tuple[Any, bool]:
    """Return what a PrimitiveNode says, and whether it says anything: files of copied nodes may have no value."""
    values = node.values
    return (values[0], True) if isinstance(values, tuple) and values else (None, False)


def steps_of(wanted: InputInfo | None) -> tuple[object, ...]:
    """Return what the page rounds a value by that goes to an input; the same for inputs that take the same values."""
    page = wanted.page if wanted else None
    return (wanted.minimum, wanted.maximum, wanted.step, page.kind, page.rounded_to) if wanted and page else ()


def rounded(value: Any, wanted: InputInfo | None) -> Any:
    """Return a value as the page writes it into a control: numbers within its range and on its steps.

    Args:
        value: What the PrimitiveNode says.
        wanted: The input that it goes to.
    """
    kind = wanted.page.kind if wanted and wanted.page else ""
    if isinstance(value, bool) or not isinstance(value, int | float) or wanted is None or not abs(value) < math.inf:
        return value
    if kind in ("INT", "FLOAT"):
        value = value if wanted.minimum is None else max(value, _plain(wanted.minimum))
        value = value if wanted.maximum is None else min(value, _plain(wanted.maximum))
    if abs(value) > _LARGEST or not (wanted.step is None or _FINEST <= abs(wanted.step) <= _LARGEST):
        return value
    if kind == "INT":
        step = wanted.step or 1
        if step == 1:
            return value if isinstance(value, int) else math.floor(value + 0.5)
        offset = math.fmod(wanted.minimum or 0, step)
        return _plain(math.floor((value - offset) / step + 0.5) * step + offset)
    if kind == "FLOAT":
        step = _FLOAT_STEP if wanted.step is None else wanted.step
        digits = max(0, -math.floor(math.log10(step))) if step > 0 else 0
        grid = wanted.page.rounded_to if wanted.page else None
        grid = grid or (10.0**-digits if digits else 0)
        if grid >= _FINEST:
            least = _LEAST if wanted.minimum is None else wanted.minimum
            most = _MOST if wanted.maximum is None else wanted.maximum
            written = Decimal(math.floor(value / grid + 0.5) * grid).quantize(Decimal(1).scaleb(-min(digits, 15)), ROUND_HALF_UP)
            return _plain(min(max(float(written), least), most))
    return value


def _plain(number: float) -> int | float:
    return int(number) if isinstance(number, float) and number.is_integer() and abs(number) < 2**53 else number
