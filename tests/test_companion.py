"""Rotations of a whole frame, against dense linear algebra: the same factor, at any contraction, for ever."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attractor_jax.companion import begin_turning, frame_of, turn


def rotate_frame(frame: jax.Array, row: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The frame after one step, and the logarithms of the lengths that were taken out."""
    turned = turn(begin_turning(frame), row)
    return frame_of(turned), jnp.log(turned.lengths)


rotate = jax.jit(rotate_frame)


def companion(row: np.ndarray) -> np.ndarray:
    """The matrix that `turn` never builds."""
    return np.vstack([row, np.eye(len(row))[:-1]])


def orthogonal(D: int, seed: int) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((D, D)))[0]


def check(frame: np.ndarray, row: np.ndarray, *, atol: float = 1e-12) -> tuple[np.ndarray, np.ndarray]:
    """One step, held to what defines it: orthogonal, and triangular in the old frame with the logarithms on its
    diagonal.
    """
    new, logarithms = (np.asarray(value) for value in rotate(jnp.asarray(frame), jnp.asarray(row)))
    D = len(row)
    np.testing.assert_allclose(new.T @ new, np.eye(D), rtol=0, atol=atol)
    triangular = new.T @ companion(row) @ frame
    scale = max(1.0, np.abs(row).max())
    np.testing.assert_allclose(np.tril(triangular, -1), 0, atol=atol * scale)
    np.testing.assert_allclose(np.diag(triangular), np.exp(logarithms), rtol=0, atol=atol * scale)
    return new, logarithms


@pytest.mark.parametrize("D", [1, 2, 3, 16, 32])
def test_one_step_is_a_qr_decomposition(D: int) -> None:
    for seed in range(5):
        row = np.random.default_rng([D, seed]).standard_normal(D)
        frame = orthogonal(D, seed)
        new, logarithms = check(frame, row)
        q, r = np.linalg.qr(companion(row) @ frame)
        signs = np.sign(np.diag(r))
        np.testing.assert_allclose(new, q * signs, rtol=0, atol=1e-11)
        np.testing.assert_allclose(logarithms, np.log(np.abs(np.diag(r))), rtol=0, atol=1e-11)


@pytest.mark.parametrize("D", [1, 2, 16])
@pytest.mark.parametrize("size", [1e3, 1e-6, 1e-12, 1e-100, 1e-200, 1e-300])
def test_saturated_units_contract_without_losing_a_digit(D: int, size: float) -> None:
    # Where all units are saturated the whole row is small: |u| = 350 leaves 1e-303.
    generator = np.random.default_rng(D)
    frame = orthogonal(D, 1)
    for _ in range(3 * D):  # until the register has been renewed, so that the frame is one that such steps leave behind
        row = size * generator.standard_normal(D)
        frame, logarithms = check(frame, row)
        assert logarithms.sum() == pytest.approx(np.log(np.abs(row[-1])), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("D", [2, 16])
@pytest.mark.parametrize("last", [1e-6, 1e-12, 1e-200])
def test_a_small_last_entry_costs_digits_of_the_last_logarithm_only(D: int, last: float) -> None:
    # One entry alone is small where units cancel: it is a difference of numbers of size 1 to any frame in double
    # precision.
    row = np.random.default_rng(D).standard_normal(D)
    row[-1] = last
    frame = orthogonal(D, 1)
    for _ in range(3 * D):
        frame, logarithms = check(frame, row)
        seen = max(last, 1e-15)
        assert logarithms.sum() < np.log(seen) + 5
        if last > seen / 10:
            assert logarithms.sum() == pytest.approx(np.log(last), abs=20 * np.finfo(float).eps / last * D)


@pytest.mark.parametrize("D", [1, 2, 16])
def test_a_singular_step_has_one_logarithm_of_minus_infinity(D: int) -> None:
    row = np.random.default_rng(D).standard_normal(D)
    row[-1] = 0
    # Exactly singular only where nothing is rounded: the frame of unit vectors.
    new, logarithms = (np.asarray(value) for value in rotate(jnp.eye(D), jnp.asarray(row)))
    np.testing.assert_allclose(new.T @ new, np.eye(D), rtol=0, atol=1e-13)
    assert np.sum(logarithms == -np.inf) == 1
    assert not np.any(np.isnan(logarithms))
    # In a frame in general position rounding hides the zero, and the rest is as good as ever.
    new, logarithms = (np.asarray(value) for value in rotate(jnp.asarray(orthogonal(D, 2)), jnp.asarray(row)))
    np.testing.assert_allclose(new.T @ new, np.eye(D), rtol=0, atol=1e-13)
    assert logarithms.min() < -34


@pytest.mark.parametrize("row", [[0.0] * 6, [0, 0, 1.5, 0, 0, 0], [0, 0, 0, 0, 0, 0.5], [1.0, 0, 0, 0, 0, 0]])
@pytest.mark.parametrize("seed", [None, 0])
def test_rows_with_zeros(row: list[float], seed: int | None) -> None:
    frame = np.eye(6) if seed is None else orthogonal(6, seed)
    check(frame, np.array(row))


def test_one_delay_is_a_number() -> None:
    for frame, value in ((1.0, 0.3), (-1.0, 0.3), (1.0, -2.0)):
        new, logarithms = rotate(jnp.asarray([[frame]]), jnp.asarray([value]))
        assert float(logarithms[0]) == pytest.approx(np.log(abs(value)), abs=1e-15)
        assert abs(float(new[0, 0])) == 1


@pytest.mark.parametrize(("dtype", "atol"), [("float64", 1e-12), ("float32", 1e-4)])
def test_a_frame_stays_orthogonal_for_ever(dtype: str, atol: float) -> None:
    D, steps = 16, 20_000
    generator = np.random.default_rng(7)
    rows = generator.standard_normal((steps, D)) * 10 ** generator.uniform(-12, 1, (steps, 1))

    @jax.jit
    def run(frame, rows):
        def step(frame, row):
            frame, logarithms = rotate_frame(frame, row)
            return frame, jnp.sum(logarithms) - jnp.log(jnp.abs(row[-1]))

        return jax.lax.scan(step, frame, rows)

    frame, off = run(jnp.asarray(orthogonal(D, 0), dtype), jnp.asarray(rows, dtype))
    assert frame.dtype == off.dtype == dtype
    frame = np.asarray(frame, np.float64)
    np.testing.assert_allclose(frame.T @ frame, np.eye(D), rtol=0, atol=atol)
    # The determinant of a companion matrix is its last entry, but for the sign.
    print(f"{dtype}: off orthogonal by {np.abs(frame.T @ frame - np.eye(D)).max():.1e}, log by {np.abs(off).max():.1e}")
    assert np.abs(np.mean(off)) < atol


def test_float32_agrees_with_float64() -> None:
    row = np.random.default_rng(0).standard_normal(16)
    frame = orthogonal(16, 0)
    new, logarithms = rotate(jnp.asarray(frame, jnp.float32), jnp.asarray(row, jnp.float32))
    exact, exact_logarithms = rotate(jnp.asarray(frame), jnp.asarray(row))
    assert new.dtype == logarithms.dtype == jnp.float32
    np.testing.assert_allclose(new, exact, rtol=0, atol=1e-5)
    np.testing.assert_allclose(logarithms, exact_logarithms, rtol=0, atol=1e-5)
