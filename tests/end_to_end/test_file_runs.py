"""Runs on files: what a method is given, where records go, figures, and bad files by the command line."""

from __future__ import annotations

import logging
import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import io, sparse

from nnmf_runner import SemiNMF
from nnmf_runner.core.streams import stream
from nnmf_runner.methods import METHODS
from nnmf_runner.report.collect import collect
from nnmf_runner.report.figures.draw import draw_all
from nnmf_runner.report.figures.heatmaps import heatmaps
from nnmf_runner.report.figures.material import load_view
from nnmf_runner.report.table import rows_of, summarise
from nnmf_runner.report.variants import Shown
from nnmf_runner.running.run import run_one
from nnmf_runner.store.record import folder_name, read_factors
from nnmf_runner.task import known_labels
from tests.fixtures.matrices import MATRIX_METHODS

LABELS = np.repeat([0, 1, 2], 9)
KNOWN = [1, 4, 10, 13, 19, 22]


@pytest.fixture
def blocks(rng):
    """Samples by features in three blocks, with samples and features of zeros."""
    X = np.kron(np.eye(3), np.ones((9, 8))) + 0.1 * rng.random((27, 24))
    X[[0, 20]], X[:, [2, 11]] = 0.0, 0.0
    return X


@pytest.fixture
def file(tmp_path_factory, blocks):
    """A file outside of the folder that the command line works in."""
    path = tmp_path_factory.mktemp("data") / "blocks.npz"
    np.savez(path, X=blocks, y=LABELS, supers=np.where(LABELS == 0, "one", "rest"), known=KNOWN)
    return path


def options(path, *more):
    return ["dataset=file", f"dataset.path={path}", "dataset.labels=[y,supers]", "layers=6-3", "max_iter=5", *more]


@pytest.mark.parametrize("method", sorted(MATRIX_METHODS))
def test_samples_of_zeros_get_codes_of_zero(configure, tmp_path, file, blocks, method):
    ranks = "layers=3" if METHODS[method].most_layers == 1 else "layers=6-3"
    config = configure(*options(file, f"method={method}", ranks, f"output={tmp_path}", "label_fraction=0.4"))
    outcome = run_one(config, 0)
    assert outcome.record["status"] != "failed"
    for name, array in read_factors(outcome.folder).items():
        assert np.isfinite(array).all()
        if name.startswith("S"):
            zero = array[:, ~blocks.any(axis=1)]
            assert np.abs(zero).max() <= 1e-8 * array.max()  # rounding, and what multiplicative updates leave


@pytest.mark.slow
def test_dense_and_sparse_files_of_the_same_data_give_the_same_fit(configure, tmp_path, blocks):
    np.savez(tmp_path / "dense.npz", X=blocks)
    sparse.save_npz(tmp_path / "sparse.npz", sparse.csr_array(blocks))
    errors = []
    for name in ("dense", "sparse"):
        config = configure("dataset=file", f"dataset.path={tmp_path / name}.npz", "layers=6-3", f"output={tmp_path}")
        errors.append(run_one(config, 0).record["metrics"]["relative_error"])
    # both stop at the same tolerance of the same problem; paths may part by rounding
    assert errors[0] == pytest.approx(errors[1], rel=1e-2)


def test_the_listed_labels_are_seen_and_no_others(configure, file):
    config = configure(*options(file, "dataset.known=known", "label_fraction=0.9"))
    dataset = config.dataset.load(stream(0, "data"))
    for seed in range(3):
        np.testing.assert_array_equal(np.flatnonzero(known_labels(config, dataset, stream(seed, "labels"))), KNOWN)
    unsupervised = configure(*options(file, "dataset.known=known"))
    assert not known_labels(unsupervised, dataset, stream(0, "labels")).any()
    assert unsupervised.regime == "unsupervised"


def test_with_listed_labels_the_share_does_not_matter_and_the_regime_is_semisupervised(configure, file):
    some, every = (configure(*options(file, "dataset.known=known", f"label_fraction={f}")) for f in (0.3, 1))
    assert some.regime == every.regime == "semisupervised"
    assert some.identity(0) == every.identity(0)
    assert some.identity(0) != configure(*options(file, "label_fraction=0.3")).identity(0)


