"""Files that a job reads on its server: a picture for LoadImage, a sound, a latent. What one is, and what it is called there.

Its name there is made of its content: what stands in a graph changes when the file changes, and only then, wherever the file lies.
`planning.inputs` reads it, and `engine.comfyui.uploads` brings it to a server.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Self

FOLDER: Final = "comfy_runner"
"""The folder in a server's input folder that all of them go to."""

_DIGITS = 32
_SUFFIX = re.compile(r"\.[a-z0-9]{1,5}")
_NAME = re.compile(rf"{FOLDER}/[0-9a-f]{{{_DIGITS}}}({_SUFFIX.pattern})?")
_HASH = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file that a job reads.

    Attributes:
        param: The recipe's parameter that names it.
        path: Where it was found, absolute.
        name: What stands in the graph: ``comfy_runner/`` and a name made of its content.
        sha256: Of its bytes, hex.
        size_bytes: Its length.
    """

    param: str
    path: str
    name: str
    sha256: str
    size_bytes: int

    @property
    def filename(self) -> str:
        """Return its name on a server, without the folder."""
        return self.name.partition("/")[2]

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return what `to_json` gave.

        Raises:
            ValueError: It is something else; also KeyError and TypeError.
        """
        found = cls(**data)
        if not (is_upload_name(found.name) and _HASH.fullmatch(found.sha256) and isinstance(found.size_bytes, int)):
            raise ValueError("not an input file")
        return found


def upload_name(sha256: str, path: Path) -> str:
    """Return what a file of this content is called in graphs; of its own name, only a harmless suffix is kept."""
    suffix = path.suffix.lower()
    return f"{FOLDER}/{sha256[:_DIGITS]}{suffix if _SUFFIX.fullmatch(suffix) else ''}"


def is_upload_name(value: Any) -> bool:
    """Return whether a literal of a graph names a file that is to be uploaded."""
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


def names_in(value: Any, names: Collection[str]) -> set[str]:
    """Return which of these names appear in a JSON-like value, also within texts."""
    if isinstance(value, str):
        return {name for name in names if name in value}
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return {name for part in parts for name in names_in(part, names)}


def renamed(value: Any, names: Mapping[str, str]) -> Any:
    """Return a JSON-like value with names replaced, also within texts such as ``NAME [input]``."""
    if isinstance(value, str):
        for old, new in names.items():
            value = value.replace(old, new)
        return value
    if isinstance(value, Mapping):
        return {key: renamed(part, names) for key, part in value.items()}
    return [renamed(part, names) for part in value] if isinstance(value, list | tuple) else value
