"""``comfy-runner bisect`` on a real ComfyUI whose node pack changes how it samples."""

from __future__ import annotations

import shlex
import shutil
import socket
import sys
from dataclasses import replace
from pathlib import Path

from comfy_runner.engine.local import InstalledEngine, LocalOptions, stop
from tests.bisecting.repository import Repository
from tests.real.support import FAST, comfy_runner

_PACK = "NODE_CLASS_MAPPINGS = {}\n"
# What a pack that patches ComfyUI does to everybody's pictures.
_PATCH = """
import comfy.sample
_original = comfy.sample.prepare_noise
comfy.sample.prepare_noise = lambda *args, **named: -_original(*args, **named)
"""
_SERVER = """
import sys
from comfy_runner.engine.local import LocalOptions, start, stop
options = LocalOptions(instance=sys.argv[2], port=int(sys.argv[3]))
print(start(options, say=print) if sys.argv[1] == "start" else stop(options))
"""


def test_the_commit_of_a_node_pack_that_changes_everybodys_pictures_is_found(
    local_options: LocalOptions, local_engine: InstalledEngine, tmp_path: Path
) -> None:
    assert local_engine.checkpoint is not None
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = replace(local_options, instance=f"{local_options.instance}-bisect")
    (tmp_path / "server.py").write_text(_SERVER, encoding="utf-8")
    command = shlex.join([sys.executable, str(tmp_path / "server.py")]) + f" {{}} {options.instance} {port}"
    try:
        pack = Repository(options.base / "custom_nodes" / "pack")
        (pack.folder / "__init__.py").write_text(_PACK, encoding="utf-8")
        pack.commit("Add a pack")
        last_good = pack.commit("Say hello", readme="hello")
        (pack.folder / "__init__.py").write_text(_PACK + _PATCH, encoding="utf-8")
        changed = pack.commit("Turn the noise around")
        ends = (last_good, "main")

        done = comfy_runner(
            *("bisect", *ends, "quickstart", *FAST, "--repo", str(pack.folder), "--server", f"http://127.0.0.1:{port}"),
            *("--start", command.format("start"), "--stop", command.format("stop")),
            folder=tmp_path,
        )
    finally:
        stop(options)
        shutil.rmtree(options.folder, ignore_errors=True)

    assert done.stdout == f"{changed}\n"
    assert "Turn the noise around is the first bad version" in done.stderr
