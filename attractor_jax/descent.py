"""How does a training take its next step? Gradient descent as a map of the library, exact in its tangent."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from attractor_jax.systems.problems import Problem


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Descent:
    """v' = momentum v + gradient, theta' = theta - lr v'; the state is (theta, v, clock), or (theta, clock) without
    momentum.

    The gradient is that of the problem's loss over a minibatch, plus weight_decay theta, plus noise. A training stays
    where its first value is that is not finite, and its clock says when that was.

    Attributes:
        lr: (), or (P,).
        weight_decay: ().
        momentum: (1,), or (0,) without.
        noise: (1,), standard deviation of what is added to each component of the gradient, or (0,) without.
        batch: its length is the size of a minibatch, drawn anew in each step without replacement; as long as there are
            examples: the full batch, and nothing is drawn.
        key: (2,), the seed of minibatches and noise, in halves of sixteen bits.
        noisy_steps: (), steps with minibatches and noise, behind which the full batch takes over; None: for ever.
        problem: what is learned.
    """

    lr: Float[Array, "*P"]
    weight_decay: Float[Array, ""]
    momentum: Float[Array, "velocities"]
    noise: Float[Array, "noises"]
    batch: Float[Array, "examples"]
    key: Float[Array, "2"]
    noisy_steps: Float[Array, ""] | None = None
    problem: Problem = field(default_factory=Problem, metadata={"static": True})

    clocked: ClassVar[bool] = True
    nonsingular: ClassVar[bool] = False

    @property
    def draws(self) -> bool:
        """Is anything drawn at random at all?"""
        return self.noise.shape[0] > 0 or self.batch.shape[0] < self.problem.examples

    def random(self, state: Float[Array, "n"]) -> Bool[Array, ""]:
        """Is the next step drawn at random?"""
        if not self.draws:
            return jnp.zeros((), bool)
        return jnp.ones((), bool) if self.noisy_steps is None else state[-1] < self.noisy_steps

    def objective(self, theta: Float[Array, "P"], inputs: Any, targets: Any) -> Float[Array, ""]:
        """What is descended, on some examples."""
        return self.problem.loss(theta, inputs, targets) + self.weight_decay * jnp.sum(theta**2) / 2

    def gradient(self, state: Float[Array, "n"]) -> Float[Array, "P"]:
        """The gradient of the next step, with all that is drawn for it."""
        theta = state[: self.problem.parameters]
        inputs, targets = (jnp.asarray(each, theta.dtype) for each in self.problem.train())
        slope = jax.grad(self.objective)
        if not self.draws:
            return slope(theta, inputs, targets)
        high, low = self.key.astype(jnp.uint32)
        key = jax.random.fold_in(jax.random.key(high * 2**16 + low), state[-1].astype(jnp.uint32))
        for_batch, for_noise = jax.random.split(key)
        size = self.batch.shape[0]
        if size < self.problem.examples:
            chosen = some_of(for_batch, self.problem.examples, size)
            found = slope(theta, inputs[chosen], targets[chosen])
        else:
            found = slope(theta, inputs, targets)
        if self.noise.shape[0]:
            found = found + self.noise[0] * jax.random.normal(for_noise, theta.shape, theta.dtype)
        if self.noisy_steps is None:
            return found
        return jnp.where(self.random(state), found, slope(theta, inputs, targets))

    def __call__(self, state: Float[Array, "n"]) -> Float[Array, "n"]:
        P = self.problem.parameters
        theta, velocity, gradient = state[:P], state[P:-1], self.gradient(state)
        velocity = self.momentum[0] * velocity + gradient if self.momentum.shape[0] else gradient
        moved = [theta - self.lr * velocity, *([velocity] if self.momentum.shape[0] else []), state[-1:] + 1]
        return jnp.where(jnp.all(jnp.isfinite(state)), jnp.concatenate(moved), state)

    def tangent(
        self, state: Float[Array, "n"], frame: Float[Array, "n k"]
    ) -> tuple[Float[Array, "n"], Float[Array, "n k"], Float[Array, ""]]:
        """Next state, frame and determinant: momentum^P, whatever the loss; unknown without momentum, but for a single
        parameter.
        """
        P = self.problem.parameters
        new, push = jax.linearize(self, state)
        determinant = jnp.full((), jnp.nan, state.dtype)
        if self.momentum.shape[0]:
            determinant = self.momentum[0] ** P
        elif P == 1:
            determinant = push(jnp.zeros_like(state).at[0].set(1))[0]
        return new, jax.vmap(push, in_axes=1, out_axes=1)(frame), determinant


def some_of(key: Array, n: int, size: int) -> Int[Array, "size"]:
    """`size` of the numbers 0 .. n - 1, each set of them as likely as any other.

    Floyd's way (Bentley and Floyd 1987): nothing is sorted, which takes a CPU a thousand times as long.
    """
    bits = jax.random.bits(key, (size,), jnp.uint32)

    def draw(i: Int[Array, ""], chosen: Int[Array, "size"]) -> Int[Array, "size"]:
        last = (n - size + i).astype(jnp.uint32)
        one = bits[i] % (last + 1)
        return chosen.at[i].set(jnp.where(jnp.any(chosen == one.astype(jnp.int32)), last, one).astype(jnp.int32))

    return jax.lax.fori_loop(0, size, draw, jnp.full(size, -1, jnp.int32))
