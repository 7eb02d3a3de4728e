"""The store that an address names: a local folder, or what an installed package has for the address's scheme.

A package that brings one says ``[project.entry-points."comfy_runner.stores"]`` and ``s3 = "my_package:open_store"``: a function
that is called with the whole address, such as ``s3://bucket/run``, and returns an `ArtifactStore`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, cast

from comfy_runner.errors import UsageError
from comfy_runner.plugins import plugins
from comfy_runner.store.interface import ArtifactStore
from comfy_runner.store.local import LocalStore

GROUP: Final = "comfy_runner.stores"

# A single letter is a drive of Windows.
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")


def open_store(address: Path | str) -> ArtifactStore:
    """Return the store at an address.

    Args:
        address: A local path, which need not be there, or a URL.

    Raises:
        UsageError: No installed package has a store for the URL's scheme, or that package cannot be used.
    """
    found = _SCHEME.match(address) if isinstance(address, str) else None
    if found is None:
        return LocalStore(Path(address))
    scheme = found[1].lower()
    opener = plugins(GROUP, "store", only=scheme).get(scheme)
    if opener is None:
        hint = f"name a local folder, or install a package that announces {scheme} in {GROUP}"
        raise UsageError(f"there is no store for {scheme}:// addresses (got {address})", hint=hint)
    return cast(ArtifactStore, opener(address))
