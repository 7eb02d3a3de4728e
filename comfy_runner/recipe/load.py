"""Load a recipe: merge files, what they extend, and overrides into one checked `LoadedRecipe`. `job` makes a job from it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from comfy_runner.errors import InputError, Note, Problem, RecipeError, UsageError
from comfy_runner.recipe import names, overrides
from comfy_runner.recipe.fields import MAX_SEED
from comfy_runner.recipe.layers import SWEEP, Layer, Merged, conflict, merge, value_at, written
from comfy_runner.recipe.lint import output_paths, validate
from comfy_runner.recipe.output_names import is_of_values, with_values
from comfy_runner.recipe.problems import problems
from comfy_runner.recipe.prompt_syntax import foreign_syntax
from comfy_runner.recipe.prompts.prompt_rules import NO_RULES, VARS, PromptRules, is_text_field, rules_of, texts_of
from comfy_runner.recipe.prompts.syntax import PromptFault
from comfy_runner.recipe.python_values import plain
from comfy_runner.recipe.schema import OutputOptions, Recipe
from comfy_runner.recipe.sweep.axes import Sweep
from comfy_runner.recipe.sweep.parse import parse_sweep
from comfy_runner.recipe.web_ui_words import changes, in_comfyui_words
from comfy_runner.shipped import shipped
from comfy_runner.text_files import is_file, is_folder, read, shown
from comfy_runner.wording import nearest, today
from comfy_runner.yaml_loader import Document, FieldPath, got, parse

_MAX_CHAIN = 16
_SUFFIXES = (".yaml", ".yml")
_STEP = re.compile(r"\[(\d+)\]|([^.\[]+)")


NamedBy = Literal["recipe", "picture", "file"]
"""What a recipe's name comes from."""


@dataclass(frozen=True, slots=True)
class LoadedRecipe:
    """A checked recipe that knows where its values come from.

    Attributes:
        recipe: The values.
        path: The requested file, absolute; None for values from Python code.
        sweep: The axes, checked; None for a recipe of one job. See `sweep.expand`.
        notes: Remarks for the user on the sweep, and on how texts are written.
        rules: How its prompts are filled in.
        named_by: What its name comes from: a recipe; a picture that holds a recipe, or an override where a picture was given; or
            just the name of a file, instead of which it may have another one.
        date: The day on which its run began, ISO 8601; until that is known, the day on which it was loaded.
    """

    recipe: Recipe
    path: Path | None
    _merged: Merged = field(repr=False)
    sweep: Sweep | None = field(default=None, repr=False)
    notes: tuple[Note, ...] = ()
    rules: PromptRules = NO_RULES
    named_by: NamedBy = "recipe"
    date: str = ""

    @property
    def needs_seed(self) -> bool:
        """Whether the seed is ``random``, so that the caller has to draw one."""
        return self.recipe.seed == "random"

    def where(self, field: str | FieldPath) -> str:
        """Return the place of a field, by its dotted name or its path, for messages: ``recipes/x.yaml:8: upscale.denoise``.

        For a field that nobody gave, it is the place of the nearest parent that somebody gave, with the field's name.
        """
        return self._merged.place(_steps(field))

    def gives(self, field: str) -> bool:
        """Return whether anybody gives a field, even as what it is by default."""
        return self._merged.gave(_steps(field))

    def folder(self, field: str | FieldPath) -> Path | None:
        """Return the folder of the file that gave a field, or its nearest parent, which relative paths in it start from.

        None if it came from Python code or an override (then it is the current directory), or is a default.
        """
        steps = _steps(field)
        given = any(self._merged.gave(steps[:length]) for length in range(1, len(steps) + 1))
        return self._merged.origin(steps).folder if given else None

    def model_source(self, name: str) -> str:
        """Return where one of its `models` comes from: a URL, or the absolute path of a file."""
        given = self.recipe.models[name]
        if given.url is not None:
            return given.url
        return str(((self.folder(("models", name, "path")) or Path()) / Path(str(given.path)).expanduser()).absolute())

    def variant(self, recipe: Recipe) -> LoadedRecipe:
        """Return one point of the sweep, whose swept fields come from where the sweep gives them."""
        merged = self._merged if self.sweep is None else self.sweep.merged
        return LoadedRecipe(recipe, self.path, merged, rules=self.rules, date=self.date)


