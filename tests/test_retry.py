from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from comfy_runner.retry import Retry


def _retry(**values: Any) -> Retry:
    return Retry.model_validate(values)


def test_a_lost_server_is_worth_three_tries_and_the_rest_one() -> None:
    policy = Retry()

    assert policy.server_lost.model_dump() == {"times": 3, "free": False, "vae_decode": None}
    assert policy.out_of_memory.model_dump() == {"times": 1, "free": True, "vae_decode": "tiled"}
    assert policy.flat_picture.model_dump() == {"times": 1, "free": True, "vae_decode": None}


def test_a_number_is_short_for_times_and_leaves_the_rest_as_it_is() -> None:
    remedy = _retry(out_of_memory=2).out_of_memory

    assert (remedy.times, remedy.free, remedy.vae_decode) == (2, True, "tiled")


@pytest.mark.parametrize("times", [-1, 21, True, 1.5, "3", None])
def test_times_is_a_whole_number_from_0_to_20(times: object) -> None:
    with pytest.raises(ValidationError):
        _retry(server_lost=times)


@pytest.mark.parametrize("values", [{"graph_error": 1}, {"server_lost": {"time": 1}}, {"server_lost": {"vae_decode": "full"}}])
def test_what_there_is_no_remedy_for_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        _retry(**values)


def test_the_recipe_comes_before_the_config_setting_by_setting() -> None:
    config = _retry(out_of_memory={"times": 5, "free": False}, server_lost=0)
    recipe = _retry(out_of_memory={"times": 2})

    policy = Retry.merged(recipe, config)

    assert policy.out_of_memory.model_dump() == {"times": 2, "free": False, "vae_decode": "tiled"}
    assert (policy.server_lost.times, policy.flat_picture.times) == (0, 1)


def test_a_recipe_can_take_a_change_back() -> None:
    assert Retry.merged(_retry(out_of_memory={"vae_decode": None}), Retry()).out_of_memory.vae_decode is None


def test_without_recipe_and_config_there_are_the_defaults() -> None:
    assert Retry.merged(None, None) == Retry()
