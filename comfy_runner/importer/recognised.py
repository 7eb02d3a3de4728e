"""What a workflow says in the words of a recipe, as values: fields, parameters, what stayed, outputs."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from comfy_runner.graph.signature import InputKey
from comfy_runner.graph.workflow import Workflow
from comfy_runner.importer.recognising.models import LoraChain
from comfy_runner.importer.recognising.passes import WorkflowPasses
from comfy_runner.importer.recognising.roles import Roles
from comfy_runner.recipe.field_docs import Param


@dataclass(frozen=True, slots=True)
class FieldFound:
    """A recipe field that a workflow gives.

    Attributes:
        field: The field, dotted: ``sampler.steps``; ``size`` and ``loras`` as a whole.
        value: What a recipe gives for it.
        places: The literals that it takes the place of, as (node id, input name).
        remark: What there is to say of it, as in `Problem.what`; empty for nothing.
    """

    field: str
    value: Any
    places: tuple[InputKey, ...]
    remark: str = ""


@dataclass(frozen=True, slots=True)
class ParamFound:
    """A parameter that a literal becomes.

    Attributes:
        param: Its name, type, default, range and sentence.
        value: What the workflow has; for a file of the user's, the name that the server knows one by.
        places: The literals that it takes the place of.
    """

    param: Param
    value: Any
    places: tuple[InputKey, ...]

    @property
    def is_file(self) -> bool:
        """Return whether it is a file that is uploaded, in whose place the server's own counts while none is given."""
        return self.param.type in ("image", "file")


@dataclass(frozen=True, slots=True)
class LiteralKept:
    """What might have become a recipe field, and why it did not.

    Attributes:
        field: The field.
        places: Where its literals stand; none where there are none.
        value: What a recipe cannot have as this field, and stays for that; None where there is another reason.
        why: The reason, as in `Problem.what`.
    """

    field: str
    places: tuple[InputKey, ...]
    value: Any
    why: str


@dataclass(frozen=True, slots=True)
class LiteralLeft:
    """A literal that stays in the template, and could become a parameter.

    Attributes:
        place: Its node and input.
        value: The literal.
        name: What a parameter for it could be called.
    """

    place: InputKey
    value: Any
    name: str

    @property
    def option(self) -> str:
        """Return the option of the command that makes it a parameter."""
        node_id, name = self.place
        return f"--param {shlex.quote(f'{node_id}.{name}={self.name}')}"


@dataclass(frozen=True, slots=True)
class Recognised:
    """What a workflow says in the words of a recipe.

    Attributes:
        workflow: The workflow.
        fields: What became a recipe field, in the order of a recipe.
        params: What became a parameter of the template, the likeliest to be turned first.
        kept: What might have become a field, and why it stays.
        left: Literals that stay, and could become parameters.
        roles: The outputs.
        passes: The sampler passes.
        loras: The chain of LoRAs that ``loras`` stands for; None where it does not.
        expressions: What the template prints in the place of each literal: a Jinja expression by (node id, input name).
        packs: Where node classes come from that are not ComfyUI's own, by class, as far as a server says.
    """

    workflow: Workflow
    fields: tuple[FieldFound, ...]
    params: tuple[ParamFound, ...]
    kept: tuple[LiteralKept, ...]
    left: tuple[LiteralLeft, ...]
    roles: Roles
    passes: WorkflowPasses
    loras: LoraChain | None
    expressions: Mapping[InputKey, str]
    packs: Mapping[str, str]
