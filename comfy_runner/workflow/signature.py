"""What a node's result, and a whole job, *is*: hashes over class, literals and ancestry.

The rule is that of ComfyUI's own cache (``comfy_execution/caching.py``, ``CacheKeySetInputSignature``): node ids and titles do
not count, links count as what they lead to. ComfyUI tells two equal nodes from one that is used twice; here they are the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from comfy_runner.workflow.graph import Node, Workflow, as_link


def signatures(workflow: Workflow) -> dict[str, str]:
    """Return a hex SHA-256 per node id, equal for two nodes exactly where they compute the same thing."""
    found: dict[str, str] = {}
    for node_id in workflow.in_order():
        found[node_id] = _sign(workflow.nodes[node_id], found)
    return found


def content_hash(workflow: Workflow) -> str:
    """Return the identity of a job as hex SHA-256: its output roles and what is saved under each.

    File prefixes are left out, so that the same job in another folder is the same job.
    """
    bare = workflow.with_prefixes(dict.fromkeys(workflow.outputs, ""))
    known = signatures(bare)
    return _digest({role: known[node_id] for role, node_id in bare.outputs.items()})


def _sign(node: Node, found: Mapping[str, str]) -> str:
    inputs = {}
    for name, value in node.inputs.items():
        link = as_link(value)
        inputs[name] = {"link": [found[link.node], link.slot]} if link else {"value": value}
    return _digest({"class_type": node.class_type, "inputs": inputs})


def _digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()
