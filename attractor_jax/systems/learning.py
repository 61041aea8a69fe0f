"""Gradient descent as a map on the parameters, theta -> theta - lr (gradient), with momentum, minibatches, decay of
weights and noise: what it does is asked with the tools of all maps.

With v' = momentum v + gradient and theta' = theta - lr v', the state is (theta, v); without momentum it is theta alone.
Behind either stands a clock: minibatches and noise are drawn from (seed, step), so that they are the same for orbits
that begin elsewhere, for tangent vectors, and for every learning rate.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from attractor_jax.schema import Column
from attractor_jax.systems import Axis, Draw, System
from attractor_jax.systems.plane import OnPlane
from attractor_jax.systems.problems import Digits, DoubleWell, Factorisation, MeanField, Problem, Regression, Xor

# From so many parameters on, the parameters themselves are no column, and the Hessian is not made as a whole.
MOST_EXACT = 256

# A minimum of the 2-2-1 network on XOR with weight_decay 0.01, found by Newton's method: two examples are told right,
# the others get 0. Objective 0.5704929991.
_A, _B, _C = 0.562128340584255, 1.467360117696472, 0.947946253866520
POOR_MINIMUM = (_A, -_B, -_A, -_B, _B, _B, -_C, _C, 0.0)

MOMENTUM = Axis("momentum", float, 0.0, 0.999999, 0.0, "share of the velocity that is kept", static=True)
NOISE = Axis("noise", float, 0.0, 1e6, 0.0, "standard deviation of what is added to the gradient", static=True)
SEED = Axis("seed", int, 0, 2**32 - 1, 0, "draws the first parameters, minibatches and noise")
DECAY = Axis("weight_decay", float, 0.0, 1e6, 0.0, "L2: half of it times |theta|^2 is added to the loss")
SCALE = Axis("init_scale", float, 0.0, 1e6, 1.0, "multiplies the first parameters")
RATE = Axis("lr", float, 1e-12, 1e9, 0.1, "learning rate")


def _width(default: int) -> Axis:
    return Axis("width", int, 1, 4096, default, "number of hidden units", static=True)


def _batch(examples: int) -> Axis:
    meaning = f"examples in a minibatch, drawn anew in each step; all {examples}: full batch"
    return Axis("batch_size", int, 1, examples, examples, meaning, static=True)


def begun_at(theta: np.ndarray, *, momentum: bool) -> np.ndarray:
    """States (..., D + 1) of trainings that begin at rest at some parameters (..., P), with the clock at zero."""
    further = theta.shape[-1] * momentum + 1
    return np.concatenate([theta, np.zeros((*theta.shape[:-1], further))], axis=-1)


class Learning(System):
    """What all trainings share.

    Attributes:
        problem: what is learned.
    """

    problem: ClassVar[type[Problem]]
    draw_axes = ("momentum", "noise", "seed")
    parameters = ("weight_decay", "lr")
    clocked = True
    stretch = 1  # with noise, eight steps at once compile for half a minute; without, they gain nothing
    outcomes = (
        Column("diverged_at", "float", "steps", "step of the first value that is not finite; null if none", True),
        Column("train_loss", "float", "", "mean loss on the training examples, without decay", True),
        Column("test_loss", "float", "", "the same on test examples; null where there are none", True),
        Column("accuracy", "float", "", "share of the training examples told right; null where nothing is told", True),
        Column("test_accuracy", "float", "", "the same on test examples", True),
        Column("objective", "float", "", "what is descended: train_loss with decay", True),
        Column("gradient_norm", "float", "", "Euclidean norm of the objective's gradient", True),
        Column("sharpness", "float", "", "largest eigenvalue of the objective's Hessian", True),
        Column("hessian_min", "float", "", "its smallest eigenvalue", True),
        Column("hessian_trace", "float", "", "its trace; an estimate beyond 256 parameters", True),
        Column("edge_ratio", "float", "", "sharpness lr / (2 (1 + momentum)): beyond 1 a minimum repels", True),
        Column("saturated", "float", "", "share of hidden activities beyond 0.99 on the training examples", True),
        Column("theta", "list", "", "the parameters; null beyond 256"),
    )

    def made(self, static: Mapping[str, Any]) -> Problem:
        """The problem of these static axes."""
        return self.problem(int(static.get("width", 0)))

    def dimension(self, static: Mapping[str, Any]) -> int:
        return self.made(static).parameters * (2 if static["momentum"] else 1)

    def operations(self, static: Mapping[str, Any]) -> float:
        problem = self.made(static)
        batch = static.get("batch_size", problem.examples)
        drawn = 100.0 if static["noise"] or batch < problem.examples else 0.0
        return 40.0 + drawn + 6.0 * batch * problem.parameters

    def draw(self, **axes: Any) -> Draw:
        """Where the training starts, and what of it is fixed: the lengths of the arrays say which program it is."""
        problem = self.made(axes)
        return {
            "start": problem.start(axes["seed"]),
            "key": np.array(divmod(axes["seed"], 2**16), float),  # in halves that a float32 holds
            "momentum": np.full(int(axes["momentum"] > 0), axes["momentum"], float),
            "noise": np.full(int(axes["noise"] > 0), axes["noise"], float),
            "units": np.zeros(problem.width),
            "batch": np.zeros(axes.get("batch_size", problem.examples)),
        }

    def initial_states(self, draw: Draw, axes: Mapping[str, Any], lanes: Mapping[str, np.ndarray]) -> np.ndarray:
        starts = np.asarray(lanes["init_scale"])[:, None] * draw["start"]
        return begun_at(starts, momentum=len(draw["momentum"]) > 0)

    def build(self, draw: Mapping[str, Any], parameters: Mapping[str, Any]) -> Any:
        from attractor_jax.descent import Descent

        problem = self.problem(draw["units"].shape[0])
        return Descent(
            lr=self.rates(problem, parameters),
            weight_decay=parameters["weight_decay"],
            momentum=draw["momentum"],
            noise=draw["noise"],
            batch=draw["batch"],
            key=draw["key"],
            problem=problem,
        )

    def rates(self, problem: Problem, parameters: Mapping[str, Any]) -> Any:
        """The learning rate (...), or that of each parameter (..., P)."""
        return parameters["lr"]

    def outcome(self, draws: Draw, parameters: Mapping[str, np.ndarray], states: np.ndarray) -> dict[str, np.ndarray]:
        from attractor_jax.landscape import describe

        problem = self.problem(draws["units"].shape[1])
        return describe(
            problem,
            states,
            momentum=draws["momentum"].sum(axis=1),
            lr=self.rates(problem, parameters),
            weight_decay=parameters["weight_decay"],
        )


class _OfLandscape(Learning):
    """A problem without data and without hidden units."""

    axes = (MOMENTUM, NOISE, SEED, DECAY, SCALE, RATE)


class DoubleWellDescent(_OfLandscape):
    """x' = (1 + lr) x - lr x^3 without momentum and decay."""

    name = "double_well"
    odd = True
    problem = DoubleWell


