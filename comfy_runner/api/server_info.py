"""The state, the models and the node classes of servers. Nothing is changed on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from comfy_runner.config import Config, ServerConfig, load_config
from comfy_runner.engine.interface import Engine
from comfy_runner.engine.registry import connect, refuse_bad_addresses
from comfy_runner.engine.server_status import Standing, ask_all
from comfy_runner.engine.waiting import wait_until_up
from comfy_runner.errors import ServerRefused, UsageError
from comfy_runner.graph.model_lists import Listing, find_kind, folder_listing, further_folders, listings
from comfy_runner.graph.object_info import ObjectInfo
from comfy_runner.recipe.sources import read_json
from comfy_runner.text_files import shown
from comfy_runner.wording import did_you_mean


def servers(
    given: str | ServerConfig | Sequence[str | ServerConfig] | None = None, *, config: Config | None = None
) -> tuple[Standing, ...]:
    """Return the state of servers: whether they answer and how quickly, their versions, queues and checkpoints.

    All are asked at the same time, for at most ten seconds. If a server does not answer, its `Standing` has the error. ``local`` is
    neither set up nor started.

    Args:
        given: URLs, names from the config file, ``local``, or `ServerConfig`; None for all servers that the settings name.
        config: Settings; None for the user's config file.

    Raises:
        ConfigError: The settings cannot be read.
        UsageError: A server is given twice, or something given is not an address.
    """
    settings = config or load_config()
    if not given and given != "":
        return ask_all(settings.known_servers(), settings)
    chosen = settings.find_servers(given)
    refuse_bad_addresses(chosen, settings)
    return ask_all(chosen, settings)


def models(
    kind: str | None = None,
    *,
    server: str | ServerConfig | None = None,
    object_info: Path | None = None,
    config: Config | None = None,
    say: Callable[[str], None] | None = None,
) -> tuple[Listing, ...]:
    """List what a server lets recipes choose from: its models by their kinds, samplers, schedulers, upscale methods.

    Args:
        kind: One kind, such as ``loras``; None for all kinds.
        server: A URL, a name from the config file, ``local``, which is started when needed, or a `ServerConfig`; None for the first
            server that the settings name.
        object_info: A file with a saved answer of ``/object_info``, used instead of the server; None for none.
        config: Settings; None for the user's config file.
        say: Called with a sentence about each slow preparation, such as setting up the local ComfyUI; None for silence.

    Raises:
        UsageError: The server lists nothing of that kind.
        ServerError: The server does not answer, or refuses.
    """
    info, engine = _asked(server, object_info, config or load_config(), say)
    if kind is not None:
        return (_of_one_kind(kind, info, engine),)
    files: dict[str, list[str]] = {}
    if engine is None:
        return listings(info, files)
    for folder in further_folders(engine.model_folders(), listings(info)):
        try:
            files[folder] = engine.models_in(folder)
        except ServerRefused as error:
            # One that it may not read keeps nobody from the others.
            if say is not None:
                say(f"warning: {error}")
    return listings(info, files)


def _of_one_kind(kind: str, info: ObjectInfo, engine: Engine | None) -> Listing:
    """Return the names of one kind that a server lists; its folders are asked for only if its nodes do not list that kind."""
    listed = {listing.kind: listing for listing in listings(info)}
    if (known := find_kind(kind, list(listed))) is not None:
        return listed[known]
    folders = further_folders(engine.model_folders(), listed.values()) if engine else ()
    folder = find_kind(kind, folders)
    if engine is None or folder is None:
        hint = did_you_mean(kind, [*listed, *folders])
        raise UsageError(f"lists nothing of this kind (got {kind})", where=info.source, hint=hint)
    return folder_listing(folder, engine.models_in(folder))


def nodes(
    *,
    server: str | ServerConfig | None = None,
    object_info: Path | None = None,
    config: Config | None = None,
    say: Callable[[str], None] | None = None,
) -> ObjectInfo:
    """Return the node classes of a server.

    Args:
        server: A URL, a name from the config file, ``local``, which is started when needed, or a `ServerConfig`; None for the first
            server that the settings name.
        object_info: A file with a saved answer of ``/object_info``, used instead of the server; None for none.
        config: Settings; None for the user's config file.
        say: Called with a sentence about each slow preparation, such as setting up the local ComfyUI; None for silence.

    Raises:
        UsageError: The saved answer cannot be read, or `server` is not an address.
        ServerError: The server does not answer, or refuses.
    """
    return _asked(server, object_info, config or load_config(), say)[0]


def _asked(
    server: str | ServerConfig | None, object_info: Path | None, config: Config, say: Callable[[str], None] | None
) -> tuple[ObjectInfo, Engine | None]:
    """Return the node classes, and the server that has them; None for a saved answer."""
    if object_info is not None:
        return ObjectInfo(read_json(object_info), source=shown(object_info)), None
    engine = connect(server, config, say=say)
    wait_until_up([engine], config.wait, say=say)
    return engine.object_info(), engine
