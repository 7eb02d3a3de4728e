"""What Optuna proposes, given what was measured: its TPE, which looks where good combinations are dense.

TPE is the tree-structured Parzen estimator of Bergstra et al. 2011, *Algorithms for Hyper-Parameter Optimization*. The extra
``comfy-runner[find]`` is needed, here and nowhere else.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from comfy_runner.errors import UsageError
from comfy_runner.search.space import Combination, Dimension

EXTRA: Final = "pip install 'comfy-runner[find]'"
"""How what a search over several fields needs is installed."""

_STARTS: Final = 4  # combinations before TPE has something to go by; until then it draws


def require_optuna() -> None:
    """Make sure that what a search over several fields needs is installed.

    Raises:
        UsageError: It is not.
    """
    if importlib.util.find_spec("optuna") is None:
        raise UsageError("a search over several fields needs optuna, which is not installed", hint=EXTRA)


def proposals(scores: Mapping[Combination, float], dimensions: Sequence[Dimension], *, seed: int) -> Iterator[Combination]:
    """Yield combinations without end, some of them again and again, and also such as were measured.

    Args:
        scores: How good each of those is that were measured; higher is better.
        dimensions: The fields.
        seed: From 0 to 2^32 - 1: with the same one the same are proposed.
    """
    import optuna
    from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
    from optuna.trial import TrialState, create_trial

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    fields: dict[str, BaseDistribution] = {
        str(index): IntDistribution(0, each.values - 1) if each.is_ordered else CategoricalDistribution(range(each.values))
        for index, each in enumerate(dimensions)
    }
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=_STARTS, constant_liar=False)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for combination, score in scores.items():
        study.add_trial(create_trial(params=dict(zip(fields, combination, strict=True)), distributions=fields, value=score))
    while True:
        trial = study.ask(fields)
        yield tuple(trial.params[name] for name in fields)
        study.tell(trial, state=TrialState.FAIL)  # it is no result, and must not be counted as one that is yet to come