def load(source: str | os.PathLike[str], *, sets: Sequence[str] = (), sweeps: Sequence[str] = ()) -> LoadedRecipe:
    """Load a recipe.

    Args:
        source: A file, or the name of a shipped recipe (``-`` and ``_`` alike). Text that is no existing file, has no path
            separator and does not end in .yaml or .yml is a name.
        sets: Overrides, each ``field=value``.
        sweeps: Axes that add to the recipe's own or replace them, each ``field=values``.

    Raises:
        RecipeError: The recipe is wrong; lists every fault.
        UsageError: An override or an axis of `sweeps` is malformed.
    """
    over = overrides.layers(sets, sweeps)
    is_name = isinstance(source, str) and not _looks_like_file(source) and not is_file(Path(source))
    path = _shipped(str(source), where="recipe") if is_name else Path(source)
    if not (is_file(path) or is_folder(path)) and (name := path.stem.replace("_", "-")) in shipped_recipes():
        raise RecipeError("no such file", where=shown(path), hint=f"for the recipe that comes with comfy_runner, write {name}")
    return _loaded(_chain(path), over, path=path.resolve(), stem=path.stem)


def from_mapping(
    values: Mapping[str, Any],
    *,
    sets: Sequence[str] = (),
    sweeps: Sequence[str] = (),
    path: Path | None = None,
    notes: Sequence[Note] = (),
    named_by: NamedBy = "recipe",
) -> LoadedRecipe:
    """Load a recipe from a mapping, of Python code or of a file that is no recipe itself, such as a picture.

    Args:
        values: The fields, as in a file.
        sets: Overrides, each ``field=value``.
        sweeps: Axes that add to the recipe's own or replace them, each ``field=values``.
        path: The file that says them, which messages name and from whose folder relative paths start; None for Python code, whose
            relative paths start from the current directory.
        notes: What the user should know of the way in which they were read.
        named_by: What the name among the fields comes from; one of an override counts as that of a picture.

    Raises:
        RecipeError: The recipe is wrong; lists every fault.
        UsageError: An override or an axis of `sweeps` is malformed.
    """
    over = overrides.layers(sets, sweeps)
    name = "recipe" if path is None else shown(path)
    folder = None if path is None else path.absolute().parent
    layer = Layer(plain(values, name=name), lambda field: f"{name}: {written(field)}" if field else name, folder)
    chain = _chain(_parent(layer, folder=folder or Path()), first=layer)
    stem = "recipe" if path is None else path.stem
    loaded = _loaded(chain, over, path=None if path is None else path.absolute(), stem=stem, is_typed=path is None)
    by = "picture" if named_by == "file" and loaded.recipe.name != values.get("name") else named_by
    return replace(loaded, notes=(*notes, *loaded.notes), named_by=by)


def shipped_recipes() -> dict[str, Path]:
    """Return the shipped recipes by name, in alphabetical order."""
    return {path.stem.replace("_", "-"): path for path in sorted(shipped("recipes").glob("*.yaml"))}


