"""Every error that comfy_runner raises on purpose: one tree, each with place, reason, way out and exit code.

ComfyRunnerError
├── InputError             2   what a person wrote is wrong; nothing was rendered
│   ├── UsageError         2   the command line or a Python call
│   ├── ConfigError        2   the config file or the environment
│   ├── RecipeError        2   a recipe
│   ├── TemplateError      2   a template, or what it rendered to
│   └── WorkflowError      2   a graph that its server would refuse
├── JobFailed              1   a server ran a job and it failed
├── ServerError            3   a server cannot be used
│   ├── Unreachable        3   nobody answers, or somebody who is not ComfyUI
│   ├── ServerRefused      3   it answers with an error that is not about the graph
│   ├── BrokenDownload     3   what it gives is not the whole file that it was asked for
│   ├── JobLost            3   it forgot a job
│   ├── ServerStuck        3   it accepts work and does none
│   ├── LocalError         3   the managed local ComfyUI cannot be set up or started
│   └── ModelError         3   a model that a recipe names cannot be fetched
├── VerificationError      4   a collected file is not what was planned
│   └── FlatPicture        4   a model's picture is one flat colour: black or NaN
├── RunFolderError         5   the run folder is locked, damaged, full or read-only
└── Interrupted          130   the user said stop

Errors of the libraries underneath do not get here: the folder that calls a library translates what it raises.
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
    """One thing that is wrong.

    Attributes:
        what: The reason, lower case, no full stop, with the offending value as ``(got X)``.
        where: The place: ``file:line: field``, a URL, a path; empty where there is none.
        hint: The way out, one sentence; empty where there is none.
    """

    hint: str = ""


@dataclass(frozen=True, slots=True)
class Note(_Said):
    """Something that is not an error but that a user should know.

    Attributes:
        what: The sentence, in the style of `Problem.what`.
        where: The place; empty where there is none.
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
        """Return the same error with other places.

        Args:
            place: Gives the place of a problem, of the one that it has; either may be empty.
        """
        moved = copy.copy(self)
        moved.problems = tuple(replace(problem, where=place(problem.where)) for problem in self.problems)
        moved.args = ("\n".join(map(str, moved.problems)),)
        return moved

    @classmethod
    def of(cls, problems: Iterable[Problem]) -> Self:
        """Make one error out of everything that was found wrong (at least one problem)."""
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
        retry_after: Seconds after which the server wants to be asked again (``Retry-After``); 0 where it does not say.
    """

    exit_code = 3
    code = "server"
    retry_after: float = 0.0

    @property
    def is_transient(self) -> bool:
        """Return whether the same question may be answered a moment later: the one rule for whatever is asked of a server."""
        return False

    @property
    def leaves_open(self) -> bool:
        """Return whether the answer says nothing of what was asked for: it may pass, or comes from somebody in between."""
        return self.is_transient


class Unreachable(ServerError):
    """Nobody answers at the server's address, or somebody who is not ComfyUI."""

    code = "unreachable"

    @property
    def is_transient(self) -> bool:
        """Return True: connections break, and servers are restarted."""
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
        """Return whether the status is one that may pass."""
        return self.status in TRANSIENT_STATUSES

    @property
    def is_missing(self) -> bool:
        """Return whether it says that what was asked for is not there (404)."""
        return self.status == 404

    @property
    def leaves_open(self) -> bool:
        """Return whether it may pass, or is of somebody who lets nothing through, such as a login or a filter of a network."""
        return self.is_transient or self.status not in _OF_WHAT_WAS_ASKED


class BrokenDownload(ServerError):
    """What a server gives, or somebody before it, is not the whole file that it was asked for."""

    code = "broken-download"

    @property
    def is_transient(self) -> bool:
        """Return True: what is spoilt on its way may come whole the next time."""
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
    """A model that a recipe names cannot be fetched, or is not the one that the recipe means."""

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
