"""Do rotations give the exponents that Gram-Schmidt at every step gives, over the whole sweep from order to chaos?"""

from __future__ import annotations

from dataclasses import replace

import jax
import numpy as np
import pytest
from runs import plan_of

from attractor_jax.engine import Engine

# Beyond four combined standard errors, as much as the slowest alignment leaves.
FLOOR = 1e-4


@pytest.mark.slow
def test_each_exponent_is_that_of_gram_schmidt_at_every_step() -> None:
    plan = plan_of("experiment=order_to_chaos", "grid.seed.num=32")
    found = {}
    for name, changes in (("rotations", {}), ("gram_schmidt", {"rotates": False, "renormalise_every": 1})):
        group = replace(plan.groups[0], **changes)
        engine = Engine(plan, group, jax.devices(), 2.0**30, "auto")
        blocks = [block for part in plan.parts() for block in part.blocks()]
        found[name] = engine.measure(blocks)
    ours, theirs = found["rotations"], found["gram_schmidt"]
    assert np.nanquantile(ours["sum_rule_residual"], 0.99) < 1e-6
    error = np.hypot(ours["exponents_se"], theirs["exponents_se"])
    off = np.abs(ours["exponents"] - theirs["exponents"]) > 4 * error + FLOOR
    known = np.isfinite(error).all(axis=1) & (theirs["sum_rule_residual"] < 1e-6)
    # Rounding decides where and when a chaotic transient ends: only cells count whose outputs have the same
    # statistics and whose exponents do not drift.
    compared = known.copy()
    for name in ("y_std", "y_min", "y_max"):
        compared &= np.abs(ours[name] - theirs[name]) <= 0.01 * ours["y_std"] + 1e-6
    for one in (ours, theirs):
        compared &= np.abs(one["lambda_1_drift"]) <= 4 * one["lambda_1_drift_se"] + 1e-3
    compared &= ours["period"] == theirs["period"]
    share = 1 - off[compared].mean(axis=0)
    print(f"{known.sum()} of {len(known)} cells where both know, {compared.sum()} of them on the same attractor")
    print("within 4 combined standard errors, per exponent:")
    print(np.array2string(share, precision=4))
    print("largest sum_rule_residual", ours["sum_rule_residual"].max(), theirs["sum_rule_residual"].max())
    assert compared.sum() > 0.9 * known.sum()
    assert np.all(share > 0.995)
