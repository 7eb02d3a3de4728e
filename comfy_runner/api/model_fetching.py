"""Models that recipes name, brought to the ComfyUIs that are started by us, or only looked for; and the cache that they go through.

A ComfyUI by its URL is told of nothing: what it lacks is an error that says where it would come from.
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
    """What the caller of a run says of models.

    Attributes:
        fetch: Whether what is lacking is fetched, also where the config file does not say so.
        tell: Is told how far each has come; None for nobody.
    """

    fetch: bool = False
    tell: Tell | None = None


class PlanModels:
    """The models of a plan's recipes, for the ComfyUIs that are started by us.

    Args:
        config: Settings.
        options: What the caller says of models.
        say: Takes sentences about slow preparations; None for silence.

    Attributes:
        order: What they are to have; None where no job needs any, as long as `expect` has not been called.
    """

    def __init__(self, config: Config, options: FetchOptions, say: Callable[[str], None] | None) -> None:
        self._config, self._options, self._say = config, options, say or (lambda _sentence: None)
        self._provided: list[RecipeModels] = []
        self.order: ModelOrder | None = None

    def expect(self, drafts: Iterable[Draft]) -> None:
        """Learn which jobs there are to be done.

        Raises:
            RecipeError: What their recipes say of models does not fit together.
        """
        settings = self._config.models
        if needed := needed_models(drafts):
            from comfy_runner.engine.local.recipe_models import ModelOrder

            cache = cache_of(self._config)
            hosts = Hosts(settings.hosts, settings.tokens)
            self.order = ModelOrder(needed, hosts, self._options.fetch or settings.fetch, cache.folder, cache.limit)

    def provide(self, engines: Sequence[NamedEngine]) -> None:
        """Fetch and link what the local ComfyUI lacks, if it is among the engines; it stays in the cache until this is closed.

        Raises:
            UsageError: Something is lacking, and may not be fetched.
            ModelError: It cannot be fetched, or cannot be linked.
        """
        if (found := self._local(engines)) is not None:
            engine, models = found
            self._provided.append(models)
            models.provide(engine.object_info())

    def foresee(self, engines: Sequence[NamedEngine]) -> None:
        """Say what `provide` would fetch, and have the local ComfyUI count it as there.

        Raises:
            UsageError: Something is lacking, and may not be fetched.
        """
        if (found := self._local(engines)) is not None:
            engine, models = found
            expected = models.foresee(engine.object_info())
            if isinstance(engine, ComfyUIEngine):
                engine.expect_models(expected)

    def close(self) -> None:
        """Let others remove from the cache what was used here."""
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
    """Remove from the cache all that nobody uses now, with the links to it, and return it."""
    cache = cache_of(config)
    return [model for model in cache.models() if cache.remove(model.sha256)]
