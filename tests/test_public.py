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
    "BrokenDownload",
    "ComfyRunnerError",
    "ConfigError",
    "Event",
    "FlatPicture",
    "Imported",
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
    "convert_workflow",
    "draw_sheet",
    "import_workflow",
    "measure",
    "models",
    "plan",
    "render",
    "run",
    "servers",
    "suggest",
    "validate",
    "write_import",
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
def test_every_public_name_can_be_imported_alone() -> None:
    code = """
import importlib, sys
for name in sys.argv[1:]:
    for module in [module for module in sys.modules if module.startswith("comfy_runner")]:
        del sys.modules[module]
    assert getattr(importlib.import_module("comfy_runner"), name) is not None
"""

    subprocess.run([sys.executable, "-c", code, *_NAMES], check=True)


def test_a_star_import_brings_the_public_names() -> None:
    code = "from comfy_runner import *; import json; print(sorted(name for name in dir() if not name.startswith('_')))"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == repr(sorted([*_NAMES, "json"]))


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'comfy_runner' has no attribute 'Job'"):
        _ = comfy_runner.Job
    assert not hasattr(comfy_runner, "__wrapped__")


@pytest.mark.parametrize("name", ["run", "plan", "servers", "models"])
def test_a_function_is_not_hidden_by_a_room_of_its_name(name: str) -> None:
    code = f"import comfy_runner, comfy_runner.api, comfy_runner.cli.{name}; assert callable(comfy_runner.{name})"

    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_errors_are_these_with_their_exit_codes_and_codes() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.ComfyRunnerError)]

    assert {kind.__name__: (kind.exit_code, kind.code, kind.__mro__[1].__name__) for kind in kinds} == _ERRORS


def test_types_are_shipped() -> None:
    assert resources.files(comfy_runner).joinpath("py.typed").is_file()
