"""The media type of a collected file, by the suffix of its name, and whether it is the one that a recipe wants.

Only single pictures are written anew in another format. An animation, and whatever is no picture, stays as the server gave it.
"""

from __future__ import annotations

from pathlib import PurePosixPath

from comfy_runner.recipe.names import SUFFIXES
from comfy_runner.store.sidecar import FileRecord

PICTURES = frozenset({*SUFFIXES.values(), ".jpeg"})
"""Suffixes of the pictures that can be read."""

_BINARY = (
    *(".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".jxl", ".heic", ".ico", ".exr", ".psd"),
    *(".mp4", ".m4v", ".webm", ".mkv", ".mov", ".avi", ".mpg", ".mpeg", ".ogv", ".wmv", ".flv"),
    *(".wav", ".mp3", ".flac", ".ogg", ".oga", ".opus", ".m4a", ".aac", ".aiff", ".wma"),
    *(".glb", ".usdz", ".splat", ".ksplat", ".spz"),
    *(".safetensors", ".latent", ".npz", ".npy", ".pt", ".pth", ".ckpt", ".zip", ".7z"),
)
_AS_TEXT_TOO = (".hdr", ".gltf", ".obj", ".ply", ".stl", ".fbx", ".dae", ".usd", ".usda", ".x3d", ".bvh")

LONGEST_EDGE = {".jpg": 65500, ".webp": 16383}
"""Longest edge that a format has, in pixels."""


def suffix_of(path: str) -> str:
    """Return what a file's name ends in, in lower case."""
    return PurePosixPath(path).suffix.lower()


def is_binary(suffix: str) -> bool:
    """Return whether files that end so never are mere text: pictures, films, sounds, meshes in binary, tensors."""
    return suffix in _BINARY


def is_media(suffix: str) -> bool:
    """Return whether a name that ends so is that of a file which a node may have made: as `is_binary`, or what may be text, too."""
    return suffix in _BINARY or suffix in _AS_TEXT_TOO


def is_reencoded(suffix: str, wanted: str, *, frames: int, width: int | None, height: int | None) -> bool:
    """Return whether a file is written in another format.

    Args:
        suffix: Of the file, as the server gave it.
        wanted: What the recipe's pictures end in; ``.png`` leaves every file as it is.
        frames: How many pictures it has.
        width: In pixels; None where it is no picture.
        height: Likewise.
    """
    most = LONGEST_EDGE.get(wanted, 0)
    return suffix in PICTURES and suffix != wanted and frames == 1 and max(width or 0, height or 0) <= most


def was_reencoded(record: FileRecord) -> bool:
    """Return whether a file is a copy in another format of what the server gave."""
    given = suffix_of(record.server_name)
    return given in PICTURES and given != suffix_of(record.path)


def has_media_type(record: FileRecord, planned: str) -> bool:
    """Return whether a file has the media type that a recipe wants, or the one that has to do instead.

    Args:
        record: The file.
        planned: Where the recipe wants it, or only what its name is to end in.
    """
    suffix, wanted = suffix_of(record.path), suffix_of(f"x{planned}")
    if suffix == wanted:
        return True
    size = {"width": record.width, "height": record.height}
    return not was_reencoded(record) and not is_reencoded(suffix, wanted, frames=record.frames, **size)
