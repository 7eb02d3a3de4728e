"""Which input a bypassed node passes on: the rule of ComfyUI's page."""

from __future__ import annotations

from collections.abc import Sequence


def passed_on(inputs: Sequence[str], output: str, slot: int, wanted: str) -> int:
    """Return the index of the input that stands in for an output; -1 for none.

    Args:
        inputs: The types of the node's inputs, in the order of its class.
        output: The type of the output.
        slot: The index of the output.
        wanted: The type of the input that the output is linked to.
    """
    if wanted in ("*", ""):
        return slot if len(inputs) > slot else 0 if inputs else -1
    if slot < len(inputs) and fits(inputs[slot], output) and fits(inputs[slot], wanted):
        return slot
    if wanted in inputs:
        return list(inputs).index(wanted)
    both = (index for index, type_ in enumerate(inputs) if fits(type_, output) and fits(type_, wanted))
    return next(both, -1)


def fits(one: str, other: str) -> bool:
    """Return whether a link may join two types: equal but for case, anything, or any member of a list with commas."""
    if _is_any(one) or _is_any(other) or one == other:
        return True
    members = set(one.lower().split(","))
    others = set(other.lower().split(","))
    return bool(members & others) or any(_is_any(each) for each in members | others)


def _is_any(type_: str) -> bool:
    return type_ in ("", "*")
