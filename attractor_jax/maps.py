"""What is the next state? The iterated maps themselves, each written for ONE network and ONE state.

A map is any callable `state -> state` on arrays of shape (D,). Four things more are optional:

* `tangent(state, frame) -> (state, frame, determinant)`: the next state, the frame (D, k) of tangent vectors carried
  along by the Jacobian at `state`, and the determinant of that Jacobian (NaN where it is not known). Without it the
  Jacobian is applied by `jax.jvp`.
* `entries(register, steps)`: what enters a shift register in several steps, of the state and of tangent vectors at
  once. See `DelayNetwork.entries`.
* `orthonormal_tangent(state, frame) -> (state, frame, logarithms, determinant)`: the same for a whole frame (k = D),
  made orthonormal again in the step, where the map knows a cheaper or more accurate way than Gram-Schmidt.
* `nonsingular`: true where the derivative can vanish by underflow only. It tells an underflow from a superstable orbit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from attractor_jax.companion import rotate_frame
from attractor_jax.draws import article_draw, gaussian_draw, initial_history

Map = Callable[[Float[Array, "D"]], Float[Array, "D"]]


# exp(f) for |f| <= ln(2) / 2: its Chebyshev series, cut where what is left is below rounding, as a polynomial.
_EXP = {
    "float64": (
        1.0,
        1.0,
        0.5000000000000019,
        0.16666666666666702,
        0.04166666666648808,
        0.008333333333309526,
        0.0013888888952318045,
        0.00019841269909219843,
        2.480148547921643e-05,
        2.755722495611072e-06,
        2.7632640675430235e-07,
        2.5114870219497476e-08,
    ),
    "float32": (
        1.0,
        1.0000000377274485,
        0.5000000107749384,
        0.16666415477235322,
        0.04166621827440191,
        0.008375128890467473,
        0.0013948580818093912,
    ),
}
# ln 2 in two parts, the first with so many zeros at its end that its multiples up to the largest exponent are exact.
_LN2 = {"float64": (0.6931471803691238, 1.9082149292705877e-10), "float32": (0.693115234375, 3.1946184945309415e-05)}


def _exp_minus_twice(a: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """exp(-2 a) for a >= 0, to an ulp, and exactly zero where it would be subnormal. XLA's own has a division in it."""
    dtype = a.dtype
    info = jnp.finfo(dtype)
    high, low = _LN2[dtype.name]
    largest = (0.75 - info.minexp) * np.log(2) / 2  # here the exponent below becomes that of zero
    a = jnp.where(a > largest, dtype.type(largest), a)
    n = jnp.round(a * dtype.type(-2 / np.log(2)))
    f = (-2 * a - n * dtype.type(high)) - n * dtype.type(low)
    *rest, p = (dtype.type(c) for c in _EXP[dtype.name])
    for c in reversed(rest):
        p = p * f + c
    integer = jnp.int64 if dtype == jnp.float64 else jnp.int32
    power = (n.astype(integer) + (1 - info.minexp)) << info.nmant
    return p * jax.lax.bitcast_convert_type(power, dtype)


@jax.custom_jvp
def tanh_and_slope(u: Float[Array, "*shape"]) -> tuple[Float[Array, "*shape"], Float[Array, "*shape"]]:
    """tanh(u) and its derivative from one exponential, with the derivative accurate to a few ulp however deep the
    saturation.

    `1 - tanh(u)**2` is exactly zero from |u| = 19 on in float64 (9 in float32). With e = exp(-2|u|) and
    t = e / (1 + e), tanh|u| = 1 - 2 t and the derivative is 4 t (1 - t), which lives until e underflows, at
    |u| = 354 (44). The absolute error of tanh is one rounding of 1.
    """
    e = _exp_minus_twice(jnp.abs(u))
    # One array with the sign of u, and a division at its end: XLA computes it once and reads it twice. From cheaper
    # operations it would compute everything anew for both results.
    t = jnp.copysign(e, u) / (1 + e)
    size = jnp.abs(t)
    return jnp.copysign(jnp.ones_like(t), t) - 2 * t, 4 * size * (1 - size)


