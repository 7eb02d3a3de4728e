"""Nodes that call paid services: who gets the key, and that nothing that is kept or shown has it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from comfy_runner.config import Config, ServerConfig
from comfy_runner.engine.registry import connect_all
from comfy_runner.errors import WorkflowError
from tests.running.support import rendered, small, states
from tests.standin import V0_38, StandIn, State
from tests.standin.partners import KEY, PARTNER

_KEY = "comfyui-0123456789abcdef"
_WITH_KEY = Config(comfy_api_key=_KEY)


@pytest.fixture
def paying() -> Iterator[StandIn]:
    with StandIn(State(generation=V0_38)) as standin:
        yield standin


def _recipe(folder: Path, **changes: Any) -> dict[str, Any]:
    inputs = {"model": "Exact", "width": 64, "height": 64, "batch_size": 1, "seed": "SEED"}
    save = {"class_type": "SaveImage", "inputs": {"images": ["partner", 0], "filename_prefix": "x"}}
    path = folder / "partner.json.j2"
    text = json.dumps({"partner": {"class_type": PARTNER, "inputs": inputs}, "save": save})
    path.write_text(text.replace('"SEED"', "{{ seed }}"), encoding="utf-8")
    return {"name": "lake", "template": str(path), "seed": 1, **changes}


def _everything(folder: Path) -> bytes:
    return b"\n".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def test_the_key_goes_with_prompts_that_need_it_and_is_kept_nowhere(paying: StandIn, tmp_path: Path) -> None:
    results = rendered(paying, tmp_path / "out", _recipe(tmp_path), small(name="free"), config=_WITH_KEY)

    assert states(results) == {"lake": "done", "free": "done"}
    keys = [asked.body["extra_data"].get(KEY) for asked in paying.state.requests("POST", "/prompt")]
    assert sorted(map(str, keys)) == ["None", _KEY]
    kept = _everything(tmp_path) + _everything(paying.state.files) + repr((results, _WITH_KEY)).encode()
    assert b"PartnerImage" in kept
    assert _KEY.encode() not in kept


def test_a_server_that_repeats_the_key_does_not_have_it_recorded(paying: StandIn, tmp_path: Path) -> None:
    wrong = "an-expired-0123456789"

    (result,) = rendered(paying, tmp_path / "out", _recipe(tmp_path), config=Config(comfy_api_key=wrong))

    assert result.state == "failed"
    assert "the key (API key) is not known" in str(result.error)
    assert wrong.encode() not in _everything(tmp_path)
    assert len(paying.state.requests("POST", "/prompt")) == 1


def test_without_a_key_nothing_is_posted(paying: StandIn, tmp_path: Path) -> None:
    with pytest.raises(WorkflowError) as caught:
        rendered(paying, tmp_path / "out", _recipe(tmp_path), small(name="free"), config=Config())

    (problem,) = caught.value.problems
    assert "PartnerImage calls a paid service, for which there is no API key" in problem.what
    assert problem.hint == "export COMFY_API_KEY=…, or set comfy_api_key in the config file"
    assert paying.state.requests("POST", "/prompt") == []


def test_jobs_go_to_the_servers_that_have_a_key(paying: StandIn, tmp_path: Path) -> None:
    with StandIn(State(generation=V0_38)) as other:
        config = Config(comfy_api_key=_KEY, servers={"other": ServerConfig(url=other.url, comfy_api_key="")})
        results = rendered(paying, tmp_path, _recipe(tmp_path, sweep={"seed": [1, 2, 3]}), config=config, others=["other"])

        assert set(states(results).values()) == {"done"}
        assert other.state.requests("POST", "/prompt") == []


@pytest.mark.parametrize(
    ("server", "hint"),
    [
        (ServerConfig(url="https://gpu.example"), ""),
        (ServerConfig(url="localhost:8188"), ""),
        (ServerConfig(url="http://[::1]:8188"), ""),
        (ServerConfig(url="http://gpu.example:8188", comfy_api_key=_KEY), ""),
        (ServerConfig(url="gpu.example:8188"), "without TLS"),
        (ServerConfig(url="http://127.0.0.1.gpu.example:8188"), "without TLS"),
        (ServerConfig(url="https://gpu.example", insecure=True), "whose certificate is not checked"),
        (ServerConfig(url="https://gpu.example", comfy_api_key=""), "export COMFY_API_KEY"),
    ],
)
def test_a_key_goes_where_nobody_can_read_it_or_where_it_is_meant_to(server: ServerConfig, hint: str) -> None:
    (found,) = connect_all(server, _WITH_KEY)

    assert found.key_hint.startswith(hint) if hint == "" else hint in found.key_hint
    assert bool(found.key_hint) == bool(hint)
    assert _KEY not in repr((server, found))
