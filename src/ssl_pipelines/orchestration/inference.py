"""The embed and search tools: which model, which images, where the answer goes, and whether it is there already."""

from __future__ import annotations

import logging
import re
from pathlib import Path

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.artifacts.code import Code, code_of
from ssl_pipelines.artifacts.lock import only_writer
from ssl_pipelines.artifacts.record import digest
from ssl_pipelines.data.config import DatasetConfig
from ssl_pipelines.inference.config import EmbedConfig, ModelChoice
from ssl_pipelines.inference.embed import write_embeddings
from ssl_pipelines.inference.embeddings import Embeddings
from ssl_pipelines.inference.encoder import ImageEncoder
from ssl_pipelines.inference.sources import KINDS, Images, Tables, open_source
from ssl_pipelines.methods.registry import class_root
from ssl_pipelines.orchestration.model_scores import model_eval_layer
from ssl_pipelines.orchestration.parameters import Parameters
from ssl_pipelines.orchestration.paths import home_root, lock_of, project_root
from ssl_pipelines.orchestration.rooms import CUT
from ssl_pipelines.orchestration.upstream import Upstream, chosen_model, in_full, registered_name
from ssl_pipelines.training.runtime import num_workers, set_up

EMBEDDINGS = "data/12_embeddings"
CODE = "ssl_pipelines.inference.encoder:ImageEncoder"
log = logging.getLogger("ssl_pipelines")


def embed(parameters: Parameters) -> Path:
    """The file of embeddings that `embed` asks for: made, or found where it was made from the same images and weights."""
    config = parameters.block("embed", EmbedConfig)
    if config.source is None:
        raise InputError(f"embed.source is not given: {KINDS}")
    return embeddings_of("embed", config, config.source, config.output, parameters)


def embeddings_of(block: str, config: ModelChoice, given: str, output: str | None, parameters: Parameters) -> Path:
    """The same for `<block>.source=<given>`. Raises InputError before anything is computed."""
    key = f"{block}.source={given!r}"
    source, model = source_of(key, given, parameters), chosen_model(block, config.model, parameters)
    out = project_root() / output if output else _default_place(given, model, config)
    there = Embeddings.found(out)
    _check_place(block, out, source, output, there)
    config = config.model_copy(update={"eval_layer": model_eval_layer(block, config.eval_layer, model)})
    code = code_of(CODE, class_root(str(model.facts["method"])), cut=CUT)
    recipe = _recipe(source, model, config, parameters)
    if _is_fresh(there, recipe, code, parameters, out):
        return out
    with only_writer(lock_of("embed", out)):
        encoder = encoder_of(block, config, model, parameters)
        about = {
            "recipe": recipe,
            "code": code.body(),
            "source": given,
            "model": {
                "given": config.model and in_full(config.model, registered_name(parameters)),
                "run_id": model.run_id,
                **model.facts,
            },
            "eval_layer": encoder.eval_layer,
            "size": encoder.spec.size,
        }
        counts = write_embeddings(encoder, source, about, config.batch_size, num_workers(parameters.runtime), out, key)
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
    return out


def source_of(key: str, given: str, parameters: Parameters) -> Images | Tables:
    return open_source(key, home_root() / given, parameters.block("dataset", DatasetConfig).max_pixels)


def encoder_of(block: str, config: ModelChoice, model: Upstream, parameters: Parameters) -> ImageEncoder:
    """`config.eval_layer` says the layer. Raises InputError where the model has no such layer."""
    return ImageEncoder(
        model.folder,
        eval_layer=config.eval_layer,
        key=f"{block}.eval_layer",
        device=set_up(parameters.runtime),
        max_pixels=parameters.block("dataset", DatasetConfig).max_pixels,
    )


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


def _recipe(source: Images | Tables, model: Upstream, config: ModelChoice, parameters: Parameters) -> str:
    raw = digest(sorted(source.raw_files()))
    limit = parameters.block("dataset", DatasetConfig).max_pixels
    return digest({"raw files": raw, "model": model.fingerprint, "eval_layer": config.eval_layer, "max_pixels": limit})


def _is_fresh(found: Embeddings | None, recipe: str, code: Code, parameters: Parameters, out: Path) -> bool:
    if found is None or found.about.get("recipe") != recipe:
        return False
    changed = bool(Code.of(found.about.get("code")).changed_in(code))
    if changed and parameters.runtime.on_code_change == "rerun":
        return False
    if changed:
        log.warning("embed: up to date, but code changed since (runtime.on_code_change=rerun makes it anew): %s", shown(out))
    else:
        log.info("embed: up to date: %s", shown(out))
    return True


def shown(path: Path) -> str:
    root = project_root()
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
