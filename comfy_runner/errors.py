"""Every error that comfy_runner raises on purpose, as one tree. Each has a place, a reason, a way out and an exit code.

ComfyRunnerError
├── InputError             2   what a person wrote is wrong; nothing was rendered
│   ├── UsageError         2   the command line or a Python call
│   ├── ConfigError        2   the config file or the environment
│   ├── RecipeError        2   a recipe
│   ├── TemplateError      2   a template, or what it rendered to
│   └── WorkflowError      2   a graph that its server would refuse
├── JobFailed              1   a server ran a job and it failed
├── ServerError            3   a server cannot be used
│   ├── Unreachable        3   nothing answers, or something that is not ComfyUI
│   ├── ServerRefused      3   it answers with an error that is not about the graph
│   ├── BrokenDownload     3   it returns only part of a requested file, or another one
│   ├── JobLost            3   it forgot a job
│   ├── ServerStuck        3   it accepts work and does none
│   ├── LocalError         3   the managed local ComfyUI cannot be set up or started
│   └── ModelError         3   a model that a recipe names cannot be fetched
├── VerificationError      4   a collected file is not what was planned
│   └── FlatPicture        4   a model's picture is one flat colour: black or NaN
├── RunFolderError         5   the run folder is locked, damaged, full or read-only
└── Interrupted          130   the user said stop

Errors of third-party libraries do not appear here: the folder that calls a library translates them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from typing import ClassVar, Literal, Self

_LONGEST = 1500  # names in messages come from files and servers, and can be of any length


def _brief(text: str) -> str:
    return text if len(text) <= _LONGEST else text[:_LONGEST] + " ..."


@dataclass(frozen=True, slots=True)
class _Said:
    what: str
    where: str = ""

    def __post_init__(self) -> None:
        for part in fields(self):
            object.__setattr__(self, part.name, _brief(getattr(self, part.name)))

    def __str__(self) -> str:
        """Return ``where: what``."""
        return f"{self.where}: {self.what}" if self.where else self.what


@dataclass(frozen=True, slots=True)
class Problem(_Said):
    """A single fault.

    Attributes:
        what: The reason, lower case, no full stop, with the offending value as ``(got X)``.
        where: The place: ``file:line: field``, a URL, a path; empty if there is none.
        hint: The way out, one sentence; empty if there is none.
    """

    hint: str = ""


@dataclass(frozen=True, slots=True)
class Note(_Said):
    """Something that a user should know, but that is not an error.

    Attributes:
        what: The sentence, in the style of `Problem.what`.
        where: The place; empty if there is none.
        level: ``changed`` for something that the program adjusted, ``warning`` for a known trap.
    """

    level: Literal["changed", "warning"] = "warning"


class ComfyRunnerError(Exception):
    """Base of all errors that a user of comfy_runner is meant to see.

    Args:
        what: The reason, as in `Problem.what`.
        where: The place, as in `Problem.where`.
        hint: The way out, as in `Problem.hint`.
    """

    exit_code: ClassVar[int] = 1
    code: ClassVar[str] = "error"

    def __init__(self, what: str, *, where: str = "", hint: str = "") -> None:
        self.problems: tuple[Problem, ...] = (Problem(what, where, hint),)
        super().__init__(str(self.problems[0]))

    def at(self, place: Callable[[str], str]) -> Self:
        """Return the same error with changed places.

        Args:
            place: Maps the place of each problem to its new place; either may be empty.
        """
        moved = copy.copy(self)
        moved.problems = tuple(replace(problem, where=place(problem.where)) for problem in self.problems)
        moved.args = ("\n".join(map(str, moved.problems)),)
        return moved

    @classmethod
    def of(cls, problems: Iterable[Problem]) -> Self:
        """Make one error from all problems that were found, at least one."""
        found = tuple(problems)
        first = found[0]
        error = cls(first.what, where=first.where, hint=first.hint)
        error.problems = found
        error.args = ("\n".join(str(problem) for problem in found),)
        return error


class InputError(ComfyRunnerError):
    """What a person wrote is wrong; nothing was rendered."""

    exit_code = 2
    code = "input"


class UsageError(InputError):
    """The command line, or the arguments of a Python call, are wrong."""

    code = "usage"


class ConfigError(InputError):
    """The config file or an environment variable is wrong."""

    code = "config"


class RecipeError(InputError):
    """A recipe is wrong."""

    code = "recipe"


class TemplateError(InputError):
    """A template is wrong, or what it rendered to is not a workflow."""

    code = "template"


class WorkflowError(InputError):
    """A workflow that a server would refuse, or run only in part."""

    code = "workflow"


class JobFailed(ComfyRunnerError):
    """A server ran a job and it failed."""

    code = "job-failed"


TRANSIENT_STATUSES = frozenset({408, 429, 500, 502, 503, 504, *range(520, 525), 530})
"""HTTP statuses that may pass: a server is too busy or fails just now, or a proxy does not reach it (520 to 530: Cloudflare)."""


LOGIN_STATUSES = frozenset({301, 302, 303, 307, 308, 401, 403, 407})
"""HTTP statuses of somebody before ComfyUI, which itself knows no users: who asks has to log in."""


_OF_WHAT_WAS_ASKED = frozenset({0, 400, 404, 405, 410, 413, 414, 415, 422, 501})
"""HTTP statuses that say something of the very thing that was asked for, or that it cannot be asked for so; 0: not known."""


class ServerError(ComfyRunnerError):
    """A server cannot be used.

    Attributes:
        retry_after: Seconds after which the server wants to be asked again (``Retry-After``); 0 if it does not say.
    """

    exit_code = 3
    code = "server"
    retry_after: float = 0.0

    @property
    def is_transient(self) -> bool:
        """Return whether the same request may succeed a moment later. All requests to servers use this rule."""
        return False

    @property
    def leaves_open(self) -> bool:
        """Return whether the answer decides nothing about the request: it is temporary, or a proxy gave it."""
        return self.is_transient


class Unreachable(ServerError):
    """Nothing answers at the server's address, or something that is not ComfyUI."""

    code = "unreachable"

    @property
    def is_transient(self) -> bool:
        """Return True, because connections break and servers are restarted."""
        return True


