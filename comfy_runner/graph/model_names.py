r"""A model's name in a recipe, matched to the name that one server has for it.

Recipes write ``/``; a Windows server lists ``SDXL\x.safetensors``; files get moved into folders; people mistype letter case.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence


def candidates(name: str, options: Sequence[str]) -> list[str]:
    """Return the options that this name can mean, by the first of these readings that finds any.

    The readings: exact, whatever the separator, whatever the letter case, the file name alone.
    """
    readings: tuple[Callable[[str], str], ...] = (str, _separators, _case, _base)
    for reading in readings:
        wanted = reading(name)
        found = [option for option in dict.fromkeys(options) if reading(option) == wanted]
        if found:
            return found
    return []


def _separators(name: str) -> str:
    return name.replace("\\", "/")


def _case(name: str) -> str:
    return _separators(name).casefold()


def _base(name: str) -> str:
    return _case(name).rsplit("/", 1)[-1]
