"""The results of jobs at the end of a run, as values, as rows of tables and as HTML for notebooks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from comfy_runner.errors import ComfyRunnerError
from comfy_runner.notebook_html import MOST_ROWS, Markup, escaped, figure, table
from comfy_runner.store.states import State
from comfy_runner.text_files import place

_SMALL = 160  # pixels of a picture in a row


@dataclass(frozen=True, slots=True)
class JobResult:
    """The result of a job at the end of a run.

    Attributes:
        job_id: The id of the job.
        state: ``done``; ``partial``: some pictures exist, and `error` says why the others do not; ``failed``; ``cancelled``;
            ``submitted``: it is or may be on its server, and the next run collects it; ``pending``: not started.
        files: The paths of the pictures, by output role; a role can have several. If the run folder is a URL, these files are in
            the store and not on this machine: see `places`.
        error: Why the job is not done; None if it is.
        was_done: Whether the job was already done, so that nothing was rendered.
        seconds: How long the server worked on the job; None if the server does not report it or nothing was rendered.
        cached_nodes: The ids of the nodes whose results came from the server's cache.
        server: The name of the server that rendered the job; empty if none did or the job was already done.
        values: The values of the swept fields, by their dotted names; empty if nothing was swept.
        seed: The seed of the first pass, even if it was chosen at random; None if the recipe is no longer known.
        prompt: The prompt of the recipe.
    """

    job_id: str
    state: State
    files: Mapping[str, tuple[Path, ...]]
    error: ComfyRunnerError | None = None
    was_done: bool = False
    seconds: float | None = None
    cached_nodes: tuple[str, ...] = ()
    server: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    prompt: str = ""

    @property
    def places(self) -> dict[str, tuple[str, ...]]:
        """The paths of the pictures as strings, by output role; their URLs if the run folder is a URL."""
        return {role: tuple(map(place, paths)) for role, paths in self.files.items()}

    def to_record(self) -> dict[str, Any]:
        """Return the job as one flat mapping, such as a row of a table.

        The columns are ``job``, ``state``, ``seed``, ``prompt``, the swept fields by their dotted names, ``seconds``, ``server``,
        ``was_done``, ``error`` (a string, empty if there is no error), and ``file.ROLE`` with the path or URL of the first picture
        of a role; further pictures are in ``file.ROLE.2`` and so on.
        """
        return {
            "job": self.job_id,
            "state": self.state,
            "seed": self.seed,
            "prompt": self.prompt,
            **self.values,
            "seconds": self.seconds,
            "server": self.server,
            "was_done": self.was_done,
            "error": "" if self.error is None else str(self.error),
            **dict(self._file_columns()),
        }

    def _file_columns(self) -> Iterator[tuple[str, str]]:
        for role, places in self.places.items():
            for number, where in enumerate(places, start=1):
                yield f"file.{role}" if number == 1 else f"file.{role}.{number}", where

    def _repr_html_(self) -> str:
        """Return the job as HTML for notebooks: small pictures, and a table of its values."""
        told = {
            "state": self.state,
            "seed": self.seed,
            **self.values,
            "seconds": self.seconds,
            "error": self.error,
            "prompt": self.prompt,
        }
        rows = [(name, value) for name, value in told.items() if value not in (None, "")]
        figures = "".join(figure(path, role) for role, paths in self.files.items() for path in paths[:1])
        return f"<div><strong>{escaped(self.job_id)}</strong><div>{figures}</div>{table((), rows)}</div>"


class JobResults(tuple[JobResult, ...]):
    """The results of a run's jobs, in the order of its recipes: a tuple with methods for tables and notebooks."""

    __slots__ = ()

    def to_records(self) -> list[dict[str, Any]]:
        """Return one flat mapping per job, all with the same columns (`JobResult.to_record`), as ``pandas.DataFrame`` accepts them.

        A column that a job does not have, such as a field that only another recipe sweeps, is None.
        """
        found = [result.to_record() for result in self]
        columns = dict.fromkeys(name for record in found for name in record)
        return [{name: record.get(name) for name in columns} for record in found]

    def _repr_html_(self) -> str:
        """Return an HTML table for notebooks with a row and pictures for each of the first 24 jobs."""
        fields = list(dict.fromkeys(name for result in self for name in result.values))
        roles = list(dict.fromkeys(role for result in self for role in result.files))
        rows = [
            (
                result.job_id,
                *(result.values.get(name) for name in fields),
                *(_pictures(result, role) for role in roles),
                result.state if result.error is None else f"{result.state}: {result.error}",
            )
            for result in self[:MOST_ROWS]
        ]
        more = f"<p>and {len(self) - MOST_ROWS} more</p>" if len(self) > MOST_ROWS else ""
        return f"<div><p>{escaped(told_states(self))}</p>{table(('job', *fields, *roles, 'state'), rows)}{more}</div>"


def told_states(results: tuple[JobResult, ...]) -> str:
    """Return how many jobs are in each state, such as ``3 done, 1 failed``."""
    counts = Counter(str(result.state) for result in results)
    return ", ".join(f"{count} {state}" for state, count in counts.items()) or "no jobs"


def _pictures(result: JobResult, role: str) -> Markup:
    return Markup("".join(figure(path, "", long_side=_SMALL) for path in result.files.get(role, ())[:1]))
