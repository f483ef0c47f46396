"""The collapse monitor: spread and effective rank of what is evaluated and of what the loss compares, and a small kNN, measured on
a fixed sample in evaluation mode."""

from __future__ import annotations

import logging

import numpy as np
import torch

from ssl_pipelines.algorithms.neighbors import knn_predict
from ssl_pipelines.algorithms.spectra import effective_rank, embedding_std
from ssl_pipelines.artifacts import InputError
from ssl_pipelines.data import Store
from ssl_pipelines.methods.base import Method
from ssl_pipelines.methods.likelihood import LikelihoodMethod
from ssl_pipelines.training.embedding import embed_images
from ssl_pipelines.training.events import Events
from ssl_pipelines.training.randomness import derive

SAMPLE, BANK, QUERIES = 512, 1000, 500  # images that a look reads, where at least as many are trained on between two looks
LEAST_SHARE = 0.25  # smallest share of these numbers, for runs so short that full looks would take longer than training
EMBEDDING = ("watch/embedding_std", "watch/effective_rank")  # of what is evaluated
PROJECTION = ("watch/projection_std", "watch/projection_rank")  # of what the loss compares
NAMES = {"embedding": EMBEDDING, "projection": PROJECTION}
LEAST_STD, LEAST_RANK, PATIENCE = 1e-2, 1.5, 2  # embedding_std is 1 for an isotropic embedding, 0 for a point

log = logging.getLogger("ssl_pipelines")


class Watch:
    """Measures the encoder at intervals. The labeled sample is of train and validation; test is never read.

    `between`: images trained on from one look to the next; a look reads no more images than that, but always a smallest share of
    its full sample."""

    def __init__(self, store: Store, seed: int, device: torch.device, between: int = SAMPLE + BANK + QUERIES):
        self.store, self.device = store, device
        share = min(1.0, max(LEAST_SHARE, between / (SAMPLE + BANK + QUERIES)))
        most_sampled, most_banked, most_asked = (int(count * share) for count in (SAMPLE, BANK, QUERIES))
        random = np.random.default_rng(derive(seed, "watch"))

        def draw(ids: np.ndarray, count: int) -> np.ndarray:
            return np.sort(random.permutation(ids)[:count])

        self.sample = draw(store.pretraining_ids(), most_sampled)
        train = store.ids("train")
        train = train[store.labels(train) >= 0]
        validation = store.ids("validation")
        validation = validation[store.labels(validation) >= 0]
        if len(validation):
            self.bank, self.queries = draw(train, most_banked), draw(validation, most_asked)
        else:
            both = random.permutation(train)[: most_banked + most_asked]
            cut = len(both) * most_banked // (most_banked + most_asked)
            self.bank, self.queries = np.sort(both[:cut]), np.sort(both[cut:])
        self.bad_looks = 0

    @torch.no_grad()
    def look(self, method: Method) -> dict[str, float]:
        """{"watch/embedding_std", "watch/effective_rank", the same of the projection where there is one, "watch/knn_top1" where there
        are labels}. Leaves the method as it was."""
        was_training = method.training
        method.eval()
        found: dict[str, float] = {}
        for (std, rank), function in (EMBEDDING, method.encode), (PROJECTION, method.project):
            z = embed_images(self.store, self.sample, function, method.image_size, self.device)
            if z is not None:
                found |= {std: float(embedding_std(z)), rank: float(effective_rank(z))}
        if len(self.bank) and len(self.queries):
            bank_labels = torch.from_numpy(self.store.labels(self.bank))
            labels = torch.from_numpy(self.store.labels(self.queries))
            classes = int(bank_labels.max()) + 1
            k = min(20, len(self.bank))
            both = (self.bank, self.queries)
            bank, queries = (embed_images(self.store, ids, method.encode, method.image_size, self.device) for ids in both)
            assert bank is not None
            assert queries is not None
            guess = knn_predict(bank, bank_labels, queries, k, 0.07, classes)
            found["watch/knn_top1"] = float((guess == labels).float().mean())
        method.train(was_training)
        return found

    def report(self, method: Method, events: Events, step: int, on_collapse: str) -> None:
        """Measures and logs. Warns of a collapse, or raises Stopped where `on_collapse` is "stop"."""
        found = self.look(method)
        for name, value in found.items():
            events.number(step, name, value)
        if isinstance(method, LikelihoodMethod):
            # A likelihood needs every pixel and cannot collapse; on dark images of few levels its rank is low from the start.
            return
        verdict = self.judge(found)
        if verdict and on_collapse == "stop":
            raise Stopped(f"{verdict} at step {step}: stopped, the last good checkpoint is kept (runtime.on_collapse=warn goes on)")
        if verdict:
            log.warning("pretrain: %s at step %d", verdict, step)

    def judge(self, found: dict[str, float]) -> str | None:
        """A sentence when the embedding or the projection has been collapsed for `PATIENCE` looks in a row, else None."""
        looks = {name: (found[keys[0]], found[keys[1]]) for name, keys in NAMES.items() if keys[0] in found}
        dead = {
            name: (std, rank) for name, (std, rank) in looks.items() if not std >= LEAST_STD or not rank >= LEAST_RANK
        }  # NaN fails both comparisons, so it counts as collapsed
        self.bad_looks = self.bad_looks + 1 if dead else 0
        if self.bad_looks < PATIENCE:
            return None
        name, (std, rank) = next(iter(dead.items()))
        wanted = f"at least {LEAST_STD:g} and {LEAST_RANK:g} are wanted"
        return f"the {name} has collapsed: standard deviation {std:.2g}, effective rank {rank:.2f} ({wanted})"


class Stopped(InputError):
    """The training ended itself: NaN, collapse, out of memory. The last good checkpoint is kept."""