def _loaded(layers: Sequence[Layer], over: Sequence[Layer], *, path: Path | None, stem: str, is_typed: bool = True) -> LoadedRecipe:
    (main, *parents), over, contradictions = in_comfyui_words(layers, over)
    # A name says what this file is; what it extends has its own.
    bases = [
        replace(base, values={k: v for k, v in base.values.items() if k not in ("name", "extends")}) for base in reversed(parents)
    ]
    order = [*bases, main, *over]
    merged = merge(order, main=main)
    merged.values.setdefault("name", stem)
    rules, wrong = _rules(merged)
    sweep, unsound, notes = parse_sweep(merged, pins=_pins(merged, order), rules=rules)
    wrong += [*unsound, *contradictions]
    try:
        recipe = Recipe.model_validate(merged.values)
    except ValidationError as error:
        raise _refusal([*problems(error, place=merged.place), *wrong]) from None
    targets = sweep.targets if sweep else ()
    rules = replace(rules, is_active=rules.is_active or any(target.path[0] == VARS for target in targets))
    wrong += _unfillable(recipe, merged, rules, {target.path for target in targets})
    notes += _idle_variables(recipe, merged, rules, sweep)
    notes += [
        Note(what, layer.place(field_path))
        for layer in (main, *bases)
        for field_path, what in layer.remarks.items()
        if merged.origin(field_path) is layer
    ]
    notes += [note for layer in order for note in changes(layer, merged)]
    # People write comments into recipes; in the prompt of a picture, # and // are what was painted.
    untyped = None if is_typed else main
    notes += _foreign_syntax(recipe, merged, {target.field for target in targets}, untyped, rules)
    loaded = LoadedRecipe(recipe, path, merged, sweep, tuple(notes), rules, date=today())
    longest = recipe.seed if isinstance(recipe.seed, int) else MAX_SEED
    in_files = recipe
    if is_of_values(recipe):  # with a sweep, only its points have all values
        in_files = recipe.model_copy(update={"output": OutputOptions()})
        try:
            in_files = in_files if sweep else with_values(recipe, given=recipe, index=1, date=loaded.date, where=merged.place)
        except RecipeError as error:
            wrong += error.problems
    wrong += validate(recipe, outputs=output_paths(in_files, job_id=names.slug(recipe.name), seed=longest), where=loaded.where)
    if wrong:
        raise _refusal(list(dict.fromkeys(wrong)))
    return loaded


def _rules(merged: Merged) -> tuple[PromptRules, list[Problem]]:
    """Return how a recipe's prompts are filled in, and what is wrong with that."""
    values = merged.values
    if values.get("wildcards") is not None and values.get("alternatives") is None:
        hint = "give alternatives: random to have the seed choose one, or alternatives: combine for a job with each"
        return NO_RULES, [Problem("also needs alternatives", merged.place(("wildcards",)), hint)]
    try:
        return rules_of(values, folder=merged.origin(("wildcards",)).folder or Path()), []
    except PromptFault as fault:
        return NO_RULES, [Problem(fault.what, merged.place(("wildcards",)), fault.hint)]


def _unfillable(recipe: Recipe, merged: Merged, rules: PromptRules, swept: Collection[FieldPath]) -> Iterator[Problem]:
    """Yield what is wrong with prompts that are not swept, where they are filled in."""
    known = {*recipe.vars, *(str(path[-1]) for path in swept if path[0] == VARS)}
    for path, text in texts_of(merged.values) if rules.is_active else ():
        if path not in swept:
            try:
                rules.refuse_unknown(rules.parse(text), known)
            except PromptFault as fault:
                yield Problem(fault.what, merged.place(path), fault.hint)
            except RecipeError as error:
                yield from error.problems


def _idle_variables(recipe: Recipe, merged: Merged, rules: PromptRules, sweep: Sweep | None) -> Iterator[Note]:
    """Yield a note for each variable that no prompt names; lines of wildcard files are not looked at."""
    texts = [text for _, text in texts_of(merged.values)]
    points = [(axis.targets, row) for axis in sweep.axes for row in axis.rows.values()] if sweep else []
    points += (
        [(sweep.targets, tuple(point.get(target.field) for target in sweep.targets)) for point in sweep.includes] if sweep else []
    )
    for targets, row in points:
        texts += [str(value) for target, value in zip(targets, row, strict=True) if is_text_field(target.path)]
    for name in recipe.vars if rules.wildcards is None else ():
        if not any(f"{{{name}}}" in text for text in texts):
            yield Note(f"no prompt has {{{name}}} in it", merged.place((VARS, name)))


def _foreign_syntax(
    recipe: Recipe, merged: Merged, swept: Collection[str], untyped: Layer | None, rules: PromptRules
) -> Iterator[Note]:
    """Yield a note for each kind of syntax that ComfyUI does not know, in each prompt that is not swept.

    Args:
        recipe: The recipe.
        merged: Its layers.
        swept: The fields that are swept.
        untyped: The layer that a program wrote, of whose comments nothing is said; None where there is none.
        rules: How its prompts are filled in.
    """
    texts: dict[str, Any] = {"prompt": recipe.prompt, "negative_prompt": recipe.negative_prompt}
    texts |= {f"params.{name}": text for name, text in recipe.params.items() if "prompt" in name}
    texts = {name: rules.sample(text) if isinstance(text, str) else text for name, text in texts.items()}
    texts |= {f"{VARS}.{name}": text for name, text in recipe.vars.items()}
    for name, text in texts.items():
        if not isinstance(text, str) or name in swept:
            continue
        comments = untyped is None or merged.origin(_steps(name)) is not untyped
        for _, what in foreign_syntax([text], comments=comments):
            yield Note(what, merged.place(_steps(name)))


