"""Every slip gets one line: the key, what it must be, what was given."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from runs import plan_of

from attractor_jax.config import ConfigError, SweepConfig
from attractor_jax.plan import Plan
from sweeps.command_line import CONF
from sweeps.run import checked

EXPERIMENTS = (
    "albers_chaos, albers_dimension, albers_windows, article, basins_feedback, escape, factorisation_basins, "
    "flatness_digits, flatness_generalisation, hunt, learning_rate_to_chaos, multistability, neurons_and_delays, "
    "order_to_chaos, second_opinions, seung_bump, seung_digits, seung_pca, seung_phase, seung_ring, seung_usps, smoke, "
    "trainability, trainability_large, transitions or xor_basins"
)
SYSTEMS = (
    "continuous, delayed_logistic, digits, double_well, factorisation, factorisation_plane, gaussian, gaussian_plane, "
    "henon, henon_plane, linear, logistic, regression, trainability, uniform, uniform_plane, xor or xor_escape"
)
MEASURE = (
    "transient, steps, k, blocks, align, renormalise_every, longest_period, period_tolerance, also, target_se "
    "and max_steps"
)
SWEEP = "name, system, grid, measure, transitions, backend, plan, shard, extend, output and dry_run"
VALUE = "one value, a list [1, 2] or a mapping {start: 0, num: 8}, the whole argument in quotes"
NUMBERS = "a number, a list or a range {start: .., num: ..}, in quotes for the shell"
SCHEDULE = "must be rising numbers of loops, 1 at least, such as 1-2-5-10"
LEARNED = (
    "data, task, visible, T_schedule, hidden_places, label, radius, patch, n2, train_steps, batch_size, lr, seed, T, "
    "components, at, tolerance and replicate"
)
CELLS = "a list of at least one cell such as {seed: 0, s: 1.4}"

# Command line, as it is typed, and the message.
REFUSED = {
    # Values of axes.
    "grid.s=-1": "grid.s must be between 0 and 1e+06, got -1",
    "grid.s=[1,-0.5]": "grid.s[1] must be between 0 and 1e+06, got -0.5",
    "grid.s=nan": "grid.s must be a finite number, got nan",
    "grid.s=[1,nan]": "grid.s[1] must be a finite number, got nan",
    "grid.s=inf": "grid.s must be a finite number, got inf",
    f"grid.s=1{'0' * 400}": f"grid.s must be a finite number, got 1{'0' * 116}...",
    "grid.s=true": "grid.s must be a finite number, got True",
    "grid.s=abc": f"grid.s must be {NUMBERS}, got 'abc'",
    "grid.s='\"1\"'": f"grid.s must be {NUMBERS}, got '1'",
    "grid.s=start:0": f"grid.s must be {NUMBERS}, got 'start:0'",  # what bash makes of braces without quotes
    "grid.s=[[1]]": "grid.s[0] must be a finite number, got [1]",
    "grid.s='[1 2]'": "grid.s[0] must be a finite number, got '1 2'",
    "grid.s=[]": "grid.s must have at least one value, got []",
    "grid.s=[1,2,1.0]": "grid.s must name each value once, got 1.0",
    "grid.N=0": "grid.N must be between 1 and 4096, got 0",
    "grid.D=0": "grid.D must be between 1 and 4096, got 0",
    "grid.D=[4,0]": "grid.D[1] must be between 1 and 4096, got 0",
    "grid.D=-3": "grid.D must be between 1 and 4096, got -3",
    "grid.seed=-1": "grid.seed must be between 0 and 4294967295, got -1",
    "grid.seed=4294967296": "grid.seed must be between 0 and 4294967295, got 4294967296",
    "grid.seed=1.5": "grid.seed must be an integer, got 1.5",
    "grid.seed=inf": "grid.seed must be an integer, got inf",
    "grid.seed=nan": "grid.seed must be an integer, got nan",
    "grid.seed=[0,3,0]": "grid.seed must name each value once, got 0",
    "grid.replicate=-1": "grid.replicate must be between 0 and 2147483647, got -1",
    # Axes.
    "grid.a=1": "grid.a is no axis of system uniform, which has N, D, seed, replicate and s",
    "system=henon grid.s=1": "grid.s is no axis of system henon, which has replicate, b and a",
    "system=henon experiment=smoke": "grid.N is no axis of system henon, which has replicate, b and a",
    "system=henon grid.a=11": "grid.a must be between -10 and 10, got 11",
    # Trainings.
    "system=double_well grid.lr=0": "grid.lr must be between 1e-12 and 1e+09, got 0",
    "system=xor grid.lr=[0.1,-0.1]": "grid.lr[1] must be between 1e-12 and 1e+09, got -0.1",
    "system=trainability grid.lr_hidden=0": "grid.lr_hidden must be between 1e-12 and 1e+09, got 0",
    "system=xor grid.momentum=1": "grid.momentum must be between 0 and 0.999999, got 1",
    "system=xor grid.momentum=-0.1": "grid.momentum must be between 0 and 0.999999, got -0.1",
    "system=xor grid.batch_size=0": "grid.batch_size must be between 1 and 4, got 0",
    "system=xor grid.batch_size=5": "grid.batch_size must be between 1 and 4, got 5",
    "system=xor grid.batch_size=1.5": "grid.batch_size must be an integer, got 1.5",
    "system=regression grid.batch_size=33": "grid.batch_size must be between 1 and 32, got 33",
    "system=digits grid.batch_size=301": "grid.batch_size must be between 1 and 300, got 301",
    "system=xor grid.weight_decay=-0.01": "grid.weight_decay must be between 0 and 1e+06, got -0.01",
    "system=xor grid.width=0": "grid.width must be between 1 and 4096, got 0",
    "system=xor_escape grid.width=3": "grid.width must be 2, got 3",
    "system=xor_escape grid.noisy_steps=-1": "grid.noisy_steps must be between 0 and 16777216, got -1",
    "system=xor grid.noise=-1": "grid.noise must be between 0 and 1e+06, got -1",
    "system=xor grid.init_scale=-1": "grid.init_scale must be between 0 and 1e+06, got -1",
    "system=double_well grid.width=2": (
        "grid.width is no axis of system double_well, "
        "which has momentum, noise, seed, weight_decay, init_scale and lr"
    ),
    "system=xor grid.lr_hidden=1": (
        "grid.lr_hidden is no axis of system xor, "
        "which has width, batch_size, momentum, noise, seed, weight_decay, init_scale and lr"
    ),
    "system=trainability grid.batch_size=1": (
        "grid.batch_size is no axis of system trainability, "
        "which has width, momentum, noise, seed, weight_decay, init_scale, lr_hidden and lr"
    ),
    "system=factorisation_plane grid.init_scale=1": (
        "grid.init_scale is no axis of system factorisation_plane, "
        "which has momentum, noise, seed, weight_decay, lr, plane, u_coordinate, v_coordinate, v and u"
    ),
    "system=factorisation_plane grid.v_coordinate=3": (
        "grid.v_coordinate must be between 1 and the dimension D = 2 of the state, got 3"
    ),
    "system=xor measure.k=10": (
        "measure.k must be at most the dimension D = 9 of the smallest state in the grid, got 10"
    ),
    "backend.engine=fused system=xor measure.k=1": (
        "backend.engine must be auto or scan for system xor: fused is for feedback networks, got 'fused'"
    ),
    # Networks that learn.
    "system=continuous grid.patch=9": "grid.patch must be between 1 and 7, got 9",
    "system=continuous grid.patch=8": "grid.patch must be between 1 and 7, got 8",
    "system=continuous grid.patch=[4,0]": "grid.patch[1] must be between 1 and 7, got 0",
    "system=continuous grid.patch=-1": "grid.patch must be between 1 and 7, got -1",
    "system=continuous system.data=bump grid.patch=16": "grid.patch must be between 1 and 15, got 16",
    "system=continuous grid.radius=-2": "grid.radius must be between -1 and 8, got -2",
    "system=continuous grid.radius=9": "grid.radius must be between -1 and 8, got 9",
    "system=continuous grid.n2=0": "grid.n2 must be between 1 and 65536, got 0",
    "system=continuous grid.n2=[4,65]": "grid.n2 must be at most grid.hidden_places = 64, got 65",
    "system=continuous grid.hidden_places=8": "grid.n2 must be at most grid.hidden_places = 8, got 64",
    "system=continuous grid.T=0": "grid.T must be between 1 and 1000, got 0",
    "system=continuous grid.T=1.5": "grid.T must be an integer, got 1.5",
    "system=continuous grid.T_schedule=5-2": f"grid.T_schedule {SCHEDULE}, got '5-2'",
    "system=continuous grid.T_schedule=1-1": f"grid.T_schedule {SCHEDULE}, got '1-1'",
    "system=continuous grid.T_schedule=0-2": f"grid.T_schedule {SCHEDULE}, got '0-2'",
    "system=continuous grid.T_schedule=01-2": f"grid.T_schedule {SCHEDULE}, got '01-2'",
    "system=continuous grid.T_schedule=5": (
        "grid.T must be among the stages of grid.T_schedule = 5 (several are one word: 1-2-5), got 2"
    ),
    "system=continuous grid.T_schedule=[1,2,5] grid.T=5": (
        "grid.T must be among the stages of grid.T_schedule = 1 (several are one word: 1-2-5), got 5"
    ),
    "system=continuous grid.T_schedule=1-2-": f"grid.T_schedule {SCHEDULE}, got '1-2-'",
    "system=continuous grid.T_schedule=fast": f"grid.T_schedule {SCHEDULE}, got 'fast'",
    "system=continuous grid.T_schedule=-1": f"grid.T_schedule {SCHEDULE}, got '-1'",
    "system=continuous grid.T_schedule=[1-2,2-1]": f"grid.T_schedule {SCHEDULE}, got '2-1'",
    "system=continuous grid.T_schedule=1.5": "grid.T_schedule must be a word, got 1.5",
    "system=continuous grid.T_schedule='{start: 1, num: 3}'": (
        "grid.T_schedule must be a word, got {'start': 1, 'num': 3}"
    ),
    "system=continuous grid.label=10": (
        "grid.label must be -1 for all classes or one of them, 0, 1, 2, 3, 4, 5, 6, 7, 8 or 9, got 10"
    ),
    "system=continuous grid.label=[2,10]": (
        "grid.label must be -1 for all classes or one of them, 0, 1, 2, 3, 4, 5, 6, 7, 8 or 9, got 10"
    ),
    "system=continuous system.data=bars grid.label=0": "grid.label must be -1 for bars, which has no classes, got 0",
    "system=continuous grid.components=0": "grid.components must be between 1 and 64, got 0",
    "system=continuous grid.components=65": "grid.components must be between 1 and 64, got 65",
    "system=continuous grid.tolerance=0": "grid.tolerance must be between 1e-12 and 1, got 0",
    "system=continuous grid.tolerance=-0.1": "grid.tolerance must be between 1e-12 and 1, got -0.1",
    "system=continuous grid.at=-1": "grid.at must be between 0 and 1000000, got -1",
    "system=continuous grid.batch_size=-1": "grid.batch_size must be between 0 and 65536, got -1",
    "system=continuous grid.train_steps=0": "grid.train_steps must be between 1 and 10000000, got 0",
    "system=continuous grid.lr=0": "grid.lr must be between 1e-12 and 1000, got 0",
    "system=continuous grid.lr='{start: 1e-3, stop: 1e-2, spacing: loguniform}'": (
        "grid.lr.spacing must be linear or log: each value makes other networks, got 'loguniform'"
    ),
    "system=continuous grid.task=memorise": "grid.task must be completion or retention, got 'memorise'",
    "system=continuous grid.visible=tanh": "grid.visible must be clip01, linear or relu, got 'tanh'",
    "system=continuous grid.replicate=64": "grid.replicate must be between 0 and 63, got 64",
    "system=continuous grid.refine=2 grid.replicate=[0,1]": (
        "grid.refine must be 0 for system continuous: grid.replicate has nothing between its values"
    ),
    "system=continuous grid.s=1": f"grid.s is no axis of system continuous, which has {LEARNED}",
    "system=continuous grid.data=digits": "grid.data must be digits-8x8, got 'digits'",
    "system=continuous grid.data=usps-16x16-00000000": "grid.data must be digits-8x8, got 'usps-16x16-00000000'",
    "system=continuous grid.cells='[{T: 2}, {data: bars-8x8}]'": (
        "grid.cells[1].data must be digits-8x8, got 'bars-8x8'"
    ),
    "system=continuous grid.cells='[{T: 2, label: 11}]'": (
        "grid.label must be -1 for all classes or one of them, 0, 1, 2, 3, 4, 5, 6, 7, 8 or 9, got 11"
    ),
    "system=continuous system.data=usps": (
        "system.data must be digits, bars, bump or the path of an .h5 or .npz file, got 'usps'"
    ),
    "system=continuous system.data=nowhere.h5": (
        "system.data must be the path of a file that is there, got 'nowhere.h5'"
    ),
    "system=continuous system.data=3": "system.data must be a word or null, got 3",
    "system=continuous measure.k=65": (
        "measure.k must be at most the dimension D = 64 of the smallest state in the grid, got 65"
    ),
    "system=continuous backend.engine=fused measure.k=1": (
        "backend.engine must be auto or scan for system continuous: fused is for feedback networks, got 'fused'"
    ),
    "experiment=seung_usps": "system.data must be the path of a file that is there, got 'usps.h5'",
    "system=henon system.data=digits": "system.data must be left out: system henon takes none, got 'digits'",
    # Ranges.
    "grid.s={}": "grid.s.start must be given",
    "grid.s='{start: 1, stop: 2}'": "grid.s.num must be given",
    "grid.s='{start: 1, num: 3}'": "grid.s.stop must be given",
    "grid.s='{start: 1, stop: 2, num: 0}'": "grid.s.num must be at least 1, got 0",
    "grid.s='{start: 1, stop: 2, num: 1.5}'": "grid.s.num must be an integer, got 1.5",
    "grid.s='{start: 1, stop: 2, num: many}'": "grid.s.num must be an integer, got 'many'",
    "grid.s='{start: 2, stop: 1, num: 3}'": "grid.s.stop must not be below start = 2, got 1",
    "grid.s='{start: -1, stop: 1, num: 3}'": "grid.s.start must be between 0 and 1e+06, got -1",
    "grid.s='{start: 1, stop: 1, num: 3}'": "grid.s must name each value once, got 1.0",
    "grid.s='{start: 0, stop: 2, num: 3, spacing: log}'": "grid.s.start must be above 0 for log spacing, got 0",
    "grid.s='{start: 1, stop: 2, num: 3, spacing: cubic}'": (
        "grid.s.spacing must be linear, log, uniform or loguniform, got 'cubic'"
    ),
    "grid.s='{start: 1, stop: 2, step: 0.1}'": (
        "grid.s.step is no key of a range, which has start, stop, num and spacing"
    ),
    "grid.seed='{start: 0, num: 3, spacing: log}'": "grid.seed.stop must be given",
    "grid.seed='{start: 4294967295, num: 3}'": (
        "grid.seed.start + num - 1 must be between 0 and 4294967295, got 4294967297"
    ),
    "grid.seed='{start: 0, num: 1000000}' grid.s='{start: 0, stop: 1, num: 1000000}'": (
        "grid must not have more than 100,000,000 cells; this one has 1,000,000,000,000"
    ),
    # Explicit cells.
    "grid.cells=3": f"grid.cells must be {CELLS}, got 3",
    "grid.cells=[]": f"grid.cells must be {CELLS}, got []",
    "grid.cells='{s: 1}'": f"grid.cells must be {CELLS}, got {{'s': 1}}",
    "grid.cells=[1]": "grid.cells[0] must be a mapping of axes to values, got 1",
    "grid.cells='[{s: 1}, {a: 1}]'": (
        "grid.cells[1].a is no axis of system uniform, which has N, D, seed, replicate and s"
    ),
    "grid.cells='[{s: -1}]'": "grid.cells[0].s must be between 0 and 1e+06, got -1",
    "grid.cells='[{s: [1, 2]}]'": "grid.cells[0].s must be a finite number, got [1, 2]",
    "grid.cells='[{s: 1}, {s: 1.0}]'": (
        "grid.cells must name each cell once, got {'N': 4, 'D': 16, 'seed': 0, 'replicate': 0, 's': 1.0}"
    ),
    "grid.cells='[{s: 1}]' grid.s=2": "grid.s must be left out where grid.cells lists the cells, got '2'",
    "experiment=article grid.seed=[1,2]": "grid.seed must be left out where grid.cells lists the cells, got '[1,2]'",
    # The measurement.
    "measure.k=0": "measure.k must be at least 1, got 0",
    "measure.k=17": "measure.k must be at most the dimension D = 16 of the smallest state in the grid, got 17",
    "measure.k=5 grid.D=[8,4]": (
        "measure.k must be at most the dimension D = 4 of the smallest state in the grid, got 5"
    ),
    "measure.k=some": "measure.k must be an integer or 'all', got 'some'",
    "measure.steps=10001": "measure.steps must be divisible by measure.blocks = 20, got 10001",
    "measure.steps=0": "measure.steps must be at least 1, got 0",
    "measure.steps=abc": "measure.steps must be an integer, got 'abc'",
    "measure.steps=null": "measure.steps must be an integer, got None",
    "measure.steps=4e9": "measure.steps must be at most 2147483647, got 4000000000",
    "measure.transient=-1": "measure.transient must be at least 0, got -1",
    "measure.align=-1": "measure.align must be at least 0, got -1",
    "measure.blocks=1": "measure.blocks must be at least 2, got 1",
    "measure.renormalise_every=0": "measure.renormalise_every must be at least 1, got 0",
    "measure.renormalise_every=often": "measure.renormalise_every must be an integer or 'auto', got 'often'",
    "measure.longest_period=0": "measure.longest_period must be at least 1, got 0",
    "measure.period_tolerance=0": "measure.period_tolerance must be above 0, got 0.0",
    "measure.period_tolerance=small": "measure.period_tolerance must be a finite number or 'auto', got 'small'",
    "measure.also=coverage": "measure.also must be a list, got 'coverage'",
    "measure.also=[colour]": "measure.also can have coverage, zero_one and two_orbit, got 'colour'",
    "measure.also=[coverage,coverage]": "measure.also must name each measure once, got ['coverage', 'coverage']",
    "measure.also=[coverage] grid.N=1": (
        "measure.also cannot have coverage here: it looks at 2 hidden units of 1, got 'coverage'"
    ),
    "system=henon measure.also=[coverage]": (
        "measure.also cannot have coverage here: it looks at 2 hidden units of 0, got 'coverage'"
    ),
    # The machine, and where things go.
    "backend.dtype=float16": "backend.dtype must be float64 or float32, got 'float16'",
    "backend.batch=0": "backend.batch must be at least 1, got 0",
    "backend.batch=big": "backend.batch must be an integer or 'auto', got 'big'",
    "backend.devices=0": "backend.devices must be at least 1, got 0",
    "backend.memory=0": "backend.memory must be above 0 (GiB), got 0.0",
    "backend.engine=fast": "backend.engine must be auto, scan or fused, got 'fast'",
    "backend.engine=fused": (
        "backend.engine must be auto or scan where measure.k is all: fused measures lambda_1 alone, got 'fused'"
    ),
    "backend.engine=fused system=henon": (
        "backend.engine must be auto or scan for system henon: fused is for feedback networks, got 'fused'"
    ),
    "backend.engine=fused measure.k=1 measure.also=[zero_one,two_orbit]": (
        "backend.engine must be auto or scan where measure.also has zero_one and two_orbit: "
        "fused has no optional measures, got 'fused'"
    ),
    "backend.engine=fused measure.k=1 grid.N=8 grid.D=32": (
        "backend.engine must be auto or scan for N=8, D=32: fused has registers for 104 numbers a network in float64, "
        "and it has 328, got 'fused'"
    ),
    "plan.part_steps=0": "plan.part_steps must be at least 1, got 0",
    "plan=3": "plan must be a mapping of keys to values, got 3",
    "output=": "output must be a word, got ''",
    "dry_run=maybe": "dry_run must be true or false, got 'maybe'",
    "name=": "name must be a word, got ''",
    "name=..": "name must be usable as the name of a folder, got '..'",
    "name=a/b": "name must be usable as the name of a folder, got 'a/b'",
    "name='\" a\"'": "name must be usable as the name of a folder, got ' a'",
    f"name={'x' * 300}": f"name must be usable as the name of a folder, got '{'x' * 116}...",
    # Keys.
    "foo=1": f"foo is no key of a sweep, which has {SWEEP}",
    "+foo=1": f"foo is no key of a sweep, which has {SWEEP}",
    "measur.steps=100": f"measur is no key of a sweep, which has {SWEEP}",
    "measure.longest_perod=4": f"measure.longest_perod is no key of measure, which has {MEASURE}",
    "system.s=1": "system.s is no key of system, which has name and data",
    "~measure.steps": "measure.steps must be given",
    "~measure": "measure must be given",
    # Choices.
    "experiment=order_to_caos": f"experiment must be {EXPERIMENTS}, got 'order_to_caos'",
    "experiment=../smoke": f"experiment must be {EXPERIMENTS}, got '../smoke'",
    "experiment=": f"experiment must be {EXPERIMENTS}, got ''",
    "experiment=smoke,article": (
        f"experiment must be {EXPERIMENTS} (several sweeps at once need -m), got 'smoke,article'"
    ),
    "system=lorenz": f"system must be {SYSTEMS}, got 'lorenz'",
    "system=": f"system must be {SYSTEMS}, got ''",
    "system.name=lorenz": (
        "system.name must be one of uniform, gaussian, linear, logistic, henon, delayed_logistic, double_well, "
        "factorisation, xor, xor_escape, regression, digits, trainability, continuous, uniform_plane, gaussian_plane, "
        "henon_plane or factorisation_plane, got 'lorenz'"
    ),
    "measure=3": "measure must be adaptive, loops, standard or training, got 3",
    "backend=gpu": "backend must be auto, got 'gpu'",
    # What Hydra cannot read.
    "grid.s=[1,": f"grid.s must be {VALUE}, got '[1,'",
    "grid.s='{start: 1'": f"grid.s must be {VALUE}, got '{{start: 1'",
    "grid.s=1,2": f"grid.s must be {VALUE} (several sweeps at once need -m), got '1,2'",
    "grid.seed='range(0,5)'": f"grid.seed must be {VALUE} (several sweeps at once need -m), got 'range(0,5)'",
    "grid.s='linspace(0,1,3)'": f"grid.s must be {VALUE}, got 'linspace(0,1,3)'",
    "grid.s": "the command line must be key=value, as in grid.s=..., got 'grid.s'",
    "=3": "the command line must be key=value, got '=3'",
    "--foo": "the command line must be key=value and Hydra's options (see --help): unrecognized arguments: --foo",
    "measure.steps='${foo}'": "measure.steps cannot be resolved: Interpolation key 'foo' not found",
    "~foo": "the configuration cannot be composed: Could not delete from config. 'foo' does not exist.",
}  # fmt: skip


@pytest.mark.parametrize(("typed", "message"), REFUSED.items(), ids=[typed[:60] for typed in REFUSED])
def test_a_slip_gets_one_line(typed: str, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        checked(shlex.split(typed))
    assert str(refused.value) == message


ACCEPTED = [
    "",
    "grid.s=[1,2]",
    "grid.s='{start: 0, stop: 2, num: 3}'",
    "grid.s=null",
    "grid.seed.num=4",
    "+grid.s=1",
    "++measure.steps=1e5",
    "measure.steps='${measure.blocks}'",
    "measure.also=[coverage]",
    "grid.cells='[{seed: 70, s: 2}]'",
    "experiment=article grid.cells=null grid.s=2",
    "experiment=null",
    "+experiment=smoke",
    "system=gaussian",
    "system=gaussian experiment=order_to_chaos",
    "system=henon 'grid.a=[1.2,1.4]'",
    "system.name=henon",
    "backend.devices=64 backend.memory=0.5",
    "backend.engine=scan",
    "backend.engine=fused measure.k=1",
    "backend.engine=fused measure.k=1 system=gaussian grid.D=16",
    "backend.engine=fused measure.k=1 backend.dtype=float32 grid.N=8",
    "name='a b'",
    "system=xor measure=training grid.batch_size=[1,4] grid.momentum=[0,0.9] grid.lr=1e-3",
    "system=double_well measure.k=all",
    "experiment=xor_basins",
    "experiment=trainability",
    "system=continuous measure=loops grid.T_schedule=[1-2,2] grid.radius=-1 grid.batch_size=0",
    "system=continuous grid.data=digits-8x8 grid.T=[1,5]",
    "experiment=seung_ring",
]


@pytest.mark.parametrize("typed", ACCEPTED)
def test_what_is_right_passes(typed: str) -> None:
    checked(shlex.split(typed))


def typed_plan(typed: str) -> Plan:
    return plan_of(*shlex.split(typed))


def test_what_is_typed_replaces_what_the_experiment_says_of_an_axis() -> None:
    """A list cannot be merged with a range, and a range that is merged with another is neither."""
    (group,) = typed_plan("grid.s=[1,2]").groups
    assert group.lanes["s"].tolist() == [[1.0, 2.0]]
    (group,) = typed_plan("grid.s='{start: 1, stop: 3, num: 3}'").groups
    assert group.lanes["s"].tolist() == [[1.0, 2.0, 3.0]], "the experiment's own range is spaced in logarithms"
    (group,) = typed_plan("grid.seed.num=3").groups
    assert group.draws["seed"].tolist() == [0, 1, 2]


def test_a_system_alone_starts_from_its_own_defaults_in_a_run_of_its_own_name() -> None:
    for typed in ("system=henon", "system.name=henon"):
        plan = typed_plan(typed)
        assert (plan.system.name, plan.n_cells, plan.config.name) == ("henon", 1, "henon")
    assert typed_plan("system=gaussian experiment=order_to_chaos").config.name == "order_to_chaos"
    assert typed_plan("system=henon name=mine").config.name == "mine"


def test_an_experiment_may_set_every_key_of_the_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    conf = tmp_path / "conf"
    for file in CONF.rglob("*.yaml"):
        copy = conf / file.relative_to(CONF)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(file.read_text())
    own = "# @package _global_\nname: own\nplan: {part_steps: 7}\noutput: there\ngrid: {s: 3}\n"
    (conf / "experiment" / "own.yaml").write_text(own)
    (conf / "experiment" / "torn.yaml").write_text("# @package _global_\nname: [\n")
    monkeypatch.setattr("sweeps.command_line.CONF", conf)
    config = typed_plan("experiment=own").config
    assert (config.name, config.plan.part_steps, config.output) == ("own", 7, "there")
    with pytest.raises(ConfigError, match=r"^the configuration cannot be composed: .*torn\.yaml.*line 3"):
        checked(["experiment=torn"])


def test_every_file_of_an_experiment_says_how_it_is_run() -> None:
    for file in (CONF / "experiment").glob("*.yaml"):
        text = file.read_text()
        assert yaml.safe_load(text)["name"] == file.stem
        assert "# python -m sweeps.run" in text and "# python -m analysis." in text


def test_a_configuration_without_hydra_is_checked_as_well() -> None:
    with pytest.raises(ConfigError, match="^system must be a mapping of keys to values, got 'henon'$"):
        SweepConfig.from_mapping({"system": "henon"})
    with pytest.raises(ConfigError, match="^name must be given$"):
        SweepConfig.from_mapping({})


@pytest.mark.parametrize(
    ("typed", "key"),
    [
        ("grid.s=-1", "grid.s"),
        ("grid.s=[1,", "grid.s"),
        ("experiment=seung_digits grid.patch=8", "grid.patch"),
        ("experiment=nope", "experiment"),
        ("-m experiment=smoke grid.s=1,-1 dry_run=true", "grid.s"),
        ("--foo", "--foo"),
    ],
)
def test_the_program_says_one_line_and_ends_with_2(typed: str, key: str, tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "sweeps.run", f"output={tmp_path}", *shlex.split(typed)],
        cwd=CONF.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert line.startswith("config error: ") and key in line
    assert "-m" in typed or ended.stdout == ""
    assert not list(tmp_path.rglob("*.parquet")) and not (tmp_path / "order_to_chaos").exists()
