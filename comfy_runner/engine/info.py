"""What an engine is: its versions, the devices that it computes on, and what it keeps of earlier graphs. Plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

CacheMode = Literal["none", "lru", "ram", "classic", "unknown"]
"""What an engine keeps of earlier prompts: nothing; some node results; what the last one used, and more only where memory abounds;
what the last one used."""


@dataclass(frozen=True, slots=True)
class Device:
    """A device that an engine computes on.

    Attributes:
        name: As the engine names it.
        vram_total: Its memory in bytes; 0 where the engine does not say.
        vram_free: What of it was free, in bytes, likewise.
    """

    name: str
    vram_total: int
    vram_free: int


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What an engine is.

    Attributes:
        url: Its address, without credentials.
        comfyui: Its version; ``unknown`` where it does not say, as with the next two.
        python: The version of its Python.
        pytorch: The version of its PyTorch.
        devices: What it computes on.
        cache: What it keeps of earlier prompts.
        generation: The versions that behave alike, to which its own belongs; ``unknown`` where it does not say.
        vram_total: The memory in bytes of the GPU that it computes on; None where it has none, or does not say.
    """

    url: str
    comfyui: str
    python: str
    pytorch: str
    devices: tuple[Device, ...]
    cache: CacheMode
    vram_total: int | None = None
    generation: str = "unknown"

    def as_record(self) -> dict[str, str]:
        """Return what a sidecar says of the engine: nothing of its command line, which may hold paths and secrets."""
        return {
            "url": self.url,
            "comfyui": self.comfyui,
            "python": self.python,
            "pytorch": self.pytorch,
            "devices": ", ".join(device.name for device in self.devices),
        }


@dataclass(frozen=True, slots=True)
class Queued:
    """Prompts in a queue.

    Attributes:
        running: How many run.
        pending: How many wait.
    """

    running: int = 0
    pending: int = 0


@dataclass(frozen=True, slots=True)
class QueueStatus:
    """The queue of an engine.

    Attributes:
        ours: The prompts of comfy_runner, whoever's run they belong to.
        others: All other prompts.
    """

    ours: Queued = Queued()
    others: Queued = Queued()

    @property
    def running(self) -> int:
        """Return how many prompts run."""
        return self.ours.running + self.others.running

    @property
    def pending(self) -> int:
        """Return how many prompts wait."""
        return self.ours.pending + self.others.pending
