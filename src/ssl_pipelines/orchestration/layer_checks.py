"""Layers that parameters name, held against those of the run's network before any stage runs: the network is built untrained."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.artifacts.errors import unknown
from ssl_pipelines.data.config import DatasetConfig
from ssl_pipelines.evaluation.config import FewLabelsConfig, FinetuneConfig, FinetuneRecipe
from ssl_pipelines.orchestration.parameters import Parameters
from ssl_pipelines.orchestration.stages import project_stages

if TYPE_CHECKING:
    from ssl_pipelines.methods.base import Method

SAMPLES = 65_536  # a memory bank has a row for each; as many as the longest usual queue, so that few given sizes exceed it
COLORS = 3  # channels, where the data set decides them
CLASSES = 2
LAYER = "eval_layer"  # the key by which a stage can be told another layer


def check_layers(parameters: Parameters, stages: Collection[str]) -> None:
    """Raises InputError, one line, for a layer or a number of layers that `<stage>.eval_layer` or the recipe of a fine-tuning names and
    the network of `method` and `backbone` does not have. `stages`: those that the command runs.

    Costs nothing where no such key is given, and else the building of one network. A network that cannot be built is not judged here:
    pretraining refuses it before its first step, in words of its own."""
    named = {key: layer for key, layer in _layers(parameters) if layer is not None and key.partition(".")[0] in stages}
    tuned = {key: recipe for key, recipe in _recipes(parameters) if key.partition(".")[0] in stages and _is_bound(recipe)}
    if not named and not tuned:
        return
    from ssl_pipelines.evaluation.eval_layer import eval_layers
    from ssl_pipelines.evaluation.few_labels import BEST

    try:
        layers = eval_layers(_untrained(parameters))
    except InputError:
        return
    for key, layer in named.items():
        allowed = (*layers, BEST) if key.startswith("few_labels.") else layers
        if layer not in allowed:
            raise unknown(key, layer, allowed)
    for key, recipe in tuned.items():
        _check_recipe(key.removesuffix("finetune"), recipe, _untrained(parameters))


def _untrained(parameters: Parameters) -> Method:
    """The network of `method` and `backbone` with fresh weights, built for `SAMPLES` images of the size and channels that `dataset` gives."""
    from ssl_pipelines.training.model import build_method

    dataset = parameters.block("dataset", DatasetConfig)
    channels = COLORS if dataset.channels == "auto" else int(dataset.channels)
    statistics = {"mean": [0.5] * channels, "std": [0.25] * channels}
    data = {"channels": channels, "size": dataset.size, "num_samples": SAMPLES, **statistics}
    return build_method(parameters.run, data, parameters.run.seed).eval()


def _check_recipe(prefix: str, recipe: FinetuneRecipe, method: Method) -> None:
    """`prefix`: what stands before `finetune.` in the keys of this recipe."""
    from ssl_pipelines.evaluation.layers import freeze
    from ssl_pipelines.methods.classifier import Classifier

    try:
        freeze(Classifier(method, CLASSES, 0, recipe.stage), recipe)
    except InputError as error:
        raise InputError(f"{prefix}{error}") from None


def _layers(parameters: Parameters) -> Iterator[tuple[str, str | None]]:
    """Of the stages alone: a tool may read another model than this project's."""
    for stage in project_stages().making:
        if hasattr(parameters.blocks.get(stage.name), LAYER):
            yield f"{stage.name}.{LAYER}", getattr(parameters.blocks[stage.name], LAYER)


def _recipes(parameters: Parameters) -> Iterator[tuple[str, FinetuneRecipe]]:
    yield "finetune", parameters.block("finetune", FinetuneConfig)
    few = parameters.block("few_labels", FewLabelsConfig).finetune
    if few.draws:
        yield "few_labels.finetune", few


def _is_bound(recipe: FinetuneRecipe) -> bool:
    """Whether the recipe names parts of a certain network."""
    return recipe.stage is not None or isinstance(recipe.trainable, int)
