"""Options that several commands share, and the servers that a command line means by them."""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from comfy_runner.cli.completing import complete_fields, complete_recipes, complete_runs
from comfy_runner.cli.output import print_json, print_notes, say
from comfy_runner.errors import ComfyRunnerError, Note, UsageError
from comfy_runner.text_files import decode, local_path, read, scheme_of

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from comfy_runner.config import Config, ServerConfig
    from comfy_runner.report.suggest import Limits

_Command = TypeVar("_Command", bound=Callable[..., Any])


class LocalPath(click.Path):
    """A path of this machine, as a `Path`.

    A URL is refused, of which a path would be a folder of an odd name; so is nothing at all, such as a variable of a script that is
    not set, which would be the current folder.

    Args:
        options: Those of `click.Path`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(path_type=Path, **options)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path."""
        if value == "":
            self.fail("must not be empty; the current folder is .", param, ctx)
        named = "" if param is None else param.opts[0] if isinstance(param, click.Option) else param.human_readable_name
        local_path(value, where=named.strip("[]"))
        return super().convert(value, param, ctx)


class JobPlace(LocalPath):
    """A job or a picture: a path, as a `Path`, or a URL as it is."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path, or the URL."""
        return value if scheme_of(value) else super().convert(value, param, ctx)


class RunPlace(LocalPath):
    """A run folder: a path, or a URL, of which it is what this machine keeps of the run."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path."""
        if scheme_of(value):
            from comfy_runner.store.registry import local_part

            return local_part(value)
        return super().convert(value, param, ctx)

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        param: click.Parameter,  # noqa: ARG002 - click's signature
        incomplete: str,
    ) -> list[CompletionItem[str]]:
        """Return the run folders that are near."""
        return complete_runs(incomplete)


_SERVER = "A URL, a name from the config file, or local"
# option, field of `Limits`, largest value, unit, help
_LIMITS = (
    ("--max-drift", "drift", 2, "DRIFT", "The most that a picture may drift from its original (0.3)."),
    ("--max-local-drift", "local_drift", 2, "DRIFT", "The most that any region may drift (0.65)."),
    ("--max-colour-shift", "colour_shift", None, "DISTANCE", "The most that the mean colour may move (4; 2.3 is just visible)."),
)

run_argument = click.argument("folder", metavar="RUN", type=RunPlace())
"""RUN, the run folder that a command is about."""

recipes_argument = click.argument("recipes", nargs=-1, required=True, metavar="RECIPE...", shell_complete=complete_recipes)
"""RECIPE..., at least one."""

templates_option = click.option(
    "--templates",
    type=LocalPath(file_okay=False, exists=True),
    multiple=True,
    metavar="DIR",
    help="Look for templates here first.",
)
"""``--templates``, folders."""

_MOST_IDS = 64 << 20  # bytes: a hundred thousand ids of the longest


