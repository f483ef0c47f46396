"""diagnose: what the representation is like, beside the same numbers without pretraining: alignment and uniformity, ranks and
spectrum, invariance to each augmentation, and how far it agrees with labels. Images of train and validation; test is never read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from ssl_pipelines.algorithms.bootstrap import DRAWS, interval
from ssl_pipelines.algorithms.eigenspectrum import covariance_eigenvalues
from ssl_pipelines.artifacts import new_file, write_json
from ssl_pipelines.data import Store
from ssl_pipelines.data.seeding import generator
from ssl_pipelines.evaluation import measures
from ssl_pipelines.evaluation.config import DiagnoseConfig
from ssl_pipelines.evaluation.errors import NotApplicable
from ssl_pipelines.evaluation.features import area_pixels, set_statistics
from ssl_pipelines.evaluation.measures import Measured, Resampling, mean_of
from ssl_pipelines.evaluation.progress import progress
from ssl_pipelines.evaluation.protocols import described
from ssl_pipelines.evaluation.scores import Score
from ssl_pipelines.evaluation.stored import PIXELS, RANDOM_INIT, RAW_PIXELS, TRAINED, StoredFeatures
from ssl_pipelines.evaluation.transformed import AS_IT_IS, BATCH, TRANSFORMS, Embed, embed_all, training_recipes
from ssl_pipelines.methods.base import Method
from ssl_pipelines.training.model import load_method, random_method
from ssl_pipelines.training.runtime import RuntimeConfig, set_up
from ssl_pipelines.views.plan import ViewRecipe

ROOM = "diagnose"
LEAST = 10  # images
ORDER = (
    "alignment", "uniformity", "different_images_cosine", *(f"invariance_{name}" for name in TRANSFORMS), "rankme", "projection_rankme",
    "lidar", "effective_dimension", "alpha", "alpha_r2", "neighbor_purity", "kmeans_nmi", "kmeans_ari",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sample:
    """The images that are diagnosed: `ids` by their stored features; `viewed`, a part of them, by views that have to be encoded."""

    store: Store
    ids: NDArray[np.int64]
    viewed: NDArray[np.int64]
    splits: str

    @staticmethod
    def of(store: Store, config: DiagnoseConfig, seed: int) -> Sample:
        splits = [split for split in ("train", "validation") if len(store.ids(split))] or ["unlabeled"]
        drawn = generator(seed, "evaluation/diagnose").permutation(store.ids(*splits))
        if len(drawn) < LEAST:
            raise NotApplicable(
                f"{ROOM} needs at least {LEAST} images that are not test images, and {store.name!r} has {len(drawn)}"
            )
        ids, viewed = np.sort(drawn[: config.images]), np.sort(drawn[: min(config.images, config.view_images)])
        return Sample(store, ids, viewed, " and ".join(splits))

    def said(self, ids: NDArray) -> str:
        return f"{len(ids):,} images of {self.splits}"


@dataclass(frozen=True, slots=True)
class Network:
    """Encodes views: a method at one layer, or raw pixels, which have neither projection nor rank."""

    embed: Embed
    project: Embed | None
    said: str
    ranked: bool = True


def diagnose(
    model: Path, store: Path, features: Path, config: DiagnoseConfig, eval_layer: str, seed: int, runtime: RuntimeConfig, out: Path
) -> list[Score]:
    """Writes diagnose.json and diagnose.spectra.parquet (source, rank, eigenvalue) into `out`.

    Raises NotApplicable with fewer than 10 images, InputError for a layer that the encoder has not."""
    sample, stored, device = Sample.of(Store.open(store), config, seed), StoredFeatures.open(features), set_up(runtime)
    layer, again = stored.eval_layer(eval_layer, "diagnose.eval_layer"), Resampling(seed)
    fresh = stored.random_inits[: config.random_init_seeds]
    method = load_method(model).to(device)
    found: dict[str, dict[str, Measured]] = {}
    spectra: dict[str, Tensor] = {}
    with progress(ROOM, len(stored.random_inits) + len(fresh) + 3, "looks") as advance:
        for source in (TRAINED, *stored.random_inits, RAW_PIXELS):
            found[source] = _by_stored(stored, source, layer, sample, config, seed, again, spectra)
            advance(1)
        look = Look(sample, method.image_size, training_recipes(method), config.views, seed, device, again)
        found[TRAINED] |= look.at(_network(method, layer, device))
        advance(1)
        for i, source in enumerate(fresh):
            other = random_method(model, seed + i).to(device)
            set_statistics(other, sample.store, BATCH, seed + i, device, _whole(other))
            found[source] |= look.at(_network(other, layer, device))
            advance(1)
        found[RAW_PIXELS] |= look.at(Network(area_pixels, None, "raw pixels", ranked=False))
    sources = {None: [TRAINED], RANDOM_INIT: list(stored.random_inits), RAW_PIXELS: [RAW_PIXELS]}
    scores = [
        _score(name, baseline, [found[one][name] for one in names if name in found[one]], seed, layer)
        for name in ORDER
        for baseline, names in sources.items()
        if any(name in found[one] for one in names)
    ]
    with new_file(out / f"{ROOM}.spectra.parquet") as partial:
        _table(spectra).to_parquet(partial, index=False)
    write_json(out / f"{ROOM}.json", [asdict(score) for score in scores])
    return scores


@dataclass(frozen=True, slots=True)
class Look:
    """Measures every network on the same transformed images."""

    sample: Sample
    size: int  # px
    recipes: list[ViewRecipe]
    views: int
    seed: int
    device: torch.device
    again: Resampling

    def at(self, network: Network) -> dict[str, Measured]:
        where = f"{network.said}, {self.sample.said(self.sample.viewed)}"
        plain = self._through(network.embed, self.sample.viewed)
        found = measures.between_images(plain, self.again, where)
        for name, transform in TRANSFORMS.items():
            if transform.fits(self.sample.store.channels):
                changed = self._through(network.embed, self.sample.viewed, name, transform.recipe)
                found[f"invariance_{name}"] = measures.invariance(plain, changed, self.again, transform.said, where)
        found |= self._at_views(network, where)
        if network.project is not None:
            every = self._through(network.project, self.sample.ids)
            said = f"projection ({every.shape[1]} dims), {self.sample.said(self.sample.ids)}"
            found["projection_rankme"] = measures.rank_of(every, said)
        return found

    def _at_views(self, network: Network, where: str) -> dict[str, Measured]:
        """Measures on the training's views; empty where the method draws no two different views of an image."""
        if torch.equal(*(self._view(area_pixels, k) for k in (0, 1))):
            return {}
        first, second = (self._view(network.embed, k) for k in (0, 1))
        found = {"alignment": measures.aligned(first, second, self.again, f"two of the training's views an image; {where}")}
        if network.ranked:
            embed = network.project or network.embed
            views = torch.stack([self._view(embed, k) for k in range(self.views)], 1)  # (n, q, D)
            what = f"projection ({views.shape[2]} dims)" if network.project else network.said
            said = f"the training's views; {what}, {self.sample.said(self.sample.viewed)}"
            found["lidar"] = measures.discriminant_rank(views, said)
        return found

    def _view(self, embed: Embed, k: int) -> Tensor:
        return self._through(embed, self.sample.viewed, f"view{k}", self.recipes[k % len(self.recipes)])

    def _through(self, embed: Embed, ids: NDArray, name: str = "plain", recipe: ViewRecipe = AS_IT_IS) -> Tensor:
        return embed_all(embed, self.sample.store, ids, self.size, self.device, self.seed, name, recipe)


