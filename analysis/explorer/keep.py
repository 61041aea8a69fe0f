"""What does a person take away from the page? The picture, a sweep's configuration, and three lines of Python."""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from analysis import tones
from analysis.explorer.asked import Asked, named

# Steps of what is kept: a tenth of a second's worth more than the page itself takes.
TRANSIENT, STEPS = 10_000, 200_000


def experiment(asked: Asked) -> str:
    """A file for conf/experiment/ that measures this one network."""
    name = named(asked.axes).replace("-", "minus").replace(".", "p").replace("+", "")
    system = f"system: {{name: {asked.system}}}\n" if asked.system != "uniform" else ""
    grid = "".join(f"  {axis}: {_text(value)}\n" for axis, value in asked.axes.items())
    return (
        "# @package _global_\n"
        f"# Put into conf/experiment/{name}.yaml, then\n"
        f"# python -m sweeps.run experiment={name}\n"
        f"name: {name}\n{system}grid:\n{grid}"
        f"measure:\n  transient: {TRANSIENT}\n  steps: {STEPS}\n"
    )


def python(asked: Asked) -> str:
    """Three lines that measure this network: all its exponents."""
    lengths = f"transient={TRANSIENT}, steps={STEPS}"
    axes = {name: _text(value) for name, value in asked.axes.items()}
    lines = ["import jax, attractor_jax as aj; jax.config.update('jax_enable_x64', True); aj.tune_cpu()"]
    if asked.system in ("uniform", "gaussian"):
        family = ", family='gaussian'" if asked.system == "gaussian" else ""
        told = ", ".join(f"{name}={axes[name]}" for name in ("seed", "N", "D", "s"))
        lines.append(f"net = aj.feedback_network({told}{family})")
        start = f"net.initial_state({'' if axes['replicate'] == '0' else axes['replicate']})"
    else:
        told = ", ".join(f"{axis}={value}" for axis, value in axes.items())
        lines.append(
            "from analysis.cells import Cell; "
            f"cell = Cell({asked.system!r}, dict({told}), None); net, start = cell.map, cell.state"
        )
        start = "start"
    lines.append(f"print(aj.lyapunov_exponents(net, {start}, {lengths}).exponents)")
    return "\n".join(lines) + "\n"


def png(counts: np.ndarray, told: Mapping[str, str]) -> bytes:
    """A picture of counts, with words in its metadata that say what it is."""
    about = PngInfo()
    for key, text in told.items():
        about.add_itxt(key, text)
    file = io.BytesIO()
    Image.fromarray(tones.coloured(counts)).save(file, "PNG", pnginfo=about)
    return file.getvalue()


def _text(value: float) -> str:
    """A number so that it is read back as itself."""
    return repr(value.item() if isinstance(value, np.generic) else value)
