"""Comfy Cloud, as its documentation describes it: whole runs, and what must not happen there. The real one was never asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from comfy_runner import api
from comfy_runner.config import Config, ServerConfig
from comfy_runner.engine.registry import connect
from comfy_runner.errors import UsageError
from comfy_runner.running.events import JobResult
from comfy_runner.running.handle import Run
from comfy_runner.running.policy import Policy
from comfy_runner.store.ledger import FILE, Ledger
from tests.running.support import files_in, sidecar_in, small, states
from tests.standin import V0_38, Cloud, NodeFault, ReplyFault, StandIn, State
from tests.standin.cloud import KEY


@pytest.fixture
def cloud() -> Iterator[StandIn]:
    with StandIn(State(generation=V0_38, cloud=Cloud())) as standin:
        yield standin


def _config(server: StandIn) -> Config:
    return Config(comfy_api_key=KEY, servers={"cloud": ServerConfig(url=server.url, cloud=True)}, server="cloud")


def _begin(server: StandIn, out: Path, *recipes: Any, outage: float | None = None) -> Run:
    return api.run(recipes or [small()], out=out, config=_config(server), policy=Policy(outage=outage))


def _rendered(server: StandIn, out: Path, *recipes: Any) -> tuple[JobResult, ...]:
    return _begin(server, out, *recipes).results()


def _everything(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


@pytest.mark.parametrize("keeps_names", [True, False])
def test_a_run_collects_its_pictures_and_keeps_no_key(cloud: StandIn, tmp_path: Path, keeps_names: bool) -> None:
    assert cloud.state.cloud is not None
    cloud.state.cloud.keeps_names = cloud.state.cloud.tells_timeline = keeps_names

    results = _rendered(cloud, tmp_path, small(name="a", seed=1), small(name="b", seed=2))

    assert states(results) == {"a": "done", "b": "done"}
    assert {"a/original.png", "a/upscaled.png"} <= set(files_in(tmp_path))
    assert sidecar_in(tmp_path, "a")["server"]["url"] == cloud.url
    assert len(cloud.state.cloud.stored) == 4
    assert not any("x-api-key" in headers for headers in cloud.state.cloud.stored)
    kept = _everything(tmp_path)
    assert KEY.encode() not in kept
    assert b"X-Signature" not in kept
    assert states(_rendered(cloud, tmp_path, small(name="a", seed=1))) == {"a": "done"}
    assert len(cloud.state.requests("POST", "/prompt")) == 2
    with pytest.raises(UsageError, match="only with an API key"):
        connect(ServerConfig(url="https://cloud.comfy.org"), Config())


@pytest.mark.parametrize("tells_timeline", [True, False])
def test_a_job_that_fails_says_why(cloud: StandIn, tmp_path: Path, tells_timeline: bool) -> None:
    assert cloud.state.cloud is not None
    cloud.state.cloud.tells_timeline = tells_timeline
    cloud.state.node_faults["second_pass"] = NodeFault.ERROR

    (result,) = _rendered(cloud, tmp_path)

    assert "mat1 and mat2" in str(result.error)
    assert set(result.files) == {"original"}


@pytest.mark.parametrize(("status", "said"), [(401, "does not take the API key"), (402, "too few credits")])
def test_why_it_takes_nothing_is_told(cloud: StandIn, tmp_path: Path, status: int, said: str) -> None:
    cloud.state.reply_faults.append(ReplyFault("/prompt", "POST", status, times=-1))

    (result,) = _rendered(cloud, tmp_path)

    assert said in str(result.error)
    assert len(cloud.state.requests("POST", "/prompt")) == 1


@pytest.mark.parametrize("status", [502, None])
def test_a_lost_reply_does_not_render_twice(cloud: StandIn, tmp_path: Path, status: int | None) -> None:
    cloud.state.reply_faults.append(ReplyFault("/prompt", "POST", status, handled=True))

    assert states(_rendered(cloud, tmp_path)) == {"lake": "done"}
    assert len(cloud.state.requests("POST", "/prompt")) == 1


@pytest.mark.parametrize("cancels_by_id", [True, False])
def test_an_interruption_never_stops_what_others_run(cloud: StandIn, tmp_path: Path, cancels_by_id: bool) -> None:
    assert cloud.state.cloud is not None
    cloud.state.cloud.cancels_by_id = cancels_by_id
    gate = cloud.state.hold("second_pass")
    with _begin(cloud, tmp_path) as rendering:
        gate.wait()
        rendering.cancel()
        if not cancels_by_id:
            assert cloud.state.until(lambda: any(asked.path.startswith("/v2/jobs/") for asked in cloud.state.asked))
            gate.open()
        (result,) = rendering.results()

    assert result.state in ("partial", "cancelled") if cancels_by_id else ("done", "partial", "submitted")
    assert cloud.state.requests("POST", "/interrupt") == []
    with Ledger(tmp_path / FILE, readonly=True) as ledger:
        assert ledger.open_submissions() == []


def test_a_storage_without_tls_is_not_asked(cloud: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fault = ReplyFault("/view", "GET", 302, times=-1)
    cloud.state.reply_faults.append(fault)
    monkeypatch.setattr("tests.standin.routes._wrong", lambda *_: _redirect("http://storage.example/picture?X-Signature=abc"))

    with _begin(cloud, tmp_path, outage=0.2) as rendering:
        (result,) = rendering.results()

    assert result.state == "submitted"
    assert "X-Signature" not in str(result.error)


def _redirect(target: str) -> Any:
    from aiohttp import web

    return web.Response(status=302, headers={"Location": target})
