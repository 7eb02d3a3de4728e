"""A recipe names a checkpoint that the local ComfyUI lacks: it is fetched, linked, and renders.

That actors of a machine share a download is tried in ``test_ray.py``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from comfy_runner.byte_sizes import told_size
from tests.model_files.support import FileServer, sha256
from tests.real.support import FAST, FETCHED, comfy_runner, pixels, sidecar, source_of


def test_a_checkpoint_that_is_fetched_renders(home: Path, web: FileServer, fetching: dict[str, str], tmp_path: Path) -> None:
    content = web.files["/tiny.safetensors"]
    command = ("job.yaml", "--server", "local", *FAST)

    def typed(*args: str, code: int = 0) -> Any:
        return comfy_runner(*args, folder=tmp_path, code=code, environment=fetching)

    refused = typed("run", *command, code=2)
    assert "--fetch-models fetches it" in refused.stderr
    assert not web.seen
    planned = typed("plan", *command, "--fetch-models")
    assert f"a run would first fetch 1 model ({told_size(len(content))}) from {web.url}: {FETCHED}" in planned.stderr
    done = typed("run", *command, "--fetch-models")

    assert "fetched and checked" in done.stderr
    assert web.asked == ["/tiny.safetensors", "/tiny.safetensors bytes=200000000-"]
    assert (home / "models/checkpoints" / FETCHED).readlink() == tmp_path / "cache" / sha256(content) / "model"
    # Another name of the very file: the very same picture.
    (tmp_path / "own.yaml").write_text(json.dumps({"extends": "quickstart"}), encoding="utf-8")
    typed("run", "own.yaml", "--server", "local", *FAST)
    assert (pixels(tmp_path / "runs/job/job/upscaled.png") == pixels(tmp_path / "runs/own/own/upscaled.png")).all()
    assert sidecar(tmp_path / "runs/job/job")["recipe"]["models"] == {FETCHED: source_of(web)}
    listed = typed("models", "--cached")
    assert listed.stdout.startswith(f"{FETCHED}  ")
    typed("models", "--clean")
    assert not (home / "models/checkpoints" / FETCHED).is_symlink()
    again = typed("run", "job.yaml", "--server", "local", *FAST)
    assert "1 done (1 already)" in again.stderr
