"""Samplers and schedulers by their names in the web UIs of AUTOMATIC1111 and Forge, and in ComfyUI, both ways.

Both took their samplers from k-diffusion and named them differently: ``DPM++ 2M Karras`` is ``dpmpp_2m`` with the scheduler
``karras``. The schedule was a suffix of the sampler's name before version 1.9 of AUTOMATIC1111's web UI, and is a name of its own,
``Schedule type``, since then. ``Automatic`` is the schedule that the web UI gives a sampler by default; the table is that of its
``modules/sd_samplers_kdiffusion.py``, with Forge's additions. The names mean the same method, not the same pixels: noise is drawn
and prompts are weighted differently.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

AUTOMATIC = "Automatic"
"""The schedule type by which the web UI means the one that a sampler has by default."""

_SAMPLERS_OF_COMFYUI = """
euler euler_cfg_pp euler_ancestral euler_ancestral_cfg_pp heun heunpp2 dpm_2 dpm_2_ancestral lms dpm_fast dpm_adaptive
dpmpp_2s_ancestral dpmpp_2s_ancestral_cfg_pp dpmpp_sde dpmpp_sde_gpu dpmpp_2m dpmpp_2m_cfg_pp dpmpp_2m_sde dpmpp_2m_sde_gpu
dpmpp_2m_sde_heun dpmpp_2m_sde_heun_gpu dpmpp_3m_sde dpmpp_3m_sde_gpu ddpm lcm ipndm ipndm_v deis res_multistep
res_multistep_cfg_pp res_multistep_ancestral res_multistep_ancestral_cfg_pp gradient_estimation gradient_estimation_cfg_pp
er_sde seeds_2 seeds_3 sa_solver sa_solver_pece ddim uni_pc uni_pc_bh2
"""
COMFYUI_SAMPLERS = frozenset(_SAMPLERS_OF_COMFYUI.split())
"""The samplers of ComfyUI 0.3.75 (``comfy/samplers.py``); servers with node packs have more."""

COMFYUI_SCHEDULERS = frozenset(
    ("simple", "sgm_uniform", "karras", "exponential", "ddim_uniform", "beta", "normal", "linear_quadratic", "kl_optimal")
)
"""The schedulers of ComfyUI 0.3.75 (``comfy/samplers.py``); servers with node packs have more."""

# The web UI's name, ComfyUI's, and the scheduler of `Automatic`.
_SAMPLERS = (
    ("Euler", "euler", "normal"),
    ("Euler a", "euler_ancestral", "normal"),
    ("LMS", "lms", "normal"),
    ("Heun", "heun", "normal"),
    ("HeunPP2", "heunpp2", "normal"),
    ("DPM2", "dpm_2", "karras"),
    ("DPM2 a", "dpm_2_ancestral", "karras"),
    ("DPM fast", "dpm_fast", "normal"),
    ("DPM adaptive", "dpm_adaptive", "normal"),
    ("DPM++ 2S a", "dpmpp_2s_ancestral", "karras"),
    ("DPM++ SDE", "dpmpp_sde", "karras"),
    ("DPM++ 2M", "dpmpp_2m", "karras"),
    ("DPM++ 2M SDE", "dpmpp_2m_sde", "exponential"),
    ("DPM++ 2M SDE Heun", "dpmpp_2m_sde_heun", "exponential"),
    ("DPM++ 3M SDE", "dpmpp_3m_sde", "exponential"),
    ("DDIM", "ddim", "ddim_uniform"),
    ("UniPC", "uni_pc", "normal"),
    ("LCM", "lcm", "normal"),
    ("DDPM", "ddpm", "normal"),
    ("IPNDM", "ipndm", "normal"),
    ("IPNDM_V", "ipndm_v", "normal"),
    ("DEIS", "deis", "normal"),
    ("Res Multistep", "res_multistep", "normal"),
    ("Gradient Estimation", "gradient_estimation", "normal"),
    ("ER SDE", "er_sde", "normal"),
)
_SCHEDULES = (
    ("Normal", "normal"),
    ("Uniform", "normal"),
    ("Karras", "karras"),
    ("Exponential", "exponential"),
    ("Polyexponential", "exponential"),
    ("SGM Uniform", "sgm_uniform"),
    ("Simple", "simple"),
    ("DDIM", "ddim_uniform"),
    ("Beta", "beta"),
    ("KL Optimal", "kl_optimal"),
    ("Linear Quadratic", "linear_quadratic"),
)
# What has no counterpart in ComfyUI's KSampler, and what comes nearest: a sampler or a scheduler of the web UI.
_NO_SAMPLER = {"PLMS": "DDIM", "Restart": "DPM++ 2M Karras", "DDIM CFG++": "DDIM"}
_NO_SCHEDULE = {
    "Align Your Steps": "Karras",
    "Align Your Steps GITS": "Karras",
    "Align Your Steps 11": "Karras",
    "Align Your Steps 32": "Karras",
    "Turbo": "SGM Uniform",
}
# The web UI's own second names, and those of the programs before it: k_euler_a.
_SECOND_NAMES = {
    "k_euler": "euler",
    "k_euler_a": "euler_ancestral",
    "k_euler_ancestral": "euler_ancestral",
    "k_lms": "lms",
    "k_heun": "heun",
    "k_dpm_2": "dpm_2",
    "k_dpm_2_a": "dpm_2_ancestral",
    "k_dpm_2_ancestral": "dpm_2_ancestral",
    "k_dpm_fast": "dpm_fast",
    "k_dpm_ad": "dpm_adaptive",
    "k_dpm_adaptive": "dpm_adaptive",
    "k_dpmpp_2s_a": "dpmpp_2s_ancestral",
    "k_dpmpp_2s_ancestral": "dpmpp_2s_ancestral",
    "k_dpmpp_sde": "dpmpp_sde",
    "k_dpmpp_2m": "dpmpp_2m",
    "k_dpmpp_2m_sde": "dpmpp_2m_sde",
    "k_dpmpp_2m_sde_heun": "dpmpp_2m_sde_heun",
    "k_dpmpp_3m_sde": "dpmpp_3m_sde",
}
_LONGEST = 100


@dataclass(frozen=True, slots=True)
class SamplerName:
    """What a sampler's name in the web UI is in ComfyUI.

    Attributes:
        name: KSampler's ``sampler_name``.
        scheduler: KSampler's ``scheduler``, where the name has a schedule for a suffix, or is DDIM, whose steps are spaced in their
            own way; empty where the name says nothing of it.
    """

    name: str
    scheduler: str = ""

    def __str__(self) -> str:
        """Return both in words: ``dpmpp_2m with karras``."""
        return f"{self.name} with {self.scheduler}" if self.scheduler else self.name


def sampler_of(name: str) -> SamplerName | None:
    """Return what a sampler of the web UI is in ComfyUI; None for other names, and where ComfyUI has no counterpart.

    Args:
        name: Such as ``Euler a`` or ``DPM++ 2M Karras``; letter case, spaces and dashes do not count. ComfyUI's own
            names, as ComfyUI spells them, are none of the web UI's, even where they would read alike: ``ddim``.
    """
    return None if name in COMFYUI_SAMPLERS else _BY_KEY.get(_key(name))


def scheduler_of(name: str) -> str:
    """Return ComfyUI's name of a schedule type; empty for `AUTOMATIC`, for other names, and where ComfyUI has no counterpart.

    Args:
        name: Such as ``Karras`` or ``SGM Uniform``; letter case, spaces and dashes do not count.
    """
    return "" if name in COMFYUI_SCHEDULERS else _SCHEDULERS.get(_key(name), "")


def automatic_scheduler(sampler: str) -> str:
    """Return the scheduler that the web UI gives a sampler where the schedule type is `AUTOMATIC`.

    Args:
        sampler: ComfyUI's name; of one that the web UI does not have, it is ``normal``.
    """
    return _AUTOMATIC.get(sampler, "normal")


def no_sampler(name: str) -> str:
    """Return the hint for a sampler of the web UI that has no counterpart in ComfyUI, which names the nearest; else empty.

    Args:
        name: Such as ``PLMS``, in which at least one letter is a capital: a server's node packs can name a sampler ``plms``.
    """
    nearest = _NO_SAMPLERS.get(_key(name)) if name != name.lower() else None
    known = sampler_of(nearest) if nearest else None
    if known is None:
        return ""
    scheduler = known.scheduler or automatic_scheduler(known.name)
    return f"the nearest is {known.name} with the scheduler {scheduler}, which paints other pictures"


def no_scheduler(name: str) -> str:
    """Return the hint for a schedule type that ComfyUI has no scheduler for, which names the nearest; empty for all others.

    Args:
        name: Such as ``Align Your Steps``, in which at least one letter is a capital.
    """
    nearest = _NO_SCHEDULERS.get(_key(name)) if name != name.lower() else None
    return f"the nearest is {_SCHEDULERS[_key(nearest)]}, which paints other pictures" if nearest else ""


def web_ui_sampler(sampler: str, scheduler: str) -> tuple[str, str]:
    """Return the web UI's names of a sampler and a scheduler: ``Sampler`` and ``Schedule type``, as written since version 1.9.

    Args:
        sampler: ComfyUI's name; one on a GPU (``dpmpp_sde_gpu``) is the same sampler. One that the web UI does not have is returned
            as it is.
        scheduler: ComfyUI's name; one that the web UI does not have is returned as it is.
    """
    return _WEB_UI_SAMPLERS.get(sampler.removesuffix("_gpu"), sampler), _WEB_UI_SCHEDULES.get(scheduler, scheduler)


def _key(name: str) -> str:
    """Return what is equal for names that differ in letter case, spaces and dashes alone."""
    return re.sub(r"[\s-]+", "", name[:_LONGEST]).casefold() if len(name) <= _LONGEST else ""


def _by_key() -> Mapping[str, SamplerName]:
    found: dict[str, SamplerName] = {}
    # Some programs write the letter out: Euler Ancestral.
    names = [*_SAMPLERS, *((f"{name}ncestral", *more) for name, *more in _SAMPLERS if name.endswith(" a"))]
    for name, sampler, automatic in names:
        found[_key(name)] = SamplerName(sampler, automatic if sampler == "ddim" else "")
    for name, sampler in _SECOND_NAMES.items():
        found.setdefault(_key(name), SamplerName(sampler))
    for name, sampler, _ in names:
        for schedule, scheduler in _SCHEDULES:
            found.setdefault(_key(f"{name} {schedule}"), SamplerName(sampler, scheduler))
    return found


_BY_KEY = _by_key()
_SCHEDULERS = {_key(name): scheduler for name, scheduler in _SCHEDULES} | {"ddimuniform": "ddim_uniform"}
_AUTOMATIC = {sampler: automatic for _, sampler, automatic in _SAMPLERS}
_NO_SAMPLERS = {_key(name): nearest for name, nearest in _NO_SAMPLER.items()} | {
    _key(f"{name} {schedule}"): nearest for name, nearest in _NO_SAMPLER.items() for schedule, _ in _SCHEDULES
}
_NO_SCHEDULERS = {_key(name): nearest for name, nearest in _NO_SCHEDULE.items()}
_WEB_UI_SAMPLERS = {sampler: name for name, sampler, _ in reversed(_SAMPLERS)}
_WEB_UI_SCHEDULES = {scheduler: name for name, scheduler in reversed(_SCHEDULES)}
