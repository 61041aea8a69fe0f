"""How fast do others compute Lyapunov exponents of feedback networks?

Every rival takes the same arrays, u = W y, x = tanh(u), next output s sum_i r_i x_i, and returns exponents, so that a
comparison of speed can first show that the answers agree. The largest exponent uses one tangent vector; k > 1 exponents
use k vectors and Gram-Schmidt. Tangents are carried through the transient as well, so a run is B S (transient + steps)
network-steps.

    article_loop   NumPy, one network and one step at a time, as the article's program and its imitations do it
    numba_plain    numba as it is usually written: readable loops, libm's tanh, 1 - tanh^2
    numba_loop     numba at its best, one network at a time: source unrolled for N, D and k, SIMD over neurons (largest
                   exponent) or over tangent vectors (spectrum), its own exp
    numba_lanes    numba, the values of s side by side in the SIMD lanes; largest exponent only
    cpp_ceiling    C++ vectorised by hand for one shape, the values of s in the SIMD lanes (ceiling.cpp); largest
                   exponent only. Needs g++
    cpp_256        the same with vectors of 256 bits, where the processor has wider ones
    lyapax         lyapax's own sweep: jit(vmap), jvp tangents, QR
    plain_vmap     what a user of this library would write: jit(vmap(lyapunov_exponents)), 512 networks at once

All but the last two start from the article's state y = (0.001 sum b, 0, ..., 0) and the same tangent frame: their
exponents agree to rounding where there is no chaos, whatever the interval of renormalisation, because the logarithms
of the growth telescope. The last two have first frames of their own and agree as 1 / steps.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from benchmarks import ceiling

try:
    import numba
    from numba import types
    from numba.core import config as numba_config
    from numba.extending import intrinsic
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("benchmarks.rivals needs numba: pip install -e '.[dev]'") from error

RENORMALISE_LARGEST = 16
"""Steps between renormalisations of a single tangent vector, in the numba rivals."""
RENORMALISE_SPECTRUM = 2
"""Steps between orthonormalisations of k > 1 tangent vectors, in the numba rivals and lyapax."""
RENORMALISE_LYAPAX = 10
"""Steps between renormalisations of a single tangent vector, in lyapax."""
VMAP_BATCH = 512
"""Networks in one call of plain_vmap: with 4,096 it has half the speed, with 64 the same."""
LYAPAX_BATCH = 256
"""Networks in one call of lyapax's sweep; 64 to 512 differ by less than 20 % on one core."""

FASTMATH = True
# Full fast math lets LLVM turn a sum written as a tree back into one chain of dependent additions, which costs the
# Gram-Schmidt products their parallelism (float64, D = 16: 4.1 against 5.1 million steps per second).
FASTMATH_ORDERED = {"nnan", "ninf", "nsz", "arcp", "contract", "afn"}


class Exponents(Protocol):
    """The one call every rival answers; see `Rival`."""

    def __call__(
        self,
        weights: np.ndarray,
        gains: np.ndarray,
        s: np.ndarray,
        *,
        k: int = 1,
        transient: int,
        steps: int,
        dtype: str = "float64",
        threads: int = 1,
    ) -> np.ndarray: ...


@dataclass(frozen=True)
class Rival:
    """One competitor.

    `exponents(weights, gains, s, *, k=1, transient, steps, dtype="float64", threads=1)` takes weights (B, N, D) with
    the newest output first, gains r (B, N) and s (B, S), so that b = s r, and returns float64 (B, S, k) in nats per
    step: in Gram-Schmidt order, or descending where `descending` is set. The first call for a shape, dtype and (lyapax)
    number of steps compiles.

    Where `threaded` is set, `threads` > 1 spreads networks over that many cores. Elsewhere it is ignored: article_loop
    uses one core, lyapax and plain_vmap one device, with the threads that XLA has for it.

    A tangent that underflows counts as the smallest number of the dtype instead of ending in NaN: with k > 1, exponents
    below -21 (float32) or -170 (float64) per step come out too large.
    """

    name: str
    exponents: Exponents
    largest_only: bool = False
    threaded: bool = False
    descending: bool = False
    own_frame: bool = False  # the first frame is not that of the others