def _refusal(wrong: Sequence[Problem]) -> InputError:
    """Return the error with these problems; the command line's alone are a matter of usage."""
    usage = all(problem.where.startswith(overrides.AXIS) for problem in wrong)
    return UsageError.of(wrong) if usage else RecipeError.of(wrong)


def _pins(merged: Merged, order: Sequence[Layer]) -> Callable[[FieldPath, str], str]:
    """Return what finds the place of a field that a layer gives after another one swept it."""
    ranks = {id(layer): rank for rank, layer in enumerate(order)}
    given = [
        (path, layer)
        for path, layer in merged.origins.items()
        if path and path[0] != SWEEP and not isinstance(value_at(merged.values, path), Mapping)
    ]

    def pins(field: FieldPath, key: str) -> str:
        after = ranks[id(merged.origin((SWEEP, key)))]
        return next((layer.place(path) for path, layer in given if ranks[id(layer)] > after and conflict(path, field)), "")

    return pins


def _chain(path: Path | None, *, first: Layer | None = None) -> list[Layer]:
    """Read a file and all that it extends, from the top down."""
    layers = [first] if first else []
    trail: list[Path] = []
    while path is not None:
        text = read(path, error=RecipeError)
        trail.append(path.resolve())
        if trail[-1] in trail[:-1] or len(trail) > _MAX_CHAIN:
            what = "extends itself" if trail[-1] in trail[:-1] else f"extends more than {_MAX_CHAIN} recipes"
            chain = " -> ".join(shown(known) for known in trail[-6:])
            raise RecipeError(f"{what} ({chain})", where=layers[-1].place(("extends",)))
        layers.append(_layer(parse(text, name=shown(path), error=RecipeError), path.absolute().parent))
        path = _parent(layers[-1], folder=path.parent)
    return layers


def _layer(document: Document, folder: Path) -> Layer:
    if not isinstance(document.value, dict):
        what = "is empty" if document.value is None else f"must be a mapping of fields (got {got(document.value)})"
        raise RecipeError(what, where=document.name)

    def place(path: FieldPath) -> str:
        if not path:
            return document.name
        line = f":{document.line(path)}" if path[0] in document.value else ""
        return f"{document.name}{line}: {written(path)}"

    return Layer(document.value, place, folder, document.remarks)


def _parent(layer: Layer, *, folder: Path) -> Path | None:
    """Return the file that a layer extends; None if it extends nothing."""
    name = layer.values.get("extends")
    if name is None:
        return None
    where = layer.place(("extends",))
    if not isinstance(name, str) or not name:
        raise RecipeError(f"must be the path or name of a recipe (got {got(name)})", where=where)
    if not _looks_like_file(name):
        return _shipped(name, where=where)
    path = folder / name
    if not is_file(path):
        raise RecipeError(f"no such file (got {got(name)})", where=where, hint=f"it would be {shown(path)}")
    return path


def _shipped(name: str, *, where: str) -> Path:
    known = shipped_recipes()
    found = known.get(name.replace("_", "-"))
    if found is not None:
        return found
    if name and where == "recipe" and is_folder(Path(name)):
        raise RecipeError("is a directory, not a file", where=shown(Path(name)), hint="name a file in it")
    mine = next((file for suffix in _SUFFIXES if where == "recipe" and is_file(Path(file := f"{name}{suffix}"))), "")
    near = [mine] if mine else nearest(name, known, most=1)
    raise RecipeError(
        f"there is no shipped recipe of this name (got {got(name)}); there are {', '.join(known)}",
        where=where,
        hint=f"did you mean {near[0]}?" if near else "the name of a file needs a folder or .yaml in it",
    )


def _looks_like_file(text: str) -> bool:
    return "/" in text or os.sep in text or text.lower().endswith(_SUFFIXES)


def _steps(field: str | FieldPath) -> FieldPath:
    if not isinstance(field, str):
        return field
    return tuple(int(found[1]) if found[1] else found[2] for found in _STEP.finditer(field))
