"""At which noise level a sampler pass starts: the sigma that a scheduler, a number of steps and a denoise lead to.

The same denoise is very different noise under different schedulers: at 0.35 and 30 steps, 0.97 under ``normal`` and 0.25 under
``exponential``. The arithmetic is that of ComfyUI's ``comfy/samplers.py``, on the noise schedule of SD1.5 and SDXL.

Does not cover models with another schedule (SD3, Flux, a patched model): for what is known to be one there is no number.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import accumulate, groupby
from operator import mul
from typing import Any, Final, TypeGuard

from comfy_runner.graph.workflow import Node, Workflow

SAMPLERS: Final = frozenset({"KSampler", "KSamplerAdvanced", "SamplerCustom", "SamplerCustomAdvanced"})
"""ComfyUI's own node classes that sample."""

K_SAMPLERS: Final = ("KSampler", "KSamplerAdvanced")
"""Those that take sampler, scheduler and steps themselves."""

FULL_DENOISE: Final = 0.9999
"""Above it, KSampler takes all of its schedule (``comfy/samplers.py``, ``KSampler.set_steps``)."""

_TIMESTEPS: Final = 1000
_BETA_START, _BETA_END = 0.00085, 0.012
_RHO: Final = 7.0  # of the scheduler "karras"
_ALPHA: Final = 0.6  # of the distribution behind the scheduler "beta", whose two parameters are equal
_MOST_STEPS: Final = 10_000  # that a KSampler takes
_LONGEST: Final = 10_000  # a schedule that is worth computing; a longer one is nobody's, and would cost time
# KSampler.DISCARD_PENULTIMATE_SIGMA_SAMPLERS: they ask for a step more, and leave out the last sigma before 0.
_DISCARDING: Final = frozenset({"dpm_2", "dpm_2_ancestral", "uni_pc", "uni_pc_bh2"})
# Nodes that give a model another schedule, or that are seldom used for SD1.5 and SDXL.
_OTHER_SCHEDULES: Final = ("ModelSampling", "UNETLoader", "EmptySD3LatentImage")


@dataclass(frozen=True, slots=True)
class SecondPass:
    """A sampler pass over what another sampler has made.

    Attributes:
        node_id: The node.
        title: Its title for people.
        steps: The steps that are really done.
        denoise: The part of the schedule that is run, 0 to 1; for a KSamplerAdvanced the one that a KSampler would be given.
        schedule_steps: The length of the whole schedule, ``int(steps / denoise)``. Passes that differ in nothing but a denoise
            with the same length are the same pass.
        scheduler: The scheduler.
        sampler: The sampler.
        start_sigma: The noise level at which it starts; None where that is not known.
    """

    node_id: str
    title: str
    steps: int
    denoise: float
    schedule_steps: int
    scheduler: str
    sampler: str
    start_sigma: float | None


def schedule_steps(*, steps: int, denoise: float) -> int | None:
    """Return how many steps the schedule of a KSampler has, of which it does the last `steps`.

    Args:
        steps: The steps of the node, at least 1.
        denoise: Its denoise, 0 to 1.

    Returns:
        ``int(steps / denoise)``; None where nothing is sampled, and where no server would take the numbers.
    """
    if not (1 <= steps <= _MOST_STEPS and denoise > 0):
        return None
    length = steps if denoise > FULL_DENOISE else steps / denoise
    return int(length) if math.isfinite(length) else None


def start_sigma(scheduler: str, *, steps: int, denoise: float, sampler: str = "") -> float | None:
    """Return at which sigma a KSampler starts on the noise schedule of SD1.5 and SDXL.

    Args:
        scheduler: The scheduler's name, as KSampler takes it.
        steps: The steps of the node, at least 1.
        denoise: Its denoise, 0 to 1.
        sampler: The sampler's name: some leave out a sigma.

    Returns:
        The sigma, 0 to 14.6; None for a scheduler that is not ComfyUI's own, for a schedule of more than 10,000 steps, and where
        nothing is sampled.
    """
    length = schedule_steps(steps=steps, denoise=denoise)
    if length is None:
        return None
    kept = None if denoise > FULL_DENOISE else steps + 1
    return _sigma(scheduler, length, kept=kept, skipped=0, discarding=sampler in _DISCARDING)


