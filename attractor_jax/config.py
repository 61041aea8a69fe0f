"""What may a sweep be told? The types and the checks of every key; the values stand in conf/. Imports no jax.

Every fault is a `ConfigError`: one line with the key, what it must be, and what was given.
"""

from __future__ import annotations

import math
import sys
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from typing import Any, ClassVar, Literal, TypeVar, get_args, get_origin

_NOTHING: Any = object()

# Steps are counted in 32 bits.
MOST_STEPS = 2**31 - 1


class ConfigError(ValueError):
    """A key of the configuration that cannot be used."""

    def __init__(self, key: str, must: str, given: Any = _NOTHING) -> None:
        super().__init__(f"{key} {must}" if given is _NOTHING else f"{key} {must}, got {_shown(given)}")
        self.key = key


def a_list(names: Iterable[Any], last: str = "or") -> str:
    """`a, b or c`, for messages."""
    words = [str(name) for name in names]
    return f" {last} ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)


def _shown(given: Any) -> str:
    """As Python writes it: 1 and '1' are different things to get."""
    text = " ".join(repr(given).split())
    return text if len(text) <= 120 else text[:117] + "..."


# What the configuration of a sweep that a program makes for itself says of where and how it is run.
ALONE: dict[str, Any] = {"output": "results", "dry_run": False, "shard": {"index": 0, "count": 1}, "extend": None}


def integer(key: str, value: Any) -> int:
    """The value as an int; 1e6 counts as one, True and 1.5 do not."""
    if not _is_finite(value) or value != math.floor(value):
        raise ConfigError(key, "must be an integer", value)
    return int(value)


def number(key: str, value: Any) -> float:
    """The value as a finite float."""
    if not _is_finite(value):
        raise ConfigError(key, "must be a finite number", value)
    return float(value)


