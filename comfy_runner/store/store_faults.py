"""What the libraries of object stores raise, told as errors of ours: whether it may pass, and what a user is to do about it.

None of these libraries is imported for that: what they raise is known by HTTP statuses, by S3's codes, and by names of classes.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import Final

from comfy_runner.errors import RunFolderError, ServerError, ServerRefused, Unreachable
from comfy_runner.text_files import on_one_line

# By these names libraries of several stores tell of connections that broke; none of them is imported for that.
_BROKEN = frozenset(
    {
        *("ConnectionError", "TimeoutError"),  # those that are none of Python's: botocore has one of its own
        *("HTTPClientError", "ResponseParserError", "IncompleteRead", "IncompleteReadError"),  # botocore
        *("ClientConnectionError", "ClientPayloadError"),  # aiohttp
        *("ServiceRequestError", "ServiceResponseError"),  # Azure
        *("TransportError", "RequestException", "FSTimeoutError"),  # Google, fsspec
    }
)
_PASSING = frozenset({errno.EBUSY, errno.EAGAIN, errno.ETIMEDOUT, getattr(errno, "EREMOTEIO", errno.EIO)})

CREDENTIALS: Final = "check the credentials of the store's own tools (for S3: AWS_PROFILE, AWS_ACCESS_KEY_ID, aws sso login)"
_CODES = {
    "ExpiredToken": ("the credentials have expired", "renew them, and run the same command again; finished pictures are safe"),
    "RequestExpired": ("the credentials have expired", "renew them, and run the same command again; finished pictures are safe"),
    "InvalidAccessKeyId": ("the store does not know the credentials", CREDENTIALS),
    "SignatureDoesNotMatch": ("the store does not accept the credentials", CREDENTIALS),
    "NoSuchBucket": ("there is no such bucket", "create it, or check the URL; buckets are not created automatically"),
    "QuotaExceeded": ("the quota of the store is used up", "free some space there, and run the same command again"),
    "XMinioStorageFull": ("the store is full", "free some space there, and run the same command again"),
    "EntityTooLarge": ("is larger than the store accepts", ""),
}
_QUOTA = ("quota", "storage full", "insufficient storage", "no space")
_DENIED = "it needs to list, read, write and delete objects below this URL"


def fault_of(error: BaseException) -> ServerError:
    """Return an error of a store's library as one of those whose transience is known."""
    status = status_of(error)
    if status:
        refused = ServerRefused(str(error))
        refused.status = status
        return refused
    names = {each.__name__ for each in type(error).__mro__}
    is_broken = names & _BROKEN or isinstance(error, TimeoutError | ConnectionError)
    is_passing = isinstance(error, OSError) and error.errno in _PASSING
    return Unreachable(str(error)) if is_broken or is_passing else ServerError(str(error))


def status_of(error: BaseException) -> int:
    """Return the HTTP status that an error of a store's library is of; 0 where there is none."""
    for each in _causes(error):
        response = getattr(each, "response", None)
        if isinstance(response, dict):
            return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        for name in ("status_code", "status", "code"):
            value = getattr(each, name, None)
            if isinstance(value, int) and 100 <= value < 600:
                return value
    return 0


def code_of(error: BaseException) -> str:
    """Return what S3 calls an error; empty for what is none of its."""
    for each in _causes(error):
        response = getattr(each, "response", None)
        if isinstance(response, dict):
            return str(response.get("Error", {}).get("Code", ""))
    return ""


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def store_error(error: Exception, fault: ServerError, *, where: str) -> RunFolderError:
    """Return what is said of a store that does not do what it is asked."""
    told = on_one_line(str(error) or type(error).__name__, longest=300)
    what, hint = _CODES.get(code_of(error), ("", ""))
    if not what and (getattr(fault, "status", 0) == 507 or any(word in told.casefold() for word in _QUOTA)):
        what, hint = _CODES["QuotaExceeded"]
    elif not what and type(error).__name__ in ("NoCredentialsError", "PartialCredentialsError", "DefaultCredentialsError"):
        what, hint = "there are no credentials", CREDENTIALS
    elif not what and isinstance(error, PermissionError):
        what, hint = "no permission", _DENIED
    elif not what and fault.is_transient:
        what, hint = "the store does not answer", "run the same command again when it does; finished pictures are safe"
    elif not what:
        what = "the store refuses"
    return RunFolderError(f"{what} (got: {told})", where=where, hint=hint)