def _checked(
    weights: np.ndarray, gains: np.ndarray, s: np.ndarray, k: int, transient: int, steps: int, dtype: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The three arrays, contiguous and of `dtype`, once their shapes and the counts are found consistent."""
    if dtype not in ("float64", "float32"):
        raise ValueError(f"`dtype` must be float64 or float32, got {dtype}")
    if weights.ndim != 3 or gains.shape != weights.shape[:2] or s.ndim != 2 or len(s) != len(weights):
        raise ValueError(
            "`weights`, `gains`, `s` must have shapes (B, N, D), (B, N), (B, S), "
            f"got {weights.shape}, {gains.shape}, {s.shape}"
        )
    if not 1 <= k <= weights.shape[2]:
        raise ValueError(f"`k` must be in 1..{weights.shape[2]}, got {k}")
    if transient < 0 or steps < 1:
        raise ValueError(f"`transient` must be >= 0 and `steps` >= 1, got {transient} and {steps}")
    return (
        np.ascontiguousarray(weights, dtype),
        np.ascontiguousarray(gains, dtype),
        np.ascontiguousarray(s, dtype),
    )


# --- NumPy, as the article does it ----------------------------------------------------------------------------------


def _article_network(w: np.ndarray, b: np.ndarray, k: int, transient: int, steps: int) -> np.ndarray:
    """Exponents (k,) of one network, a step at a time; renormalised every step."""
    D = w.shape[1]
    y = np.zeros(D, w.dtype)
    y[0] = 0.001 * b.sum()
    frame = np.full((D, 1), D**-0.5, w.dtype) if k == 1 else np.eye(D, k, dtype=w.dtype)
    growth = np.zeros(k)
    for t in range(transient + steps):
        x = np.tanh(w @ y)
        newest = ((b * (1 - x * x)) @ w) @ frame
        y[1:] = y[:-1]
        y[0] = b @ x
        frame[1:] = frame[:-1]
        frame[0] = newest
        if k == 1:
            norm = np.array([math.sqrt((frame * frame).sum())])
            frame /= norm[0].astype(w.dtype)
        else:
            frame, upper = np.linalg.qr(frame)
            norm = np.abs(np.diag(upper))
        if t >= transient:
            growth += np.log(norm)
    return growth / steps


def article_loop(
    weights: np.ndarray,
    gains: np.ndarray,
    s: np.ndarray,
    *,
    k: int = 1,
    transient: int,
    steps: int,
    dtype: str = "float64",
    threads: int = 1,
) -> np.ndarray:
    """The loop of Sprott's program (1998) in NumPy, with a true tangent vector; renormalised (k > 1: QR) every step."""
    weights, gains, s = _checked(weights, gains, s, k, transient, steps, dtype)
    out = np.empty((*s.shape, k))
    for g, q in np.ndindex(*s.shape):
        out[g, q] = _article_network(weights[g], s[g, q] * gains[g], k, transient, steps)
    return out


# --- numba: what the kernels share ----------------------------------------------------------------------------------


@intrinsic
def _float_of_bits(typingctx: Any, bits: Any) -> Any:
    """The float whose bit pattern an int64 or int32 holds."""
    result = {types.int64: types.float64, types.int32: types.float32}.get(bits)
    if result is None:
        return None

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], context.get_value_type(signature.return_type))

    return result(bits), generate


@intrinsic
def _bits_of_float(typingctx: Any, value: Any) -> Any:
    """The bit pattern of a float64 or float32 as an int64 or int32."""
    result = {types.float64: types.int64, types.float32: types.int32}.get(value)
    if result is None:
        return None

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], context.get_value_type(signature.return_type))

    return result(value), generate


@functools.cache
def _exp_minus_twice(dtype: str) -> Any:
    """exp(-2 a) for a >= 0 with a relative error of (2 + 0.7 a) roundings; libm's is a call and stops a vectoriser.

    Range reduction to |f| <= ln(2) / 2 and Estrin's scheme, whose dependent chain is short: one network at a time is
    bound by latency. a stops where the result would be subnormal. tanh(a) = (1 - e) / (1 + e) then has an absolute
    error of one rounding; sech^2(a) = 4 e / (1 + e)^2 keeps the relative error in saturation.
    """
    real: Any = np.float64 if dtype == "float64" else np.float32
    integer: Any = np.int64 if dtype == "float64" else np.int32
    mantissa, bias, largest = (52, 1023, 353.0) if dtype == "float64" else (23, 127, 43.0)
    shift, offset, largest = integer(mantissa), integer(bias), real(largest)
    scale, ln2, half = real(-2 / math.log(2)), real(math.log(2)), real(0.5)
    c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11, c12 = (real(1 / math.factorial(n)) for n in range(13))

    if dtype == "float64":

        @numba.njit(fastmath=FASTMATH, inline="always")
        def exp_minus_twice(a):  # pyright: ignore[reportRedeclaration]
            z = min(a, largest) * scale
            n = np.floor(z + half)
            f = (z - n) * ln2
            f2 = f * f
            f4 = f2 * f2
            low = (c0 + c1 * f) + (c2 + c3 * f) * f2
            middle = (c4 + c5 * f) + (c6 + c7 * f) * f2
            high = (c8 + c9 * f) + (c10 + c11 * f) * f2 + c12 * f4
            p = low + middle * f4 + high * (f4 * f4)
            return p * _float_of_bits((integer(n) + offset) << shift)  # pyright: ignore[reportCallIssue]

    else:

        @numba.njit(fastmath=FASTMATH, inline="always")
        def exp_minus_twice(a):
            z = min(a, largest) * scale
            n = np.floor(z + half)
            f = (z - n) * ln2
            f2 = f * f
            p = (c0 + c1 * f) + (c2 + c3 * f) * f2 + ((c4 + c5 * f) + (c6 + c7 * f) * f2) * (f2 * f2)
            # numba's int32 + int32 is int64: narrow it again, or the bits are read as a double.
            return p * _float_of_bits(integer((integer(n) + offset) << shift))  # pyright: ignore[reportCallIssue]

    return exp_minus_twice


