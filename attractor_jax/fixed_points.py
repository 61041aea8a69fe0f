"""Where does a fixed point of any map lose its stability? By its Jacobian, as a parameter moves through a bracket.

For feedback networks at the origin there is a closed form (stability.py); this is for every other map and point.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from attractor_jax.maps import Map
from attractor_jax.stability import Criticality

# Newton's method doubles its digits each time, once it is near.
NEWTON_STEPS = 50


def loss_of_stability(
    map_at: Callable[[float], Map],
    bracket: tuple[float, float],
    state: Float[Array | np.ndarray, "D"],
    *,
    tolerance: float = 1e-12,
) -> Criticality:
    """The parameter at which the spectral radius of the Jacobian at a fixed point passes through one.

    Args:
        map_at: the map at a value of the parameter.
        bracket: (low, high): the fixed point is stable at one end and unstable at the other.
        state: (D,), near the fixed point at `low`; from there it is followed by Newton's method. Too far, and Newton
            finds another fixed point, or none.
        tolerance: width to which the bracket is bisected. Below some 1e-15 of the parameter it cannot shrink further.

    Returns:
        The critical parameter, and the argument and kind of the eigenvalue on the unit circle: "pitchfork" stands for
        all bifurcations at +1 through which the point goes on. Beyond a fold there is none left to be found.

    Raises:
        ValueError: no fixed point is found, or the bracket has no change of stability in it.

    Reference:
        Yu. A. Kuznetsov, Elements of Applied Bifurcation Theory, chapter 4.
    """
    low, high = map(float, bracket)
    if not low < high:
        raise ValueError(f"`bracket` must have its low end below its high end, got {low:g} and {high:g}")
    if not tolerance > 0:
        raise ValueError(f"`tolerance` must be above 0, got {tolerance}")
    point = jnp.asarray(state)
    point, first = _eigenvalue(map_at, low, point)
    _, last = _eigenvalue(map_at, high, point)
    stable = abs(first) < 1
    if stable == (abs(last) < 1):
        raise ValueError(
            f"`bracket` must have a change of stability in it; the spectral radius is {abs(first):.6g} at {low:g} and "
            f"{abs(last):.6g} at {high:g}"
        )
    while high - low > tolerance:
        middle = (low + high) / 2
        if not low < middle < high:
            break
        point, eigenvalue = _eigenvalue(map_at, middle, point)
        low, high = (middle, high) if (abs(eigenvalue) < 1) == stable else (low, middle)
    middle = (low + high) / 2
    angle = abs(float(np.angle(_eigenvalue(map_at, middle, point)[1])))
    kind = "pitchfork" if angle == 0 else "flip" if angle == np.pi else "neimark_sacker"
    return Criticality(np.array(middle), np.array(angle), np.array(kind, object))


def _eigenvalue(map_at: Callable[[float], Map], parameter: float, near: Array) -> tuple[Array, complex]:
    """The fixed point and its eigenvalue of largest modulus."""
    map_ = map_at(parameter)
    jacobian = jax.jacfwd(map_)
    point, identity, rounding = near, jnp.eye(near.shape[0]), float(jnp.finfo(near.dtype).eps)
    for _ in range(NEWTON_STEPS):
        off = map_(point) - point
        if jnp.max(jnp.abs(off)) <= rounding * (1 + jnp.max(jnp.abs(point))):
            break
        # Least squares: where an eigenvalue is one, the matrix is singular, and the point may be there already.
        point = point - jnp.linalg.lstsq(jacobian(point) - identity, off)[0]
    if not jnp.max(jnp.abs(map_(point) - point)) < jnp.sqrt(rounding) * (1 + jnp.max(jnp.abs(point))):
        raise ValueError(f"`state` must be near a fixed point; Newton's method found none at {parameter:g}")
    eigenvalues = np.linalg.eigvals(np.asarray(jacobian(point)))
    return point, complex(eigenvalues[np.argmax(np.abs(eigenvalues))])
