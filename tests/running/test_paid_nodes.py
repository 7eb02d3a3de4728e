"""Nodes that call paid services: who gets the key, that nothing kept or shown has it, and that no more is spent than allowed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from comfy_runner import api
from comfy_runner.config import Config, ServerConfig
from comfy_runner.engine.registry import connect_all, enlist
from comfy_runner.errors import UsageError, WorkflowError
from comfy_runner.running.events import JobResult
from comfy_runner.store.ledger import FILE, Ledger
from tests.running.support import rendered, small, states
from tests.standin import V0_38, StandIn, State, Trouble
from tests.standin.partners import KEY, PARTNER

_KEY = "comfyui-0123456789abcdef"
_WITH_KEY = Config(comfy_api_key=_KEY)


@pytest.fixture
def paying() -> Iterator[StandIn]:
    with StandIn(State(generation=V0_38)) as standin:
        yield standin


def _recipe(folder: Path, **changes: Any) -> dict[str, Any]:
    inputs = {"model": "MODEL", "width": 64, "height": 64, "batch_size": 1, "seed": "SEED"}
    save = {"class_type": "SaveImage", "inputs": {"images": ["partner", 0], "filename_prefix": "x"}}
    path = folder / "partner.json.j2"
    text = json.dumps({"partner": {"class_type": PARTNER, "inputs": inputs}, "save": save})
    path.write_text(text.replace('"SEED"', "{{ seed }}").replace('"MODEL"', "{{ prompt }}"), encoding="utf-8")
    return {"name": "lake", "template": str(path), "seed": 1, "prompt": "Exact", **changes}


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


@pytest.mark.parametrize(("asked", "gets"), [("https://added.example", False), ("mine", True), ("https://mine.example", True)])
def test_a_server_that_only_the_run_folder_names_gets_no_key(asked: str, gets: bool) -> None:
    config = Config(comfy_api_key=_KEY, servers={"mine": ServerConfig(url="https://mine.example")})

    assert (enlist(asked, config, "https://gpu.example").key_hint == "") == gets
    assert enlist("https://gpu.example", config, "https://gpu.example").key_hint == ""


def _prompts(server: StandIn) -> int:
    return len(server.state.requests("POST", "/prompt"))


def test_nothing_is_posted_that_would_cost_more_than_allowed(paying: StandIn, tmp_path: Path) -> None:
    recipe = _recipe(tmp_path, sweep={"seed": [1, 2, 3]})

    with pytest.raises(UsageError, match=r"this costs \$0\.12 \(got 0\.11\)"):
        rendered(paying, tmp_path / "out", recipe, config=_WITH_KEY, max_cost=0.11)

    assert _prompts(paying) == 0
    assert set(states(rendered(paying, tmp_path / "out", recipe, config=_WITH_KEY, max_cost=0.12)).values()) == {"done"}


def test_a_run_that_goes_on_counts_what_was_spent(paying: StandIn, tmp_path: Path) -> None:
    def render(*seeds: int, limit: float) -> tuple[JobResult, ...]:
        recipe = _recipe(tmp_path, sweep={"seed": list(seeds)})
        return rendered(paying, tmp_path / "out", recipe, config=_WITH_KEY, max_cost=limit)

    render(1, 2, limit=0.08)
    assert set(states(render(1, 2, limit=0.0)).values()) == {"done"}  # which costs nothing more
    with pytest.raises(UsageError, match=r"this costs \$0\.04, and \$0\.08 was spent before \(got 0\.11\)"):
        render(1, 2, 3, limit=0.11)
    render(1, 2, 3, limit=0.12)

    assert _prompts(paying) == 3
    with Ledger(tmp_path / "out" / FILE, readonly=True) as ledger:
        assert ledger.spent() == pytest.approx(0.12)


@pytest.mark.parametrize("limit", [0.05, 0.2])
def test_a_job_is_not_tried_again_beyond_the_limit(paying: StandIn, tmp_path: Path, limit: float) -> None:
    paying.state.troubles.append(Trouble("out of memory", class_type=PARTNER, times=1, until_free=False))

    (result,) = rendered(paying, tmp_path / "out", _recipe(tmp_path), config=_WITH_KEY, max_cost=limit)

    assert (result.state, _prompts(paying)) == (("failed", 1) if limit < 0.08 else ("done", 2))
    assert limit > 0.08 or "$0.04 was spent before" in str(result.error)


@pytest.mark.parametrize("model", ["Timed", "Tokens"])
def test_a_price_that_is_not_known_keeps_no_limit(paying: StandIn, tmp_path: Path, model: str) -> None:
    with pytest.raises(UsageError, match="the price of PartnerImage is not known"):
        rendered(paying, tmp_path / "out", _recipe(tmp_path, prompt=model), config=_WITH_KEY, max_cost=100.0)

    assert _prompts(paying) == 0
    assert states(rendered(paying, tmp_path / "out", _recipe(tmp_path, prompt=model), config=_WITH_KEY)) == {"lake": "done"}


@pytest.mark.parametrize("count", [1, 2])
def test_a_plan_tells_prices_with_and_without_a_key(paying: StandIn, tmp_path: Path, count: int) -> None:
    with StandIn(State(generation=V0_38)) as other:
        servers = [paying.url, other.url][:count]
        recipe = _recipe(tmp_path, sweep={"prompt": ["Exact", "Range", "Timed"]})
        for config in (_WITH_KEY, Config()):
            found = api.plan([recipe, small(name="free")], server=servers, out=tmp_path / "out", config=config)

            told = {row.assignments.get("prompt"): row.price and str(row.price) for row in found.jobs}
            assert told == {"Exact": "$0.04", "Range": "up to $0.08", "Timed": "unknown", None: None}
            assert found.price is not None
            assert [found.price.low, found.price.high] == pytest.approx([0.06, 0.12])
            assert found.price.unknown == (PARTNER,)
            notes = [str(note) for note in found.notes]
            assert any("3 jobs call paid services" in note for note in notes) == (count == 1 and not config.comfy_api_key)
