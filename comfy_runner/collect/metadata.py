"""What the pictures of a job are to say of themselves, by ``output.metadata`` of its recipe.

``comfyui``: the graph and the recipe, as ComfyUI writes them; ``a1111``: the text that A1111's web UI and its kin write, which
sites and browsers of pictures read. Neither: nothing that tells how a picture was made.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from comfy_runner.collect.exif import PARAMETERS
from comfy_runner.collect.picture_texts import TextChanges
from comfy_runner.recipe.fields import A1111, COMFYUI
from comfy_runner.store.about import NAME, metadata_of


@dataclass(frozen=True, slots=True)
class PictureMetadata:
    """What there is to say of the pictures of a job.

    Attributes:
        kinds: What is to be said: `COMFYUI`, `A1111`, both, or nothing.
        about: Gives what `store.about` tells of the job.
        graph: Gives its graph, in the API's format.
        parameters: A1111's text, by output role.
    """

    kinds: tuple[str, ...]
    about: Callable[[], Mapping[str, Any]]
    graph: Callable[[], Mapping[str, Any]]
    parameters: Mapping[str, str]

    @classmethod
    def of(
        cls,
        recipe: Mapping[str, Any],
        about: Callable[[], Mapping[str, Any]],
        graph: Callable[[], Mapping[str, Any]],
        parameters: Mapping[str, str],
    ) -> PictureMetadata:
        """Return what a complete recipe says, as a sidecar or a submission has it; for the others see the attributes."""
        return cls(metadata_of(recipe), about, graph, parameters)

    def changes(
        self, role: str, *, before: tuple[str, ...] = (COMFYUI,), is_anothers: bool = False, says_nothing: bool = False
    ) -> TextChanges | None:
        """Return what becomes of a picture's texts; None where the file is as it is to be.

        Args:
            role: The picture's output role.
            before: What kinds the file has; a server writes `COMFYUI`.
            is_anothers: Whether it speaks of another job, or of several.
            says_nothing: Whether it has no texts though it could have them, since it did not come as a file.
        """
        text = self.parameters.get(role, "")
        written = {PARAMETERS: text} if A1111 in self.kinds and text else {}
        removed = (PARAMETERS,) if A1111 in before and not written else ()
        if COMFYUI not in self.kinds:
            return TextChanges(keeps=False, written=written)
        if says_nothing or COMFYUI not in before:
            return TextChanges(written={**self._own_texts(), **written}, removed=removed)
        if not (written or is_anothers or removed):
            return None
        return TextChanges(written=written, replaced=self._own_texts() if is_anothers else {}, removed=removed)

    def _own_texts(self) -> dict[str, str]:
        return {NAME: json.dumps(self.about()), "prompt": json.dumps(self.graph())}
