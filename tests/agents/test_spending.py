"""What agents are told of prices, and that their runs keep to the limit that a person has set."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from mcp.server.mcpserver.exceptions import ToolError

from comfy_runner.agents.server import Tools
from comfy_runner.agents.workplace import Workplace
from comfy_runner.config import Config
from tests.cli.support import recipe_file
from tests.standin import StandIn

_KEY = "comfyui-0123456789abcdef"


def test_agents_are_told_prices_and_cannot_exceed_the_limit(
    server: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COMFY_RUNNER_CONFIG", os.devnull)
    monkeypatch.setenv("COMFY_API_KEY", _KEY)
    recipe_file(tmp_path)
    config = Config(comfy_api_key=_KEY)
    tools = Tools(Workplace(tmp_path, (server.url,), config, allows_paid=True, max_cost=0.03))
    free = tools.plan("lake.yaml")
    server.state.paid = {"VAEDecode": 0.01}

    planned = tools.plan("lake.yaml", sweeps=["upscale.denoise=0.4,0.6"])

    assert (free["price"], free["spent"], "price" in free["jobs"][0]) == (None, 0, False)
    assert planned["price"] == {"low": 0.04, "high": 0.04, "is_rough": False, "unknown": ()}
    assert [row["price"]["high"] for row in planned["jobs"]] == [0.02, 0.02]
    assert _KEY not in repr((planned, tools))
    with pytest.raises(ToolError, match=r"--max-cost: would be exceeded: this costs \$0\.04 \(got 0\.03\)"):
        tools.run("lake.yaml", sweeps=["upscale.denoise=0.4,0.6"])
    with pytest.raises(ToolError, match="calls a paid service, which is not allowed here"):
        Tools(Workplace(tmp_path, (server.url,), config)).run("lake.yaml")
    assert server.state.requests("POST", "/prompt") == []