class ServerRefused(ServerError):
    """The server answered with an error that is not about the graph.

    Attributes:
        status: The HTTP status.
    """

    code = "refused"
    status: int = 0

    @property
    def is_transient(self) -> bool:
        """Return whether the status is a temporary one."""
        return self.status in TRANSIENT_STATUSES

    @property
    def is_missing(self) -> bool:
        """Return whether the requested resource does not exist (404)."""
        return self.status == 404

    @property
    def leaves_open(self) -> bool:
        """Return whether the status is temporary, or comes from a login page or a network filter in between."""
        return self.is_transient or self.status not in _OF_WHAT_WAS_ASKED


class BrokenDownload(ServerError):
    """A server, or a proxy in front of it, did not return the complete file that was requested."""

    code = "broken-download"

    @property
    def is_transient(self) -> bool:
        """Return True, because a download that was damaged on its way may be complete the next time."""
        return True


class JobLost(ServerError):
    """The server no longer knows a job that it had accepted."""

    code = "job-lost"


class ServerStuck(ServerError):
    """The server accepts work and does none."""

    code = "server-stuck"


class LocalError(ServerError):
    """The managed local ComfyUI cannot be set up or started."""

    code = "local"


class ModelError(ServerError):
    """A model that a recipe names cannot be fetched, or is a different file from the one that the recipe describes."""

    code = "model"


class VerificationError(ComfyRunnerError):
    """A collected file is not what was planned."""

    exit_code = 4
    code = "verification"


class FlatPicture(VerificationError):
    """A model's picture is one flat colour, which is what black or NaN results look like."""

    code = "flat-picture"


class RunFolderError(ComfyRunnerError):
    """The run folder is locked, damaged, full or read-only."""

    exit_code = 5
    code = "run-folder"


class Interrupted(ComfyRunnerError):
    """The user said stop."""

    exit_code = 130
    code = "interrupted"
