"""By what a job was rendered, as its sidecar says: versions, devices, node packs; and how two of these differ.

What a server does not tell is unknown: which versions its node packs have, and what is in its model files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from comfy_runner.store.sidecar import Sidecar
from comfy_runner.text_files import on_one_line

NAMES: Final[Mapping[str, str]] = {
    "comfyui": "ComfyUI",
    "pytorch": "PyTorch",
    "python": "Python",
    "devices": "device",
    "node_packs": "node packs",
    "comfy_runner": "comfy_runner",
    "template": "template",
}
"""What an environment consists of, each with the name that people read."""

_LONGEST = 200
_HASH_SHOWN = 8


@dataclass(frozen=True, slots=True)
class EnvironmentChange:
    """One thing that differs between two environments.

    Attributes:
        name: What it is, as people call it.
        before: What it was.
        now: What it is.
    """

    name: str
    before: str
    now: str

    def __str__(self) -> str:
        """Return ``ComfyUI 0.3.75 → 0.7.0``."""
        return f"{self.name} {self.before} → {self.now}"


def environment_of(sidecar: Sidecar) -> dict[str, str]:
    """Return by what a job was rendered: the keys of `NAMES` of which the sidecar tells something.

    Args:
        sidecar: The job's; it may be anybody's, and say anything.
    """
    server = sidecar.server if isinstance(sidecar.server, Mapping) else {}
    said = {**server, "comfy_runner": sidecar.comfy_runner, "template": template_of(sidecar.template)}
    found = {name: said[name] for name in NAMES if isinstance(said.get(name), str)}
    if found.get("node_packs") == "":
        found["node_packs"] = "none"
    return {name: on_one_line(text, longest=_LONGEST) for name, text in found.items() if text not in ("", "unknown")}


def template_of(template: object) -> str:
    """Return a template's name with the beginning of its checksum, as sidecars and pictures tell them; empty where they do not."""
    name, sha256 = (template.get("name"), template.get("sha256")) if isinstance(template, Mapping) else (None, None)
    return f"{name} ({sha256[:_HASH_SHOWN]})" if isinstance(name, str) and isinstance(sha256, str) else ""


def changes(before: Mapping[str, str], now: Mapping[str, str]) -> tuple[EnvironmentChange, ...]:
    """Return in what two environments differ; what is unknown of one of them differs in nothing.

    Args:
        before: An environment, as `environment_of` gives it.
        now: Another one.
    """
    known = [name for name in NAMES if name in before and name in now]
    return tuple(EnvironmentChange(NAMES[name], before[name], now[name]) for name in known if before[name] != now[name])
