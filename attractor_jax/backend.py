"""Which devices compute, and where are compiled programs kept? To be called once, before anything else touches JAX."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from attractor_jax.config import BackendConfig, ConfigError

# Enough for a second's work of any processor; more would only fill its caches.
CPU_MEMORY = 2.0**30

# Each host device has a core of its own: threads inside one operation would only get in each other's way. Vectors as
# wide as the processor has them, where XLA takes 256 bits everywhere. And loops over the vectors of a frame compiled to
# one function each, whatever they carry up to this many bytes: where every kernel in them is started by itself, that
# takes ten times as long as its work.
CPU_FLAGS = (
    "xla_cpu_multi_thread_eigen=false",
    "xla_cpu_prefer_vector_width=512",
    "xla_backend_extra_options=xla_cpu_small_while_loop_byte_threshold=1000000",
)


def tune_cpu() -> None:
    """Have XLA compile loops over small arrays well on CPUs: all exponents of one network take a tenth of the time.

    Sweeps do this themselves. In a program of your own, call it before JAX computes anything: afterwards it has no
    effect. Flags that the environment variable XLA_FLAGS sets already stay as they are.
    """
    flags = os.environ.get("XLA_FLAGS", "").split()
    for flag in CPU_FLAGS:
        *options, name = flag.split("=")[:-1]  # an option among XLA's extra ones has its name behind theirs
        if any(name in given for given in flags):
            continue
        list_ = next((i for i, given in enumerate(flags) if options and given.startswith(f"--{options[0]}=")), None)
        if list_ is None:
            flags.append(f"--{flag}")
        else:
            flags[list_] += "," + flag.removeprefix(f"{options[0]}=")
    os.environ["XLA_FLAGS"] = " ".join(flags)


def start(config: BackendConfig) -> Sequence[Any]:
    """Set JAX up for a sweep and give the devices to use: all GPUs, or one host device per core.

    Raises:
        ConfigError: more devices asked for than there are, or a GPU's engine where there is none.
    """
    tune_cpu()
    import jax

    jax.config.update("jax_enable_x64", True)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    wanted = cores if config.devices == "all" else config.devices
    jax.config.update("jax_num_cpu_devices", wanted)
    keep_compiled_programs()
    devices = jax.devices()
    check_engine(config, devices)
    if wanted > len(devices) and config.devices != "all":
        raise ConfigError(
            "backend.devices", f"must be at most the number of {devices[0].platform} devices, {len(devices)}", wanted
        )
    return devices if config.devices == "all" else devices[:wanted]


def check_engine(config: BackendConfig, devices: Sequence[Any]) -> None:
    """Refuse an engine that these devices do not have."""
    if config.engine == "fused" and not runs_fused(devices[0]):
        kind = "CPU" if devices[0].platform == "cpu" else devices[0].device_kind
        must = f"must be auto or scan on a {kind}: fused is a kernel for NVIDIA's GPUs from Ampere on"
        raise ConfigError("backend.engine", must, config.engine)


def runs_fused(device: Any) -> bool:
    """Is it a GPU that the kernels of the engine `fused` are made for?"""
    major = str(getattr(device, "compute_capability", "")).partition(".")[0]  # AMD's have names there, a CPU has none
    return major.isdecimal() and int(major) >= 8


def memory_budget(config: BackendConfig, devices: Sequence[Any]) -> float:
    """Bytes that one batch may take over all devices."""
    if not isinstance(config.memory, str):
        return config.memory * 2**30
    known = [(device.memory_stats() or {}).get("bytes_limit") for device in devices if device.platform != "cpu"]
    return sum(limit / 2 for limit in known if limit) or CPU_MEMORY


def keep_compiled_programs() -> Path:
    """Point JAX's persistent compilation cache at the user's cache folder, apart for each jaxlib and processor.

    A program compiled for another processor may be wrong for this one: home folders are shared between the machines
    of a cluster.
    """
    import jax

    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    processor = hashlib.sha256(_processor().encode()).hexdigest()[:12]
    folder = root / "attractor_jax" / f"jaxlib-{version('jaxlib')}-{processor}"
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
    return folder


def _processor() -> str:
    """Model and instruction set of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return "\n".join(
            sorted({line for line in lines if line.split("\t")[0] in ("model name", "flags", "Features", "CPU part")})
        )
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
