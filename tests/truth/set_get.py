"""Links replaced by Set and Get nodes, whose node pack the engine lacks: what the page makes of the links is the truth for them."""

from __future__ import annotations

from random import Random
from typing import Any

from tests.truth.levels import Level, Wire, levels, subgraph_of


def set_get(workflow: dict[str, Any], random: Random) -> bool:
    """Replace one to four links of a level by a Set and a Get of the same name; some through the Set's own output.

    Returns:
        Whether there was a link.
    """
    found = [(level, wire) for level in levels(workflow) for wire in level.inner_wires()]
    for level, wire in random.sample(found, min(len(found), random.randint(1, 4))):
        target = level.node(wire.target)
        assert target is not None
        name = _name(level, wire, random)
        setter = _setter(level, wire, name)
        level.disconnect(wire)
        if random.random() < 0.2:
            level.connect(setter, 0, target, wire.input, wire.type)
        else:
            level.connect(_getter(level, wire, name), 0, target, wire.input, wire.type)
    return bool(found)


def set_above(workflow: dict[str, Any], random: Random) -> bool:
    """Replace a link into a subgraph by a Set above it and a Get within it.

    Returns:
        Whether there was such a link, to a subgraph that is used once.
    """
    top = Level(workflow, workflow)
    found = []
    for wire in top.inner_wires():
        target = top.node(wire.target)
        assert target is not None
        subgraph = subgraph_of(workflow, target)
        if subgraph is not None and "widget" not in target["inputs"][wire.input]:
            found.append((wire, target, subgraph))
    if not found:
        return False
    wire, target, subgraph = random.choice(found)
    inside = Level(subgraph, workflow)
    name = target["inputs"][wire.input]["name"]
    slot = next(index for index, edge in enumerate(subgraph["inputs"]) if edge["name"] == name)
    uses = [node for level in levels(workflow) for node in level.nodes if node["type"] == subgraph["id"]]
    entering = [one for one in inside.wires() if one.source < 0 and one.output == slot and inside.node(one.target) is not None]
    if len(uses) > 1 or not entering:
        return False
    variable = _name(top, wire, random)
    _setter(top, wire, variable)
    top.disconnect(wire)
    getter = _getter(inside, wire, variable)
    for one in entering:
        node = inside.node(one.target)
        assert node is not None
        inside.disconnect(one)
        inside.connect(getter, 0, node, one.input, one.type)
    return True


def _name(level: Level, wire: Wire, random: Random) -> str:
    """Return a name that no other Set has; pages let it be anything."""
    number = 1 + sum(node["type"] == "SetNode" for node in level.nodes)
    return random.choice((f"{wire.type}_{wire.id}_{number}", f"the {wire.type} of {wire.id} {number}"))


def _setter(level: Level, wire: Wire, name: str) -> dict[str, Any]:
    source = level.node(wire.source)
    assert source is not None
    ends = {
        "inputs": [{"name": wire.type, "type": wire.type, "link": None}],
        "outputs": [{"name": "*", "type": "*", "links": None}],
    }
    setter = level.new_node("SetNode", title=f"Set_{name}", properties={"previousName": name}, widgets_values=[name], **ends)
    level.connect(source, wire.output, setter, 0, wire.type)
    return setter


def _getter(level: Level, wire: Wire, name: str) -> dict[str, Any]:
    output = {"name": wire.type, "type": wire.type, "links": []}
    return level.new_node("GetNode", title=f"Get_{name}", widgets_values=[name], outputs=[output])
