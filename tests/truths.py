"""Every closed form and golden value that the tests compare with, once, with where it comes from."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Network:
    """A feedback network of which something is known.

    `y` are the first outputs of the article's own loop (x = 0.001, y = 0 at the start) in float64, `later` some of
    those that follow, by time. `exponents` are (value, standard error) in nats per step, computed with an independent
    program: exact Jacobian, QR at every step, after 10^5 transient steps. `lambda_article` is what the article prints,
    ln(b[0] ||w[:, 0]||), a property of the origin. `regime` is what is true.
    """

    name: str
    seed: int
    N: int
    D: int
    s: float
    regime: str
    lambda_article: float | None = None
    s_critical: float | None = None
    y: tuple[float, ...] = ()
    later: tuple[tuple[int, float], ...] = ()
    exponents: tuple[tuple[float, float], ...] = ()


NETWORKS = {
    "A": Network(
        name="A",
        seed=174658140,
        N=4,
        D=32,
        s=0.22,
        regime="quasiperiodic",
        lambda_article=-3.6457290555242734,
        s_critical=0.173144683,
        y=(
            0.0004383260207289717,
            5.225097002639357e-05,
            -3.549378518798616e-05,
            3.2977050337938346e-05,
            -5.6554795831246336e-05,
            3.812689635742433e-05,
            1.6816893951679445e-05,
            2.0519076500098483e-05,
            0.00014503891238655715,
            4.148794535954436e-05,
            4.153120432723953e-05,
            6.907725772796788e-05,
            -6.811046487155601e-05,
            4.484400698150324e-05,
            1.924643110316975e-05,
            -3.398716397642581e-05,
            -7.236874056443875e-05,
            -0.00012587689405460067,
            -9.33478232414758e-05,
            7.002668609879732e-05,
        ),
        later=(
            (50, 8.902003406753751e-05),
            (99, 2.7059254714213832e-05),
            (499, -0.02080060580992047),
            (999, 0.2327807493472478),
            (1000, 0.10116361919839884),
        ),
    ),
    "B": Network(
        name="B",
        seed=3160697950,
        N=4,
        D=32,
        s=0.55,
        regime="quasiperiodic",
        lambda_article=-0.19543683608893547,
        s_critical=0.191207844,
        y=(
            0.0009217622575872804,
            0.0002491012033767442,
            -0.0004748833908827434,
            -0.0007856866139872346,
            0.0003046440535574482,
            0.000945661372097019,
            0.0004165218180665695,
            -0.0008757281180603047,
            -0.00105575653693466,
            0.0004547127545534364,
            0.0011588533135891083,
            -0.00027444434826179743,
            -0.0012929224179789789,
            1.2455055141573614e-05,
            0.0011965549095236938,
            0.0005551379328222311,
            -0.0017506279861774464,
            -0.0010734376285489364,
            0.0019037927562415406,
            0.002367435597525958,
        ),
        later=(
            (50, 0.07797433663388863),
            (99, -0.3390087175865928),
            (499, 0.6976360385749295),
            (999, -0.09061159278233903),
            (1000, 0.6247193350824951),
        ),
    ),
    "C": Network(
        name="C",
        seed=174658140,
        N=4,
        D=16,
        s=1.4,
        regime="quasiperiodic",
        lambda_article=0.31672036748824434,
        s_critical=0.368573254,
        y=(
            0.0029910802205572995,
            -0.001252972540280476,
            -0.00012114449694394542,
            0.0034215795804382744,
            -0.0031507367801943617,
            -0.000896454356732688,
            0.0028945733562366002,
            -0.0011532540609241761,
            0.0018913722760380528,
            0.0011430770467533956,
            0.0023375186151814095,
            0.004851928954692436,
            -0.007635950049205028,
            0.0030225940968078725,
            0.008618634554290636,
            -0.01821157210823072,
            0.005875513107995269,
            0.018839649943851476,
            -0.02019906826915224,
            0.009583991971310706,
        ),
        later=(
            (50, -0.141353834506152),
            (99, -1.7008681156219663),
            (499, -0.7262796524661385),
            (999, -1.0042073796452566),
            (1000, -1.3385099467179515),
        ),
        exponents=(
            (2.28e-07, 9.1e-07),
            (-0.02102288, 9.5e-06),
            (-0.021023725, 9.4e-06),
            (-0.035767146, 1.5e-06),
            (-0.035767806, 1.6e-06),
            (-0.04674396, 1e-06),
            (-0.046744256, 1.3e-06),
            (-0.067737196, 1.5e-06),
            (-0.067737528, 1.6e-06),
            (-0.074276959, 1.8e-06),
            (-0.074277129, 2.2e-06),
            (-0.116883758, 1.1e-06),
            (-0.128311859, 1.9e-06),
            (-0.176906396, 2.9e-06),
            (-0.176906662, 2.6e-06),
            (-0.186444533, 2.2e-06),
        ),
    ),
    "chaotic": Network(
        name="chaotic",
        seed=70,
        N=4,
        D=16,
        s=2.0,
        regime="hyperchaotic",
        exponents=(
            (0.111415999, 0.00025),
            (0.060634382, 0.00019),
            (0.028094239, 0.00017),
            (0.003308144, 0.00019),
            (-0.018586426, 0.00018),
            (-0.03894354, 0.00014),
            (-0.058903147, 0.00017),
            (-0.079176294, 0.00014),
            (-0.101146013, 0.00015),
            (-0.124327137, 0.00019),
            (-0.152387893, 0.00023),
            (-0.184020077, 0.00022),
            (-0.222303922, 0.00026),
            (-0.271283155, 0.00026),
            (-0.345231551, 0.00046),
            (-0.527225266, 0.00066),
        ),
    ),
}

LOGISTIC_2_CYCLE = 0.5 * np.log(
    abs(4 + 2 * 3.2 - 3.2**2)
)  # exponent at r = 3.2: 1/2 ln|f'(x1) f'(x2)|, f'(x1) f'(x2) = 4 + 2 r - r^2
LOGISTIC_FIXED = np.log(abs(2 - 2.5))  # at r = 2.5: ln|2 - r|
LOGISTIC_CHAOS = np.log(2.0)  # at r = 4
HENON_SUM = np.log(0.3)  # ln|det J| = ln|b| everywhere


@dataclass(frozen=True)
class Attractor:
    """One attractor of a network, and the initial states (replicates) that are known to lead to it.

    `exponents` are (value, error) in nats per step, the leading ones; an error of 0 is that of the last digit given.
    Zero exponents are given as (0, 0). `amplitude` is the range of y. `frequencies` are those of a torus, in turns per
    step. `period` 0: none.
    """

    regime: str
    replicates: tuple[int, ...]
    period: int = 0
    amplitude: float | None = None
    exponents: tuple[tuple[float, float], ...] = ()
    frequencies: tuple[float, ...] = ()


@dataclass(frozen=True)
class HardCase:
    """A network of the uniform family that is easily labelled wrongly, what is true of it, and how that was
    established.
    """

    name: str
    seed: int
    N: int
    D: int
    s: float
    attractors: tuple[Attractor, ...]
    established: str


@dataclass(frozen=True)
class Supertransient(HardCase):
    """A network whose orbits are chaotic for long and settle all the same. `while_chaotic` are leading exponents
    before. Settling times are exponentially distributed with mean `mean_settling_steps`, and those of one start depend
    on the last bit of the processor's arithmetic: no single one is a truth.
    """

    while_chaotic: tuple[tuple[float, float], ...]
    mean_settling_steps: float
    median_settling_steps: float  # of replicates 0 to 31, on one machine
    longest_settling_steps: float


@dataclass(frozen=True)
class Hysteresis:
    """A network that keeps one of two attractors when it is carried upwards along s, the other when downwards.

    Carried from `carried_from[0]`, where it starts next to the origin, and from `carried_from[1]`. The two differ
    over `interval`. `points` are (s, (period, range of y) upwards, (period, range of y) downwards).
    """

    name: str
    seed: int
    N: int
    D: int
    carried_from: tuple[float, float]
    interval: tuple[float, float]
    points: tuple[tuple[float, tuple[int, float], tuple[int, float]], ...]
    established: str


HARD_CASES = {
    "torus D=8": HardCase(
        name="torus D=8",
        seed=139,
        N=4,
        D=8,
        s=0.5,
        attractors=(
            Attractor(
                regime="quasiperiodic",
                replicates=tuple(range(33)),
                amplitude=1.8061,
                exponents=((0, 0), (0, 0), (-0.0201287, 3e-7), (-0.0662692, 3e-7)),
                frequencies=(0.4377510930, 0.0716063457),
            ),
        ),
        established="lambda_1 and lambda_2 are 1e-9 and 5e-9 at T = 10^7 (|lambda T| < 0.3 at 10^5, 10^6 and 10^7); no"
        " recurrence within 10^5; the 30 strongest lines of y lie at integer combinations of two frequencies to 1e-11,"
        " and no relation i f1 + j f2 = m with |i|, |j| <= 40 holds to better than 7e-5; replicates 0 to 32, and"
        " states moved by 0.1, have all this amplitude and no period.",
    ),
    "torus D=16": HardCase(
        name="torus D=16",
        seed=119,
        N=4,
        D=16,
        s=0.5,
        attractors=(
            Attractor(
                regime="quasiperiodic",
                replicates=tuple(range(33)),
                amplitude=1.3694,
                exponents=((0, 0), (0, 0), (-0.0348659, 4e-7), (-0.0679157, 3e-7)),
                frequencies=(0.2362742711, 0.4604666190),
            ),
        ),
        established="As for D=8: lambda_1 and lambda_2 are 1.4e-8 and 6e-9 at T = 10^7, no recurrence within 10^5, 30"
        " lines at integer combinations to 1e-11, no relation up to 40 to better than 4e-5, one attractor from 33"
        " starts and after moves by 0.1.",
    ),
    "locked torus": HardCase(
        name="locked torus",
        seed=2,
        N=4,
        D=16,
        s=0.9,
        attractors=(
            Attractor(
                regime="quasiperiodic",
                replicates=(0, 1, 2),
                amplitude=1.65194,
                exponents=((0, 0), (-1.119e-4, 1e-6), (-0.05090, 1e-5)),
                frequencies=(0.3620856158,),
            ),
        ),
        established="Two closed curves, visited in turn, that pass for a torus when T is short: lambda_2 T is -11.1 at"
        " T = 10^5 and -111.9 at 10^6, so that lambda_2 is no zero, while lambda_1 T is 1.4 and 0.02. The two"
        " frequencies of the torus on which they lie, 0.3620856158 and 0.0516575368, are locked, 8 f1 + 2 f2 = 3, so"
        " that every second output has the one frequency 2 f1 and its multiples. With a zero range of 10/T lambda_2"
        " counts as zero up to T = 89,000.",
    ),
    "cycle and curve": HardCase(
        name="cycle and curve",
        seed=3,
        N=4,
        D=8,
        s=0.7,
        attractors=(
            Attractor(
                regime="periodic",
                replicates=(0, 2, 3, 5, 8, 9, 10, 13, 16),
                period=2,
                amplitude=2 * 1.2444697521389763,
                exponents=((-0.112483858, 0), (-0.112483858, 0), (-0.235281487, 0)),
            ),
            Attractor(
                regime="quasiperiodic",
                replicates=(1, 4, 6, 7, 11, 12, 14, 15),
                amplitude=1.9873,
                exponents=((0, 0), (-0.020806, 4e-6), (-0.020806, 4e-6)),
            ),
        ),
        established="Both as they are at T = 10^6. The cycle y = a, -a, ... is a root of"
        " a = -s sum_i r_i tanh(a sum_j (-1)^(j+1) w_ij), which gives the amplitude, and the product of its two"
        " Jacobians gives its exponents. Each of the 17 replicates, moved at random by 1e-6 and by 1e-3 (32 times"
        " each), ended on the same attractor every time.",
    ),
    "two cycles": HardCase(
        name="two cycles",
        seed=160,
        N=4,
        D=16,
        s=4.0,
        attractors=(
            Attractor(
                regime="periodic",
                replicates=(4, 5, 11),
                period=32,
                amplitude=6.8952839,
                exponents=((-0.028989073, 0), (-0.028989073, 0), (-0.081693024, 0)),
            ),
            Attractor(
                regime="periodic",
                replicates=(8,),
                period=76,
                amplitude=6.6868896,
                exponents=((-0.01269802, 0), (-0.01269802, 0), (-0.032796789, 0)),
            ),
        ),
        established="Both return to within 3e-15 after 10^6 steps; exponents from the product of the 32 and 76"
        " Jacobians, and from T = 10^6 within 1e-6. These replicates, moved at random by 1e-6 and by 1e-3 (32 times"
        " each), ended on the same cycle every time; others (0 and 1 among them) pass through transient chaos and end"
        " on either.",
    ),
    "origin and cycle": HardCase(
        name="origin and cycle",
        seed=26,
        N=4,
        D=2,
        s=2.9,
        attractors=(
            Attractor(
                regime="fixed_point",
                replicates=(0, 7),
                period=1,
                amplitude=0.0,
                exponents=((-0.070181085, 0), (-2.548371296, 0)),
            ),
            Attractor(
                regime="periodic",
                replicates=(1, 2, 3, 4, 5, 6, 8),
                period=2,
                amplitude=2 * 2.4732977773252234,
                exponents=((-0.298019223, 0), (-0.750584771, 0)),
            ),
        ),
        established="In closed form: the origin is stable below s_critical = 3.128626305, where it flips"
        " subcritically; the cycle y = a, -a, ... is a root of a = -s sum_i r_i tanh(a (w_i1 - w_i2)), which has two"
        " between s = 2.6188596878, a fold, and s_critical. The exponents of the origin are the logarithms of the"
        " moduli of its eigenvalues, those of the cycle come from the product of its two Jacobians.",
    ),
    "supertransient": Supertransient(
        name="supertransient",
        seed=116,
        N=4,
        D=16,
        s=4.0,
        attractors=(
            Attractor(
                regime="periodic",
                replicates=tuple(range(32)),
                period=4,
                amplitude=2 * 3.48888351,
                exponents=((-0.11523745, 0), (-0.11523745, 0), (-0.16231522, 0), (-0.16231522, 0)),
            ),
        ),
        established="All of replicates 0 to 31 settled by 2.8 million steps and all of 32 to 287 by 6.0 million, each"
        " on the cycle of period 4, which is known by its exact return and the product of its four Jacobians; states"
        " moved by up to 0.1 return to it. Before that, in four of them over 200,000 steps, two exponents are"
        " positive. Of the 256 the mean settling time is 765,000 and the median 600,000.",
        while_chaotic=((0.0617, 6e-4), (0.0244, 6e-4)),
        mean_settling_steps=765_000,
        median_settling_steps=440_000,
        longest_settling_steps=2_800_000,
    ),
}

HYSTERESIS = {
    "origin and cycle": Hysteresis(
        name="origin and cycle",
        seed=26,
        N=4,
        D=2,
        carried_from=(2.4, 3.4),
        interval=(2.6188596878, 3.128626305),
        points=(
            (2.675, (1, 0.0), (2, 3.6555)),
            (2.866, (1, 0.0), (2, 4.7902)),
            (3.071, (1, 0.0), (2, 5.6506)),
        ),
        established="In closed form, see HARD_CASES: a fold of cycles below, a subcritical flip above. Both branches"
        " measured over 10^6 steps at the three points.",
    ),
    "curve and cycle": Hysteresis(
        name="curve and cycle",
        seed=3,
        N=4,
        D=8,
        carried_from=(0.48, 1.0),
        interval=(0.52, 0.91),
        points=(
            (0.549, (0, 1.2409), (2, 1.3514)),
            (0.69, (0, 1.9402), (2, 2.4235)),
            (0.868, (0, 2.9047), (2, 3.4887)),
        ),
        established="Carried along 100 and along 60 values of s; at the three points both branches stayed for 10^6"
        " steps more. Upwards a closed curve, and at 0.868 a torus of dimension 2 (lambda_1 T = 0.2, lambda_2 T ="
        " -0.1 at 10^6); downwards the cycle of period 2. At both ends 40 starts find one and the same attractor.",
    ),
    "two curves": Hysteresis(
        name="two curves",
        seed=17,
        N=4,
        D=8,
        carried_from=(0.82, 2.9),
        interval=(0.90, 2.88),
        points=(
            (1.007, (0, 2.0647), (0, 1.7198)),
            (1.608, (0, 4.1459), (0, 3.6405)),
            (2.57, (0, 6.9399), (0, 6.0951)),
        ),
        established="Carried along 100 and along 60 values of s; at the three points both branches stayed for 10^6"
        " steps more, all six with |lambda_1| T < 0.4 and lambda_2 below -0.017. At both ends 40 starts find one and"
        " the same attractor.",
    ),
}

# Feigenbaum's point, where the period doublings of the logistic map accumulate (Feigenbaum 1978). The window of period
# 3 opens at 1 + sqrt(8); its cycle of period 3 doubles at 3.8415, and its doublings accumulate at 3.8495 (May 1976).
LOGISTIC_ONSET = 3.5699456718695
LOGISTIC_PERIOD_3 = (1 + np.sqrt(8), 3.8415, 3.8495)
# x' = tanh(2 x + h) folds where 2 sech^2 = 1, at x = tanh u = +-1/sqrt(2): h = u - 2 x.
TANH_FOLD = 2 / np.sqrt(2) - np.arctanh(1 / np.sqrt(2))
# The positive fixed point of x' = tanh(2 x), with x = 0 the boundary of its basin.
TANH_X = 0.9575040240772688
# Dimensions: Sierpinski's carpet; the boundary between the basins of Newton's method for z^3 - 1, where the sums over
# the preimages of a point of |derivative of the nth iterate|^-D on the sphere stop growing with n, 3^12 preimages of
# three points. Exponent of basins that are the gaps of a Cantor set of three branches of slope 5: 1 - D.
CARPET_DIMENSION = np.log(8) / np.log(3)
NEWTON_DIMENSION = 1.444
CANTOR_EXPONENT = 1 - np.log(3) / np.log(5)

# Gradient descent in the double well (x^2 - 1)^2 / 4 with decay d: x' = (1 + eta (1 - d)) x - eta x^3. With x scaled by
# sqrt(1 - d) and eta by 1 - d it is the map without decay, f(x) = (1 + eta) x - eta x^3, which all below is about.
# The minima +-1 have the multiplier 1 - 2 eta. A 2-cycle x, y of one sign has, from f(x) + f(y) = x + y, s^2 - 3 p = 1
# for s = x + y, p = x y, and from f(x) - f(y) = y - x, s^2 - p = 1 + 2 / eta; so p = 1 / eta, x^2 + y^2 = 1 + p, and
# its multiplier is (1 + eta)^2 - 3 eta (1 + eta) (x^2 + y^2) + 9 eta^2 p^2 = 9 - 2 (1 + eta)^2: -1 at sqrt(5) - 1.
# The doublings that follow accumulate near 1.3024 (bisected with a prototype). Beyond the cycle x, -x, which lies at
# sqrt(1 + 2 / eta), all orbits diverge; at eta = 2 the map is a Chebyshev polynomial, of exponent ln 3, and its
# interval touches that cycle.
DOUBLE_WELL_CYCLE_DOUBLES = np.sqrt(5) - 1
DOUBLE_WELL_ONSET = 1.3024
DOUBLE_WELL_LAST = np.log(3)


def double_well_exponent(eta: np.ndarray) -> np.ndarray:
    """At the minima up to eta = 1, on the 2-cycles up to sqrt(5) - 1."""
    return np.where(eta < 1, np.log(np.abs(1 - 2 * eta)), np.log(np.abs(9 - 2 * (1 + eta) ** 2)) / 2)


def double_well_doubles(momentum: float, decay: float) -> float:
    """Learning rate at which the minima, of curvature 2 (1 - decay), lose stability: the multipliers of heavy ball
    solve m^2 - (1 + momentum - lr curvature) m + momentum = 0, and one is -1 at lr curvature = 2 (1 + momentum).
    """
    return (1 + momentum) / (1 - decay)


def double_well_diverges(eta: float, sigma: float) -> float:
    """Share of starts x ~ N(0, sigma^2) that diverge, eta <= 2: those beyond sqrt(1 + 2 / eta)."""
    return math.erfc(math.sqrt(1 + 2 / eta) / sigma / math.sqrt(2))


# The minima of the 2-2-1 tanh network on XOR with decay 0.01, W ~ N(0, 1 / fan-in), b1 ~ N(0, 1), b2 = 0: depth, and
# how many. Found with a prototype from thousands of starts in float32. Hidden units may change places and signs: each
# but the collapsed one has 8 images.
XOR_MINIMA = {"global": (0.061539, 16), "poor": (0.570493, 32), "collapsed": (1.0, 1)}