def second_passes(workflow: Workflow) -> list[SecondPass]:
    """Return the sampler passes that have a sampler among their ancestors, in the graph's order.

    Only KSampler and KSamplerAdvanced are looked at, and only those whose settings are literals and that sample at all.
    """
    found = []
    for node_id, node in workflow.nodes.items():
        if node.class_type not in K_SAMPLERS:
            continue
        classes = [workflow.nodes[other].class_type for other in workflow.ancestors([node_id]) - {node_id}]
        if SAMPLERS.isdisjoint(classes):
            continue
        known = not any(name.startswith(_OTHER_SCHEDULES) for name in classes)
        second = _second_pass(node_id, node, known=known)
        if second is not None:
            found.append(second)
    return found


def _second_pass(node_id: str, node: Node, *, known: bool) -> SecondPass | None:
    scheduler, sampler, steps = (node.inputs.get(name) for name in ("scheduler", "sampler_name", "steps"))
    if not (isinstance(scheduler, str) and isinstance(sampler, str) and _is_count(steps)):
        return None
    sigma: float | None
    if node.class_type == "KSampler":
        given = node.inputs.get("denoise")
        length = schedule_steps(steps=steps, denoise=given) if isinstance(given, (int, float)) else None
        if given is None or length is None:
            return None
        denoise = float(min(given, 1))
        sigma = start_sigma(scheduler, steps=steps, denoise=denoise, sampler=sampler)
    else:
        first, last = node.inputs.get("start_at_step"), node.inputs.get("end_at_step", steps)
        if not (_is_count(first) and _is_count(last) and first < min(last, steps) and steps <= _MOST_STEPS):
            return None
        length, denoise = steps, (steps - first) / steps
        sigma = _sigma(scheduler, length, kept=None, skipped=first, discarding=sampler in _DISCARDING)
        steps = min(last, steps) - first
    return SecondPass(node_id, node.title, steps, denoise, length, scheduler, sampler, sigma if known else None)


def _is_count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


# Values, not schedules: a sweep has thousands of different ones at most, and each is one number.
@lru_cache(maxsize=1 << 14)
def _sigma(scheduler: str, length: int, *, kept: int | None, skipped: int, discarding: bool) -> float | None:
    make = _SCHEDULERS.get(scheduler)
    length += discarding
    if make is None or length > _LONGEST or (scheduler == "kl_optimal" and length == 1):  # of which ComfyUI makes 0/0
        return None
    sigmas = make(length)
    if discarding:
        del sigmas[-2]
    sigmas = sigmas if kept is None else sigmas[-kept:]
    # A sigma to start from and one to come to are the least that is sampled.
    return sigmas[skipped] if skipped < len(sigmas) - 1 else None


# --- the schedules: from the highest sigma down to 0


@cache
def _table() -> list[float]:
    """Return the sigma of each timestep: betas that are linear in their roots (``make_beta_schedule``)."""
    low, high = math.sqrt(_BETA_START), math.sqrt(_BETA_END)
    alphas = (1 - (low + (high - low) * index / (_TIMESTEPS - 1)) ** 2 for index in range(_TIMESTEPS))
    return [math.sqrt((1 - product) / product) for product in accumulate(alphas, mul)]


def _between(timestep: float) -> float:
    """Return the sigma of a timestep that need not be whole: logarithms are interpolated."""
    table, low = _table(), math.floor(timestep)
    high, part = math.ceil(timestep), timestep - low
    return math.exp((1 - part) * math.log(table[low]) + part * math.log(table[high]))