@contextlib.contextmanager
def _slp_vectorizer(on: bool) -> Iterator[None]:
    """Compile with LLVM's straight-line vectoriser on or off; numba turns it off, and only a global turns it on."""
    config: Any = numba_config
    before = config.SLP_VECTORIZE
    config.SLP_VECTORIZE = int(on)
    try:
        yield
    finally:
        config.SLP_VECTORIZE = before


def _over_networks(kernel: Any, dtype: str, *, lanes: bool, parallel: bool) -> Any:
    """`kernel` compiled into a loop over (B, S) networks, or over (B, groups of S) if it takes `lanes` of s."""
    real = numba.from_dtype(np.dtype(dtype))
    signature = types.void(
        real[:, :, ::1],
        real[:, ::1],
        real[:, :, ::1] if lanes else real[:, ::1],
        types.int64,
        types.int64,
        types.float64[:, :, :, ::1] if lanes else types.float64[:, :, ::1],
    )
    prange = numba.prange

    @numba.njit(signature, parallel=parallel, error_model="numpy")
    def sweep(weights, gains, s, transient, steps, out):
        columns = s.shape[1]
        for cell in prange(s.shape[0] * columns):
            g = cell // columns
            q = cell % columns
            kernel(weights[g], gains[g], s[g, q], transient, steps, out[g, q])

    return sweep


def _run(sweep: Any, threads: int, *args: Any) -> None:
    """Call `sweep` on `threads` cores."""
    if threads == 1:
        sweep(*args)
        return
    before = numba.get_num_threads()
    numba.set_num_threads(threads)
    try:
        sweep(*args)
    finally:
        numba.set_num_threads(before)


def _compile_source(source: str, name: str, names: dict[str, Any], *, fastmath: Any) -> Any:
    """The function `name` of a generated `source`, as a numba kernel."""
    scope = dict(names)
    exec(compile(source, f"<{name}>", "exec"), scope)
    return numba.njit(fastmath=fastmath, error_model="numpy")(scope[name])


def _constants(dtype: str, D: int) -> dict[str, Any]:
    """Names of the generated sources, in the kernel's own dtype: one Python float would make float32 code double."""
    real: Any = np.float64 if dtype == "float64" else np.float32
    integer: Any = np.int64 if dtype == "float64" else np.int32
    mantissa, bias = (52, 1023) if dtype == "float64" else (23, 127)
    return {
        "np": np,
        "sqrt": math.sqrt,
        "log": math.log,
        "copysign": math.copysign,
        "expm2": _exp_minus_twice(dtype),
        "bits_of_float": _bits_of_float,
        "float_of_bits": _float_of_bits,
        "integer": integer,
        "mantissa_mask": integer((1 << mantissa) - 1),
        "one_bits": integer(bias << mantissa),
        "mantissa": integer(mantissa),
        "bias": integer(bias),
        "zero": real(0),
        "one": real(1),
        "four": real(4),
        "thousandth": real(0.001),
        "unit": real(D**-0.5),
        "tiny": real(1e-300 if dtype == "float64" else 1e-37),
        "ln2": math.log(2.0),
        # An unsigned index: numba lets a signed one count from the end, and unless LLVM can prove that it is never
        # negative, that test hides from the vectoriser that entries are neighbours (spectrum: 1.2 against 5 million).
        "at": np.uint64,
    }


def _indented(depth: int, lines: list[str]) -> str:
    return "\n".join("    " * depth + line for line in lines)


# --- numba, as it is usually written --------------------------------------------------------------------------------


