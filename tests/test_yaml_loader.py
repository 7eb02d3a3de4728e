from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comfy_runner.errors import ConfigError, InputError, TemplateError
from comfy_runner.text_files import MAX_BYTES, decode, read, shown
from comfy_runner.yaml_loader import MAX_DEPTH, MAX_NODES, dotted, got, parse
from tests.example_counts import tried
from tests.recipe.support import fault, faults


def value(text: str) -> Any:
    return parse(text, name="x.yaml").value


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("16:9", "16:9"),
        ("no", "no"),
        ("Yes", "Yes"),
        ("on", "on"),
        ("y", "y"),
        ("true", True),
        ("FALSE", False),
        ("tRuE", "tRuE"),
        ("null", None),
        ("~", None),
        ("", None),
        ("0123", 123),
        ("-7", -7),
        ("+7", 7),
        ("0o17", 15),
        ("0x1f", 31),
        ("0b1", "0b1"),
        ("1_000", "1_000"),
        ("1e-3", 0.001),
        ("1E3", 1000.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("-1.5e+2", -150.0),
        ("1.2.3", "1.2.3"),
        (".", "."),
        ("-", [None]),
        ("2020-01-01", "2020-01-01"),
        ("12:30:45", "12:30:45"),
        ('"42"', "42"),
        ("'true'", "true"),
        ("١٢", "١٢"),
        ("dpmpp_2m_sde", "dpmpp_2m_sde"),
    ],
)
def test_a_scalar_means_what_yaml_1_2_says(text: str, meaning: object) -> None:
    found = value(f"a: {text}\n" if text != "-" else "a:\n- \n")["a"]
    assert found == meaning
    assert type(found) is type(meaning)


def test_a_colon_in_a_flow_mapping_is_text_too() -> None:
    assert value("size: {aspect: 16:9, megapixels: 0.6}") == {"size": {"aspect": "16:9", "megapixels": 0.6}}


@pytest.mark.parametrize("text", [".inf", "-.INF", "+.Inf", ".nan", ".NaN", "1e999"])
def test_a_number_that_is_not_finite_is_an_error(text: str) -> None:
    problem = fault(lambda: value(f"a: 1\nb: {text}"), error=InputError)
    assert str(problem) == f"x.yaml:2: b: must be a finite number (got {text})"


@pytest.mark.parametrize("text", ["9" * 5000, "0x" + "f" * 5000, "0." + "1" * 5000])
def test_a_number_of_thousands_of_digits_is_an_error(text: str) -> None:
    assert "at most 100 digits" in fault(lambda: value(f"a: {text}"), error=InputError).what


def test_a_duplicate_key_is_an_error_with_both_lines() -> None:
    problem = fault(lambda: value("seed: 1\nsampler:\n  steps: 2\n  cfg: 3\n  steps: 4\n"), error=InputError)
    assert str(problem) == "x.yaml:5: sampler.steps: given twice (first on line 3)"


def test_a_key_is_a_duplicate_also_when_it_is_quoted_once() -> None:
    assert "given twice" in fault(lambda: value("a: 1\n'a': 2"), error=InputError).what


def test_all_faults_of_meaning_are_reported_at_once() -> None:
    found = faults(lambda: value("a: 1\na: 2\nb: !x 1\n3: 4\nc: .nan\n"), error=InputError)
    assert [problem.where for problem in found] == ["x.yaml:2: a", "x.yaml:3: b", "x.yaml:4", "x.yaml:5: c"]


@pytest.mark.parametrize("key", ["1", "true", "null", "[a]", "{a: b}", "1.5", "~"])
def test_a_key_that_is_not_text_is_an_error(key: str) -> None:
    assert "a key must be text" in fault(lambda: value(f"? {key}\n: x\n"), error=InputError).what


def test_an_unquoted_template_expression_gets_a_hint() -> None:
    assert "quotes" in fault(lambda: value("a: {{ prompt }}"), error=InputError).hint


