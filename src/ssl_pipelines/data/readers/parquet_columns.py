"""The columns of a Parquet file: which one holds images (or the paths of image files), labels, splits, and which class names it tells."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.data.readers.columns import LABEL_COLUMNS, PATH_COLUMNS, named

IMAGE_COLUMNS = ("image", "img")
USUAL_LABEL_COLUMNS = ("label", "labels", "fine_label")


def image_column(file: Path, schema: pa.Schema) -> str:
    """By its type and name; a column of encoded images goes before one of paths."""
    fit = [field.name for field in schema if _holds_bytes(field.type)]
    found = [name for name in IMAGE_COLUMNS if name in fit] or (fit if len(fit) == 1 else [])
    if not fit:
        fit = [field.name for field in schema if _holds_path(field.type)]
        found = [name for name in IMAGE_COLUMNS if name in fit] or named(fit, PATH_COLUMNS)
    if not found:
        columns = ", ".join(f"{field.name}: {field.type}" for field in schema)
        raise InputError(
            f"{file} has the columns {columns}; an image column of struct{{bytes, path}} or binary, or one of paths, is expected"
        )
    return found[0]


def names_files(schema: pa.Schema, meta: pq.FileMetaData, image: str) -> bool:
    """Whether some images of the file are given by path alone, as far as its statistics tell."""
    kind = schema.field(image).type
    if not _holds_bytes(kind):
        return True
    groups = [meta.row_group(i) for i in range(meta.num_row_groups)]
    columns = [group.column(i) for group in groups for i in range(group.num_columns)]
    found = [column.statistics for column in columns if column.path_in_schema == f"{image}.bytes"]
    return _holds_path(kind) and any(one is not None and one.has_null_count and one.null_count for one in found)


def label_column(file: Path, schema: pa.Schema, wanted: str | None) -> tuple[str | None, list[str]]:
    """The column of labels, and columns that might hold labels and are not read: none where the column has a usual name.

    wanted: dataset.label_column; another file may have it. Raises InputError where it is of a type that is no label's. Floating point
    numbers may be labels or not: their values tell."""
    if wanted is not None and wanted not in schema.names:
        return None, []
    name = wanted or next((name for name in USUAL_LABEL_COLUMNS if name in schema.names), None)
    if name is not None:
        _check(file, name, schema.field(name).type)
        return name, []
    found = named(schema.names, LABEL_COLUMNS)
    readable = [name for name in found if _is_label(schema.field(name).type)]
    readable = readable or [name for name in found if is_floating(schema.field(name).type) or is_empty(schema.field(name).type)]
    return (readable[0], []) if len(readable) == 1 else (None, [f"{name} ({schema.field(name).type})" for name in found])


def class_names(file: Path, schema: pa.Schema, label: str) -> list[str] | None:
    text = (schema.metadata or {}).get(b"huggingface")
    try:
        names = json.loads(text)["info"]["features"].get(label, {}).get("names") if text else None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{file}: its 'huggingface' metadata cannot be read ({error!r})") from None
    return [str(name) for name in names] if isinstance(names, list) else None


def is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def is_floating(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind.value_type if pa.types.is_dictionary(kind) else kind))


def is_empty(kind: pa.DataType) -> bool:
    """Whether it is the type of a column without any value, as a test split's labels are written."""
    return bool(pa.types.is_null(kind.value_type if pa.types.is_dictionary(kind) else kind))


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return any(field.name == "bytes" for field in kind)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _holds_path(kind: pa.DataType) -> bool:
    return any(field.name == "path" for field in kind) if pa.types.is_struct(kind) else is_text(kind)


def _is_label(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_integer(kind) or pa.types.is_boolean(kind) or is_text(kind))


def _check(file: Path, name: str, kind: pa.DataType) -> None:
    if _is_label(kind) or is_floating(kind) or is_empty(kind):
        return
    several = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    what = ": several labels an image" if several else ""
    raise InputError(f"{file}: column {name} is {kind}{what}; whole numbers or names are read, one an image")
