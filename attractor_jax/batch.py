"""How do thousands of networks run at once? A loop over blocks, a mesh over devices; `jit` lives here.

A block (blocks.py) is the unit. On a CPU the blocks of a batch run one after the other in a loop whose length is a
run-time number, so that the program of a block, and with it every bit, is the same for every batch; on a GPU they run
side by side.
"""

from __future__ import annotations

import gc
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

# Steps of the reference network in one batch of a CPU device: about a second of work, so that the progress bar moves.
CPU_BATCH_STEPS = 60e6


@dataclass(frozen=True)
class Running:
    """Blocks under way on the devices.

    Attributes:
        pending: outputs as they will come from the devices.
        computed: rows of `pending` that belong to the blocks, in their order.
    """

    pending: Any
    computed: np.ndarray

    def ready(self) -> bool:
        """Are the devices done?"""
        return all(leaf.is_ready() for leaf in jax.tree.leaves(self.pending))

    def results(self) -> list[Any]:
        """The outputs of each block as NumPy arrays, once the devices are done."""
        arrays = jax.tree.map(np.asarray, self.pending)
        return [jax.tree.map(lambda leaf, i=i: leaf[i], arrays) for i in self.computed]


@dataclass
class Program:
    """One compiled function of a block, and the devices that run many blocks of it.

    Attributes:
        function: inputs of a block (a pytree of arrays) -> outputs.
        devices: all of one kind.
        blocks_per_device: blocks that a device runs at once; halved for good when its memory does not hold them.
    """

    function: Callable[[Any], Any]
    devices: Sequence[Any]
    blocks_per_device: int

    @property
    def blocks_per_call(self) -> int:
        return self.blocks_per_device * len(self.devices)

    def run(self, inputs: Iterable[Any], wait: Callable[[], None] = lambda: None) -> Iterator[Any]:
        """The outputs of any number of blocks, in their order; the inputs of a batch are made while the one before it
        is computed.

        Args:
            wait: called again and again while a batch is waited for.

        Raises:
            JaxRuntimeError: a device says no, and not for lack of memory, or a single block is too much for it.

        Warns:
            UserWarning: batches had to be halved.
        """
        blocks = iter(inputs)
        under_way: deque[tuple[Sequence[Any], Running | None]] = deque()
        while batch := list(islice(blocks, self.blocks_per_call)):
            under_way.append((batch, self._begin(batch)))
            if len(under_way) == 2:
                yield from self._collect(*under_way.popleft(), wait)
        if under_way:
            yield from self._collect(*under_way.popleft(), wait)

    def _begin(self, batch: Sequence[Any]) -> Running | None:
        """The batch under way; None if there is no room for it now."""
        try:
            return self.start(batch)
        except jax.errors.JaxRuntimeError as error:
            if not _out_of_memory(error):
                raise
        gc.collect()
        return None

    def _collect(self, batch: Sequence[Any], running: Running | None, wait: Callable[[], None]) -> Iterator[Any]:
        """The outputs of a batch that is under way, or is begun now that what was beside it has ended."""
        done = 0
        while done < len(batch):
            outputs: list[Any] = []
            try:
                if running is None:
                    running = self.start(batch[done : done + self.blocks_per_call])
                outputs = _results(running, wait)
            except jax.errors.JaxRuntimeError as error:
                self._halve(error)
            running = None
            if not outputs:  # arrays of what failed are held by its error, which frames hold that it holds
                gc.collect()
            yield from outputs
            done += len(outputs)

    def _halve(self, error: Exception) -> None:
        """Half as many blocks at once from now on, if it is memory that lacks; else, the error."""
        if not _out_of_memory(error) or self.blocks_per_device == 1:
            raise error
        before, self.blocks_per_device = self.blocks_per_device, self.blocks_per_device // 2
        self.__dict__.pop("compiled", None)
        warnings.warn(
            f"memory does not hold {before} blocks a device: {self.blocks_per_device} from now on, which changes no "
            "number (backend.memory and backend.batch say how many)",
            stacklevel=2,
        )

    def start(self, inputs: Sequence[Any]) -> Running:
        """Begin to compute up to `blocks_per_call` blocks, and come back before they are done."""
        arrays, computed = self.placed(inputs)
        return Running(self.compiled(*arrays), computed)

    def placed(self, inputs: Sequence[Any]) -> tuple[Any, np.ndarray]:
        """The arguments of `compiled` on the devices, and the rows of its outputs that belong to the blocks."""
        devices, each = len(self.devices), self.blocks_per_device
        counts = np.array([len(share) for share in np.array_split(np.arange(len(inputs)), devices)], np.int32)
        # Rows that no device will touch are copies of the first block.
        where, at = np.zeros(devices * each, int), 0
        for device, count in enumerate(counts):
            where[device * each : device * each + count] = np.arange(at, at + count)
            at += count
        stacked = jax.tree.map(lambda *leaves: np.stack([leaves[i] for i in where]), *inputs)
        arrays = jax.device_put((counts, stacked), self.sharding)
        return arrays, np.concatenate([device * each + np.arange(count) for device, count in enumerate(counts)])

    @cached_property
    def sharding(self) -> NamedSharding:
        """Rows of a batch, dealt out to the devices."""
        mesh = jax.make_mesh((len(self.devices),), ("device",), axis_types=(AxisType.Auto,), devices=self.devices)
        return NamedSharding(mesh, P("device"))

    @cached_property
    def compiled(self) -> Any:
        """The jitted program: (blocks of each device, inputs) -> outputs."""
        function = jax.jit(self.function)  # traced once: for the shapes of its outputs, and again in the loop

        def one_after_the_other(count: Any, inputs: Any) -> Any:
            shapes = jax.eval_shape(function, jax.tree.map(lambda x: x[0], inputs))
            room = jax.tree.map(lambda leaf: jnp.zeros((self.blocks_per_device, *leaf.shape), leaf.dtype), shapes)

            def step(i: Any, out: Any) -> Any:
                outputs = function(jax.tree.map(lambda x: x[i], inputs))
                return jax.tree.map(lambda all_, one: all_.at[i].set(one), out, outputs)

            return jax.lax.fori_loop(0, count[0], step, room)

        def side_by_side(count: Any, inputs: Any) -> Any:
            return jax.vmap(self.function)(inputs)

        on_device = one_after_the_other if self.devices[0].platform == "cpu" else side_by_side
        spec = self.sharding.spec
        return jax.jit(
            jax.shard_map(on_device, mesh=self.sharding.mesh, in_specs=spec, out_specs=spec, check_vma=False)
        )


def _results(running: Running, wait: Callable[[], None]) -> list[Any]:
    wait()  # at least once, and in Python rather than in JAX, where a signal would not be heard
    while not running.ready():
        wait()
    return running.results()


def _out_of_memory(error: Exception) -> bool:
    return str(error).lstrip().startswith("RESOURCE_EXHAUSTED")


def blocks_at_once(
    batch: int | str, devices: Sequence[Any], *, memory: float, block_bytes: int, block_cost: float, blocks: int
) -> int:
    """Blocks that a device shall run at once: `batch` of them, or as many as fit if that is "auto".

    Args:
        memory: bytes that one batch may take over all devices.
        block_bytes, block_cost: of one block; cost in steps of the reference network.
        blocks: that are ever there to be run together.
    """
    share = -(-blocks // len(devices))
    if isinstance(batch, int):
        return min(batch, share)
    fits = int(memory // (len(devices) * block_bytes))
    if devices[0].platform == "cpu":
        fits = min(fits, max(1, int(CPU_BATCH_STEPS / block_cost)))
    return max(1, min(fits, share))
