"""How do all steps of a measurement become one GPU kernel? Every network in a thread, with its weights, its state and
its tangent vector in registers from the first step to the last.

A scan launches a kernel a step or more, and each of them reads the weights and the delays again. Here memory is touched
where a run begins and ends, and where a block does: transient, alignment, measurement and the search for a period are
a run each. The price is the shape: what a thread keeps must fit into its registers (`groups.MOST_IN_REGISTERS`), which
leaves room for lambda_1 of small networks, and for nothing else.

Triton has no registers with an index: a vector of a network is a Python list here, and each element an array with one
number a thread. A step is one pass of the only loop; several would save moves, and take minutes to compile. What is
done now and then stands in branches of that loop: after a loop, the compiler would keep the delays twice.

On an H100 it is ten times as fast as `scan` (docs/gpu_program.md).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial, reduce
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton as plgpu
from jaxtyping import Array

from attractor_jax.fused_step import PLAIN, PTX, Arithmetic, Step, integer_like, largest
from attractor_jax.interval import split
from attractor_jax.measurement import Measurement
from attractor_jax.measures.output import Sums, seen

# Networks in a program of the grid: one warp. Nothing is shared between them, and the smallest program leaves the
# fewest threads empty.
THREADS = 32

# Steps after which the exponents of products, counted in 32 bits, become logarithms and begin anew.
SECTION = 2**16

# Steps after which at the latest the product of mantissas, each below 2, must give up its exponent in float32.
MOST_UNSCALED = 64


@dataclass(frozen=True)
class Kernel:
    """Runs of feedback networks, each as one kernel, on the arrays of a block as `blocks.lanes_last` has them: problems
    (draws, parameters), and carries with G draws on the first axis and S lanes on the last.

    Attributes:
        family: "uniform" or "gaussian".
        interpret: XLA computes what the kernel says, on any device; for tests.
    """

    family: str
    interpret: bool = False

    def iterate(self, problem: Any, states: Array, *, steps: int) -> Array:
        """The states (G, D, S) `steps` steps on."""
        D = states.shape[1]

        def run(cells: Callable[..., _Cells], step: Step, given: Any, out: Any) -> None:
            y = jax.lax.fori_loop(0, steps, lambda _, y: step(y), cells().load(given, D))
            cells(y[0]).store(out, y)

        return self._launch(run, "iterate", problem, states) if steps else states

    def output_range(self, problem: Any, states: Array, *, steps: int) -> tuple[Array, Array]:
        """The states (G, D, S) `steps` steps on, and the range (G, S) of their first numbers on the way."""
        first = states[:, 0]
        if not steps:
            return states, jnp.zeros_like(first)

        def run(cells: Callable[..., _Cells], step: Step, given: Any, out: Any) -> None:
            def one_step(_: Array, carry: tuple[list[Array], Array, Array]) -> tuple[list[Array], Array, Array]:
                y, low, high = carry
                y = step(y)
                return y, jnp.minimum(low, y[0]), jnp.maximum(high, y[0])

            y = cells().load(given["state"], states.shape[1])
            y, low, high = jax.lax.fori_loop(0, steps, one_step, (y, y[0], y[0]))
            here = cells(low)
            here.store(out["state"], y)
            here.store(out["low"], [low])
            here.store(out["high"], [high])

        found = self._launch(run, "output_range", problem, {"state": states, "low": first, "high": first})
        return found["state"], found["high"] - found["low"]

    def first_return(self, problem: Any, states: Array, tolerance: Array, *, steps: int) -> tuple[Array, Array, Array]:
        """When the states (G, D, S) first come back to within the tolerance (G, S) in so many steps, 0 if they do not;
        and the lowest and highest of their first numbers on the way.
        """

        def run(cells: Callable[..., _Cells], step: Step, given: Any, out: Any, states: Any, near: Any) -> None:
            here = cells()
            start, (tolerance,) = here.load(states, D), here.load(near, 1)

            def one_step(t: Array, carry: Any) -> Any:
                y, period, low, high = carry
                y = step(y)
                apart = largest([entry - first for entry, first in zip(y, start, strict=True)])
                period = jnp.where((period == 0) & (apart <= tolerance), t + 1, period)
                return y, period, jnp.minimum(low, y[0]), jnp.maximum(high, y[0])

            none = jnp.zeros(tolerance.shape, jnp.int32)
            _, period, low, high = jax.lax.fori_loop(0, steps, one_step, (start, none, start[0], start[0]))
            here = cells(low)
            for name, value in (("period", period), ("low", low), ("high", high)):
                here.store(out[name], [value])

        D, first = states.shape[1], states[:, 0]
        carried = {"period": jnp.zeros(first.shape, jnp.int32), "low": first, "high": first}
        found = self._launch(run, "first_return", problem, carried, states, tolerance)
        return found["period"], found["low"], found["high"]

    def advance(
        self,
        problem: Any,
        m: Measurement,
        *,
        blocks: int,
        block_steps: int,
        renormalise_every: int,
        repeats: Array | None,
    ) -> Measurement:
        """`growth.advance`, with the statistics of the output as the only measure: all blocks in one launch."""
        D, room = m.state.shape[1], m.block_growth.shape[1]
        repeats = jnp.ones((), jnp.int32) if repeats is None else repeats

        def run(cells: Callable[..., _Cells], step: Step, given: Any, out: Any, taken: Any, repeats: Any) -> None:
            length = block_steps * repeats[0]

            def close_section(t: Array, now: _Running) -> _Running:
                now, growth, log_determinant = now.section_closed()
                here = cells(now.y[0])
                block = here.load(taken, 1)[0] // length + t // length
                # Room for blocks to come holds zeros.
                here.add(out["block_growth"], growth, block, room)
                here.add(out["block_log_determinant"], log_determinant, block, room)

                @pl.when(t == blocks * length - 1)
                def _() -> None:
                    here.store(out["state"], now.y)
                    here.store(out["frame"], now.dy)
                    here.store(out["smallest"], [now.smallest])
                    jax.tree.map(lambda ref, value: here.store(ref, [value]), out["sums"], now.sums)

                return now

            def one_step(t: Array, carry: tuple[_Running, Array]) -> tuple[_Running, Array]:
                now, left = carry
                now, left = now.after(step), left - 1  # counted down: the last interval of a block is whole

                def every(steps: int, function: Callable[[_Running], _Running], now: _Running) -> _Running:
                    return jax.lax.cond(jax.lax.rem(left, np.int32(steps)) == 0, function, lambda now: now, now)

                now = every(min(renormalise_every, MOST_UNSCALED), _Running.rescaled, now)
                now = every(SECTION, partial(close_section, t), now)
                return now, jnp.where(left == 0, length, left)

            here = cells()
            now = _Running.begun(
                here.load(given["state"], D),
                here.load(given["frame"], D),
                here.load(given["smallest"], 1)[0],
                jax.tree.map(lambda ref: here.load(ref, 1)[0], given["sums"]),
            )
            jax.lax.fori_loop(0, blocks * length, one_step, (now, length))

        carried = {
            "state": m.state,
            "frame": m.frame,
            "smallest": m.smallest_determinant,
            "sums": m.observations["output"],
            "block_growth": m.block_growth,
            "block_log_determinant": m.block_log_determinant,
        }
        found = self._launch(run, "advance", problem, carried, m.step, repeats)
        steps = blocks * block_steps * repeats
        return replace(
            m,
            state=found["state"],
            frame=found["frame"],
            smallest_determinant=found["smallest"],
            observations={"output": found["sums"]},
            block_growth=found["block_growth"],
            block_log_determinant=found["block_log_determinant"],
            observed=m.observed + steps,
            step=m.step + steps,
        )

    def _launch(self, run: Callable[..., None], name: str, problem: Any, carried: Any, *more: Array) -> Any:
        """What becomes of the arrays `carried` in run(cells, step, carried, the same afterwards, *more)."""
        draws, parameters = problem
        G, S = parameters["s"].shape
        N, columns = draws["weights"].shape[1:3]
        shared = draws["weights"].ndim == 3
        arithmetic = PLAIN if self.interpret else PTX

        def kernel(weights: Any, gains: Any, s: Any, given: Any, *refs: Any) -> None:
            *more, out = refs
            cells = partial(_Cells, G, S, pl.program_id(0), arithmetic)
            w = cells().load(weights, N * columns, shared=shared)
            rows = [w[i * columns : (i + 1) * columns] for i in range(N)]
            gains, (scale,) = cells().load(gains, N, shared=shared), cells().load(s, 1)
            run(cells, Step.of(self.family, rows, gains, scale, arithmetic), given, out, *more)

        flat = jax.tree.map(jnp.ravel, (draws["weights"], draws["gains"], parameters["s"], carried, *more))
        out = pl.pallas_call(
            kernel,
            out_shape=jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), flat[3]),
            grid=(-(-G * S // THREADS),),
            # In place: nothing is copied, and what a run does not touch stays.
            input_output_aliases={3 + i: i for i in range(len(jax.tree.leaves(carried)))},
            interpret=self.interpret,
            compiler_params=plgpu.CompilerParams(num_warps=THREADS // 32, num_stages=1),
            name=f"fused_{name}",
        )(*flat)
        return jax.tree.map(lambda leaf, like: leaf.reshape(like.shape), out, carried)


class _Cells:
    """Where the numbers of each thread's cell are. Threads for which there is no cell load zeros and
    store nothing.

    Args:
        after: no place is known before this value is: places that were made early would be kept in registers.
    """

    def __init__(
        self, draws: int, lanes: int, program: Array, arithmetic: Arithmetic, after: Array | None = None
    ) -> None:
        thread = program * THREADS + jax.lax.iota(jnp.int32, THREADS)
        if after is not None:
            thread = arithmetic.later(thread, after)
        self._there = thread < draws * lanes
        self._draw, self._lane = jnp.divmod(thread, lanes)
        self._lanes = lanes

    def load(self, array: Any, size: int, *, shared: bool = False) -> list[Array]:
        """The `size` numbers of each cell in an array (G, size, S), or (G, size) if the lanes of a draw share them."""
        return [self._load(array.at[self._place(e, size, shared)]) for e in range(size)]

    def store(self, array: Any, values: list[Array]) -> None:
        """Put the numbers where `load` finds them."""
        for e, value in enumerate(values):
            plgpu.store(array.at[self._place(e, len(values))], value, mask=self._there)

    def add(self, array: Any, value: Array, element: Array, size: int) -> None:
        """Add to one of the numbers of each cell."""
        there = array.at[self._place(element, size)]
        plgpu.store(there, self._load(there) + value, mask=self._there)

    def _load(self, there: Any) -> Array:
        return plgpu.load(there, mask=self._there, other=jnp.zeros((), there.dtype))

    def _place(self, element: Array | int, size: int, shared: bool = False) -> Array:
        if shared:
            return self._draw * size + element
        return self._draw * (size * self._lanes) + self._lane + element * self._lanes


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class _Running:
    """What changes from step to step. Products have their exponents apart, see `interval.Product`; that of the tangent
    vector's growth is all there is of it until a section ends.
    """

    y: list[Array]
    dy: list[Array]
    growth: Array  # exponent
    product: Array
    exponent: Array
    smallest: Array
    sums: Sums

    @classmethod
    def begun(cls, y: list[Array], dy: list[Array], smallest: Array, sums: Sums) -> _Running:
        """At the start of a section, with `dy` of length one."""
        none = jnp.zeros(smallest.shape, jnp.int32)
        return cls(y, dy, none, jnp.ones_like(smallest), none, smallest, sums)

    def after(self, step: Step) -> _Running:
        """The same one step on."""
        y, dy, determinant = step.tangent(self.y, self.dy)
        size = jnp.abs(determinant)
        mantissa, power = split(size)
        return replace(
            self,
            y=y,
            dy=dy,
            product=self.product * mantissa,
            exponent=self.exponent + power,
            smallest=jnp.minimum(self.smallest, size),
            sums=seen(self.sums, y[0]),
        )

    def rescaled(self) -> _Running:
        """The same with `dy` divided by a power of two, which is exact, and takes no division and no logarithm. (The
        product's exponent goes where it belongs.)
        """
        dtype = self.product.dtype
        info = jnp.finfo(dtype)
        power = split(largest(self.dy))[1]
        scale = jax.lax.bitcast_convert_type((1 - info.minexp - power).astype(integer_like(dtype)) << info.nmant, dtype)
        product, more = split(self.product)
        return replace(
            self,
            dy=[entry * scale for entry in self.dy],
            growth=self.growth + power,
            product=product,
            exponent=self.exponent + more,
        )

    def section_closed(self) -> tuple[_Running, Array, Array]:
        """The same at the start of the next section, and the logarithms summed in this one: of the growth and of the
        determinants.
        """
        most = largest(self.dy)
        scaled = [entry * jnp.where(most > 0, 1 / most, 0) for entry in self.dy]
        length = jnp.sqrt(reduce(jnp.add, [entry * entry for entry in scaled]))
        dy = [entry * jnp.where(length > 0, 1 / length, 0) for entry in scaled]
        growth = jnp.log(most * length) + self.growth * np.log(2)
        log_determinant = jnp.log(self.product) + self.exponent * np.log(2)
        return self.begun(self.y, dy, self.smallest, self.sums), growth, log_determinant
