"""The search tool: an index kept fresh, the queries, and what was found as a table and as a page of pictures."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ssl_pipelines.artifacts import InputError, new_folder
from ssl_pipelines.artifacts.layer import FINAL
from ssl_pipelines.artifacts.lock import only_writer
from ssl_pipelines.artifacts.record import digest
from ssl_pipelines.data.decode import DecodeSpec, Pixels, Unusable, decode
from ssl_pipelines.data.fitting import kept_sides
from ssl_pipelines.inference.config import SearchConfig
from ssl_pipelines.inference.embed import embedded
from ssl_pipelines.inference.embeddings import Embeddings
from ssl_pipelines.inference.encoder import ImageEncoder, Vectors
from ssl_pipelines.inference.search import Found, Query, find
from ssl_pipelines.inference.sources import KINDS, PARQUET, Images, Tables
from ssl_pipelines.orchestration.models.embeddings import Embedding, slug
from ssl_pipelines.orchestration.paths import home_root, lock_of, project_root, shown
from ssl_pipelines.reporting.search_page import Hit, Section, write_search_page
from ssl_pipelines.training.runtime import num_workers

FOLDER = "data/13_search"
PAGE, TABLE = "search.html", "results.csv"
MOST_QUERIES = 10_000
SIDE = 192  # pixels of a picture on the page, at most
log = logging.getLogger("ssl_pipelines")


def write_answers(config: SearchConfig, embedding: Embedding) -> Path:
    """Writes results.csv and search.html into search.output; returns that folder. Raises InputError before anything is computed."""
    if config.source is None:
        raise InputError(f"search.source is not given: {KINDS}, or a file that embed wrote")
    if config.query is None:
        raise InputError(f"search.query is not given: {KINDS}")
    asked = embedding.source(f"search.query={config.query!r}", config.query)
    if asked.total_files > MOST_QUERIES:
        raise InputError(f"search.query={config.query!r} holds {asked.total_files:,} images, allowed are {MOST_QUERIES:,}")
    out = _place(config)
    index, config, encoder = _index(config, config.source, embedding)
    queries, vectors = _queries(encoder, asked, config.batch_size, num_workers(embedding.runtime))
    if not len(vectors):
        raise InputError(f"search.query={config.query!r}: no image of it can be read: {queries[0].error}")
    found = find(index, queries, vectors, config.k)
    if not any(found):
        raise InputError(f"search.source={config.source!r} has no image with an embedding to compare with")
    with only_writer(lock_of("search", out)), new_folder(out) as folder:
        _table(queries, found).to_csv(folder / TABLE, index=False)
        _page(folder / PAGE, queries[: config.shown], found, index, asked, config, encoder, embedding)
    log.info("search: %s of %s queries answered, the %d nearest of %s images: %s", f"{len(vectors):,}", f"{len(queries):,}", max(map(len, found)),
             f"{index.usable:,}", shown(out / PAGE))  # fmt: skip
    return out


def _index(config: SearchConfig, given: str, embedding: Embedding) -> tuple[Embeddings, SearchConfig, ImageEncoder]:
    """The embeddings to search in, and the encoder that made them: a file of them, or images that are embedded first."""
    path, key = home_root() / given, f"search.source={given!r}"
    index = Embeddings.found(path) if path.suffix == PARQUET and path.is_file() else None
    if index is None:
        index = Embeddings.open(key, embedding.write(given))
        config = config.model_copy(update={"eval_layer": index.about["eval_layer"]})
        return index, config, embedding.encoder(config, embedding.models.chosen("search", config.model))
    made_by = index.about.get("model", {})
    model = embedding.models.chosen("search", config.model or made_by.get("given"))
    if made_by and made_by["fingerprint"] != model.fingerprint:
        name = made_by["given"] or made_by["run_id"] or "another model"
        raise InputError(
            f"{key} was embedded by {name} ({made_by['method']}), which is not search.model: queries need the same model"
        )
    if made_by:
        # earlier versions wrote `stage`, null for what `encode` gives
        layer = index.about.get("eval_layer") or index.about.get("stage") or FINAL
        if config.eval_layer not in (None, layer):
            raise InputError(
                f"search.eval_layer={config.eval_layer!r}: {key} was embedded at {layer!r}; leave search.eval_layer out"
            )
        log.info("search: eval layer %s, at which %s was embedded", layer, given)
    else:
        layer = embedding.models.eval_layer("search", config.eval_layer, model)
    config = config.model_copy(update={"eval_layer": layer})
    encoder = embedding.encoder(config, model)
    if encoder.dim != index.dim:
        raise InputError(f"{key} has {index.dim} numbers an image, search.model gives {encoder.dim}: queries need the same model")
    return index, config, encoder


def _place(config: SearchConfig) -> Path:
    """The folder to write: a name of what is asked, or search.output, where nothing but an earlier answer may stand."""
    if config.output is None:
        assert config.query is not None
        asked = digest([config.query, config.source, config.model, config.eval_layer])
        return project_root() / FOLDER / f"{slug(config.query)}-{asked[:8]}"
    out = project_root() / config.output
    if out.exists() and not (out.is_dir() and {path.name for path in out.iterdir()} <= {PAGE, TABLE}):
        raise InputError(f"search.output={config.output!r} exists and is no answer of search; remove it or give another name")
    return out


def _queries(encoder: ImageEncoder, asked: Images | Tables, batch_size: int, workers: int) -> tuple[list[Query], Vectors]:
    queries: list[Query] = []
    parts = [np.empty((0, encoder.dim), np.float32)]
    for rows, vectors in embedded(encoder, asked, batch_size, workers):
        places = iter(range(sum(map(len, parts)), sum(map(len, parts)) + len(vectors)))
        for row in rows:
            place = next(places) if row["reason"] is None else None
            queries.append(Query(row["path"], place, row["reason"], row["sha256"]))
        parts.append(vectors)
    return queries, np.concatenate(parts)


def _table(queries: list[Query], found: list[list[Found]]) -> pd.DataFrame:
    """A row a neighbor; a query that cannot be read has one row with its error."""
    rows: list[dict[str, Any]] = []
    for query, neighbors in zip(queries, found, strict=True):
        rows += [
            {"query": query.path, "rank": rank, "path": one.path, "similarity": one.similarity, "same_image": one.same}
            for rank, one in enumerate(neighbors, start=1)
        ]
        if query.error is not None:
            rows.append({"query": query.path, "error": query.error})
    return pd.DataFrame(rows, columns=["query", "rank", "path", "similarity", "same_image", "error"]).astype({"rank": "Int64"})


def _page(
    file: Path,
    queries: list[Query],
    found: list[list[Found]],
    index: Embeddings,
    asked: Images | Tables,
    config: SearchConfig,
    encoder: ImageEncoder,
    embedding: Embedding,
) -> None:
    searched, spec = _pictures_of(index, embedding), encoder.spec
    sections = [
        Section(
            query.path,
            _picture(asked, row, query.path, spec),
            query.error,
            [Hit(one.path, one.similarity, one.same, _picture(searched, one.row, one.path, spec)) for one in neighbors],
        )
        for row, (query, neighbors) in enumerate(zip(queries, found))
    ]
    model = index.about.get("model", {})
    facts = [
        ("Searched", f"{index.usable:,} images"),
        ("Model", config.model or model.get("given") or "the present one of this project"),
        ("Method", model.get("method", "unknown")),
        ("Embedding", f"{index.dim} numbers, eval layer {encoder.eval_layer}"),
        ("Images enter as", f"{encoder.spec.size} x {encoder.spec.size} x {encoder.spec.channels}"),
    ]
    query, source = (Path(str(given)).name for given in (config.query, index.about.get("source") or config.source))
    write_search_page(file, query, source, facts, sections, len(found))


def _pictures_of(index: Embeddings, embedding: Embedding) -> Images | Tables | None:
    """The images that were embedded, if they still stand where they were."""
    given = index.about.get("source")
    try:
        return None if given is None else embedding.source("", str(given))
    except InputError:
        return None


def _picture(source: Images | Tables | None, row: int, path: str, spec: DecodeSpec) -> Pixels | None:
    """(side, side, 3), what the encoder is shown at its own size or SIDE pixels; None where it cannot be had any more."""
    content = None if source is None else source.image(row, path)
    if content is None:
        return None
    try:
        shown = replace(spec, size=SIDE, channels=3)
        pixels, info = decode(content, shown)
        [side] = kept_sides([(info["width"], info["height"])], spec.fit)
        return pixels if side >= SIDE else decode(content, replace(shown, size=side))[0]
    except Unusable:
        return None
