"""Which files of a job a server still has, told by their names alone: a restart wipes the history, but no files.

Nothing is downloaded here, and whether a file is whole is not known: the server may have died while it wrote it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from comfy_runner.engine.comfyui.client import ComfyHttp
from comfy_runner.engine.comfyui.verdict import ServerFile

_MOST = 4096
"""Pictures that one batch can hold in ComfyUI; whoever claims to have more claims to have anything."""


def find_files(http: ComfyHttp, prefixes: Mapping[str, str]) -> dict[str, tuple[ServerFile, ...]]:
    """Return the PNG files that a server has under file prefixes that nobody else uses.

    ComfyUI's SaveImage numbers the files of a prefix from 1: ``<prefix>_00001_.png``.

    Args:
        http: The server.
        prefixes: The file prefix by the id of the node that saves under it, with ``/`` after a folder.

    Returns:
        The files by node id, as a history entry would have named them; only nodes that have any.

    Raises:
        ServerError: The server cannot be asked.
    """
    found = {node_id: tuple(_files(http, prefix)) for node_id, prefix in prefixes.items()}
    return {node_id: files for node_id, files in found.items() if files}


def _files(http: ComfyHttp, prefix: str) -> Iterator[ServerFile]:
    subfolder, _, stem = prefix.rpartition("/")
    for number in range(1, _MOST + 1):
        name = f"{stem}_{number:05}_.png"
        if not http.exists(name, subfolder=subfolder, kind="output"):
            return
        yield ServerFile(name, subfolder, "output")
