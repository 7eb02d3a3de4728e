"""``comfy-runner completion``: the script that has a shell complete the commands, their options and their values."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import click
from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete

from comfy_runner.cli.output import print_line, say
from comfy_runner.errors import UsageError
from comfy_runner.text_files import reason_of, shown

_NAME: Final = "comfy-runner"
_VARIABLE: Final = "_COMFY_RUNNER_COMPLETE"


class _Bash(BashComplete):
    """Bash, with no space after what is to go on, such as ``upscale.denoise=``."""

    source_template = BashComplete.source_template.replace(
        "COMPREPLY+=($value)", 'COMPREPLY+=("$value")\n            [[ $value == *[=.] ]] && compopt -o nospace'
    )


_SHELLS: Final[dict[str, type[ShellComplete]]] = {"bash": _Bash, "zsh": ZshComplete, "fish": FishComplete}


@click.command()
@click.argument("shell", type=click.Choice(list(_SHELLS)), required=False)
@click.option("--install", is_flag=True, help="Write it to where the shell looks for it, and print the path.")
@click.pass_context
def completion(context: click.Context, shell: str | None, *, install: bool) -> None:
    """Print the completion script of a shell, by default of the one in SHELL.

    After Tab it offers commands, options, recipes, templates, run folders, and fields for --set and --sweep.
    """
    name = shell or _own_shell()
    script = _SHELLS[name](context.find_root().command, {}, _NAME, _VARIABLE).source()
    if not install:
        print_line(script.rstrip())
        return
    path = _place(name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(script, encoding="utf-8", newline="\n")
    except OSError as error:
        hint = f"print it instead: {_NAME} completion {name}"
        raise UsageError(f"cannot be written: {reason_of(error)}", where=shown(path), hint=hint) from error
    say(f"wrote {path}; {_then(name, path)}")


def _own_shell() -> str:
    name = Path(os.environ.get("SHELL", "")).name
    if name not in _SHELLS:
        raise UsageError("it is not clear which shell is meant", where="SHELL", hint=f"name one: {', '.join(_SHELLS)}")
    return name


def _place(shell: str) -> Path:
    """Return the file that a shell reads for completion, in the user's own folders."""
    try:
        home = Path.home()
    except RuntimeError as error:
        raise UsageError("the user has no home folder", where="--install", hint=f"print it: {_NAME} completion {shell}") from error
    if shell == "bash":
        data = Path(os.environ.get("XDG_DATA_HOME") or home / ".local/share")
        return Path(os.environ.get("BASH_COMPLETION_USER_DIR") or data / "bash-completion") / "completions" / _NAME
    if shell == "fish":
        return Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config") / "fish/completions" / f"{_NAME}.fish"
    return home / ".zfunc" / f"_{_NAME}"


def _then(shell: str, path: Path) -> str:
    if shell == "zsh":
        return f"add to ~/.zshrc, before compinit: fpath=({path.parent} $fpath); it takes effect in new shells"
    needs = " that load bash-completion" if shell == "bash" else ""
    return f"it takes effect in new shells{needs}"
