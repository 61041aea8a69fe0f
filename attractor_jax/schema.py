"""The columns of a table: name, kind, unit and meaning, composed from what every table has, what the system adds and
what the measures add.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa

STATUSES = ("ok", "diverged", "underflow", "superstable", "unresolved")


@dataclass(frozen=True)
class Column:
    """One column. Kinds: int, bool, float (float64 in the file whatever the cell was computed in), category, list (of
    floats), spectrum (a list that has one length throughout a run, if it can).
    """

    name: str
    kind: str
    unit: str
    meaning: str
    nullable: bool = False  # where there is nothing to say, NaN becomes null; elsewhere NaN is a result


def common_before(axes: Sequence[Column]) -> tuple[Column, ...]:
    """What stands before the results: identity and provenance of a cell."""
    return (
        Column("cell_id", "int", "", "position in the plan's canonical order; joins all tables of a run"),
        *axes,
        Column("dtype", "category", "", "floating-point type that the cell was computed in"),
        Column("engine", "category", "", "program that computed the cell"),
        Column("transient", "int", "steps", "steps thrown away before the measurement"),
        Column("steps", "int", "steps", "steps measured after them"),
        Column("n_blocks", "int", "", "block means from which the standard errors are made"),
        Column("dimension", "int", "", "dimension D of the state"),
    )


RESULTS = (
    Column("status", "category", "", "ok | diverged | underflow | superstable | unresolved"),
    Column("lambda_1", "float", "nats per step", "largest Lyapunov exponent"),
    Column("lambda_1_se", "float", "nats per step", "standard error of lambda_1 from block means"),
    Column("lambda_1_drift", "float", "nats per step", "lambda_1 over the late half minus over the early half"),
    Column("lambda_1_drift_se", "float", "nats per step", "standard error of that, from successive blocks"),
    Column(
        "settling_time",
        "float",
        "steps",
        "from the start to the block from which on lambda_1 is what it is at the end; null where that cannot be told",
        nullable=True,
    ),
    Column("exponents", "spectrum", "nats per step", "the k leading exponents, in Gram-Schmidt order"),
    Column("exponents_se", "spectrum", "nats per step", "their standard errors"),
    Column("sum_rule", "float", "nats per step", "mean of ln|det J|: what all D exponents must sum to"),
    Column("sum_rule_residual", "float", "nats per step", "|sum of the exponents - sum_rule|; NaN if k < D"),
    Column("log_det_min", "float", "nats per step", "smallest ln|det J| of a single step"),
)

RECURRENCE = (
    Column("period", "int", "steps", "smallest period of the whole state, 1 = fixed point, 0 = none found"),
    Column("period_tolerance", "float", "", "how near counted as back, maximum norm"),
    Column("amplitude", "float", "", "range of the state over the search for a period, after the measurement"),
    Column(
        "amplitude_before", "float", "", "the same over as long a stretch before the measurement, or its last round"
    ),
    Column("state_norm", "float", "", "largest modulus of a component of the state after the measurement"),
)


class SchemaError(ValueError):
    """A table that does not have exactly the columns that were promised."""


def arrow_schema(columns: Iterable[Column], spectrum_length: int | None) -> pa.Schema:
    """The Arrow schema of a table; spectra are fixed-size lists where the whole run has one length."""
    spectrum = pa.list_(pa.float64()) if spectrum_length is None else pa.list_(pa.float64(), spectrum_length)
    kinds = {
        "int": pa.int64(),
        "bool": pa.bool_(),
        "list": pa.list_(pa.float64()),
        "float": pa.float64(),
        "category": pa.dictionary(pa.int32(), pa.string()),
        "spectrum": spectrum,
    }
    return pa.schema(
        [pa.field(c.name, kinds[c.kind], metadata={"unit": c.unit, "meaning": c.meaning}) for c in columns]
    )


def check_columns(promised: Sequence[str], given: Iterable[str]) -> None:
    """Refuse missing and extra columns: pyarrow would drop the extra ones without a word.

    Raises:
        SchemaError: naming them.
    """
    given = list(given)
    missing = [name for name in promised if name not in given]
    extra = [name for name in given if name not in promised]
    if missing or extra:
        raise SchemaError(f"columns do not match the schema: missing {missing}, extra {extra}")
