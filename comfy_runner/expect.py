"""Expectations for finished jobs: limits on metrics, times, files and passes.

Recipes and the config file both contain them, so this module belongs to neither. Expectations change neither a job's graph nor
whether it is rendered. `check.findings` compares jobs with them; `check.expected` knows the line of each limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from comfy_runner.plugins import METRICS, announced

METRIC_FIELDS = (
    *("drift", "local_drift", "detail", "noise", "blocks", "seams", "halos", "colour_shift", "shift"),
    *("alignment", "ringing", "repetition", "dead_areas"),
)
"""The fields that are metrics of ours."""

_STRICT = ConfigDict(strict=True, extra="forbid", frozen=True)


def _fault(what: str, hint: str = "") -> PydanticCustomError:
    return PydanticCustomError("recipe", "{what}", {"what": what, "hint": hint})


def _bounds(value: Any, example: str, sides: str = "max, min or both") -> Any:
    """Refuse a bare number, because it could be the least or the most."""
    if value is not None and not isinstance(value, Mapping | BaseModel):
        raise _fault(f"must be a mapping with {sides}", f"write {example}")
    return value


class Limit(BaseModel):
    """The least and the most that a number may be; one of them is enough."""

    model_config = _STRICT

    max: float | None = Field(default=None, allow_inf_nan=False, description="The largest allowed value.")
    min: float | None = Field(default=None, allow_inf_nan=False, description="The smallest allowed value.")

    @model_validator(mode="after")
    def _gives_a_limit(self) -> Self:
        if self.max is None and self.min is None:
            raise _fault("must give max, min or both", "write {max: 0.3}, or null for no limit")
        if self.max is not None and self.min is not None and self.min > self.max:
            raise _fault("max must be at least min")
        return self


class CountLimit(Limit):
    """The least and the most that a whole number may be; one of them is enough."""

    max: int | None = Field(default=None, ge=0, description="The largest allowed value.")
    min: int | None = Field(default=None, ge=0, description="The smallest allowed value.")


class ShareLimit(BaseModel):
    """The least that a share may be."""

    model_config = _STRICT

    min: float = Field(ge=0, le=1, description="The smallest allowed value, 0 to 1.")


_Limit = Annotated[Limit | None, BeforeValidator(partial(_bounds, example="{max: 0.3}"))]
_Count = Annotated[CountLimit | None, BeforeValidator(partial(_bounds, example="{max: 8}"))]
_Share = Annotated[ShareLimit | None, BeforeValidator(partial(_bounds, example="{min: 0.95}", sides="min"))]


class PassLimits(BaseModel):
    """How much servers may have to run for all jobs of a recipe together."""

    model_config = _STRICT

    first: _Count = Field(default=None, description="Sampler passes that start from an empty latent or a picture.")
    second: _Count = Field(default=None, description="Sampler passes that start from another pass's result.")
    loads: _Count = Field(default=None, description="Loads of checkpoints and diffusion models.")


class Expect(BaseModel):
    """The expectations for each job. Metrics of installed packages are fields, too."""

    model_config = ConfigDict(**{**_STRICT, "extra": "allow"})

    __pydantic_extra__: dict[str, _Limit] = Field(init=False)

    drift: _Limit = Field(default=None, description="How far the composition has moved, 0 to 2.")
    local_drift: _Limit = Field(default=None, description="The drift of the region that has drifted most, 0 to 2.")
    detail: _Limit = Field(default=None, description="Real detail that the plain upscale lacks, 0 to about 1.")
    noise: _Limit = Field(default=None, description="Noise that the original does not have, of full scale, 0 to 1.")
    blocks: _Limit = Field(default=None, description="How much stronger steps are on a regular grid, 0 to about 20.")
    seams: _Limit = Field(default=None, description="Height of the highest straight step or line, 0 to 255.")
    halos: _Limit = Field(default=None, description="How much more fine structures have gained than coarse ones, from 0.")
    colour_shift: _Limit = Field(default=None, description="Distance of the mean colours, from 0; 2.3 is just visible.")
    shift: _Limit = Field(default=None, description="How far the whole picture was moved, in pixels.")
    alignment: _Limit = Field(default=None, description="How far fine structures run along the original's edges, 0 to 1.")
    ringing: _Limit = Field(default=None, description="How much more the finest waves were amplified than the next, from 0.")
    repetition: _Limit = Field(default=None, description="How much fine structures resemble those elsewhere, 0 to 1.")
    dead_areas: _Limit = Field(default=None, description="Share that is flat where the plain upscale is not, 0 to 1.")
    vetoes: _Count = Field(default=None, description="How many vetoes a picture has, such as noise or seams.")
    seconds: _Limit = Field(default=None, description="How long the server worked on a job.")
    outputs: _Count = Field(default=None, description="How many files a job has.")
    bytes: _Count = Field(default=None, description="Size of each file.")
    width: _Count = Field(default=None, description="Pixels, of each picture but the original.")
    height: _Count = Field(default=None, description="Pixels, of each picture but the original.")
    distinct: bool | None = Field(default=None, description="Whether jobs that differ only in seeds must differ in their pixels.")
    passes: PassLimits | None = Field(default=None, description="What servers may run for all jobs of the recipe together.")
    similarity: _Share = Field(default=None, description="How similar pictures are to those of a baseline, 0 to 1.")

    @model_validator(mode="before")
    @classmethod
    def _knows_the_metrics(cls, value: Any) -> Any:
        given = value if isinstance(value, Mapping) else {}
        if further := [name for name in given if name not in cls.model_fields]:
            known = announced(METRICS)
            unknown = [name for name in further if name not in known]
            details = [InitErrorDetails(type="extra_forbidden", loc=(name,), input=given[name]) for name in unknown]
            if details:
                raise ValidationError.from_exception_data(cls.__name__, details)
        return value

    @property
    def metrics(self) -> dict[str, Limit]:
        """The limits of metrics by name, including those of installed packages."""
        given = {**{name: getattr(self, name) for name in METRIC_FIELDS}, **self.__pydantic_extra__}
        return {name: limit for name, limit in given.items() if limit is not None}

    def under(self, over: Expect | None) -> Expect:
        """Return these expectations overridden by others: a limit replaces the one of the same name, and null removes it."""
        if over is None:
            return self
        return Expect.model_validate({**self.model_dump(exclude_unset=True), **over.model_dump(exclude_unset=True)})