@functools.cache
def _plain_sweep(dtype: str, parallel: bool) -> Any:
    constants = _constants(dtype, 1)
    zero, one, thousandth, tiny = (constants[name] for name in ("zero", "one", "thousandth", "tiny"))

    @numba.njit(fastmath=FASTMATH, error_model="numpy")
    def kernel(w, r, s, transient, steps, out):
        N, D = w.shape
        k = out.size
        every = RENORMALISE_LARGEST if k == 1 else RENORMALISE_SPECTRUM
        b = s * r
        y = np.zeros(D, w.dtype)
        a = np.zeros(D, w.dtype)
        frame = np.zeros((k, D), w.dtype)
        y[0] = thousandth * b.sum()
        for p in range(k):
            if k == 1:
                frame[p, :] = one / np.sqrt(w.dtype.type(D))
            else:
                frame[p, p] = one
        out[:] = 0.0
        for t in range(1, transient + steps + 1):
            newest = zero
            a[:] = zero
            for i in range(N):
                u = zero
                for j in range(D):
                    u += w[i, j] * y[j]
                x = math.tanh(u)
                newest += b[i] * x
                slope = b[i] * (one - x * x)
                for j in range(D):
                    a[j] += slope * w[i, j]
            for p in range(k):
                change = zero
                for j in range(D):
                    change += a[j] * frame[p, j]
                for j in range(D - 1, 0, -1):
                    frame[p, j] = frame[p, j - 1]
                frame[p, 0] = change
            for j in range(D - 1, 0, -1):
                y[j] = y[j - 1]
            y[0] = newest
            if t % every == 0 or t == transient or t == transient + steps:
                for p in range(k):
                    for q in range(p):
                        product = zero
                        for j in range(D):
                            product += frame[q, j] * frame[p, j]
                        for j in range(D):
                            frame[p, j] -= product * frame[q, j]
                    square = tiny
                    for j in range(D):
                        square += frame[p, j] * frame[p, j]
                    inverse = one / np.sqrt(square)
                    for j in range(D):
                        frame[p, j] *= inverse
                    if t > transient:
                        out[p] += 0.5 * math.log(square)
        for p in range(k):
            out[p] /= steps

    return _over_networks(kernel, dtype, lanes=False, parallel=parallel)


def numba_plain(
    weights: np.ndarray,
    gains: np.ndarray,
    s: np.ndarray,
    *,
    k: int = 1,
    transient: int,
    steps: int,
    dtype: str = "float64",
    threads: int = 1,
) -> np.ndarray:
    """Readable numba loops with fast math, one network at a time: what a researcher writes first.

    Its 1 - tanh^2 loses everything in saturation: at large s its spectrum is wrong at the lower end.
    """
    weights, gains, s = _checked(weights, gains, s, k, transient, steps, dtype)
    out = np.empty((*s.shape, k))
    _run(_plain_sweep(dtype, threads > 1), threads, weights, gains, s, transient, steps, out)
    return out


# --- numba at its best, one network at a time -----------------------------------------------------------------------


def _largest_source(N: int, D: int) -> str:
    """The source of a kernel for lambda_1, unrolled over neurons and delays.

    Outputs and tangents are written forwards into buffers that hold D + 16 values, so nothing is shifted until the
    renormalisation, which touches the values anyway. w is stored delay by delay: for one delay the neurons are
    neighbours, and the vectoriser makes them the lanes of one register. The newest output comes last in each sum, so
    that a processor adds up the older ones while it still waits for the last tanh.
    """
    every = RENORMALISE_LARGEST
    sums = []
    for j in range(D):
        sums.append(f"yj = y[m + {j}]; dj = d[m + {j}]")
        for i in range(N):
            weight = f"wt[{j * N + i}]"
            sums.append(f"u{i} = {weight} * yj" if j == 0 else f"u{i} += {weight} * yj")
        for i in range(N):
            weight = f"wt[{j * N + i}]"
            sums.append(f"v{i} = {weight} * dj" if j == 0 else f"v{i} += {weight} * dj")
    slopes = []
    for i in range(N):
        slopes += [f"e = expm2(abs(u{i})); q = one / (one + e)", f"x{i} = copysign((one - e) * q, u{i})"]
        slopes += [f"h{i} = four * e * q * q * v{i}"]
    return f"""
def largest(w, r, s, transient, steps, out):
    wt = np.empty({N * D}, w.dtype)
    for i in range({N}):
        for j in range({D}):
            wt[j * {N} + i] = w[i, {D - 1} - j]
    y = np.zeros({D + every}, w.dtype)
    d = np.full({D + every}, unit, w.dtype)
    sum_b = zero
{_indented(1, [f"b{i} = s * r[{i}]; sum_b += b{i}" for i in range(N)])}
    y[{D - 1}] = thousandth * sum_b
    growth = 0.0
    for phase in range(2):
        count = steps if phase == 1 else transient
        growth = 0.0
        for start in range(0, count, {every}):
            length = min({every}, count - start)
            for m in range(length):
{_indented(4, sums)}
{_indented(4, slopes)}
                y[m + {D}] = {" + ".join(f"b{i} * x{i}" for i in range(N))}
                d[m + {D}] = {" + ".join(f"b{i} * h{i}" for i in range(N))}
            # Scaled by the largest entry: the square of a float32 that shrank for 16 steps may underflow.
            largest = tiny
            for j in range({D}):
                largest = max(largest, abs(d[length + j]))
            inverse = one / largest
            square = tiny
            for j in range({D}):
                y[j] = y[length + j]
                d[j] = d[length + j] * inverse
                square += d[j] * d[j]
            growth += log(largest) + 0.5 * log(square)
            inverse = one / sqrt(square)
            for j in range({D}):
                d[j] *= inverse
    out[0] = growth / steps
"""


