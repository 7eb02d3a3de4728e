"""The prompts among the values of a sweep: checked, told of what ComfyUI does not know, and their alternatives multiplied out."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from comfy_runner.errors import Note, Problem, RecipeError
from comfy_runner.recipe.prompt_syntax import foreign_syntax
from comfy_runner.recipe.prompts.prompt_rules import COMBINE, VARS, PromptRules, is_text_field, refused
from comfy_runner.recipe.prompts.syntax import PromptFault
from comfy_runner.recipe.sweep.fields import PlaceOf, Target
from comfy_runner.recipe.sweep.value_files import MOST_VALUES


class SweptPrompts:
    """Collects the prompts of a sweep, and what takes the place of names in them.

    Args:
        rules: How the recipe's prompts are filled in.
    """

    def __init__(self, rules: PromptRules) -> None:
        self._rules = rules
        self._found: list[tuple[list[str], PlaceOf]] = []
        self._words: list[tuple[list[str], PlaceOf]] = []
        self._single: list[tuple[str, str]] = []  # those of added points, with their places

    def add(self, target: Target, values: Sequence[Any], place: PlaceOf) -> None:
        """Take the values of a field, if it is a prompt or a variable.

        Args:
            target: The field.
            values: Its values, as they are written.
            place: Returns the place of a value, by its number from 0.
        """
        texts = [value if isinstance(value, str) else "" for value in values]
        if target.path[0] == VARS:
            self._rules = replace(self._rules, is_active=True)
            self._words.append((texts, place))
        elif "prompt" in target.field:
            self._found.append((texts, place))

    def add_one(self, target: Target, value: Any, where: str) -> None:
        """Take the value of a field of an added point, if it is a prompt."""
        if "prompt" in target.field and isinstance(value, str):
            self._single.append((value, where))
        elif "prompt" not in target.field:
            self.add(target, [value], lambda _: where)

    def checked(self, names: Collection[Any]) -> tuple[list[Problem], list[Note]]:
        """Return what is wrong with the prompts, and a note for each kind of syntax that ComfyUI does not know.

        Args:
            names: The variables that there are.
        """
        problems: list[Problem] = []
        notes: list[Note] = []
        points: tuple[list[str], PlaceOf] = [text for text, _ in self._single], lambda path: self._single[int(path[0])][1]
        for texts, place in (*self._found, points):
            for index, text in enumerate(texts if self._rules.is_active else ()):
                try:
                    self._rules.refuse_unknown(self._rules.parse(text), names)
                except PromptFault as fault:
                    problems.append(Problem(fault.what, place((index,)), fault.hint))
                    break  # the others of a file are mostly wrong in the same way
                except RecipeError as error:
                    problems.extend(problem for problem in error.problems if problem not in problems)
                    break
        for texts, place in (
            *((list(map(self._rules.sample, texts)), place) for texts, place in (*self._found, points)),
            *self._words,
        ):
            notes += [Note(what, place((index,))) for index, what in foreign_syntax(texts)]
        return problems, notes

    def combined(self, text: str, where: str) -> list[str]:
        """Return every combination of a prompt's alternatives, where they are to be combined; the prompt itself otherwise.

        Raises:
            RecipeError: Something is wrong with the prompt, or there are too many.
        """
        try:
            return self._rules.combined(text)
        except PromptFault as fault:
            raise refused(fault, where) from None

    def own_combinations(self, target: Target, text: str, where: str) -> list[str]:
        """Take and return the combinations of a prompt that the recipe itself gives: one, where there is nothing to combine.

        Args:
            target: The field.
            text: The prompt, as it is written.
            where: Its place, for messages.

        Raises:
            RecipeError: Something is wrong with the prompt, or there are too many.
        """
        found = self.combined(text, where)
        for prompt in found if found[1:] else ():
            self.add_one(target, prompt, where)
        return found

    def with_combinations(
        self, columns: Mapping[Target, list[Any]], places: Mapping[Target, PlaceOf], *, where: str
    ) -> Mapping[Target, list[Any]]:
        """Return fields that move together, with a row for each combination of the alternatives in a row's prompts.

        Args:
            columns: The values of each field; all have equally many.
            places: Return the places of values, by their number from 0.
            where: The place of all of them, for messages.

        Raises:
            RecipeError: Something is wrong with a prompt, or there are too many.
        """
        if self._rules.alternatives != COMBINE or not any(is_text_field(target.path) for target in columns):
            return columns
        rows: list[tuple[Any, ...]] = []
        for index, row in enumerate(zip(*columns.values(), strict=True)):
            options = [
                self.combined(value, places[target]((index,)))
                if isinstance(value, str) and target in places and is_text_field(target.path)
                else [value]
                for target, value in zip(columns, row, strict=True)
            ]
            rows.extend(itertools.islice(itertools.product(*options), MOST_VALUES + 1))
            if len(rows) > MOST_VALUES:
                what = f"makes more than {MOST_VALUES} combinations of alternatives"
                raise RecipeError(what, where=where, hint="give alternatives: random")
        return {target: list(column) for target, column in zip(columns, zip(*rows, strict=True), strict=True)}
