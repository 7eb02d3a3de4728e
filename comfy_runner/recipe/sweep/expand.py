"""A recipe's jobs: one for each point of its sweep, light until they are asked for more.

`parse` reads the axes; `planning.order` decides in which order jobs run.
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from comfy_runner.errors import Problem, RecipeError
from comfy_runner.recipe import names
from comfy_runner.recipe.job import Job, job, job_with_defaults
from comfy_runner.recipe.layers import conflict, patched, value_at
from comfy_runner.recipe.lint import validate
from comfy_runner.recipe.load import LoadedRecipe
from comfy_runner.recipe.problems import problems
from comfy_runner.recipe.schema import Recipe
from comfy_runner.recipe.sweep import ids
from comfy_runner.recipe.sweep.axes import UNSET, Draw, Matcher, Sweep, sameness
from comfy_runner.recipe.sweep.fields import Target, canonical, job_name
from comfy_runner.recipe.template_defaults import NO_DEFAULTS, TemplateDefaults
from comfy_runner.yaml_loader import FieldPath

OWN_FIELDS = ("seed", "prompt", "negative_prompt")
"""Fields on whose values nothing else of a job depends than what a template makes of them, and no note."""

_JOINT = ("loras", "params", "vars", "size", "upscale.factor", "upscale.size")
_Model = TypeVar("_Model", bound=BaseModel)
_MOST_SHARED = 10_000


@dataclass(frozen=True, slots=True)
class Variant:
    """One point of a recipe's sweep: one job. A recipe without a sweep has one.

    Attributes:
        loaded: The recipe, with its sweep.
        fields: The swept fields, dotted.
        point: Their values; `UNSET` for a field that keeps the recipe's own.
        job_id: Readable, safe as a file name, at most 80 characters, the same every time.
        shared: The recipes that the points of one sweep share; None where each makes its own.
        index: Which point of the sweep it is, from 1, whatever is chosen of them.
    """

    loaded: LoadedRecipe
    fields: tuple[str, ...]
    point: tuple[Any, ...]
    job_id: str
    shared: SharedRecipes | None = field(default=None, repr=False, compare=False)
    index: int = 1

    @property
    def assignments(self) -> dict[str, Any]:
        """The swept fields that this point gives, with their values; a drawn seed as the text of its `Draw`."""
        given = zip(self.fields, self.point, strict=True)
        return {field: str(value) if type(value) is Draw else value for field, value in given if value is not UNSET}

    @property
    def draw(self) -> Draw | None:
        """The seed that the caller has to draw, one for each prompt of a sweep; None where the recipe gives one."""
        seed = self._value("seed")
        if seed != "random":
            return seed if isinstance(seed, Draw) else None
        prompt = self.point[self.fields.index("prompt")] if "prompt" in self.fields else UNSET
        return Draw(prompt=prompt) if isinstance(prompt, str) else Draw()

    @property
    def recipe_name(self) -> str:
        """The name of its recipe, as a run folder and its ledger know it."""
        return names.slug(self.loaded.recipe.name)

    @property
    def seed(self) -> Any:
        """What the recipe of this point says of the seed: a number, ``random``, or what is drawn."""
        return self._value("seed")

    @property
    def prompt(self) -> str:
        """The recipe's text at this point."""
        return str(self._value("prompt") or "")

    @property
    def own(self) -> dict[str, int]:
        """The fields among `OWN_FIELDS` that this point gives, each with its index in the point."""
        given = enumerate(zip(self.fields, self.point, strict=True))
        return {name: index for index, (name, value) in given if name in OWN_FIELDS and value is not UNSET}

    @property
    def family(self) -> Hashable:
        """What is equal for points of one sweep that differ in nothing but their seeds and prompts (`OWN_FIELDS`)."""
        own = (type(value) if field in OWN_FIELDS else id(value) for field, value in zip(self.fields, self.point, strict=True))
        return id(self.loaded), *own

    @property
    def template(self) -> str:
        """Name or path of its template."""
        return str(self._value("template"))

    def _value(self, field: str) -> Any:
        value = self.point[self.fields.index(field)] if field in self.fields else UNSET
        return getattr(self.loaded.recipe, field) if value is UNSET else value

    def recipe(self, route: TemplateDefaults = NO_DEFAULTS) -> Recipe:
        """Return the recipe of this point alone, without a sweep; made anew each time.

        Args:
            route: What its template makes of recipes.

        Raises:
            RecipeError: The values do not go together.
        """
        sweep = self.loaded.sweep
        if sweep is None:
            return route.over(self.loaded.recipe)
        given = zip(sweep.targets, self.point, strict=True)
        changes = [(target.path, _in_recipe(value)) for target, value in given if value is not UNSET]
        try:
            return Recipe.model_validate(route.under(patched(sweep.merged.values, changes)))
        except ValidationError as error:
            raise self._refused(problems(error, place=lambda path: _place(sweep, path))) from None

    @property
    def alone(self) -> LoadedRecipe:
        """The recipe of this point alone, which knows where its values come from; made anew each time.

        Raises:
            RecipeError: The values do not go together.
        """
        return self.loaded if self.loaded.sweep is None else self.loaded.variant(self.recipe())

    def job(self, *, seed: int | None = None, route: TemplateDefaults = NO_DEFAULTS) -> Job:
        """Return the job.

        Args:
            seed: The first pass's seed, if the recipe says ``random``; see `draw`.
            route: What its template makes of recipes.

        Raises:
            RecipeError: The values do not go together.
            UsageError: A seed is needed and not given, given and not needed, or out of range.
        """
        if self.loaded.sweep is None:
            return job(self.loaded, seed=seed, route=route)
        recipe = self.shared.recipe(self, route) if self.shared else self.recipe(route)
        loaded = self.loaded.variant(recipe)
        if wrong := validate(recipe, outputs={}, where=loaded.where):
            raise self._refused(wrong)
        found = job_with_defaults(loaded, seed=seed, job_id=self.job_id, route=route, index=self.index)
        if found.outputs:
            self.refuse_paths(found)
        return found

    def refuse_paths(self, job: Job) -> None:
        """Make sure that the pictures of a job of this point can go where its recipe says.

        Raises:
            RecipeError: A path cannot be, or two are in each other's way.
        """
        if wrong := validate(job.recipe.recipe, outputs=job.outputs, where=job.recipe.where):
            raise self._refused(wrong)

    def _refused(self, wrong: Sequence[Problem]) -> RecipeError:
        return RecipeError.of(Problem(f"{problem.what} in job {self.job_id}", problem.where, problem.hint) for problem in wrong)