@tanh_and_slope.defjvp
def _(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Any, Any]:
    x, slope = tanh_and_slope(*primals)
    return (x, slope), (slope * tangents[0], -2 * x * slope * tangents[0])


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
        return tanh_and_slope(self.drive(self.delays() @ state))[0]

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
        """
        delays = self.delays()
        D = delays.shape[1]
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

    def orthonormal_tangent(
        self, state: Float[Array, "D"], frame: Float[Array, "D D"]
    ) -> tuple[Float[Array, "D"], Float[Array, "D D"], Float[Array, "D"], Float[Array, ""]]:
        """Next state, orthonormal frame, logarithms of its lengths and determinant, for a whole frame, at a cost of
        O(N D + D^2).
        """
        delays = self.delays()
        x, slope = tanh_and_slope(self.drive(delays @ state))
        row = self.s * ((self.gains * slope) @ delays)
        frame, logarithms = rotate_frame(frame, row)
        return _shift(state, self.output(x)), frame, logarithms, row[-1]

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
    products = jnp.tensordot(rows, register, 1)
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
            without one it is "uniform".

    Raises:
        ValueError: the row has no (seed, N, D, s), or is of a system that is no feedback network.
    """
    family = row.get("system", "uniform")
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
        family=str(family),
        dtype=str(row.get("dtype", "float64")),
    )


_FAMILIES = {"uniform": (FeedbackNetwork, article_draw), "gaussian": (GaussianNetwork, gaussian_draw)}


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class LinearMap:
    """x' = A x; its exponents are the logarithms of the moduli of the eigenvalues of A, whatever the state."""

    matrix: Float[Array, "D D"]

    nonsingular: ClassVar[bool] = False

    def __call__(self, state: Float[Array, "D"]) -> Float[Array, "D"]:
        return self.matrix @ state

    def tangent(
        self, state: Float[Array, "D"], frame: Float[Array, "D k"]
    ) -> tuple[Float[Array, "D"], Float[Array, "D k"], Float[Array, ""]]:
        return self(state), self.matrix @ frame, jnp.linalg.det(self.matrix)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class LogisticMap:
    """x' = r x (1 - x); at r = 4 its exponent is ln 2 (May 1976)."""

    r: Float[Array, ""]

    nonsingular: ClassVar[bool] = False

    def __call__(self, state: Float[Array, "1"]) -> Float[Array, "1"]:
        return self.r * state * (1 - state)

    def tangent(
        self, state: Float[Array, "1"], frame: Float[Array, "1 k"]
    ) -> tuple[Float[Array, "1"], Float[Array, "1 k"], Float[Array, ""]]:
        slope = self.r * (1 - 2 * state)
        return self(state), slope[:, None] * frame, slope[0]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class HenonMap:
    """(x, y)' = (1 - a x^2 + y, b x); its two exponents sum to ln|b| (Henon 1976)."""

    a: Float[Array, ""]
    b: Float[Array, ""]

    nonsingular: ClassVar[bool] = False

    def __call__(self, state: Float[Array, "2"]) -> Float[Array, "2"]:
        x, y = state
        return jnp.stack([1 - self.a * x * x + y, self.b * x])

    def tangent(
        self, state: Float[Array, "2"], frame: Float[Array, "2 k"]
    ) -> tuple[Float[Array, "2"], Float[Array, "2 k"], Float[Array, ""]]:
        pushed = jnp.stack([-2 * self.a * state[0] * frame[0] + frame[1], self.b * frame[0]])
        return self(state), pushed, -self.b


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class DelayedLogisticMap:
    """x' = r x (1 - z), z' = x: its fixed point 1 - 1/r gives way to a closed curve in a Neimark-Sacker bifurcation
    at r = 2 (Aronson et al. 1982).
    """

    r: Float[Array, ""]

    nonsingular: ClassVar[bool] = False

    def __call__(self, state: Float[Array, "2"]) -> Float[Array, "2"]:
        x, z = state
        return jnp.stack([self.r * x * (1 - z), x])

    def tangent(
        self, state: Float[Array, "2"], frame: Float[Array, "2 k"]
    ) -> tuple[Float[Array, "2"], Float[Array, "2 k"], Float[Array, ""]]:
        x, z = state
        pushed = jnp.stack([self.r * (1 - z) * frame[0] - self.r * x * frame[1], frame[0]])
        return self(state), pushed, self.r * x


