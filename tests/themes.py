"""The markers that a test has for where it lies and what it asks for; those in its own file come on top of them.

``real`` needs a real ComfyUI, ``browser`` a browser, ``kill`` kills processes at random, ``hostile`` is about input that means
harm, ``slow`` takes more than about two seconds, or its file minutes. The rest is what `make quick` runs.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePath

# What machines and networks do to the command is tried on the command, as processes of its own.
_OF_FOLDERS = {"real": "real", "kill": "kill", "hostile": "hostile", "system": "slow", "connections": "slow"}
_OF_FIXTURES = {
    "comfyui_server": "real",
    "early_2024_server": "real",
    "local_engine": "real",
    "local_options": "real",
    "browser": "browser",
    "s3": "slow",
}


def themes(path: PurePath, fixtures: Iterable[str]) -> set[str]:
    """Return the markers of a test in the file at `path`, relative to the repository, that asks for `fixtures`."""
    of_folders = {_OF_FOLDERS[name] for name in path.parts[:-1] if name in _OF_FOLDERS}
    return of_folders | {_OF_FIXTURES[name] for name in fixtures if name in _OF_FIXTURES}
