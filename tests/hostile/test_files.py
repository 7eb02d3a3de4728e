"""Files that the program finds: the config, sidecars, ``run.json``. Damaged or written by an enemy, they are read or refused."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from comfy_runner.config import load_config
from comfy_runner.engine.comfyui.address import parse_address
from comfy_runner.errors import ComfyRunnerError, ConfigError, RunFolderError
from comfy_runner.recipe.load import load
from comfy_runner.store.run_folder import RunFolder
from comfy_runner.store.sidecar import Sidecar
from tests.hostile.tally import survives
from tests.hostile.values import SCALARS, TEXTS, deep, mangled, seeded, spoiled
from tests.running.support import HASH, planned, record, sidecar

_CONFIG: dict[str, Any] = {
    "server": "studio",
    "fleet": ["studio", "http://gpu2:8188"],
    "servers": {"studio": {"url": "https://render.example:8443/comfy", "headers": {"Authorization": "Bearer x"}, "in_flight": 2}},
    "templates": ["templates"],
    "local": {"models": "models", "pip_args": ["--index-url=x"], "home": "home", "comfyui": "c", "python": "p"},
}
_CONFIG_KEYS = [
    *("server", "fleet", "servers", "url", "headers", "in_flight", "name"),
    *("templates", "local", "models", "pip_args", "home", "comfyui", "python"),
]


def _config(path: Path) -> None:
    config = load_config({"COMFY_RUNNER_CONFIG": str(path)})
    for server in (config.find_server(None), *config.find_servers(None), *config.known_servers()):
        parse_address(server.url, headers=server.headers)


def test_a_spoiled_config_is_read_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    for seed in range(600):
        with seeded(seed) as dice:
            text = json.dumps(spoiled(dice, _CONFIG, _CONFIG_KEYS)).encode()
            path.write_bytes(text if seed % 3 else mangled(dice, text))
            survives("config files", partial(_config, path))


@pytest.mark.parametrize("text", TEXTS)
def test_a_nasty_setting_in_the_environment_is_read_or_refused(text: str) -> None:
    for variable in ("COMFY_RUNNER_CONFIG", "COMFY_RUNNER_SERVER", "COMFY_RUNNER_LOCAL_HOME"):
        environment = {"COMFY_RUNNER_CONFIG": "nowhere/config.yaml", variable: text}
        found = survives("config files", partial(load_config, environment))
        assert not isinstance(found, ComfyRunnerError) or isinstance(found, ConfigError)
    survives("config files", lambda: parse_address(text, headers={text: text}))
    survives("config files", lambda: parse_address(f"http://{text}@{text}:{text}/{text}"))


def _sidecar_text() -> Any:
    files = {"original": (record("lake/original.png", b"x"),), "upscaled": (record("lake/upscaled.png", b"y"),)}
    return json.loads(sidecar("lake", files).to_bytes())


_SIDECAR_KEYS = ["format", "files", "path", "sha256", "size_bytes", "content_hash", "cached_nodes", "notes", "recipe", "state"]


@pytest.mark.parametrize("first", range(0, 800, 100))
def test_a_spoiled_sidecar_is_read_or_refused_and_never_leads_outside(tmp_path: Path, first: int) -> None:
    outside = tmp_path / "outside.png"
    outside.write_bytes(b"keep me")
    job = planned()
    folder = RunFolder(tmp_path / "run")
    path = folder.path / "lake" / "job.json"
    path.parent.mkdir()
    sound = {**_sidecar_text(), "content_hash": job.content_hash}
    for seed in range(first, first + 100):
        with seeded(seed) as dice:
            text = json.dumps(spoiled(dice, sound, _SIDECAR_KEYS)).encode()
            path.write_bytes(text if seed % 4 else mangled(dice, text))
            found = survives("sidecars", partial(folder.sidecar, "lake"))
            assert isinstance(found, (Sidecar, RunFolderError))
            survives("sidecars", partial(folder.reusable_files, job.job_id, job.content_hash, job.outputs))
            survives("sidecars", partial(folder.archive, "lake", ["lake/original.png"]))
            survives("sidecars", partial(load, path))
    folder.close()
    assert outside.read_bytes() == b"keep me"
    assert {entry.name for entry in tmp_path.iterdir()} == {"outside.png", "run"}


@pytest.mark.parametrize(
    "name", ["../outside.png", "/etc/passwd", "lake/../../outside.png", "a\0b", "..\\outside.png", "C:x", "", ".", "./x"]
)
def test_a_sidecar_that_names_a_file_elsewhere_moves_nothing(tmp_path: Path, name: str) -> None:
    outside = tmp_path / "outside.png"
    outside.write_bytes(b"keep me")
    folder = RunFolder(tmp_path / "run")
    data = _sidecar_text()
    data["files"]["original"][0]["path"] = name
    path = folder.path / "lake" / "job.json"
    path.parent.mkdir()
    path.write_text(json.dumps(data), encoding="utf-8")
    survives("sidecars", lambda: folder.archive("lake", ["lake/x.png"]))
    folder.close()
    assert outside.read_bytes() == b"keep me"


@pytest.mark.parametrize("value", ["../../x", "/x", "0" * 63, HASH + "/..", "\0" * 64, 3, None, [HASH]])
def test_a_content_hash_that_is_none_names_no_folder(tmp_path: Path, value: Any) -> None:
    folder = RunFolder(tmp_path / "run")
    path = folder.path / "lake" / "job.json"
    path.parent.mkdir()
    path.write_text(json.dumps({**_sidecar_text(), "content_hash": value}), encoding="utf-8")
    found = survives("sidecars", lambda: folder.archive("lake", ["lake/x.png"]))
    folder.close()
    assert isinstance(found, RunFolderError)
    assert {entry.name for entry in tmp_path.iterdir()} == {"run"}


def test_a_spoiled_record_of_seeds_is_read_or_refused(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    path = folder.path / "run.json"
    for seed in range(500):
        with seeded(seed) as dice:
            text = json.dumps(spoiled(dice, {"format": 1, "seeds": {"lake": 3, "b": 4}}, ["format", "seeds", "lake"])).encode()
            path.write_bytes(text if seed % 3 else mangled(dice, text))
            found = survives("run.json", partial(folder.draw_seeds, ["lake"]))
            assert isinstance(found, RunFolderError) or (isinstance(found, dict) and 0 <= found["lake"] < 2**53)
    folder.close()


@pytest.mark.parametrize(
    "text", [deep(100_000), deep(100_000, obj=True), '{"format":' + "9" * 5000 + "}", *map(json.dumps, SCALARS[:20])]
)
def test_a_record_of_another_shape_is_refused(tmp_path: Path, text: str) -> None:
    folder = RunFolder(tmp_path / "run")
    (folder.path / "run.json").write_text(text, encoding="utf-8")
    (folder.path / "lake").mkdir()
    (folder.path / "lake" / "job.json").write_text(text, encoding="utf-8")
    found = survives("run.json", lambda: folder.draw_seeds(["lake"]))
    other = survives("sidecars", lambda: folder.sidecar("lake"))
    folder.close()
    assert isinstance(found, RunFolderError)
    assert isinstance(other, RunFolderError)
