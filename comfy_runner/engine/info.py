"""Plain values that describe an engine: its versions, its devices, its cache mode and its queue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

CacheMode = Literal["none", "lru", "ram", "classic", "unknown"]
"""Which node results an engine keeps from earlier prompts: none (``none``), a limited number (``lru``), those of the last prompt
and more if there is enough memory (``ram``), those of the last prompt (``classic``)."""


@dataclass(frozen=True, slots=True)
class Device:
    """A device that an engine computes on.

    Attributes:
        name: The device's name, as the engine reports it.
        vram_total: The device's memory in bytes; 0 if the engine does not report it.
        vram_free: How much of that memory was free, in bytes; 0 if the engine does not report it.
    """

    name: str
    vram_total: int
    vram_free: int


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What an engine reports about itself.

    Attributes:
        url: The engine's address, without credentials.
        comfyui: The version of ComfyUI; ``unknown`` if the engine does not report it.
        python: The version of Python; ``unknown`` if the engine does not report it.
        pytorch: The version of PyTorch; ``unknown`` if the engine does not report it.
        devices: The devices that the engine computes on.
        cache: Which node results the engine keeps from earlier prompts.
        generation: The group of ComfyUI versions that behave like this one; ``unknown`` if the engine does not report its version.
        vram_total: The memory in bytes of the GPU that the engine computes on; None if it has no GPU or does not report it.
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
        """Return what a sidecar records about the engine: not its command line, which may contain paths and secrets."""
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
        running: How many prompts are running.
        pending: How many prompts are waiting.
    """

    running: int = 0
    pending: int = 0


@dataclass(frozen=True, slots=True)
class QueueStatus:
    """The queue of an engine.

    Attributes:
        ours: The prompts that comfy_runner submitted, in this run or any other.
        others: All other prompts.
    """

    ours: Queued = Queued()
    others: Queued = Queued()

    @property
    def running(self) -> int:
        """Return how many prompts are running."""
        return self.ours.running + self.others.running

    @property
    def pending(self) -> int:
        """Return how many prompts are waiting."""
        return self.ours.pending + self.others.pending
