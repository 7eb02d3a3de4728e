"""Tidying a run folder: first what would go is told, then it goes. What a run counts as done is so afterwards, too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from comfy_runner.config import Config, ServerConfig, load_config
from comfy_runner.control.garbage import GarbageFiles, GarbageKind, all_sidecars, find_garbage, remove
from comfy_runner.control.recorded_servers import recorded_engines
from comfy_runner.control.remote_files import RemoteFiles, find_remote_files, forget_prompts, remove_local
from comfy_runner.errors import ComfyRunnerError, Note, Problem
from comfy_runner.store.registry import local_part
from comfy_runner.store.run_folder import RunFolder
from comfy_runner.store.status import require_run


@dataclass(frozen=True, slots=True)
class Cleaning:
    """What can go of a run folder, or has gone.

    Attributes:
        files: The files that go.
        kept: The files that would go if they were asked for: of jobs that their recipes no longer have, and damaged ledgers.
        remote: What the run has left on servers.
        removed: Whether it was removed.
        removed_remote: How many files of the local ComfyUI were removed.
        problems: Sidecars that cannot be read; what belongs to their jobs stays.
        notes: What could not be done on servers.
    """

    files: tuple[GarbageFiles, ...]
    kept: tuple[GarbageFiles, ...]
    remote: tuple[RemoteFiles, ...]
    removed: bool
    removed_remote: int
    problems: tuple[Problem, ...]
    notes: tuple[Note, ...]


def clean(
    path: Path | str,
    *,
    yes: bool = False,
    removed: bool = False,
    damaged: bool = False,
    server_files: bool = False,
    servers: Sequence[str | ServerConfig] = (),
    config: Config | None = None,
    say: Callable[[str], None] | None = None,
) -> Cleaning:
    """Remove what nobody needs any more of a run folder: replaced pictures, and half files of clients that were killed.

    Args:
        path: The run folder.
        yes: Whether to remove anything; otherwise it is only told, and no server is asked.
        removed: Whether to remove pictures of jobs that their recipes no longer have, too.
        damaged: Whether to remove ledgers that a repair has moved aside, too.
        server_files: Whether to remove what was left on servers, as far as that is possible: files of the managed local
            ComfyUI that were collected, and the entries in histories.
        servers: Servers that need credentials which the config file does not have.
        config: Settings; None for the user's own.
        say: Takes sentences about what goes on.

    Raises:
        RunFolderError: It is no run folder, a run is live there, its ledger is damaged, or a file cannot be removed.
        UsageError: The address of a named server is wrong.
    """
    settings = config or load_config()
    folder_path = local_part(path)
    require_run(folder_path)
    folder = RunFolder(folder_path)
    try:
        sidecars, problems = all_sidecars(folder)
        garbage, removed_jobs = find_garbage(folder, sidecars)
        asked: dict[GarbageKind, bool] = {"superseded": True, "leftovers": True, "removed": removed, "damaged": damaged}
        files = tuple(each for each in garbage if asked[each.kind])
        remote = find_remote_files(folder, sidecars.values(), settings)
        gone = 0
        notes: tuple[Note, ...] = ()
        if yes and server_files:
            # Before the sidecars go that tell of it.
            gone, notes = _clean_remote(folder, remote, servers, settings, say)
        for each in files if yes else ():
            remove(folder, each, removed_jobs)
    finally:
        folder.close()
    kept = tuple(each for each in garbage if not asked[each.kind])
    return Cleaning(files, kept, remote, yes, gone, tuple(problems), notes)


def _clean_remote(
    folder: RunFolder,
    remote: Sequence[RemoteFiles],
    servers: Sequence[str | ServerConfig],
    config: Config,
    say: Callable[[str], None] | None,
) -> tuple[int, tuple[Note, ...]]:
    gone = sum(remove_local(folder, there) for there in remote)
    notes = []
    for there in remote:
        if there.prompts:
            try:
                engines = recorded_engines([there.url], servers, config, say=say)
                note = forget_prompts(there, engines[there.url])
            except ComfyRunnerError as error:
                note = Note(f"its history stays as it is: {error.problems[0].what}", there.url)
            notes += [note] if note else []
    return gone, tuple(notes)
