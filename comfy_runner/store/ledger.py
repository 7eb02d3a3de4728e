"""The ledger of a run folder: every job and its state, every submission, in an SQLite file that survives any crash.

Each state change goes through `states.after` and is one transaction; a method that changes something has it on the disk when it
returns. Pictures are never touched. The values are those of `ledger_rows`; the file and its errors are the business of `database`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from operator import attrgetter
from typing import ClassVar

from comfy_runner.store.database import Damaged, Database
from comfy_runner.store.ledger_rows import (
    COLUMNS,
    SCHEMA,
    FileRow,
    JobRow,
    JobUpdate,
    KnownJob,
    OpenSubmission,
    PlanRow,
    ServerSpeed,
    job_id_of,
    number_of,
    read_row,
    state_of,
    storable,
    to_json,
)
from comfy_runner.store.states import ENDED, STATES, Change, State, after
from comfy_runner.wording import now

FILE = "ledger.sqlite"
"""Its name in the run folder."""

_file_values = attrgetter(*COLUMNS[FileRow])
_PAGE = 500  # rows fetched at a time; older SQLite takes at most 999 values in one statement
_SETTLING = frozenset({Change.LOST, Change.DONE, Change.PARTIAL, Change.FAILED, Change.CANCELLED})

# The state is that of a new job; a known one's is left to `_REQUEUE`.
_PLAN = """
    INSERT INTO jobs (job_id, position, recipe, content_hash, pixel_hash, shares, assignments, state, reason)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (job_id) DO UPDATE SET
        position = excluded.position, recipe = excluded.recipe, content_hash = excluded.content_hash,
        pixel_hash = excluded.pixel_hash, shares = excluded.shares, assignments = excluded.assignments, removed = 0,
        reason = CASE WHEN excluded.reason = '' THEN reason ELSE excluded.reason END
"""
_REQUEUE = """
    UPDATE jobs SET state = ?, submission = NULL, error = '', attempts = 0, seconds = NULL, work = NULL, finished = NULL
    WHERE job_id = ?
"""
# One that has no submission has no prompt id either.
_JOBS = f"""
    SELECT {", ".join(COLUMNS[JobRow]).replace("prompt_id", "coalesce(prompt_id, '')")}
    FROM jobs LEFT JOIN submissions ON submissions.id = jobs.submission
"""  # noqa: S608 - columns of ours
_IDS = "SELECT id FROM jobs"
_IN_ORDER = "ORDER BY position IS NULL, position, job_id"
_OPEN = """
    SELECT submissions.id, job_id, prompt_id, server, server_prompt_id, parcel, minted
    FROM submissions LEFT JOIN jobs ON jobs.submission = submissions.id AND jobs.state = 'submitted'
    WHERE settled = 0 ORDER BY submissions.id, position, jobs.id
"""
# Few ledgers need it: it is made with its first row, and those without are as they were.
_COSTS = "CREATE TABLE IF NOT EXISTS costs (submission INTEGER PRIMARY KEY REFERENCES submissions (id), usd REAL NOT NULL)"
_SPEEDS = """
    SELECT server, sum(seconds), sum(work), count(*) FROM jobs JOIN submissions ON submissions.id = jobs.submission
    WHERE state = 'done' AND seconds IS NOT NULL AND work IS NOT NULL GROUP BY server ORDER BY server
