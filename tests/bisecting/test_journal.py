from __future__ import annotations

from pathlib import Path

import pytest

from comfy_runner.bisecting.journal import LOG, read_skipped, write_journal
from comfy_runner.bisecting.search import Judgment
from comfy_runner.bisecting.versions import Version
from comfy_runner.errors import RunFolderError
from tests.bisecting.repository import Repository


def test_what_could_not_be_judged_is_read_again_and_people_may_add_to_it(tmp_path: Path) -> None:
    judged = {
        Version("1"): (Judgment.GOOD, ""),
        Version("2 beta"): (Judgment.SKIPPED, "does not\nstart"),
        Version("3"): (Judgment.BAD, "flat"),
    }
    write_journal(tmp_path, judged, commits=False, suspects=[Version("2 beta"), Version("3")])

    with (tmp_path / LOG).open("a") as file:
        file.write("skip 7\ngit bisect skip 8\n# skip 9\nskipped 10\n")

    assert read_skipped(tmp_path) == {"2 beta", "7", "8"}
    assert (tmp_path / LOG).read_text().splitlines()[:10] == [
        "start",
        "# good: 1",
        "good 1",
        "# skip: 2 beta",
        "# does not\N{REPLACEMENT CHARACTER}start",
        "skip 2 beta",
        "# bad: 3",
        "# flat",
        "bad 3",
        "# possible first bad version: 2 beta",
    ]


def test_there_is_nothing_to_read_before_the_first_search(tmp_path: Path) -> None:
    assert read_skipped(tmp_path / "nosuch") == set()


def test_git_itself_reads_the_log_and_comes_to_the_same_answer(tmp_path: Path) -> None:
    repo = Repository(tmp_path / "repo")
    names = [repo.commit(f"number {number}") for number in range(4)]
    judgments = {0: Judgment.GOOD, 3: Judgment.BAD, 1: Judgment.GOOD, 2: Judgment.BAD}
    judged = {Version(names[place], f"number {place}"): (judgment, "") for place, judgment in judgments.items()}
    write_journal(tmp_path, judged, commits=True, suspects=[Version(names[2], "number 2")])

    said = repo.git("bisect", "replay", str(tmp_path / LOG))

    assert f"{names[2]} is the first bad commit" in said
    assert (tmp_path / LOG).read_text().splitlines()[-1] == f"# first bad commit: [{names[2]}] number 2"


def test_a_folder_that_cannot_be_written_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(RunFolderError, match="cannot be written"):
        write_journal(tmp_path / "file", {}, commits=False)
