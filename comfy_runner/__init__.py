"""comfy_runner: render YAML recipes on ComfyUI servers, and collect the original and the upscaled pictures.

The names in `__all__` are all that is public; they are imported when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from comfy_runner._version import __version__ as __version__

if TYPE_CHECKING:
    from comfy_runner.api import BaselineUpdate as BaselineUpdate, update_baseline as update_baseline
    from comfy_runner.api import Calibration as Calibration, calibrate as calibrate
    from comfy_runner.api import keep_calibration as keep_calibration, kept_limits as kept_limits
    from comfy_runner.api import Discrepancy as Discrepancy, VerifiedRun as VerifiedRun, verify as verify
    from comfy_runner.api import Reproduced as Reproduced, ReproducedPicture as ReproducedPicture, reproduce as reproduce
    from comfy_runner.api import FindPlan as FindPlan, SearchResult as SearchResult, SearchStep as SearchStep
    from comfy_runner.api import find as find, plan_find as plan_find
    from comfy_runner.api import Limits as Limits, Listing as Listing, Measures as Measures, PlanSummary as PlanSummary
    from comfy_runner.api import JoinedReport as JoinedReport, compare_runs as compare_runs
    from comfy_runner.api import RunIndex as RunIndex, write_index as write_index
    from comfy_runner.api import Report as Report, Sheet as Sheet, Standing as Standing, Suggestion as Suggestion
    from comfy_runner.api import (
        bisect as bisect,
        check_run as check_run,
        convert_workflow as convert_workflow,
        draw_sheet as draw_sheet,
        import_workflow as import_workflow,
    )
    from comfy_runner.api import MergedRun as MergedRun, merge as merge
    from comfy_runner.api import PickedPicture as PickedPicture, RunPicks as RunPicks, SavedPicks as SavedPicks
    from comfy_runner.api import copy_picks as copy_picks, import_picks as import_picks, picks as picks
    from comfy_runner.api import measure as measure, models as models, plan as plan, render as render, run as run
    from comfy_runner.api import servers as servers, suggest as suggest, validate as validate, write_import as write_import
    from comfy_runner.api import write_report as write_report
    from comfy_runner.bisecting.walk import Bisected as Bisected, Judged as Judged
    from comfy_runner.check.interface import Finding as Finding
    from comfy_runner.check.results import CheckedJob as CheckedJob, CheckedRun as CheckedRun, Comparison as Comparison
    from comfy_runner.check.results import Likeness as Likeness, Outcome as Outcome
    from comfy_runner.errors import BrokenDownload as BrokenDownload, ComfyRunnerError as ComfyRunnerError
    from comfy_runner.errors import ConfigError as ConfigError, FlatPicture as FlatPicture, InputError as InputError
    from comfy_runner.errors import Interrupted as Interrupted, JobFailed as JobFailed, JobLost as JobLost, LocalError as LocalError
    from comfy_runner.errors import (
        ModelError as ModelError,
        Note as Note,
        Problem as Problem,
        RecipeError as RecipeError,
        RunFolderError as RunFolderError,
    )
    from comfy_runner.errors import ServerError as ServerError, ServerRefused as ServerRefused, ServerStuck as ServerStuck
    from comfy_runner.errors import TemplateError as TemplateError, Unreachable as Unreachable, UsageError as UsageError
    from comfy_runner.errors import VerificationError as VerificationError, WorkflowError as WorkflowError
    from comfy_runner.importer.imported import Imported as Imported
    from comfy_runner.retry import Retry as Retry
    from comfy_runner.running.events import Event as Event, JobFinished as JobFinished, JobPreviewed as JobPreviewed
    from comfy_runner.running.events import JobProgressed as JobProgressed, JobResult as JobResult
    from comfy_runner.running.events import JobRetried as JobRetried, JobSubmitted as JobSubmitted
    from comfy_runner.running.events import JobWaiting as JobWaiting, RunFinished as RunFinished, RunStarted as RunStarted
    from comfy_runner.running.events import ServerChanged as ServerChanged, Spent as Spent
    from comfy_runner.running.handle import Run as Run
    from comfy_runner.running.job_results import JobResults as JobResults
    from comfy_runner.running.policy import Policy as Policy

# The modules below this one, and the public names of each; the block above says the same to type checkers.
_NAMES = {
    "api": (
        "BaselineUpdate Calibration Discrepancy FindPlan JoinedReport Limits Listing Measures MergedRun PickedPicture "
        "PlanSummary Report Reproduced ReproducedPicture RunIndex RunPicks SavedPicks SearchResult SearchStep Sheet "
        "Standing Suggestion VerifiedRun bisect calibrate check_run compare_runs convert_workflow copy_picks draw_sheet "
        "find import_picks import_workflow keep_calibration kept_limits measure merge models picks plan plan_find render "
        "reproduce run servers suggest update_baseline validate verify write_import write_index write_report"
    ),
    "bisecting.walk": "Bisected Judged",
    "check.interface": "Finding",
    "check.results": "CheckedJob CheckedRun Comparison Likeness Outcome",
    "errors": (
        "BrokenDownload ComfyRunnerError ConfigError FlatPicture InputError Interrupted JobFailed JobLost LocalError ModelError "
        "Note Problem RecipeError RunFolderError ServerError ServerRefused ServerStuck TemplateError Unreachable UsageError "
        "VerificationError WorkflowError"
    ),
    "importer.imported": "Imported",
    "retry": "Retry",
    "running.events": (
        "Event JobFinished JobPreviewed JobProgressed JobResult JobRetried JobSubmitted JobWaiting RunFinished RunStarted "
        "ServerChanged Spent"
    ),
    "running.handle": "Run",
    "running.job_results": "JobResults",
    "running.policy": "Policy",
}
_MODULE_OF = {name: module for module, names in _NAMES.items() for name in names.split()}

__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'comfy_runner' has no attribute {name!r}")
    return getattr(importlib.import_module(f"comfy_runner.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
