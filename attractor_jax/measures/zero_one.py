"""Is the output chaotic? The 0-1 test, which looks at the samples of one number and at nothing else: no tangent
vector, no dimension, no neighbouring orbit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from attractor_jax.defaults import default_tolerance
from attractor_jax.measures import ZERO_ONE_PLACES as PLACES
from attractor_jax.schema import Column

FREQUENCIES = 100
SAMPLES = 2000


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Samples:
    """Samples of y, each in the place that `place` gives it, and how many steps there have been."""

    values: Float[Array, "places"]
    step: Int[Array, ""]


class ZeroOne:
    """K of the 0-1 test on 2,000 samples of the output y, evenly spaced over the measured steps: near 1 in chaos,
    near 0 on cycles and tori.

    The samples thin themselves out: every state is kept until the 4,096 places are full, then every second, every
    fourth, so that nobody needs to know beforehand how long the measurement will be. The last 2,000 of those that are
    there are tested. States after the first 2^24 are not looked at. With fewer than 2,000 steps there is no K (NaN).

    Weak chaos needs long measurements: K comes near 1 only when the orbit has forgotten where it was many times over,
    and is somewhere in between before that. Cycles and modulations longer than about a twentieth of the samples hardly
    repeat within the displacements that are looked at, and can come out anywhere.

    Costs 32 kB a network, a scattered write a step, and some 6 ms of a CPU core at the end.
    """

    name = "zero_one"
    columns = (
        Column("zero_one_k", "float", "", "K of the 0-1 test of y: near 1 = chaotic, near 0 = regular", nullable=True),
    )

    def init(self, map_: Any, state: Array) -> Samples:
        return Samples(jnp.zeros(PLACES, state.dtype), jnp.zeros((), jnp.int32))

    def step(self, carry: Samples, map_: Any, state: Array) -> Samples:
        turn = carry.step // PLACES
        stride = 1 << (32 - jax.lax.clz(turn))
        wanted = carry.step % stride == 0
        # What is not wanted is written behind the end, where it is dropped: to choose between the samples with and
        # without it would copy them all.
        where = jnp.where(wanted & (turn < PLACES), place(carry.step), PLACES)
        return Samples(carry.values.at[where].set(state[0], mode="drop"), carry.step + 1)

    def finish(self, carry: Samples, steps: int | Array) -> dict[str, Array]:
        stride, count = kept(jnp.minimum(jnp.asarray(steps, jnp.int32), PLACES**2))
        times = (count - SAMPLES + np.arange(SAMPLES)) * stride
        K = zero_one_test(carry.values[place(jnp.maximum(times, 0))])
        return {"zero_one_k": jnp.where(count < SAMPLES, jnp.nan, K)}


def kept(steps: Array) -> tuple[Array, Array]:
    """After `steps` steps: every how-manieth sample is there, from the first on, and how many these are."""
    stride = 1 << (32 - jax.lax.clz((jnp.maximum(steps, 1) - 1) // PLACES))
    return stride, (steps + stride - 1) // stride


def place(step: Any) -> Any:
    """Where the sample of a step stands.

    While every 2^k-th step is kept, up to step 2^k `PLACES`, the remainder of the kept steps is a multiple of 2^k and
    their quotient less than 2^k: no two share a place, and each newcomer falls on one that the doubled stride gave up.
    """
    return step % PLACES + step // PLACES


def zero_one_test(signal: Float[Array, "samples"]) -> Float[Array, ""]:
    """K of the 0-1 test for chaos: the median over frequencies c of the correlation of n with D_c(n).

    The signal phi, taken about its mean, drives a particle in the plane, z(n) = sum_{k <= n} phi(k) exp(i k c). In
    chaos it diffuses and its mean square displacement grows with n; otherwise it stays bounded:

        M_c(n) = mean over j of |z(j + n) - z(j)|^2,    n = 1 .. samples / 10
        D_c(n) = M_c(n) - E[phi]^2 (1 - cos n c) / (1 - cos c)

    The subtracted term is the oscillation that a mean adds to M_c, where it hides the growth. Without a mean it
    vanishes, and so do the products of mean and signal that the subtraction leaves in a finite sample: D_c is M_c.

    The displacements are never formed. With g_n(m) = sum_j phi(j + n) phi(j + n - m), which follows from g_{n-1} in
    one addition and one subtraction, sum_j |z(j + n) - z(j)|^2 grows by g_n(0) + 2 sum_m cos(m c) g_n(m) from n - 1
    to n: the frequencies share all sums over j.

    Args:
        signal: (samples,), evenly spaced in time. Fewer than about 1,000 leave K between 0 and 1 in weak chaos.
            Samples much closer in time than the signal takes to change look regular.

    Returns:
        K in [-1, 1], 0 for a signal that is constant to within the tolerance of the recurrence test.

    References:
        Gottwald, Melbourne (2004), Proc. R. Soc. A 460, 603.
        Gottwald, Melbourne (2009), SIAM J. Appl. Dyn. Syst. 8, 129: the correlation method and D_c.
    """
    samples = signal.shape[0]
    longest = samples // 10
    windows = samples - longest
    phi = signal.astype(float)
    phi = phi - jnp.mean(phi)
    spread = jnp.max(jnp.abs(phi))
    # A fixed point leaves nothing but rounding, and rounding can be anything.
    constant = spread <= default_tolerance(signal.dtype.name) * jnp.maximum(1, jnp.max(jnp.abs(signal)))
    phi = phi / jnp.where(constant, 1, spread)

    lag, n = np.arange(longest), np.arange(1, longest + 1)
    weights = np.where(lag == 0, 1.0, 2.0) * np.cos(frequencies()[:, None] * lag)
    backwards = jnp.concatenate([phi[::-1], jnp.zeros(longest)])

    def further(carry: Any, n: Any) -> tuple[Any, None]:
        g, displacement, sums = carry
        entering = jax.lax.dynamic_slice(backwards, (longest - n,), (longest,))
        leaving = jax.lax.dynamic_slice(backwards, (samples - n,), (longest,))
        newest = jnp.sum(jax.lax.dynamic_slice(phi, (n,), (windows,)) * phi[1 : windows + 1])
        g = jnp.where(lag < n - 1, g + entering[0] * entering - leaving[0] * leaving, 0)
        g = jnp.where(lag == n - 1, newest, g)
        displacement = displacement + jnp.dot(weights, g, precision="highest")
        D_c = displacement / windows
        sums = sums + jnp.stack([D_c, D_c * D_c, (n - (longest + 1) / 2) * D_c])
        return (g, displacement, sums), None

    start = (jnp.zeros(longest), jnp.zeros(FREQUENCIES), jnp.zeros((3, FREQUENCIES)))
    first, second, mixed = jax.lax.scan(further, start, n)[0][2]
    scatter = second - first * first / longest
    K_c = mixed / jnp.sqrt(jnp.where(scatter > 0, scatter, jnp.inf) * np.sum((n - np.mean(n)) ** 2))
    return jnp.where(constant, 0, jnp.median(jnp.clip(K_c, -1, 1)))


def frequencies() -> np.ndarray:
    """Evenly spread over (pi/5, 4 pi/5), away from the resonances near 0 and pi, by multiples of the golden ratio:
    none is a rational part of a turn, where a cycle would drive the particle straight on.
    """
    golden = (np.sqrt(5) - 1) / 2
    return np.pi / 5 + 3 * np.pi / 5 * (np.arange(1, FREQUENCIES + 1) * golden % 1)
