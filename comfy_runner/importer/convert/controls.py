"""Which sockets and controls ComfyUI's page gives a node class, and in which order.

The order is what a file's ``widgets_values`` can be read by, and the index of an input is what a bypassed node is followed by. The
rules were observed on the page (versions 1.32.9 and 1.58.1): the class's inputs in the order of ``input_order``, sockets before
controls; a control that changes a seed after each run stands behind it, a button behind a list of files that can be uploaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from comfy_runner.graph.object_info import InputInfo, NodeInfo, ObjectInfo
from comfy_runner.graph.page_control import PageControl
from comfy_runner.importer.convert.page_graph import PageNode, Socket

SEEDS = frozenset({"seed", "noise_seed"})
"""Names of numbers that the page draws again after each run, unless the class says otherwise."""

_PLAIN = frozenset({"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", "MARKDOWN", "TEXTAREA", "COLOR"})
_UNREADABLE = {
    "WEBCAM": "it takes a picture with the page's camera",
    "AUDIO_RECORD": "it records sound in the page",
    "LOAD_3D": "its pictures are drawn by the page",
    "LOAD_3D_ANIMATION": "its pictures are drawn by the page",
    "CHART": "",
    "GALLERIA": "",
    "COMFY_DYNAMICGROUP_V3": "",
}
_NEWER = frozenset({"BOUNDING_BOX", "BOUNDING_BOXES", "COLORS", "RANGE", "CURVE"})  # of pages since 2026
COMPARISON = "IMAGECOMPARE"
"""A control in which people compare two pictures; whatever it shows, the page sends that it shows none."""

_WORDS = ("fixed", "increment", "decrement", "randomize")
_CHOICE = "COMFY_DYNAMICCOMBO_V3"
_MATCHED = "COMFY_MATCHTYPE_V3"
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
        is_by_name: Whether only values by name can be read, for the places of some depend on how the node came to be.
    """

    sockets: tuple[Socket, ...]
    controls: tuple[Control, ...]
    former: tuple[str | None, ...] = ()
    unreadable: str = ""
    is_by_name: bool = False


def layout_of(known: NodeInfo, node: PageNode, info: ObjectInfo) -> Layout:
    """Return the sockets and controls of a node.

    Args:
        known: Its class.
        node: The node in the file: of a type that only a node pack's code for the page knows, its sockets tell whether it has a
            control; and what it has chosen decides which further inputs it has.
        info: What else the server has.
    """
    builder = _Builder(node, info)
    named = [(name, known.inputs[name]) for name in known.order]
    for name, wanted in named:
        builder.add_plain(name, wanted)
    for name, wanted in named:
        builder.add_controlled(name, wanted)
    for name, kind, control in _added(known, info):
        builder.controls.append(control)
        if name:
            builder.sockets.append(Socket(name, kind, None, name))
    is_former = any(wanted.page and wanted.page.is_socket for _, wanted in named)
    former = tuple(_former(named, builder.controls)) if is_former else ()
    return Layout(tuple(builder.sockets), tuple(builder.controls), former, builder.unreadable, builder.is_by_name)


