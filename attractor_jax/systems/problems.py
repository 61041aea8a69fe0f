"""What is learned? Losses of few parameters on little data: the landscapes that gradient descent moves on.

A problem is a value: it holds sizes, and makes its data when it is asked for them, so that it can be a static part of
a map. Losses are means over the examples they are given, without the decay of weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Array, Float

from attractor_jax.images import digits

Data = tuple[np.ndarray, np.ndarray]

# Hidden activities beyond this have less than a fiftieth of the slope that they could have.
SATURATED = 0.99


@dataclass(frozen=True)
class Problem:
    """The protocol of a problem; what is written out here is that of a landscape without data.

    Attributes:
        width: hidden units; 0 where there are none.
    """

    width: int = 0

    @property
    def examples(self) -> int:
        """In the training set."""
        return 1

    @property
    def parameters(self) -> int:
        """P."""
        raise NotImplementedError

    def loss(self, theta: Float[Array, "P"], inputs: Any, targets: Any) -> Float[Array, ""]:
        """The mean loss over some examples."""
        raise NotImplementedError

    def train(self) -> Data:
        """Inputs (n, d) and targets (n, outputs)."""
        return np.zeros((1, 0)), np.zeros((1, 0))

    def test(self) -> Data | None:
        """The same of examples that are not trained on, if there are any."""
        return None

    def start(self, seed: int) -> Float[np.ndarray, "P"]:
        """Where a training begins, at init_scale 1."""
        return np.random.default_rng(seed).standard_normal(self.parameters)

    def accuracy(self, theta: Float[Array, "P"], inputs: Any, targets: Any) -> Float[Array, ""] | None:
        """Share of the examples that are told right, where something is told."""
        return None

    def hidden(self, theta: Float[Array, "P"], inputs: Any) -> Float[Array, "n width"] | None:
        """Activities of the hidden units, where there are some."""
        return None

    def late(self) -> np.ndarray:
        """(P,), bool: parameters behind the hidden units, which may have a learning rate of their own."""
        return np.ones(self.parameters, bool)

    def apart(self, one: Float[np.ndarray, "P"], other: Float[np.ndarray, "P"]) -> float:
        """The distance of two parameter vectors, or of their images under the problem's symmetries, where that is
        less.
        """
        return float(np.linalg.norm(one - other))


@dataclass(frozen=True)
class DoubleWell(Problem):
    """L = (x^2 - 1)^2 / 4: two minima at +-1 of curvature 2, and a maximum between them."""

    @property
    def parameters(self) -> int:
        return 1

    def loss(self, theta: Float[Array, "P"], inputs: Any, targets: Any) -> Float[Array, ""]:
        return (theta[0] ** 2 - 1) ** 2 / 4

    def apart(self, one: Float[np.ndarray, "P"], other: Float[np.ndarray, "P"]) -> float:
        return float(min(abs(one[0] - other[0]), abs(one[0] + other[0])))


@dataclass(frozen=True)
class Factorisation(Problem):
    """L = (u v - 1)^2 / 2: the smallest deep linear network. Its minima are a hyperbola, of sharpness u^2 + v^2."""

    @property
    def parameters(self) -> int:
        return 2

    def loss(self, theta: Float[Array, "P"], inputs: Any, targets: Any) -> Float[Array, ""]:
        return (theta[0] * theta[1] - 1) ** 2 / 2

    def apart(self, one: Float[np.ndarray, "P"], other: Float[np.ndarray, "P"]) -> float:
        return float(min(np.linalg.norm(one - sign * image) for sign in (1, -1) for image in (other, other[::-1])))


@dataclass(frozen=True)
class _Perceptron(Problem):
    """One hidden layer of tanh units. The parameters are W1 (width, d), b1 (width), W2 (outputs, width), b2 (outputs),
    flat, in that order; without biases W1 and W2.
    """

    outputs: ClassVar[int] = 1
    biased: ClassVar[bool] = True

    @property
    def inputs(self) -> int:
        """d."""
        raise NotImplementedError

    @property
    def parameters(self) -> int:
        H, d, m = self.width, self.inputs, self.outputs
        return H * (d + m) + (H + m if self.biased else 0)

    def layers(self, theta: Any) -> tuple[Any, Any, Any, Any]:
        """W1, b1, W2, b2 from the last axis of `theta`; biases that are not there are zero."""
        H, d, m = self.width, self.inputs, self.outputs
        cuts = np.cumsum([H * d, H if self.biased else 0, m * H])
        first, b1, second, b2 = (theta[..., a:b] for a, b in zip((0, *cuts), (*cuts, theta.shape[-1]), strict=True))
        if not self.biased:
            b1, b2 = 0.0 * first[..., ::d], 0.0 * second[..., ::H]
        return first.reshape(*theta.shape[:-1], H, d), b1, second.reshape(*theta.shape[:-1], m, H), b2

    def hidden(self, theta: Float[Array, "P"], inputs: Any) -> Float[Array, "n width"]:
        import jax.numpy as jnp

        W1, b1, _, _ = self.layers(theta)
        return jnp.tanh(jnp.matmul(inputs, W1.T, precision="highest") + b1)

    def output(self, theta: Float[Array, "P"], inputs: Any) -> Float[Array, "n outputs"]:
        """What the network says to some inputs."""
        import jax.numpy as jnp

        _, _, W2, b2 = self.layers(theta)
        return jnp.matmul(self.hidden(theta, inputs), W2.T, precision="highest") + b2

    def loss(self, theta: Float[Array, "P"], inputs: Any, targets: Any) -> Float[Array, ""]:
        import jax.numpy as jnp

        return jnp.mean((self.output(theta, inputs) - targets) ** 2)

    def apart(self, one: Float[np.ndarray, "P"], other: Float[np.ndarray, "P"]) -> float:
        """Hidden units may change places, and their sign: the best of all such images is an assignment of units to
        units, which needs no list of them.
        """
        from scipy.optimize import linear_sum_assignment

        (a, rest), (b, other_rest) = self._units(one), self._units(other)
        squares = [((a[:, None] - sign * b[None]) ** 2).sum(axis=2) for sign in (1, -1)]
        pairs = linear_sum_assignment(cost := np.minimum(*squares))
        return float(np.sqrt(cost[pairs].sum() + ((rest - other_rest) ** 2).sum()))

    def _units(self, theta: Float[np.ndarray, "P"]) -> tuple[np.ndarray, np.ndarray]:
        """All that belongs to each hidden unit, (width, numbers), and the rest."""
        H, behind = self.width, theta[self.late()]
        before, second = theta[~self.late()], behind[: H * self.outputs]
        columns = [before[: H * self.inputs].reshape(H, -1), before[H * self.inputs :].reshape(H, -1)]
        return np.hstack([*columns, second.reshape(-1, H).T]), behind[H * self.outputs :]

    def start(self, seed: int) -> Float[np.ndarray, "P"]:
        """Weights of variance 1 / fan-in, biases of the hidden units of variance 1, others 0."""
        draw, (H, d, m) = np.random.default_rng(seed), (self.width, self.inputs, self.outputs)
        first, b1 = draw.standard_normal(H * d) / np.sqrt(d), draw.standard_normal(H)
        second = draw.standard_normal(m * H) / np.sqrt(H)
        return np.concatenate([first, b1, second, np.zeros(m)] if self.biased else [first, second])

    def late(self) -> np.ndarray:
        H, m = self.width, self.outputs
        behind = H * m + (m if self.biased else 0)
        return np.arange(self.parameters) >= self.parameters - behind


@dataclass(frozen=True)
class Xor(_Perceptron):
    """The exclusive or of two signs, targets +-1, mean squared error."""

    @property
    def inputs(self) -> int:
        return 2

    @property
    def examples(self) -> int:
        return 4

    def train(self) -> Data:
        signs = np.array([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
        return signs, -signs[:, :1] * signs[:, 1:]

    def accuracy(self, theta: Float[Array, "P"], inputs: Any, targets: Any) -> Float[Array, ""]:
        import jax.numpy as jnp

        return jnp.mean(self.output(theta, inputs) * targets > 0, dtype=theta.dtype)


@dataclass(frozen=True)
class Regression(_Perceptron):
    """sin(4 pi x) on [-1, 1] from 32 noisy examples; what is tested is the distance from the curve itself."""

    noise: ClassVar[float] = 0.3  # standard deviation

    @property
    def inputs(self) -> int:
        return 1

    @property
    def examples(self) -> int:
        return 32

    def train(self) -> Data:
        draw = np.random.default_rng(0)  # the same examples in every sweep
        x = np.sort(draw.uniform(-1, 1, self.examples))[:, None]
        return x, np.sin(4 * np.pi * x) + self.noise * draw.standard_normal(x.shape)

    def test(self) -> Data:
        x = np.linspace(-1, 1, 201)[:, None]
        return x, np.sin(4 * np.pi * x)


@dataclass(frozen=True)
class Digits(_Perceptron):
    """The 8 x 8 handwritten digits that come with scikit-learn (extra `data`): 300 to learn, 1,497 to be tested on;
    cross-entropy.
    """

    outputs = 10

    @property
    def inputs(self) -> int:
        return 64

    @property
    def examples(self) -> int:
        return 300

    def train(self) -> Data:
        inputs, targets = _digits()
        return inputs[: self.examples], targets[: self.examples]

    def test(self) -> Data:
        inputs, targets = _digits()
        return inputs[self.examples :], targets[self.examples :]

    def loss(self, theta: Float[Array, "P"], inputs: Any, targets: Any) -> Float[Array, ""]:
        import jax
        import jax.numpy as jnp

        return -jnp.mean(jnp.sum(targets * jax.nn.log_softmax(self.output(theta, inputs)), axis=1))

    def accuracy(self, theta: Float[Array, "P"], inputs: Any, targets: Any) -> Float[Array, ""]:
        import jax.numpy as jnp

        right = jnp.argmax(self.output(theta, inputs), axis=1) == jnp.argmax(targets, axis=1)
        return jnp.mean(right, dtype=theta.dtype)


def _digits() -> Data:
    """All 1,797 of them, targets one-hot."""
    inputs, classes = digits("system.name")
    return inputs, np.eye(10)[classes]


@dataclass(frozen=True)
class MeanField(_Perceptron):
    """A tanh network without biases in the mean-field scaling, f(x) = 1/H sum_j a_j tanh(w_j x / sqrt(d)), d = H, on
    as many random examples as it has parameters (Sohl-Dickstein 2024, arXiv:2402.06184). Useful learning rates grow
    with H.
    """

    biased = False

    @property
    def inputs(self) -> int:
        return self.width

    @property
    def parameters(self) -> int:
        return self.width * (self.width + 1)

    @property
    def examples(self) -> int:
        return self.parameters

    def layers(self, theta: Any) -> tuple[Any, Any, Any, Any]:
        H = self.width
        W1 = theta[: H * H].reshape(H, H) / np.sqrt(H)
        return W1, 0.0, theta[H * H :].reshape(1, H) / H, 0.0

    def start(self, seed: int) -> Float[np.ndarray, "P"]:
        return np.random.default_rng(seed).standard_normal(self.parameters)

    def train(self) -> Data:
        draw = np.random.default_rng(0)  # the same examples in every sweep
        return draw.standard_normal((self.parameters, self.width)), draw.standard_normal((self.parameters, 1))
