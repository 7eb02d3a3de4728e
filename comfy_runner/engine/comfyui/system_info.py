"""What a server is, from its ``/system_stats``: versions, devices and how it caches. What it does not say is unknown, no error."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, get_args

from comfy_runner.engine.info import CacheMode, Device, EngineInfo
from comfy_runner.graph.decoding import vram_total

_LENGTH = 200
_UNKNOWN = "unknown"
_FLAG = "--cache-"
# The default was changed in spring 2026, some time after 0.19 and not after 0.24.
_LAST_CLASSIC = (0, 19, 999)
_FIRST_RAM = (0, 24, 0)


def info_from_stats(url: str, stats: Mapping[str, Any]) -> EngineInfo:
    """Return what an answer of ``/system_stats`` says, whatever it is.

    Args:
        url: The server's address, without credentials.
        stats: The parsed answer.
    """
    system = stats.get("system")
    system = system if isinstance(system, dict) else {}
    devices = stats.get("devices")
    return EngineInfo(
        url=url,
        comfyui=_text(system.get("comfyui_version")),
        python=_text(system.get("python_version")),
        pytorch=_text(system.get("pytorch_version")),
        devices=tuple(_device(item) for item in devices if isinstance(item, dict)) if isinstance(devices, list) else (),
        cache=_cache(system.get("argv"), _text(system.get("comfyui_version"))),
        vram_total=vram_total(stats),
    )


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
