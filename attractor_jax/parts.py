"""What is one file of a table, and can it be believed? A part says of itself whose it is, and carries a checksum of all
its bytes.

The checksum stands among the file's own metadata, and is that of the file with zeros in its place: whatever byte is
changed afterwards, in the numbers or in what describes them, it no longer fits.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

METADATA = b"attractor_jax"
REPAIR = "the sweep's own command computes it again"

_MARK = b'"sha256": "'
_BLANK = b"0" * 64


class TableError(ValueError):
    """A run directory or a part of a table that cannot be used."""


def write_part(path: Path, table: pa.Table, about: Mapping[str, Any]) -> None:
    """A new file with a table and what there is to say of it, not yet flushed to the disk."""
    words = told({**about, "rows": table.num_rows}).encode()
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), METADATA: words})
    pq.write_table(table, path, **encoding(table.schema))
    seal(path)


def told(about: Mapping[str, Any]) -> str:
    """What a file says of itself, with room for a checksum."""
    return json.dumps({**about, "sha256": _BLANK.decode()})


def seal(path: Path) -> None:
    """Put the checksum of a file into the room that `told` left."""
    content = path.read_bytes()
    at = content.rindex(_MARK) + len(_MARK)
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(hashlib.sha256(content).hexdigest().encode())


def encoding(schema: pa.Schema) -> dict[str, Any]:
    """How the columns of a table are written: what pyarrow's writers are told."""
    floats, categories = [], []
    for field in schema:
        if pa.types.is_floating(field.type):
            floats.append(field.name)
        elif pa.types.is_list(field.type) or pa.types.is_fixed_size_list(field.type):
            floats.append(f"{field.name}.list.element")
        elif pa.types.is_dictionary(field.type):
            categories.append(field.name)
    return {"compression": "zstd", "use_dictionary": categories, "use_byte_stream_split": floats}


def read_part(path: Path) -> tuple[pa.Table, dict[str, Any]]:
    """The table of a part, and what it says of itself.

    Raises:
        TableError: a byte is not as it was written, or it was not written by a sweep.
        FileNotFoundError: there is none.
    """
    file, about = _open(path)
    return file.read(), about


def describe_part(path: Path) -> dict[str, Any]:
    """What a part says of itself; raises as `read_part` does."""
    return _open(path)[1]


@dataclass(frozen=True)
class Belief:
    """A part that can be believed: what it says of itself, and its columns."""

    about: dict[str, Any]
    columns: tuple[str, ...]


def believed(path: Path, *, plan: str, index: int, rows: int | None) -> Belief:
    """A part, if it is the one that belongs here and all its bytes are as they were written.

    Args:
        plan, index: hash of the plan, and the part's index in it.
        rows: that it must have; None where the plan cannot know.

    Raises:
        TableError: it is not.
        FileNotFoundError: there is none.
    """
    file, about = _open(path)
    check_place(path, about, plan=plan, index=index)
    if rows not in (None, there := file.metadata.num_rows):
        raise TableError(f"{path} must have {rows} rows, got {there}: {REPAIR}")
    return Belief(about, tuple(file.schema_arrow.names))


def check_place(path: Path, about: Mapping[str, Any], *, plan: str, index: int) -> None:
    """Refuse a file that says of itself that it is of another plan, or another part of it."""
    if (about["plan"], about["part"]) != (plan, index):
        raise TableError(f"{path} belongs to another plan or place ({about['plan']}, part {about['part']}): {REPAIR}")


def odd_ones(beliefs: Mapping[Path, Belief]) -> dict[Path, str]:
    """Of the parts of one table those with other columns than most, and a line for each of them."""
    if len({belief.columns for belief in beliefs.values()}) < 2:
        return {}
    ((usual, _),) = Counter(belief.columns for belief in beliefs.values()).most_common(1)
    return {
        path: f"{path} must have the columns of the other parts: {REPAIR}"
        for path, belief in beliefs.items()
        if belief.columns != usual
    }


def _open(path: Path) -> tuple[pq.ParquetFile, dict[str, Any]]:
    file = pq.ParquetFile(pa.BufferReader(read_sealed(path)))
    return file, json.loads(file.metadata.metadata[METADATA])


def read_sealed(path: Path) -> bytes:
    """All bytes of a file, if they are as they were written; raises as `read_part` does."""
    # Bytes before meaning: what a damaged file makes of its reader is anybody's guess.
    try:
        content = path.read_bytes()
    except IsADirectoryError:
        raise TableError(f"{path} is a folder, and no part: {REPAIR}") from None
    at = content.rfind(_MARK) + len(_MARK)
    if at < len(_MARK):
        if content[:4] == content[-4:] == b"PAR1":
            raise TableError(f"{path} was not written by a sweep: {REPAIR}")
        raise TableError(f"{path} is damaged (its end is missing): {REPAIR}")
    blank = hashlib.sha256(content[:at])
    blank.update(_BLANK)
    blank.update(memoryview(content)[at + len(_BLANK) :])
    if blank.hexdigest().encode() != content[at : at + len(_BLANK)]:
        raise TableError(f"{path} is damaged (its checksum does not fit): {REPAIR}")
    return content


def put(path: Path, write: Any, *, temporary: Path) -> None:
    """`write(temporary)`, flushed, and renamed to `path`: whole or not at all, whatever happens in between."""
    try:
        write(temporary)
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
