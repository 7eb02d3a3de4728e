"""What a server tells ComfyUI's page of an input: which control it gets there, whose values files of the page keep by position."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class PageControl:
    """What ComfyUI's page is told of an input: whether it gets a control there, and what stands beside it.

    The names in brackets are those of ``/object_info``.

    Attributes:
        kind: The type of the control (``widgetType``, else the input's type): ``INT``, ``COMBO``, ….
        starts_with: The value before anybody touches it, as the page finds it: the default, or the first option.
        has_start: Whether there is such a value; not for a list of options that is empty.
        is_socket: Whether it has no control, but only a socket for a link (``forceInput``).
        randomizes: Whether a control stands behind it that draws another value after each run (``control_after_generate``); None
            where nothing is said, so that its name decides.
        is_multiline: Whether its text is edited in several lines.
        is_dynamic: Whether the page replaces ``{a|b}`` and comments in its text (``dynamicPrompts``).
        upload: Which files can be uploaded into it: ``image`` (pictures and movies) or ``audio``; empty for none.
        folder: The server's folder of its files (``image_folder``).
        takes_batch: Whether several files can be uploaded into it (``allow_batch``).
        is_remote: Whether the page asks the server for its options (``remote``).
        can_refresh: Whether a button stands behind it that asks again (``remote.refresh_button``).
        takes_several: Whether several options can be chosen (``multi_select``).
        rounded_to: What the page rounds a number to (``round``); None where the step decides, 0 for nothing.
        brings: What further controls each option brings, by option and name (``formats`` of VideoHelperSuite); None for none.
    """

    kind: str
    starts_with: Any = None
    has_start: bool = False
    is_socket: bool = False
    randomizes: bool | None = None
    is_multiline: bool = False
    is_dynamic: bool = False
    upload: str = ""
    folder: str = "input"
    takes_batch: bool = False
    is_remote: bool = False
    can_refresh: bool = False
    takes_several: bool = False
    rounded_to: float | None = None
    brings: Mapping[str, Mapping[str, PageControl]] | None = None


def page_control(kind: Any, extra: Mapping[str, Any]) -> PageControl:
    """Read what an input's entry in ``/object_info`` says to the page.

    Args:
        kind: Its first part: the name of a type, or a list of options.
        extra: Its second part: the options of the input.
    """
    listed = kind if isinstance(kind, list) else extra.get("options")
    wanted = extra.get("widgetType")
    control = wanted if isinstance(wanted, str) else "COMBO" if isinstance(kind, list) else str(kind)
    start, has_start = _start(control, extra, listed)
    randomizes, rounded = extra.get("control_after_generate"), extra.get("round")
    remote, folder = extra.get("remote"), extra.get("image_folder")
    is_combo = isinstance(kind, list) or kind == "COMBO"
    shows_pictures = any(extra.get(key) is True for key in ("image_upload", "video_upload", "animated_image_upload"))
    return PageControl(
        kind=control,
        starts_with=start,
        has_start=has_start,
        is_socket=bool(extra.get("forceInput")),
        randomizes=None if randomizes is None else bool(randomizes),
        is_multiline=bool(extra.get("multiline")),
        is_dynamic=extra.get("dynamicPrompts") is True,
        upload="image" if shows_pictures and is_combo else "audio" if extra.get("audio_upload") is True else "",
        folder=folder if isinstance(folder, str) else "input",
        takes_batch=bool(extra.get("allow_batch")),
        is_remote=isinstance(remote, dict),
        can_refresh=isinstance(remote, dict) and bool(remote.get("refresh_button")),
        takes_several=bool(extra.get("multi_select")),
        rounded_to=0.0 if rounded is False else _number(rounded),
        brings=_brought(extra.get("formats")) if is_combo else None,
    )


def _brought(formats: Any) -> dict[str, dict[str, PageControl]] | None:
    """Return the controls that options bring: for each option a list of names, types and options as of a class's inputs."""
    if not isinstance(formats, dict):
        return None
    return {
        str(option): {
            each[0]: page_control(each[1], {key: value for key, value in _extra(each).items() if key != "formats"})
            for each in (controls if isinstance(controls, list) else ())
            if isinstance(each, list) and len(each) > 1 and isinstance(each[0], str)
        }
        for option, controls in formats.items()
    }


def _extra(entry: list[Any]) -> Mapping[str, Any]:
    return entry[2] if len(entry) > 2 and isinstance(entry[2], dict) else {}


def _start(kind: str, extra: Mapping[str, Any], options: Any) -> tuple[Any, bool]:
    """Return the value that a control starts with in the page, and whether there is one."""
    default = extra.get("default")
    if kind == "COMFY_DYNAMICCOMBO_V3":
        first = options[0] if isinstance(options, list) and options else None
        key = first.get("key") if isinstance(first, dict) else None
        return key, isinstance(key, str)
    if kind == "COMBO":
        if extra.get("multi_select"):
            return [], True
        if default or not isinstance(options, list):
            return default, bool(default)
        return (options[0], True) if options else (None, False)
    if default is not None:
        return default, True
    return {"INT": 0, "FLOAT": 0, "BOOLEAN": False}.get(kind, ""), True


def _number(value: Any) -> float | None:
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None
