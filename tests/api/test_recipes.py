"""Runs by their function in Python: what it makes of a caller's mistakes, before anything is done."""

from __future__ import annotations

from pathlib import Path

import pytest

from comfy_runner import api
from comfy_runner.config import Config
from comfy_runner.errors import UsageError
from tests.running.support import rendered, small
from tests.standin import StandIn


def test_a_run_needs_a_recipe(server: StandIn, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no recipe is given"):
        api.run([], server=server.url, out=tmp_path, config=Config())
    with pytest.raises(UsageError, match="no recipe is given"):
        api.validate([], config=Config())


def test_several_recipes_need_a_named_folder(server: StandIn) -> None:
    with pytest.raises(UsageError, match="share one run folder") as caught:
        api.run([small(), small(name="b")], server=server.url, config=Config())

    assert caught.value.problems[0].hint == "give --out DIR"


@pytest.mark.parametrize("number", [0, -1])
def test_a_server_has_to_hold_at_least_one_job(server: StandIn, tmp_path: Path, number: int) -> None:
    with pytest.raises(UsageError, match="in_flight"):
        rendered(server, tmp_path, in_flight=number)


@pytest.mark.parametrize("address", ["", "ftp://x", "http://", "http://x:99999", "http://u:pa55@x y"])
def test_a_wrong_address_is_a_mistake_even_where_nothing_is_to_be_rendered(server: StandIn, tmp_path: Path, address: str) -> None:
    rendered(server, tmp_path)

    with pytest.raises(UsageError) as caught:
        api.run([small()], server=address, out=tmp_path, config=Config())
    assert "pa55" not in str(caught.value)


def test_a_mistake_in_a_recipe_leaves_not_even_an_empty_folder(server: StandIn, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        rendered(server, tmp_path / "run", small(), small())

    assert not (tmp_path / "run").exists()