def _spectrum_source(N: int, D: int, k: int, lanes: int) -> str:
    """The source of a kernel for k exponents; tangent vectors side by side in the SIMD lanes.

    The tangent frame is a shift register of rows as well: a step writes one new row, sum_j a_j row_j with
    a_j = sum_i b_i sech^2(u_i) w_ij, into a buffer of D + 16 rows of k. Gram-Schmidt takes a column off all the later
    ones in one pass over the rows, which keeps a strip of the rows in registers between product and subtraction; the
    columns of the strip that come before it take part with a zero coefficient, because a loop of fixed length
    vectorises and a shorter one does not. Lengths are multiplied up, mantissa and exponent apart, and one logarithm
    is taken at the end.
    """
    rows, every = 16, RENORMALISE_SPECTRUM
    sums = []
    for j in range(D):
        sums.append(f"yj = y[at(m + {j})]")
        for i in range(N):
            sums.append(f"u{i} {'=' if j == 0 else '+='} wt[at({j * N + i})] * yj")
    slopes = []
    for i in range(N):
        slopes += [f"e = expm2(abs(u{i})); c = one / (one + e)", f"x{i} = copysign((one - e) * c, u{i})"]
        slopes += [f"h{i} = b{i} * (four * e * c * c)"]
    jacobian = [f"a{j} = " + " + ".join(f"h{i} * wt[at({j * N + i})]" for i in range(N)) for j in range(D)]
    chains = min(4, D)
    total = "(c0 + c1) + (c2 + c3)" if chains == 4 else " + ".join(f"c{z}" for z in range(chains))

    def products(factor: str, keep: bool) -> list[str]:
        lines = []
        for j in range(D):
            row = f"f[at(o + {j * k})]"
            if keep:
                lines.append(f"f{j} = {row}")
                row = f"f{j}"
            lines.append(f"c{j % chains} {'=' if j < chains else '+='} {factor}{j} * {row}")
        return lines

    strips = []
    for first in range(0, k, lanes):
        strips += [
            f"for p in range({first}, {min(first + lanes, k)}):",
            *(f"    p{j} = f[at(base + {j * k} + p)]" for j in range(D)),
            *(f"    c{j % chains} {'=' if j < chains else '+='} p{j} * p{j}" for j in range(D)),
            f"    square = {total} + tiny",
            "    squares[at(p)] = square",
            "    inverse = one / square",
            f"    for q in range({first}, {k}):",
            "        o = base + q",
            *("        " + line for line in products("p", keep=True)),
            f"        c = ({total}) * inverse if q > p else zero",
            *(f"        f[at(o + {j * k})] = f{j} - c * p{j}" for j in range(D)),
        ]
    return f"""
def spectrum(w, r, s, transient, steps, out):
    wt = np.empty({N * D}, w.dtype)
    for i in range({N}):
        for j in range({D}):
            wt[at(j * {N} + i)] = w[i, {D - 1} - j]
    y = np.zeros({D + rows}, w.dtype)
    f = np.zeros({(D + rows) * k}, w.dtype)
    squares = np.ones({k}, w.dtype)
    lengths = np.ones({k}, w.dtype)
    powers = np.zeros({k}, integer)
    sum_b = zero
{_indented(1, [f"b{i} = s * r[{i}]; sum_b += b{i}" for i in range(N)])}
    y[at({D - 1})] = thousandth * sum_b
    for q in range({k}):
        f[at(({D - 1} - q) * {k} + q)] = one
    for phase in range(2):
        count = steps if phase == 1 else transient
        for q in range({k}):
            lengths[at(q)] = one
            powers[at(q)] = 0
        for start in range(0, count, {rows}):
            length = min({rows}, count - start)
            for begin in range(0, length, {every}):
                end = min(begin + {every}, length)
                for m in range(begin, end):
{_indented(5, sums)}
{_indented(5, slopes)}
                    y[at(m + {D})] = {" + ".join(f"b{i} * x{i}" for i in range(N))}
{_indented(5, jacobian)}
                    base = m * {k}
                    for q in range({k}):
                        o = base + q
{_indented(6, products("a", keep=False))}
                        f[at(o + {D * k})] = {total}
                base = end * {k}
{_indented(4, strips)}
                for q in range({k}):
                    o = base + q
                    inverse = one / sqrt(squares[at(q)])
{_indented(5, [f"f[at(o + {j * k})] *= inverse" for j in range(D)])}
                    bits = bits_of_float(squares[at(q)] * lengths[at(q)])
                    lengths[at(q)] = float_of_bits(integer((bits & mantissa_mask) | one_bits))
                    powers[at(q)] += integer(bits >> mantissa) - bias
            for j in range({D}):
                y[at(j)] = y[at(length + j)]
            for o in range({D * k}):
                f[at(o)] = f[at(length * {k} + o)]
    for q in range({k}):
        out[q] = 0.5 * (log(lengths[at(q)]) + powers[at(q)] * ln2) / steps
"""


