"""What can be swept. One file a family of systems, one line here each: the registry.

A system declares its axes, draws its networks on the host, and builds the map of one cell from a draw and the cell's
parameters. This package and its files import no jax before `build` is called, so that a sweep is planned, or refused,
at once.

A package of your own adds a system through the entry-point group `attractor_jax.systems`: the entry point's name is
the system's, its value a `System`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, ClassVar

import numpy as np

from attractor_jax.config import ConfigError, a_list
from attractor_jax.schema import Column

Draw = dict[str, np.ndarray]


@dataclass(frozen=True)
class Axis:
    """One thing that can be varied.

    Attributes:
        name: as in the tables and on the command line.
        kind: int, float or str.
        low, high: bounds, both included; of words, which `Axis.of_words` declares, none.
        default: value where the grid is silent; None if the grid must give it.
        static: it fixes the shape of arrays, so that each value compiles anew. Words do: they choose a program.
        meaning: one phrase, with the unit.
        choices: the words that it can be; where there are none, any word, and `System.check` says which are good.
            Values of an axis stand in ascending order everywhere, and words therefore in that of the alphabet.
    """

    name: str
    kind: type[Any]
    low: float
    high: float
    default: Any
    meaning: str
    static: bool = False
    choices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.kind is str and not self.static:
            raise ValueError(f"axis {self.name} must be static: maps are built from numbers, and not from words")

    @classmethod
    def of_words(cls, name: str, default: str | None, meaning: str, *, choices: tuple[str, ...] = ()) -> Axis:
        """A static axis whose values are words."""
        return cls(name, str, -math.inf, math.inf, default, meaning, static=True, choices=choices)

    def column(self) -> Column:
        return Column(self.name, "category" if self.kind is str else self.kind.__name__, "", self.meaning)


REPLICATE = Axis(
    "replicate", int, 0, 2**31 - 1, 0, "which initial state: 0 the standard one, q > 0 drawn at random from q"
)


# Axes that say where an orbit starts, and make no other map.
STARTS = ("replicate", "plane", "u_coordinate", "v_coordinate", "v", "u")


class System:
    """The protocol of a system. Subclasses fill in what is declared here; the defaults are those of a map without
    random draws.

    Attributes:
        axes: in canonical order: static ones, then `seed` and `replicate`, then the others, the fastest last.
        draw_axes: axes that `draw` reads. Cells that agree in them share one draw.
        parameters: swept axes that `build` reads, as arrays.
        columns: columns about the network itself, whatever the orbit: closed forms, or what was found of it when it
            was trained. `closed_form` fills them.
        outcomes: columns about the state at the end that `outcome` fills.
        rotates: its maps know their `companion` matrix.
        clocked: its states end with a clock; see maps.py.
        stretch: steps that the innermost loops take at once: long steps gain nothing by it, and compile for as long.
        wide: its maps take arrays with an axis of lanes behind their own, as `DelayNetwork` does.
        trained: its draws cost: they are kept in `weights/`, and nobody makes them again for a picture.
        odd: its maps have f(-state) = -f(state): an attractor is its own mirror image, or has a partner that is.
    """

    name: ClassVar[str]
    axes: tuple[Axis, ...]
    draw_axes: ClassVar[tuple[str, ...]] = ()
    parameters: ClassVar[tuple[str, ...]]
    columns: tuple[Column, ...] = ()
    outcomes: ClassVar[tuple[Column, ...]] = ()
    rotates: ClassVar[bool] = False
    clocked: ClassVar[bool] = False
    stretch: ClassVar[int] = 8
    wide: ClassVar[bool] = False
    trained: ClassVar[bool] = False
    odd: ClassVar[bool] = False

    def over(self, data: str, mark: str | None) -> System:
        """This system reading some data, whose mark is the one choice of its static axis `data`.

        Args:
            data: where they are, as a person gave it in `system.data`. It is in no row and no hash: the mark is, which
                changes with every byte of them.
            mark: theirs, where it is known already: of a run that was made from them. Then nothing is opened before a
                draw needs it, and what has another mark by then is refused.

        Raises:
            ConfigError: there are no such data, or the system takes none.
        """
        raise ConfigError("system.data", f"must be left out: system {self.name} takes none", data)

    def dimension(self, static: Mapping[str, Any]) -> int:
        """Dimension D of the state, without a clock."""
        raise NotImplementedError

    def hidden_units(self, static: Mapping[str, Any]) -> int:
        """Units x_i that the map shows through `hidden(state)`; 0 if it has none."""
        return 0

    def operations(self, static: Mapping[str, Any]) -> float:
        """Floating-point operations of one step of the map, for estimates of cost only."""
        return 10.0 * self.dimension(static)

    def draw_operations(self, static: Mapping[str, Any], draws: Mapping[str, np.ndarray]) -> float | np.ndarray:
        """Floating-point operations of making a draw, for estimates of cost only: of each, for draws that differ in
        `draws` (each of shape (draws,)), or of all alike.
        """
        return 0.0

    def numbers(self, static: Mapping[str, Any]) -> int | None:
        """What a thread of the engine `fused` keeps of a network: its draw, its state and a tangent vector; None where
        that engine does not know the system.
        """
        return None

    def check(self, static: Mapping[str, Any], lanes: Mapping[str, np.ndarray]) -> None:
        """Refuse values of the axes that go with one another in no cell, or with no state of this shape.

        Raises:
            ConfigError: naming the axis.
        """

    def draw(self, **axes: Any) -> Draw:
        """The arrays that cells with these `draw_axes` share, in float64."""
        return {}

    def draws(
        self, axes: Sequence[Mapping[str, Any]], devices: Sequence[Any], wait: Callable[[], None] = lambda: None
    ) -> list[Draw]:
        """The draws of some `draw_axes`, no two alike, with arrays of the same shapes. What is trained is trained here,
        all at once; on CPUs each draw must be the same to the last bit whatever others it is asked for with.

        Args:
            devices: where, if the host is not enough; how many there are changes no number.
            wait: to be called again and again where it takes long; what it raises shall end the trainings.
        """
        return [self.draw(**each) for each in axes]

    def initial_states(self, draw: Draw, axes: Mapping[str, Any], lanes: Mapping[str, np.ndarray]) -> np.ndarray:
        """Where the orbits of one draw start: (cells, D), for cells that differ in `lanes` (each of shape (cells,))."""
        raise NotImplementedError

    def build(self, draw: Mapping[str, Any], parameters: Mapping[str, Any]) -> Any:
        """The map of one cell from its draw and its parameters (JAX arrays). Only packs: it stands inside the loop."""
        raise NotImplementedError

    def closed_form(self, draws: Draw, parameters: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The `columns`, each of shape (G, S) or (G, S, n), for G draws (leading axis of `draws`) times S cells each
        (parameters of shape (G, S)). Where nothing depends on the cell, S may be 1.

        It is asked again for every block, padding included: what takes long to find of a network is found in `draws`,
        stands in the draw, and is only spread out here.
        """
        return {}

    def outcome(self, draws: Draw, parameters: Mapping[str, np.ndarray], states: np.ndarray) -> dict[str, np.ndarray]:
        """The `outcomes`, each of shape (G, S) or (G, S, n), of states (G, S, D) where the measurement ended."""
        return {}

    def axis(self, name: str) -> Axis:
        """The axis of this name."""
        return next(axis for axis in self.axes if axis.name == name)


