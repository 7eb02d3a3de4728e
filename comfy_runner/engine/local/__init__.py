"""A real ComfyUI on this machine, set up in a cache folder and run as a process of its own.

`setup` makes the engine, `start` and `stop` run one of its instances, `status` and `logs` look at it. Linux and macOS.
"""

from __future__ import annotations

from comfy_runner.engine.local.installation import InstalledEngine, setup
from comfy_runner.engine.local.options import LocalOptions, default_home
from comfy_runner.engine.local.process import LocalServer, LocalStatus, logs, start, status, stop

__all__ = [
    "InstalledEngine",
    "LocalOptions",
    "LocalServer",
    "LocalStatus",
    "default_home",
    "logs",
    "setup",
    "start",
    "status",
    "stop",
]
