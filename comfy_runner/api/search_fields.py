"""Which fields a search is over, and how the values of each are written: by ``--over``, or in the recipe under ``find``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from comfy_runner.errors import UsageError
from comfy_runner.graph.literals import is_number
from comfy_runner.recipe.load import LoadedRecipe
from comfy_runner.recipe.sweep.expand import Variant
from comfy_runner.recipe.sweep.fields import resolve
from comfy_runner.report.run_data import key, label
from comfy_runner.yaml_loader import got

_TOLERANCE: Final = 0.02
_EXAMPLE: Final = "write for example --over upscale.denoise=0.3:0.8"
_NUMBER: Final = r"\s*[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?\s*"
_RANGE: Final = re.compile(rf"({_NUMBER}):({_NUMBER})(:{_NUMBER})?")


@dataclass(frozen=True, slots=True)
class SearchField:
    """A field that is searched.

    Attributes:
        name: The field, dotted.
        text: Its values, as an axis has them behind ``=``; of a range its ends and the step between values.
        ends: The ends of a range alone, which tell what is wrong with it once; empty for all else.
        where: Where it is given, for messages.
    """

    name: str
    text: str
    ends: str
    where: str

    def values(self, variants: Sequence[Variant], *, alone: bool) -> tuple[Any, ...]:
        """Return its values among those of jobs, each once: numbers by size, others in the order in which they are given.

        Args:
            variants: The jobs.
            alone: Whether no other field is searched.

        Raises:
            UsageError: They cannot be searched.
        """
        found = [*{key(value): value for each in variants if (value := each.assignments.get(self.name)) is not None}.values()]
        named = next((value for value in found if not is_number(value)), None)
        if alone and named is not None:
            raise UsageError(f"has to be a number to be searched alone (got {label(named)})", where=self.where, hint="sweep it")
        if named is not None and len(found) < 2 and ":" in label(named):
            hint = f"write a list: --over {self.name}={label(named).replace(':', ',')}"
            raise UsageError(f"names have no range (got {got(named)})", where=self.where, hint=hint)
        if len(found) < 2:
            raise UsageError("needs at least two values", where=self.where, hint=_EXAMPLE)
        return tuple(found) if named is not None else tuple(sorted(found))


def search_fields(loaded: LoadedRecipe, over: str | Sequence[str] | None, tolerance: float | None) -> tuple[SearchField, ...]:
    """Return the fields that are searched.

    Args:
        loaded: The recipe.
        over: Each field with its values; None for what the recipe says.
        tolerance: How far apart the values of a range are; None for 0.02, or 1 between whole numbers. Of several fields, those
            whose ranges have whole ends take each whole number in any case.

    Raises:
        UsageError: Nothing says what to search, or a field cannot be searched.
        RecipeError: There is no such field.
    """
    given = [*_given(loaded, over)]
    found: dict[str, SearchField] = {}
    for named, text, where in given:
        name = resolve(named, {"loras": loaded.recipe.loras}, where="--over" if over is not None else where).field
        if name in found:
            raise UsageError("is given twice", where=where)
        if name == "batch_size":
            what = "says how many pictures there are, and not how they look, so that no value is the best"
            raise UsageError(what, where=where, hint="search another field, such as upscale.denoise")
        spaced, ends = _spaced(text, tolerance, where, alone=len(given) == 1)
        found[name] = SearchField(name, spaced, ends, where)
    return tuple(found.values())


def _given(loaded: LoadedRecipe, over: str | Sequence[str] | None) -> list[tuple[str, str, str]]:
    """Return each field, how its values are written, and where."""
    if over is not None:
        found = []
        for each in [over] if isinstance(over, str) else over:
            field, equals, text = each.partition("=")
            if not (equals and field.strip() and text.strip()):
                raise UsageError(f"must be field=values (got {got(each)})", where="--over", hint=_EXAMPLE)
            found.append((field.strip(), text.strip(), f"--over {field.strip()}"))
        if found:
            return found
    if loaded.recipe.find is None:
        raise UsageError("the recipe does not say what to search for", hint=f"{_EXAMPLE}, or give the recipe a find:")
    return [
        (
            field,
            values.strip() if isinstance(values, str) else ",".join(map(_written, values)),
            f"{loaded.where('find.over')}.{field}",
        )
        for field, values in loaded.recipe.find.over.items()
    ]


def _written(value: float | str) -> str:
    return value if isinstance(value, str) else repr(value)


def _spaced(text: str, tolerance: float | None, where: str, *, alone: bool) -> tuple[str, str]:
    """Return a range with a step, and its ends; all else as it is."""
    found = _RANGE.fullmatch(text)
    if found is None:
        return text, ""
    first, last, step = (part and part.strip() for part in found.groups())
    if not step and float(first) >= float(last):
        raise UsageError(f"must go from a smaller number to a larger one (got {got(text)})", where=where)
    is_whole = all(part.lstrip("+-").isdecimal() for part in (first, last))
    between = 1 if is_whole and (tolerance is None or not alone) else _TOLERANCE if tolerance is None else tolerance
    written = int(between) if float(between).is_integer() else between
    return f"{first}:{last}{step or f':{written!r}'}", f"{first},{last}"


def refuse_numbers(drift: float, tolerance: float | None, jobs: int | None) -> None:
    """Make sure that the numbers of a search are above 0.

    Raises:
        UsageError: One is not.
    """
    for name, number in (("--max-drift", drift), ("--tolerance", tolerance), ("--jobs", jobs)):
        if number is not None and not 0 < number < float("inf"):
            raise UsageError(f"must be above 0 (got {number:g})", where=name)


def first_of(*given: Any) -> Any:
    """Return the first of several values that is given; None where none is."""
    return next((value for value in given if value is not None), None)
