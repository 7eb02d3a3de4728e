"""The models that recipes name: fetched for, or looked for on, the ComfyUIs that we start; and the cache of models.

Nothing is fetched for a ComfyUI given by its URL: a missing model is an error that names its source.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from comfy_runner.config import Config, cache_folder
from comfy_runner.engine.comfyui.address import is_loopback
from comfy_runner.engine.comfyui.engine import ComfyUIEngine
from comfy_runner.engine.interface import Engine, NamedEngine
from comfy_runner.engine.registry import local_options, local_url
from comfy_runner.errors import ConfigError
from comfy_runner.model_files.cache import CachedModel, ModelCache
from comfy_runner.model_files.fetch import Tell
from comfy_runner.model_files.hosts import Hosts
from comfy_runner.planning.draft import Draft
from comfy_runner.planning.models import needed_models

if TYPE_CHECKING:  # it brings the whole local ComfyUI along
    from comfy_runner.engine.local.recipe_models import ModelOrder, RecipeModels


@dataclass(frozen=True, slots=True)
class FetchOptions:
    """The caller's options for the models of a run.

    Attributes:
        fetch: Whether missing models are fetched even if the config file does not say so.
        tell: Called with the progress of each download; None for nothing.
    """

    fetch: bool = False
    tell: Tell | None = None


class PlanModels:
    """The models of a plan's recipes, for the ComfyUIs that we start.

    Args:
        config: Settings.
        options: The caller's options.
        say: Called with a sentence about each slow preparation; None for silence.

    Attributes:
        order: The models that they need; None if no job needs any, or before `expect` is called.
    """

    def __init__(self, config: Config, options: FetchOptions, say: Callable[[str], None] | None) -> None:
        self._config, self._options, self._say = config, options, say or (lambda _sentence: None)
        self._provided: list[RecipeModels] = []
        self.order: ModelOrder | None = None

    def expect(self, drafts: Iterable[Draft]) -> None:
        """Learn which jobs are to be done.

        Raises:
            RecipeError: Their recipes contradict each other about a model.
        """
        settings = self._config.models
        if needed := needed_models(drafts):
            from comfy_runner.engine.local.recipe_models import ModelOrder

            cache = cache_of(self._config)
            hosts = Hosts(settings.hosts, settings.tokens)
            self.order = ModelOrder(needed, hosts, self._options.fetch or settings.fetch, cache.folder, cache.limit)

    def provide(self, engines: Sequence[NamedEngine]) -> None:
        """Fetch and link the models that the local ComfyUI lacks, if it is among the engines; the cache keeps them until `close`.

        Raises:
            UsageError: A model is missing and may not be fetched.
            ModelError: It cannot be fetched, or cannot be linked.
        """
        if (found := self._local(engines)) is not None:
            engine, models = found
            self._provided.append(models)
            models.provide(engine.object_info())

    def foresee(self, engines: Sequence[NamedEngine]) -> None:
        """Say what `provide` would fetch, and let the local ComfyUI count it as present.

        Raises:
            UsageError: A model is missing and may not be fetched.
        """
        if (found := self._local(engines)) is not None:
            engine, models = found
            expected = models.foresee(engine.object_info())
            if isinstance(engine, ComfyUIEngine):
                engine.expect_models(expected)

    def close(self) -> None:
        """Allow others to remove the models used here from the cache."""
        for models in self._provided:
            models.close()

    def _local(self, engines: Sequence[NamedEngine]) -> tuple[Engine, RecipeModels] | None:
        if self.order is None or not any(is_loopback(each.engine.url) for each in engines):
            return None
        from comfy_runner.engine.local.recipe_models import RecipeModels

        url = local_url(self._config)
        engine = next((each.engine for each in engines if each.engine.url == url), None)
        folder = local_options(self._config).shared_models
        return None if engine is None else (engine, RecipeModels(self.order, folder, say=self._say, tell=self._options.tell))


def cache_of(config: Config) -> ModelCache:
    """Return the cache of models that the settings name.

    Raises:
        ConfigError: They name none, and the user has no home folder.
    """
    usual = cache_folder()
    folder = config.models.cache or (usual and usual / "models")
    if folder is None:
        raise ConfigError(
            "the user has no home folder", where="models.cache", hint="name a folder in the config file: models: {cache: DIR}"
        )
    return ModelCache(folder, config.models.cache_size)


def clean_models(config: Config) -> list[CachedModel]:
    """Remove all models that are not in use from the cache, with their links, and return them."""
    cache = cache_of(config)
    return [model for model in cache.models() if cache.remove(model.sha256)]
