"""How a recipe wants its prompts filled in, and what they amount to.

Filled in are `prompt`, `negative_prompt`, and the parameters of a template that have ``prompt`` in their name; nothing is where a
recipe gives neither ``vars`` nor ``alternatives``.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from comfy_runner.errors import RecipeError
from comfy_runner.recipe.prompts.syntax import (
    BRACE,
    Choice,
    Parts,
    PromptFault,
    Variable,
    Wildcard,
    combinations,
    filled,
    parse,
    walk,
    written,
)
from comfy_runner.recipe.prompts.wildcards import Wildcards
from comfy_runner.recipe.sweep.value_files import MOST_VALUES
from comfy_runner.wording import did_you_mean
from comfy_runner.yaml_loader import FieldPath

VARS = "vars"
"""The field with the variables."""

COMBINE, RANDOM = "combine", "random"
"""What becomes of alternatives: each combination is a job; or each job has one, by its seed."""

_MOST_CHARACTERS = 64 << 20


def is_text_field(path: FieldPath) -> bool:
    """Return whether a field is a prompt, whose text is filled in."""
    return path in (("prompt",), ("negative_prompt",)) or (len(path) == 2 and path[0] == "params" and "prompt" in str(path[1]))


def texts_of(values: Mapping[str, Any]) -> Iterator[tuple[FieldPath, str]]:
    """Yield the prompts among a recipe's values, each with its path."""
    params = values.get("params")
    candidates: dict[FieldPath, Any] = {(name,): values.get(name) for name in ("prompt", "negative_prompt")}
    candidates |= {("params", name): value for name, value in params.items()} if isinstance(params, Mapping) else {}
    for path, value in candidates.items():
        if isinstance(value, str) and is_text_field(path):
            yield path, value


@dataclass(frozen=True, slots=True)
class PromptRules:
    """How the prompts of one recipe are filled in.

    Attributes:
        is_active: Whether they are at all.
        alternatives: `COMBINE`, `RANDOM`, or empty where there are none.
        wildcards: The files behind ``__name__``; None where that is text.
    """

    is_active: bool = False
    alternatives: str = ""
    wildcards: Wildcards | None = field(default=None, repr=False, compare=False)

    def parse(self, text: str) -> Parts:
        """Take a prompt apart.

        Raises:
            PromptFault: Something is wrong with it, or with the name of a wildcard.
            RecipeError: Something is wrong with a wildcard's file.
        """
        parts = parse(text, alternatives=bool(self.alternatives), wildcards=self.wildcards is not None)
        if self.wildcards is not None:
            self.wildcards.count(parts)
        return parts

    def names(self, parts: Parts) -> set[str]:
        """Return the variables that a prompt names."""
        if self.wildcards is not None:
            return self.wildcards.names(parts)
        return {part.name for part in walk(parts) if isinstance(part, Variable)}

    def sample(self, text: str) -> str:
        """Return a prompt without what is ours in it: with the first of all alternatives, without names and escaped braces.

        Of a prompt that is wrong it is empty.
        """
        if not self.is_active:
            return text
        try:
            parts = self.parse(text)
        except (PromptFault, RecipeError):
            return ""
        text = filled(parts, defaultdict(str), lambda part: self._options(part)[0])
        return text.replace("{", "").replace("}", "")

    def refuse_unknown(self, parts: Parts, known: Collection[str]) -> None:
        """Make sure that a prompt names no variables but these.

        Raises:
            PromptFault: It does.
        """
        unknown = next((name for name in sorted(self.names(parts)) if name not in known), None)
        if unknown is not None:
            near = did_you_mean(unknown, sorted(known))
            raise PromptFault(
                f"there is no variable {unknown} for {{{unknown}}}",
                f"{near or f'give it under vars: {{{unknown}: …}}'}; or {BRACE}",
            )

    def combined(self, text: str) -> list[str]:
        """Return every combination of a prompt's alternatives, as prompts without any; the prompt itself where it has none.

        Raises:
            PromptFault: Something is wrong with it, or there are too many.
            RecipeError: Something is wrong with a wildcard's file.
        """
        if self.alternatives != COMBINE:
            return [text]
        parts = self.parse(text)
        if all(isinstance(part, str | Variable) for part in parts):
            return [text]
        wildcards = self.wildcards
        number = wildcards.count(parts) if wildcards else _count(parts)
        found: list[str] = []
        room = _MOST_CHARACTERS
        if number <= MOST_VALUES:
            for combination in combinations(parts, self._options):
                found.append(written(combination, wildcards=wildcards is not None))
                room -= len(found[-1])
                if room < 0:
                    break
        if number > MOST_VALUES or room < 0:
            most = f"at most {MOST_VALUES}, of {_MOST_CHARACTERS >> 20} million characters in total, are possible"
            count = str(number) if number < 1e15 else "very many"
            raise PromptFault(f"has {count} combinations, and {most}", "give alternatives: random")
        return found

    def fill(self, text: str, values: Mapping[str, str], key: str) -> str:
        """Return what a prompt amounts to.

        Args:
            text: The prompt.
            values: The variables.
            key: Decides what is taken of alternatives, the same on every system and in every version of Python.

        Raises:
            PromptFault: Something is wrong with it, or it names a variable that is not there.
            RecipeError: Something is wrong with a wildcard's file.
        """
        parts = self.parse(text)
        self.refuse_unknown(parts, values)
        asked = 0

        def choose(part: Choice | Wildcard) -> Parts:
            nonlocal asked
            asked += 1
            options = self._options(part)
            digest = hashlib.sha256(f"{key}/{asked}".encode()).digest()
            return options[int.from_bytes(digest[:16]) % len(options)]

        return filled(parts, values, choose)

    def _options(self, part: Choice | Wildcard) -> tuple[Parts, ...]:
        if self.wildcards is not None:
            return self.wildcards.options(part)
        return part.options if isinstance(part, Choice) else ()  # without files, no prompt has wildcards


NO_RULES = PromptRules()
"""Of a recipe whose prompts are taken as they are."""


def rules_of(values: Mapping[str, Any], *, folder: Path) -> PromptRules:
    """Return how a recipe wants its prompts filled in.

    Args:
        values: The recipe's values, which may be wrong yet.
        folder: The recipe's folder, which wildcard files are below.

    Raises:
        PromptFault: There is no folder of wildcard files, or it lies elsewhere.
    """
    alternatives, wildcards = values.get("alternatives"), values.get("wildcards")
    mode = alternatives if alternatives in (COMBINE, RANDOM) else ""
    files = Wildcards(folder / wildcards, folder) if mode and isinstance(wildcards, str) and wildcards else None
    return PromptRules(bool(values.get(VARS) or mode), mode, files)


def _count(parts: Parts) -> int:
    number = 1
    for part in parts:
        if isinstance(part, Choice):
            number *= sum(map(_count, part.options))
    return number


def refused(fault: PromptFault, where: str) -> RecipeError:
    """Return the error that says what is wrong with a prompt."""
    return RecipeError(fault.what, where=where, hint=fault.hint)