class FactorisationDescent(_OfLandscape):
    """Two factors that learn to make 1."""

    name = "factorisation"
    odd = True
    problem = Factorisation


class FactorisationPlane(OnPlane, base=FactorisationDescent):
    """Two factors that begin anywhere on their plane, at rest."""

    def coordinates(self, static: Mapping[str, Any]) -> int:
        return Factorisation().parameters

    def initial_states(self, draw: Draw, axes: Mapping[str, Any], lanes: Mapping[str, np.ndarray]) -> np.ndarray:
        return begun_at(super().initial_states(draw, axes, lanes), momentum=len(draw["momentum"]) > 0)


class _OfNetwork(Learning):
    """A network that learns from examples."""

    draw_axes = ("width", "batch_size", "momentum", "noise", "seed")


class XorDescent(_OfNetwork):
    """The smallest classification that a network without hidden units cannot learn."""

    name = "xor"
    problem = Xor
    axes = (_width(2), _batch(Xor().examples), MOMENTUM, NOISE, SEED, DECAY, SCALE, RATE)


class RegressionDescent(_OfNetwork):
    """Few noisy examples of a curve."""

    name = "regression"
    problem = Regression
    axes = (_width(5), _batch(Regression().examples), MOMENTUM, NOISE, SEED, DECAY, SCALE, RATE)


class DigitsDescent(_OfNetwork):
    """Handwritten digits."""

    name = "digits"
    problem = Digits
    axes = (_width(16), _batch(Digits().examples), MOMENTUM, NOISE, SEED, DECAY, SCALE, RATE)


class EscapeDescent(XorDescent):
    """Trainings of the 2-2-1 network that begin at a poor minimum of the objective with weight_decay 0.01, are driven
    by minibatches and noise for a while, and then go on with the full batch.
    """

    name = "xor_escape"
    parameters = ("noisy_steps", "weight_decay", "lr")
    axes = (
        Axis("width", int, 2, 2, 2, "number of hidden units", static=True),
        *XorDescent.axes[1:5],
        Axis("noisy_steps", int, 0, 2**24, 2000, "steps with minibatches and noise; the full batch follows"),
        *XorDescent.axes[5:],
    )

    def draw(self, **axes: Any) -> Draw:
        return super().draw(**axes) | {"start": np.array(POOR_MINIMUM)}

    def build(self, draw: Mapping[str, Any], parameters: Mapping[str, Any]) -> Any:
        from dataclasses import replace

        return replace(super().build(draw, parameters), noisy_steps=parameters["noisy_steps"])


class TrainabilityDescent(Learning):
    """A mean-field network with a learning rate for each layer."""

    name = "trainability"
    problem = MeanField
    draw_axes = ("width", "momentum", "noise", "seed")
    parameters = ("weight_decay", "lr_hidden", "lr")
    axes = (
        _width(4),
        *(MOMENTUM, NOISE, SEED, DECAY, SCALE),
        Axis("lr_hidden", float, 1e-12, 1e9, 0.1, "learning rate of the hidden layer"),
        Axis("lr", float, 1e-12, 1e9, 0.1, "learning rate of the output layer"),
    )

    def rates(self, problem: Problem, parameters: Mapping[str, Any]) -> Any:
        late = problem.late()
        return parameters["lr"][..., None] * late + parameters["lr_hidden"][..., None] * ~late
