"""What users do to workflows, and what older pages wrote: edits of a workflow, drawn at random.

Each edit changes a parsed workflow in place and returns whether there was something to change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from tests.truth.levels import BYPASSED, MUTED, Level, Node, levels, subgraph_of

Classes = Mapping[str, Any]
"""A server's answer to ``GET /object_info``."""

Edit = Callable[[dict[str, Any], Random, Classes], bool]

_CONTROLS = ("fixed", "increment", "decrement", "randomize")
_PRIMITIVES = ("INT", "FLOAT", "STRING", "BOOLEAN")


def mute(workflow: dict[str, Any], random: Random, _classes: Classes) -> bool:
    """Mute one to three nodes."""
    return _set_mode(workflow, random, MUTED, most=3)


def bypass(workflow: dict[str, Any], random: Random, _classes: Classes) -> bool:
    """Bypass one to four nodes, those first that stand between others."""
    return _set_mode(workflow, random, BYPASSED, most=4)


def bypass_many(workflow: dict[str, Any], random: Random, _classes: Classes) -> bool:
    """Bypass a third of the nodes, so that some stand behind each other."""
    nodes = [node for level in levels(workflow) for node in level.real]
    for node in random.sample(nodes, len(nodes) // 3):
        _switch(workflow, node, BYPASSED)
    return len(nodes) >= 3


def reroute(workflow: dict[str, Any], random: Random, _classes: Classes) -> bool:
    """Put chains of one to four reroutes into one to four links."""
    found = [(level, wire) for level in levels(workflow) for wire in level.inner_wires()]
    for level, wire in random.sample(found, min(len(found), random.randint(1, 4))):
        node, target = level.node(wire.source), level.node(wire.target)
        assert node is not None
        assert target is not None
        level.disconnect(wire)
        output = wire.output
        for _ in range(random.randint(1, 4)):
            ends: dict[str, Any] = {
                "inputs": [{"name": "", "type": "*", "link": None}],
                "outputs": [{"name": "", "type": wire.type, "links": []}],
            }
            step = level.new_node("Reroute", **ends, properties={"showOutputText": False, "horizontal": False})
            level.connect(node, output, step, 0, wire.type)
            node, output = step, 0
        level.connect(node, output, target, wire.input, wire.type)
    return bool(found)


def primitive(workflow: dict[str, Any], random: Random, classes: Classes) -> bool:
    """Turn one to three widgets into inputs that a primitive feeds, with a value of its own."""
    found = [(level, node, name) for level in levels(workflow) for node in level.real for name in widgets_of(node, classes)]
    found = [one for one in found if not is_linked(one[1], one[2])]
    for level, node, name in random.sample(found, min(len(found), random.randint(1, 3))):
        type_, options = spec_of(classes, node, name)
        slot = _widget_input(node, name, type_)
        shown = "COMBO" if isinstance(type_, list) else type_
        value = other_value(type_, options, random)
        control = [random.choice(_CONTROLS)] if shown in ("INT", "FLOAT", "COMBO") else []
        output: dict[str, Any] = {"name": shown, "type": shown, "widget": {"name": name}, "links": []}
        source = level.new_node(
            "PrimitiveNode", outputs=[output], title=name, widgets_values=[value, *control],
            properties={"Run widget replace on values": False},
        )  # fmt: skip
        level.connect(source, 0, node, slot, shown)
    return bool(found)


def convert_widget(workflow: dict[str, Any], random: Random, classes: Classes) -> bool:
    """Turn one to five widgets into inputs to which nothing is linked, as pages did until 2025."""
    found = [(node, name) for level in levels(workflow) for node in level.real for name in widgets_of(node, classes)]
    found = [(node, name) for node, name in found if name not in _input_names(node)]
    for node, name in random.sample(found, min(len(found), random.randint(1, 5))):
        _widget_input(node, name, spec_of(classes, node, name)[0])
    return bool(found)


def shorten(workflow: dict[str, Any], random: Random, classes: Classes) -> bool:
    """Take the last one to three values away from one to three nodes, as if their classes had got widgets since."""
    found = [node for level in levels(workflow) for node in level.real if node["type"] in classes and _values(node)]
    for node in random.sample(found, min(len(found), random.randint(1, 3))):
        del node["widgets_values"][-random.randint(1, 3) :]
    return bool(found)


def lengthen(workflow: dict[str, Any], random: Random, classes: Classes) -> bool:
    """Give one or two nodes a value too many, as if their classes had lost a widget since."""
    found = [node for level in levels(workflow) for node in level.real if node["type"] in classes and _values(node)]
    for node in random.sample(found, min(len(found), random.randint(1, 2))):
        node["widgets_values"].append(random.choice(("", "image", 7, None, True)))
    return bool(found)


def old_controls(workflow: dict[str, Any], random: Random, _classes: Classes) -> bool:
    """Write what happens to seeds as pages of early 2023 did: true or false."""
    changed = False
    for level in levels(workflow):
        for node in level.real:
            values = _values(node)
            for index, value in enumerate(values):
                if index and value in _CONTROLS and isinstance(values[index - 1], int):
                    values[index] = random.choice((True, False))
                    changed = True
    return changed


def other_controls(workflow: dict[str, Any], random: Random, _classes: Classes) -> bool:
    """Choose anew what happens to seeds after a run."""
    changed = False
    for level in levels(workflow):
        for node in level.nodes:
            values = _values(node)
            for index, value in enumerate(values):
                if index and value in _CONTROLS:
                    values[index] = random.choice(_CONTROLS)
                    changed = True
    return changed


def other_values(workflow: dict[str, Any], random: Random, classes: Classes) -> bool:
    """Change one to six values of widgets that stand where the page writes them now."""
    found = [node for level in levels(workflow) for node in level.real if node["type"] in classes and _values(node)]
    for node in random.sample(found, min(len(found), random.randint(1, 6))):
        values = _values(node)
        index = random.randrange(len(values))
        if isinstance(values[index], bool):
            values[index] = not values[index]
        elif isinstance(values[index], int):
            values[index] += random.choice((1, 8))
        elif isinstance(values[index], float):
            values[index] = round(values[index] + random.choice((0.05, 0.5)), 6)
        elif isinstance(values[index], str) and values[index] not in _CONTROLS and "\n" in values[index]:
            values[index] += random.choice((", 'quoted' \"twice\"", " (a:1.2) [b] ünï", "\n\\(c\\)"))
    return bool(found)


def other_modes(workflow: dict[str, Any], random: Random, _classes: Classes) -> bool:
    """Have one to three nodes run on an event or a trigger, which the page's menu offers and takes for always."""
    found = [node for level in levels(workflow) for node in level.real]
    for node in random.sample(found, min(len(found), random.randint(1, 3))):
        node["mode"] = random.choice((1, 3))
    return bool(found)


def reorder_inputs(workflow: dict[str, Any], random: Random, classes: Classes) -> bool:
    """List the inputs of one to four nodes in another order, as if that of their classes had been another.

    Nodes at the edge of a subgraph are left alone: the page looks up its values by the index of their inputs, and errs.
    """
    found = []
    for level in levels(workflow):
        inner, all_ = level.inner_wires(), level.wires()
        at_edge = {id_ for wire in all_ if wire not in inner for id_ in (wire.source, wire.target)}
        nodes = (node for node in level.real if node["type"] in classes and node["id"] not in at_edge)
        found += [(level, node) for node in nodes if len(node.get("inputs") or ()) > 1]
    for level, node in random.sample(found, min(len(found), random.randint(1, 4))):
        level.set_inputs(node, random.sample(node["inputs"], len(node["inputs"])))
    return bool(found)


def lost_input(workflow: dict[str, Any], random: Random, classes: Classes) -> bool:
    """Give one or two nodes an input that their classes do not have, first or last, linked where something fits."""
    found = [(level, node) for level in levels(workflow) for node in level.real if node["type"] in classes]
    for level, node in random.sample(found, min(len(found), random.randint(1, 2))):
        slots = list(node.get("inputs") or ())
        old = {"name": "former_input", "type": "IMAGE", "link": None}
        at = random.choice((0, len(slots)))
        level.set_inputs(node, [*slots[:at], old, *slots[at:]])
        wires = [wire for wire in level.inner_wires() if wire.type == "IMAGE" and wire.target != node["id"]]
        if wires and random.random() < 0.5:
            source = level.node(random.choice(wires).source)
            output = next((i for i, slot in enumerate(source["outputs"]) if slot["type"] == "IMAGE"), None) if source else None
            if source is not None and output is not None:
                level.connect(source, output, node, at, "IMAGE")
    return bool(found)


def forget_values(workflow: dict[str, Any], random: Random, classes: Classes) -> bool:
    """Take all values away from one or two nodes."""
    found = [node for level in levels(workflow) for node in level.real if node["type"] in classes and _values(node)]
    for node in random.sample(found, min(len(found), random.randint(1, 2))):
        del node["widgets_values"]
    return bool(found)


def forget_link(workflow: dict[str, Any], random: Random, _classes: Classes) -> bool:
    """Have one end of one or two links forget it: an input, or an output."""
    found = [(level, wire) for level in levels(workflow) for wire in level.inner_wires()]
    for level, wire in random.sample(found, min(len(found), random.randint(1, 2))):
        source, target = level.node(wire.source), level.node(wire.target)
        assert source is not None
        assert target is not None
        if random.random() < 0.5:
            target["inputs"][wire.input]["link"] = None
        else:
            output = source["outputs"][wire.output]
            output["links"] = [id_ for id_ in output["links"] or () if id_ != wire.id]
    return bool(found)


def widgets_of(node: Node, classes: Classes) -> list[str]:
    """Return the names of a node's plain widgets."""
    return [name for name, spec in _specs(node, classes) if isinstance(spec[0], list) or spec[0] in (*_PRIMITIVES, "COMBO")]


def spec_of(classes: Classes, node: Node, name: str) -> tuple[Any, dict[str, Any]]:
    """Return the type of a widget and what the server says of it besides."""
    spec = dict(_specs(node, classes))[name]
    return spec[0], spec[1] if len(spec) > 1 else {}


def other_value(type_: Any, options: Mapping[str, Any], random: Random) -> Any:
    """Return a value that a widget takes."""
    choices = type_ if isinstance(type_, list) else options.get("options") if type_ == "COMBO" else None
    if choices is not None:
        return random.choice(choices) if choices else "missing.safetensors"
    if type_ == "BOOLEAN":
        return random.choice((True, False))
    if type_ == "STRING":
        return random.choice(("a red fox", "two\nlines", 'say "so", it\'s ünï'))
    least, most = options.get("min", 0), min(options.get("max", 100), 10_000)
    if type_ == "INT":
        step = options.get("step", 1) or 1
        return int(least + step * random.randint(0, max(0, min(int((most - least) // step), 50))))
    return round(random.uniform(least, max(least, min(most, 4.0))), 1)


def is_linked(node: Node, name: str) -> bool:
    """Return whether a link feeds an input of a node."""
    return any(slot["name"] == name and slot.get("link") is not None for slot in node.get("inputs") or ())


def _set_mode(workflow: dict[str, Any], random: Random, mode: int, *, most: int) -> bool:
    found = [(level, node) for level in levels(workflow) for node in level.real if node.get("mode", 0) == 0]
    between = [node for level, node in found if _is_between(level, node)]
    chosen = [node for _, node in random.sample(found, min(len(found), random.randint(1, most)))]
    if between:
        chosen.append(random.choice(between))
    for node in chosen:
        _switch(workflow, node, mode)
    return bool(found)


def _switch(workflow: dict[str, Any], node: Node, mode: int) -> None:
    """Set a node's mode and, as the page does, that of all nodes of the subgraph that it is an instance of."""
    node["mode"] = mode
    subgraph = subgraph_of(workflow, node)
    for inner in subgraph["nodes"] if subgraph is not None else ():
        _switch(workflow, inner, mode)


def _is_between(level: Level, node: Node) -> bool:
    wires = level.wires()
    return any(wire.source == node["id"] for wire in wires) and any(wire.target == node["id"] for wire in wires)


def _specs(node: Node, classes: Classes) -> list[tuple[str, list[Any]]]:
    groups = classes.get(node["type"], {}).get("input", {})
    specs = [(name, spec) for group in ("required", "optional") for name, spec in (groups.get(group) or {}).items()]
    return [
        (name, spec)
        for name, spec in specs
        if not (len(spec) > 1 and isinstance(spec[1], dict) and (spec[1].get("forceInput") or spec[1].get("image_upload")))
    ]


def _values(node: Node) -> list[Any]:
    values = node.get("widgets_values")
    return values if isinstance(values, list) else []


def _input_names(node: Node) -> list[str]:
    return [slot["name"] for slot in node.get("inputs") or ()]


def _widget_input(node: Node, name: str, type_: Any) -> int:
    """Return the index of a widget's input, which is made if it is not there."""
    if name not in _input_names(node):
        node["inputs"] = [
            *(node.get("inputs") or ()),
            {"name": name, "type": "COMBO" if isinstance(type_, list) else type_, "widget": {"name": name}, "link": None},
        ]
    return _input_names(node).index(name)