class _Builder:
    """Puts together what a node has, in the order of the page."""

    def __init__(self, node: PageNode, info: ObjectInfo) -> None:
        self.node, self.info = node, info
        self.sockets: list[Socket] = []
        self.controls: list[Control] = []
        self.unreadable = ""
        self.is_by_name = False
        self._kept = 0

    def add_plain(self, name: str, wanted: InputInfo) -> None:
        """Add an input that only has a socket; nothing where it has a control."""
        page = wanted.page or PageControl(wanted.type)
        if wanted.type == "COMFY_AUTOGROW_V3":
            self._add_grown(name, wanted)
        elif not self._is_controlled(name, wanted, page):
            if not page.is_socket and _may_be_controlled(name, wanted, page, self.node, self.info):
                self._refuse(f"the page's control for input {name} ({wanted.type}) belongs to a node pack")
            self.sockets.append(Socket(name, self._matched(name) if wanted.type == _MATCHED else wanted.type, None, ""))

    def add_controlled(self, name: str, wanted: InputInfo) -> None:
        """Add an input that has a control; nothing where it only has a socket."""
        page = wanted.page or PageControl(wanted.type)
        if wanted.type == "COMFY_AUTOGROW_V3" or not self._is_controlled(name, wanted, page):
            return
        if page.kind in _UNREADABLE:
            self._refuse(_UNREADABLE[page.kind] or f"the meaning of the page's control {page.kind} is unknown")
        chosen = self._value(name, page)
        self._add_controls(_controls(name, wanted, page))
        if page.kind == "FLOAT" and page.randomizes and self._next() in _WORDS:  # newer pages have one for these, too
            self._add_controls([Control("control_after_generate", "COMBO", "randomize", is_sent=False)])
        self.sockets.append(Socket(name, wanted.type, None, name))
        if page.brings and isinstance(chosen, str) and isinstance(self.node.values, Mapping):
            for part, brought in page.brings.get(chosen, {}).items():
                self._add_controls([Control(part, brought.kind, start=brought.starts_with, has_start=brought.has_start)])
        if page.kind == _CHOICE:
            if any(socket.name == name and socket.link for socket in self.node.sockets):
                self._refuse(f"which inputs it has depends on {name}, which is linked")
            further = (wanted.choices or {}).get(chosen, {}) if isinstance(chosen, str) else {}
            for part, known in further.items():
                self.add_plain(f"{name}.{part}", known)
                self.add_controlled(f"{name}.{part}", known)

    def _add_controls(self, controls: Iterable[Control]) -> None:
        for control in controls:
            self.controls.append(control)
            self._kept += control.is_kept

    def _is_controlled(self, name: str, wanted: InputInfo, page: PageControl) -> bool:
        """Return whether an input has a control in the page."""
        if page.is_socket:
            return False
        if page.kind in _NEWER:  # in older pages these are types like any other
            given = next((socket for socket in self.node.sockets if socket.name == name), None)
            return bool(given.control) if given else wanted.is_widget
        return page.kind in _PLAIN or page.kind in _UNREADABLE or page.kind in (_CHOICE, COMPARISON)

    def _matched(self, name: str) -> str:
        """Return the type of an input that takes on that of its link, as the file has it."""
        return next((socket.type for socket in self.node.sockets if socket.name == name), "*")

    def _add_grown(self, name: str, wanted: InputInfo) -> None:
        """Add the sockets that the file has of an input that grows."""
        each = next(iter((wanted.parts or {}).values()), None)
        grown = [socket for socket in self.node.sockets if socket.name.startswith(f"{name}.")]
        if each is None or each.page is None:
            self._refuse(f"how input {name} grows is unknown")
        elif each.page.kind not in _PLAIN:
            self.sockets += [Socket(socket.name, each.type, None, "") for socket in grown]
        elif self.node.named_values is None:
            self._refuse(f"which controls it has depends on how many inputs {name} has grown, which the file does not show")
        else:
            self.is_by_name = True
            for socket in grown:
                self.sockets.append(Socket(socket.name, each.type, None, socket.name))
                self._add_controls(_controls(socket.name, each, each.page))

    def _value(self, name: str, page: PageControl) -> Any:
        """Return what the file has for a control, which is the next one."""
        values = self.node.values
        by_name = self.node.named_values or (values if isinstance(values, Mapping) else {})
        if name in by_name or isinstance(values, Mapping):
            return by_name.get(name, page.starts_with)
        found = self._next()
        return page.starts_with if found is None else found

    def _next(self) -> Any:
        """Return what the file has at the place of the next control; None for nothing."""
        values = self.node.values
        return values[self._kept] if isinstance(values, tuple) and self._kept < len(values) else None

    def _refuse(self, reason: str) -> None:
        self.unreadable = self.unreadable or reason


def _controls(name: str, wanted: InputInfo, page: PageControl) -> Iterator[Control]:
    yield Control(name, page.kind, info=wanted, start=page.starts_with, has_start=page.has_start or page.kind == COMPARISON)
    if page.kind == "BOUNDING_BOX":
        for part in ("x", "y", "width", "height"):
            yield Control(f"{name}.{part}", "INT", "button", is_sent=False)
    if page.is_remote:
        yield Control("Auto-refresh after generation", "toggle", "button", is_sent=False)
        if page.can_refresh:
            yield Control("refresh", "button", "button", start="refresh")
    if page.kind == "INT" and (page.randomizes or (page.randomizes is None and name in SEEDS)):
        yield Control("control_after_generate", "COMBO", "randomize", is_sent=False)
    elif page.kind == "COMBO" and page.randomizes:
        yield Control("control_after_generate", "COMBO", "randomize", is_sent=False)
        yield Control("control_filter_list", "STRING", "button", is_sent=False)


def _added(known: NodeInfo, info: ObjectInfo) -> Iterator[tuple[str, str, Control]]:
    """Yield what the page itself gives to a class: name and type of the socket, and the control.

    What only shows something went to the server with the graph in older pages.
    """
    is_sent = not info.has_dynamic_inputs
    required = [(name, wanted) for name, wanted in known.inputs.items() if wanted.required]
    if known.name in _AUDIO_PLAYERS:
        yield "audioUI", "AUDIO_UI", Control("audioUI", "AUDIO_UI", "player", is_kept=False, is_sent=is_sent)
    if any(wanted.page and wanted.page.upload == "image" for _, wanted in required):
        yield "upload", "IMAGEUPLOAD", Control("upload", "IMAGEUPLOAD", "button", is_sent=False)
    elif any(name == "audio" and wanted.page and wanted.page.upload == "audio" for name, wanted in required):
        yield "upload", "AUDIOUPLOAD", Control("upload", "AUDIOUPLOAD", "button", is_sent=False)
    if known.name in _MODEL_VIEWERS:
        yield "image", "PREVIEW_3D", Control("image", "PREVIEW_3D", "player")
    if known.name == "PreviewAny":
        yield "", "MARKDOWN", Control("preview", "MARKDOWN", "player", is_kept=False, is_sent=is_sent)


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