def _is_finite(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and abs(value) <= sys.float_info.max  # NaN fails it, and so do integers too long for a float


def _convert(key: str, value: Any, annotation: Any) -> Any:
    """The value as its field's annotation wants it."""
    if get_origin(annotation) is Literal:
        choices = get_args(annotation)
        if value not in choices or isinstance(value, bool):
            raise ConfigError(key, f"must be {a_list(choices)}", value)
        return value
    if get_origin(annotation) in (types.UnionType, typing.Union):
        if value is None and type(None) in get_args(annotation):
            return None
        words = [a for a in get_args(annotation) if get_origin(a) is Literal]
        for word in words:
            if isinstance(value, str) and value in get_args(word):
                return value
        other = next(a for a in get_args(annotation) if get_origin(a) is not Literal)
        try:
            return _convert(key, value, other)
        except ConfigError as error:
            names = a_list([f"'{name}'" for word in words for name in get_args(word)] or ["null"])
            kind = {int: "an integer", float: "a finite number", str: "a word"}[other]
            raise ConfigError(key, f"must be {kind} or {names}", value) from error
    if annotation is int:
        return integer(key, value)
    if annotation is float:
        return number(key, value)
    if annotation is bool:
        if not isinstance(value, bool):
            raise ConfigError(key, "must be true or false", value)
        return value
    if annotation is str:
        if not isinstance(value, str) or not value:
            raise ConfigError(key, "must be a word", value)
        return value
    if get_origin(annotation) is tuple:
        if not isinstance(value, Sequence) or isinstance(value, str):
            raise ConfigError(key, "must be a list", value)
        inner = get_args(annotation)[0]
        return tuple(_convert(f"{key}[{i}]", item, inner) for i, item in enumerate(value))
    return value


Section = TypeVar("Section", bound="_Section")


class _Section:
    """A mapping of the configuration with known keys."""

    where_all_stand: ClassVar[str] = ""

    @classmethod
    def read(cls: type[Section], section: str, mapping: Any) -> Section:
        """The section from plain containers: unknown and missing keys, wrong types and wrong ranges are refused."""
        if not isinstance(mapping, Mapping):
            raise ConfigError(section or "the configuration", "must be a mapping of keys to values", mapping)
        hints = typing.get_type_hints(cls)
        known = [f.name for f in fields(cls)]  # pyright: ignore[reportArgumentType]
        prefix = f"{section}." if section else ""
        for key in mapping:
            if key not in known:
                what = section or "a sweep"
                raise ConfigError(f"{prefix}{key}", f"is no key of {what}, which has {a_list(known, 'and')}")
        missing = [f.name for f in fields(cls) if f.name not in mapping and f.default is MISSING]  # pyright: ignore[reportArgumentType]
        if missing:
            raise ConfigError(f"{prefix}{missing[0]}", f"must be given{cls.where_all_stand}")
        given = [key for key in known if key in mapping]
        section_ = cls(**{key: _convert(f"{prefix}{key}", mapping[key], hints[key]) for key in given})
        section_.check(prefix)
        return section_

    def check(self, prefix: str) -> None:
        """Refuse values out of range."""


def _at_least(prefix: str, section: Any, **bounds: int) -> None:
    for key, bound in bounds.items():
        value = getattr(section, key)
        if not isinstance(value, str) and value < bound:
            raise ConfigError(f"{prefix}{key}", f"must be at least {bound}", value)


def _at_most(prefix: str, section: Any, **bounds: int) -> None:
    for key, bound in bounds.items():
        value = getattr(section, key)
        if not isinstance(value, str) and value > bound:
            raise ConfigError(f"{prefix}{key}", f"must be at most {bound}", value)


@dataclass(frozen=True)
class SystemConfig(_Section):
    """Which system is swept, and which data it reads: a file, say; None where it needs none."""

    name: str
    data: str | None = None


@dataclass(frozen=True)
class MeasureConfig(_Section):
    """How long and how finely each cell is measured; conf/measure/standard.yaml says what each key does."""

    transient: int
    steps: int
    k: int | Literal["all"]
    blocks: int
    align: int
    renormalise_every: int | Literal["auto"]
    longest_period: int
    period_tolerance: float | Literal["auto"]
    also: tuple[str, ...]
    target_se: float | None
    max_steps: int | None

    @property
    def adaptive(self) -> bool:
        """Does a cell go on until its regime is decided?"""
        return self.max_steps is not None

    def check(self, prefix: str) -> None:
        _at_least(prefix, self, transient=0, steps=1, k=1, blocks=2, align=0, renormalise_every=1, longest_period=1)
        _at_most(prefix, self, **dict.fromkeys(("transient", "steps", "align", "longest_period"), MOST_STEPS))
        if self.max_steps is not None and (self.blocks % 4 or self.blocks < 8):
            must = f"must be a multiple of 4, 8 at least, where {prefix}max_steps is given: they are joined in pairs"
            raise ConfigError(f"{prefix}blocks", must, self.blocks)
        if self.steps % self.blocks:
            raise ConfigError(f"{prefix}steps", f"must be divisible by {prefix}blocks = {self.blocks}", self.steps)
        if not isinstance(self.period_tolerance, str) and self.period_tolerance <= 0:
            raise ConfigError(f"{prefix}period_tolerance", "must be above 0", self.period_tolerance)
        from attractor_jax import measures

        for name in self.also:
            if name not in measures.OPTIONAL:
                raise ConfigError(f"{prefix}also", f"can have {a_list(measures.OPTIONAL, 'and')}", name)
        if len(set(self.also)) < len(self.also):
            raise ConfigError(f"{prefix}also", "must name each measure once", list(self.also))
        self._check_rounds(prefix)

    def _check_rounds(self, prefix: str) -> None:
        if (self.target_se is None) != (self.max_steps is None):
            lone, other = ("target_se", "max_steps") if self.max_steps is None else ("max_steps", "target_se")
            raise ConfigError(f"{prefix}{other}", f"must be given where {prefix}{lone} is (measure=adaptive has both)")
        if self.target_se is None or self.max_steps is None:
            return
        if self.target_se <= 0:
            raise ConfigError(f"{prefix}target_se", "must be above 0 (nats per step)", self.target_se)
        if self.max_steps < self.steps:
            must = f"must be at least the steps of the first round, {prefix}steps = {self.steps}"
            raise ConfigError(f"{prefix}max_steps", must, self.max_steps)
        if self.max_steps > MOST_STEPS:
            raise ConfigError(f"{prefix}max_steps", f"must be at most {MOST_STEPS}", self.max_steps)


@dataclass(frozen=True)
class TransitionsConfig(_Section):
    """What is looked for along the swept axis of every network; conf/experiment/transitions.yaml says what each key
    does.
    """

    where_all_stand: ClassVar[str] = " (experiment=transitions has all keys)"

    consecutive: int
    tolerance: float
    continuation: bool

    def check(self, prefix: str) -> None:
        _at_least(prefix, self, consecutive=1)
        if not 1e-14 <= self.tolerance < 1:
            raise ConfigError(f"{prefix}tolerance", "must be at least 1e-14 and below 1", self.tolerance)


@dataclass(frozen=True)
class BackendConfig(_Section):
    """What computes, in which arithmetic; only dtype changes numbers."""

    dtype: Literal["float64", "float32"]
    batch: int | Literal["auto"]
    devices: int | Literal["all"]
    memory: float | Literal["auto"]
    engine: Literal["auto", "scan", "fused"]

    def check(self, prefix: str) -> None:
        _at_least(prefix, self, batch=1, devices=1)
        if not isinstance(self.memory, str) and self.memory <= 0:
            raise ConfigError(f"{prefix}memory", "must be above 0 (GiB)", self.memory)


# What commands that look at single cells compute on: all that is there.
EVERYTHING = BackendConfig("float64", "auto", "all", "auto", "auto")


@dataclass(frozen=True)
class PlanConfig(_Section):
    """How the work is cut."""

    part_steps: int
    shaped_for: dict[str, Any] | None

    def check(self, prefix: str) -> None:
        _at_least(prefix, self, part_steps=1)
        if self.shaped_for is not None and not isinstance(self.shaped_for, Mapping):
            raise ConfigError(f"{prefix}shaped_for", "must be null or a grid", self.shaped_for)


@dataclass(frozen=True)
class ShardConfig(_Section):
    """Which share of the parts one process computes."""

    index: int
    count: int

    def check(self, prefix: str) -> None:
        _at_least(prefix, self, index=0, count=1)
        if self.index >= self.count:
            must = f"must be below {prefix}count = {self.count}: shards are counted from 0"
            raise ConfigError(f"{prefix}index", must, self.index)


@dataclass(frozen=True)
class SweepConfig(_Section):
    """One sweep: conf/sweep.yaml is its root."""

    name: str
    system: SystemConfig
    grid: dict[str, Any]
    measure: MeasureConfig
    transitions: TransitionsConfig | None
    backend: BackendConfig
    plan: PlanConfig
    shard: ShardConfig
    extend: str | None
    output: str
    dry_run: bool

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> SweepConfig:
        """The sweep from Hydra's composed configuration, as plain containers.

        Raises:
            ConfigError: the first thing that is wrong.
        """
        sections: dict[str, type[_Section]] = {
            "system": SystemConfig,
            "measure": MeasureConfig,
            "backend": BackendConfig,
            "plan": PlanConfig,
            "shard": ShardConfig,
        }
        if mapping.get("transitions") is not None:
            sections["transitions"] = TransitionsConfig
        read = {key: sections[key].read(key, value) if key in sections else value for key, value in mapping.items()}
        return cls.read("", read)

    def check(self, prefix: str) -> None:
        if not isinstance(self.grid, Mapping):
            raise ConfigError("grid", "must be a mapping of axes to values", self.grid)
        odd = self.name != self.name.strip(". ") or any(c in self.name for c in "/\\")
        if odd or not self.name.isprintable() or len(self.name) > 100:
            raise ConfigError("name", "must be usable as the name of a folder", self.name)