def test_a_record_has_its_place_by_what_the_file_holds(configure, tmp_path, file, blocks):
    moved, other = tmp_path / "moved.npz", tmp_path / "other.npz"
    shutil.copy(file, moved)
    np.savez(other, X=blocks + 1, y=LABELS, supers=LABELS)
    first, same, different = (folder_name(configure(*options(path)).identity(0)) for path in (file, moved, other))
    assert first == same
    assert first != different


@pytest.mark.slow
def test_the_command_line_of_matlab_files_with_listed_labels(command, tmp_path_factory, blocks):
    path = tmp_path_factory.mktemp("mat") / "groups.mat"
    names = np.array([f"w{i}" for i in range(blocks.shape[1])], dtype=object)
    io.savemat(
        path,
        {
            "X_sub": sparse.csc_matrix(blocks.T),
            "sub": LABELS + 1,
            "super": 1 + (LABELS > 0),
            "known60": np.array(KNOWN) + 1,
            "vocab": names[:, None],
        },
    )
    result = command(
        "dataset=file",
        f"dataset.path={path}",
        "dataset.x=X_sub",
        "dataset.labels=[sub,super]",
        "dataset.known=known60",
        "dataset.orientation=features_by_samples",
        "layers=[3,2]",
        "label_fraction=0.3",
        "max_iter=5",
    )
    assert result.status == 0
    assert "all zeros are 2 of 24 features (w2, w11) and 2 of 27 samples (0, 20)." in result.err


@pytest.mark.slow
def test_figures_read_the_file_again_from_any_working_directory(configure, tmp_path, file, monkeypatch, caplog, blocks):
    monkeypatch.chdir(file.parent)
    outcome = run_one(configure(*options(file.name, f"output={tmp_path}")), 0)
    monkeypatch.chdir(tmp_path)
    view = load_view(Shown("neural", outcome.folder, outcome.record))
    np.testing.assert_array_equal(view.dataset.X, blocks.T)
    file.unlink()
    with caplog.at_level(logging.WARNING):
        shown = {"runs": [Shown("neural", outcome.folder, outcome.record)]}
        summary = summarise(rows_of([(outcome.folder, outcome.record)]))
        drawn = list(draw_all(shown, summary, pd.DataFrame(columns=["experiment"]), tmp_path / "report" / "figures"))
    assert "no heatmaps: dataset.path=" in caplog.text
    assert "does not exist" in caplog.text
    assert sorted(path.name for path in drawn) == ["runs_convergence.pdf", "runs_convergence.png"]


@pytest.mark.slow
def test_a_cube_is_shown_by_maps_and_spectra_and_images_by_topics(command, one_format, tmp_path_factory, rng):
    path = tmp_path_factory.mktemp("pictures") / "a.npz"
    np.savez(path, X=rng.random((12, 5)), names=["400", "410", "420", "430", "440"])
    given = ["dataset=file", f"dataset.path={path}", "layers=[2,1]", "max_iter=3"]
    found = []
    for output, more in (("cube", "dataset.image_shape=[5,3,4]"), ("images", "dataset.image_shape=[1,5]")):
        assert command(*given, more, f"output={output}").status == 0
        collected = command(output, program="nnmf-collect")
        found.append({path.stem for path in map(Path, collected.files) if path.match(f"{output}/report/figures/*.png")})
    shared = {"runs_convergence", "runs_neural_heatmaps"}
    assert found[0] == {"runs_neural_abundances", "runs_neural_spectra"} | shared
    assert found[1] == {"runs_neural_images", "runs_neural_samples"} | shared


def peak_of(function, *arguments):
    """What a call returns, and the largest number of bytes that it holds at once."""
    tracemalloc.start()
    try:
        return function(*arguments), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.slow
