"""What the controls of a node say: the list of its values in a file, read by the order of its class's controls."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from comfy_runner.graph.literals import is_number
from comfy_runner.graph.page_control import PageControl
from comfy_runner.importer.convert.controls import COMPARISON, Control, Layout
from comfy_runner.importer.convert.page_graph import PageNode
from comfy_runner.importer.convert.page_text import processed
from comfy_runner.wording import counted
from comfy_runner.yaml_loader import got

_AFTER_EACH_RUN = ("fixed", "increment", "decrement", "randomize", "increment-wrap", True, False, None, "")
_ANNOTATED = re.compile(r"\[(?:input|output|temp)\]", re.IGNORECASE)
_NOISE = frozenset({"audioUI", "upload", "preview", "video-preview", "videopreview"})

OPTIONS_MAKER = "CustomCombo"
"""A class whose options are typed in the page, in controls that it makes for them."""

Say = Callable[[str], None]


class Unreadable(Exception):
    """The values in a file do not tell what goes to the server."""


def read_values(node: PageNode, layout: Layout, say: Say, *, is_own: bool = True) -> dict[str, Any]:
    """Return what each control of a node says, by name; one that says nothing is left out.

    Args:
        node: The node.
        layout: What its class has.
        say: Is told what a user should know.
        is_own: Whether its class is ComfyUI's own, so that it has no further controls in the page.

    Raises:
        Unreadable: The values fit to no rule.
    """
    kept = [control for control in layout.controls if control.is_kept]
    said = {control.name: control.start for control in layout.controls if control.has_start}
    given = node.values
    if isinstance(given, Mapping) and given and all(key.isdigit() for key in given):
        given = tuple(given[key] for key in sorted(given, key=lambda key: (len(key), key)))
    if isinstance(given, Mapping):
        return said | _by_name(layout, given, say)
    named = node.named_values
    if layout.is_by_name:
        return said | {control.name: named[control.name] for control in kept if named and control.name in named}
    values: Sequence[Any] = given or ()
    if layout.former and len(values) == len(layout.former):
        values = [value for value, name in zip(values, layout.former, strict=True) if name is not None]
    listed = {control.name: value for control, value in zip(kept, values, strict=False)}
    if named is not None:
        by_name = {control.name: named[control.name] for control in kept if control.part == "value" and control.name in named}
        if any(by_name[name] != listed.get(name) for name in by_name):
            say("its values are read by name; ComfyUI's page would shift them here")
            return said | by_name
    _check(kept, values[: len(kept)] if node.class_type == OPTIONS_MAKER else values, say, is_own=is_own)
    return said | listed


def made_options(node: PageNode, choice: Any) -> dict[str, Any]:
    """Return what the page sends of an `OPTIONS_MAKER` beside its choice: the place of that, and each of its options.

    Args:
        node: The node.
        choice: What it has been given as its choice.

    Raises:
        Unreadable: The file does not have them as today's pages write them: the choice, its place, the options, and an empty one.
    """
    values = node.values if isinstance(node.values, tuple) else ()
    options = values[2:]
    if not options or not all(isinstance(each, str) for each in options) or options[-1] or choice != values[0]:
        raise Unreadable("its options are defined in the page, and cannot be read from the file")
    index = values[1]
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(options) or options[index] != choice:
        raise Unreadable("its choice is not the option that the file names")
    return {"index": index} | {f"option{number}": option for number, option in enumerate(options, start=1)}


def _by_name(layout: Layout, given: Mapping[str, Any], say: Say) -> dict[str, Any]:
    known = {control.name for control in layout.controls if control.is_kept}
    say("its values are read by name; some versions of ComfyUI's page do not read them")
    more = [name for name in given if name not in known and name not in _NOISE and not name.startswith("choose ")]
    if more:
        say(f"has {counted(len(more), 'value')} of controls that its class does not have, which are left out")
    return {name: value for name, value in given.items() if name in known}


def _check(kept: Sequence[Control], values: Sequence[Any], say: Say, *, is_own: bool) -> None:
    """Refuse values that are not those of the controls at their place."""
    odd = [(control, value) for control, value in zip(kept, values, strict=False) if not _fits(control, value)]
    for control, value in odd:
        if control.part == "randomize":
            raise Unreadable(f"its values do not fit the controls of its class: {got(value)} stands for {control.name}")
    # The page writes null for a list without options.
    wrong = [(control, value) for control, value in odd if value is not None]
    if wrong and len(values) != len(kept):
        control, value = wrong[0]
        raise Unreadable(
            f"it has {counted(len(values), 'value')} where the page has {counted(len(kept), 'control')}, "
            f"and {got(value)} stands for {control.name} ({control.kind})"
        )
    for control, value in odd:
        say(f"input {control.name} is {control.kind} (got {got(value)})")
    more = [value for value in values[len(kept) :] if value not in (None, "", "image", [], {})]
    if more:
        what = f"{counted(len(values), 'value')} where the page has {counted(len(kept), 'control')}"
        if not is_own:
            # Code of its pack for the page may have made controls for them, whose values it sends.
            raise Unreadable(f"it has {what}, and it is from a node pack")
        say(f"has {what}: the last ones are left out")


def _fits(control: Control, value: Any) -> bool:
    """Return whether a value can be that of a control."""
    if control.part == "randomize":
        return isinstance(value, str | bool | None) and value in _AFTER_EACH_RUN
    if control.part != "value":
        return True
    if control.kind in ("INT", "FLOAT"):
        return is_number(value)
    if control.kind == "COMFY_DYNAMICCOMBO_V3":
        return isinstance(value, str) and value in ((control.info and control.info.choices) or ())
    if control.kind == "BOOLEAN":
        return isinstance(value, bool)
    if control.kind == "COMBO":
        options = control.info.options if control.info else None
        if options and all(isinstance(option, str) for option in options):
            return isinstance(value, str) or (isinstance(value, list) and bool(control.info and control.info.page))
        return isinstance(value, str | int | float)
    return isinstance(value, str) if control.kind in ("STRING", "TEXTAREA", "MARKDOWN", "COLOR") else True


def sent(control: Control, value: Any, say: Say) -> Any:
    """Return what goes to the server where a control says this.

    Args:
        control: The control.
        value: What it says.
        say: Is told what a user should know.

    Raises:
        Unreadable: The page would make of it what nobody means.
    """
    if control.part == "player":
        return ""
    if control.kind == COMPARISON:
        return ["", ""]
    page = control.info.page if control.info else None
    if page is None:
        return value
    if isinstance(value, str) and "\r" in value and in_control(control, value) != value:
        say(f"input {control.name}: its lines end in LF, as older versions of ComfyUI's page write them")
    if control.info and control.info.minimum is not None and _is_below(value, control.info.minimum):
        what = f"is {got(value)}, but its class requires at least {got(control.info.minimum)}"
        say(f"input {control.name} {what}: code of a node pack for the page may send another number")
    value = in_control(control, value)
    if control.kind == "STRING" and page.is_dynamic and isinstance(value, str):
        value, remark = processed(value)
        if remark:
            say(f"input {control.name}: {remark}")
    if page.upload == "image":
        named = _uploaded(control, page, value, say)
        if named != value and value:
            say(f"input {control.name} is {got(named)} with its folder, which newer versions of ComfyUI's page leave out")
        return named
    return value


def _is_below(value: Any, least: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value < least


def in_control(control: Control, value: Any) -> Any:
    """Return a value as the page's control has it: in a text area it is text with plain ends of lines, else it stays as it is.

    Raises:
        Unreadable: The page would make of it what nobody means.
    """
    page = control.info.page if control.info else None
    if not ((control.kind == "STRING" and page and page.is_multiline) or control.kind == "MARKDOWN"):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return js_number(value)
    if not isinstance(value, str):
        raise Unreadable(f"input {control.name} is text (got {got(value)})")
    return value.replace("\r\n", "\n").replace("\r", "\n")


def _uploaded(control: Control, page: PageControl, value: Any, say: Say) -> Any:
    """Return the name of a file that can be uploaded, as the page sends it: with the folder that it is in."""
    if isinstance(value, list):
        names = [_with_folder(each, page.folder) for each in value]
        return names if page.takes_batch else names[0] if names else ""
    if not value and not control.start:
        raise Unreadable(f"input {control.name}: no file is named, and the server has none")
    if not value:
        say(f"input {control.name}: no file is named, so the page uses the first that the server has: {control.start}")
        return control.start
    return _with_folder(value, page.folder)


def _with_folder(name: Any, folder: str) -> Any:
    if isinstance(name, Mapping):
        path = "/".join(part for part in (name.get("subfolder"), name.get("filename")) if isinstance(part, str) and part)
        return f"{path} [{folder}]" if name.get("type") and folder != "input" else path
    if isinstance(name, str) and folder != "input" and not _ANNOTATED.search(name):
        return f"{name} [{folder}]"
    return name


def js_number(value: int | float) -> str:
    """Return a number as the page writes it."""
    if isinstance(value, float) and math.isfinite(value) and value.is_integer() and abs(value) < 1e21:
        return str(int(value))
    return str(value)
