"""What a ledger does with files that are damaged, newer, or somebody else's."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from comfy_runner.errors import RunFolderError
from comfy_runner.store.ledger import FILE, Ledger
from comfy_runner.store.ledger_rows import FileRow, JobUpdate, PlanRow
from comfy_runner.store.states import Change

_NEIGHBOURS = {"job-0/original.png": b"a picture", "job-0/job.json": b"{}", "run.json": b"{}"}
_FLIPS = 100


def _row(job_id: str, position: int) -> PlanRow:
    values = {"seed": position, "prompt": "a lake"}
    hashes = {"content_hash": f"{position:064x}", "pixel_hash": f"{position + 1:064x}"}
    return PlanRow(job_id=job_id, position=position, recipe="lake", shares="", assignments=values, **hashes)


def _fill(ledger: Ledger) -> None:
    """Give a ledger some of everything, on a few dozen pages."""
    ledger.write_plan((_row(f"job-{number}", number) for number in range(120)), recipes=["lake"])
    for number in range(30):
        job_id = f"job-{number}"
        ledger.submit(f"prompt-{number}", server="http://gpu", text=f'{{"graph": {number}}}' * 20, job_ids=[job_id])
        if number < 20:
            files = [FileRow("original", 0, f"{job_id}/original.png", 9, number, "ab" * 32)]
            event = (Change.DONE, Change.FAILED, Change.LOST)[number % 3]
            ledger.settle(JobUpdate(job_id, event, files=files, error="e" * number, seconds=number, work=number))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("whole") / FILE
    with Ledger(path) as ledger:
        _fill(ledger)
    return path.read_bytes()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in _NEIGHBOURS.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    return tmp_path


def _look(ledger: Ledger) -> None:
    ledger.known()
    ledger.counts()
    ledger.speeds()
    ledger.open_submissions()
    for row in ledger.jobs():
        ledger.job(row.job_id)
        ledger.files(row.job_id)
        ledger.done_with([row.pixel_hash])


def _use(ledger: Ledger) -> None:
    _look(ledger)
    ledger.write_plan([_row(f"job-{number}", number) for number in range(50, 150)], recipes=["lake"])
    for number, row in enumerate(list(ledger.jobs(states=["pending"]))[:5]):
        ledger.submit(f"new-{number}", server="http://gpu", text="{}", job_ids=[row.job_id])
        ledger.settle(JobUpdate(row.job_id, Change.DONE, files=[FileRow("original", 0, "a/b.png", 1, 1, "ab")]))
    for found in ledger.open_submissions():
        ledger.forget(found.prompt_id)
    _look(ledger)


def _survives(folder: Path, data: bytes) -> str:
    """Look at damaged content, use it, and return how that went; anything but a `RunFolderError` is raised."""
    path = folder / FILE
    path.write_bytes(data)
    told = ""
    acts: list[tuple[bool, Callable[[Ledger], None]]] = [(True, _look), (False, _use)]
    for readonly, act in acts:
        try:
            with Ledger(path, readonly=readonly) as ledger:
                act(ledger)
        except RunFolderError as error:
            told = str(error)
    there = {name: (folder / name).read_bytes() for name in _NEIGHBOURS}
    assert there == _NEIGHBOURS
    for beside in folder.glob(f"{FILE}*"):
        beside.unlink()
    return told


def test_a_file_cut_off_anywhere_reads_fine_or_is_a_run_folder_error(folder: Path, whole: bytes) -> None:
    told = [_survives(folder, whole[:length]) for length in range(0, len(whole), 512)]

    assert sum("is damaged" in what for what in told) > len(told) * 0.9


@pytest.mark.slow
def test_flipped_bytes_read_fine_or_are_a_run_folder_error(folder: Path, whole: bytes) -> None:
    told = []
    for seed in range(_FLIPS):
        chance = random.Random(seed)  # noqa: S311 # it only has to be the same each time
        data = bytearray(whole)
        for _ in range(chance.choice([1, 1, 4, 64])):
            # The first page says what the file is, so it gets more than its share.
            data[chance.randrange(chance.choice([100, 4096, len(data), len(data)]))] = chance.randrange(256)
        try:
            told.append(_survives(folder, bytes(data)))
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise

    assert any("is damaged" in what for what in told)


def test_pages_of_zeros_or_of_noise_read_fine_or_are_a_run_folder_error(folder: Path, whole: bytes) -> None:
    chance = random.Random(1)  # noqa: S311 # it only has to be the same each time
    told = [
        _survives(folder, whole[:start] + page + whole[start + 4096 :])
        for start in range(0, len(whole), 4096)
        for page in (bytes(4096), chance.randbytes(4096))
    ]

    assert sum("is damaged" in what for what in told) > len(told) * 0.9


def test_a_ledger_that_was_not_damaged_survives_the_same_treatment(folder: Path, whole: bytes) -> None:
    assert _survives(folder, whole) == ""


@pytest.mark.parametrize("readonly", [False, True])
@pytest.mark.parametrize("content", [b"not a database, but long enough to be taken for one" * 100, b"x"], ids=["long", "short"])
def test_a_file_that_is_no_database_is_damaged_and_the_hint_repairs_it(tmp_path: Path, content: bytes, readonly: bool) -> None:
    (tmp_path / FILE).write_bytes(content)

    with pytest.raises(RunFolderError, match="is damaged") as caught:
        Ledger(tmp_path / FILE, readonly=readonly)

    assert caught.value.problems[0].hint == f"comfy-runner repair {tmp_path} rebuilds it from the pictures' sidecars"
    assert (tmp_path / FILE).read_bytes() == content


def _sql(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


@pytest.mark.parametrize("readonly", [False, True])
@pytest.mark.parametrize(
    "statements",
    [
        ["CREATE TABLE mine (a)"],
        ["PRAGMA user_version = 1"],
        ["PRAGMA application_id = 7", "PRAGMA user_version = 1", "CREATE TABLE jobs (a)"],
        ["PRAGMA application_id = 1668247910"],
    ],
    ids=["no id", "no id, version 1", "foreign id", "no version"],
)
def test_another_program_s_database_is_refused_and_left_alone(tmp_path: Path, statements: list[str], readonly: bool) -> None:
    _sql(tmp_path / FILE, *statements)
    before = (tmp_path / FILE).read_bytes()

    with pytest.raises(RunFolderError, match="is damaged"):
        Ledger(tmp_path / FILE, readonly=readonly)

    assert (tmp_path / FILE).read_bytes() == before


@pytest.mark.parametrize("readonly", [False, True])
def test_a_newer_ledger_is_refused_and_left_alone(tmp_path: Path, readonly: bool) -> None:
    Ledger(tmp_path / FILE).close()
    _sql(tmp_path / FILE, "PRAGMA user_version = 999", "CREATE TABLE news (a)")
    before = (tmp_path / FILE).read_bytes()

    with pytest.raises(RunFolderError, match=r"was written by a newer comfy_runner \(schema 999\)") as caught:
        Ledger(tmp_path / FILE, readonly=readonly)

    assert "upgrade" in caught.value.problems[0].hint
    assert (tmp_path / FILE).read_bytes() == before


class _Next(Ledger):
    """The ledger of a version to come."""

    migrations = (*Ledger.migrations, ("ALTER TABLE jobs ADD COLUMN stars INTEGER NOT NULL DEFAULT 3",))


def test_an_older_ledger_is_brought_up_to_date_with_all_that_is_in_it(tmp_path: Path) -> None:
    with Ledger(tmp_path / FILE) as ledger:
        _fill(ledger)
        before = list(ledger.jobs()), ledger.open_submissions()

    with _Next(tmp_path / FILE) as ledger:
        assert (list(ledger.jobs()), ledger.open_submissions()) == before

    with closing(sqlite3.connect(tmp_path / FILE)) as connection:
        assert connection.execute("SELECT DISTINCT stars FROM jobs").fetchall() == [(3,)]
        assert connection.execute("PRAGMA user_version").fetchone() == (2,)
    with pytest.raises(RunFolderError, match=r"newer comfy_runner \(schema 2\)"):
        Ledger(tmp_path / FILE)


def test_a_migration_that_fails_leaves_the_ledger_as_it_was(tmp_path: Path) -> None:
    class Broken(Ledger):
        migrations = (*Ledger.migrations, ("ALTER TABLE jobs ADD COLUMN stars INTEGER", "ALTER TABLE nothing ADD COLUMN a"))

    with Ledger(tmp_path / FILE) as ledger:
        _fill(ledger)

    with pytest.raises(RunFolderError):
        Broken(tmp_path / FILE)

    with _Next(tmp_path / FILE) as ledger:
        assert ledger.counts()["pending"] > 0


def test_a_reader_does_not_bring_an_older_ledger_up_to_date(tmp_path: Path) -> None:
    Ledger(tmp_path / FILE).close()
    before = (tmp_path / FILE).read_bytes()

    with pytest.raises(RunFolderError, match="is not up to date"):
        _Next(tmp_path / FILE, readonly=True)

    assert (tmp_path / FILE).read_bytes() == before


def test_a_reader_of_a_ledger_that_is_just_being_made_is_told_so(tmp_path: Path) -> None:
    (tmp_path / FILE).touch()

    with pytest.raises(RunFolderError, match="is not up to date"):
        Ledger(tmp_path / FILE, readonly=True)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE jobs SET job_id = '../../elsewhere'",
        "UPDATE jobs SET job_id = '..'",
        "UPDATE jobs SET job_id = x'00ff'",
        "UPDATE jobs SET job_id = ''",
        "UPDATE jobs SET shares = '/etc'",
        "UPDATE jobs SET content_hash = x'00'",
        "UPDATE jobs SET assignments = '[]'",
        "UPDATE jobs SET assignments = '{'",
        "UPDATE jobs SET position = 'first'",
        "UPDATE jobs SET attempts = 'many'",
        "UPDATE jobs SET seconds = 'long'",
        "UPDATE jobs SET error = CAST(x'ff' AS TEXT)",
        "UPDATE files SET path = '../../elsewhere.png'",
        "UPDATE files SET path = '/etc/passwd'",
        "UPDATE files SET path = 'c:evil.png'",
        "UPDATE files SET size_bytes = 'large'",
        "DROP TABLE files",
        "ALTER TABLE jobs RENAME COLUMN state TO mood",
    ],
)
def test_values_that_this_program_never_wrote_are_damage(tmp_path: Path, statement: str) -> None:
    path = tmp_path / FILE
    with Ledger(path) as ledger:
        ledger.write_plan([_row("a", 0)], recipes=["lake"])
        ledger.settle(JobUpdate("a", Change.DONE, files=[FileRow("original", 0, "a/original.png", 1, 1, "ab")]))
    _sql(path, statement)

    with Ledger(path, readonly=True) as ledger, pytest.raises(RunFolderError, match="is damaged"):
        _look(ledger)


def test_damage_that_a_check_finds_is_told_when_it_is_asked_for(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / FILE
    path.write_bytes(whole)
    with Ledger(path) as ledger:
        ledger.check()
    shutil.copyfile(path, tmp_path / "copy")
    data = whole.replace(b"prompt-7", b"prompt-x")
    assert data != whole
    path.write_bytes(data[:-4096] + bytes(4096))

    with Ledger(path, readonly=True) as ledger, pytest.raises(RunFolderError, match="is damaged"):
        ledger.check()
