"""Which sockets and controls ComfyUI's page gives a node class, and in which order.

The order is what a file's ``widgets_values`` can be read by, and the index of an input is what a bypassed node is followed by. The
rules were observed on the page (versions 1.32.9 and 1.58.1): the class's inputs in the order of ``input_order``, sockets before
controls; a control that changes a seed after each run stands behind it, a button behind a list of files that can be uploaded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from comfy_runner.graph.object_info import InputInfo, NodeInfo, ObjectInfo
from comfy_runner.graph.page_control import PageControl
from comfy_runner.importer.convert.page_graph import PageNode, Socket

SEEDS = frozenset({"seed", "noise_seed"})
"""Names of numbers that the page draws anew after each run, unless the class says otherwise."""

_PLAIN = frozenset({"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", "MARKDOWN", "TEXTAREA", "COLOR"})
_UNREADABLE = {
    "WEBCAM": "it takes a picture with the page's camera",
    "AUDIO_RECORD": "it records sound in the page",
    "LOAD_3D": "its pictures are drawn by the page",
    "LOAD_3D_ANIMATION": "its pictures are drawn by the page",
    "IMAGECOMPARE": "",
    "CHART": "",
    "GALLERIA": "",
}
_AUDIO_PLAYERS = frozenset({"LoadAudio", "SaveAudio", "PreviewAudio", "SaveAudioMP3", "SaveAudioOpus"})
_MODEL_VIEWERS = frozenset({"Preview3D", "SaveGLB"})

Part = Literal["value", "randomize", "button", "player"]
"""What a control is: one with a value, one that changes a value after each run, a button, or something that only shows."""


@dataclass(frozen=True, slots=True)
class Control:
    """A control of a node.

    Attributes:
        name: Its name: for one with a value that of the input.
        kind: Its type, such as ``INT``.
        part: What it is.
        info: The input that it belongs to; None for none.
        is_kept: Whether files of the page have a value for it.
        is_sent: Whether what it says goes to the server.
        start: What it says before anybody touches it.
        has_start: Whether it says anything then.
    """

    name: str
    kind: str
    part: Part = "value"
    info: InputInfo | None = None
    is_kept: bool = True
    is_sent: bool = True
    start: Any = ""
    has_start: bool = True


@dataclass(frozen=True, slots=True)
class Layout:
    """What the page makes of a node class.

    Attributes:
        sockets: Its inputs in order, without links.
        controls: Its controls in order.
        former: Its controls in the files of before 2025, when the page had one for each input, also for those that only take links
            (``forceInput``); the names of these are None. Empty where there is no difference.
        unreadable: Why a file of the page does not tell what goes to the server; empty where it does.
    """

    sockets: tuple[Socket, ...]
    controls: tuple[Control, ...]
    former: tuple[str | None, ...] = ()
    unreadable: str = ""


def layout_of(known: NodeInfo, node: PageNode, info: ObjectInfo) -> Layout:
    """Return the sockets and controls of a node.

    Args:
        known: Its class.
        node: The node in the file: of a type that only a node pack's code for the page knows, its sockets tell whether it has a
            control.
        info: What else the server has.
    """
    named = [(name, known.inputs[name]) for name in known.order]
    plain, controlled, unreadable = [], [], ""
    for name, wanted in named:
        page = wanted.page or PageControl(wanted.type)
        reason = _UNREADABLE.get(page.kind)
        if page.is_socket or not (page.kind in _PLAIN or reason is not None):
            if not page.is_socket and _may_be_controlled(name, wanted, page, node, info):
                unreadable = f"the page's control for input {name} ({wanted.type}) is of a node pack's own"
            plain.append(Socket(name, wanted.type, None, ""))
        else:
            unreadable = unreadable or (
                reason if reason else f"the page's control {page.kind} is not known here" if reason == "" else ""
            )
            controlled.append((name, wanted, page))
    controls: list[Control] = []
    sockets = plain
    for name, wanted, page in controlled:
        controls += _controls(name, wanted, page)
        if not page.is_socketless:
            sockets.append(Socket(name, wanted.type, None, name))
    for name, kind, control in _added(known):
        controls.append(control)
        if control.part != "player" or name == control.name:
            sockets.append(Socket(name, kind, None, name))
    former = tuple(_former(named, controls)) if any((wanted.page and wanted.page.is_socket) for _, wanted in named) else ()
    return Layout(tuple(sockets), tuple(controls), former, unreadable)


def _controls(name: str, wanted: InputInfo, page: PageControl) -> Iterator[Control]:
    yield Control(name, page.kind, info=wanted, start=page.starts_with, has_start=page.has_start)
    if page.is_remote:
        yield Control("Auto-refresh after generation", "toggle", "button", is_sent=False)
        if page.can_refresh:
            yield Control("refresh", "button", "button", start="refresh")
    if page.kind == "INT" and (page.randomizes or (page.randomizes is None and name in SEEDS)):
        yield Control("control_after_generate", "COMBO", "randomize", is_sent=False)
    elif page.kind == "COMBO" and page.randomizes:
        yield Control("control_after_generate", "COMBO", "randomize", is_sent=False)
        yield Control("control_filter_list", "STRING", "button", is_sent=False)


def _added(known: NodeInfo) -> Iterator[tuple[str, str, Control]]:
    """Yield what the page itself gives to a class."""
    required = [(name, wanted) for name, wanted in known.inputs.items() if wanted.required]
    if known.name in _AUDIO_PLAYERS:
        yield "audioUI", "AUDIO_UI", Control("audioUI", "AUDIO_UI", "player", is_kept=False)
    if any(wanted.page and wanted.page.upload == "image" for _, wanted in required):
        yield "upload", "IMAGEUPLOAD", Control("upload", "IMAGEUPLOAD", "button", is_sent=False)
    elif any(name == "audio" and wanted.page and wanted.page.upload == "audio" for name, wanted in required):
        yield "upload", "AUDIOUPLOAD", Control("upload", "AUDIOUPLOAD", "button", is_sent=False)
    if known.name in _MODEL_VIEWERS:
        yield "image", "PREVIEW_3D", Control("image", "PREVIEW_3D", "player")
    if known.name == "PreviewAny":
        yield "", "MARKDOWN", Control("preview", "MARKDOWN", "player", is_kept=False)


def _may_be_controlled(name: str, wanted: InputInfo, page: PageControl, node: PageNode, info: ObjectInfo) -> bool:
    """Return whether a type that is not ComfyUI's own may have a control: no node gives it, and the file has no socket for it."""
    given = next((socket for socket in node.sockets if socket.name == name), None)
    if given is not None:
        return bool(given.control)
    return not wanted.type.startswith("COMFY_") and page.kind != "*" and not info.is_produced(wanted.type)


def _former(named: list[tuple[str, InputInfo]], controls: list[Control]) -> Iterator[str | None]:
    """Yield the names of controls as older files have them: None for one that is gone."""
    by_name = {control.name for control in controls}
    for name, wanted in named:
        if wanted.page is not None and wanted.page.is_socket:
            yield None
        elif name in by_name:
            yield from (control.name for control in _controls(name, wanted, wanted.page or PageControl(wanted.type)))
