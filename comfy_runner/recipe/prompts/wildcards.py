"""Wildcards: files with a line for each text that can take the place of ``__name__`` in a prompt.

Files are hostile until checked: they lie below one folder, which lies below the recipe's, and are limited in size, in lines and in
how deep they name each other.
"""

from __future__ import annotations

import itertools
from pathlib import Path

from comfy_runner.errors import RecipeError
from comfy_runner.recipe.prompts.syntax import Choice, Parts, PromptFault, Variable, Wildcard, parse, walk
from comfy_runner.recipe.sweep.value_files import MOST_VALUES, text_lines
from comfy_runner.text_files import is_file, is_folder, shown
from comfy_runner.wording import did_you_mean

SUFFIX = ".txt"
"""What the names of wildcard files end in."""

MAX_BYTES = 4 << 20
"""Largest wildcard file, in bytes."""

MOST_DEPTH = 10
"""How deep wildcard files may name each other."""

_MOST_NAMES = 1000


class Wildcards:
    """The wildcard files of one folder, each read once.

    Args:
        folder: The folder.
        home: The folder that it must lie in: the recipe's.

    Raises:
        PromptFault: There is no such folder, or it lies elsewhere.
    """

    def __init__(self, folder: Path, home: Path) -> None:
        if not is_folder(folder):
            raise PromptFault(f"no such folder (got {shown(folder)})", "name a folder beside the recipe")
        self._folder = folder.resolve()
        if not self._folder.is_relative_to(home.resolve()):
            raise PromptFault("must be below the recipe's folder", "move the wildcard files there")
        self._lines: dict[str, tuple[Parts, ...]] = {}
        self._counts: dict[str, int] = {}
        self._names: dict[str, frozenset[str]] = {}
        self._open: list[str] = []

    def options(self, part: Choice | Wildcard) -> tuple[Parts, ...]:
        """Return what can take the place of alternatives or a wildcard.

        Raises:
            PromptFault: There is no such file.
            RecipeError: It cannot be read, or something is wrong with one of its lines.
        """
        return part.options if isinstance(part, Choice) else self._of_file(part.name)

    def count(self, parts: Parts) -> int:
        """Return how many combinations a prompt has, however many that may be; everything that it names is read, and is sound.

        Raises:
            PromptFault: There is no such file, or files name each other in a circle or too deep.
            RecipeError: A file cannot be read, or something is wrong with one of its lines.
        """
        number = 1
        for part in parts:
            if isinstance(part, Choice):
                number *= sum(map(self.count, part.options))
            elif isinstance(part, Wildcard):
                number *= self._count_of_file(part.name)
        return number

    def names(self, parts: Parts) -> set[str]:
        """Return the variables that a prompt names, whose combinations were counted, and the lines that can get into it."""
        found: set[str] = set()
        for part in walk(parts):
            if isinstance(part, Variable):
                found.add(part.name)
            elif isinstance(part, Wildcard):
                if part.name not in self._names:
                    self._names[part.name] = frozenset[str]().union(*map(self.names, self._of_file(part.name)))
                found |= self._names[part.name]
        return found

    def _count_of_file(self, name: str) -> int:
        if name in self._open or len(self._open) >= MOST_DEPTH:
            what = "names itself" if name in self._open else f"names more than {MOST_DEPTH} nested files"
            raise PromptFault(f"{what} ({' -> '.join(f'__{each}__' for each in (*self._open, name))})", "remove one of them")
        if name not in self._counts:
            self._open.append(name)
            try:
                self._counts[name] = sum(map(self.count, self._of_file(name)))
            finally:
                self._open.pop()
        return self._counts[name]

    def _of_file(self, name: str) -> tuple[Parts, ...]:
        if name not in self._lines:
            self._lines[name] = self._read(name)
        return self._lines[name]

    def _read(self, name: str) -> tuple[Parts, ...]:
        path = self._folder / f"{name}{SUFFIX}"
        steps = name.split("/")
        if any(step in ("", ".", "..") for step in steps):
            raise PromptFault(f"__{name}__ is not the name of a file below {shown(self._folder)}", "write it without . and ..")
        if not is_file(path):
            raise PromptFault(f"there is no {shown(path)} for __{name}__", did_you_mean(name, self._known()))
        if not path.resolve().is_relative_to(self._folder):
            raise PromptFault(f"{shown(path)} leads out of {shown(self._folder)}", "put a file there, not a link")
        _, lines = text_lines(path, most=MAX_BYTES)
        if not lines or len(lines) > MOST_VALUES:
            what = "has no lines" if not lines else f"must have at most {MOST_VALUES} lines (got {len(lines)})"
            raise RecipeError(what, where=shown(path))
        found = []
        for number, line in lines:
            try:
                found.append(parse(line.strip(), alternatives=True, wildcards=True))
            except PromptFault as fault:
                raise RecipeError(fault.what, where=f"{shown(path)}:{number}", hint=fault.hint) from None
        return tuple(found)

    def _known(self) -> list[str]:
        files = itertools.islice(self._folder.rglob(f"*{SUFFIX}"), _MOST_NAMES)
        return sorted(file.relative_to(self._folder).with_suffix("").as_posix() for file in files)
