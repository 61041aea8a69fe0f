"""Every test runs in float64 on two host devices, with the shapes and dtypes of all annotations enforced."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

os.environ.setdefault("MPLBACKEND", "Agg")

import jax
import pytest
from beartype import BeartypeConf, beartype
from jaxtyping import AbstractArray, install_import_hook

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_num_cpu_devices", 2)


def typechecker(function: Callable) -> Callable:
    """What checks the annotations. As everywhere in Python, an int will do where a float is asked for."""
    # Where JAX takes pytrees apart and puts them together again, their leaves are for a moment those of a whole batch.
    hints = function.__annotations__.values()
    if function.__name__ == "__init__" and any(isinstance(h, type) and issubclass(h, AbstractArray) for h in hints):
        return function
    return beartype(conf=BeartypeConf(is_pep484_tower=True))(function)


# Before the first import of the package: afterwards there is nothing left to hook.
install_import_hook("attractor_jax", f"{__name__}.typechecker")

from attractor_jax.backend import tune_cpu  # noqa: E402

tune_cpu()


@pytest.fixture
def compilations() -> Callable[[], Iterator[list[str]]]:
    """`with compilations() as made:` fills `made` with one entry for each program that XLA compiles meanwhile."""

    @contextmanager
    def count() -> Iterator[list[str]]:
        made: list[str] = []

        def listen(event: str, seconds: float, **_: object) -> None:
            if event == "/jax/core/compile/backend_compile_duration":
                made.append(event)

        jax.monitoring.register_event_duration_secs_listener(listen)
        try:
            yield made
        finally:
            jax.monitoring.unregister_event_duration_listener(listen)

    return count


@pytest.fixture(scope="session")
def seung_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Networks that learned hardly anything of the handwritten twos: two seeds, two tasks, T = 1 and 2."""
    from runs import TINY, plan_of, sweep

    grid = ("grid.train_steps=20", "grid.seed={start: 0, num: 2}", "grid.T=[1, 2]")
    plan = plan_of("experiment=seung_digits", *grid, *TINY, "measure.k=1")
    return sweep(plan, tmp_path_factory.mktemp("seung"), devices=1)