@pytest.mark.parametrize("text", ["!foo 1", "!!python/object/apply:os.system [ls]", "!!str 1", "! 1", "!foo {}", "!<x> []"])
def test_a_tag_is_an_error(text: str) -> None:
    assert "tags are not supported" in fault(lambda: value(f"a: {text}"), error=InputError).what


def test_a_merge_key_is_an_error_that_says_so() -> None:
    problem = fault(lambda: value("a: &a {x: 1}\nb:\n  <<: *a\n"), error=InputError)
    assert str(problem) == "x.yaml:3: b: merge keys (<<) are not supported"


def test_a_quoted_merge_key_is_a_key_like_any_other() -> None:
    assert value("'<<': 1") == {"<<": 1}


def test_an_alias_repeats_its_anchor() -> None:
    assert value("a: &x [1, {b: 2}]\nc: *x\nd: &k key\n*k : 1\n") == {
        "a": [1, {"b": 2}],
        "c": [1, {"b": 2}],
        "d": "key",
        "key": 1,
    }


def test_aliases_that_grow_without_bound_are_an_error() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert f"at most {MAX_NODES} values" in fault(lambda: value("\n".join(lines)), error=InputError).what


def test_aliases_that_nest_without_bound_are_an_error() -> None:
    lines = ["a0: &a0 [[[[[[[[[[x]]]]]]]]]]"] + [f"a{n}: &a{n} [[[[[[[[[[*a{n - 1}]]]]]]]]]]" for n in range(1, 9)]
    assert f"at most {MAX_DEPTH} deep" in fault(lambda: value("\n".join(lines)), error=InputError).what


def test_a_text_is_read_once_for_all_of_its_aliases() -> None:
    found = value('a: &x "ab cd"\nb: [*x, *x, *x]')
    assert all(item is found["a"] for item in found["b"])


def test_an_alias_inside_its_own_anchor_is_an_error() -> None:
    assert "inside its own anchor" in fault(lambda: value("a: &a [1, *a]"), error=InputError).what


def test_an_alias_without_an_anchor_is_an_error() -> None:
    assert fault(lambda: value("a: 1\nb: *c"), error=InputError).what == "there is no anchor &c before this alias"


@pytest.mark.parametrize(
    "text", ["a: &cat sitting", "a:\n  &cat sitting\n  here", "&cat a: b", "a: [&cat b]", "a: &cat {}", "a: &cat"]
)
def test_an_anchor_that_nothing_uses_is_an_error(text: str) -> None:
    problem = fault(lambda: value(text), error=InputError)
    assert problem.what == "nothing uses the anchor &cat"
    assert "quotes" in problem.hint


def test_each_of_two_anchors_of_one_name_has_to_be_used() -> None:
    assert fault(lambda: value("a: &x 1\nb: &x 2\nc: *x"), error=InputError).where == "x.yaml:1: a"
    assert value("a: &x 1\nb: *x\nc: &x 2\nd: *x") == {"a": 1, "b": 1, "c": 2, "d": 2}


@pytest.mark.parametrize(
    ("text", "comment", "rest"),
    [
        ("a: a cat # best", "# best", "a cat"),
        ("a: a #1 cat # best", "#1 cat # best", "a"),
        ("a:\n  a cat # best\nb: c", "# best", "a cat"),
        ("a: a cat\r\n  sitting # best\r\nb: c", "# best", "a cat sitting"),
        ("a: a cat\n #1 of all\nb: c", "#1 of all", "a cat"),
        ("a: a cat#best # 1", "# 1", "a cat#best"),
        ("a: b # c", "", ""),
        ("a: #1", "", ""),
        ("a: 1 #1", "", ""),
        ("a: a cat\n# b: c\nd: e", "", ""),
        ("a: 'a cat' # best", "", ""),
        ("a: |  # here\n  a cat # best", "", ""),
        ("# best\na: a cat\n\n# best", "", ""),
    ],
)
def test_a_comment_that_may_be_a_part_of_an_unquoted_text_is_remarked(text: str, comment: str, rest: str) -> None:
    said = [what.split("; ")[0] for what in parse(text, name="x").remarks.values()]
    assert said == ([f'"{comment}" is a comment, not part of "{rest}"'] if comment else [])


