"""What a server has for recipes to choose from, asked of its nodes and, where it tells them, of its folders of models."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from comfy_runner.engine.interface import Engine
from comfy_runner.errors import ServerRefused, UsageError
from comfy_runner.graph.model_lists import Listing, find_kind, folder_listing, further_folders, listings
from comfy_runner.graph.object_info import ObjectInfo
from comfy_runner.wording import did_you_mean


def stock(info: ObjectInfo, engine: Engine | None, *, say: Callable[[str], None]) -> tuple[Listing, ...]:
    """Return all that a server lists.

    Args:
        info: What it says of its nodes.
        engine: The server, to be asked for its folders; None to ask nobody.
        say: Takes sentences about folders that it cannot look into.

    Raises:
        ServerError: It cannot be asked.
    """
    folders = further_folders(engine.model_folders(), listings(info)) if engine else ()
    return listings(info, dict(_files(engine, folders, say)) if engine else {})


def stock_of(kind: str, info: ObjectInfo, engine: Engine | None) -> Listing:
    """Return what a server lists of one kind; its folders are asked for only where its nodes do not list it.

    Args:
        kind: The kind, as `find_kind` understands it.
        info: As for `stock`.
        engine: As for `stock`.

    Raises:
        UsageError: The server lists nothing of that kind.
        ServerError: It cannot be asked.
    """
    listed = {listing.kind: listing for listing in listings(info)}
    if (known := find_kind(kind, list(listed))) is not None:
        return listed[known]
    folders = further_folders(engine.model_folders(), listed.values()) if engine else ()
    folder = find_kind(kind, folders)
    if engine is None or folder is None:
        hint = did_you_mean(kind, [*listed, *folders])
        raise UsageError(f"lists nothing of this kind (got {kind})", where=info.source, hint=hint)
    return folder_listing(folder, engine.models_in(folder))


def _files(engine: Engine, folders: Sequence[str], say: Callable[[str], None]) -> Iterator[tuple[str, list[str]]]:
    for folder in folders:
        try:
            yield folder, engine.models_in(folder)
        except ServerRefused as error:
            # One that it may not read keeps nobody from the others.
            say(f"warning: {error}")