@functools.cache
def _loop_sweep(N: int, D: int, k: int, dtype: str, parallel: bool) -> Any:
    if k == 1:
        source, name, fastmath, slp = _largest_source(N, D), "largest", FASTMATH, True
    else:
        lanes = 64 // np.dtype(dtype).itemsize
        # Frames narrower than a register leave the loop vectoriser nothing to do.
        source, name, fastmath, slp = _spectrum_source(N, D, k, lanes), "spectrum", FASTMATH_ORDERED, k < lanes
    with _slp_vectorizer(slp):
        kernel = _compile_source(source, name, _constants(dtype, D), fastmath=fastmath)
        return _over_networks(kernel, dtype, lanes=False, parallel=parallel)


def numba_loop(
    weights: np.ndarray,
    gains: np.ndarray,
    s: np.ndarray,
    *,
    k: int = 1,
    transient: int,
    steps: int,
    dtype: str = "float64",
    threads: int = 1,
) -> np.ndarray:
    """The fastest numba found, one network at a time; compile time grows with N D (seconds at 8 x 32)."""
    weights, gains, s = _checked(weights, gains, s, k, transient, steps, dtype)
    _, N, D = weights.shape
    out = np.empty((*s.shape, k))
    _run(_loop_sweep(N, D, k, dtype, threads > 1), threads, weights, gains, s, transient, steps, out)
    return out


# --- numba, values of s in the SIMD lanes ---------------------------------------------------------------------------


def _lanes_source(N: int, D: int, lanes: int) -> str:
    """The source of a kernel for lambda_1 of one (W, r) at `lanes` values of s.

    One loop over the lanes per neuron: its D weights are read before the loop, stay in registers as broadcasts, and
    keep the loop free of pointers that might overlap, without which it does not vectorise at N = 8, D = 32.
    """
    every = RENORMALISE_LARGEST
    step = []
    for i in range(N):
        step += [f"w{j} = wt[{i * D + j}]" for j in range(D)]
        step += [f"for l in range({lanes}):", f"    o = m * {lanes} + l"]
        for j in range(D):
            op = "=" if j == 0 else "+="
            step.append(f"    yj = y[o + {j * lanes}]; dj = d[o + {j * lanes}]; u {op} w{j} * yj; v {op} w{j} * dj")
        step += [
            "    e = expm2(abs(u)); q = one / (one + e); x = copysign((one - e) * q, u)",
            f"    new_y[l] {'=' if i == 0 else '+='} r{i} * x",
            f"    new_d[l] {'=' if i == 0 else '+='} r{i} * (four * e * q * q * v)",
        ]
    return f"""
def largest_lanes(w, r, s, transient, steps, out):
    wt = np.empty({N * D}, w.dtype)
    for i in range({N}):
        for j in range({D}):
            wt[i * {D} + j] = w[i, {D - 1} - j]
    y = np.zeros({(D + every) * lanes}, w.dtype)
    d = np.full({(D + every) * lanes}, unit, w.dtype)
    new_y = np.zeros({lanes}, w.dtype)
    new_d = np.zeros({lanes}, w.dtype)
    largest = np.zeros({lanes}, w.dtype)
    square = np.zeros({lanes}, w.dtype)
    growth = np.zeros({lanes})
    sum_r = zero
{_indented(1, [f"r{i} = r[{i}]; sum_r += r{i}" for i in range(N)])}
    for l in range({lanes}):
        y[{(D - 1) * lanes} + l] = thousandth * (s[l] * sum_r)
    for phase in range(2):
        count = steps if phase == 1 else transient
        growth[:] = 0.0
        for start in range(0, count, {every}):
            length = min({every}, count - start)
            for m in range(length):
{_indented(4, step)}
                for l in range({lanes}):
                    y[(m + {D}) * {lanes} + l] = s[l] * new_y[l]
                    d[(m + {D}) * {lanes} + l] = s[l] * new_d[l]
            largest[:] = tiny
            for j in range({D}):
                for l in range({lanes}):
                    largest[l] = max(largest[l], abs(d[(length + j) * {lanes} + l]))
            square[:] = tiny
            for j in range({D}):
                for l in range({lanes}):
                    y[j * {lanes} + l] = y[(length + j) * {lanes} + l]
                    scaled = d[(length + j) * {lanes} + l] / largest[l]
                    d[j * {lanes} + l] = scaled
                    square[l] += scaled * scaled
            for l in range({lanes}):
                growth[l] += log(largest[l]) + 0.5 * log(square[l])
            for l in range({lanes}):
                square[l] = one / sqrt(square[l])
            for j in range({D}):
                for l in range({lanes}):
                    d[j * {lanes} + l] *= square[l]
    for l in range({lanes}):
        out[l, 0] = growth[l] / steps
"""