def test_a_remark_of_an_item_of_a_list_is_known_by_its_path() -> None:
    remarks = parse("a:\n- b c\n# no\n- d e # f\n- g h\n  # h\nprompt: [c # i\n ]", name="x").remarks
    assert list(remarks) == [("a", 1), ("a", 2), ("prompt", 0)]


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 1000, "- " * 5000, "? " * 5000])
def test_deep_nesting_is_an_error(text: str) -> None:
    assert f"at most {MAX_DEPTH} deep" in fault(lambda: value(text), error=InputError).what


def test_nesting_up_to_the_limit_is_fine() -> None:
    assert value("[" * MAX_DEPTH + "]" * MAX_DEPTH)


def test_too_many_values_are_an_error() -> None:
    assert f"at most {MAX_NODES} values" in fault(lambda: value("[" + "a," * 400_000 + "]"), error=InputError).what


def test_a_second_document_is_an_error() -> None:
    problem = fault(lambda: value("a: 1\n---\nb: 2\n"), error=InputError)
    assert str(problem) == "x.yaml:2: must be one document (got a second one after ---)"


def test_one_document_may_have_its_markers() -> None:
    assert value("%YAML 1.2\n---\na: 1\n...\n") == {"a": 1}


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n", "---\n"])
def test_nothing_at_all_is_null(text: str) -> None:
    assert value(text) is None


@pytest.mark.parametrize("char", ["\0", "\a", "\x1b", "\x7f", "\ud800", "\ufffe"])
def test_a_control_character_is_an_error_with_its_place(char: str) -> None:
    problem = fault(lambda: value(f"a: 1\nb: x{char}"), error=InputError)
    assert str(problem) == f"x.yaml:2:5: must not contain control characters (got U+{ord(char):04X})"


@pytest.mark.parametrize("escape", [r"\ud800", r"\udfff", r"\x00"])
def test_an_escape_that_no_server_accepts_is_an_error(escape: str) -> None:
    assert fault(lambda: value(f'a: "x{escape}"'), error=InputError).what.startswith("must not contain U+")


@pytest.mark.parametrize(
    ("letter", "code"), [("b", "0008"), ("a", "0007"), ("0", "0000"), ("_", "00A0"), ("N", "0085"), ("P", "2029")]
)
def test_a_backslash_that_makes_a_letter_another_character_is_an_error_that_shows_it(letter: str, code: str) -> None:
    problem = fault(lambda: value(f'checkpoint: "SDXL\\{letter}ase"'), error=InputError)
    assert str(problem) == f"x.yaml:1: checkpoint: \\{letter} in double quotes is the character U+{code}"
    assert "single quotes" in problem.hint


def test_escapes_that_are_meant_are_taken() -> None:
    assert value(r'a: "\\b \n \t \x08 \u00a0 \" \/"') == {"a": '\\b \n \t \x08 \xa0 " /'}


@pytest.mark.parametrize("text", [r'a: "\UFFFFFFFF"', r'a: "\U00110000"', "%YAML 1." + "9" * 5000 + "\n---\na"])
def test_what_makes_the_parser_itself_fail_is_an_error_too(text: str) -> None:
    assert fault(lambda: value(text), error=InputError).what.startswith("is not YAML")


