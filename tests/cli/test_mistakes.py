"""Every mistake on the command line is exit code 2 and a message; never a traceback. In this process, for speed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.support import Typed

Cli = Callable[..., Typed]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("foo", "error: no such command: foo (known are run"),
        ("runn quickstart", "did you mean run"),
        ("--nope", "error: No such option"),
        ("run", "error: Missing argument 'RECIPE...'"),
        ("run --nope quickstart", "error: No such option"),
        ("run quickstart --server", "requires an argument"),
        ("run quickstart --set seed", "must be field=value"),
        ("run quickstart --set sed=1", "unknown field"),
        ("run quickstart --set seed=-1", "--set seed"),
        ("run quickstart --set extends=x", "cannot be overridden"),
        ("run nowhere", "there is no shipped recipe of this name"),
        ("run nowhere.yaml", "nowhere.yaml: no such file"),
        ("run .", "is a directory, not a file"),
        ("import nowhere", "nowhere: no such file"),
        ("import lora_stack", "hint: it is a shipped recipe: comfy-runner run lora-stack"),
        ("import */nowhere.png", "hint: name one file at a time"),
        ("run nowhere.json", "nowhere.json: no such file"),
        ("run quickstart quickstart --out x", "also belongs to"),
        ("run quickstart forest-sunrise", "--out DIR"),
        ("run quickstart --server ftp://x", "not the address of a server"),
        ("run quickstart --server=", "not the address of a server"),
        ("run quickstart --server http://x:y", "not the address of a server"),
        ("run quickstart --templates nowhere", "does not exist"),
        ("run quickstart --set template=nope", "no template of this name"),
        ("render", "Missing argument"),
        ("render quickstart forest-sunrise", "unexpected extra argument"),
        ("render quickstart --force", "No such option"),
        ("validate", "Missing argument"),
        ("validate quickstart --server x --object-info y", "cannot be used together"),
        ("validate quickstart --object-info nowhere.json", "nowhere.json: no such file"),
        ("validate quickstart --object-info .", "is a directory"),
        ("init nowhere/recipe.yaml", "nowhere/recipe.yaml: cannot be written"),
        ("init a b", "unexpected extra argument"),
        ("schema x", "'x' is not one of"),
        ("local foo", "No such command 'foo'"),
        ("local logs -n 0", "not in the range"),
        ("local start --port 99999", "not in the range"),
        ("local start --port x", "not a valid"),
        ("local setup --models nowhere", "does not exist"),
        ("run quickstart --baseline tape://b/x", "there is no store for tape:// addresses (got tape://b/x)"),
        ("run quickstart --baseline=", "Invalid value for '--baseline': must not be empty; the current folder is ."),
        ("run quickstart --junit=", "Invalid value for '--junit': must not be empty"),
        ("run quickstart --out=", "Invalid value for '--out': must not be empty"),
        ("run s3://b/x/lake/job.json", "must be a path on this machine, not a URL (got s3://b/x/lake/job.json)"),
        ("run quickstart --out s3:///x", "must be the URL of a folder in a store (got s3:///x)"),
        ("status tape://b/x", "there is no store for tape:// addresses (got tape://b/x)"),
        ("runs gs://b", "DIR: must be a path on this machine, not a URL (got gs://b)"),
        ("reproduce s3://b", "s3://b: is neither a finished job nor a picture"),
        ("reproduce quickstart --out s3://b/x", "--out: must be a path on this machine"),
        ("bisect a b quickstart --start x --out s3://b/x", "--out: must be a path on this machine, not a URL (got s3://b/x)"),
        ("run quickstart --junit s3://b/x.xml", "--junit: must be a path on this machine"),
    ],
)
def test_a_mistake_is_exit_code_2_and_says_what_is_wrong(cli: Cli, line: str, words: str) -> None:
    done = cli(*line.split(" "))

    assert (done.code, done.out) == (2, "")
    assert words in done.err
    assert "error: " in done.err
    assert "internal" not in done.err


@pytest.mark.parametrize(
    ("name", "text", "line", "words"),
    [
        (
            "a.json",
            '{"template": "text_to_image", "seed": 1, "promt": "x"}',
            "plan a.json",
            "hint: name it .yaml: JSON is YAML too",
        ),
        (
            "a.json",
            '{"template": "text_to_image", "seed": 1, "promt": "x"}',
            "import a.json",
            "hint: if it is a recipe, there is nothing to",
        ),
        ("a.json", '{"x": 1, "name": "y"}', "plan a.json", "is neither a workflow of ComfyUI nor a job's sidecar"),
        ("a.json", "template: text_to_image", "plan a.json", "hint: a recipe is YAML: name its file .yaml"),
        ("a.json", '{"1": {"class', "plan a.json", "hint: it may have been cut off"),
        ("a.json", " \n", "plan a.json", "a.json: is empty"),
        ("a.json", "", "validate quickstart --object-info a.json", "a.json: is empty"),
        ("a/b.yaml", "", "plan a", "a: is a directory, not a file"),
    ],
)
def test_a_file_that_is_something_else_says_the_way_out(
    cli: Cli, tmp_path: Path, name: str, text: str, line: str, words: str
) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)

    done = cli(*line.split(" "))

    assert (done.code, done.out) == (2, "")
    assert words in done.err


@pytest.mark.parametrize("line", ["", "local"])
def test_no_command_at_all_is_exit_code_2_and_the_help(cli: Cli, line: str) -> None:
    done = cli(*line.split())

    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("Usage: comfy-runner")
    assert "Commands:" in done.err
    assert done.err.count("Usage:") == 1


@pytest.mark.parametrize(
    "args",
    [
        ("\x1b]0;pwned\x07",),
        ("run", "\x1b]0;pwned\x07"),
        ("run", "\x1b]0;pwned\x07.yaml"),
        ("run", "--\x1b]0;pwned\x07"),
        ("run", "quickstart", "--set", "\x1b]0;pwned\x07"),
        ("run", "quickstart", "--set", "prompt.\x1b]0;pwned\x07=1"),
        ("run", "quickstart", "--server", "ftp://\x1b]0;pwned\x07"),
        ("run", "quickstart", "--templates", "\x1b]0;pwned\x07"),
        ("validate", "quickstart", "--object-info", "\x1b]0;pwned\x07"),
        ("init", "\x1b]0;pwned\x07/x"),
    ],
)
def test_what_was_typed_comes_back_without_its_control_characters(cli: Cli, args: tuple[str, ...]) -> None:
    done = cli(*args)

    assert done.code == 2
    assert "pwned" in done.err
    assert not {"\x1b", "\x07"} & set(done.err)


def test_a_password_in_an_address_is_never_printed(cli: Cli) -> None:
    unreachable = cli("validate", "quickstart", "--server", "http://me:hunter2@127.0.0.1:9")
    wrong = cli("run", "quickstart", "--server", "http://me:hunter2@127.0.0.1:x")

    assert (unreachable.code, wrong.code) == (3, 2)
    assert "hunter2" not in unreachable.err + wrong.err


def test_nothing_is_left_behind_by_a_mistake(cli: Cli, tmp_path: Path) -> None:
    cli("run", "quickstart", "--set", "template=nope")

    assert list(tmp_path.iterdir()) == []
