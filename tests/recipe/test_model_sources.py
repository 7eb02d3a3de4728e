"""What `models` of a recipe may say: sources, checksums, sizes, and names that lead nowhere else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from comfy_runner.errors import Problem
from comfy_runner.recipe.job import job
from comfy_runner.recipe.load import LoadedRecipe, from_mapping, load
from comfy_runner.recipe.schema import json_schema
from comfy_runner.store.about import about_job
from comfy_runner.store.sidecar import repeatable
from tests.recipe.support import fault, faults, written

_SHA = "ab" * 32
_URL = "https://huggingface.co/a/b/resolve/main/x.safetensors"


def _recipe(name: str = "x.safetensors", **source: Any) -> LoadedRecipe:
    return from_mapping({"models": {name: {"url": _URL, "sha256": _SHA, **source}}})


def _fault(name: str = "x.safetensors", **source: Any) -> Problem:
    return fault(lambda: _recipe(name, **source))


@pytest.mark.parametrize("name", ["x.safetensors", "SDXL/x.SFT", "a/b/c d (1).gguf", "süß.onnx", "x.fp16.safetensors"])
def test_names_as_graphs_have_them(name: str) -> None:
    assert list(_recipe(name).recipe.models) == [name]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("../x.safetensors", "must not contain empty parts, . or .."),
        ("a/../../x.safetensors", "must not contain empty parts, . or .."),
        ("/etc/x.safetensors", "must not contain empty parts, . or .."),
        ("a//x.safetensors", "must not contain empty parts, . or .."),
        ("C:/x.safetensors", "must not contain any of"),
        ("..\\x.safetensors", "must use / between folders"),
        ("a\0.safetensors", "must not contain NUL"),
        ("a\n.safetensors", "must not contain any of"),
        ("nul/x.safetensors", "must not contain names that Windows reserves"),
        (".hidden.safetensors", "must not contain parts that start with a dot"),
        ("a/.git/x.safetensors", "must not contain parts that start with a dot"),
        ("x" * 300 + ".safetensors", "must be at most 200 bytes long"),
        ("x.ckpt", "must end in .safetensors, .sft, .gguf or .onnx: other formats can hold programs"),
        ("x.pt", "must end in"),
        ("x.safetensors.py", "must end in"),
        ("", "must end in"),
    ],
)
def test_names_that_are_none(name: str, words: str) -> None:
    problem = _fault(name)
    assert words in problem.what
    assert problem.where.startswith("recipe: models")


@pytest.mark.parametrize(
    "url",
    [
        _URL,
        "http://nas:8000/x",
        "s3://bucket/a/x.onnx",
        "https://[::1]/x",
        "https://civitai.com/api/download/models/1?type=Model&format=SafeTensor",
    ],
)
def test_urls(url: str) -> None:
    assert _recipe(url=url).model_source("x.safetensors") == url


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("x.safetensors", "must be the URL of a file"),
        ("/models/x.safetensors", "must be the URL of a file"),
        ("https://h", "must be the URL of a file"),
        ("https://a b/x", "must be the URL of a file"),
        ("file:///etc/passwd", "must be the URL of a file"),
    ],
)
def test_urls_that_are_none(url: str, words: str) -> None:
    problem = _fault(url=url)
    assert words in problem.what
    assert problem.where == 'recipe: models."x.safetensors".url'


@pytest.mark.parametrize(
    "url",
    [
        "https://me:s3cr3t@h/x",
        "https://s3cr3t@h/x",
        "https://s3cr3t\\@h/x",
        "https://h/x?token=s3cr3t",
        "https://h/x?a=1&api_key=s3cr3t",
        "https://b.s3.amazonaws.com/x?X-Amz-Signature=s3cr3t",
    ],
)
def test_a_url_with_a_secret_is_refused_without_telling_it(url: str) -> None:
    problem = _fault(url=url)
    assert problem.what == "must have no user, key or token in its URL, because the URL is recorded"
    assert problem.hint == "put it into the config file: models.tokens"
    assert "s3cr3t" not in str(problem)


@pytest.mark.parametrize("size", [7, "7 B", "1.5 KB", "6.46 GiB"])
def test_sizes(size: int | str) -> None:
    assert _recipe(size=size).recipe.models["x.safetensors"].size == size


@pytest.mark.parametrize("size", [0, -1, 1.5, True, "", "big", "6.94", "6,94 GB", "1 PB", "0 GB", "GB"])
def test_sizes_that_are_none(size: object) -> None:
    assert "must be" in _fault(size=size).what


@pytest.mark.parametrize("sha256", ["", "ab", "g" * 64, "a" * 63, 7])
def test_checksums_that_are_none(sha256: object) -> None:
    assert "must be" in _fault(sha256=sha256).what


def test_a_checksum_is_one_in_capitals_too() -> None:
    assert _recipe(sha256=_SHA.upper()).recipe.models["x.safetensors"].sha256 == _SHA


def test_what_is_missing_or_too_much_is_told_with_its_line(tmp_path: Path) -> None:
    text = f"""models:
  a.safetensors: {{url: '{_URL}'}}
  b.safetensors: {{sha256: {_SHA}}}
  c.ckpt: {{path: c, sha256: {_SHA}, sha: 1}}