def _network(method: Method, layer: str, device: torch.device) -> Network:
    method.eval()
    one = torch.zeros(1, method.in_channels, method.image_size, method.image_size, device=device)
    with torch.no_grad():
        dim, projects = method.stages(one)[layer].shape[1], method.project(one) is not None

    def project(images: Tensor) -> Tensor:
        z = method.project(images)
        assert z is not None
        return z

    return Network(lambda images: method.stages(images)[layer], project if projects else None, f"eval layer {layer} ({dim} dims)")


def _whole(method: Method) -> Callable[[Tensor], object]:
    """Runs images through encoder and projector, so that the batch norms of both get their statistics."""
    return lambda images: (method.stages(images), method.project(images))


def _by_stored(
    stored: StoredFeatures, source: str, layer: str, sample: Sample, config: DiagnoseConfig, seed: int, again: Resampling,
    spectra: dict[str, Tensor],
) -> dict[str, Measured]:  # fmt: skip
    """Measures that need no views. Raw pixels get no spectrum, which is comparable between spaces of one width alone."""
    pixels = source == RAW_PIXELS
    rows = torch.from_numpy(stored.rows(source, PIXELS if pixels else layer, sample.ids))
    said = "raw pixels" if pixels else f"eval layer {layer} ({rows.shape[1]} dims)"
    found = {}
    if not pixels:
        spectra[source] = covariance_eigenvalues(rows)
        found = measures.spectral(rows, spectra[source], f"{said}, {sample.said(sample.ids)}")
    labels = sample.store.labels(sample.ids)
    known = labels >= 0
    if len(np.unique(labels[known])) < 2:
        return found
    where = f"{said}, {sample.said(sample.ids[known])}"
    there = torch.from_numpy(known)
    return found | measures.labeled(rows[there], labels[known], config.neighbors, config.kmeans_starts, seed, again, where)


def _score(name: str, baseline: str | None, seeds: list[Measured], seed: int, layer: str) -> Score:
    measured = mean_of(seeds)
    low, high = (None, None) if measured.resampled is None else interval(measured.resampled)
    how = f"bootstrap over images, {DRAWS:,} draws, percentile 95%" if measured.resampled is not None else "no interval"
    metric = f"{ROOM}.{f'{baseline}_' if baseline else ''}{name}"
    return Score(metric, measured.value, low, high, measured.n, described(f"{measured.protocol}; {how}"), seed, baseline, layer)


def _table(spectra: dict[str, Tensor]) -> pd.DataFrame:
    """The spectra as rows of source, rank (from 1) and eigenvalue."""
    return pd.concat(
        [
            pd.DataFrame({"source": source, "rank": np.arange(1, len(values) + 1), "eigenvalue": values.numpy()})
            for source, values in spectra.items()
        ],
        ignore_index=True,
    )
