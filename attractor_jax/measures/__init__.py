"""What is measured along an orbit beside its exponents. One file a measure, one line here: the registry.

A measure sees every state of the measured part of the orbit, one network at a time, and keeps running sums: its
memory does not grow with the number of steps.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from attractor_jax.schema import Column

if TYPE_CHECKING:  # names of measures are checked before jax is imported
    from jaxtyping import Array


@runtime_checkable
class Measure(Protocol):
    """init -> step, step, step -> finish, each for one network."""

    name: str
    columns: tuple[Column, ...]

    def init(self, map_: Any, state: Array) -> Any:
        """The carry before the first step, `state` being where the measured part starts."""
        ...

    def step(self, carry: Any, map_: Any, state: Array) -> Any:
        """The carry after one more state."""
        ...

    def finish(self, carry: Any, steps: int | Array) -> dict[str, Array]:
        """The columns, by name."""
        ...


REGISTRY = {
    "output": "attractor_jax.measures.output:OutputStatistics",
    "coverage": "attractor_jax.measures.coverage:Coverage",
    "zero_one": "attractor_jax.measures.zero_one:ZeroOne",
    "two_orbit": "attractor_jax.measures.two_orbit:TwoOrbit",
}

ALWAYS = ("output",)
OPTIONAL = tuple(name for name in REGISTRY if name not in ALWAYS)
# Hidden units that a measure looks at: a system with fewer cannot have it.
HIDDEN_UNITS = {"coverage": 2}
# Samples of the output that the 0-1 test has room for: a plan counts them as memory.
ZERO_ONE_PLACES = 4096


def get(name: str) -> Measure:
    """The measure of this name."""
    module, attribute = REGISTRY[name].split(":")
    return getattr(import_module(module), attribute)()
