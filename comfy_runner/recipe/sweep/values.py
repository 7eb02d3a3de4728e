"""The ways to write the values of an axis: a list, ``{from, to, step}``, ``{start, count, step}``, ``{file}``, ``{file, column}``.

Numbers are exact in decimals: 0.45 to 0.70 by 0.05 is six numbers, and none of them is 0.6000000000000001. Files are read by
`value_files`; `fields` checks whether the field takes the values.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

from comfy_runner.errors import RecipeError
from comfy_runner.recipe.fields import MAX_SEED
from comfy_runner.recipe.sweep.axes import Draw
from comfy_runner.recipe.sweep.fields import PlaceOf
from comfy_runner.recipe.sweep.value_files import MOST_VALUES, Values, from_file
from comfy_runner.wording import nearest
from comfy_runner.yaml_loader import got

_Number = int | float

_FORMS = (("from", "to", "step"), ("start", "count", "step"), ("file", "column", "delimiter"))
_EXAMPLES = "write a list, {from: 0.5, to: 0.7, step: 0.05}, {start: 1, count: 8} or {file: values.txt}"


def written_values(spec: Any, field: str, *, place: PlaceOf, folder: Path) -> Values:
    """Return the values of an axis.

    Args:
        spec: How they are written; `Values` of a table are returned as they are.
        field: The field that takes them.
        place: Returns the place of `spec`, or of a part of it, for messages.
        folder: What the paths of files are relative to.

    Raises:
        RecipeError: It is none of the ways, there is no value, or a file cannot be read.
    """
    if isinstance(spec, Values):
        return spec
    if isinstance(spec, list):
        found = Values(spec, place)
    elif isinstance(spec, Mapping):
        form = _form(spec, field, place)
        is_file = form == "file"
        found = from_file(spec, field, place, folder) if is_file else Values(_numbers(spec, form, field, place), place)
    else:
        raise RecipeError(f"must be a list of values (got {got(spec)})", where=place(()), hint=_EXAMPLES)
    if not found.values:
        raise RecipeError("has no values", where=place(()), hint=_EXAMPLES)
    return found


def _form(spec: Mapping[str, Any], field: str, place: PlaceOf) -> str:
    form = next((form for form in _FORMS if form[0] in spec), None)
    if form is None:
        inner = next((key for key, value in spec.items() if isinstance(value, list | Mapping)), None)
        hint = _EXAMPLES if inner is None else f"write the field as {field}.{inner}"
        raise RecipeError(
            f"is not a way to write values (got the keys {', '.join(map(got, spec)) or 'none'})", where=place(()), hint=hint
        )
    for key in spec:
        if key not in form:
            near = nearest(key, form, most=1)
            hint = f"did you mean {near[0]}?" if near else f"beside {form[0]} there can be {' and '.join(form[1:])}"
            raise RecipeError(f"{got(key)} cannot be combined with {form[0]}", where=place((key,)), hint=hint)
    return form[0]


# Numbers


def _numbers(spec: Mapping[str, Any], form: str, field: str, place: PlaceOf) -> list[Any]:
    drawn = field == "seed" and spec.get("start") == "random"
    missing = next((key for key in (("from", "to") if form == "from" else ("start", "count")) if key not in spec), None)
    if missing:
        raise RecipeError(f"{missing} is missing", where=place(()))
    for key, value in spec.items():
        if drawn and key == "start":
            continue
        kind, words = (int, "a whole number") if drawn or key == "count" else (int | float, "a number")
        if isinstance(value, bool) or not isinstance(value, kind):
            hint = "write {start: random, count: 3}, or [random, random, random]" if field == "seed" and value == "random" else ""
            raise RecipeError(f"must be {words} (got {got(value)})", where=place((key,)), hint=hint)
    try:
        if form == "from":
            return from_to(spec["from"], spec["to"], spec.get("step"))
        numbers = count_from(0 if drawn else spec["start"], spec["count"], spec.get("step", 1))
        if drawn and abs(numbers[-1]) > MAX_SEED:
            raise ValueError(f"must be at most {MAX_SEED} from the first to the last (got {got(abs(numbers[-1]))})")
    except ValueError as fault:
        raise RecipeError(str(fault), where=place(())) from None
    return [Draw(offset=int(number)) for number in numbers] if drawn else numbers


def from_to(first: _Number, last: _Number, step: _Number | None = None) -> list[_Number]:
    """Return numbers from one to another, both ends included if they are hit.

    Args:
        first: The first number.
        last: Where they end; it need not be hit.
        step: From one to the next, negative to go down; one up or down if it is None.

    Raises:
        ValueError: Two whole numbers or a step are needed; the step is zero or leads away; or there are too many numbers.
    """
    if step is None:
        if not (isinstance(first, int) and isinstance(last, int)):
            raise ValueError("step is missing; only whole numbers can do without it")
        step = 1 if last >= first else -1
    if not step:
        raise ValueError("step must not be 0")
    distance = _exact(last) - _exact(first)
    if distance * _exact(step) < 0:
        raise ValueError(f"step leads away from {got(last)} (got {got(step)} from {got(first)})")
    return _spaced(first, step, distance // _exact(step) + 1, whole=isinstance(last, int))


def count_from(first: _Number, count: int, step: _Number = 1) -> list[_Number]:
    """Return so many numbers.

    Args:
        first: The first number.
        count: How many, at least 1.
        step: From one to the next, negative to go down.

    Raises:
        ValueError: The step is zero, or there are too few or too many numbers.
    """
    if count < 1:
        raise ValueError(f"count must be at least 1 (got {count})")
    if not step and count > 1:
        raise ValueError("step must not be 0")
    return _spaced(first, step, count, whole=True)


def _exact(number: _Number) -> Fraction:
    # The shortest decimal that gives the float is what was written.
    return Fraction(number) if isinstance(number, int) else Fraction(repr(number))


def _spaced(first: _Number, step: _Number, count: int, *, whole: bool) -> list[_Number]:
    if count > MOST_VALUES:
        raise ValueError(f"must be at most {MOST_VALUES} values (got {got(count)})")
    start, stride = _exact(first), _exact(step)
    kind = int if whole and isinstance(first, int) and isinstance(step, int) else float
    try:
        return [kind(start + stride * index) for index in range(count)]
    except OverflowError:
        raise ValueError("must be finite numbers") from None