@pytest.mark.parametrize("method", ["neural", "hier", "deep", "semi", "sparse_coding"])
def test_nothing_of_a_run_is_of_the_shape_of_sparse_data(configure, tmp_path, rng, method):
    side = 30_000  # 7200 MB, were it dense
    X = sparse.csr_array(sparse.random_array((side, side), density=1e-5, rng=rng))
    X = X + sparse.csr_array((np.ones(40_000), np.divmod(np.arange(40_000), 200)), shape=X.shape)
    X = sparse.csr_array(X.astype(np.float32))
    stored = {f"X_{part}": getattr(X, part) for part in ("data", "indices", "indptr", "shape")}
    np.savez(tmp_path / "a.npz", **stored, names=np.arange(side).astype(str), y=np.arange(side) % 3)
    given = ["dataset=file", f"dataset.path={tmp_path}/a.npz", "dataset.labels=[y]", "label_fraction=0.1"]
    config = configure(*given, f"method={method}", "layers=3-2", "max_iter=2", f"output={tmp_path}")
    outcome, peak = peak_of(run_one, config, 0)
    assert outcome.record["topics"]
    assert peak < 60e6  # bytes; labels, names and factors of rank three are a few MB each
    if method == "neural":  # tables and figures are the same for all, and take ten times as long
        assert peak_of(collect, outcome.folder)[1] < 60e6


SIGNED = {
    "a.npy": lambda path, X: np.save(path, X),
    "a.npz": lambda path, X: sparse.save_npz(path, sparse.csr_array(X)),
    "a.mtx": lambda path, X: io.mmwrite(path, X),
    "a.mat": lambda path, X: io.savemat(path, {"X": X}),
    "a.csv": lambda path, X: pd.DataFrame(X).add_prefix("feature ").to_csv(path, index=False),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SIGNED)
def test_negative_data_from_a_file_are_fitted_as_in_python_and_shown(configure, tmp_path, rng, name):
    X = np.round(rng.standard_normal((12, 3)) @ rng.standard_normal((3, 9)), 6)
    SIGNED[name](tmp_path / name, X)
    given = ["dataset=file", f"dataset.path={tmp_path / name}", "method=semi", "layers=4-2", "max_iter=20"]
    outcome = run_one(configure(*given, f"output={tmp_path / 'out'}"), 3)
    factors, record = read_factors(outcome.folder), outcome.record
    with pytest.warns(UserWarning, match="did not converge"):
        model = SemiNMF(layers=(4, 2), max_iter=20, random_state=3).fit(sparse.csr_array(X) if name == "a.npz" else X)
    for i, (A, S) in enumerate(zip(model.factors_, model.codes_, strict=True)):
        np.testing.assert_array_equal(factors[f"A{i}"], A)
        np.testing.assert_array_equal(factors[f"S{i}"].T, S)
    assert factors["A0"].min() < 0 <= factors["S0"].min()
    squares = np.linalg.svd(X, compute_uv=False) ** 2
    for layer in record["layers"]:
        floor = np.sqrt(squares[layer["rank"] :].sum() / squares.sum())
        assert layer["floor"] == pytest.approx(floor, abs=1e-7)
        assert layer["relative_error"] >= floor - 1e-7
    pictures = heatmaps(load_view(Shown("semi", outcome.folder, record))).subfigs[0]
    low, high = pictures.axes[0].images[0].get_clim()
    assert low == -high == -max(np.abs(image.get_array()).max() for ax in pictures.axes for image in ax.images[:1])


def text(content):
    return lambda path: path.write_text(content)


def arrays(**given):
    return lambda path: np.savez(path, **given)


