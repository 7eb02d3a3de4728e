"""Samplers and schedulers in recipes by the web UIs' names: they become ComfyUI's before layers are merged, and that is said.

``sampler: {name: DPM++ 2M Karras}`` is ``name: dpmpp_2m`` with ``scheduler: karras``. A name with a schedule counts as if its layer
gave both fields: it replaces the scheduler of the recipe that is extended, and a scheduler given in a later layer replaces its own.
Two different ones in the same layer, or both on the command line, are an error. A name without a schedule, such as ``Euler a``,
leaves the scheduler as it is. ``DDIM`` has ``ddim_uniform`` where its layer gives no scheduler. Names of ComfyUI are never changed.
Points of a sweep are translated in the same way: a name with a schedule is a value of both fields.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from comfy_runner.errors import Note, Problem
from comfy_runner.recipe.layers import Layer, Merged, value_at
from comfy_runner.recipe.sampler_names import SamplerName, sampler_of, scheduler_of
from comfy_runner.yaml_loader import FieldPath, got

SAMPLERS: tuple[FieldPath, ...] = (("sampler",), ("upscale", "sampler"))
"""The fields that have a ``name`` and a ``scheduler``."""


@dataclass(frozen=True, slots=True)
class Translation:
    """A value with the web UIs' names in it, in ComfyUI's.

    Attributes:
        value: The value in ComfyUI's names; the very same object where there is nothing to change.
        words: What was changed, as it was written, by the path within the value; see `sentence`.
        problems: Schedulers that contradict a name, by the path within the value.
    """

    value: Any
    words: Mapping[FieldPath, str]
    problems: Mapping[FieldPath, Problem]


def schedule_in(name: Any) -> SamplerName | None:
    """Return what a sampler's name is in ComfyUI, where it is one of the web UIs' that says the scheduler too."""
    found = sampler_of(name) if isinstance(name, str) else None
    return found if found is not None and found.scheduler else None


def translated(value: Any, path: FieldPath) -> Translation:
    """Return a value of a recipe in ComfyUI's names.

    Args:
        value: The value of a field, of one that holds it, or of the recipe as a whole; plain Python.
        path: The steps to the field; of the name of a sampler alone, a scheduler that it says is left out.
    """
    if path[:-1] in SAMPLERS and isinstance(value, str):
        return _word(value, path[-1])
    if path in SAMPLERS and isinstance(value, Mapping):
        return _sampler(value)
    inner = dict.fromkeys(step for known in SAMPLERS if known[: len(path)] == path for step in known[len(path) : len(path) + 1])
    if not isinstance(value, Mapping):
        return Translation(value, {}, {})
    found = {step: translated(value[step], (*path, step)) for step in inner if step in value}
    words = {(step, *at): word for step, each in found.items() for at, word in each.words.items()}
    problems = {(step, *at): problem for step, each in found.items() for at, problem in each.problems.items()}
    changed = {step: each.value for step, each in found.items()} if words else {}
    return Translation({**value, **changed} if changed else value, words, problems)


def _word(value: str, field: str | int) -> Translation:
    known = sampler_of(value) if field == "name" else None
    word = known.name if known else scheduler_of(value) if field == "scheduler" else ""
    if not word:
        return Translation(value, {}, {})
    return Translation(word, {(): value}, {})


def sentence(word: str, field: str | int, scheduler: Any) -> str:
    """Return what the user is told of a word that was changed: ``"DPM++ 2M Karras" is dpmpp_2m with karras in ComfyUI``.

    Args:
        word: As it was written.
        field: ``name`` or ``scheduler``, which it is.
        scheduler: The scheduler that there is beside the name; None where it is what the name says.
    """
    known = sampler_of(word) if field == "name" else None
    if known is None:
        return f"{got(word)} is {scheduler_of(word)} in ComfyUI"
    return f"{got(word)} is {known if scheduler in (None, known.scheduler) else known.name} in ComfyUI"


def _sampler(value: Mapping[str, Any]) -> Translation:
    found = {key: translated(value[key], ("sampler", key)) for key in ("name", "scheduler") if key in value}
    words: dict[FieldPath, str] = {(key,): word for key, each in found.items() for word in each.words.values()}
    changed = {key: each.value for key, each in found.items()}
    known, given = schedule_in(value.get("name")), changed.get("scheduler")
    problems: dict[FieldPath, Problem] = {}
    if known is not None and given is None:
        changed["scheduler"] = known.scheduler
    elif known is not None and (wrong := contradiction(value["name"], known, given)):
        problems[("scheduler",)] = wrong
    return Translation({**value, **changed} if words else value, words, problems)


def contradiction(name: str, known: SamplerName, scheduler: Any) -> Problem | None:
    """Return what is wrong with a scheduler beside a sampler's name that says another one; None for nothing.

    Args:
        name: The name as it is written.
        known: What it is in ComfyUI.
        scheduler: ComfyUI's name. Beside ``DDIM`` it may be any: that name has no schedule in it.
    """
    if scheduler == known.scheduler or sampler_of(f"{name} karras") is not None:
        return None
    hint = f"write name: {known.name} beside it, or remove it"
    return Problem(f"{got(name)} has the scheduler {known.scheduler} (got {got(scheduler)})", hint=hint)


def in_comfyui_words(layers: Sequence[Layer], over: Sequence[Layer]) -> tuple[list[Layer], list[Layer], list[Problem]]:
    """Return layers in ComfyUI's names, with what was changed among their remarks, and what is wrong with them.

    Args:
        layers: Those of files and of Python code.
        over: Those of the command line, each of one field, which count as one: none of them replaces another.
    """
    problems: list[Problem] = []
    files = [_layer(layer, problems) for layer in layers]
    given = {path: layer for layer in over for path in SAMPLERS if value_at(layer.values, (*path, "scheduler")) is not None}
    return files, [_override(layer, given, problems) for layer in over], problems


def changes(layer: Layer, merged: Merged) -> Iterator[Note]:
    """Yield what the user is told of the words of a layer that count in what is merged of it and others."""
    for path, word in layer.words.items():
        if merged.origin(path) is layer:
            scheduler = value_at(merged.values, (*path[:-1], "scheduler"))
            yield Note(sentence(word, path[-1], scheduler), layer.place(path), "changed")


def _layer(layer: Layer, problems: list[Problem]) -> Layer:
    found = translated(layer.values, ())
    problems += [replace(problem, where=layer.place(path)) for path, problem in found.problems.items()]
    return replace(layer, values=found.value, words=found.words) if found.words else layer


def _override(layer: Layer, given: Mapping[FieldPath, Layer], problems: list[Problem]) -> Layer:
    changed = _layer(layer, problems)
    for path, known in _schedules(layer):
        other = given.get(path)
        if other is None or other is layer:
            continue
        scheduler = value_at(translated(other.values, ()).value, (*path, "scheduler"))
        if wrong := contradiction(value_at(layer.values, (*path, "name")), known, scheduler):
            problems.append(replace(wrong, where=other.place((*path, "scheduler"))))
        changed = replace(changed, values=_without_scheduler(changed.values, path))
    return changed


def _schedules(layer: Layer) -> Iterator[tuple[FieldPath, SamplerName]]:
    for path in SAMPLERS:
        known = schedule_in(value_at(layer.values, (*path, "name")))
        if known is not None and value_at(layer.values, (*path, "scheduler")) is None:
            yield path, known


def _without_scheduler(values: Mapping[str, Any], path: FieldPath) -> dict[str, Any]:
    step, *rest = path
    inner = values[str(step)]
    if rest:
        return {**values, str(step): _without_scheduler(inner, tuple(rest))}
    return {**values, str(step): {key: value for key, value in inner.items() if key != "scheduler"}}


def translated_point(point: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a point of a sweep, or several values for each field, in ComfyUI's names.

    Args:
        point: Values by dotted field, or lists of them. Where one of a list says its scheduler, each becomes a point of its own.
    """
    points = [dict(point)]
    for path in SAMPLERS:
        name, scheduler = ".".join((*map(str, path), "name")), ".".join((*map(str, path), "scheduler"))
        given = point.get(name)
        values = given if isinstance(given, list) else [given]
        schedules = {known.scheduler for value in values if (known := schedule_in(value))}
        if schedules and scheduler not in point:
            each = [({name: value}, schedule_in(value)) for value in values]
            both = [named | ({scheduler: known.scheduler} if known else {}) for named, known in each]
            points = [{**found, **chosen} for found in points for chosen in both]
    return [{field: _of_field(field, value) for field, value in found.items()} for found in points]


def _of_field(field: str, value: Any) -> Any:
    path = tuple(field.split("."))
    if isinstance(value, list) and path[:-1] in SAMPLERS:
        return [translated(each, path).value for each in value]
    return translated(value, path).value
