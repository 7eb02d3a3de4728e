"""What a server is, from its ``/system_stats``: versions, devices and how it caches. What it does not say is unknown, no error."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

from comfy_runner.engine.comfyui.client import ComfyHttp

CacheMode = Literal["none", "lru", "ram", "classic", "unknown"]
"""What a server keeps of earlier prompts: nothing; some node results; all that fits into memory; those of the last prompt."""

_LENGTH = 200
_UNKNOWN = "unknown"
_FLAG = "--cache-"
# The default was changed in spring 2026, some time after 0.19 and not after 0.24.
_LAST_CLASSIC = (0, 19, 999)
_FIRST_RAM = (0, 24, 0)


@dataclass(frozen=True, slots=True)
class Device:
    """A device that a server computes on.

    Attributes:
        name: As the server names it.
        vram_total: Its memory in bytes; 0 where the server does not say.
        vram_free: What of it was free, in bytes, likewise.
    """

    name: str
    vram_total: int
    vram_free: int


@dataclass(frozen=True, slots=True)
class About:
    """What a server is.

    Attributes:
        url: Its address, without credentials.
        comfyui: Its version; ``unknown`` where it does not say, as with the next two.
        python: The version of its Python.
        pytorch: The version of its PyTorch.
        devices: What it computes on.
        cache: What it keeps of earlier prompts.
    """

    url: str
    comfyui: str
    python: str
    pytorch: str
    devices: tuple[Device, ...]
    cache: CacheMode

    @classmethod
    def of(cls, http: ComfyHttp) -> Self:
        """Ask a server.

        Raises:
            ServerError: It cannot be asked.
        """
        return cls.from_stats(http.address.url, http.system_stats())

    @classmethod
    def from_stats(cls, url: str, stats: Mapping[str, Any]) -> Self:
        """Return what an answer of ``/system_stats`` says, whatever it is."""
        system = stats.get("system")
        system = system if isinstance(system, dict) else {}
        devices = stats.get("devices")
        return cls(
            url=url,
            comfyui=_text(system.get("comfyui_version")),
            python=_text(system.get("python_version")),
            pytorch=_text(system.get("pytorch_version")),
            devices=tuple(_device(item) for item in devices if isinstance(item, dict)) if isinstance(devices, list) else (),
            cache=_cache(system.get("argv"), _text(system.get("comfyui_version"))),
        )

    def as_record(self) -> dict[str, str]:
        """Return what a sidecar says of the server: nothing of its command line, which may hold paths and secrets."""
        return {
            "url": self.url,
            "comfyui": self.comfyui,
            "python": self.python,
            "pytorch": self.pytorch,
            "devices": ", ".join(device.name for device in self.devices),
        }


def _device(item: Mapping[str, Any]) -> Device:
    return Device(_text(item.get("name")), _bytes(item.get("vram_total")), _bytes(item.get("vram_free")))


def _text(value: Any) -> str:
    return value[:_LENGTH] if isinstance(value, str) and value else _UNKNOWN


def _bytes(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else 0


def _cache(argv: Any, version: str) -> CacheMode:
    """Tell the mode from the command line, and without a word there from the version's default."""
    if not isinstance(argv, list):
        return "unknown"
    # ComfyUI's parser takes the start of a flag for the flag, and a value after a sign of equality.
    flags = [argument.partition("=")[0].removeprefix(_FLAG) for argument in argv if _is_cache_flag(argument)]
    if flags:
        modes: list[CacheMode] = [mode for mode in get_args(CacheMode) if mode.startswith(flags[-1])]
        return modes[0] if len(modes) == 1 else "unknown"
    numbers = _numbers(version)
    if not numbers or _LAST_CLASSIC < numbers < _FIRST_RAM:
        return "unknown"
    return "classic" if numbers <= _LAST_CLASSIC else "ram"


def _is_cache_flag(argument: Any) -> bool:
    return isinstance(argument, str) and argument.startswith(_FLAG)


def _numbers(version: str) -> tuple[int, ...]:
    found = re.match(r"v?(\d{1,6})\.(\d{1,6})\.(\d{1,6})", version)
    return tuple(map(int, found.groups())) if found else ()
