r"""A model's name in a recipe, matched to the name that one server has for it.

Recipes write ``/``; a Windows server lists ``SDXL\x.safetensors``; files get moved into folders; people mistype letter case.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence


def resolve_name(name: str, options: Sequence[str]) -> str | None:
    """Return the one option that this name means, or None where there is none, or more than one.

    Tried in this order: exact, whatever the separator, whatever the letter case, the file name alone.
    """
    if name in options:
        return name
    readings: tuple[Callable[[str], str], ...] = (_separators, _case, _base)
    for reading in readings:
        wanted = reading(name)
        found = [option for option in options if reading(option) == wanted]
        if found:
            return found[0] if len(found) == 1 else None
    return None


def _separators(name: str) -> str:
    return name.replace("\\", "/")


def _case(name: str) -> str:
    return _separators(name).casefold()


def _base(name: str) -> str:
    return _case(name).rsplit("/", 1)[-1]
