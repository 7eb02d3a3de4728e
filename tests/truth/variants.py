"""Variants of workflows, each drawn with a seed of its own: which kinds there are, and how one is made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from playwright.sync_api import Error as PageError

from tests.truth import edits
from tests.truth.edits import Classes, Edit, widgets_of
from tests.truth.front_end import FrontEnd
from tests.truth.levels import Level, Wire
from tests.truth.set_get import set_above, set_get

_EDITS: dict[str, tuple[int, tuple[Edit, ...]]] = {
    "mute": (22, (edits.mute,)),
    "bypass": (24, (edits.bypass,)),
    "bypass-many": (12, (edits.bypass_many,)),
    "mute-bypass": (14, (edits.mute, edits.bypass)),
    "reroute": (18, (edits.reroute,)),
    "reroute-bypass": (12, (edits.reroute, edits.bypass)),
    "primitive": (18, (edits.primitive,)),
    "converted": (8, (edits.convert_widget,)),
    "short": (12, (edits.shorten,)),
    "long": (6, (edits.lengthen,)),
    "old-control": (10, (edits.old_controls,)),
    "control": (4, (edits.other_controls,)),
    "value": (8, (edits.other_values,)),
    "mode": (4, (edits.other_modes,)),
    "reorder": (10, (edits.reorder_inputs,)),
    "lost-input": (6, (edits.lost_input,)),
    "no-values": (6, (edits.forget_values,)),
    "lost-link": (6, (edits.forget_link,)),
}
_MIXED = (
    *(edits.mute, edits.bypass, edits.reroute, edits.primitive, edits.convert_widget),
    *(edits.old_controls, edits.other_values),
)
_OTHERS = {"mixed": 20, "set-get": 16, "set-above": 6, "saved": 8, "v1": 16, "subgraph": 16, "nested": 12, "promoted": 14}

KINDS: Mapping[str, int] = {kind: count for kind, (count, _) in _EDITS.items()} | _OTHERS
"""How many variants there are of each kind."""

_TRIES = 40


@dataclass(frozen=True, slots=True)
class Variant:
    """A workflow that is to be converted.

    Attributes:
        template: The name of the workflow that it was made of.
        workflow: What is converted, as JSON text.
        asked: What the page is asked to export instead, where it does not know all nodes; None for the workflow itself.
    """

    template: str
    workflow: str
    asked: str | None = None


class NothingToVaryError(Exception):
    """No template has what a kind of variant changes."""


def make_variant(kind: str, seed: str, templates: Mapping[str, str], classes: Classes, page: FrontEnd) -> Variant:
    """Make one variant of a template that it chooses itself.

    Args:
        kind: One of `KINDS`.
        seed: Equal seeds give equal variants, but for ids that the page draws.
        templates: Workflows as JSON texts, by name.
        classes: What the server says of its nodes.
        page: The front end, which saves workflows and makes subgraphs.

    Raises:
        NothingToVaryError: Of some tens of templates, none had what is to be changed.
    """
    random = Random(seed)  # noqa: S311
    for _ in range(_TRIES):
        name = random.choice(sorted(templates))
        text = templates[name]
        try:
            variant = _variant(kind, random, text, classes, page)
        except PageError:
            continue
        if variant is not None:
            workflow, asked = variant
            return Variant(name, workflow, asked)
    raise NothingToVaryError(f"{kind}, seed {seed}")


def _variant(kind: str, random: Random, text: str, classes: Classes, page: FrontEnd) -> tuple[str, str | None] | None:
    workflow = json.loads(text)
    if kind in ("set-get", "set-above"):
        if random.random() < 0.4:
            edits.mute(workflow, random, classes)
        asked = json.dumps(workflow)
        changed = set_get(workflow, random) if kind == "set-get" else set_above(workflow, random)
        return (json.dumps(workflow), asked) if changed else None
    if kind in _EDITS:
        chosen = _EDITS[kind][1]
    elif kind == "mixed":
        chosen = tuple(random.sample(_MIXED, 3))
    else:
        chosen = (random.choice(_MIXED),) if random.random() < 0.5 else ()
    if not all(edit(workflow, random, classes) for edit in chosen):
        return None
    edited = json.dumps(workflow)
    if kind == "saved":
        return page.serialised(edited, 0.4), None
    if kind == "v1":
        return page.serialised(edited, 1), None
    if kind in ("subgraph", "nested", "promoted"):
        return _in_subgraph(kind, random, workflow, classes, page)
    return edited, None


def _in_subgraph(
    kind: str, random: Random, workflow: dict[str, Any], classes: Classes, page: FrontEnd
) -> tuple[str, str | None] | None:
    top = Level(workflow, workflow)
    outer = _neighbours(top, random, 7 if kind == "nested" else 5)
    if len(outer) < (3 if kind == "nested" else 1):
        return None
    inner = outer[: max(1, len(outer) // 2)]
    layers = [outer, inner] if kind == "nested" else [outer]
    promoted = _widgets(top, inner, random, classes) if kind == "promoted" or random.random() < 0.3 else []
    if kind == "promoted" and not promoted:
        return None
    return page.nested(json.dumps(workflow), layers, promoted), None


def _neighbours(level: Level, random: Random, most: int) -> list[int]:
    """Return the ids of up to `most` nodes that hang together, those first that were reached first."""
    wires: list[Wire] = level.inner_wires()
    found = [random.choice(level.real)["id"]]
    wanted = random.randint(min(2, most), most)
    while len(found) < wanted:
        near = {wire.target for wire in wires if wire.source in found} | {wire.source for wire in wires if wire.target in found}
        if not near.difference(found):
            break
        found.append(random.choice(sorted(near.difference(found))))
    return found


def _widgets(level: Level, ids: list[int], random: Random, classes: Classes) -> list[tuple[int, str, Any]]:
    """Choose up to three widgets of different names that no link feeds, and values for some."""
    found = {}
    for node in level.nodes:
        for name in widgets_of(node, classes) if node["id"] in ids else ():
            if not edits.is_linked(node, name):
                found[name] = node
    promoted = []
    for name in random.sample(sorted(found), min(len(found), random.randint(1, 3))):
        type_, options = edits.spec_of(classes, found[name], name)
        value = edits.other_value(type_, options, random) if random.random() < 0.6 else None
        promoted.append((found[name]["id"], name, value))
    return promoted
