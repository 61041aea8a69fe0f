"""Feedback networks as maps: a shift register of past outputs that tanh units read.

Written for one network, and for arrays with one axis of lanes behind those of one: many networks that share their
weights, or share nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from attractor_jax.activation import tanh_and_slope
from attractor_jax.draws import article_draw, gaussian_draw, initial_history
from attractor_jax.maps import check_dtype, fold
from attractor_jax.systems.plane import base_name


@dataclass(frozen=True)
class DelayNetwork:
    """N tanh units that read the last D outputs of their own weighted sum; the state is those outputs, newest first.

    The Jacobian is a companion matrix: its first row is `row`, everything else is a shift. It is never built.

    All arrays may have one axis of lanes behind these: networks that differ in s, or in everything. What draws share
    has a single lane.

    Attributes:
        weights: (N, D), the weight of unit i on the output j steps back.
        gains: (N,), the part r of each unit in the output.
        s: (), the sweep's scale.
        seed: what the network was drawn from, or None; only `initial_state` reads it.
    """

    weights: Float[Array, "N D *#lanes"]
    gains: Float[Array, "N *#lanes"]
    s: Float[Array, "*#lanes"]
    seed: Any = None  # uint32; a leaf like the others, so that a new seed compiles nothing

    family: ClassVar[str]

    @property
    def nonsingular(self) -> Bool[Array, "*lanes"]:
        """sech^2 never vanishes, so the derivative does only where s = 0 switches the network off."""
        return jnp.asarray(self.s != 0)

    def delays(self) -> Float[Array, "N D *lanes"]:
        """The weights on the past outputs, without a bias."""
        return self.weights

    def drive(self, product: Float[Array, "N *lanes"]) -> Float[Array, "N *lanes"]:
        """The input u of the units from the product of delays and state."""
        raise NotImplementedError

    def output(self, x: Float[Array, "N *lanes"]) -> Float[Array, "*lanes"]:
        """The next output y from the units' activities."""
        raise NotImplementedError

    def hidden(self, state: Float[Array, "D *lanes"]) -> Float[Array, "N *lanes"]:
        """Activities x_i = tanh(u_i) of the units at this state."""
        return tanh_and_slope(self.drive(_reach(self.delays(), state[:, None], 1)[0][:, 0]))[0]

    @partial(jax.jit, static_argnames="steps")  # the loops of a program trace and lower it once together
    def entries(
        self, register: Float[Array, "D columns *lanes"], steps: int
    ) -> tuple[Float[Array, "steps columns *lanes"], Float[Array, "steps *lanes"]]:
        """What enters a shift register in the next steps, the newest first, and the determinants of these steps, the
        oldest first.

        What the register holds now reaches the units of all steps in one matrix product; what enters it on the way is
        added step by step.

        Args:
            register: (D, columns), the state in its first column, tangent vectors in the others.
            steps: taken at once.

        Raises:
            ValueError: the register is not as long as the network has delays.
        """
        delays = self.delays()
        D = delays.shape[1]
        if register.shape[0] != D:
            raise ValueError(f"`state` must have D = {D} numbers, one for each delay, got {register.shape[0]}")
        products = _reach(delays, register, steps)
        entries: list[Array] = []
        determinants = []
        for t in range(steps):
            product = products[t]
            for delay, entry in enumerate(entries[: -D - 1 : -1]):
                product = product + delays[:, delay, None] * entry
            x, slope = tanh_and_slope(self.drive(product[:, 0]))
            # In both families dy'/dy_j = s sum_i r_i sech^2(u_i) w_ij.
            pull = self.gains * slope
            pushed = self.s * jnp.sum(pull[:, None] * product[:, 1:], axis=0)
            entries.append(jnp.concatenate([self.output(x)[None], pushed]))
            determinants.append(self.s * jnp.sum(pull * delays[:, -1], axis=0))
        return jnp.stack(entries[::-1]), jnp.stack(determinants)

    def __call__(self, state: Float[Array, "D *lanes"]) -> Float[Array, "D *lanes"]:
        return _shift(state, self.entries(state[:, None], 1)[0][0, 0])

    def tangent(
        self, state: Float[Array, "D *lanes"], frame: Float[Array, "D k *lanes"]
    ) -> tuple[Float[Array, "D *lanes"], Float[Array, "D k *lanes"], Float[Array, "*lanes"]]:
        """Next state, frame and determinant, at a cost of O(N D k)."""
        entries, determinants = self.entries(jnp.concatenate([state[:, None], frame], axis=1), 1)
        return _shift(state, entries[0, 0]), _shift(frame, entries[0, 1:]), determinants[0]

    @jax.jit
    def companion(self, state: Float[Array, "D *lanes"]) -> tuple[Float[Array, "D *lanes"], Float[Array, "D *lanes"]]:
        """Next state, and the first row of the Jacobian."""
        delays = self.delays()
        x, slope = tanh_and_slope(self.drive(_reach(delays, state[:, None], 1)[0][:, 0]))
        pull = self.s * self.gains * slope
        if delays.ndim == 3 and delays.shape[2] == 1:
            row = jnp.tensordot(delays[..., 0], pull, (0, 0), precision="highest")
        else:
            row = fold(jnp.add, delays * pull[:, None])
        return _shift(state, self.output(x)), row

    def initial_state(self, replicate: int = 0) -> Float[Array, "D"]:
        """The article's start (replicate 0) or a random history drawn from (replicate, seed)."""
        if replicate and self.seed is None:
            raise ValueError(
                "`replicate` > 0 needs a network that knows its seed: make it with feedback_network(seed=...)"
            )
        scale = float(self.s) if self.family == "uniform" else 1.0
        history = initial_history(
            np.asarray(self.gains, np.float64) * scale, self.delays().shape[1], replicate, int(self.seed or 0)
        )
        return jnp.asarray(history, self.weights.dtype)


