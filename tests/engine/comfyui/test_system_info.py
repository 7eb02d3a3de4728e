from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfy_runner.engine.comfyui.engine import ComfyUIEngine
from comfy_runner.engine.comfyui.system_info import info_from_stats
from comfy_runner.engine.info import CacheMode, Device, EngineInfo
from tests.engine.comfyui.support import Server
from tests.standin import V0_38, StandIn, State

SYSTEM: dict[str, Any] = {
    "comfyui_version": "0.3.75",
    "python_version": "3.12.3",
    "pytorch_version": "2.9.1+cu128",
    "argv": ["main.py", "--extra-model-paths-config", "/home/ann/s3cret.yaml"],
}
DEVICES: list[Any] = [
    {"name": "cuda:0 GPU", "type": "cuda", "index": 0, "vram_total": 24_000_000_000, "vram_free": 20_000_000_000},
    {"name": "cuda:1 GPU", "vram_total": 8_000_000_000, "vram_free": 1},
]


def about(*, argv: Any = None, version: Any = "0.3.75") -> EngineInfo:
    return info_from_stats("http://gpu", {"system": {"argv": argv, "comfyui_version": version}})


def test_versions_devices_and_memory_are_told() -> None:
    found = info_from_stats("http://gpu:8188", {"system": SYSTEM, "devices": DEVICES})
    devices = (Device("cuda:0 GPU", 24_000_000_000, 20_000_000_000), Device("cuda:1 GPU", 8_000_000_000, 1))
    like = "0.3.57 to 0.3: interrupts a job by its id"
    assert found == EngineInfo("http://gpu:8188", "0.3.75", "3.12.3", "2.9.1+cu128", devices, "classic", 24_000_000_000, like)


def test_a_sidecar_says_versions_and_devices_and_nothing_of_the_command_line() -> None:
    found = info_from_stats("http://gpu:8188", {"system": SYSTEM, "devices": DEVICES})
    assert found.as_record() == {
        "url": "http://gpu:8188",
        "comfyui": "0.3.75",
        "python": "3.12.3",
        "pytorch": "2.9.1+cu128",
        "devices": "cuda:0 GPU, cuda:1 GPU",
    }
    assert "s3cret" not in repr(found)


@pytest.mark.parametrize(
    ("argv", "mode"),
    [
        (["--cache-none"], "none"),
        (["--listen", "--cache-lru", "30", "--port", "1"], "lru"),
        (["--cache-lru=30"], "lru"),
        (["--cache-ram"], "ram"),
        (["--cache-ram", "4"], "ram"),
        (["--cache-classic"], "classic"),
        (["--cache-n"], "none"),
        (["--cache-something-newer"], "unknown"),
        ([], "classic"),
        (["--output-directory", "cache-none"], "classic"),
        ([3, None], "classic"),
        (None, "unknown"),
        ("--cache-none", "unknown"),
    ],
)
def test_the_way_of_caching_is_told_by_the_command_line(argv: Any, mode: CacheMode) -> None:
    assert about(argv=["main.py", *argv] if isinstance(argv, list) else argv).cache == mode


@pytest.mark.parametrize(
    ("version", "mode"),
    [
        ("0.3.40", "classic"),
        ("v0.3.75", "classic"),
        ("0.3.76", "classic"),
        ("0.19.5", "classic"),
        ("0.22.9", "classic"),
        ("0.23.0", "ram"),
        ("0.24.1", "ram"),
        ("0.38.1", "ram"),
        ("1.0.0", "ram"),
        ("", "unknown"),
        (None, "unknown"),
        ("of today", "unknown"),
        ("9" * 5000 + ".1.1", "unknown"),
    ],
)
def test_without_a_word_there_the_default_of_the_version_counts(version: Any, mode: CacheMode) -> None:
    assert about(argv=["main.py"], version=version).cache == mode


@pytest.mark.parametrize(
    ("version", "generation"),
    [
        ("0.3.44", "before 0.3.45"),
        ("0.3.45", "0.3.45 to 0.3.56"),
        ("0.3.75", "0.3.57 to 0.3"),
        ("0.4.0", "0.4 to 0.22"),
        ("v0.23.0", "0.23 to 0.25"),
        ("0.33.0", "0.26 and later"),
        ("1.2.3", "0.26 and later"),
        ("", "unknown"),
        (None, "unknown"),
    ],
)
def test_a_version_belongs_to_a_generation(version: Any, generation: str) -> None:
    assert about(argv=["main.py"], version=version).generation.partition(":")[0] == generation


def test_what_a_server_does_not_say_is_unknown() -> None:
    record = info_from_stats("http://gpu", {"system": {}}).as_record()
    assert record == {"url": "http://gpu", "comfyui": "unknown", "python": "unknown", "pytorch": "unknown", "devices": ""}


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.sampled_from(["name", "vram_total", "vram_free", "argv", "comfyui_version", "python_version"]), inner)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["system", "devices"]), _JSON))
def test_no_answer_is_an_error(stats: dict[str, Any]) -> None:
    found = info_from_stats("http://gpu", stats)
    assert all(device.vram_total >= 0 for device in found.devices)
    assert all(len(text) < 10_000 for text in (found.comfyui, found.python, found.pytorch))


def test_a_server_tells_what_it_is(server: Server) -> None:
    found = ComfyUIEngine(server.http).info()
    assert found.url == server.url
    assert found.python != "unknown"
    assert found.devices
    assert found.devices[0].vram_total > 0


def test_a_server_of_today_keeps_the_last_prompt(modern: Server) -> None:
    assert ComfyUIEngine(modern.http).info().cache == "classic"


def test_a_newer_server_keeps_what_fits() -> None:
    with StandIn(State(generation=V0_38)) as standin:
        assert ComfyUIEngine(Server(standin.url).http).info().cache == "ram"


def vram_total(stats: dict[str, Any]) -> int | None:
    return info_from_stats("http://x", stats).vram_total


def device(**fields: Any) -> dict[str, Any]:
    return {"devices": [{"name": "cuda:0 NVIDIA", "type": "cuda", "index": 0, "vram_total": 8 * 2**30, **fields}]}


def test_the_memory_of_a_gpu_is_what_the_server_says() -> None:
    assert vram_total(device()) == 8 * 2**30


def test_a_server_that_computes_on_the_cpu_has_no_memory_of_a_gpu() -> None:
    assert vram_total(device(type="cpu")) is None


@pytest.mark.parametrize(
    "stats",
    [
        {},
        {"devices": None},
        {"devices": []},
        {"devices": ["cuda"]},
        *(device(vram_total=value) for value in (None, "8", True, 0, -1, 8.5)),
    ],
    ids=str,
)
def test_stats_that_say_nothing_sensible_count_as_unknown(stats: dict[str, Any]) -> None:
    assert vram_total(stats) is None