"""
    path = written(tmp_path, "r.yaml", text)

    told = [(problem.where.removeprefix(str(tmp_path) + "/"), problem.what, problem.hint) for problem in faults(lambda: load(path))]

    assert told == [
        ('r.yaml:2: models."a.safetensors".sha256', "is missing", ""),
        ('r.yaml:3: models."b.safetensors"', "must give url or path, and only one of these", ""),
        (
            'r.yaml:4: models."c.ckpt"',
            'must end in .safetensors, .sft, .gguf or .onnx: other formats can hold programs (got "c.ckpt")',
            "",
        ),
        ('r.yaml:4: models."c.ckpt".sha', "unknown field", 'did you mean models."c.ckpt".sha256?'),
    ]


def test_a_path_starts_from_the_file_that_gives_it(tmp_path: Path) -> None:
    written(tmp_path, "base/base.yaml", f"models: {{x.safetensors: {{path: ../m/x.safetensors, sha256: {_SHA}}}}}\n")
    path = written(tmp_path, "r.yaml", f"extends: base/base.yaml\nmodels: {{y.gguf: {{path: y.gguf, sha256: {_SHA}}}}}\n")

    loaded = load(path)

    assert Path(loaded.model_source("x.safetensors")).resolve() == (tmp_path / "m/x.safetensors").resolve()
    assert loaded.model_source("y.gguf") == str(tmp_path / "y.gguf")


def test_models_are_no_axis() -> None:
    problem = fault(lambda: from_mapping({"models": {}, "sweep": {"models": [{}]}}))
    assert "sweep" in problem.where


def test_sidecars_have_them_and_pictures_those_with_a_url(tmp_path: Path) -> None:
    models = {"x.safetensors": {"url": _URL, "sha256": _SHA}, "y.onnx": {"path": "y.onnx", "sha256": _SHA, "size": "1 MB"}}
    path = written(tmp_path, "r.yaml", json.dumps({"checkpoint": "x.safetensors", "prompt": "a", "seed": 1, "models": models}))
    kept = repeatable(job(load(path)), tmp_path / "t.json.j2")

    assert kept["models"] == {
        "x.safetensors": models["x.safetensors"],
        "y.onnx": {**models["y.onnx"], "path": str(tmp_path / "y.onnx")},
    }
    assert from_mapping(kept).recipe.models.keys() == models.keys()
    told = about_job(job_id="r", content_hash="0" * 64, recipe=kept, template={})
    assert told["recipe"]["models"] == {"x.safetensors": models["x.safetensors"]}
    assert "models" not in repeatable(job(from_mapping({"seed": 1})), tmp_path / "t.json.j2")


def test_editors_are_told_of_them() -> None:
    known = json_schema()["$defs"]["ModelSource"]
    assert known["required"] == ["sha256"]
    assert {"url", "path", "sha256", "size", "folder"} == known["properties"].keys()
