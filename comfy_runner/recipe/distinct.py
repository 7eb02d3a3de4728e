"""Several pictures in one plan: a recipe that two of them hold is taken once, and names made of files' names are told apart.

A name that a recipe gives is never changed: where two recipes have one, that is for their author to settle.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from comfy_runner.errors import Note
from comfy_runner.recipe.load import LoadedRecipe
from comfy_runner.recipe.names import MAX_SLUG, slug
from comfy_runner.text_files import shown

_ROOM = 8  # for the number behind a name


@dataclass(frozen=True, slots=True)
class GivenRecipe:
    """A recipe as a user gave it.

    Attributes:
        loaded: The recipe.
        again: Loads it under another name.
    """

    loaded: LoadedRecipe
    again: Callable[[str], LoadedRecipe]


def distinct(given: Sequence[GivenRecipe]) -> list[LoadedRecipe]:
    """Return recipes of which each has its own name, as far as names may be chosen for them, in the order in which they were given.

    The first file of a name keeps it; the others get ``-2``, ``-3`` and so on, or the next number that nobody has.

    Args:
        given: The recipes. One that a picture before it holds too is left out, with a note at that one.

    Raises:
        InputError: One cannot be loaded under another name, such as for the sake of a path that gets too long.
    """
    each_once, notes = _each_once(given)
    taken = {slug(each.loaded.recipe.name) for each in each_once}
    first = {slug(each.loaded.recipe.name) for each in each_once if each.loaded.named_by != "file"}
    found: list[LoadedRecipe] = []
    for each in each_once:
        loaded, name = each.loaded, each.loaded.recipe.name
        more = list(notes.get(id(loaded), ()))
        if loaded.named_by == "file":
            if slug(name) in first:
                other = next(free for free in _numbered(name) if slug(free) not in taken)
                loaded = each.again(other)
                taken.add(slug(other))
                place = "" if loaded.path is None else shown(loaded.path)
                more.append(Note(f"is called {other} here, because {name} is already taken", place, "changed"))
            first.add(slug(name))
        found.append(replace(loaded, notes=(*loaded.notes, *more)) if more else loaded)
    return found


def _numbered(name: str) -> Iterator[str]:
    stem = slug(name)[: MAX_SLUG - _ROOM].rstrip("-")
    return (f"{stem}-{number}" for number in itertools.count(2))


def _each_once(given: Sequence[GivenRecipe]) -> tuple[list[GivenRecipe], dict[int, list[Note]]]:
    """Return recipes without those of pictures that one before them holds as well, and what is to be said at those, by identity."""
    kept: list[GivenRecipe] = []
    known: dict[tuple[str, Path | None], LoadedRecipe] = {}
    notes: dict[int, list[Note]] = {}
    for each in given:
        loaded = each.loaded
        if loaded.named_by != "recipe" and loaded.path is not None:
            # Where a parameter may be a file's relative path, it depends on the folder.
            has_texts = any(isinstance(value, str) for value in loaded.recipe.params.values())
            key = (repr(loaded.recipe.model_dump()), loaded.path.parent if has_texts else None)
            other = known.setdefault(key, loaded)
            if other is not loaded and other.path is not None:
                note = Note(f"has the same recipe as {shown(other.path)}; it is rendered once", shown(loaded.path), "changed")
                notes.setdefault(id(other), []).append(note)
                continue
        kept.append(each)
    return kept, notes