ONES, MTX = np.ones((4, 3)), "%%MatrixMarket matrix coordinate real general"
# File, how it is made, further options, what the message names.
BAD = {
    "missing": ("a.npz", lambda path: None, "", ["does not exist", ".npz"]),
    "folder": ("a.npz", lambda path: path.mkdir(), "", ["is not a file"]),
    "suffix": ("a.xlsx", text("x"), "", ["suffix is not known", ".csv"]),
    "no suffix": ("data", text("x"), "", ["suffix is not known"]),
    **{
        f"empty{suffix}": (f"a{suffix}", text(""), "", ["is empty"])
        for suffix in (".npz", ".npy", ".mtx", ".mtx.gz", ".mat", ".csv", ".tsv")
    },
    **{
        f"nonsense{suffix}": (f"a{suffix}", text("nonsense"), "", [f"a{suffix}"])
        for suffix in (".npz", ".npy", ".mtx", ".mtx.gz", ".mat", ".csv", ".tsv")
    },
    "truncated": ("a.npy", lambda path: path.write_bytes(npy(ONES)[:-20]), "", ["cannot be read as .npy"]),
    "pickled": ("a.npy", lambda path: np.save(path, np.array([{}])), "", ["cannot be read as .npy", "pickled object"]),
    "wrong key": ("a.npz", arrays(X=ONES, y=[1, 2, 1, 2]), "dataset.x=Z", ["no 'Z'", "X, y"]),
    "wrong label key": ("a.npz", arrays(X=ONES), "dataset.labels=[z]", ["no 'z'", "Expected one of: X"]),
    "two matrices": ("a.npz", arrays(a=ONES, b=ONES), "", ["2 matrices", "dataset.x", "a, b"]),
    "vector": ("a.npz", arrays(X=[1.0, 2.0]), "", ["the data have 1 dimensions"]),
    "words": ("a.npz", arrays(X=[["a", "b"]]), "", ["X is not numeric"]),
    "complex": ("a.npz", arrays(X=ONES * 1j), "", ["X is not numeric"]),
    "negative": ("a.npz", arrays(X=-ONES), "", ["X of dataset.path=", "nonnegative", "-1"]),
    "signed zeros": ("a.npz", arrays(X=ONES * 0), "method=semi", ["X of dataset.path=", "only zeros"]),
    "signed infinite": ("a.npz", arrays(X=-ONES * np.inf), "method=semi", ["infinite"]),
    "signed method": ("a.npz", arrays(X=-ONES), "method=semi method.nonnegative=true", ["nonnegative", "-1"]),
    "infinite": ("a.npz", arrays(X=ONES / np.where(ONES.cumsum(0) > 2, 1, np.inf) + np.inf), "", ["infinite"]),
    "no entry": ("a.npz", arrays(X=ONES * np.nan), "", ["no known entry"]),
    "zeros": ("a.npz", arrays(X=ONES * 0), "", ["only zeros"]),
    "sparse NaN": ("a.npz", lambda path: sparse.save_npz(path, sparse.csr_array(ONES * np.nan)), "", ["NaN"]),
    "label length": ("a.npz", arrays(X=ONES, y=[1, 2]), "dataset.labels=[y]", ["y has 2 labels, expected 4"]),
    "label NaN": ("a.npz", arrays(X=ONES, y=[1, np.nan, 1, 1]), "dataset.labels=[y]", ["y has one class only (1)"]),
    "label fraction": ("a.npz", arrays(X=ONES, y=[1, 1.5, 2, 2]), "dataset.labels=[y]", ["y holds 1.5"]),
    "label matrix": ("a.npz", arrays(X=ONES, y=ONES), "dataset.labels=[y]", ["y has several classes for sample 0"]),
    "one class": ("a.npz", arrays(X=ONES, y=[2, 2, 2, 2]), "dataset.labels=[y]", ["y has one class only"]),
    "known range": ("a.npz", arrays(X=ONES, k=[4]), "dataset.known=k", ["k holds 4", "from 0 to 3"]),
    "known base": (
        "a.npz",
        arrays(X=ONES, k=[0]),
        "dataset.known=k dataset.known_base=1",
        ["k holds 0", "from 1 to 4"],
    ),
    "known none": ("a.npz", arrays(X=ONES, k=[False] * 4), "dataset.known=k", ["k names no sample"]),
    "known far": ("a.npz", arrays(X=ONES, k=[1e30]), "dataset.known=k", ["k holds 1e+30", "from 0 to 3"]),
    "known words": ("a.npz", arrays(X=ONES, k=["a"]), "dataset.known=k", ["k holds entries"]),
    "base": ("a.npz", arrays(X=ONES), "dataset.known_base=2", ["dataset.known_base=2"]),
    "orientation": ("a.npz", arrays(X=ONES), "dataset.orientation=rows", ["dataset.orientation=rows"]),
    "image shape": (
        "a.npz",
        arrays(X=ONES),
        "dataset.image_shape=[2,2]",
        ["[2,2] is of 4 pixels", "there are 4 samples", "[3,2,2]"],
    ),
    "image sides": ("a.npz", arrays(X=ONES), "dataset.image_shape=[3]", ["image_shape=[3]", "[height,width]"]),
    "image number": ("a.npz", arrays(X=ONES), "dataset.image_shape=[3,x]", ["dataset.image_shape", "integer"]),
    "image text": ("a.npz", arrays(X=ONES), "dataset.image_shape=3x1", ["such as 'dataset.image_shape=[3,1]'"]),
    "image order": ("a.npz", arrays(X=ONES), "dataset.image_order=columns", ["needs", "dataset.image_shape"]),
    "labels": ("a.npz", arrays(X=ONES, y=[1, 2, 1, 2]), "dataset.labels=y", ["such as 'dataset.labels=[y]'"]),
    "too large": ("a.npz", arrays(X=ONES * 1e200), "", ["1e+200 as its largest entry", "scale the data"]),
    "too small": ("a.npz", arrays(X=ONES * 1e-200), "", ["1e-200 as its largest entry", "scale the data"]),
    "sides": ("a.mtx", text(f"{MTX}\n{2**62} 3 1\n1 1 1\n"), "", ["expected sides of at most"]),
    "cut short": ("a.mtx", text(f"{MTX}\n3 3 4\n1 1 1\n"), "", ["has 1 entries, but says 4"]),
    "delimiter": ("a.csv", text("a;b\n1;2\n"), "dataset.delimiter=x", ["cells are separated by ';', expected 'x'"]),
    "no header": ("a.csv", text("0.5,1,3\n2,0,1\n"), "", ["first line (0.5, 1, 3) may be a header", "dataset.header"]),
    "empty column": ("a.csv", text("a,b,c\n1,2,\n3,4,\n"), "", ["column 'c' is empty"]),
    "ragged": ("a.csv", text("a,b\n1,2\n3\n"), "", ["line 3 has 1 cells, expected 2"]),
    "text": ("a.csv", text("a,b\n1,2\n3,oops\n"), "", ["column 'b' holds 'oops' in row 2"]),
    "header twice": ("a.csv", text("a,a\n1,2\n"), "", ["'a' twice"]),
    "header alone": ("a.csv", text("a,b\n"), "", ["no rows"]),
    "labels alone": ("a.csv", text("a,y\ns,1\nt,2\n"), "dataset.labels=[y]", ["no column is left"]),
    "empty label": ("a.csv", text("a,y\n1,p\n2,\n"), "dataset.labels=[y]", ["y has one class only (p)"]),
    "not UTF-8": (
        "a.csv",
        lambda path: path.write_bytes(b"a,b\n1,\xff\n"),
        "",
        ["it is not utf-8 text (byte 0xff at 6)", "latin-1"],
    ),
    "x of a table": ("a.csv", text("a,b\n1,2\n"), "dataset.x=a", ["dataset.x=a"]),
}


