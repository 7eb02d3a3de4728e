"""The command line that starts ComfyUI."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from comfy_runner.engine.local import InstalledEngine, LocalOptions, default_home
from comfy_runner.engine.local.command import known_flags, model_paths, server_command, server_flags
from comfy_runner.engine.local.launcher import comfyui_flags
from comfy_runner.engine.local.options import require_posix
from comfy_runner.errors import LocalError, UsageError

OPTIONS = LocalOptions(home=Path("/cache"), server_args=("--cache-none",))
# What comfy/cli_args.py of an early-2024 ComfyUI has of the flags that we want.
EARLY = """
parser.add_argument("--listen", type=str, default="127.0.0.1")
parser.add_argument("--port", type=int, default=8188)
parser.add_argument("--extra-model-paths-config", type=str)
parser.add_argument("--output-directory", type=str)
parser.add_argument("--temp-directory", type=str)
parser.add_argument("--input-directory", type=str)
parser.add_argument("--disable-auto-launch", action="store_true")
"""


def test_a_managed_server_listens_on_loopback_only_with_a_base_directory_of_its_own() -> None:
    assert server_flags(OPTIONS, managed=True, known=None) == (
        *("--listen", "127.0.0.1"),
        *("--base-directory", "/cache/instances/default/base"),
        *("--extra-model-paths-config", "/cache/instances/default/extra_model_paths.yaml"),
        *("--database-url", "sqlite:///comfyui.db"),
        "--disable-auto-launch",
        "--disable-api-nodes",
        "--cache-none",
    )


def test_a_checkout_keeps_its_models_and_custom_nodes_but_writes_into_the_instance() -> None:
    flags = server_flags(OPTIONS, managed=False, known=None)
    assert "--base-directory" not in flags
    assert flags[flags.index("--output-directory") + 1] == "/cache/instances/default/base/output"


def test_an_old_comfyui_is_not_told_what_it_does_not_know() -> None:
    assert server_flags(OPTIONS, managed=True, known=known_flags(EARLY)) == (
        *("--listen", "127.0.0.1"),
        *("--input-directory", "/cache/instances/default/base/input"),
        *("--output-directory", "/cache/instances/default/base/output"),
        *("--temp-directory", "/cache/instances/default/base"),
        *("--extra-model-paths-config", "/cache/instances/default/extra_model_paths.yaml"),
        "--disable-auto-launch",
        "--cache-none",
    )


def test_the_model_paths_are_the_users_first_and_then_those_that_all_instances_share() -> None:
    sections = json.loads(model_paths(LocalOptions(home=Path("/cache"), models=Path("/m $HOME 😀"))))
    assert list(sections) == ["models", "shared"]
    assert sections["models"]["checkpoints"] == "/m $HOME 😀/checkpoints"
    assert sections["shared"]["diffusion_models"] == "/cache/models/diffusion_models\n/cache/models/unet"


@pytest.mark.parametrize(("managed", "offline"), [(True, True), (False, False)])
def test_only_a_managed_engine_is_kept_from_the_model_hub(managed: bool, offline: bool) -> None:
    engine = InstalledEngine(source=Path("/s"), python=Path("/p"), version="1", managed=managed, checkpoint=None)
    assert ("--offline" in server_command(engine, port=1, flags=())) is offline


@pytest.mark.parametrize(
    ("flags", "gpu", "expected"),
    [
        ([], True, []),
        ([], False, ["--cpu"]),
        (["--cpu"], False, ["--cpu"]),
        (["--lowvram"], False, ["--lowvram"]),
    ],
)
def test_cpu_is_added_without_a_gpu_unless_the_user_has_decided(flags: list[str], gpu: bool, expected: list[str]) -> None:
    assert comfyui_flags(flags, gpu=gpu) == expected


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "-x", "a" * 65, "ü", "a\n"])
def test_an_instance_name_that_could_leave_the_folder_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="not a name for an instance"):
        LocalOptions(instance=name)


@pytest.mark.parametrize("port", [-1, 0, 65536])
def test_an_impossible_port_is_refused(port: int) -> None:
    with pytest.raises(UsageError, match=rf"between 1 and 65535 \(got {port}\)"):
        LocalOptions(port=port)


def test_windows_is_told_to_bring_its_own_server() -> None:
    with pytest.raises(LocalError, match=r"Linux and macOS \(got nt\)") as caught:
        require_posix("nt")
    assert "URL" in caught.value.problems[0].hint


def test_the_default_home_is_in_the_users_cache() -> None:
    assert LocalOptions().home == default_home()
    assert default_home().parts[-2:] == ("comfy-runner", "local")