REGISTRY = {
    "uniform": "attractor_jax.systems.feedback:Uniform",
    "gaussian": "attractor_jax.systems.feedback:Gaussian",
    "linear": "attractor_jax.systems.classic:Linear",
    "logistic": "attractor_jax.systems.classic:Logistic",
    "henon": "attractor_jax.systems.classic:Henon",
    "delayed_logistic": "attractor_jax.systems.classic:DelayedLogistic",
    "double_well": "attractor_jax.systems.learning:DoubleWellDescent",
    "factorisation": "attractor_jax.systems.learning:FactorisationDescent",
    "xor": "attractor_jax.systems.learning:XorDescent",
    "xor_escape": "attractor_jax.systems.learning:EscapeDescent",
    "regression": "attractor_jax.systems.learning:RegressionDescent",
    "digits": "attractor_jax.systems.learning:DigitsDescent",
    "trainability": "attractor_jax.systems.learning:TrainabilityDescent",
    "continuous": "attractor_jax.systems.continuous:Continuous",
    "uniform_plane": "attractor_jax.systems.plane:UniformPlane",
    "gaussian_plane": "attractor_jax.systems.plane:GaussianPlane",
    "henon_plane": "attractor_jax.systems.plane:HenonPlane",
    "factorisation_plane": "attractor_jax.systems.learning:FactorisationPlane",
}

ENTRY_POINTS = "attractor_jax.systems"


def get(name: str) -> System:
    """The system of this name, ours or an installed package's.

    Raises:
        ConfigError: there is none, or its package cannot be loaded.
    """
    if name in REGISTRY:
        module, attribute = REGISTRY[name].split(":")
        return getattr(import_module(module), attribute)()
    found = {entry.name: entry for entry in entry_points(group=ENTRY_POINTS)}
    if name not in found:
        raise ConfigError("system.name", f"must be one of {a_list([*REGISTRY, *sorted(found)])}", name)
    try:
        system = found[name].load()
    except Exception as error:  # whatever another package's import raises
        raise ConfigError("system.name", f"could not be loaded from {found[name].value} ({error})", name) from error
    system = system() if isinstance(system, type) else system
    if not isinstance(system, System):
        raise ConfigError("system.name", f"must name a System; {found[name].value} is a {type(system).__name__}", name)
    return system


def drawn(name: str) -> System:
    """The system of this name, for a look at single networks of it.

    Raises:
        ConfigError: there is none, or it trains its networks.
    """
    system = get(name)
    if system.trained:
        must = "must be a system that draws its networks: those that are trained are looked at as cells of a run"
        raise ConfigError("system.name", must, name)
    return system
