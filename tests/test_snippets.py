"""Every block of README and the manual, as it stands: commands parse, YAML is a recipe or a config, Python names what there is.

Two pages that people follow from top to bottom, README and docs/getting-started.md, are followed: in an empty folder, with the
files that they show, against a stand-in server.
"""

from __future__ import annotations

import ast
import asyncio
import importlib.util
import inspect
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

import comfy_runner
from comfy_runner.api import validate
from comfy_runner.cli.main import cli
from comfy_runner.config import Config, load_config
from comfy_runner.recipe.schema import Recipe
from tests.cli.support import typed
from tests.importer.files import picture
from tests.snippets import PAGES, ROOT, Block, blocks
from tests.standin import StandIn

_BLOCKS = [block for page in PAGES for block in blocks(page)]
_PYTHON = [block for block in _BLOCKS if block.language == "python" or block.text.startswith("from comfy_runner import")]
_YAML = [block for block in _BLOCKS if block.language == "yaml"]

# What the files are, in short, that recipes of the pages read.
_FILES = {
    "prompts.txt": "a fox\nan owl\n",
    "table.csv": "prompt,seed\na fox,1\n",
    "pairs.csv": "prompt,upscale.denoise\na fox,0.5\nan owl,0.6\n",
    "words/animals.txt": "fox\nowl\n",
    "words/places/cold.txt": "Iceland\n",
}


def test_every_command_is_one_that_the_program_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "best").write_text("lake\n", encoding="utf-8")  # job ids, which are read while a command is parsed
    commands = [(block.place, words) for block in _BLOCKS for words in block.commands()]
    wrong = [f"{place}: {' '.join(words)}: {fault}" for place, words in commands if (fault := _fault(words))]

    assert len(commands) > 80
    assert wrong == []


def _fault(words: list[str]) -> str:
    """Return why the parser does not take a command; empty where it does. Files that it names need not be there."""
    if {"--help", "--version"} & {*words}:
        return ""
    command: click.Command = cli
    context, rest = click.Context(cli, info_name="comfy-runner", **cli.context_settings), words
    try:
        while isinstance(command, click.Group):
            name, found, rest = command.resolve_command(context, rest)
            assert found is not None
            if isinstance(found, click.Group):
                context = click.Context(found, info_name=name, parent=context)
            command = found
        command.make_context(words[0], list(rest), parent=context)
    except click.ClickException as error:
        message = error.format_message()
        return "" if "does not exist" in message else message
    except comfy_runner.UsageError as error:
        return "" if "no such file" in str(error) else str(error)
    return ""


def test_every_block_of_yaml_is_a_recipe_or_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STUDIO_TOKEN", "secret")
    monkeypatch.setenv("HF_TOKEN", "secret")
    monkeypatch.setenv("MY_COMFY_KEY", "comfyui-secret")
    for name, text in _FILES.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text, encoding="utf-8")
    kinds = [_tried(block) for block in _YAML]

    assert kinds.count("recipe") > 15
    assert kinds.count("settings") >= 3
    assert {block.page.name for block, kind in zip(_YAML, kinds, strict=True) if kind == "other"} == {
        "ci-formats.md",
        "templates.md",
    }


def _tried(block: Block) -> str:
    """Return what a block of YAML is, after it was loaded as that."""
    values = yaml.safe_load(block.text)
    assert isinstance(values, dict), block.place
    if block.page.name == "templates.md":
        return "other"  # tests/templating/shipped/test_docs.py tries them with the templates that the page shows
    # Some fields are in both, and say alike there; models do not.
    if set(values) <= {*Recipe.model_fields, "extends", "sweep"} and set(values) != {"models"}:
        _validate(block, values)
        return "recipe"
    if set(values) <= set(Config.model_fields):
        settings = Path("config.yaml")
        settings.write_text(block.text, encoding="utf-8")
        load_config(os.environ | {"COMFY_RUNNER_CONFIG": str(settings)})
        return "settings"
    return "other"


