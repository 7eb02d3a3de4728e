"""Why a server refused a workflow, or would run only part of it: the answer of ``POST /prompt`` as a list of complaints.

The useful part is ``node_errors``; the ``error`` beside it is often empty (ComfyUI ``execution.py``, ``validate_prompt``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from comfy_runner.engine.reports import Complaint

_LENGTH = 300


def complaints(body: Any) -> list[Complaint]:
    """Return what a server's answer complains of; empty where it takes the whole workflow."""
    if not isinstance(body, dict):
        return [Complaint("", "", "", _short(body))] if body else []
    found = list(_node_complaints(body.get("node_errors")))
    error = body.get("error")
    if not found and error:
        found.append(Complaint("", "", "", _short(_joined(error) if isinstance(error, dict) else error)))
    return found


def _node_complaints(node_errors: Any) -> Iterator[Complaint]:
    for node_id, node in node_errors.items() if isinstance(node_errors, dict) else ():
        errors = node.get("errors") if isinstance(node, dict) else None
        for error in errors if isinstance(errors, list) else ():
            if isinstance(error, dict):
                extra = error.get("extra_info")
                name = extra.get("input_name") if isinstance(extra, dict) else ""
                yield Complaint(_short(node_id), _short(node.get("class_type") or "?"), _short(name or ""), _short(_joined(error)))


def _joined(error: dict[str, Any]) -> str:
    message, details = str(error.get("message") or error.get("type") or ""), str(error.get("details") or "")
    return f"{message}: {details}" if message and details else message or details


def _short(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= _LENGTH else text[:_LENGTH] + " …"
