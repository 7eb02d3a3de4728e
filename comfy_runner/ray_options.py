"""How a run uses Ray: its address, the number of actors, their resources, and the ComfyUI that each starts. Only values."""

from __future__ import annotations

from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from comfy_runner.errors import UsageError

MOST_ACTORS: Final = 10_000
"""Most actors that a run may ask for."""

PORT: Final = "{port}"
"""Stands in a command for the TCP port that its server is to listen on."""

Count = Annotated[int, Field(ge=1, le=MOST_ACTORS, strict=True)]


def _amounts(value: Any) -> Any:
    if isinstance(value, dict) and any(isinstance(amount, bool) for amount in value.values()):
        raise ValueError("a resource has an amount, such as 1 or 0.5")
    return value


class RayOptions(BaseModel):
    """The Ray actors of a run, from the section ``ray`` of the config file, ``--ray`` and related options.

    Attributes:
        address: The address of Ray: ``host:6379``, or ``auto`` if this machine is one of its nodes; empty for a Ray that is started
            on loopback for this run, and stopped with it.
        min: The number of actors that must answer before anything is rendered.
        max: The most actors; None for as many as Ray has room for when the run begins.
        resources: The Ray resources of each actor, such as ``{"GPU": 1}`` or ``{"GPU": 0.5, "fast_disk": 1}``; empty for
            one GPU if Ray has any, else one CPU.
        command: The shell command that starts a ComfyUI on ``{port}`` of 127.0.0.1; empty for the local ComfyUI of the settings:
            the one that is set up here, or the checkout that they name.
        in_flight: The most jobs that an actor has at once; None for the run's own number.
        start_timeout: Seconds within which Ray must place the first `min` actors, and their servers must answer.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    address: str = ""
    min: Count = 1
    max: Count | None = None
    resources: Annotated[
        dict[Annotated[str, Field(min_length=1)], Annotated[float, Field(ge=0, allow_inf_nan=False)]], BeforeValidator(_amounts)
    ] = {}
    command: str = ""
    in_flight: int | None = Field(default=None, ge=1, le=16, strict=True)
    start_timeout: float = Field(default=600.0, gt=0, allow_inf_nan=False)

    def changed(self, **changes: Any) -> RayOptions:
        """Return these options with some replaced. They are named like the options of the command line.

        Raises:
            UsageError: An option is wrong, or options contradict each other.
        """
        try:
            return RayOptions.model_validate({**self.model_dump(exclude_unset=True), **changes})
        except ValidationError as error:
            detail = error.errors()[0]
            where = "-".join(("--ray", *map(str, detail["loc"][:1])))
            what = str(detail["msg"]).removeprefix("Value error, ")
            raise UsageError(what[:1].lower() + what[1:], where=where) from error

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        if self.max is not None and self.max < self.min:
            raise ValueError(f"max must be at least min, {self.min} (got {self.max})")
        if self.command and PORT not in self.command:
            raise ValueError(f"command must contain {PORT}, the port on which its server listens")
        if self.resources and not any(self.resources.values()):
            raise ValueError("resources must give an amount above 0 for at least one of them")
        return self
