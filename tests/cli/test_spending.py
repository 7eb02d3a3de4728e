"""``--max-cost`` of the commands that render by themselves: nothing is posted beyond it, and what was paid for is kept."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from comfy_runner.store.ledger import FILE, Ledger
from tests.api.find_support import answer_from, recipe
from tests.cli.support import Typed, recipe_file
from tests.running.support import files_in
from tests.standin import ReplyFault, StandIn

Cli = Callable[..., Typed]

_KEY = "comfyui-0123456789abcdef"
_PAID = {"VAEDecode": 0.01}
_A_JOB = 0.02
"""What a job costs there, which decodes two pictures."""


@pytest.fixture(autouse=True)
def _paying(monkeypatch: pytest.MonkeyPatch, server: StandIn) -> None:
    monkeypatch.setenv("COMFY_API_KEY", _KEY)
    server.state.paid = _PAID


def _spent(folder: Path) -> float:
    with Ledger(folder / FILE, readonly=True) as ledger:
        return ledger.spent()


def _posts(server: StandIn) -> int:
    return len(server.state.requests("POST", "/prompt"))


def test_a_search_ends_before_its_steps_exceed_the_limit_and_goes_on_with_more(cli: Cli, server: StandIn, tmp_path: Path) -> None:
    answer_from(tmp_path / "variants", server)
    (tmp_path / "lake.yaml").write_text(json.dumps(recipe()), encoding="utf-8")
    args = ("find", "lake.yaml", "--over", "upscale.denoise=0.3:0.8:0.05", "--server", server.url, "--no-report")

    refused = cli(*args, "--max-cost", "0.05")
    first = _posts(server)

    assert (refused.code, refused.out) == (2, "")
    assert "--max-cost" in refused.err
    assert "was spent before" in refused.err
    assert 0 < first <= 2
    assert _spent(tmp_path / "runs/lake") == pytest.approx(first * _A_JOB)
    assert cli(*args, "--max-cost", "5").code == 0
    assert _spent(tmp_path / "runs/lake") == pytest.approx(_posts(server) * _A_JOB)


def test_a_reproduction_counts_what_it_has_spent_and_looks_at_what_it_has_paid_for(
    cli: Cli, server: StandIn, tmp_path: Path
) -> None:
    recipe_file(tmp_path)
    assert cli("run", "lake.yaml", "--server", server.url, "--no-report").code == 0
    args = ("reproduce", "runs/lake/lake", "--server", server.url, "--max-cost")

    assert cli(*args, "0.01").code == 2
    assert _posts(server) == 1
    assert cli(*args, "0.02").code == 0
    kept = files_in(tmp_path / "reproduced")
    again = cli(*args, "0.03")
    assert (again.code, _posts(server)) == (2, 2)
    assert "$0.02 was spent before" in again.err
    assert files_in(tmp_path / "reproduced") == kept

    server.state.reply_faults.append(ReplyFault("/free", "POST", 403, times=-1))
    assert (cli(*args, "0.05").code, _posts(server)) == (0, 3)
    cached = cli(*args, "0.07")  # is asked for once more only if that may be paid for
    assert (cached.code, _posts(server)) == (3, 4)
    assert "from its cache" in cached.err


def test_no_version_is_rendered_that_could_cost_more(cli: Cli, tmp_path: Path) -> None:
    recipe_file(tmp_path)
    (tmp_path / "versions").write_text("1\n2\n", encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    start = f"cd {Path(__file__).parents[2]} && exec {sys.executable} -m tests.standin {port} '{json.dumps({'paid': _PAID})}'"
    args = ("--versions", "versions", "--server", f"http://127.0.0.1:{port}", "--start", start, "--out", "search")

    refused = cli("bisect", "1", "2", "lake.yaml", *args, "--max-cost", "0.01")

    assert refused.code == 2
    assert "--max-cost: would be exceeded: this costs $0.02 (got 0.01)" in refused.err
    assert not list((tmp_path / "search").rglob("*.png"))


def test_a_limit_that_is_no_number_allows_nothing(cli: Cli, server: StandIn, tmp_path: Path) -> None:
    recipe_file(tmp_path)

    assert cli("run", "lake.yaml", "--server", server.url, "--max-cost", "nan").code == 2
    assert _posts(server) == 0