class SharedRecipes:
    """The recipes of a sweep's points with their template's defaults: put together and checked once for many points.

    Points share one but for the fields that hold a single value and go together with all others, such as the seed or the steps:
    these were checked by themselves.

    Args:
        targets: The swept fields.
    """

    def __init__(self, targets: Sequence[Target]) -> None:
        joint = {index for index, target in enumerate(targets) if target.model is not None or target.field.startswith(_JOINT)}
        self._others = sorted(joint)
        self._single = [(index, target.path) for index, target in enumerate(targets) if index not in joint]
        self._known: dict[tuple[int, ...], tuple[TemplateDefaults, Recipe]] = {}

    def recipe(self, variant: Variant, route: TemplateDefaults) -> Recipe:
        """Return the recipe of a point.

        Raises:
            RecipeError: The values do not go together.
        """
        point = variant.point
        if UNSET in point:  # its recipe gives fewer fields than those of other points
            return variant.recipe(route)
        key = (id(route), *(id(point[index]) for index in self._others))  # the sweep holds the values
        if key not in self._known:
            if len(self._known) >= _MOST_SHARED:
                self._known.clear()
            self._known[key] = route, variant.recipe(route)
        return _changed(self._known[key][1], [(path, _in_recipe(point[index])) for index, path in self._single])


def _changed(model: _Model, values: Sequence[tuple[FieldPath, Any]]) -> _Model:
    """Return a model with these values in it, which are right."""
    update = {str(path[0]): value for path, value in values if len(path) == 1}
    inner: dict[str, list[tuple[FieldPath, Any]]] = {}
    for (name, *rest), value in values:
        if rest:
            inner.setdefault(str(name), []).append((tuple(rest), value))
    return model.model_copy(update={**update, **{name: _changed(getattr(model, name), found) for name, found in inner.items()}})


