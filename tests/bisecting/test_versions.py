from __future__ import annotations

from pathlib import Path

import pytest

from comfy_runner.bisecting.versions import Version, between, read_versions
from comfy_runner.errors import UsageError

_SHA = "0123456789abcdef0123456789abcdef01234567"


def _file(folder: Path, text: str) -> Path:
    path = folder / "versions.txt"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_has_one_version_a_line(tmp_path: Path) -> None:
    assert read_versions(_file(tmp_path, "# releases\n0.3.75\n\n  0.4.0  \nlatest nightly\n")) == [
        "0.3.75",
        "0.4.0",
        "latest nightly",
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("1.0\n2.0\n1.0\n", r"txt:3: is listed twice \(got 1.0, also in line 1\)"),
        ("1.0\n" + "9" * 201, "txt:2: a version must be"),
    ],
)
def test_a_wrong_line_is_told_with_its_number(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        read_versions(_file(tmp_path, text))


def test_a_list_may_begin_with_the_newest_version() -> None:
    names = ["1", "2", "3", "4", "5"]

    assert between("2", "4", names, where="v") == ["2", "3", "4"]
    assert between("2", "4", names[::-1], where="v") == ["2", "3", "4"]


@pytest.mark.parametrize(("good", "bad"), [("1.0", "9.0"), ("9.0", "1.0"), ("1.0", "1.0")])
def test_ends_that_are_not_two_of_the_list_are_refused(good: str, bad: str) -> None:
    with pytest.raises(UsageError, match=r"no such version|the same version"):
        between(good, bad, ["1.0", "2.0"], where="v")


def test_no_two_versions_have_one_folder_and_none_leads_elsewhere() -> None:
    names = [
        "0.3.75",
        "0-3-75",
        "../../x",
        "x",
        "X",
        "é",
        "e",
        "..",
        "/etc",
        "con",
        "a/b",
        "a b",
        "你好",
        "9" * 200,
        "9" * 199,
        _SHA,
    ]

    folders = [Version(name).folder for name in names]

    assert len({folder.casefold() for folder in folders}) == len(names)
    assert all(set(folder) <= set("abcdefghijklmnopqrstuvwxyz0123456789-") and folder.strip("-") for folder in folders)
    assert (Version("v2").folder, Version(_SHA).folder) == ("v2", _SHA[:12])


def test_commits_are_shown_as_git_does() -> None:
    assert (str(Version(_SHA, "Fix noise")), str(Version("0.3.75"))) == ("0123456789 Fix noise", "0.3.75")
