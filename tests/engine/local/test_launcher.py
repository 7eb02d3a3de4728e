"""The launcher, in a process of its own as it is meant to run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from comfy_runner.engine.local import launcher

# Import statements of ComfyUI's core nodes and of the libraries that it uses.
USES = """
import torchaudio, torchvision, torchvision.transforms as transforms
from torchaudio.transforms import MelScale
from torchvision.transforms.functional import InterpolationMode, normalize as tv_normalize
MODES = [InterpolationMode.BILINEAR]
class Own(transforms.Compose): pass
"""


def run(script: Path, *flags: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-E", launcher.__file__, *flags[: flags.index("|")], str(script), *flags[flags.index("|") + 1 :]]
    return subprocess.run(
        command, env={**os.environ, **(env or {})}, capture_output=True, encoding="utf-8", check=False, timeout=120
    )


def answer(script: Path, *flags: str, env: dict[str, str] | None = None) -> Any:
    done = run(script, *flags, env=env)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def write(folder: Path, text: str) -> Path:
    path = folder / "main.py"
    path.write_text(text, encoding="utf-8")
    return path


def test_stand_ins_make_every_import_work(tmp_path: Path) -> None:
    assert answer(write(tmp_path, f"{USES}\nprint('true')"), "|") is True


def test_a_stand_in_that_is_used_says_which_package_is_not_installed(tmp_path: Path) -> None:
    done = run(write(tmp_path, f"{USES}\ntransforms.Resize(3)"), "|")
    assert done.returncode == 1
    assert "torchvision.transforms.Resize is not available: torchvision is not installed" in done.stderr


def test_packages_that_are_not_replaced_stay_missing(tmp_path: Path) -> None:
    assert "No module named 'torchaudiox'" in run(write(tmp_path, "import torchaudiox"), "|").stderr


def test_a_package_that_can_be_imported_is_left_alone(tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "torchvision.py").write_text("REAL = 1", encoding="utf-8")
    program = (
        f"import sys; sys.path.insert(1, {str(site)!r}); sys.path.insert(1, {str(Path(launcher.__file__).parent)!r});"
        "import launcher, json; print(json.dumps(launcher.probe()['missing']))"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, encoding="utf-8", timeout=120)
    assert json.loads(found.stdout) == ["torchaudio"]


def test_no_python_path_and_no_api_key_of_the_caller_reach_comfyui_or_its_children(tmp_path: Path) -> None:
    asked = "[os.environ.get('PYTHONPATH'), os.environ.get('COMFY_API_KEY'), sys.path]"
    script = write(tmp_path, f"import json, os, sys; print(json.dumps({asked}))")
    variable, key, path = answer(script, "|", env={"PYTHONPATH": str(tmp_path / "leak"), "COMFY_API_KEY": "comfyui-01234567"})
    assert (variable, key) == (None, None)
    assert str(tmp_path / "leak") not in path


@pytest.mark.parametrize(("flag", "expected"), [(["--offline", "|"], "1"), (["|"], None)])
def test_the_model_hub_is_out_of_reach_only_if_asked_for(tmp_path: Path, flag: list[str], expected: str | None) -> None:
    script = write(tmp_path, "import json, os; print(json.dumps(os.environ.get('HF_HUB_OFFLINE')))")
    assert answer(script, *flag) == expected


def test_flags_reach_comfyui_and_cpu_is_added_where_there_is_no_torch(tmp_path: Path) -> None:
    script = write(tmp_path, "import json, sys; print(json.dumps(sys.argv))")
    assert answer(script, "|", "--port", "1") == [str(script), "--port", "1", "--cpu"]