def expand(loaded: LoadedRecipe) -> list[Variant]:
    """Return all points of a recipe's sweep: the first axis changes slowest, added points come last.

    Raises:
        RecipeError: No point is left.
    """
    sweep = loaded.sweep
    if sweep is None:
        return [Variant(loaded, (), (), names.slug(loaded.recipe.name))]
    fields = tuple(target.field for target in sweep.targets)
    points = [*_product(sweep, fields), *_included(sweep, fields, loaded.recipe)]
    if not points:
        raise RecipeError("leaves no job", where=loaded.where("sweep.exclude"))
    shared = SharedRecipes(sweep.targets)
    job_ids = _ids(loaded, fields, points)
    of_points = enumerate(zip(points, job_ids, strict=True), 1)
    return [Variant(loaded, fields, point, job_id, shared, index) for index, (point, job_id) in of_points]


def _in_recipe(value: Any) -> Any:
    return "random" if type(value) is Draw else value


def _place(sweep: Sweep, path: FieldPath) -> str:
    """Return the place of a field; of what is swept in it, where nobody gave the field as a whole."""
    merged = sweep.merged
    inner = next((target.path for target in sweep.targets if target.path[: len(path)] == path), path)
    return merged.place(path if merged.gave(path) else inner)


def _product(sweep: Sweep, fields: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    if sweep.only_includes:
        return
    left = (UNSET,) * (len(fields) - sum(len(axis.targets) for axis in sweep.axes))
    points = itertools.product(*(axis.rows.values() for axis in sweep.axes))
    if not sweep.exclusions:
        yield from ((*itertools.chain.from_iterable(rows), *left) for rows in points)
        return
    exclusions = Matcher(sweep.exclusions, fields)
    for rows, keys in zip(points, itertools.product(*(axis.rows for axis in sweep.axes)), strict=True):
        if not exclusions.holds(tuple(itertools.chain.from_iterable(keys))):
            yield (*itertools.chain.from_iterable(rows), *left)


def _included(sweep: Sweep, fields: Sequence[str], recipe: Recipe) -> Iterator[tuple[Any, ...]]:
    """Yield the added points that are not there yet; a field that one does not give counts as the recipe's own value."""
    paths = {target.field: target.path for target in sweep.targets}
    own = {field: sameness(_value(recipe, path)) for field, path in paths.items()}
    exclusions = Matcher(sweep.exclusions, fields)
    seen = set()
    for point in sweep.includes:
        given = {field: sameness(value) for field, value in point.items()}
        free = {field for field in fields if not any(conflict(paths[field], paths[other]) for other in given)}
        key = tuple(given.get(field, own[field] if field in free else UNSET) for field in fields)
        if key not in seen and not (_in_product(sweep, dict(zip(fields, key, strict=True)), own) and not exclusions.holds(key)):
            yield tuple(point.get(field, UNSET) for field in fields)
        seen.add(key)


def _in_product(sweep: Sweep, key: Mapping[str, Any], own: Mapping[str, Any]) -> bool:
    """Return whether a point is among those that the axes make, whatever is left out of them."""
    swept = {target.field for axis in sweep.axes for target in axis.targets}
    return (
        not sweep.only_includes
        and all(tuple(key[target.field] for target in axis.targets) in axis.rows for axis in sweep.axes)
        and all(value in (own[field], UNSET) for field, value in key.items() if field not in swept)
    )


def _value(recipe: Recipe, path: FieldPath) -> Any:
    here = value_at(recipe, path)
    found = canonical(here, here)
    return found.model_dump(mode="json", exclude_none=True) if isinstance(found, BaseModel) else found


def _ids(loaded: LoadedRecipe, fields: tuple[str, ...], points: Sequence[tuple[Any, ...]]) -> list[str]:
    name = names.slug(loaded.recipe.name)
    known: dict[tuple[str, int], tuple[ids.Token, ...]] = {}

    def tokens(field: str, value: Any) -> tuple[ids.Token, ...]:
        # The points share their values, so that each is made a token once.
        found = known.get((field, id(value)))
        if found is None:
            found = known[field, id(value)] = () if value is UNSET else ids.tokens(field, value)
        return found

    axes = loaded.sweep.axes if loaded.sweep else ()
    beside = {target.field for axis in axes if job_name() in axis.targets for target in axis.targets}  # what a name stands for

    def job_id(point: tuple[Any, ...]) -> str:
        own = point[fields.index("name")] if beside else UNSET
        is_named = own is not UNSET
        of = [(field, value) for field, value in zip(fields, point, strict=True) if not (is_named and field in beside)]
        start = names.slug(own) if is_named else name
        return ids.joined(start, [token for field, value in of for token in tokens(field, value)])

    job_ids = list(map(job_id, points))
    return ids.told_apart(job_ids, name, lambda index: Variant(loaded, fields, points[index], "").assignments)
