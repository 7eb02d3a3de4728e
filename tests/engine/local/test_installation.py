"""The setup: what counts as complete, what is repaired, and how failures look."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from comfy_runner.engine.local import InstalledEngine, LocalOptions, logs, setup, status
from comfy_runner.engine.local.child_process import ProcessRecord, run_tool, write_record
from comfy_runner.engine.local.installation import PIP_HINTS, find_engine
from comfy_runner.engine.local.versions import BARE, RESOLVED
from comfy_runner.errors import LocalError

# No package is found anywhere, so that a setup fails after it has made the environment, and asks no network.
NOWHERE = ("--isolated", "--no-index")


def offline_options(tmp_path: Path) -> LocalOptions:
    return LocalOptions(home=tmp_path / "home", pip_args=NOWHERE)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def refuse(sentence: str) -> None:
    pytest.fail(f"nothing was to be done, but: {sentence}")


def test_a_second_setup_finds_everything_and_does_nothing(local_options: LocalOptions, local_engine: InstalledEngine) -> None:
    assert setup(local_options, say=refuse) == local_engine


def test_an_empty_home_is_not_set_up(tmp_path: Path) -> None:
    found = status(LocalOptions(home=tmp_path / "home"))
    assert (found.is_set_up, found.engine_version, found.running) == (False, None, False)
    assert not (tmp_path / "home").exists()


_PARTS = ("venv/complete.json", "venv/bin/python", "comfyui-0.3.75/main.py", "models.json")


def copied(options: LocalOptions, folder: Path) -> LocalOptions:
    """Return options for a home that looks as complete as another one."""
    for part in _PARTS:
        (folder / part).parent.mkdir(parents=True, exist_ok=True)
        (folder / part).write_bytes((options.root / part).read_bytes())
    for model in options.shared_models.glob("*/*.safetensors"):
        twin = folder / model.relative_to(options.root)
        twin.parent.mkdir(parents=True, exist_ok=True)
        twin.touch()
    return LocalOptions(home=folder)


@pytest.mark.parametrize(
    "missing", [*_PARTS, "models/checkpoints/tiny-random-sd15.safetensors", "models/loras/tiny-random-b.safetensors"]
)
def test_an_engine_without_one_of_its_parts_is_not_complete(
    tmp_path: Path, local_options: LocalOptions, local_engine: InstalledEngine, missing: str
) -> None:
    assert local_engine.managed
    copy = copied(local_options, tmp_path)
    assert find_engine(copy) is not None
    (tmp_path / missing).unlink()
    assert find_engine(copy) is None


def test_models_that_another_version_made_are_not_complete(
    tmp_path: Path, local_options: LocalOptions, local_engine: InstalledEngine
) -> None:
    assert local_engine.managed
    copy = copied(local_options, tmp_path)
    stamp = json.loads((tmp_path / "models.json").read_text(encoding="utf-8"))
    (tmp_path / "models.json").write_text(json.dumps({**stamp, "script": "another"}), encoding="utf-8")
    assert find_engine(copy) is None


def test_a_home_of_before_there_were_more_models_gets_them(
    tmp_path: Path, local_options: LocalOptions, local_engine: InstalledEngine
) -> None:
    assert local_engine.managed
    old = copied(local_options, tmp_path)
    shutil.rmtree(old.venv)
    old.venv.symlink_to(local_options.venv)
    (tmp_path / "models.json").rename(tmp_path / "checkpoint.json")
    for model in old.shared_models.glob("*/*.safetensors"):
        if model != old.checkpoint:
            model.unlink()
    said: list[str] = []
    setup(old, say=said.append)
    assert said[0] == "making tiny models with random weights"
    assert not list(old.scratch.iterdir())
    made = {path.relative_to(old.shared_models): digest(path) for path in old.shared_models.glob("*/*")}
    assert made == {
        path.relative_to(local_options.shared_models): digest(path) for path in local_options.shared_models.glob("*/tiny-*")
    }


def test_an_environment_for_other_requirements_is_not_complete(tmp_path: Path) -> None:
    options = offline_options(tmp_path)
    options.venv.mkdir(parents=True)
    (options.venv / "complete.json").write_text('{"requirements": "those of last year"}', encoding="utf-8")
    assert find_engine(options) is None


@pytest.mark.slow
def test_pip_that_fails_is_shown_without_secrets_and_a_half_done_environment_is_built_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A machine's own constraints on PyTorch would be a reason of their own.
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    options = offline_options(tmp_path)
    with pytest.raises(LocalError, match=r"(?s)installing PyTorch failed.*No matching distribution") as caught:
        setup(options, say=lambda _: None)
    assert "pass pip options for another index" in caught.value.problems[0].hint
    assert caught.value.problems[0].where == str(options.setup_log)
    assert "No matching distribution" in logs(options)
    (options.venv / "half-installed.py").touch()
    index = ("--index-url=http://mary:s3cret@127.0.0.1:9/simple?token=t0ken", "--retries=0")
    said: list[str] = []
    with pytest.raises(LocalError) as caught:
        setup(replace(options, pip_args=("--isolated", *index)), say=said.append)
    assert not (options.venv / "half-installed.py").exists()
    assert said[0].startswith("setting up ComfyUI")
    # How an index is logged in to is nobody's business.
    log = options.setup_log.read_text(encoding="utf-8")
    assert "--index-url=http://****@127.0.0.1:9/simple?****" in log
    for text in (log, logs(options), logs(options, lines=1000), str(caught.value), str(caught.value.problems), *said):
        assert "s3cret" not in text
        assert "t0ken" not in text
    assert options.setup_log.stat().st_mode & 0o777 == 0o600


def test_a_tool_left_behind_by_a_killed_setup_is_ended_first(tmp_path: Path) -> None:
    # What comes after that fails at once.
    options = LocalOptions(home=tmp_path / "home", python=tmp_path / "no-python", pip_args=NOWHERE)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as leftover:
        write_record(options.setup_record, ProcessRecord(pid=leftover.pid, created=psutil.Process(leftover.pid).create_time()))
        said: list[str] = []
        with pytest.raises(LocalError):
            setup(options, say=said.append)
        assert not psutil.pid_exists(leftover.pid)
    assert said[0] == f"ending process {leftover.pid}, left behind by a setup that was killed"


def test_the_environment_is_not_rebuilt_under_a_running_server(tmp_path: Path) -> None:
    options = offline_options(tmp_path)
    server = psutil.Process()
    write_record(options.record, ProcessRecord(pid=server.pid, created=server.create_time(), port=1))
    with pytest.raises(LocalError, match=rf"while instance default runs from it \(got pid {server.pid}\)"):
        setup(options, say=lambda _: None)


def test_a_home_that_cannot_be_written_is_a_local_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LocalError, match="cannot be written"):
        setup(LocalOptions(home=tmp_path / "file" / "home"), say=lambda _: None)


def test_a_python_that_is_none_is_a_local_error(tmp_path: Path) -> None:
    options = LocalOptions(home=tmp_path, python=tmp_path / "no-python", pip_args=NOWHERE)
    with pytest.raises(LocalError, match="no-python"):
        setup(options, say=lambda _: None)


def test_the_pid_file_of_a_tool_is_removed_when_it_has_ended(tmp_path: Path) -> None:
    options = LocalOptions(home=tmp_path)
    run_tool([sys.executable, "-c", "print('hello')"], "saying hello", options, say=refuse, hints=PIP_HINTS)
    assert not options.setup_record.exists()
    assert options.setup_log.read_text(encoding="utf-8").endswith("hello\n")


@pytest.mark.parametrize(
    ("said", "word"),
    [
        ("OSError: [Errno 28] No space left on device", "disk space"),
        ("ERROR: No matching distribution found for torch==2.13.0", "another index"),
        ("NewConnectionError: Failed to establish a new connection", "network"),
        ("something else", "index"),
    ],
)
def test_the_hint_fits_what_pip_said(said: str, word: str, tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="installing failed") as caught:
        run_tool(
            [sys.executable, "-I", "-c", f"exit({said!r})"], "installing", LocalOptions(home=tmp_path), say=refuse, hints=PIP_HINTS
        )
    assert word in caught.value.problems[0].hint


def test_torch_is_installed_by_one_command_only() -> None:
    assert [name for name in (*RESOLVED, *BARE) if name.startswith("torch==")] == ["torch==2.13.0"]