def fold(function: Callable[[Array, Array], Array], array: Float[Array, "n *rest"]) -> Float[Array, "*rest"]:
    """function over the first axis, in pairs: a sum or a maximum that XLA fuses with what stands before and after it,
    in an order that is always the same.
    """
    while (n := array.shape[0]) > 1:
        half = n // 2
        pairs = function(array[:half], array[half : 2 * half])
        array = jnp.concatenate([pairs, array[2 * half :]]) if n % 2 else pairs
    return array[0]


def as_pytree(map_: Any) -> Any:
    """The map as a pytree, so that `jit` sees its arrays as arguments: a plain function becomes a `Partial` without
    arguments.
    """
    if jax.tree_util.all_leaves([map_]):
        if not callable(map_):
            raise ValueError(f"`map` must be callable as map(state), got {type(map_).__name__}")
        return jax.tree_util.Partial(map_)
    return map_


def tangent(map_: Any, state: Array, frame: Array) -> tuple[Array, Array, Array]:
    """Next state, frame and determinant of any map: its own `tangent`, or one `jax.jvp` a vector with the determinant
    unknown (NaN).
    """
    if hasattr(map_, "tangent"):
        return map_.tangent(state, frame)
    new, push = jax.linearize(map_, state)
    return new, jax.vmap(push, in_axes=1, out_axes=1)(frame), jnp.full((), jnp.nan, state.dtype)


def stretch(
    map_: Any, register: Float[Array, "D columns *lanes"], steps: int
) -> tuple[list[Float[Array, "D *lanes"]], Float[Array, "D columns *lanes"], Float[Array, "steps *lanes"]]:
    """Several steps of any map, at once where it knows how: the state after each of them, the register after the last,
    and their determinants.

    Args:
        register: (D, columns), the state in its first column, tangent vectors in the others, of which there may be
            none: then the determinants mean nothing.
    """
    if hasattr(map_, "entries"):
        entries, determinants = map_.entries(register, steps)
        D = register.shape[0]
        outputs = jnp.concatenate([entries[:, 0], register[:, 0]])
        states = [outputs[steps - t : steps - t + D] for t in range(1, steps + 1)]
        return states, jnp.concatenate([entries[:D], register[: max(D - steps, 0)]]), determinants
    states, determinants = [], []
    state, frame = register[:, 0], register[:, 1:]
    for _ in range(steps):
        if frame.shape[1]:
            state, frame, determinant = tangent(map_, state, frame)
        else:
            state, determinant = map_(state), jnp.ones((), state.dtype)
        states.append(state)
        determinants.append(determinant)
    return states, jnp.concatenate([state[:, None], frame], axis=1), jnp.stack(determinants)


def check_dtype(dtype: str) -> None:
    """Refuse a dtype that JAX would quietly turn into another.

    Raises:
        ValueError: not float32 or float64, or float64 with x64 switched off.
    """
    if dtype not in ("float64", "float32"):
        raise ValueError(f"`dtype` must be float64 or float32, got {dtype!r}")
    if dtype == "float64" and not jax.config.jax_enable_x64:  # pyright: ignore[reportAttributeAccessIssue]
        raise ValueError(
            "`dtype` float64 needs JAX's x64 mode: call jax.config.update('jax_enable_x64', True) first, "
            "or ask for float32"
        )