def _listed(_context: click.Context, parameter: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    """Return patterns, with those that stand in files instead of ``@FILE``, and of ``@-`` or ``-`` those on stdin."""
    return tuple(pattern for each in given for pattern in _patterns(each, parameter.opts[0]))


def _patterns(given: str, option: str) -> list[str]:
    name = given.removeprefix("@")
    if given != "-" and (name == given or not name):
        return [given]
    if name == "-":
        text = decode(sys.stdin.buffer.read(_MOST_IDS + 1), name="stdin", error=UsageError, most=_MOST_IDS)
    else:
        text = read(Path(name), error=UsageError, most=_MOST_IDS)
    found = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    # No pattern would be every job.
    if not found:
        raise UsageError(f"names no job (got {given})", where=option, hint="write one id or pattern per line")
    return found


only_option = click.option(
    "--only",
    multiple=True,
    metavar="GLOB",
    callback=_listed,
    help="Only jobs whose id matches, such as '*-s42'; @FILE reads ids from a file.",
)
"""``--only``, patterns of ids; ``@FILE`` and ``-`` for those of a file and of stdin."""

skip_option = click.option(
    "--skip", multiple=True, metavar="GLOB", callback=_listed, help="No jobs whose id matches; @FILE as above."
)
"""``--skip``, likewise."""

_SET = click.option(
    "--set",
    "sets",
    multiple=True,
    metavar="FIELD=VALUE",
    shell_complete=complete_fields,
    help="Override a field, such as upscale.denoise=0.6.",
)
_SWEEP = click.option(
    "--sweep",
    "sweeps",
    multiple=True,
    metavar="FIELD=VALUES",
    shell_complete=complete_fields,
    help="Sweep a field: seed=1,2,3 or upscale.denoise=0.45:0.70:0.05; or the fields of a table: @batch.csv.",
)
_OUT = click.option(
    "--out",
    type=RunPlace(file_okay=False),
    metavar="DIR",
    help="The run folder (runs/<recipe name>), or its URL: s3://…; several recipes need it.",
)
_SHARD = click.option(
    "--shard", metavar="I/N", help="Only the I-th of N parts, such as 3/8; auto asks Slurm, Kubernetes, GitLab, SkyPilot."
)
_WAIT = click.option(
    "--wait",
    type=click.FloatRange(0, 86400),
    metavar="SECONDS",
    help="How long to wait for a server that is still starting (0).",
)
_FETCH_MODELS = click.option(
    "--fetch-models", is_flag=True, help="Fetch the models that recipes have sources for and local lacks (docs/models.md)."
)


def recipe_options(command: _Command) -> _Command:
    """Add the options of every command on recipes: ``--set``, ``--sweep``, ``--templates``."""
    return _SET(_SWEEP(templates_option(command)))


def run_options(command: _Command) -> _Command:
    """Add RECIPE... and the options of commands on runs: servers, the run folder, those of recipes, which jobs, models."""
    return recipes_argument(
        servers_option(waits=True)(_OUT(recipe_options(only_option(skip_option(_SHARD(_FETCH_MODELS(command)))))))
    )


def json_option(text: str) -> Callable[[_Command], _Command]:
    """Add ``--json``, with which an error that ends the command is printed as a JSON object, too.

    Args:
        text: What the help says of it.
    """

    def add(command: _Command) -> _Command:
        @functools.wraps(command)
        def call(*, as_json: bool, **given: Any) -> Any:
            try:
                return command(as_json=as_json, **given)
            except ComfyRunnerError as error:
                if as_json:
                    from comfy_runner.cli.json_records import error_record

                    # Where stdout cannot be written to, that must not stand instead of what went wrong.
                    with contextlib.suppress(ComfyRunnerError):
                        print_json(error_record(error))
                raise

        return click.option("--json", "as_json", is_flag=True, help=text)(cast(_Command, call))

    return add


max_cost_option = click.option(
    "--max-cost",
    type=click.FloatRange(0),
    metavar="USD",
    help="The most that paid services may cost, in US dollars; what could cost more is refused (docs/services.md).",
)
"""``--max-cost``, as ``max_cost``: None for no limit."""

calibration_option = click.option(
    "--no-calibration", "calibrated", is_flag=True, default=True, flag_value=False, help="Do not use kept calibrations."
)
"""``--no-calibration``, as ``calibrated``: whether limits that are not given are those that the user keeps."""


def limit_options(command: _Command) -> _Command:
    """Add the axis and the limits of a suggestion, each named as a field of `Limits`, and `calibration_option`."""
    command = calibration_option(command)
    for option, field, most, unit, text in reversed(_LIMITS):
        command = click.option(option, field, type=click.FloatRange(0, most), metavar=unit, help=text)(command)
    return click.option("--axis", metavar="FIELD", help="The swept field to choose a value of (upscale.denoise).")(command)


def limits_of(given: Mapping[str, float | None], folder: Path, *, calibrated: bool) -> Limits:
    """Return the limits that `limit_options` has taken; those that were not given are kept ones, which is said, or the usual ones.

    Args:
        given: The limits by name; None for those that were not given.
        folder: The run folder.
        calibrated: Whether kept ones count.
    """
    from comfy_runner import api

    kept = api.kept_limits(folder) if calibrated else api.Limits()
    explicit: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    limits = replace(kept, **explicit)
    if calibrated:
        say_limits(limits)
    return limits


def say_limits(limits: Limits) -> None:
    """Say which limits count, where they come from a calibration, and which calibrations no longer do."""
    from comfy_runner.report.calibrations import outdated_note, told_limits

    if told := told_limits(limits):
        print_notes([Note(told, level="changed")])
    if outdated := outdated_note():
        print_notes([Note(outdated)])


@dataclass(frozen=True)
class NamedServers:
    """The servers that a command line names, what it says about their certificates, and the settings that they are looked up in.

    Attributes:
        names: URLs, names from the config file, ``local``; empty where none is named.
        cacert: The certificate that signs theirs; None where that is not said.
        insecure: Whether their certificates are not checked.
        wait: Seconds that they may take until they answer; None for as the settings say.
    """

    names: tuple[str, ...]
    cacert: Path | None
    insecure: bool
    wait: float | None = None

    @functools.cached_property
    def config(self) -> Config:
        """The user's settings."""
        from comfy_runner.config import load_config

        found = load_config()
        return found if self.wait is None else found.model_copy(update={"wait": self.wait})

    @property
    def unasked(self) -> str:
        """What commands add that are right without a server, and more useful with one: how to name that of the settings."""
        config = self.config
        usual = config.find_server(None) if config.names_servers else None
        return f"no server was asked: --server {(usual.name or usual.place) if usual else 'URL'} also checks nodes and models"

    def one(self) -> ServerConfig:
        """Return the server that is named, or else the default one."""
        return self._certified([self.config.find_server(self.names[0] if self.names else None)])[0]

    def fleet(self) -> tuple[ServerConfig, ...]:
        """Return the servers that are named, or else those that the settings use.

        Raises:
            UsageError: Two of them are the same server.
        """
        return self._certified(self.config.find_servers(self.names))

    def known(self) -> tuple[ServerConfig, ...]:
        """Return all servers of the settings, whether they are used or not."""
        return self._certified(self.config.known_servers())

    def named(self) -> tuple[ServerConfig, ...]:
        """Return the servers that are named, and no others."""
        return self._certified([self.config.find_server(name) for name in self.names])

    def _certified(self, servers: Iterable[ServerConfig]) -> tuple[ServerConfig, ...]:
        found = tuple(
            server.model_copy(update={"cacert": self.cacert or server.cacert, "insecure": self.insecure or server.insecure})
            for server in servers
        )
        for server in found:
            if server.insecure:
                say(f"warning: the certificate of {server.place} is not checked")
        return found


def servers_option(
    text: str = f"{_SERVER}, which starts one here; repeatable.", *, several: bool = True, waits: bool = False
) -> Callable[[_Command], _Command]:
    """Add ``--server`` with ``--cacert`` and ``--insecure``; the command gets them as one argument, ``servers``, a `NamedServers`.

    Args:
        text: What the help says of ``--server``.
        several: Whether it may be given several times.
        waits: Whether ``--wait`` is added, too.
    """

    def add(command: _Command) -> _Command:
        @functools.wraps(command)
        def call(*, server: Any, cacert: Path | None, insecure: bool, wait: float | None = None, **given: Any) -> Any:
            names = server if several else () if server is None else (server,)
            return command(servers=NamedServers(names, cacert, insecure, wait), **given)

        found = _WAIT(cast(_Command, call)) if waits else cast(_Command, call)
        found = click.option("--insecure", is_flag=True, help="Do not check the server's certificate.")(found)
        certificate = LocalPath(dir_okay=False, exists=True)
        found = click.option("--cacert", type=certificate, metavar="FILE", help="The certificate that signs the server's.")(found)
        return click.option("--server", multiple=several, metavar="URL", help=text)(found)

    return add


def server_or_file_option(
    text: str = "Use a saved answer of a server's /object_info.", *, server: str = f"{_SERVER}, which starts one here."
) -> Callable[[_Command], _Command]:
    """Add ``--server`` and, in its place, ``--object-info``: a saved answer; not both may be given.

    Args:
        text: What the help says of ``--object-info``.
        server: What the help says of ``--server``.
    """

    def add(command: _Command) -> _Command:
        @functools.wraps(command)
        def call(*, servers: NamedServers, object_info: Path | None, **given: Any) -> Any:
            if servers.names and object_info is not None:
                raise click.UsageError("--server and --object-info cannot be used together")
            return command(servers=servers, object_info=object_info, **given)

        file = LocalPath(dir_okay=False)
        found = click.option("--object-info", type=file, metavar="FILE", help=text)(cast(_Command, call))
        return servers_option(server, several=False, waits=True)(found)

    return add
