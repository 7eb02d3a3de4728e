"""One literal of a graph held against what a server says of the input that it is for: what the server makes of it.

ComfyUI turns ``"false"`` into true and 64.9 into 64; here both are errors. Lists of values are binding for ComfyUI's own nodes. A
custom node may judge its values itself (``VALIDATE_INPUTS``), in which case the server does not look at the list (``execution.py``,
``validate_inputs``), and ``/object_info`` does not tell. So what such a list cannot know is left to the server: what stands for a
list that the page fills, and files that are elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

from comfy_runner.graph.model_lists import MODEL_SUFFIX, candidates
from comfy_runner.graph.object_info import InputInfo, NodeInfo, ObjectInfo
from comfy_runner.input_files import is_upload_name
from comfy_runner.wording import LISTED, did_you_mean
from comfy_runner.yaml_loader import got
from comfy_runner.yaml_syntax import escape_hint

Acceptance = Literal["fine", "noted", "refused"]
"""What a server makes of a literal: it is taken without a word, with a note, or is a problem."""

# It takes what LoadImage takes, and does not announce that.
_ALSO_TAKES_UNLISTED = "LoadLatent"

# What lists hold in place of values: "", "---", "None", "<no files>", "Select the LoRA to add to the text", "choose…".
_STANDS_FOR_NONE = re.compile(
    r"\W*((none|null|undefined|empty|loading)\W*|(choose|select|pick|click|upload|please|no)\b.*)?", re.IGNORECASE | re.DOTALL
)
# Absolute, above or below the working folder, in the network, in a folder of ComfyUI's.
_OUTSIDE = re.compile(
    r"([/\\~]|\.\.?[/\\]|[a-z]:[/\\]|[a-z][a-z0-9+.-]+://).*|.* \[(input|output|temp)\]", re.IGNORECASE | re.DOTALL
)


class Judgement(NamedTuple):
    """What a server makes of a literal.

    Attributes:
        acceptance: Whether it takes it.
        value: What the literal is there.
        what: What there is to say of it, with its place; empty for nothing.
        hint: The way out.
        is_file: Whether the server lacks a picture or another file that a user can bring to it.
    """

    acceptance: Acceptance
    value: Any
    what: str = ""
    hint: str = ""
    is_file: bool = False


def judge(value: Any, wanted: InputInfo, node: NodeInfo, info: ObjectInfo, *, at: str = "") -> Judgement:
    """Return what a server makes of a literal.

    Args:
        value: The literal; a list is written ``{"__value__": […]}``.
        wanted: What the server says of the input.
        node: What it says of the node's class.
        info: What it says of all classes.
        at: The node and the input, for messages.
    """
    plain = value["__value__"] if isinstance(value, dict) and "__value__" in value else value
    if wanted.options is None:
        what = _problem(plain, wanted, info)
        return Judgement("refused", value, f"{at}: {what}") if what else Judgement("fine", value)
    found, place = _meant(plain, wanted, node), f"{info.source} has ({at})"
    if len(found) == 1:
        if found[0] is plain:
            return Judgement("fine", value)
        return Judgement("noted", found[0], f"{got(plain)} is {got(found[0])} on {info.source} ({at})")
    if found:
        what = f"{got(plain)} could be {len(found)} of those that {place}"
        return Judgement("refused", value, what, f"write one of {', '.join(found[:LISTED])}")
    what = f"{got(plain)} is not among the {len(wanted.options)} that {place}"
    if not node.is_core and wanted.choices is None and _proves_nothing(wanted.options, plain):
        return Judgement("noted", value, f"{what}, which may accept it nevertheless: the server decides")
    hint = did_you_mean(str(plain), [str(option) for option in wanted.options if isinstance(option, str | int | float)])
    if not wanted.options and not wanted.takes_unlisted:
        hint = "put the file where that server looks for such files; comfy-runner models shows what it has"
    return Judgement("refused", value, what, escape_hint(str(plain)) or hint, is_file=wanted.takes_unlisted)


def wants_link(wanted: InputInfo, info: ObjectInfo) -> bool:
    """Return whether an input is for another node's output, which no literal can stand for."""
    return not wanted.is_widget and wanted.types.isdisjoint(("*", "COMBO", *_LITERALS)) and info.is_produced(wanted.type)


def _problem(value: Any, wanted: InputInfo, info: ObjectInfo) -> str:
    if wants_link(wanted, info):
        return f"needs a link to a {wanted.type} (got {got(value)})"
    kinds = [kind for type_, kind in _LITERALS.items() if type_ in wanted.types]
    if kinds and not wanted.types & {"*", "COMBO"} and not any(fits(value) for _, fits in kinds):
        return f"must be {' or '.join(expected for expected, _ in kinds)} (got {got(value)})"
    if is_number(value):
        if wanted.minimum is not None and value < wanted.minimum:
            return f"must be at least {_bound(wanted.minimum)} (got {got(value)})"
        if wanted.maximum is not None and value > wanted.maximum:
            return f"must be at most {_bound(wanted.maximum)} (got {got(value)})"
    return ""


def _meant(value: Any, wanted: InputInfo, node: NodeInfo) -> list[Any]:
    """Return the options that a value can mean; the very value where the server takes it as it is."""
    if any(value == option and type(value) is type(option) for option in wanted.options or ()):
        return [value]
    if not isinstance(value, str) or wanted.choices is not None:
        return []
    takes_unlisted = wanted.takes_unlisted or node.name == _ALSO_TAKES_UNLISTED
    if is_upload_name(value) or (takes_unlisted and (re.search(r"[/\\]", value) or value.endswith("]"))):
        return [value]  # it will be there; LoadImage takes folder/file and "file [output]"
    found = candidates(value, wanted.texts)
    if not node.is_core and not MODEL_SUFFIX.search(value) and _is_elsewhere(value, wanted.texts):
        # A picture or a table of the same name in another folder is another one.
        return [option for option in found if _folded(option).startswith(_folded(value))]
    return list(found)


def _proves_nothing(options: Sequence[Any], value: Any) -> bool:
    """Return whether a list cannot know a value: there is nothing to choose, or the value is a file that is elsewhere."""
    choosable = [option for option in options if not (isinstance(option, str) and _STANDS_FOR_NONE.fullmatch(option))]
    if not choosable:
        return True
    if not isinstance(value, str):
        return False
    return _is_elsewhere(value, choosable) or (len(choosable) == 1 and not MODEL_SUFFIX.search(value))


def _is_elsewhere(value: str, options: Sequence[Any]) -> bool:
    """Return whether a value is a path that leads out of what is listed; lists of models have all folders of theirs."""
    lists_models = any(isinstance(name, str) and MODEL_SUFFIX.search(name) for name in (value, *options))
    return bool(_OUTSIDE.fullmatch(value)) or (not lists_models and not {"/", "\\"}.isdisjoint(value))


def _folded(name: str) -> str:
    return name.replace("\\", "/").casefold()


def is_number(value: object) -> bool:
    """Return whether a value is a number to a person, which true and false are not."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_whole(value: Any) -> bool:
    # 512.0 is what a division in a template gives, and what some servers announce as a default.
    return is_number(value) and (isinstance(value, int) or bool(value.is_integer()))


def _bound(number: float) -> str:
    return f"{number:g}" if isinstance(number, float) else str(number)


_LITERALS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "INT": ("a whole number", _is_whole),
    "FLOAT": ("a number", is_number),
    "STRING": ("text", lambda value: isinstance(value, str)),
    "BOOLEAN": ("true or false", lambda value: isinstance(value, bool)),
}
