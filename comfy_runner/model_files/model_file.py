"""A model file that is wanted on a machine: its name there, where it comes from, and by what it is known. Plain values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from comfy_runner.byte_sizes import told_size
from comfy_runner.text_files import scheme_of


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model that a recipe names. It can be sent to other processes.

    Attributes:
        name: As graphs name it, with ``/`` between folders.
        folder: ComfyUI's folder of models that it belongs to, such as ``checkpoints``.
        source: Its URL, or the absolute path of a file.
        sha256: Of its bytes, lower-case hex.
        sizes: How many bytes it may have; None for any number.
        where: The place of it in a recipe, for messages.
    """

    name: str
    folder: str
    source: str
    sha256: str
    sizes: range | None = None
    where: str = ""

    @property
    def path(self) -> Path | None:
        """The file of this machine that it comes from; None for one that comes from a URL."""
        return None if scheme_of(self.source) else Path(self.source)

    @property
    def told_size(self) -> str:
        """How large it is, such as ``6.94 GB``; empty where that is not known."""
        return "" if self.sizes is None else told_size(round((self.sizes[0] + self.sizes[-1]) / 2))

    @property
    def origin(self) -> str:
        """From where it comes in a word: ``huggingface.co``, ``s3://bucket``; empty for a file of this machine."""
        if self.path is not None:
            return ""
        parts = urlsplit(self.source)
        return parts.netloc if parts.scheme == "https" else f"{parts.scheme}://{parts.netloc}"
