"""What does XLA get to hear before JAX starts?"""

from __future__ import annotations

import os

import pytest

from attractor_jax.backend import CPU_FLAGS, tune_cpu

THRESHOLD = "xla_cpu_small_while_loop_byte_threshold"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            "",
            [f"--{flag}" for flag in CPU_FLAGS],
        ),
        # What a person says stays, be it a flag or one of the extra options ...
        (
            "--xla_cpu_prefer_vector_width=256",
            ["--xla_cpu_prefer_vector_width=256", f"--{CPU_FLAGS[0]}", f"--{CPU_FLAGS[2]}"],
        ),
        (
            f"--xla_backend_extra_options={THRESHOLD}=7",
            [f"--xla_backend_extra_options={THRESHOLD}=7", f"--{CPU_FLAGS[0]}", f"--{CPU_FLAGS[1]}"],
        ),
        # ... and an extra option of theirs does not keep ours away: XLA takes the list from one flag.
        (
            "--xla_backend_extra_options=xla_cpu_disable_loop_unrolling",
            [
                f"--xla_backend_extra_options=xla_cpu_disable_loop_unrolling,{THRESHOLD}=1000000",
                f"--{CPU_FLAGS[0]}",
                f"--{CPU_FLAGS[1]}",
            ],
        ),
    ],
)
def test_flags_are_added_to_those_that_are_there(
    given: str, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XLA_FLAGS", given)
    for _ in range(2):  # a second call adds nothing
        tune_cpu()
        assert os.environ["XLA_FLAGS"].split() == expected
