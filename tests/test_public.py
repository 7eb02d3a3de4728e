"""What users may rely on: the public names, and the exit code and the code of every error."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest

import comfy_runner
from comfy_runner import errors

_NAMES = [
    "BaselineUpdate",
    "Bisected",
    "BrokenDownload",
    "Calibration",
    "CheckedJob",
    "CheckedRun",
    "ComfyRunnerError",
    "Comparison",
    "ConfigError",
    "Discrepancy",
    "Event",
    "FindPlan",
    "Finding",
    "FlatPicture",
    "Imported",
    "InputError",
    "Interrupted",
    "JobFailed",
    "JobFinished",
    "JobLost",
    "JobPreviewed",
    "JobProgressed",
    "JobResult",
    "JobResults",
    "JobRetried",
    "JobSubmitted",
    "JobWaiting",
    "JoinedReport",
    "Judged",
    "Likeness",
    "Limits",
    "Listing",
    "LocalError",
    "Measures",
    "MergedRun",
    "ModelError",
    "Note",
    "Outcome",
    "PickedPicture",
    "PlanSummary",
    "Policy",
    "Problem",
    "RecipeError",
    "Report",
    "Reproduced",
    "ReproducedPicture",
    "Retry",
    "Run",
    "RunFinished",
    "RunFolderError",
    "RunIndex",
    "RunPicks",
    "RunStarted",
    "SavedPicks",
    "SearchResult",
    "SearchStep",
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
    "VerifiedRun",
    "WorkflowError",
    "bisect",
    "calibrate",
    "check_run",
    "compare_runs",
    "convert_workflow",
    "copy_picks",
    "draw_sheet",
    "find",
    "import_picks",
    "import_workflow",
    "keep_calibration",
    "kept_limits",
    "measure",
    "merge",
    "models",
    "picks",
    "plan",
    "plan_find",
    "render",
    "reproduce",
    "run",
    "servers",
    "suggest",
    "update_baseline",
    "validate",
    "verify",
    "write_import",
    "write_index",
    "write_report",
]

# class: (exit code, code, base)
_ERRORS = {
    "ComfyRunnerError": (1, "error", "Exception"),
    "InputError": (2, "input", "ComfyRunnerError"),
    "UsageError": (2, "usage", "InputError"),
    "ConfigError": (2, "config", "InputError"),
    "RecipeError": (2, "recipe", "InputError"),
    "TemplateError": (2, "template", "InputError"),
    "WorkflowError": (2, "workflow", "InputError"),
    "JobFailed": (1, "job-failed", "ComfyRunnerError"),
    "ServerError": (3, "server", "ComfyRunnerError"),
    "Unreachable": (3, "unreachable", "ServerError"),
    "ServerRefused": (3, "refused", "ServerError"),
    "BrokenDownload": (3, "broken-download", "ServerError"),
    "JobLost": (3, "job-lost", "ServerError"),
    "ServerStuck": (3, "server-stuck", "ServerError"),
    "LocalError": (3, "local", "ServerError"),
    "ModelError": (3, "model", "ServerError"),
    "VerificationError": (4, "verification", "ComfyRunnerError"),
    "FlatPicture": (4, "flat-picture", "VerificationError"),
    "RunFolderError": (5, "run-folder", "ComfyRunnerError"),
    "Interrupted": (130, "interrupted", "ComfyRunnerError"),
}


def test_the_public_names_are_these() -> None:
    assert sorted(comfy_runner.__all__) == _NAMES
    assert dir(comfy_runner) == sorted([*_NAMES, "__version__"])


def test_type_checkers_are_told_of_the_same_names_in_the_same_modules() -> None:
    tree = ast.parse(Path(comfy_runner.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    told = [node for node in block.body if isinstance(node, ast.ImportFrom)]

    assert {alias.name: alias.asname for node in told for alias in node.names} == {name: name for name in _NAMES}
    for node in told:
        module = importlib.import_module(node.module or "")
        assert all(getattr(comfy_runner, alias.name) is getattr(module, alias.name) for alias in node.names)


@pytest.mark.slow
def test_a_name_of_every_module_can_be_imported_alone() -> None:
    names = {getattr(comfy_runner, name).__module__: name for name in _NAMES}.values()
    code = """
import importlib, sys
for name in sys.argv[1:]:
    for module in [module for module in sys.modules if module.startswith("comfy_runner")]:
        del sys.modules[module]
    assert getattr(importlib.import_module("comfy_runner"), name) is not None
"""

    subprocess.run([sys.executable, "-c", code, *names], check=True)


def test_a_star_import_brings_the_public_names_and_no_room_hides_a_function_of_its_name() -> None:
    code = """
from comfy_runner import *
print(sorted(name for name in dir() if not name.startswith("_")))
import comfy_runner, comfy_runner.api
import comfy_runner.cli.models, comfy_runner.cli.plan, comfy_runner.cli.run, comfy_runner.cli.servers
for name in ("models", "plan", "run", "servers"):
    assert callable(getattr(comfy_runner, name)), name
"""

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == repr(_NAMES)


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'comfy_runner' has no attribute 'Job'"):
        _ = comfy_runner.Job
    assert not hasattr(comfy_runner, "__wrapped__")


def test_the_errors_are_these_with_their_exit_codes_and_codes() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.ComfyRunnerError)]

    assert {kind.__name__: (kind.exit_code, kind.code, kind.__mro__[1].__name__) for kind in kinds} == _ERRORS


def test_types_are_shipped() -> None:
    assert resources.files(comfy_runner).joinpath("py.typed").is_file()