def _reach(
    delays: Float[Array, "N D *shared"], register: Float[Array, "D columns *lanes"], steps: int
) -> list[Float[Array, "N columns *lanes"]]:
    """What the register adds to the units' inputs in each of the next steps: an entry that is j steps old is j + t
    steps old in step t.
    """
    units, D = delays.shape[:2]
    if delays.ndim == 3 and delays.shape[2] > 1:
        nothing = jnp.zeros((units, *register.shape[1:]), register.dtype)
        return [sum((delays[:, t + j, None] * register[j] for j in range(D - t)), start=nothing) for t in range(steps)]
    # One matrix serves all lanes: one product for all steps.
    matrix = delays if delays.ndim == 2 else delays[..., 0]
    later = jnp.concatenate([matrix, jnp.zeros_like(matrix)], axis=1)
    rows = jnp.concatenate([later[:, min(t, D) : min(t, D) + D] for t in range(steps)])
    # Else a GPU multiplies float32 with ten bits.
    products = jnp.tensordot(rows, register, 1, precision="highest")
    return [products[t * units : (t + 1) * units] for t in range(steps)]


def _shift(register: Array, new: Array) -> Array:
    """A shift register one step on: `new` enters in front, the oldest entry leaves."""
    return jnp.concatenate([new[None], register[:-1]])


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class FeedbackNetwork(DelayNetwork):
    """Sprott's network: u = W y, next output y = s sum_i r_i tanh(u_i). The origin is a fixed point for every s
    (Sprott 1998).
    """

    family: ClassVar[str] = "uniform"

    def drive(self, product: Float[Array, "N *lanes"]) -> Float[Array, "N *lanes"]:
        return product

    def output(self, x: Float[Array, "N *lanes"]) -> Float[Array, "*lanes"]:
        return self.s * jnp.sum(self.gains * x, axis=0)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class GaussianNetwork(DelayNetwork):
    """The ensemble of Albers, Sprott and Dechert: weights (N, D + 1) with the bias in column 0, u = s (w_0 + W y), y
    = sum_i r_i tanh(u_i).

    The origin is no fixed point.
    """

    family: ClassVar[str] = "gaussian"

    def delays(self) -> Float[Array, "N D *lanes"]:
        return self.weights[:, 1:]

    def drive(self, product: Float[Array, "N *lanes"]) -> Float[Array, "N *lanes"]:
        return self.s * (self.weights[:, 0] + product)

    def output(self, x: Float[Array, "N *lanes"]) -> Float[Array, "*lanes"]:
        return jnp.sum(self.gains * x, axis=0)


def feedback_network(
    *, seed: int, N: int, D: int, s: float, family: str = "uniform", dtype: str = "float64"
) -> DelayNetwork:
    """The feedback network that (seed, N, D, s) names, drawn bit for bit as the literature's programs draw it.

    Args:
        seed: 0 .. 2**32 - 1, seed of NumPy's legacy generator.
        N: number of tanh units, >= 1.
        D: number of delays, the dimension of the state, >= 1.
        s: scale of the output (uniform) or of the input (gaussian), >= 0.
        family: "uniform" (Sprott 1998) or "gaussian" (Albers, Sprott and Dechert 1998).
        dtype: "float64" or "float32".

    Returns:
        A pytree, called as `network(state)`, with `network.initial_state()`.

    Raises:
        ValueError: an argument out of its range, or float64 asked for while JAX has it switched off.
    """
    check_dtype(dtype)
    if family not in _FAMILIES:
        raise ValueError(f"`family` must be one of {sorted(_FAMILIES)}, got {family!r}")
    if not 0 <= seed < 2**32:
        raise ValueError(f"`seed` must be between 0 and 2**32 - 1, got {seed}")
    if N < 1 or D < 1:
        raise ValueError(f"`N` and `D` must be at least 1, got N={N}, D={D}")
    if not (np.isfinite(s) and s >= 0):
        raise ValueError(f"`s` must be a finite number >= 0, got {s}")
    network, draw = _FAMILIES[family]
    weights, gains = draw(seed, N, D)
    return network(jnp.asarray(weights, dtype), jnp.asarray(gains, dtype), jnp.asarray(s, dtype), np.uint32(seed))


def network_from_row(row: Mapping[str, Any]) -> DelayNetwork:
    """The feedback network of one row of a table, to be iterated again.

    Args:
        row: anything indexed by column: a row of `read_run(...)`, or a mapping. Its `system` column says which family;
            without one it is "uniform". Of a row of "uniform_plane" it is the network alone: where on the plane its
            orbit began stands in the row, and `initial_state` knows nothing of it.

    Raises:
        ValueError: the row has no (seed, N, D, s), or is of a system that is no feedback network.
    """
    family = base_name(str(row.get("system", "uniform")))
    missing = [name for name in ("seed", "N", "D", "s") if name not in row]
    if missing or family not in _FAMILIES:
        raise ValueError(
            f"`row` must be of a feedback network, with seed, N, D and s; got system {family!r}, missing {missing}"
        )
    return feedback_network(
        seed=int(row["seed"]),
        N=int(row["N"]),
        D=int(row["D"]),
        s=float(row["s"]),
        family=family,
        dtype=str(row.get("dtype", "float64")),
    )


_FAMILIES = {"uniform": (FeedbackNetwork, article_draw), "gaussian": (GaussianNetwork, gaussian_draw)}
