"""The embed and search tools: which model, which images, where the answer goes, and whether it is there already."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from pathlib import Path

from ssl_pipelines.artifacts import InputError, Record
from ssl_pipelines.artifacts.code import code_of
from ssl_pipelines.artifacts.lock import only_writer
from ssl_pipelines.artifacts.record import digest
from ssl_pipelines.inference.config import ModelChoice
from ssl_pipelines.inference.embed import write_embeddings
from ssl_pipelines.inference.embeddings import Embeddings
from ssl_pipelines.inference.encoder import ImageEncoder
from ssl_pipelines.inference.sources import KINDS, Images, Tables, open_source
from ssl_pipelines.methods.registry import class_root
from ssl_pipelines.orchestration.freshness.make import why_other
from ssl_pipelines.orchestration.models.choice import Models
from ssl_pipelines.orchestration.models.named import Upstream, in_full
from ssl_pipelines.orchestration.paths import home_root, lock_of, project_root, shown
from ssl_pipelines.orchestration.stages import CUT
from ssl_pipelines.training.runtime import RuntimeConfig, num_workers, set_up

EMBEDDINGS = "data/12_embeddings"
CODE = "ssl_pipelines.inference.encoder:ImageEncoder"
log = logging.getLogger("ssl_pipelines")


@dataclass(frozen=True, slots=True)
class Embedding:
    """How the tool `block` embeds images: by which model, in which batches, where."""

    block: str
    config: ModelChoice
    max_pixels: int
    runtime: RuntimeConfig
    models: Models

    def write(self, given: str | None, output: str | None = None) -> Path:
        """The file of embeddings of `<block>.source=<given>`: made, or found where it was made from the same images and weights.

        Raises InputError before anything is computed."""
        if given is None:
            raise InputError(f"{self.block}.source is not given: {KINDS}")
        key = f"{self.block}.source={given!r}"
        source, model = self.source(key, given), self.models.chosen(self.block, self.config.model)
        out = project_root() / output if output else _default_place(given, model, self.config)
        there = Embeddings.found(out)
        _check_place(self.block, out, source, output, there)
        config = self.config.model_copy(update={"eval_layer": self.models.eval_layer(self.block, self.config.eval_layer, model)})
        wanted = self._record(source, model, config)
        found = None if there is None else Record.of(there.about.get("record"))
        if there is not None and why_other("embed", found, wanted, self.runtime.on_code_change, shown(out)) is None:
            return out
        with only_writer(lock_of("embed", out)):
            self._embed(given, source, model, config, wanted, out, key)
        return out

    def source(self, key: str, given: str) -> Images | Tables:
        return open_source(key, home_root() / given, self.max_pixels)

    def encoder(self, config: ModelChoice, model: Upstream) -> ImageEncoder:
        """`config.eval_layer` says the layer. Raises InputError where the model has no such layer."""
        key, device = f"{self.block}.eval_layer", set_up(self.runtime)
        return ImageEncoder(model.folder, eval_layer=config.eval_layer, key=key, device=device, max_pixels=self.max_pixels)

    def _record(self, source: Images | Tables, model: Upstream, config: ModelChoice) -> Record:
        inputs = {"raw files": digest(sorted(source.raw_files())), "model": model.fingerprint}
        code = code_of(CODE, class_root(str(model.facts["method"])), cut=CUT)
        return Record({"eval_layer": config.eval_layer, "max_pixels": self.max_pixels}, inputs, code)

    def _embed(
        self, given: str, source: Images | Tables, model: Upstream, config: ModelChoice, wanted: Record, out: Path, key: str
    ) -> None:
        encoder = self.encoder(config, model)
        named = config.model and in_full(config.model, self.models.name)
        about = {
            "record": wanted.body(),
            "source": given,
            "model": {"given": named, "run_id": model.run_id, **model.facts},
            "eval_layer": encoder.eval_layer,
            "size": encoder.spec.size,
        }
        counts = write_embeddings(encoder, source, about, config.batch_size, num_workers(self.runtime), out, key)
        log.info(
            "embed: %s of %s images of %s, %s numbers each of eval layer %s: %s",
            f"{counts.usable:,}",
            f"{counts.images:,}",
            given,
            encoder.dim,
            encoder.eval_layer,
            shown(out),
        )
        if counts.errors:
            log.warning("embed: %s without an embedding: %s", f"{counts.errors.total():,}", counts.frequent())
        if source.left_out:
            kinds = ", ".join(f"{kind} ({count:,})" for kind, count in source.left_out.most_common(3))
            log.info("embed: no images, left out: %s", kinds)


def slug(given: str) -> str:
    """What a path is called in the name of what is made from it."""
    return re.sub(r"[^\w-]+", "_", Path(given).stem)[:40].strip("_") or "images"


def _default_place(given: str, model: Upstream, config: ModelChoice) -> Path:
    """One file for a source, a model and what was asked of it: what is stale is replaced."""
    return project_root() / EMBEDDINGS / f"{slug(given)}-{digest([given, model.fingerprint, config.eval_layer])[:8]}.parquet"


def _check_place(block: str, out: Path, source: Images | Tables, output: str | None, there: Embeddings | None) -> None:
    """`there`: what `out` holds. What embed has not written is not overwritten."""
    key = f"{block}.output={output!r}"
    parent = next(folder for folder in out.parents if folder.exists())
    if not parent.is_dir():
        raise InputError(f"{key}: {parent.name} is a file, a folder is expected there")
    if out.exists() and (there is None or not there.about):
        raise InputError(f"{key} exists and was not written by embed; remove it or give another name")
    if isinstance(source, Tables) and out.resolve().is_relative_to(source.root.resolve()):
        raise InputError(f"{key} lies in {block}.source, whose Parquet files are all read; give another place")
