"""A graph as the text of a template: JSON, one node below the other, with expressions in the places of some literals.

What Jinja would take for its own in a text is printed by an expression, so that it renders as it was typed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from comfy_runner.graph.signature import InputKey
from comfy_runner.graph.workflow import Link, Node, Workflow, as_link
from comfy_runner.importer.recipe_text import UNSEEN, quoted
from comfy_runner.importer.recognising.models import LoraChain

WIDTH = 120
"""The longest line of inputs that is written as one, in characters."""

_JINJA = re.compile(r"\{[{%#]")
_UNSEEN = re.compile(f"[{UNSEEN}]")


def json_text(value: Any) -> str:
    """Return a value as JSON in a template: texts in which Jinja would find something are printed by an expression."""
    if isinstance(value, str):
        if _JINJA.search(value):
            return "{{ " + jinja_text(value) + " }}"
        return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value, ensure_ascii=False))
    if isinstance(value, Mapping):
        return _braced(", ".join(f"{json_text(str(key))}: {json_text(item)}" for key, item in value.items()))
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(json_text, value)) + "]"
    return json.dumps(value, allow_nan=False)


def _braced(text: str) -> str:
    # Behind a brace, one that begins an expression would be the second of three.
    return f"{{ {text}}}" if text.startswith("{{") else f"{{{text}}}"


def jinja_text(text: str) -> str:
    """Return a text as a literal of Jinja's, whose escapes are those of YAML too, as far as they are used."""
    return quoted(text)


def graph_text(
    workflow: Workflow, expressions: Mapping[InputKey, str], metas: Mapping[str, Mapping[str, Any]], loras: LoraChain | None
) -> str:
    """Return a graph as the text of a template.

    Args:
        workflow: The graph.
        expressions: What is printed in the places of literals, by (node id, input name).
        metas: The ``_meta`` of nodes that get another one than they have.
        loras: The chain of LoRAs that a recipe gives; None where there is none.
    """
    chain = set(loras.nodes) if loras is not None else set()
    last = loras.nodes[-1] if loras is not None else None
    blocks = [
        _node(node_id, node, metas.get(node_id, node.meta), expressions, last)
        for node_id, node in workflow.nodes.items()
        if node_id not in chain
    ]
    if loras is None:
        return "{\n" + ",\n".join(blocks) + "\n}\n"
    return f"{_lora_names(workflow, loras)}{{\n{_lora_loop(workflow, loras)}" + ",\n".join(blocks) + "\n}\n"


def _node(node_id: str, node: Node, meta: Mapping[str, Any], expressions: Mapping[InputKey, str], last: str | None) -> str:
    inputs = [f"{json_text(name)}: {_value(node_id, name, value, expressions, last)}" for name, value in node.inputs.items()]
    one_line = ", ".join(inputs)
    if len(one_line) + 20 <= WIDTH and len(inputs) <= 4:
        written = _braced(one_line)
    else:
        written = "{\n" + ",\n".join(f"      {each}" for each in inputs) + "\n    }"
    lines = [f"  {json_text(node_id)}: {{", f'    "class_type": {json_text(node.class_type)},']
    lines.append(f'    "inputs": {written}' + ("," if meta else ""))
    if meta:
        lines.append(f'    "_meta": {json_text(meta)}')
    return "\n".join([*lines, "  }"])


def _value(node_id: str, name: str, value: Any, expressions: Mapping[InputKey, str], last: str | None) -> str:
    expression = expressions.get((node_id, name))
    if expression is not None:
        return "{{ " + expression + " }}"
    link = as_link(value)
    if link is not None and link.node == last and link.slot in (0, 1):
        return "{{ lora_clip }}" if link.slot else "{{ lora_model }}"
    return json_text(value)


def _lora_names(workflow: Workflow, loras: LoraChain) -> str:
    """Return the statements that say what the nodes of LoRAs are called, and where what comes after them has its model from."""
    ids, prefix = ", ".join(map(jinja_text, loras.nodes)), _prefix(workflow)
    lines = [
        "{# One node for each of the recipe's LoRAs; the first ones keep the ids that they had. #}",
        f"{{% set lora_ids = [{ids}] %}}",
        f'{{% set last_lora = lora_ids[loras | length - 1] | default("{prefix}" ~ loras | length) %}}',
        f"{{% set lora_model = [last_lora, 0] if loras else {_jinja_link(loras.model)} %}}",
    ]
    if loras.clip is not None:
        lines.append(f"{{% set lora_clip = [last_lora, 1] if loras else {_jinja_link(loras.clip)} %}}")
    return "\n".join(lines) + "\n"


def _lora_loop(workflow: Workflow, loras: LoraChain) -> str:
    """Return the loop that prints the nodes of LoRAs, each with a comma behind it."""
    prefix = _prefix(workflow)

    def link(slot: int, first: Link) -> str:
        before = f'[lora_ids[loop.index0 - 1] | default("{prefix}" ~ loop.index0), {slot}]'
        return f"{{{{ {before} if loop.index0 else {_jinja_link(first)} }}}}"

    clip = [f'      "clip": {link(1, loras.clip)},'] if loras.clip is not None else []
    strength = ['      "strength_model": {{ lora.strength_model }},', '      "strength_clip": {{ lora.strength_clip }}']
    titles = [str(workflow.nodes[node_id].meta.get("title") or "") for node_id in loras.nodes]
    meta = []
    if any(titles):
        of_first = ", ".join(jinja_text(title or f"LoRA {number}") for number, title in enumerate(titles, 1))
        meta = [f'    "_meta": {{"title": {{{{ [{of_first}][loop.index0] | default("LoRA " ~ loop.index) }}}}}}']
    lines = [
        "{% for lora in loras %}",
        f'  {{{{ lora_ids[loop.index0] | default("{prefix}" ~ loop.index) }}}}: {{',
        f'    "class_type": {json_text(loras.class_type)},',
        '    "inputs": {',
        f'      "model": {link(0, loras.model)},',
        *clip,
        '      "lora_name": {{ lora.name }},',
        *(strength if loras.clip is not None else [strength[0].removesuffix(",")]),
        "    }" + ("," if meta else ""),
        *meta,
        "  },",
        "{% endfor %}",
    ]
    return "\n".join(lines) + "\n"


def _jinja_link(link: Link) -> str:
    return f"[{jinja_text(link.node)}, {link.slot}]"


def _prefix(workflow: Workflow) -> str:
    """Return what the ids of further LoRAs begin with, which no id of the workflow does."""
    prefix = "lora_"
    while any(node_id.startswith(prefix) for node_id in workflow.nodes):
        prefix += "_"
    return prefix
