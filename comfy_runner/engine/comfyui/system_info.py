"""What a server is, from its ``/system_stats``: versions, devices and how it caches. What it does not say is unknown, no error."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, get_args

from comfy_runner.engine.info import CacheMode, Device, EngineInfo

_LENGTH = 200
_UNKNOWN = "unknown"
_FLAG = "--cache-"
_FIRST_PREVIEWS = (0, 5, 0)  # from where on each prompt can ask for previews
_FIRST_RAM = (0, 23, 0)  # where the default way of caching was changed
# The first version of each generation, and what is new in it for those who post jobs. What a server can do is tried all the same.
_GENERATIONS = (
    ((0, 26, 0), "0.26 and later: cancels a single job at once"),
    (_FIRST_RAM, "0.23 to 0.25: the cache depends on free memory"),
    ((0, 4, 0), "0.4 to 0.22: nodes with dynamic inputs"),
    ((0, 3, 57), "0.3.57 to 0.3: interrupts a job by its id"),
    ((0, 3, 45), "0.3.45 to 0.3.56: accepts our job ids"),
    ((0, 0, 0), "before 0.3.45: chooses job ids itself"),
)


def info_from_stats(url: str, stats: Mapping[str, Any]) -> EngineInfo:
    """Return what an answer of ``/system_stats`` says, whatever it is.

    Args:
        url: The server's address, without credentials.
        stats: The parsed answer.
    """
    system = stats.get("system")
    system = system if isinstance(system, dict) else {}
    said = stats.get("devices")
    devices = [item for item in said if isinstance(item, dict)] if isinstance(said, list) else []
    # Of several, ComfyUI computes on the first.
    gpu = devices[0] if devices and devices[0].get("type") != "cpu" else {}
    return EngineInfo(
        url=url,
        comfyui=_text(system.get("comfyui_version")),
        python=_text(system.get("python_version")),
        pytorch=_text(system.get("pytorch_version")),
        devices=tuple(map(_device, devices)),
        cache=_cache(system.get("argv"), _text(system.get("comfyui_version"))),
        vram_total=_bytes(gpu.get("vram_total")) or None,
        generation=next(
            (what for first, what in _GENERATIONS if _numbers(_text(system.get("comfyui_version"))) >= first), _UNKNOWN
        ),
    )


def takes_preview_method(info: EngineInfo) -> bool:
    """Return whether a server makes previews for a prompt that asks for them, however it was started."""
    return _numbers(info.comfyui) >= _FIRST_PREVIEWS


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
    return "unknown" if not numbers else "ram" if numbers >= _FIRST_RAM else "classic"


def _is_cache_flag(argument: Any) -> bool:
    return isinstance(argument, str) and argument.startswith(_FLAG)


def _numbers(version: str) -> tuple[int, ...]:
    found = re.match(r"v?(\d{1,6})\.(\d{1,6})\.(\d{1,6})", version)
    return tuple(map(int, found.groups())) if found else ()
