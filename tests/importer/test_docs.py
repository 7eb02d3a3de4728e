"""What docs/import.md shows: the command prints what stands there."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from comfy_runner import api
from comfy_runner.cli.import_workflow import import_record, summary
from comfy_runner.config import Config
from tests.importer.files import picture

_DOCS = Path(__file__).parents[2] / "docs"
_PAGE = (_DOCS / "import.md").read_text(encoding="utf-8")
_GLOW = re.findall(r"```json\n(.*?)```", (_DOCS / "templates.md").read_text(encoding="utf-8"), re.DOTALL)[0]


def test_the_summary_is_what_the_program_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    shown = re.findall(r"```console\n\$ comfy-runner import fox\.png .*?--param (\S+)\n(.*?)```", _PAGE, re.DOTALL)
    ((param, lines),) = shown
    picture(tmp_path / "fox.png", {"prompt": json.loads(_GLOW)})

    imported = api.import_workflow(tmp_path / "fox.png", params=[param], config=Config())

    said = [*summary(imported)]
    assert said[0].endswith("fox.png: ComfyUI's graph (prompt), 9 nodes")
    assert lines.splitlines()[1 : len(said)] == said[1:]


def test_the_keys_for_programs_are_these(tmp_path: Path) -> None:
    picture(tmp_path / "fox.png", {"prompt": json.loads(_GLOW)})
    record = import_record(api.import_workflow(tmp_path / "fox.png", config=Config()), [], "")

    section = _PAGE.split("\n## For programs\n")[1]
    assert [key for key in record if f"`{key}`" not in section] == []
