"""comfy_runner: render YAML recipes on ComfyUI servers, and collect the original and the upscaled pictures.

The names below are all that is public; they are imported when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from comfy_runner._version import __version__ as __version__

if TYPE_CHECKING:
    from comfy_runner.api import (
        Limits,
        Listing,
        Measures,
        PlanSummary,
        Report,
        Sheet,
        Standing,
        Suggestion,
        draw_sheet,
        measure,
        models,
        plan,
        render,
        run,
        servers,
        suggest,
        validate,
        write_report,
    )
    from comfy_runner.errors import (
        ComfyRunnerError,
        ConfigError,
        FlatPicture,
        InputError,
        Interrupted,
        JobFailed,
        JobLost,
        LocalError,
        Note,
        Problem,
        RecipeError,
        RunFolderError,
        ServerError,
        ServerRefused,
        ServerStuck,
        TemplateError,
        Unreachable,
        UsageError,
        VerificationError,
        WorkflowError,
    )
    from comfy_runner.retry import Retry
    from comfy_runner.running.events import (
        Event,
        JobFinished,
        JobProgressed,
        JobResult,
        JobRetried,
        JobSubmitted,
        JobWaiting,
        RunFinished,
        RunStarted,
        ServerChanged,
        Spent,
    )
    from comfy_runner.running.handle import Run
    from comfy_runner.running.policy import Policy

__all__ = [
    "ComfyRunnerError",
    "ConfigError",
    "Event",
    "FlatPicture",
    "InputError",
    "Interrupted",
    "JobFailed",
    "JobFinished",
    "JobLost",
    "JobProgressed",
    "JobResult",
    "JobRetried",
    "JobSubmitted",
    "JobWaiting",
    "Limits",
    "Listing",
    "LocalError",
    "Measures",
    "Note",
    "PlanSummary",
    "Policy",
    "Problem",
    "RecipeError",
    "Report",
    "Retry",
    "Run",
    "RunFinished",
    "RunFolderError",
    "RunStarted",
    "ServerChanged",
    "ServerError",
    "ServerRefused",
    "ServerStuck",
    "Sheet",
    "Spent",
    "Standing",
    "Suggestion",
    "TemplateError",
    "Unreachable",
    "UsageError",
    "VerificationError",
    "WorkflowError",
    "draw_sheet",
    "measure",
    "models",
    "plan",
    "render",
    "run",
    "servers",
    "suggest",
    "validate",
    "write_report",
]

_API = (
    *("Limits", "Listing", "Measures", "PlanSummary", "Report", "Sheet", "Standing", "Suggestion"),
    *("draw_sheet", "measure", "models", "plan", "render", "run", "servers", "suggest", "validate", "write_report"),
)
_EVENTS = (
    *("Event", "JobFinished", "JobProgressed", "JobResult", "JobRetried", "JobSubmitted", "JobWaiting"),
    *("RunFinished", "RunStarted", "ServerChanged", "Spent"),
)
_ROOMS = {
    **dict.fromkeys(_API, "api"),
    **dict.fromkeys(_EVENTS, "running.events"),
    "Policy": "running.policy",
    "Retry": "retry",
    "Run": "running.handle",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'comfy_runner' has no attribute {name!r}")
    return getattr(importlib.import_module(f"comfy_runner.{_ROOMS.get(name, 'errors')}"), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
