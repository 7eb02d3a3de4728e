from __future__ import annotations

from pathlib import Path

import pytest

from comfy_runner.bisecting.checkout import Checkout
from comfy_runner.errors import UsageError
from tests.bisecting.repository import Repository


@pytest.fixture
def repo(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repo")


def test_versions_are_what_the_branch_has_been_at_and_not_what_was_merged(repo: Repository) -> None:
    first = repo.commit("one", a="1")
    repo.git("checkout", "--quiet", "-b", "side")
    repo.commit("on the side", b="1")
    tip = repo.commit("and more", b="2")
    repo.git("checkout", "--quiet", "main")
    second = repo.commit("two", a="2")
    merge = repo.merge("side", "Merge the side")
    last = repo.commit("three", a="3")
    checkout = Checkout(repo.folder)

    versions = checkout.versions(first, "main")

    assert [version.name for version in versions] == [first, second, merge, last]
    assert [version.subject for version in versions] == ["one", "two", "Merge the side", "three"]
    ends = checkout.merged(versions[2])
    assert ends is not None
    assert [end.name for end in ends] == [first, tip]
    assert [checkout.merged(version) for version in (versions[0], versions[1])] == [None, None]
    assert [version.name for version in checkout.versions(*(end.name for end in ends))][1:] == [
        repo.git("rev-parse", "side~1"),
        tip,
    ]


@pytest.mark.parametrize("detached", [False, True])
def test_the_repository_is_left_as_it_was_found(repo: Repository, detached: bool) -> None:
    repo.commit("one", a="1")
    last = repo.commit("two", a="2")
    if detached:
        repo.git("checkout", "--quiet", "--detach")
    (repo.folder / "untracked.bin").write_bytes(b"model")
    before = repo.head
    checkout = Checkout(repo.folder)

    checkout.take(checkout.versions("main~1", "main")[0])
    assert (repo.folder / "a.txt").read_text() == "1"
    checkout.restore()

    assert (repo.head, repo.git("rev-parse", "HEAD")) == (before, last)
    assert (repo.folder / "untracked.bin").read_bytes() == b"model"
    assert repo.git("status", "--porcelain") == "?? untracked.bin"


def test_where_a_process_was_killed_the_next_one_knows_where_to_go_back_to(repo: Repository) -> None:
    repo.commit("one")
    repo.commit("two")
    killed = Checkout(repo.folder)
    killed.take(killed.versions("main~1", "main")[0])

    Checkout(repo.folder).restore()

    assert repo.head == "main"


def test_where_the_user_has_gone_elsewhere_since_it_stays_there(repo: Repository) -> None:
    repo.commit("one")
    repo.commit("two")
    killed = Checkout(repo.folder)
    killed.take(killed.versions("main~1", "main")[0])
    repo.git("checkout", "--quiet", "-b", "other")
    checkout = Checkout(repo.folder)

    checkout.take(checkout.versions("main~1", "main")[1])
    checkout.restore()

    assert repo.head == "other"


def test_changes_that_are_not_committed_are_refused_and_kept(repo: Repository) -> None:
    repo.commit("one", a="1")
    (repo.folder / "a.txt").write_text("mine")

    with pytest.raises(UsageError, match=r"uncommitted changes \(got M a.txt\)"):
        Checkout(repo.folder)

    assert (repo.folder / "a.txt").read_text() == "mine"


def test_what_the_server_has_changed_meanwhile_is_not_overwritten(repo: Repository) -> None:
    repo.commit("one", a="1")
    repo.commit("two", a="2")
    checkout = Checkout(repo.folder)
    first, last = checkout.versions("main~1", "main")
    checkout.take(first)
    (repo.folder / "a.txt").write_text("written by a server")

    with pytest.raises(UsageError, match=r"cannot be moved to .* two \(got error: Your local changes"):
        checkout.take(last)

    assert (repo.folder / "a.txt").read_text() == "written by a server"


@pytest.mark.parametrize(
    ("good", "bad", "told", "hint"),
    [
        ("main", "main~1", "BAD does not come after GOOD", "swap them"),
        ("side", "main", "BAD does not come after GOOD", "both go back to"),
        ("main", "main", "the same commit", ""),
        ("nosuch", "main", r"no such commit \(got nosuch\)", ""),
        ("--all", "main", r"no such commit \(got --all\)", ""),
    ],
)
def test_ends_that_are_none_are_refused_with_a_way_out(repo: Repository, good: str, bad: str, told: str, hint: str) -> None:
    repo.commit("one")
    repo.git("branch", "side")
    repo.commit("two")
    repo.git("checkout", "--quiet", "side")
    repo.commit("aside")
    repo.git("checkout", "--quiet", "main")

    with pytest.raises(UsageError, match=told) as caught:
        Checkout(repo.folder).versions(good, bad)

    assert hint in caught.value.problems[0].hint


def test_files_that_change_with_the_commit_are_told_from_others(repo: Repository, tmp_path: Path) -> None:
    (repo.folder / "pictures").mkdir()
    repo.commit("one", a="1", **{"pictures/b": "1"})
    (repo.folder / "untracked.txt").write_text("mine")
    (tmp_path / "link").symlink_to(repo.folder / "a.txt")
    (tmp_path / "outside.txt").write_text("mine")
    checkout = Checkout(repo.folder)

    assert [checkout.tracks(repo.folder / name) for name in ("a.txt", "pictures", "untracked.txt")] == [True, True, False]
    assert [checkout.tracks(tmp_path / name) for name in ("link", "outside.txt")] == [True, False]


@pytest.mark.parametrize("name", ["nosuch", "plain"])
def test_a_folder_without_a_repository_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "plain").mkdir()

    with pytest.raises(UsageError, match="is not a git repository"):
        Checkout(tmp_path / name)
