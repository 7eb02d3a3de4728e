"""Workflows and pictures as recipes: imported into a folder, converted, or loaded directly.

The importer is loaded only when it is needed, because most recipes are YAML files.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from comfy_runner.api.server_info import nodes
from comfy_runner.atomic_files import write_atomically
from comfy_runner.config import Config, ServerConfig, cache_folder, load_config
from comfy_runner.errors import Problem, ServerError, UsageError
from comfy_runner.graph.object_info import ObjectInfo
from comfy_runner.recipe.load import LoadedRecipe
from comfy_runner.recipe.sources import LoadSource, RecipeSource, load_source
from comfy_runner.text_files import is_file, local_path, reason_of, shown

if TYPE_CHECKING:
    from comfy_runner.importer.imported import Imported
    from comfy_runner.importer.importing import AskServer, FoundGraph

GivenServers = str | ServerConfig | Sequence[str | ServerConfig] | None
"""Servers as a caller gives them: one, several, or None."""

OTHER_FOLDER = "choose another folder with --out"
"""What helps where a file cannot be written."""

_RECIPES = (".yaml", ".yml")


def import_workflow(
    file: Path | str,
    *,
    server: str | ServerConfig | None = None,
    object_info: Path | None = None,
    params: Sequence[str] = (),
    name: str = "",
    templates: Sequence[Path] = (),
    config: Config | None = None,
    say: Callable[[str], None] | None = None,
) -> Imported:
    """Make a recipe and a template from a workflow or a picture, proved to render exactly the same graph, node for node.

    Args:
        file: A workflow as JSON, in API format or as ComfyUI's page saves it; a picture, film or sound with metadata of ComfyUI,
            A1111 or Forge; or the parameters of A1111 or Forge as text.
        server: The server whose nodes give the ranges of parameters; a workflow saved by the page needs one. A URL, a name from the
            config file, ``local`` or a `ServerConfig`; None for none.
        object_info: A file with a saved answer of ``/object_info``, used instead of the server; None for none.
        params: Inputs that become parameters, each written ``NODE.INPUT=NAME``.
        name: The name of the recipe and the template; empty for the name of the file.
        templates: Folders that are searched first for the template of a picture that comfy_runner rendered.
        config: Settings; None for the user's config file.
        say: Called with a sentence about each slow preparation, such as setting up the local ComfyUI; None for silence.

    Raises:
        InputError: The file contains nothing to import, a workflow cannot be converted or proved, or an argument is wrong.
        ServerError: The server does not answer, or refuses.
    """
    from comfy_runner.importer.imported import import_found
    from comfy_runner.importer.read import read_file

    settings = config or load_config()
    ask = asking(server, object_info, settings, say)
    return import_found(read_file(Path(file)), ask, params=params, name=name, templates=(*templates, *settings.templates))


def write_import(imported: Imported, out: Path | str = ".", *, force: bool = False) -> tuple[Path, ...]:
    """Write an import into a folder, and return the files: the recipe, and its template unless it is a shipped one.

    Args:
        imported: The result of `import_workflow`.
        out: The folder; it is created if it does not exist.
        force: Whether existing files are overwritten; the imported file itself never is.

    Raises:
        UsageError: A file already exists, or cannot be written. If that is known beforehand, nothing is written.
    """
    from comfy_runner.importer.write import FOLDER
    from comfy_runner.templating.lookup import SUFFIX

    folder = local_path(out)
    texts = {folder / f"{imported.name}.yaml": imported.recipe}
    if imported.template:
        # The template goes first: a recipe without one cannot be rendered.
        texts = {folder / FOLDER / f"{imported.name}{SUFFIX}": imported.template, **texts}
    if wrong := list(dict.fromkeys(found for path in texts if (found := _in_the_way(path, imported.path)) is not None)):
        raise UsageError.of(wrong)
    there = [path for path in texts if path.exists() or path.is_symlink()]
    if there and not force:
        raise UsageError.of(
            Problem("already exists", shown(path), "give another --name, or --force to overwrite it") for path in there
        )
    for path, text in texts.items():
        try:
            write_atomically(path, text.encode())
        except OSError as error:
            what = f"cannot be written: {reason_of(error)}"
            raise UsageError(what, where=shown(path), hint=OTHER_FOLDER) from error
    return tuple(reversed(texts))


def _in_the_way(path: Path, source: Path) -> Problem | None:
    """Return why a file cannot be overwritten even with `force`; None if it can."""
    if path.is_dir():
        return Problem("is a folder", shown(path), f"{OTHER_FOLDER}, or give another --name")
    with contextlib.suppress(OSError):
        if path.samefile(source):
            what = "is the imported file, which is not overwritten"
            return Problem(what, shown(path), f"{OTHER_FOLDER}, or give another --name")
    file = next((each for each in path.parents if each.exists() and not each.is_dir()), None)
    return Problem("is a file where a folder is needed", shown(file), OTHER_FOLDER) if file is not None else None


def convert_workflow(
    file: Path | str,
    *,
    server: str | ServerConfig | None = None,
    object_info: Path | None = None,
    config: Config | None = None,
    say: Callable[[str], None] | None = None,
) -> FoundGraph:
    """Convert a workflow saved by ComfyUI's page to API format, as the page's own export would.

    Args:
        file: The workflow as JSON, or a picture, film or sound that contains it. If the file also has the graph in API
            format, that is returned.
        server: The server that has its nodes: a URL, a name from the config file, ``local`` or a `ServerConfig`; None for none.
        object_info: A file with a saved answer of ``/object_info``, used instead of the server; None for none.
        config: Settings; None for the user's config file.
        say: Called with a sentence about each slow preparation, such as setting up the local ComfyUI; None for silence.

    Raises:
        InputError: The file contains no workflow, or one that cannot be converted; every offending node is named.
        ServerError: The server does not answer, or refuses.
    """
    from comfy_runner.importer.importing import graph_in
    from comfy_runner.importer.read import read_file

    return graph_in(read_file(Path(file)), asking(server, object_info, config or load_config(), say))


def asking(servers: GivenServers, object_info: Path | None, config: Config, say: Callable[[str], None] | None) -> AskServer:
    """Return a function that asks the first server that answers for its nodes, only once, or reads a saved answer.

    Args:
        servers: The servers; None for those that the settings name, if they name any and one of them answers.
        object_info: A file with a saved answer; None for none.
        config: Settings.
        say: Called with a sentence about each slow preparation; None for silence.
    """

    @cache
    def ask() -> ObjectInfo | None:
        if object_info is not None:
            return nodes(object_info=object_info, config=config)
        is_named = bool(servers) or servers == ""
        failure: ServerError | None = None
        for server in config.find_servers(servers) if is_named or config.names_servers else ():
            try:
                return nodes(server=server, config=config, say=say)
            except ServerError as error:
                failure = failure or error
        if failure is not None and is_named:
            raise failure
        if failure is not None and say is not None:
            say(str(failure.problems[0]))
        return None

    return ask


def loading(ask: AskServer, templates: Sequence[Path]) -> LoadSource:
    """Return a function that loads a recipe, a workflow or a picture.

    Args:
        ask: Returns the node classes of the server, if one was named.
        templates: Folders that are searched for templates first.
    """

    def load_one(source: RecipeSource, *, sets: Sequence[str], sweeps: Sequence[str]) -> LoadedRecipe:
        if isinstance(source, Mapping):
            return load_source(source, sets=sets, sweeps=sweeps)
        path = local_path(source)
        if str(source).lower().endswith(_RECIPES):
            return load_source(source, sets=sets, sweeps=sweeps)
        if not path.suffix and not is_file(path):  # a shipped recipe's name
            return load_source(source, sets=sets, sweeps=sweeps)
        from comfy_runner.importer.as_recipe import Surroundings, load_given

        return load_given(source, Surroundings(ask, tuple(templates), cache_folder()), sets=sets, sweeps=sweeps)

    return load_one
