"""Images to learn, the holes in them, and how well a hole is filled without a network."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from runs import plan_of
from scipy.spatial.distance import cdist

from attractor_jax import image_files
from attractor_jax import images as images_module
from attractor_jax.config import ConfigError
from attractor_jax.fills import mean_fill, nearest_fill, pca_fill, relative_error
from attractor_jax.images import _bar, _bump_at, hole, holes, load, mark
from attractor_jax.systems.problems import Digits


def arrays(**changed: Any) -> dict[str, Any]:
    """What a small good file holds: 3 x 3 images, classes 4 and 7; None takes something out."""
    draw = np.random.default_rng(0)
    good = {
        "train/data": draw.random((5, 9)),
        "train/target": np.array([4, 4, 7, 7, 7]),
        "test/data": draw.random((3, 9)),
        "test/target": np.array([4, 7, 7]),
    }
    good |= {name.replace("_", "/"): value for name, value in changed.items()}
    return {name: value for name, value in good.items() if value is not None}


def write(path: Path, contents: dict[str, Any]) -> str:
    if path.suffix == ".npz":
        np.savez(path, **contents)
    else:
        with h5py.File(path, "w") as file:
            for name, value in contents.items():
                file[name] = value
    return str(path)


# manifolds whose tangents are known


@pytest.mark.parametrize(
    "drawn, parameters",
    [
        (lambda p: _bar(p[:, 0]), np.random.default_rng(1).uniform(0, np.pi, (50, 1))),
        (_bump_at, np.random.default_rng(2).uniform(-4, 4, (50, 2))),
    ],
    ids=["bars", "bump"],
)
def test_tangents_are_the_derivatives(drawn: Any, parameters: np.ndarray) -> None:
    _, tangents = drawn(parameters)
    step = 1e-5
    for axis in range(parameters.shape[1]):
        along = step * np.eye(parameters.shape[1])[axis]
        difference = (drawn(parameters + along)[0] - drawn(parameters - along)[0]) / (2 * step)
        np.testing.assert_allclose(tangents[:, axis], difference, atol=1e-9)
        assert (np.abs(tangents[:, axis]).max(axis=1) > 0.1).all()


def test_a_bar_turned_by_pi_is_itself_and_by_half_of_it_lies_across() -> None:
    phi = np.linspace(0, np.pi, 7)
    np.testing.assert_allclose(_bar(phi)[0], _bar(phi + np.pi)[0], atol=1e-14)
    upright, lying = (_bar(np.array([phi]))[0].reshape(8, 8) for phi in (np.pi / 2, 0.0))
    np.testing.assert_allclose(upright, lying.T, atol=1e-14)
    assert lying[3, 1] > 0.5 > 0.05 > lying[1, 3]


def test_a_bump_lies_where_it_is_told() -> None:
    down, right = np.argwhere(_bump_at(np.array([[-3.5, 2.5]]))[0].reshape(16, 16) == 1)[0]
    assert (down, right) == (4, 10)  # the middle of the image is at 7.5


@pytest.mark.parametrize("data, sizes, d", [("bars", (512, 64, 720), 1), ("bump", (1024, 64, 1600), 2)])
def test_manifolds(data: str, sizes: tuple[int, int, int], d: int) -> None:
    images = load(data)
    assert images.manifold is not None and images.tangents is not None
    assert (len(images.train), len(images.test), len(images.manifold)) == sizes
    assert images.tangents.shape == (64, d, images.side**2) and images.others.shape == (0, images.side**2)
    for some in (images.train, images.test, images.manifold):
        assert some.min() >= 0 and 0.8 < some.max() <= 1
        border = some.reshape(-1, images.side, images.side).copy()
        border[:, 1:-1, 1:-1] = 0
        assert border.max() < {"bars": 0.2, "bump": 0.07}[data]
    apart = cdist(images.test, images.manifold).min(axis=1)
    # No test image is a sample, and none is farther from one than some part of a step.
    steps = np.linalg.norm(np.diff(images.manifold, axis=0), axis=1)
    assert (apart > 1e-3).all() and (apart < np.median(steps)).all()


def test_images_are_made_once_and_nobody_can_change_them() -> None:
    assert load("bars") is load("bars")
    with pytest.raises(ValueError, match="read-only"):
        load("bars").train[0, 0] = 1.0


# handwritten digits


def test_digits_are_those_that_are_classified() -> None:
    images = load("digits")
    inputs = np.concatenate([Digits(1).train()[0], Digits(1).test()[0]])
    assert images.side == 8 and len(images.train) + len(images.test) == 1797
    rows = {row.tobytes() for row in images.train} | {row.tobytes() for row in images.test}
    assert rows == {row.tobytes() for row in inputs}
    np.testing.assert_array_equal(images.train[0], inputs[0])


def test_a_class_of_digits_is_cut_in_four() -> None:
    whole = load("digits")
    classes = [load("digits", label) for label in range(10)]
    assert sum(len(images.train) for images in classes) == len(whole.train)
    for images in classes:
        assert len(images.train) / (len(images.train) + len(images.test)) == pytest.approx(0.75, abs=0.003)
        assert len(images.others) == len(whole.test) - len(images.test)
    assert not {row.tobytes() for row in classes[2].test} & {row.tobytes() for row in classes[2].train}
    # The mean image of a class is nearer to its own held-out images than to those of the others.
    for images in classes:
        mean = images.train.mean(axis=0)
        assert ((images.test - mean) ** 2).sum(1).mean() < 0.6 * ((images.others - mean) ** 2).sum(1).mean()


# files


@pytest.mark.parametrize("suffix", [".h5", ".hdf5", ".npz", ".H5"])
@pytest.mark.parametrize("square", [False, True])
def test_files(tmp_path: Path, suffix: str, square: bool) -> None:
    contents = arrays()
    shaped = {name: v.reshape(-1, 3, 3) if square and v.ndim == 2 else v for name, v in contents.items()}
    data = write(tmp_path / f"mine{suffix}", shaped)
    images = load(data, 7)
    assert images.side == 3 and images.tangents is None and images.manifold is None
    np.testing.assert_array_equal(images.train, contents["train/data"][2:])
    np.testing.assert_array_equal(images.test, contents["test/data"][1:])
    np.testing.assert_array_equal(images.others, contents["test/data"][:1])
    whole = load(data)
    np.testing.assert_array_equal(whole.train, contents["train/data"])
    np.testing.assert_array_equal(whole.test, contents["test/data"])
    assert whole.others.shape == (0, 9)
    assert mark(data) == f"file-3x3-{hashlib.sha256(Path(data).read_bytes()).hexdigest()[:8]}"


def test_other_types_of_number_will_do(tmp_path: Path) -> None:
    contents = arrays(
        train_data=np.eye(9, dtype=np.float32)[:5], test_data=np.eye(9, dtype=bool)[:3], test_target=[4.0, 7.0, 7.0]
    )
    images = load(write(tmp_path / "types.npz", contents), 7)
    assert images.train.dtype == images.test.dtype == float
    np.testing.assert_array_equal(images.train, np.eye(9)[2:5])


def test_a_file_is_found_from_where_one_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "here.npz", arrays())
    monkeypatch.chdir(tmp_path)
    assert load("here.npz").side == 3


def test_marks() -> None:
    assert [mark(data) for data in ("digits", "bars", "bump")] == ["digits-8x8", "bars-8x8", "bump-16x16"]


HOLDS = "must hold train/data, train/target, test/data and test/target"
BAD_FILES = {
    "no target": (arrays(test_target=None), f"{HOLDS} (missing: test/target)"),
    "nothing": ({"x": np.ones(3)}, f"{HOLDS} (missing: train/data, train/target, test/data and test/target)"),
    "a folder in place of data": (
        arrays(test_data=None) | {"test/data/x": np.ones(3)},
        f"{HOLDS} (missing: test/data)",
    ),
    "not square": (
        arrays(train_data=np.ones((5, 8))),
        "must have square images in train/data, n x pixels or n x side x side (its shape is (5, 8))",
    ),
    "oblong": (
        arrays(test_data=np.ones((3, 1, 9))),
        "must have square images in test/data, n x pixels or n x side x side (its shape is (3, 1, 9))",
    ),
    "no pixels": (
        arrays(train_data=np.ones((5, 0))),
        "must have square images in train/data, n x pixels or n x side x side (its shape is (5, 0))",
    ),
    "one number": (
        arrays(train_data=1.0),
        "must have square images in train/data, n x pixels or n x side x side (its shape is ())",
    ),
    "two sizes": (
        arrays(test_data=np.ones((3, 4))),
        "must have images of one size in train and test (they have 9 and 4 pixels)",
    ),
    "bytes": (
        arrays(train_data=np.full((5, 9), 255, np.uint8)),
        "must have pixels from 0 to 1 in train/data (they go from 255 to 255)",
    ),
    "negative": (
        arrays(test_data=np.linspace(-1, 1, 27).reshape(3, 9)),
        "must have pixels from 0 to 1 in test/data (they go from -1 to 1)",
    ),
    "infinite": (
        arrays(train_data=np.where(np.eye(5, 9), np.inf, 0.5)),
        "must have pixels from 0 to 1 in train/data (they go from 0.5 to inf)",
    ),
    "NaN": (arrays(train_data=np.where(np.eye(5, 9), np.nan, 0.5)), "must have no NaN in train/data"),
    "complex": (arrays(train_data=np.ones((5, 9), complex)), "must have numbers in train/data (it has complex128)"),
    "words": (arrays(test_data=np.full((3, 9), b"a")), "must have numbers in test/data (it has |S1)"),
    "lengths": (
        arrays(train_target=np.array([4, 4, 7, 7])),
        "must have as many targets as images in train (it has 4 and 5)",
    ),
    "one-hot": (
        arrays(test_target=np.eye(3)),
        "must have one integer an image in test/target (it has float64 of shape (3, 3))",
    ),
    "halves": (
        arrays(test_target=np.array([4.0, 7.5, np.nan])),
        "must have one integer an image in test/target (it has float64 of shape (3,))",
    ),
    "infinite class": (
        arrays(test_target=np.array([4.0, np.inf, 1e300])),
        "must have one integer an image in test/target (it has float64 of shape (3,))",
    ),
    "one image": (
        arrays(train_data=np.ones((1, 9)), train_target=np.array([4])),
        "must have at least 2 images to train on and 1 held out (it has 1 and 3)",
    ),
    "none held out": (
        arrays(test_data=np.ones((0, 9)), test_target=np.zeros(0, int)),
        "must have at least 2 images to train on and 1 held out (it has 5 and 0)",
    ),
    "black": (arrays(train_data=np.zeros((5, 9))), "must have training images that are not all black"),
}


@pytest.mark.parametrize("suffix", [".h5", ".npz"])
@pytest.mark.parametrize("case", BAD_FILES)
def test_a_file_that_will_not_do_is_one_line(tmp_path: Path, case: str, suffix: str) -> None:
    contents, must = BAD_FILES[case]
    data = write(tmp_path / f"x{suffix}", contents)
    for label in (-1, 7):
        with pytest.raises(ConfigError) as error:
            load(data, label)
        assert str(error.value) == f"system.data {must}, got {shown(data)}" and error.value.key == "system.data"


def shown(data: str) -> str:
    return repr(data) if len(repr(data)) <= 120 else repr(data)[:117] + "..."


ENOUGH = "must be a class with at least 2 images to train on and 1 held out"


@pytest.mark.parametrize(
    "label, changed, must",
    [
        (5, {}, "must be -1 for all classes or one of them, 4 or 7"),
        (-2, {}, "must be -1 for all classes or one of them, 4 or 7"),
        (9, {"test_target": [4, 7, 9]}, f"{ENOUGH} (it has 0 and 1)"),
        (4, {"train_target": [4, 7, 7, 7, 7]}, f"{ENOUGH} (it has 1 and 1)"),
        (4, {"test_target": [7, 7, 7]}, f"{ENOUGH} (it has 2 and 0)"),
        (
            4,
            {"train_data": np.eye(9)[[0, 0, 1, 1, 1]] * (np.arange(9) > 0)},
            "must be a class with training images that are not all black",
        ),
    ],
)
def test_a_class_that_will_not_do_is_one_line(tmp_path: Path, label: int, changed: dict[str, Any], must: str) -> None:
    data = write(tmp_path / "x.npz", arrays(**changed))
    with pytest.raises(ConfigError) as error:
        load(data, label)
    assert str(error.value) == f"grid.label {must}, got {label}" and error.value.key == "grid.label"


@pytest.mark.parametrize(
    "data, label, must",
    [
        ("digits", 10, "must be -1 for all classes or one of them, 0, 1, 2, 3, 4, 5, 6, 7, 8 or 9"),
        ("bars", 0, "must be -1 for bars, which has no classes"),
        ("bump", -2, "must be -1 for bump, which has no classes"),
    ],
)
def test_a_class_that_is_not_there_is_one_line(data: str, label: int, must: str) -> None:
    with pytest.raises(ConfigError) as error:
        load(data, label)
    assert str(error.value) == f"grid.label {must}, got {label}"


READ = "file that can be read"


@pytest.mark.parametrize(
    "data, must",
    [
        ("digit", "must be digits, bars, bump or the path of an .h5 or .npz file"),
        ("", "must be digits, bars, bump or the path of an .h5 or .npz file"),
        ("text.csv", "must be digits, bars, bump or the path of an .h5 or .npz file"),
        ("./plain", "must be digits, bars, bump or the path of an .h5 or .npz file"),
        ("none.h5", "must be the path of a file that is there"),
        ("digits/none", "must be the path of a file that is there"),
        ("text.csv/x.h5", "must be the path of a file that is there"),
        ("a\0.h5", "must be the path of a file that is there"),
        ("folder.h5", "must be a file, not a folder"),
        ("folder.h5/", "must be a file, not a folder"),
        ("text.h5", f"must be an HDF5 {READ} (Unable to synchronously open file (file signature not found))"),
        ("text.npz", f"must be an .npz {READ} (it is none)"),
        ("array.npz", f"must be an .npz {READ} (it is none)"),
        ("objects.npz", f"must be an .npz {READ} (Object arrays cannot be loaded when allow_pickle=False)"),
    ],
)
def test_what_is_no_data_set_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: str, must: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder.h5").mkdir()
    for name in ("text.csv", "plain", "text.h5", "text.npz"):
        Path(name).write_text("1,2,3\n")
    with open("array.npz", "wb") as file:
        np.save(file, np.ones((5, 9)))
    write(Path("objects.npz"), arrays(train_data=np.array([{}, 1], object)))
    image_files.read_images.cache_clear()  # the same names in another folder
    for ask in (load, mark):
        with pytest.raises(ConfigError) as error:
            ask(data)
        assert str(error.value) == f"system.data {must}, got {data!r}"


def test_what_a_half_written_file_is_missing_is_one_line(tmp_path: Path) -> None:
    for suffix, kind in ((".h5", "an HDF5"), (".npz", "an .npz")):
        whole = Path(write(tmp_path / f"whole{suffix}", arrays())).read_bytes()
        (cut := tmp_path / f"cut{suffix}").write_bytes(whole[: 2 * len(whole) // 3])
        with pytest.raises(ConfigError) as error:
            load(str(cut))
        assert str(error.value).startswith(f"system.data must be {kind} file that can be read (")
        assert "\n" not in str(error.value)


def test_packages_that_are_missing_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = write(tmp_path / "x.h5", arrays())
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ConfigError) as error:
        load(data)
    assert str(error.value) == "system.data needs h5py for HDF5 files: pip install 'attractor_jax[data]'"
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    images_module.digits.cache_clear()
    load.cache_clear()
    with pytest.raises(ConfigError) as error:
        load("digits")
    assert str(error.value) == "system.data needs scikit-learn for digits: pip install 'attractor_jax[data]'"
    with pytest.raises(ConfigError) as error:
        Digits(1).train()
    assert str(error.value) == "system.name needs scikit-learn for digits: pip install 'attractor_jax[data]'"


@pytest.mark.parametrize(
    "changed, typed, must",
    [
        ({"train_data": np.zeros((5, 9))}, "", "system.data must have training images that are not all black, got {}"),
        ({"train_data": np.full((5, 9), np.nan)}, "", "system.data must have no NaN in train/data, got {}"),
        (
            {"train_data": np.ones((5, 8))},
            "",
            "system.data must have square images in train/data, n x pixels or n x side x side (its shape is (5, 8)), "
            "got {}",
        ),
        (
            {"train_data": np.ones((5, 1)), "test_data": np.ones((3, 1))},
            "",
            "system.data must have images of 2 x 2 pixels at least: a hole, and what is beside it, got {}",
        ),
        ({}, "", "grid.components must be at most the number of training images, 5, got 9"),
        ({}, "grid.components=10", "grid.components must be between 1 and 9, got 10"),
        (
            {},
            "grid.components=3 grid.label=[4,7]",
            "grid.components must be at most the number of training images of class 4, 2, got 3",
        ),
        (
            {},
            "grid.components=2 grid.label=[4,5]",
            "grid.label must be -1 for all classes or one of them, 4 or 7, got 5",
        ),
    ],
)
def test_a_sweep_of_what_will_not_do_is_not_planned(
    tmp_path: Path, changed: dict[str, Any], typed: str, must: str
) -> None:
    data = write(tmp_path / "x.npz", arrays(**changed))
    with pytest.raises(ConfigError) as error:
        plan_of("system=continuous", f"system.data={data}", *typed.split())
    assert str(error.value) == must.format(shown(data))


@pytest.mark.parametrize(
    "package, must",
    [
        ("sklearn.datasets", "system.data needs scikit-learn for digits: pip install 'attractor_jax[data]'"),
        ("optax", "system.name needs optax for continuous: pip install 'attractor_jax[train]'"),
    ],
)
def test_a_sweep_without_its_packages_is_not_planned(package: str, must: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    images_module.digits.cache_clear()
    load.cache_clear()
    with pytest.raises(ConfigError) as error:
        plan_of("system=continuous")
    assert str(error.value) == must


# holes


def test_a_hole_is_where_it_is_told() -> None:
    mask = hole((1, 2), 5, 3).reshape(5, 5)
    assert mask.sum() == 9 and mask[1:4, 2:5].all()
    assert hole((0, 0), 4, 4).all()


def test_holes_are_whole_squares_at_all_places() -> None:
    masks = holes(2000, 7, 4)
    assert masks.shape == (2000, 49) and (masks.sum(axis=1) == 16).all()
    places = {hole((row, column), 7, 4).tobytes() for row in range(4) for column in range(4)}
    drawn, counts = np.unique(masks, axis=0, return_counts=True)
    assert {mask.tobytes() for mask in drawn} == places
    # Poisson counts of mean 125: five standard deviations.
    assert (np.abs(counts - 125) < 5 * np.sqrt(125)).all()
    np.testing.assert_array_equal(masks, holes(2000, 7, 4, seed=0))
    assert (masks != holes(2000, 7, 4, seed=1)).any()
    assert holes(0, 7, 4).shape == (0, 49) and holes(3, 4, 4).all()


@pytest.mark.parametrize(
    "ask, message",
    [
        (lambda: hole((0, 0), 8, 9), "`patch` must be from 1 to the side of the image, 8, got 9"),
        (lambda: hole((0, 0), 8, 0), "`patch` must be from 1 to the side of the image, 8, got 0"),
        (lambda: hole((0, 6), 8, 3), "`corner` must be two numbers from 0 to 5, got (0, 6)"),
        (lambda: hole((-1, 0), 8, 3), "`corner` must be two numbers from 0 to 5, got (-1, 0)"),
        (lambda: holes(2, 8, 9), "`patch` must be from 1 to the side of the image, 8, got 9"),
        (lambda: holes(-1, 8, 3), "`n` must be >= 0, got -1"),
    ],
)
def test_holes_that_cannot_be_are_refused(ask: Any, message: str) -> None:
    with pytest.raises(ValueError) as error:
        ask()
    assert str(error.value) == message


# fills

NOISE = np.random.default_rng(5).random((40, 36))  # images without any order
MASKS = holes(40, 6, 3, seed=3)


def holed(images: np.ndarray, masks: np.ndarray, content: float = 0.0) -> np.ndarray:
    return np.where(masks, content, images)


def test_the_mean_fills_holes_and_nothing_else() -> None:
    train = np.stack([np.zeros(36), np.ones(36)])
    completed = mean_fill(train, holed(NOISE, MASKS), MASKS)
    np.testing.assert_array_equal(completed, np.where(MASKS, 0.5, NOISE))


def test_a_training_image_is_its_own_nearest() -> None:
    # Near twins too: one differs from the other by 1e-9, and only outside the hole is it seen.
    twins = np.concatenate([NOISE, NOISE + 1e-9])
    masks = np.concatenate([MASKS, MASKS])
    np.testing.assert_array_equal(nearest_fill(twins, holed(twins, masks), masks), twins)


def test_what_a_hole_holds_is_never_looked_at() -> None:
    train, fills = NOISE[:30], (mean_fill, nearest_fill, lambda *a: pca_fill(*a, 5))
    for fill in fills:
        one, other = (fill(train, holed(NOISE, MASKS, content), MASKS) for content in (0.0, 100.0))
        np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(one[~MASKS], NOISE[~MASKS])


@pytest.mark.parametrize("noise", [None, 0.0])
@pytest.mark.parametrize("k, given", [(4, 4), (4, 7), (4, 60), (1, 1), (8, 8)])
def test_images_of_a_plane_are_completed_exactly(k: int, given: int, noise: float | None) -> None:
    draw = np.random.default_rng(k)
    plane = 0.05 * draw.standard_normal((k, 36))
    train, test = (0.5 + 0.02 * np.arange(36) / 36 + draw.uniform(-1, 1, (n, k)) @ plane for n in (60, 40))
    assert min(train.min(), test.min()) > 0  # nothing to clip
    completed = pca_fill(train, holed(test, MASKS), MASKS, given, noise=noise)
    np.testing.assert_allclose(completed, test, atol=1e-10)


def test_without_components_the_mean_is_left() -> None:
    train = NOISE[:30]
    expected = mean_fill(train, holed(NOISE, MASKS), MASKS)
    np.testing.assert_allclose(pca_fill(train, holed(NOISE, MASKS), MASKS, 0), expected, atol=1e-14)
    same = np.tile(NOISE[:1], (3, 1))
    np.testing.assert_allclose(pca_fill(same, holed(NOISE, MASKS), MASKS, 3)[MASKS], np.where(MASKS, same[0], 0)[MASKS])
    # Where nothing is to be seen, or all of it is noise.
    everything = np.ones_like(MASKS)
    np.testing.assert_allclose(pca_fill(train, NOISE, everything, 5), np.tile(train.mean(0), (40, 1)), atol=1e-14)
    np.testing.assert_allclose(pca_fill(train, holed(NOISE, MASKS), MASKS, 5, noise=1e12), expected, atol=1e-9)


@pytest.mark.parametrize("noise", [None, 0.3])
def test_a_fill_is_the_expectation_of_the_hole_given_the_rest(noise: float | None) -> None:
    train, k = NOISE[:30], 6
    mean, covariance = train.mean(axis=0), np.cov(train.T, bias=True)
    values, vectors = (a[..., ::-1] for a in np.linalg.eigh(covariance))
    variance = values[k:].sum() / (36 - k) if noise is None else noise
    model = (vectors[:, :k] * values[:k]) @ vectors[:, :k].T + variance * np.eye(36)
    completed = pca_fill(train, holed(NOISE, MASKS), MASKS, k, noise=noise)
    for image, mask, found in zip(NOISE, MASKS, completed, strict=True):
        seen = np.linalg.solve(model[np.ix_(~mask, ~mask)], (image - mean)[~mask])
        expected = np.maximum(mean[mask] + model[np.ix_(mask, ~mask)] @ seen, 0)
        np.testing.assert_allclose(found[mask], expected, atol=1e-10)


def test_a_fill_is_never_negative() -> None:
    train = np.array([[0.0, 1, 0, 0], [1.0, 0, 0, 0]])
    mask = np.array([[True, False, False, False]])
    completed = pca_fill(train, np.array([[0.0, 2, 0, 0]]), mask, 1, noise=0)
    np.testing.assert_allclose(completed, [[0, 2, 0, 0]], atol=1e-14)


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"k": 41}, "`k` must be from 0 to the number of training images, 40, got 41"),
        ({"k": -1}, "`k` must be from 0 to the number of training images, 40, got -1"),
        ({"k": 3, "noise": -1.0}, "`noise` must be >= 0, got -1.0"),
    ],
)
def test_components_that_cannot_be_are_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as error:
        pca_fill(NOISE, NOISE, MASKS, **changed)
    assert str(error.value) == message


def test_a_relative_error_is_that_of_all_images_together() -> None:
    truth = np.ones((2, 4))
    corrupted = np.array([[0.0, 0, 1, 1], [0, 0, 1, 1]])
    completed = np.array([[1.0, 0, 1, 1], [1, 1, 1, 1]])
    assert relative_error(completed, truth, corrupted) == 0.25
    assert relative_error(truth, truth, corrupted) == 0
    assert relative_error(corrupted, truth, corrupted) == 1
    assert np.isnan(relative_error(completed, truth, truth))


def test_fills_know_digits_and_bars() -> None:
    for data, label, patch, k, bounds in (("digits", 2, 5, 20, (0.28, 0.24)), ("bars", -1, 4, 10, (0.001, 1e-4))):
        images = load(data, label)
        masks = holes(len(images.test), images.side, patch)
        given = images.train, holed(images.test, masks), masks
        errors = (relative_error(fill, images.test, given[1]) for fill in (nearest_fill(*given), pca_fill(*given, k)))
        assert tuple(errors) < bounds
        assert relative_error(mean_fill(*given), images.test, given[1]) > 0.1


def test_neither_module_needs_jax_and_shapes_are_checked_without_a_typechecker() -> None:
    program = """
import sys
import numpy as np
from attractor_jax import fills, images
images.load("bars")
a, mask = np.ones((3, 4)), np.ones((3, 4), bool)
for ask in (
    lambda: fills.mean_fill(a[0], a, mask),
    lambda: fills.nearest_fill(a[:0], a, mask),
    lambda: fills.mean_fill(a, a[:, :2], mask),
    lambda: fills.mean_fill(a, a, mask[:2]),
    lambda: fills.pca_fill(a, a, a, 1),
    lambda: fills.relative_error(a, a, a[:1]),
):
    try:
        ask()
    except ValueError as error:
        print(error)
print("jax" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "`train` must have shape (n, pixels) with n >= 1, got (4,)",
        "`train` must have shape (n, pixels) with n >= 1, got (0, 4)",
        "`corrupted` must have shape (m, 4), got (3, 2)",
        "`masks` must be booleans of shape (3, 4), got bool of (2, 4)",
        "`masks` must be booleans of shape (3, 4), got float64 of (3, 4)",
        "`completed`, `truth` and `corrupted` must have one shape, got (3, 4), (3, 4) and (1, 4)",
        "False",
    ]
