"""Along what pictures are laid out, and how: the one rule of the page and the sheet. Functions of values.

Fields that move together, as zipped ones and the columns of a table do, are one dimension, and pictures that would fill less than
half of a table are a wrapped gallery.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from comfy_runner.report.run_data import DENOISE, PICTURE, RECIPE, Axis, Entry, Material, key, label, main_axis, short_name

_PROMPTS = ("prompt", "negative_prompt")

_SEEDS = ("seed", "upscale.seed", PICTURE)
_NAMES = ("name", "title", "label")
_MODEL_SUFFIXES = (".safetensors", ".ckpt", ".gguf", ".sft")
_MOST_COLUMNS = 24
_LONGEST = 40
_SOME = 1000


@dataclass(frozen=True, slots=True)
class GridDimension:
    """What rows or columns can stand for: a field, or several that move together.

    Attributes:
        name: What it is called.
        axes: Its fields. The first tells the places apart, and has a value for each, in their order.
        labels: What each place is called, as short as can be; no two are equal.
    """

    name: str
    axes: tuple[Axis, ...]
    labels: tuple[str, ...]

    def place(self, entry: Entry) -> int:
        """Return the place of a job, from 0."""
        return _index(self.axes[0])[key(entry.values.get(self.axes[0].field))]

    def places(self, entries: Sequence[Entry]) -> list[int]:
        """Return the places of many jobs."""
        return _places(self.axes[0], entries)


@dataclass(frozen=True, slots=True)
class GridLayout:
    """How pictures are laid out where nobody has chosen.

    Attributes:
        rows: The dimensions of which each combination is a row; none in a gallery.
        columns: The dimension of the columns; None in a gallery.
    """

    rows: tuple[GridDimension, ...] = ()
    columns: GridDimension | None = None

    @property
    def is_gallery(self) -> bool:
        """Whether the pictures follow one another, wrapped, each with its values below it."""
        return self.columns is None


def dimensions(material: Material) -> tuple[GridDimension, ...]:
    """Return the dimensions of a run, in the order in which its sweeps name their first fields; each axis is in one of them.

    An axis joins another one whose value tells its own in every job. A seed or a recipe joins, or is joined, only where it has as
    many values: that every job has a seed of its own does not make one row of all axes.
    """
    places = {axis.field: _places(axis, material.entries) for axis in material.axes}
    order = {axis.field: at for at, axis in enumerate(material.axes)}
    free = sorted(material.axes, key=lambda axis: (-len(axis.values), _rank(axis), order[axis.field]))
    found = []
    while free:
        first, *others = free
        joined = [axis for axis in others if _may_join(first, axis) and _tells(places[first.field], places[axis.field])]
        free = [axis for axis in others if axis not in joined]
        found.append((first, *sorted(joined, key=lambda axis: order[axis.field])))
    found.sort(key=lambda axes: min(order[axis.field] for axis in axes))
    return tuple(_dimension(material, axes, places) for axes in found)


def is_of_prompts(axis: Axis) -> bool:
    """Return whether an axis' values are prompts, or words in them, which lie on no scale."""
    return axis.field in _PROMPTS or axis.field.startswith("vars.")


def usual_layout(material: Material, known: Sequence[GridDimension], across: Axis | None = None) -> GridLayout:
    """Return how a run is laid out where nobody has chosen.

    Args:
        material: The run.
        known: Its `dimensions`.
        across: The axis that is looked at; None for denoise, or else the last one. It makes the columns, unless it has more than
            24 values and another has fewer.
    """
    if len(known) < 2:
        return GridLayout()
    narrow = [each for each in known if len(each.labels) <= _MOST_COLUMNS]
    wanted = across or main_axis(material)
    columns = next((each for each in narrow or known if wanted in each.axes), (narrow or known)[-1])
    rows = tuple(each for each in known if each is not columns)
    lines = list(zip(*(each.places(material.entries) for each in rows), strict=True))
    filled = len(set(zip(lines, columns.places(material.entries), strict=True)))
    if 2 * filled < len(set(lines)) * len(columns.labels):
        return GridLayout()
    return GridLayout(rows, columns)