def npy(array):
    import io as streams

    np.save(buffer := streams.BytesIO(), array)
    return buffer.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_gives_one_line_and_nothing_is_written(command, tmp_path_factory, case):
    name, make, more, named = BAD[case]
    path = tmp_path_factory.mktemp("bad") / name
    make(path)
    result = command("dataset=file", f"dataset.path={path}", "layers=2", "max_iter=2", *more.split())
    assert result.status == 2
    assert result.files == []
    assert result.out == ""
    assert result.err.count("\n") == 1
    assert result.err.startswith("nnmf-run: ")
    assert [part for part in named if part not in result.err] == []


def test_no_path_is_refused(command):
    result = command("dataset=file")
    assert (result.status, result.files) == (2, [])
    assert result.err.startswith("nnmf-run: dataset.path is missing.")


SAMPLE = Path(__file__).parents[3] / "shared" / "data" / "newsgroups_200.mat"


@pytest.mark.slow
@pytest.mark.skipif(not SAMPLE.exists(), reason="needs a sample of the newsgroups, which the project does not carry")
def test_labels_help_on_text_without_tuning(configure, tmp_path):
    """A linear support vector machine has 0.51 on this split, labels in the last layer of hier alone 0.36."""
    config = configure(
        "dataset=file",
        f"dataset.path={SAMPLE}",
        "dataset.x=X_subsampled",
        "dataset.labels=[sub_cats,super_cats]",
        "dataset.known=known60",
        "dataset.orientation=features_by_samples",
        "label_fraction=0.75",
        "layers=[10,6]",
        "init.fill=random",
        f"output={tmp_path}",
    )
    records = [run_one(config, seed).record for seed in range(3)]
    assert np.mean([record["metrics"]["accuracy_unknown"] for record in records]) >= 0.5
    assert all(record["status"] == "done" for record in records)


