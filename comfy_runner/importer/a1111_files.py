"""The files that a text of the web UI names: as a server calls them where it has them, and which of Forge's modules is what."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from comfy_runner.errors import Note
from comfy_runner.graph.model_lists import candidates
from comfy_runner.importer.a1111_text import Parameters
from comfy_runner.wording import named
from comfy_runner.yaml_loader import got

_ABSOLUTE = re.compile(r"(?:[A-Za-z]:|[\\/]).*[\\/]")
_LONGEST = 500
_MOST_MODULES = 20
_T5 = re.compile(r"t5", re.IGNORECASE)
_CLIP = re.compile(r"clip|vit-?l|text_?enc", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Modules:
    """What Forge loads beside a model.

    Attributes:
        vae: The VAE; empty for none.
        encoders: T5, and CLIP-L; empty for none.
    """

    vae: str = ""
    encoders: tuple[str, str] = ("", "")

    @property
    def given(self) -> tuple[tuple[str, bool], ...]:
        """Each text encoder in words, and whether it is given."""
        return ("T5", bool(self.encoders[0])), ("CLIP-L", bool(self.encoders[1]))


class FileNames:
    """Finds files among those of a server.

    Args:
        models: What it has, by kind; None for no server.

    Attributes:
        notes: What the user should know of files that it does not have, or has several times.
    """

    def __init__(self, models: Mapping[str, Sequence[str]] | None) -> None:
        self.notes: list[Note] = []
        self._models = models

    def found(self, name: str, kinds: Sequence[str], *, field: str) -> tuple[str, str]:
        """Return what to call a file, and what to write beside it.

        Args:
            name: As the text calls it, mostly without folder and suffix.
            kinds: The server's lists that it can be in.
            field: The recipe field that names it, for notes.
        """
        plain = " ".join(_ABSOLUTE.sub("", name).split())[:_LONGEST] or "unknown"
        if self._models is None:
            return plain, "" if "." in plain[-13:] else "as in the text, without folder and suffix"
        lists = [self._models[kind] for kind in kinds if kind in self._models]
        options = [option for each in lists for option in candidates(plain, each)]
        if len(options) == 1:
            return options[0], ""
        if options:
            self.notes.append(Note(f"the server has several files of this name: {named(options)} (got {got(plain)})", field))
            return plain, "the server has several files of this name"
        if lists:
            self.notes.append(Note(f"the server has no such file (got {got(plain)})", field))
        return plain, "the server has no such file" if lists else ""


def modules_of(text: Parameters) -> Modules:
    """Return what a text says of the modules beside its model: ``Module 1``, ``Module 2``, and so on."""
    vae, t5, clip = "", "", ""
    for number in range(1, _MOST_MODULES + 1):
        name = text.get(f"Module {number}")
        base = re.split(r"[\\/]", name)[-1]
        if _T5.search(base):
            t5 = t5 or name
        elif _CLIP.search(base):
            clip = clip or name
        elif base and not base.casefold().startswith("use same"):
            vae = vae or name
    return Modules(vae, (t5, clip))