def short_labels(values: Sequence[Any]) -> tuple[str, ...]:
    """Return what the values of an axis are called where there is little room; those that differ have different ones.

    Model files are named without their folders and suffixes where that tells them apart, long texts by the words in which they
    begin to differ.
    """
    whole = [label(value) for value in values]
    short = whole
    if any(map(_is_model, whole)):
        bare = [_without_suffix(text) for text in whole]
        names = [
            name.replace("\\", "/").rpartition("/")[2] if _is_model(text) else text for text, name in zip(whole, bare, strict=True)
        ]
        short = next((texts for texts in (names, bare) if len(set(texts)) == len(set(whole))), whole)
    return _differing_words(short) if max(map(len, short), default=0) > _LONGEST else tuple(short)


def _rank(axis: Axis) -> int:
    """Return what is lower for what tells more of a place."""
    if axis.field == DENOISE:
        return 0
    if _is_name(axis):
        return 1
    return 4 if axis.field in _SEEDS else 3 if axis.field == RECIPE else 2


def _is_name(axis: Axis) -> bool:
    folder, _, last = axis.field.rpartition(".")
    return folder in ("", "params") and last in _NAMES


def _may_join(first: Axis, other: Axis) -> bool:
    return len(first.values) == len(other.values) or (first.field not in _SEEDS and other.field != RECIPE)


def _tells(places: Sequence[int], others: Sequence[int]) -> bool:
    """Return whether jobs of the same place along one axis are of the same place along another."""
    for some in (slice(_SOME), slice(None)):  # most that do not are told by a few jobs
        if len(set(zip(places[some], others[some], strict=True))) > len(set(places[some])):
            return False
    return True


def _dimension(material: Material, axes: tuple[Axis, ...], places: dict[str, list[int]]) -> GridDimension:
    told = [axis for axis in axes if _is_name(axis)] or [axis for axis in axes if axis.field == "prompt"]
    told = (told or [axis for axis in axes if axis.field not in _SEEDS] or list(axes))[:3]
    labels = {axis.field: short_labels(axis.values) for axis in told}
    at = [dict(zip(places[axes[0].field], places[axis.field], strict=True)) for axis in told]
    texts = [
        " · ".join(labels[axis.field][of[place]] for axis, of in zip(told, at, strict=True) if place in of)
        for place in range(len(axes[0].values))
    ]
    name = ", ".join(short_name(material, axis).replace("_", " ") for axis in told)
    return GridDimension(name, axes, _numbered(texts))


def _numbered(texts: Sequence[str]) -> tuple[str, ...]:
    """Return texts of which equal ones have their number behind them."""
    counts: dict[str, int] = {}
    for text in texts:
        counts[text] = counts.get(text, 0) + 1
    seen: dict[str, int] = {}
    found = []
    for text in texts:
        seen[text] = seen.get(text, 0) + 1
        found.append(f"{text} ({seen[text]})" if counts[text] > 1 else text)
    return tuple(found)


def _is_model(text: str) -> bool:
    return text.casefold().endswith(_MODEL_SUFFIXES)


def _without_suffix(text: str) -> str:
    return text.rpartition(".")[0] if _is_model(text) else text


def _differing_words(texts: Sequence[str]) -> tuple[str, ...]:
    """Return long texts without the words that all of them begin and end with, cut where they differ already."""
    words = [text.split() for text in texts]
    begin = _shared(words)
    end = _shared([part[begin:][::-1] for part in words])
    cores = [" ".join(part[begin : len(part) - end]) for part in words]
    ellipsis = "… " if begin else ""
    short = [
        text if len(text) <= _LONGEST else f"{ellipsis}{_cut(core or text).rstrip(' ,;')}"
        for text, core in zip(texts, cores, strict=True)
    ]
    return _numbered(short)


def _shared(texts: Sequence[Sequence[str]]) -> int:
    """Return how many words all texts begin with."""
    return sum(1 for _ in takewhile(lambda words: len(set(words)) == 1, zip(*texts, strict=False)))


def _cut(text: str) -> str:
    if len(text) <= _LONGEST:
        return text
    head = text[:_LONGEST]
    return f"{head.rpartition(' ')[0] or head}…"


def _index(axis: Axis) -> dict[str, int]:
    return {key(value): at for at, value in enumerate(axis.values)}


def _places(axis: Axis, entries: Sequence[Entry]) -> list[int]:
    index = _index(axis)
    return [index[key(entry.values.get(axis.field))] for entry in entries]