@pytest.mark.parametrize("name", ["a (1).npz", "zähl, [x].npz", "it's a=b.npz"])
def test_a_path_is_taken_as_it_is_typed(command, tmp_path_factory, file, name):
    path = tmp_path_factory.mktemp("it's (here)") / name
    shutil.copy(file, path)
    result = command("dataset=file", f"dataset.path={path}", "layers=2", "max_iter=2", "output=results (é)")
    assert (result.status, result.err.count("\n")) == (0, 3)  # zeros, arrays that are not used, how it ended
    assert any(name.startswith("results (é)/runs/") for name in result.files)


TENSOR = "# count\n1 1 1 2\n2 1 1 1.5\n2 3 2 1\n1 2 4 3\n3 3 3 1\n"


def test_a_tensor_is_the_matrix_of_its_fibres_to_every_method(command, tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    (folder / "a.tns").write_text(TENSOR)
    (folder / "words.txt").write_text("a\nb\nc\n")
    options = ["dataset.sample_mode=2", "dataset.mode_names=[day,word,place]", "dataset.entries=[null,words.txt,null]"]
    given = ["dataset=file", f"dataset.path={folder / 'a.tns'}", *options, "layers=[2,1]", "max_iter=5"]
    for method in ("hier", "neural", "semi", "sparse_coding"):
        layers = ["layers=2"] if method == "sparse_coding" else []
        result = command(*given, f"method={method}", *layers, "init=random")
        assert result.status == 0, result.err


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        ("1 1 x 2\n", [], "line 7 is '1 1 x 2'"),
        ("1 1 1 2\n", [], "(1, 1, 1) stands twice"),
        ("1 1 2 -1\n", ["dataset.sample_mode=0"], "has to be nonnegative"),
        ("", ["dataset.sample_mode=3"], "dataset.sample_mode=3 does not exist in data of shape (3, 3, 4)"),
        ("", ["dataset.sample_mode=x"], "dataset.sample_mode=x"),
        ("", ["dataset.shape=[2,3,4]"], "(3, 3, 3), out of range for mode 0 of size 2: expected indices from 1 to 2"),
        ("", ["dataset.entries=[null,words.txt,null]"], "words.txt"),
        ("4000000000 1 4000000000 1\n", ["dataset.sample_mode=1"], "product of at most 2**62"),
        ("", ["dataset.sample_mode=1", "dataset.shape=[1000000000,3,4000000000]"], "of memory"),
    ],
)
def test_a_damaged_tensor_is_refused_in_one_line(command, tmp_path_factory, text, options, said):
    path = tmp_path_factory.mktemp("data") / "a.tns"
    path.write_text(TENSOR + text)
    result = command("dataset=file", f"dataset.path={path}", "layers=2", "method=hier", *options)
    assert result.status == 2
    assert said in result.err
    assert result.err.startswith("nnmf-run: ")
    assert result.err.count("\n") == 1
    assert result.files == []
