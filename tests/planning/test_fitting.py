"""Jobs held against what a server says of its nodes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from comfy_runner import validate

_NODE: dict[str, Any] = {"input": {"required": {"value": ["*", {}]}}, "output": [], "output_node": True, "python_module": "nodes"}


def test_an_input_may_be_a_json_object_or_a_list(tmp_path: Path) -> None:
    graph = '{"save": {"class_type": "Show", "inputs": {"value": {{ params.value }}}, "_meta": {"role": "original"}}}'
    (tmp_path / "object.json.j2").write_text(graph, encoding="utf-8")
    (tmp_path / "object_info.json").write_text(json.dumps({"Show": _NODE}), encoding="utf-8")
    sweep = {"params.value": [{"a": 1}, {"a": 2}, {"__value__": [1, 2]}]}

    validate(
        [{"name": "lake", "template": "object", "sweep": sweep}],
        templates=[tmp_path],
        object_info=tmp_path / "object_info.json",
    )