"""


class Ledger(Database):
    """An open ledger; see `Database`. Any method may raise a `RunFolderError`, after which nothing has changed."""

    application = 0x636F6D66  # "comf"
    migrations: ClassVar[Sequence[Sequence[str]]] = (SCHEMA,)

    def known(self) -> dict[str, KnownJob]:
        """Return all jobs by their ids, also removed ones."""
        with self._reading() as connection:
            found = connection.execute("SELECT job_id, content_hash, state, pixel_hash FROM jobs")
            return {job_id_of(job_id): read_row(KnownJob, row) for job_id, *row in found}

    def write_plan(self, rows: Iterable[PlanRow], *, recipes: Collection[str]) -> None:
        """Put a plan into the ledger, as a whole or not at all.

        New jobs are pending. Known ones get what the plan says of them; those with a reason to be rendered again, and that are not
        pending already, become so. One that was submitted leaves its submission with that, which stays open for the caller to take
        back from the server and `forget`. Jobs of these recipes that are not in the plan are kept as they are, and marked.

        Args:
            rows: All jobs of the plan.
            recipes: The recipes that the plan is of.

        Raises:
            ValueError: A job is in the plan twice.
        """
        requeued: list[tuple[State, str]] = []
        planned: set[str] = set()
        with self._writing() as connection:
            found = connection.execute("SELECT job_id, state, recipe, position IS NULL, removed FROM jobs")
            before = {job_id: (state_of(state), *rest) for job_id, state, *rest in found}

            def values() -> Iterator[tuple[object, ...]]:
                for row in rows:
                    job_id = row.job_id
                    if job_id in planned:
                        raise ValueError(f"{job_id} is in the plan twice")
                    planned.add(job_id)
                    state = before[job_id][0] if job_id in before else None
                    if row.requeue and state in ENDED:
                        requeued.append((after(state, Change.REQUEUED), job_id))
                    elif row.requeue and state == "submitted":
                        requeued.append((after(state, Change.LOST), job_id))
                    yield (
                        *(job_id, row.position, row.recipe, row.content_hash, row.pixel_hash, row.shares),
                        *(to_json(row.assignments), after(None, Change.PLANNED), storable(row.requeue) if state else ""),
                    )

            connection.executemany(_PLAN, values())
            connection.executemany(_REQUEUE, requeued)
            left = ((job_id, *rest) for job_id, (_, *rest) in before.items() if job_id not in planned)
            gone = [
                (removed or recipe in recipes, job_id)
                for job_id, recipe, placeless, removed in left
                if not placeless or (recipe in recipes and not removed)
            ]
            connection.executemany("UPDATE jobs SET position = NULL, removed = ? WHERE job_id = ?", gone)

    def jobs(self, *, states: Collection[State] | None = None, removed: bool | None = None) -> Iterator[JobRow]:
        """Yield jobs in the order of the plan, those that are not in it last.

        The ledger may be changed between two of them; a job that does not fit any more when its turn comes is left out.

        Args:
            states: The states to look for; None for all.
            removed: Whether to look for removed jobs; None for both.
        """
        wanted = list(STATES if states is None else states)
        marks = [0, 1] if removed is None else [int(removed)]
        where = f"WHERE state IN ({_places(wanted)}) AND removed IN ({_places(marks)})"
        with self._reading() as connection:
            ids = [number for (number,) in connection.execute(f"{_IDS} {where} {_IN_ORDER}", [*wanted, *marks])]
        for start in range(0, len(ids), _PAGE):
            page = ids[start : start + _PAGE]
            query = f"{_JOBS} {where} AND jobs.id IN ({_places(page)}) {_IN_ORDER}"
            with self._reading() as connection:
                rows = [read_row(JobRow, row) for row in connection.execute(query, [*wanted, *marks, *page])]
            yield from rows

    def job(self, job_id: str) -> JobRow | None:
        """Return a job; None where it is not known."""
        with self._reading() as connection:
            row = connection.execute(f"{_JOBS} WHERE job_id = ?", (job_id,)).fetchone()
            return None if row is None else read_row(JobRow, row)

    def counts(self) -> dict[State, int]:
        """Return how many jobs are in each state, without removed ones."""
        with self._reading() as connection:
            found = connection.execute("SELECT state, count(*) FROM jobs WHERE removed = 0 GROUP BY state").fetchall()
            return dict.fromkeys(STATES, 0) | {state_of(state): int(number) for state, number in found}

    def files(self, job_id: str) -> list[FileRow]:
        """Return the pictures that a job had when it last ended, which may have been a change ago."""
        query = f"""
            SELECT {", ".join(COLUMNS[FileRow])} FROM files
            WHERE job = (SELECT id FROM jobs WHERE job_id = ?) ORDER BY role, number
        """  # noqa: S608 - columns of ours
        with self._reading() as connection:
            return [read_row(FileRow, row) for row in connection.execute(query, (job_id,))]

    def files_by_job(self) -> dict[str, list[FileRow]]:
        """Return what `files` does for all jobs that are not removed and have any, by their ids, in the order of the plan."""
        columns = ", ".join(f"files.{name}" for name in COLUMNS[FileRow])
        query = f"""
            SELECT job_id, {columns} FROM files JOIN jobs ON jobs.id = files.job WHERE removed = 0
            {_IN_ORDER}, role, number
        """  # noqa: S608 - columns of ours
        found: dict[str, list[FileRow]] = {}
        with self._reading() as connection:
            for job_id, *row in connection.execute(query):
                found.setdefault(job_id_of(job_id), []).append(read_row(FileRow, row))
        return found

    def done_with(self, pixel_hashes: Collection[str]) -> dict[str, str]:
        """Return by pixel hash a done job that has such pictures, also a removed one; rather one that has them of its own."""
        wanted = frozenset(pixel_hashes) - {""}
        # All are read, which for many hashes is quicker than to look each up, and needs no index that every job pays for.
        query = "SELECT pixel_hash, job_id FROM jobs WHERE state = 'done' ORDER BY shares = '', removed DESC, job_id DESC"
        with self._reading() as connection:
            return {pixels: job_id_of(job_id) for pixels, job_id in connection.execute(query) if pixels in wanted}

    def submit(self, prompt_id: str, *, server: str, text: str, job_ids: Collection[str], cost: float = 0.0) -> None:
        """Write down that pending jobs are about to be posted; the POST comes afterwards.

        Args:
            prompt_id: Newly minted.
            server: The server's URL.
            text: All that is needed to collect the jobs without their plan.
            job_ids: At least one.
            cost: What it costs at most, US dollars.

        Raises:
            IllegalTransition: A job is not pending.
            KeyError: A job is not known.
            ValueError: No job is given, or the prompt id was used before.
        """
        query = "INSERT INTO submissions (prompt_id, server, minted, parcel) VALUES (?, ?, ?, ?)"
        taken = "UPDATE jobs SET state = ?, submission = ?, attempts = attempts + 1 WHERE id = ?"
        with self._writing() as connection:
            if not job_ids:
                raise ValueError("no job to submit")
            if connection.execute("SELECT 1 FROM submissions WHERE prompt_id = ?", (prompt_id,)).fetchone():
                raise ValueError(f"the prompt id was used before (got {prompt_id})")
            number = connection.execute(query, (prompt_id, server, now(), storable(text))).lastrowid
            for job_id in job_ids:
                job, state, _ = _row_of(connection, job_id)
                connection.execute(taken, (after(state, Change.SUBMITTED), number, job))
            if cost:
                connection.execute(_COSTS)
                connection.execute("INSERT INTO costs VALUES (?, ?)", (number, cost))

    def spent(self) -> float:
        """Return what everything that was ever posted costs at most, US dollars."""
        with self._reading() as connection:
            if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'costs'").fetchall():
                return 0.0
            ((found,),) = connection.execute("SELECT total(usd) FROM costs").fetchall()
            return number_of(found)

    def accepted(self, prompt_id: str, server_prompt_id: str) -> None:
        """Write down the id that an old server, which chooses its own, gave to a submission.

        Raises:
            KeyError: There is no such submission.
        """
        with self._writing() as connection:
            number = _submission(connection, prompt_id)
            connection.execute("UPDATE submissions SET server_prompt_id = ? WHERE id = ?", (storable(server_prompt_id), number))

    def know_ended(self, prompt_id: str, *, server: str) -> None:
        """Write down a submission of another ledger that is over, so that `settle` can name it; nothing where it is known.

        Args:
            prompt_id: Its id.
            server: The server's URL.
        """
        query = "INSERT OR IGNORE INTO submissions (prompt_id, server, minted, settled) VALUES (?, ?, ?, 1)"
        with self._writing() as connection:
            connection.execute(query, (storable(prompt_id), storable(server), now()))

    def settle(self, *updates: JobUpdate) -> None:
        """Write down what became of jobs, of all or of none.

        A submission is settled, and its text dropped, when the last of its jobs has left it.

        Raises:
            IllegalTransition: That cannot happen to a job.
            KeyError: A job or submission is not known.
            ValueError: The change is none of those that `JobUpdate` names.
        """
        with self._writing() as connection:
            for update in updates:
                _settle(connection, update)

    def forget(self, prompt_id: str) -> None:
        """Give up a submission that no server has any more: jobs that still wait for it are pending again.

        Raises:
            KeyError: There is no such submission.
        """
        with self._writing() as connection:
            number = _submission(connection, prompt_id)
            query = "SELECT job_id FROM jobs WHERE submission = ? AND state = 'submitted'"
            for (job_id,) in connection.execute(query, (number,)).fetchall():
                _settle(connection, JobUpdate(job_id=job_id, change=Change.LOST))
            connection.execute("UPDATE submissions SET settled = 1, parcel = NULL WHERE id = ?", (number,))

    def release(self, prompt_id: str) -> None:
        """Give the jobs of a submission to others: those that wait for it are pending again, and it stays open all the same.

        Its server does not answer, and may have finished it.

        Raises:
            KeyError: There is no such submission.
        """
        with self._writing() as connection:
            number = _submission(connection, prompt_id)
            query = "UPDATE jobs SET state = ?, submission = NULL WHERE submission = ? AND state = 'submitted'"
            connection.execute(query, (after("submitted", Change.LOST), number))

    def retake(self, prompt_id: str, job_ids: Collection[str]) -> None:
        """Have jobs wait for an open submission, rather than for nothing, or for a later submission.

        Raises:
            IllegalTransition: A job has ended.
            KeyError: A job, or an open submission, is not known.
        """
        with self._writing() as connection:
            number = _submission(connection, prompt_id)
            (settled,) = connection.execute("SELECT settled FROM submissions WHERE id = ?", (number,)).fetchone()
            if settled:
                raise KeyError(prompt_id)
            for job_id in job_ids:
                job, state, _ = _row_of(connection, job_id)
                state = after(state, Change.LOST) if state == "submitted" else state
                connection.execute(
                    "UPDATE jobs SET state = ?, submission = ? WHERE id = ?", (after(state, Change.SUBMITTED), number, job)
                )

    def open_submissions(self) -> list[OpenSubmission]:
        """Return all submissions that are not settled, oldest first, each with the jobs that still wait for it."""
        found: dict[int, OpenSubmission] = {}
        with self._reading() as connection:
            for number, job_id, *row in connection.execute(_OPEN):
                job_ids = found[number].job_ids if number in found else ()
                found[number] = read_row(OpenSubmission, [*row, job_ids if job_id is None else (*job_ids, job_id_of(job_id))])
            return list(found.values())

    def speeds(self) -> list[ServerSpeed]:
        """Return how fast each server was with the jobs that are done."""
        with self._reading() as connection:
            return [read_row(ServerSpeed, row) for row in connection.execute(_SPEEDS)]


def _settle(connection: sqlite3.Connection, update: JobUpdate) -> None:
    if update.change not in _SETTLING:
        raise ValueError(f"{update.change.name} is not an end")
    job, before, submitted = _row_of(connection, update.job_id)
    state = after(before, update.change)
    submission = submitted if update.prompt_id is None else _submission(connection, update.prompt_id)
    if state == "pending":
        query = "UPDATE jobs SET state = ?, submission = NULL, error = ? WHERE id = ?"
        connection.execute(query, (state, storable(update.error), job))
    else:
        query = """
            UPDATE jobs SET state = ?, submission = ?, reason = '', error = ?, seconds = ?, work = ?, finished = ? WHERE id = ?
        """
        told = (storable(update.error), update.seconds, update.work, update.finished or now())
        connection.execute(query, (state, submission, *told, job))
    if update.files is not None:
        connection.execute("DELETE FROM files WHERE job = ?", (job,))
        connection.executemany(
            "INSERT INTO files VALUES (?, ?, ?, ?, ?, ?, ?)", ((job, *_file_values(row)) for row in update.files)
        )
    query = """
        UPDATE submissions SET settled = 1, parcel = NULL WHERE id = ? AND settled = 0
            AND NOT EXISTS (SELECT 1 FROM jobs WHERE submission = submissions.id AND state = 'submitted')
    """
    connection.executemany(query, ((number,) for number in {submitted, submission}))


def _row_of(connection: sqlite3.Connection, job_id: str) -> tuple[int, State, int | None]:
    """Return a job's number, its state, and the number of the submission that has it or gave its result."""
    row = connection.execute("SELECT id, state, submission FROM jobs WHERE job_id = ?", (job_id,)).fetchone()
    if row is None:
        raise KeyError(job_id)
    number, state, submission = row
    return number, state_of(state), submission


def _submission(connection: sqlite3.Connection, prompt_id: str) -> int:
    row = connection.execute("SELECT id FROM submissions WHERE prompt_id = ?", (prompt_id,)).fetchone()
    if row is None:
        raise KeyError(prompt_id)
    number = row[0]
    if not isinstance(number, int):
        raise Damaged("not a row number")
    return number


def _places(values: Collection[object]) -> str:
    return ",".join("?" * len(values))
