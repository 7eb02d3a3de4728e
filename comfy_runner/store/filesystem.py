"""The filesystem of fsspec that a URL names, and what it tells of an object: the one place that knows how stores differ in that."""

from __future__ import annotations

import base64
import contextlib
import zlib
from datetime import datetime
from typing import Any, Final

from comfy_runner.errors import UsageError
from comfy_runner.store.interface import Stat, is_key
from comfy_runner.store.store_faults import CREDENTIALS
from comfy_runner.text_files import on_one_line, scheme_of

EXTRA: Final = 'pip install "comfy-runner[remote]"'
S3: Final = "s3"

_REFUSED = frozenset({"http", "https", "local"})  # nothing can be put there, or it is a path
_MODIFIED = ("LastModified", "last_modified", "mtime", "updated", "created")
_CONNECT_SECONDS = 10.0
_SECOND = 1_000_000_000


def checked(address: str) -> str:
    """Return a URL of a folder in a store in the one way in which it is written here.

    Args:
        address: What a user gives.

    Raises:
        UsageError: It names no bucket, has credentials or a query in it, or leads out of its folder.
    """
    scheme, rest = scheme_of(address), address.partition("://")[2].rstrip("/")
    shown, hint = on_one_line(address), "such as s3://bucket/runs/lake"
    userinfo, at, _ = rest.partition("/")[0].rpartition("@")
    if at and ":" in userinfo:
        raise UsageError("must not contain a password", where=f"{scheme}://…", hint=CREDENTIALS)
    if not is_key(rest) or set(rest) & set("?#*[]"):
        raise UsageError(f"must be the URL of a folder in a store (got {shown})", hint=hint)
    return f"{scheme}://{rest}"


def open_filesystem(address: str, answer_seconds: float) -> tuple[Any, str]:
    """Return the filesystem of a URL, of which nothing is asked yet, and the path of its folder there, without ``/`` at the end.

    Args:
        address: The URL, as `checked` returns it.
        answer_seconds: How long an S3 may be silent before it counts as one that does not answer.

    Raises:
        UsageError: There is no store for its scheme, or the package for it is not installed.
    """
    scheme = scheme_of(address)
    try:
        import fsspec
    except ImportError as error:
        raise UsageError(f"{scheme}:// addresses need the package fsspec", where=address, hint=EXTRA) from error
    try:
        if scheme in _REFUSED:
            raise ValueError
        # Listings are never kept: others write, too. Nor is the connection: credentials may be others by now.
        options: dict[str, Any] = {"use_listings_cache": False, "skip_instance_cache": True}
        if scheme == S3:
            # Its own attempts would come on top of ours: two loops in each other take minutes to give up.
            once = {"retries": {"total_max_attempts": 1}}
            options["config_kwargs"] = {**once, "connect_timeout": _CONNECT_SECONDS, "read_timeout": answer_seconds}
        fs, root = fsspec.core.url_to_fs(address, **options)
    except ValueError as error:
        hint = f"name a local folder or an s3:// URL, or install a package that announces {scheme} in comfy_runner.stores"
        raise UsageError(f"there is no store for {scheme}:// addresses (got {address})", hint=hint) from error
    except ImportError as error:
        what = f"{scheme}:// addresses need a package for fsspec ({on_one_line(str(error))})"
        raise UsageError(what, where=address, hint=EXTRA if scheme == S3 else "install it beside comfy-runner") from error
    if scheme == S3:
        fs.retries = 1
    return fs, str(root).rstrip("/")


def md5_of(found: dict[str, Any]) -> str:
    """Return the MD5 of an object's bytes, hex, where its store tells one: S3 as ETag of what came in one piece, Google by name.

    Args:
        found: What the filesystem tells of the object.
    """
    with contextlib.suppress(ValueError, TypeError):
        if isinstance(told := found.get("md5Hash"), str):
            return base64.b64decode(told).hex()
        etag = str(found.get("ETag", "")).strip('"')
        return etag if len(bytes.fromhex(etag)) == 16 else ""
    return ""


def stat_of(found: dict[str, Any]) -> Stat:
    """Return the size of an object, and when it was last changed.

    Args:
        found: What the filesystem tells of the object.
    """
    return Stat(int(found["size"] or 0), modified_ns=_modified(found))


def _modified(found: dict[str, Any]) -> int:
    """Return when an object was last changed, nanoseconds since 1970; 0 where its store does not tell.

    S3 tells whole seconds, and some of its kind more in a listing. Which of the objects of one second it is, the rest of the number
    tells by the object's ETag.
    """
    value = next((found[name] for name in _MODIFIED if found.get(name)), None)
    if isinstance(value, datetime):
        value = value.timestamp()
    if not isinstance(value, int | float):
        return 0
    nanoseconds = int(value * 1_000_000) * 1000
    etag = str(found.get("ETag") or found.get("etag") or "")
    return nanoseconds - nanoseconds % _SECOND + zlib.crc32(etag.encode()) % _SECOND if etag else nanoseconds
