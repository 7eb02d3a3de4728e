"""What the sections of the config file are made of: their base, paths of the user's, and texts with values of the environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationInfo
from pydantic_core import PydanticCustomError

# A brace must follow: a dollar alone is a dollar.
_API_KEY = re.compile(
    r"[A-Za-z0-9._~+=:-]{8,500}"
)  # which no encoding writes otherwise, so that it is found wherever it is repeated
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def expanded(path: Path) -> Path:
    """Return a path with the home folder in the place of ``~``.

    Raises:
        ValueError: There is no such user.
    """
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise ValueError(f"no such user's folder (got {path.parts[0]})") from error


def _filled(text: str, info: ValidationInfo) -> str:
    """Put the environment's values where a text of the file says ``${NAME}``; elsewhere, it stays as it is."""
    environment: Mapping[str, str] | None = info.context
    if environment is None:
        return text
    for name in _VARIABLE.findall(text):
        if name not in environment:
            raise PydanticCustomError("variable", "the environment has no {name}", {"name": name, "hint": f"export {name}=…"})
    return _VARIABLE.sub(lambda found: environment[found[1]], text)


UserPath = Annotated[Path, AfterValidator(expanded)]
"""A path of a setting."""

Secret = Annotated[str, AfterValidator(_filled)]
"""A text of a setting that may hold ``${NAME}``."""


def api_key(text: str) -> str:
    """Return an API key without the blanks around it, as a file that it was read from may leave them.

    Raises:
        ValueError: It is none. It is not shown, since it may be one with a slip.
    """
    key = text.strip()
    if key and not _API_KEY.fullmatch(key):
        raise ValueError("is no API key: at least 8 letters, digits and signs of ._~+=:-")
    return key


ApiKey = Annotated[Secret, AfterValidator(api_key)]
"""An API key; empty for none."""


class Section(BaseModel):
    """A section of the config file: what it does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)
