from __future__ import annotations

import importlib.util
from itertools import islice

import pytest

from comfy_runner.errors import UsageError
from comfy_runner.search.proposals import proposals, require_optuna
from comfy_runner.search.space import Combination, Dimension

_FIELDS = [Dimension(values=20), Dimension(values=3, is_ordered=False)]
# The best are at high numbers and the second name.
_SCORES: dict[Combination, float] = {(place, name): place / 20 + (name == 1) for place in range(0, 20, 3) for name in range(3)}


def test_what_is_proposed_lies_where_the_scores_are_high_and_is_the_same_each_time() -> None:
    found = [*islice(proposals(_SCORES, _FIELDS, seed=1), 20)]

    assert found == [*islice(proposals(_SCORES, _FIELDS, seed=1), 20)]
    assert all(0 <= place < 20 and 0 <= name < 3 for place, name in found)
    assert sum(name == 1 for _, name in found) > 10
    assert sum(place >= 10 for place, _ in found) > 10


def test_without_the_extra_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)

    with pytest.raises(UsageError) as caught:
        require_optuna()

    assert [problem.hint for problem in caught.value.problems] == ["pip install 'comfy-runner[find]'"]