@functools.cache
def _lanes_sweep(N: int, D: int, lanes: int, dtype: str, parallel: bool) -> Any:
    with _slp_vectorizer(False):
        source = _lanes_source(N, D, lanes)
        kernel = _compile_source(source, "largest_lanes", _constants(dtype, D), fastmath=FASTMATH)
        return _over_networks(kernel, dtype, lanes=True, parallel=parallel)


def numba_lanes(
    weights: np.ndarray,
    gains: np.ndarray,
    s: np.ndarray,
    *,
    k: int = 1,
    transient: int,
    steps: int,
    dtype: str = "float64",
    threads: int = 1,
) -> np.ndarray:
    """numba with values of s in the SIMD lanes, as in the engine; S is padded to a multiple of the group (<= 64)."""
    weights, gains, s = _checked(weights, gains, s, k, transient, steps, dtype)
    if k != 1:
        raise ValueError(f"`k` must be 1 for numba_lanes, got {k}")
    (B, N, D), S = weights.shape, s.shape[1]
    # The two buffers of a group should fit into a first-level cache; under 16 lanes the loops are not vectorised.
    lanes = 64
    while lanes > 16 and (2 * (D + RENORMALISE_LARGEST) * lanes * s.itemsize > 32768 or lanes >= 2 * S):
        lanes //= 2
    groups = -(-S // lanes)
    padded = np.pad(s, ((0, 0), (0, groups * lanes - S)), mode="edge").reshape(B, groups, lanes)
    out = np.empty((B, groups, lanes, 1))
    sweep = _lanes_sweep(N, D, lanes, dtype, threads > 1)
    _run(sweep, threads, weights, gains, padded, transient, steps, out)
    return np.ascontiguousarray(out.reshape(B, groups * lanes, 1)[:, :S])


# --- C++, vectorised by hand ----------------------------------------------------------------------------------------


def cpp_ceiling(
    weights: np.ndarray,
    gains: np.ndarray,
    s: np.ndarray,
    *,
    k: int = 1,
    transient: int,
    steps: int,
    dtype: str = "float64",
    threads: int = 1,
    name: str = "cpp_ceiling",
    vector_bytes: int | None = None,
) -> np.ndarray:
    """The practical ceiling: what the processor can do when a person writes out its vectors. 4 s to build at 8 x 32."""
    weights, gains, s = _checked(weights, gains, s, k, transient, steps, dtype)
    if k != 1:
        raise ValueError(f"`k` must be 1 for {name}, got {k}")
    width = vector_bytes or ceiling.widest_vector()
    run = {"transient": transient, "steps": steps, "threads": threads, "vector_bytes": width}
    return ceiling.largest_exponents(weights, gains, s, **run)[..., None]


# --- lyapax ---------------------------------------------------------------------------------------------------------


@functools.cache
def _lyapax_sweep(k: int, transient: int, steps: int) -> Callable[..., Any]:
    try:
        from lyapax.sweep import sweep_lyapunov_spectrum  # pyright: ignore[reportMissingImports]  (the extra `peers`)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("the rival lyapax needs the extra `peers`: pip install -e '.[peers]'") from error
    import jax
    import jax.numpy as jnp

    # lyapax rounds the transient to whole intervals and refuses other numbers of steps: take the longest that fits.
    longest = RENORMALISE_LYAPAX if k == 1 else RENORMALISE_SPECTRUM
    every = max(n for n in range(1, longest + 1) if math.gcd(transient, steps) % n == 0)

    def step(y: Any, network: dict[str, Any]) -> Any:
        x = jnp.tanh(network["w"] @ y)
        return jnp.concatenate([(network["b"] @ x)[None], y[:-1]])

    @jax.jit
    def sweep(w: Any, b: Any, start: Any) -> Any:
        result = sweep_lyapunov_spectrum(
            step,
            start[0],
            {"w": w, "b": b},
            dt=1.0,
            n_steps=steps,
            k=k,
            renorm_every=every,
            t_transient=float(transient),
            state0_batch=start,
        )
        return result.exponents

    return sweep


def lyapax(
    weights: np.ndarray,
    gains: np.ndarray,
    s: np.ndarray,
    *,
    k: int = 1,
    transient: int,
    steps: int,
    dtype: str = "float64",
    threads: int = 1,
) -> np.ndarray:
    """lyapax's `sweep_lyapunov_spectrum` under jit, 256 networks a call; renormalised every 10 steps (k > 1: 2).

    With transient = 0 its random tangent frame is not aligned before it is measured.
    """
    weights, gains, s = _checked(weights, gains, s, k, transient, steps, dtype)
    sweep = _lyapax_sweep(k, transient, steps)
    import jax

    D, (B, S) = weights.shape[2], s.shape
    cells = B * S
    batch = min(LYAPAX_BATCH, cells)
    out = np.empty((cells, k))
    # For float32 too: with it off lyapax warns of float32, which here is meant.
    with jax.enable_x64(True):
        pending = []
        for first in range(0, cells, batch):
            # The last batch reaches back rather than compile again for a smaller one.
            cell = np.arange(batch) + min(first, cells - batch)
            b = s.reshape(cells)[cell, None] * gains[cell // S]
            start = np.zeros((batch, D), dtype)
            start[:, 0] = 0.001 * b.sum(axis=1)
            pending.append((cell, sweep(weights[cell // S], b, start)))
        for cell, exponents in pending:
            out[cell] = np.asarray(exponents)
    return out.reshape(B, S, k)


# --- this library, without its sweep --------------------------------------------------------------------------------


@functools.cache
def _plain_sweep_of_exponents(k: int, transient: int, steps: int) -> Callable[..., Any]:
    import jax

    from attractor_jax import lyapunov_exponents

    # As many block means as divide the steps, up to the usual twenty.
    blocks = max(n for n in range(1, 21) if steps % n == 0)
    run = {"transient": 0, "align": transient, "steps": steps, "blocks": blocks, "k": k}
    return jax.jit(jax.vmap(lambda network, state: lyapunov_exponents(network, state, **run).exponents))


def plain_vmap(
    weights: np.ndarray,
    gains: np.ndarray,
    s: np.ndarray,
    *,
    k: int = 1,
    transient: int,
    steps: int,
    dtype: str = "float64",
    threads: int = 1,
) -> np.ndarray:
    """`jit(vmap(lyapunov_exponents))` of VMAP_BATCH networks at a time, each with its own weights. `steps` must have a
    divisor in 2..20.
    """
    weights, gains, s = _checked(weights, gains, s, k, transient, steps, dtype)
    import jax

    from attractor_jax import FeedbackNetwork

    D, (B, S) = weights.shape[2], s.shape
    draw = np.arange(B * S) // S
    b = s.reshape(-1, 1) * gains[draw]
    start = np.zeros((B * S, D), dtype)
    start[:, 0] = 0.001 * b.sum(axis=1)
    with jax.enable_x64(True):
        measure, found = _plain_sweep_of_exponents(k, transient, steps), []
        for first in range(0, B * S, VMAP_BATCH):
            some = slice(first, first + VMAP_BATCH)
            of = draw[some]
            networks = FeedbackNetwork(weights[of], gains[of], s.ravel()[some])  # pyright: ignore[reportArgumentType]
            found.append(np.asarray(measure(networks, start[some]), np.float64))
    return np.concatenate(found).reshape(B, S, k)


def _ceilings() -> Iterator[Rival]:
    if ceiling.absent():
        return
    yield Rival("cpp_ceiling", cpp_ceiling, largest_only=True, threaded=True)
    if ceiling.widest_vector() > 32:
        narrow = functools.partial(cpp_ceiling, name="cpp_256", vector_bytes=32)
        yield Rival("cpp_256", narrow, largest_only=True, threaded=True)


RIVALS: dict[str, Rival] = {
    rival.name: rival
    for rival in (
        Rival("article_loop", article_loop),
        Rival("numba_plain", numba_plain, threaded=True),
        Rival("numba_loop", numba_loop, threaded=True),
        Rival("numba_lanes", numba_lanes, largest_only=True, threaded=True),
        *_ceilings(),
        Rival("lyapax", lyapax, descending=True, own_frame=True),
        Rival("plain_vmap", plain_vmap, own_frame=True),
    )
}
"""The competitors by name, in the order of the list above; the ceilings where they can be built."""
