"""Measures of one network's features: from their spectrum, from labels, and from views of the same image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from torch import Tensor

from ssl_pipelines.algorithms.agreement import clusters, neighbor_purity
from ssl_pipelines.algorithms.bootstrap import Floats, pair_mean, resampled_means, resampled_pair_means, resamples
from ssl_pipelines.algorithms.cosines import cosine, cosine_matrix, gaussian_potential, squared_distance
from ssl_pipelines.algorithms.eigenspectrum import participation_ratio, power_law
from ssl_pipelines.algorithms.lidar import lidar
from ssl_pipelines.algorithms.spectra import effective_rank
from ssl_pipelines.data.seeding import generator
from ssl_pipelines.views import randomness


@dataclass(frozen=True, slots=True)
class Measured:
    """A value over n images. `resampled`: its values in bootstrap samples of them (draws,); None where these would mislead: a sample
    with repetitions spans fewer directions, and its neighbors and clusters are its own copies."""

    value: float
    n: int
    protocol: str
    resampled: Floats | None = None


def mean_of(seeds: Sequence[Measured]) -> Measured:
    """The mean over a baseline's seeds, of values and of bootstrap samples, which are drawn alike for all seeds."""
    draws = [one.resampled for one in seeds if one.resampled is not None]
    said = " | ".join(dict.fromkeys(one.protocol for one in seeds))
    protocol = f"mean of {len(seeds)} seeds: {said}" if len(seeds) > 1 else said
    value = float(np.mean([one.value for one in seeds]))
    return Measured(value, seeds[0].n, protocol, np.mean(draws, axis=0) if draws else None)


@dataclass(frozen=True, slots=True)
class Resampling:
    """The bootstrap samples of n images, the same for every network, so that compared networks share the noise of sampling."""

    seed: int
    made: dict[int, Floats] = field(default_factory=dict)

    def counts(self, n: int) -> Floats:
        if n not in self.made:
            self.made[n] = resamples(n, generator(self.seed, "bootstrap/diagnose"))
        return self.made[n]

    def over_images(self, values: Tensor, protocol: str) -> Measured:
        """Measured mean of `values` (n,) float64, one for each image."""
        numbers = values.numpy()
        return Measured(float(numbers.mean()), len(numbers), protocol, resampled_means(numbers, self.counts(len(numbers))))

    def over_pairs(self, kernel: Tensor, protocol: str) -> Measured:
        """Measured mean of `values` (n, n) float64 without their diagonal."""
        numbers = kernel.numpy()
        return Measured(pair_mean(numbers), len(numbers), protocol, resampled_pair_means(numbers, self.counts(len(numbers))))


def spectral(rows: Tensor, eigenvalues: Tensor, where: str) -> dict[str, Measured]:
    """rankme, effective_dimension, and alpha with its r2 where there are dimensions enough.   rows (n, D), their eigenvalues (D,)."""
    n = len(rows)
    found = {
        "rankme": rank_of(rows, where),
        "effective_dimension": Measured(participation_ratio(eigenvalues), n, f"participation ratio of the covariance; {where}"),
    }
    law = power_law(eigenvalues)
    if law is not None:
        how = f"alpha-ReQ, eigenvalues {law.first} to {law.last} of the covariance, weights 1/j; {where}"
        found |= {"alpha": Measured(law.alpha, n, how), "alpha_r2": Measured(law.r2, n, f"of the fit of {how}")}
    return found


def rank_of(rows: Tensor, where: str) -> Measured:
    bound = f", at most {len(rows):,} by the number of images" if len(rows) < rows.shape[1] else ""
    return Measured(float(effective_rank(rows)), len(rows), f"RankMe, singular values, not centered{bound}; {where}")


def labeled(
    rows: Tensor, labels: NDArray, neighbors: int, restarts: int, seed: int, again: Resampling, where: str
) -> dict[str, Measured]:
    """neighbor_purity, kmeans_nmi, kmeans_ari.   rows (n, D), labels (n,), none missing, at least two different."""
    n, classes, k = len(rows), len(np.unique(labels)), min(neighbors, len(rows) - 1)
    purity = neighbor_purity(rows, torch.from_numpy(labels), k)
    found = clusters(rows, classes, restarts, randomness.generator(seed, "diagnose/kmeans")).numpy()
    how = f"spherical k-means, as many clusters as classes ({classes}), best of {restarts} starts; {where}"
    return {
        "neighbor_purity": again.over_images(purity, f"share of the {k} nearest others by cosine with the same label; {where}"),
        "kmeans_nmi": Measured(float(normalized_mutual_info_score(labels, found)), n, f"NMI, arithmetic mean; {how}"),
        "kmeans_ari": Measured(float(adjusted_rand_score(labels, found)), n, f"adjusted Rand index; {how}"),
    }


def between_images(plain: Tensor, again: Resampling, where: str) -> dict[str, Measured]:
    """uniformity, different_images_cosine.   plain (n, D): features of the images as they are."""
    cosines = cosine_matrix(plain)
    potential = again.over_pairs(gaussian_potential(cosines), f"uniformity, t = 2, on the sphere; {where}")
    assert potential.resampled is not None
    return {
        "uniformity": Measured(float(np.log(potential.value)), potential.n, potential.protocol, np.log(potential.resampled)),
        "different_images_cosine": again.over_pairs(cosines, f"mean cosine of different images; {where}"),
    }


def invariance(plain: Tensor, changed: Tensor, again: Resampling, what: str, where: str) -> Measured:
    """The mean cosine of an image's features with those of its transformed self.   (n, D), (n, D).

    Ericsson et al. 2022, arXiv:2111.11398, section 3. It is read beside `different_images_cosine`."""
    return again.over_images(cosine(plain, changed), f"mean cosine of an image with itself after {what}; {where}")


def aligned(first: Tensor, second: Tensor, again: Resampling, where: str) -> Measured:
    """mean_i |u_i - v_i|^2 of unit rows.   (n, D), (n, D). Wang & Isola 2020, arXiv:2005.10242, section 4.1, alpha = 2."""
    return again.over_images(squared_distance(cosine(first, second)), f"alignment, alpha = 2, on the sphere; {where}")


def discriminant_rank(views: Tensor, where: str) -> Measured:
    """LiDAR of q views for each of n images, (n, q, D)."""
    n, q, d = views.shape
    bound = f", at most {n - 1:,} by the number of images" if n - 1 < d else ""
    return Measured(lidar(views), n, f"LiDAR, {q} views of {n:,} images as classes, delta 1e-4, eps 1e-8{bound}; {where}")
