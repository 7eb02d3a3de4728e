"""What a file holds of how its picture was made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from comfy_runner.errors import Note


@dataclass(frozen=True, slots=True)
class Found:
    """What a file holds of how its picture was made: at least one of `graph`, `ui`, `parameters` and `about`.

    Attributes:
        path: The file.
        graph: A graph in the API format, as JSON values: without a wrapping, without the ``is_changed`` that ComfyUI leaves in the
            nodes of pictures, and with null for NaN and Infinity, as the page reads them. Not checked any further
            (`graph.workflow.parse_workflow` does). None where there is none.
        ui: A workflow as ComfyUI's page saves it (``nodes`` and ``links``), as JSON values; None where there is none. Where both
            are there, `graph` is what was run: exact, and needs no server.
        parameters: The text that A1111 and Forge write into pictures; empty where there is none.
        about: What comfy_runner itself has written; None where there is nothing.
        size: Width and height of the picture in pixels; None where it is no picture, or does not say it.
        notes: What there is to know of how it was read, such as a part of the file that is damaged.
    """

    path: Path
    graph: dict[str, Any] | None = None
    ui: dict[str, Any] | None = None
    parameters: str = ""
    about: dict[str, Any] | None = None
    size: tuple[int, int] | None = None
    notes: tuple[Note, ...] = ()