def _validate(block: Block, values: Mapping[str, Any]) -> None:
    path = Path(block.file or "snippet.yaml")
    text = block.text
    if "extends" not in values:
        needed = {"checkpoint": "sd_xl_base_1.0.safetensors", "prompt": "a fox", "loras": ["detail.safetensors"]}
        text = "".join(f"{key}: {json.dumps(value)}\n" for key, value in needed.items() if key not in values) + text
    path.write_text(text, encoding="utf-8")
    try:
        validate([path], config=Config())
    except comfy_runner.ComfyRunnerError as error:
        pytest.fail(f"{block.place}: {error}")


def test_every_block_of_json_is_json() -> None:
    found = [block for block in _BLOCKS if block.language == "json"]

    assert found
    for block in found:
        json.loads(block.text)


@pytest.mark.parametrize("page", sorted({block.page for block in _PYTHON}), ids=lambda page: page.name)
def test_python_names_and_calls_what_there_is(page: Path) -> None:
    tree = ast.parse("\n".join(block.text for block in _PYTHON if block.page == page))
    names = {
        alias.asname or alias.name: getattr(importlib.import_module(node.module or ""), alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("comfy_runner")
        for alias in node.names
    }

    assert names
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and inspect.isfunction(names.get(call.func.id)):
            inspect.signature(names[call.func.id]).bind(
                *call.args, **{keyword.arg: None for keyword in call.keywords if keyword.arg}
            )


@pytest.mark.slow
@pytest.mark.parametrize("page", ["python.md", "import.md"])
def test_python_runs_as_it_stands(page: str, server: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (workflow, *_) = [block.text for block in _BLOCKS if block.page.name == "templates.md" and block.language == "json"]
    picture(tmp_path / "fox.png", {"prompt": json.loads(workflow)})
    (tmp_path / "recipes").mkdir()
    known: dict[str, Any] = {}
    for block in _PYTHON:
        others = re.findall(r"^import (\w+)", block.text, flags=re.M)
        if block.page.name == page and all(map(importlib.util.find_spec, others)):
            text = re.sub(r'"(local|http://127\.0\.0\.1:8188)"', json.dumps(server.url), block.text)
            exec(compile(text, block.place, "exec"), known)  # noqa: S102 - it is what readers do with it
    if "render" in known:
        assert [result.state for result in asyncio.run(known["render"]())] == ["done"]


@pytest.mark.slow
@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "docs" / "getting-started.md"], ids=lambda page: page.name)
def test_a_page_that_is_followed_leads_where_it_says(page: Path, tmp_path: Path) -> None:
    with StandIn() as server, StandIn() as other:
        places = {"http://127.0.0.1:8188": server.url, "http://gpu2:8188": other.url, "local": server.url}
        ran = 0
        for block in blocks(page):
            if block.language == "yaml" and block.file:
                (tmp_path / block.file).write_text(block.text, encoding="utf-8")
            for words in block.commands():
                _prepare(tmp_path)
                args = [places.get(word, word) for word in words]
                done = typed(*args, folder=tmp_path, COMFY_RUNNER_SERVER=server.url, SHELL="/bin/bash", HOME=str(tmp_path))
                # That no value passes is an answer, too: the stand-in's pictures are no pictures.
                assert done.code in ((0, 4) if words[0] in ("suggest", "find") else (0,)), f"{words}: {done.err}"
                ran += 1
    assert ran > 8


def _prepare(folder: Path) -> None:
    """Do what the pages ask the reader for: a checkpoint of the server's, a picture, a file of prompts; and small sizes."""
    recipe = folder / "recipe.yaml"
    if recipe.exists():
        text = re.sub(
            r"^checkpoint: .*$", "checkpoint: tiny-random-sd15.safetensors", recipe.read_text(encoding="utf-8"), flags=re.M
        )
        recipe.write_text(text.replace("{width: 1024, height: 576}", "{width: 128, height: 72}"), encoding="utf-8")
    (folder / "prompts.txt").write_text(_FILES["prompts.txt"], encoding="utf-8")
    made = next(_pictures(folder), None)
    if made is not None and not (folder / "picture.png").exists():
        shutil.copy(made, folder / "picture.png")


def _pictures(folder: Path) -> Iterator[Path]:
    yield from sorted((folder / "runs").rglob("upscaled.png"))
