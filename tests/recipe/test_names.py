from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comfy_runner.recipe.names import collision, name_fault, path_fault, pattern_fault, role_fault, slug
from tests.example_counts import tried


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("forest-sunrise", "forest-sunrise"),
        ("Forest Sunrise", "forest-sunrise"),
        ("  a__b..c ", "a-b-c"),
        ("Café Überfahrt", "cafe-uberfahrt"),
        ("x" * 200, "x" * 80),
        ("CON", "job-con"),
        ("lpt1", "job-lpt1"),
        ("console", "console"),
        ("лес", ""),
        ("---", ""),
    ],
)
def test_a_slug_is_safe_and_readable(name: str, expected: str) -> None:
    assert slug(name) == expected


@settings(max_examples=tried(300), deadline=None)
@given(st.text(max_size=120))
def test_a_name_without_a_fault_has_a_safe_slug(name: str) -> None:
    if not name_fault(name):
        assert re.fullmatch(r"[a-z0-9](-?[a-z0-9])*", slug(name))
        assert len(slug(name)) <= 80


@pytest.mark.parametrize("name", ["", "a/b", "a\\b", "a\nb", "a:b", "лес", "x" * 101, "{job_id}", "a\x1b"])
def test_a_name_that_cannot_be_a_file_name_is_a_fault(name: str) -> None:
    assert name_fault(name)


@pytest.mark.parametrize(
    "pattern",
    [
        "{job_id}/original.png",
        "a.png",
        "{role}.png",
        "deep/er/{name}-{seed}.png",
        "b ü/c.png",
        "con-fused/x.png",
        "a..b.png",
        "{role}.jpg",
        "{role}.webp",
    ],
)
def test_a_relative_portable_pattern_is_fine(pattern: str) -> None:
    assert pattern_fault(pattern) == ""


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("a.gif", "end in .png, .jpg or .webp"),
        ("a.jpeg", "end in .png, .jpg or .webp"),
        ("a/.webp", "name before .webp"),
        ("a.PNG", "end in .png"),
        ("", "end in .png"),
        ("/a.png", "relative"),
        ("C:/a.png", "relative"),
        ("C:a.png", "relative"),
        ("//host/a.png", "relative"),
        ("a\\b.png", "must use /"),
        ("../a.png", ".."),
        ("a/../b.png", ".."),
        ("./a.png", "empty parts"),
        ("a//b.png", "empty parts"),
        ("a/.png", "name before"),
        ("{Job}/a.png", "unknown placeholder {Job}"),
        ("{}/a.png", "unknown placeholder {}"),
        ("{job_id/a.png", "brace"),
        ("job_id}/a.png", "brace"),
        ("{{job_id}}.png", "brace"),
        ("{job_id!r}.png", "unknown placeholder"),
        ("{job_id.__class__}.png", "unknown placeholder"),
        ("con.png", "Windows"),
        ("NUL/a.png", "Windows"),
        ("com1.x.png", "Windows"),
        ("a./b.png", "dot or space"),
        ("a /b.png", "dot or space"),
        (" a.png", "start with a space"),
        ("a\x00.png", "must not contain"),
        ("a\n.png", "must not contain"),
        ('a"b.png', "must not contain"),
        ("a?b.png", "must not contain"),
        ("ab:c.png", "must not contain"),
        ("a\u202eb.png", "unprintable"),
        ("a" * 197 + ".png", "at most 200 bytes"),
        ("é" * 99 + ".png", "at most 200 bytes"),
    ],
)
def test_a_pattern_that_is_unsafe_somewhere_is_a_fault(pattern: str, words: str) -> None:
    assert words in pattern_fault(pattern)


@settings(max_examples=tried(500), deadline=None)
@given(st.text(alphabet="ab./\\: {}con\x00\n~", max_size=20).map(lambda text: f"{text}.png"))
def test_a_path_without_a_fault_stays_inside_its_folder(path: str) -> None:
    if not path_fault(path):
        parts = path.split("/")
        assert all(part and part not in (".", "..") for part in parts)
        assert not re.search(r"[\\:\x00\n]", path)


@pytest.mark.parametrize("role", ["original", "upscaled", "A-1_b", "2"])
def test_a_role_of_letters_and_digits_is_fine(role: str) -> None:
    assert role_fault(role) == ""


@pytest.mark.parametrize("role", ["", "a b", "../x", "a/b", "-a", "x" * 65, "nul", "é", "a\n"])
def test_a_role_that_cannot_be_a_file_name_is_a_fault(role: str) -> None:
    assert role_fault(role)


@pytest.mark.parametrize(
    ("first", "second"),
    [("a.png", "a.png"), ("a.png", "A.png"), ("é.png", "e\u0301.png"), ("a.png", "a.png/b.png"), ("x.png/b.png", "X.png")],
)
def test_paths_that_cannot_both_exist_collide(first: str, second: str) -> None:
    assert collision({"one": first, "two": second}) == ("one", "two")


@pytest.mark.parametrize(
    ("paths", "clash"),
    [
        ({"a": "x.png", "b": "X-2.png"}, True),
        ({"a": "x-4.png", "b": "x.png"}, True),
        ({"a": "x/y-1.png", "b": "x/y-1-3.png"}, True),
        ({"a": "x.png", "b": "x-5.png"}, False),
        ({"a": "x.png", "b": "x-1.png"}, False),
        ({"a": "x.png", "b": "x-02.png"}, False),
        ({"a": "x.png", "b": "y/x-2.png"}, False),
    ],
)
def test_a_path_collides_with_the_further_files_of_a_batch(paths: dict[str, str], clash: bool) -> None:
    assert collision(paths) is None
    assert (collision(paths, {"a": 4, "b": 4}) == ("a", "b")) is clash


def test_different_paths_do_not_collide() -> None:
    assert collision({"one": "a/x.png", "two": "a/x.png2.png", "three": "b/x.png"}) is None
