"""How jobs are retried that failed for a temporary reason: how often, and with which changes.

Recipes and the config file both contain this policy, so this module belongs to neither. Errors of a graph are never retried, and
have no remedy here. `running.decide_completion` decides when a reason counts as one of these.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

MOST_TIMES = 20
"""Most often that one job is tried again for one reason."""


class Remedy(BaseModel):
    """The response to one reason for failure. A bare number is short for ``times``."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    times: int = Field(default=0, ge=0, le=MOST_TIMES, description="How often a job is tried again for this reason, 0 to 20.")
    free: bool = Field(default=False, description="Whether the server frees its memory first.")
    vae_decode: Literal["tiled"] | None = Field(
        default=None, description="tiled: the next try decodes in tiles, which needs less memory."
    )


class ServerLostRemedy(Remedy):
    """The server went away, or forgot the job."""

    times: int = Field(default=3, ge=0, le=MOST_TIMES, description="How often a job is tried again for this reason, 0 to 20.")


class OutOfMemoryRemedy(Remedy):
    """The server ran out of memory."""

    times: int = Field(default=1, ge=0, le=MOST_TIMES, description="How often a job is tried again for this reason, 0 to 20.")
    free: bool = Field(default=True, description="Whether the server frees its memory first.")
    vae_decode: Literal["tiled"] | None = Field(
        default="tiled", description="tiled: the next try decodes in tiles, which needs less memory; null: as before."
    )


class FlatPictureRemedy(Remedy):
    """The picture is one flat colour, as after a decoding error."""

    times: int = Field(default=1, ge=0, le=MOST_TIMES, description="How often a job is tried again for this reason, 0 to 20.")
    free: bool = Field(default=True, description="Whether the server frees its memory first.")


def _times_alone(value: Any) -> Any:
    return {"times": value} if isinstance(value, int) and not isinstance(value, bool) else value


_Short = BeforeValidator(_times_alone)


class Retry(BaseModel):
    """The retries for each reason. Settings that are not given have their defaults."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    server_lost: Annotated[ServerLostRemedy, _Short] = Field(
        default=ServerLostRemedy(), description="The server went away, or forgot the job; a number is short for times."
    )
    out_of_memory: Annotated[OutOfMemoryRemedy, _Short] = Field(
        default=OutOfMemoryRemedy(), description="The server ran out of memory; a number is short for times."
    )
    flat_picture: Annotated[FlatPictureRemedy, _Short] = Field(
        default=FlatPictureRemedy(), description="The picture is one flat colour; a number is short for times."
    )

    @classmethod
    def merged(cls, recipe: Retry | None, config: Retry | None) -> Self:
        """Return the policy of a job: settings of the recipe, else of the config file, else the defaults.

        Single settings are merged, not whole reasons: a recipe that gives only ``out_of_memory: {times: 2}`` keeps the config's
        ``free``.
        """
        given: dict[str, dict[str, Any]] = {reason: {} for reason in cls.model_fields}
        for policy in (config, recipe):
            for reason, settings in policy.model_dump(exclude_unset=True).items() if policy else ():
                given[reason].update(settings)
        return cls.model_validate(given)