def _line(first: float, last: float, count: int) -> list[float]:
    return [first + (last - first) * index / max(1, count - 1) for index in range(count)]


def _normal(steps: int) -> list[float]:
    return [*map(_between, _line(_TIMESTEPS - 1, 0, steps)), 0.0]


def _sgm_uniform(steps: int) -> list[float]:
    return [*map(_between, _line(_TIMESTEPS - 1, 0, steps + 1)[:-1]), 0.0]


def _simple(steps: int) -> list[float]:
    stride = _TIMESTEPS / steps
    return [*(_table()[-(1 + int(index * stride))] for index in range(steps)), 0.0]


def _ddim_uniform(steps: int) -> list[float]:
    return [*reversed(_table()[1 :: max(_TIMESTEPS // steps, 1)]), 0.0]


def _even(there: Callable[[float], float], back: Callable[[float], float]) -> Callable[[int], list[float]]:
    """Return a schedule whose sigmas lie evenly on a scale, which one function leads to and the other one back from."""

    def sigmas(steps: int) -> list[float]:
        table = _table()
        return [*map(back, _line(there(table[-1]), there(table[0]), steps)), 0.0]

    return sigmas


def _linear_quadratic(steps: int, threshold: float = 0.025) -> list[float]:
    highest, linear = _table()[-1], steps // 2
    if linear == 0:
        return [highest, 0.0]
    quadratic, excess = steps - linear, linear - threshold * steps
    square = excess / (linear * quadratic**2)
    slope = threshold / linear - 2 * excess / quadratic**2
    parts = [index * threshold / linear for index in range(linear)]
    parts += [square * index**2 + slope * index + square * linear**2 for index in range(linear, steps)]
    return [*((1 - part) * highest for part in parts), 0.0]


def _beta(steps: int) -> list[float]:
    limits, table = _beta_limits(), _table()
    timesteps = (bisect_right(limits, 1 - index / steps) for index in range(steps))
    # The distribution is dense at its ends, where steps that fall on one timestep are one step.
    return [*(table[timestep] for timestep, _ in groupby(timesteps)), 0.0]


@cache
def _beta_limits() -> list[float]:
    """Return where the scheduler ``beta`` goes from one timestep to the next, as shares of the schedule.

    ComfyUI takes the timestep ``rint(999 q(p))`` for a share p, where q is the quantile function of the beta distribution.
    That is k for all p between the distribution's values at (k - 1/2)/999 and (k + 1/2)/999, so no quantile has to be computed.
    """
    last = _TIMESTEPS - 1
    lower = [_beta_share((index + 0.5) / last) for index in range(last // 2)]
    # The distribution is symmetric, and 999 halves have one in the middle.
    return [*lower, 0.5, *(1 - share for share in reversed(lower))]


def _beta_share(x: float) -> float:
    """Return the regularised incomplete beta function I_x(0.6, 0.6), for x up to 1/2, where its series converges fast.

    The series is that of the hypergeometric function (DLMF 8.17.7, https://dlmf.nist.gov/8.17#E7).
    """
    whole = math.gamma(_ALPHA) ** 2 / math.gamma(2 * _ALPHA)
    total, factor, index = 0.0, 1.0, 0
    while factor > 1e-18:
        total += factor / (_ALPHA + index)
        factor *= (index + 1 - _ALPHA) / (index + 1) * x
        index += 1
    return math.pow(x, _ALPHA) * total / whole


_SCHEDULERS: Final[dict[str, Callable[[int], list[float]]]] = {
    "normal": _normal,
    "karras": _even(lambda sigma: sigma ** (1 / _RHO), lambda root: root**_RHO),
    "exponential": _even(math.log, math.exp),
    "sgm_uniform": _sgm_uniform,
    "simple": _simple,
    "ddim_uniform": _ddim_uniform,
    "linear_quadratic": _linear_quadratic,
    "kl_optimal": _even(math.atan, math.tan),
    "beta": _beta,
}