def test_a_text_above_the_limit_is_an_error() -> None:
    assert fault(lambda: value("#" * (MAX_BYTES + 1)), error=InputError).what == f"must be at most {MAX_BYTES} bytes"
    assert fault(lambda: value("# " + "é" * (MAX_BYTES // 2)), error=InputError).what == f"must be at most {MAX_BYTES} bytes"


def test_the_error_is_of_the_kind_that_was_asked_for() -> None:
    with pytest.raises(TemplateError):
        parse("a: b: c", name="x", error=TemplateError)
    with pytest.raises(TemplateError):
        parse("a: 1\na: 2", name="x", error=TemplateError)


def test_a_line_is_that_of_the_key_or_the_item() -> None:
    document = parse("# c\na:\n  b: 1\n  c:\n    - x\n    - y: 2\n      z: 3\n", name="x")
    paths: list[tuple[str | int, ...]] = [("a",), ("a", "b"), ("a", "c"), ("a", "c", 0), ("a", "c", 1), ("a", "c", 1, "z")]
    assert [document.line(path) for path in paths] == [2, 3, 4, 5, 6, 7]


def test_a_line_of_something_missing_is_that_of_its_parent() -> None:
    document = parse("a:\n  b: 1\n", name="x")
    assert document.line(("a", "nope")) == 1
    assert document.line(("a", "b", "deeper")) == 2
    assert document.line(("nope",)) == 1


def test_a_byte_order_mark_is_ignored() -> None:
    assert decode(b"\xef\xbb\xbfa: 1", name="x") == "a: 1"


def test_bytes_that_are_not_utf_8_are_an_error_with_their_line() -> None:
    problem = fault(lambda: decode(b"a: 1\nb: \xff\n", name="x.yaml"), error=InputError)
    assert str(problem) == "x.yaml:2: is not UTF-8 text (got byte 0xff)"


def test_a_file_that_is_too_large_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "big"
    path.write_bytes(b"#" * (MAX_BYTES + 1))
    assert fault(lambda: read(path, error=ConfigError), error=ConfigError).what == f"must be at most {MAX_BYTES} bytes"


def test_a_path_is_shown_relative_to_the_current_directory_only_inside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = tmp_path / "in"
    inside.mkdir()
    monkeypatch.chdir(inside)
    assert shown(inside / "recipes" / "x.yaml") == "recipes/x.yaml"
    assert shown(tmp_path / "x.yaml") == str(tmp_path / "x.yaml")


def test_a_path_is_shown_without_control_characters(tmp_path: Path) -> None:
    assert shown(tmp_path / "a\x1b[31m\ud800.yaml").endswith("a\N{REPLACEMENT CHARACTER}[31m\N{REPLACEMENT CHARACTER}.yaml")


def test_a_dotted_path_quotes_what_is_no_word() -> None:
    assert dotted(("loras", 0, "name")) == "loras[0].name"
    assert dotted(("params", "a b\x1b")) == 'params."a b\\u001b"'


@pytest.mark.parametrize(
    ("thing", "words"),
    [
        (None, "nothing"),
        (True, "true"),
        (1.5, "1.5"),
        ("a\nb", '"a\\nb"'),
        ({}, "a mapping"),
        ([], "a list"),
        ("x" * 100, '"' + "x" * 57 + '..."'),
    ],
)
def test_a_quoted_value_is_short_and_on_one_line(thing: object, words: str) -> None:
    assert got(thing) == words


def test_a_number_too_long_to_print_is_only_described() -> None:
    assert got(10**5000) == "a very large number"


YAML_LIKE = st.text(alphabet="ab:-{}[]&*!|>'\"%@`#,?\\ \n\t.0123456789<~\x85\u2028é", max_size=80)


@pytest.mark.slow
@settings(max_examples=tried(300), deadline=None)
@given(YAML_LIKE | st.text(max_size=60))
def test_any_text_is_a_document_or_an_input_error(text: str) -> None:
    try:
        parse(text, name="x")
    except InputError as error:
        problems = error.problems
    else:
        problems = ()
    assert all(problem.what and problem.where for problem in problems)


def test_an_emoji_written_as_json_writes_it_is_one_character() -> None:
    assert parse(json.dumps({"prompt": "a \N{EVERGREEN TREE}"}), name="x").value == {"prompt": "a \N{EVERGREEN TREE}"}
