"""What a method does not see: entries that are missing or held out, and labels that are not drawn."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from nnmf_runner import task as material
from nnmf_runner.core.checks import InputError
from nnmf_runner.core.streams import stream
from nnmf_runner.datasets import Dataset
from nnmf_runner.datasets.base import Loader
from nnmf_runner.datasets.modes import Modes
from nnmf_runner.datasets.visible import draw_known, visible_entries
from nnmf_runner.report.collect import collect
from nnmf_runner.running.run import run_one
from nnmf_runner.store.record import read_factors

FRACTIONS = np.linspace(0.0, 1.0, 101)
SIZES = {"subtopics": [10, 10, 5, 7, 5, 20, 10, 9, 14], "supertopics": [32, 58], "rare": [1, 2, 100]}


def labels_of(sizes, seed=0):
    return np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))


def drawn(labels, fraction, seed=0):
    return draw_known(labels, float(fraction), np.random.default_rng(seed))


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_no_class_is_left_without_a_label(sizes):
    labels = labels_of(sizes)
    for fraction in (1e-9, 0.01, *FRACTIONS[1:]):
        assert set(labels[drawn(labels, fraction)]) == set(labels)


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_the_share_is_right_in_all_and_in_every_class(sizes):
    labels = labels_of(sizes)
    for fraction in FRACTIONS[1:]:
        known = drawn(labels, fraction)
        counts = np.bincount(labels[known], minlength=len(sizes))
        share = fraction * np.array(sizes)
        # within one of the share; classes that would have none get one
        assert (np.abs(counts - share) <= 1.0).all()
        added = (share < 1.0).sum()
        assert -0.5 <= known.sum() - fraction * len(labels) <= 0.5 + added


@pytest.mark.parametrize("fraction", [0.05, 0.1, 0.4, 0.75])
def test_nearly_equal_shares_are_drawn_of_the_finest_classes(fraction):
    fine = labels_of([10] * 12)
    coarse = fine // 4
    known = draw_known(coarse, fraction, np.random.default_rng(1), fine)
    plain = draw_known(coarse, fraction, np.random.default_rng(1))
    np.testing.assert_array_equal(np.bincount(coarse[known]), np.bincount(coarse[plain]))
    assert np.ptp(np.bincount(fine[known], minlength=12)) <= 1
    more = draw_known(coarse, min(1.0, 1.5 * fraction), np.random.default_rng(1), fine)
    assert more[known].all()


def test_nothing_and_everything():
    labels = labels_of(SIZES["subtopics"])
    assert not drawn(labels, 0.0).any()
    assert drawn(labels, 1.0).all()


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_larger_fractions_contain_smaller_ones(sizes):
    labels = labels_of(sizes)
    sets = [drawn(labels, fraction) for fraction in FRACTIONS]
    lost = [f"{b:.2f}" for b, less, more in zip(FRACTIONS[1:], sets, sets[1:], strict=False) if (less & ~more).any()]
    assert lost == []


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_columns_without_a_label_are_not_drawn_and_change_no_draw(sizes, rng):
    labels = np.where(rng.random(sum(sizes)) < 0.3, -1, labels_of(sizes))
    fine = np.where(labels < 0, -1, rng.integers(0, 5, len(labels)))
    labelled = labels >= 0
    for fraction in FRACTIONS:
        for finest in (None, fine):
            known = draw_known(labels, fraction, np.random.default_rng(0), finest)
            left = None if finest is None else finest[labelled]
            alone = draw_known(labels[labelled], fraction, np.random.default_rng(0), left)
            np.testing.assert_array_equal(known[labelled], alone)
            assert not known[~labelled].any()


def test_columns_that_the_finest_labels_alone_know_are_drawn_in_their_share(rng):
    fine = labels_of([20] * 6)
    coarse = np.where(rng.random(120) < 0.5, -1, fine // 3)
    fine[rng.random(120) < 0.2] = -1
    labelled = (fine >= 0) | (coarse >= 0)
    for fraction in (0.1, 0.5):
        known = draw_known(coarse, fraction, np.random.default_rng(0), fine)
        assert abs(known.sum() - fraction * labelled.sum()) <= 0.5
        for c in (-1, 0, 1):
            assert abs((known & (coarse == c)).sum() - fraction * (labelled & (coarse == c)).sum()) <= 1.0
    np.testing.assert_array_equal(draw_known(coarse, 1.0, np.random.default_rng(0), fine), labelled)


def test_labels_come_from_the_seed():
    labels = labels_of(SIZES["subtopics"])
    np.testing.assert_array_equal(drawn(labels, 0.4, 3), drawn(labels, 0.4, 3))
    assert (drawn(labels, 0.4, 3) != drawn(labels, 0.4, 4)).any()


def visible(config, dataset, rng):
    return visible_entries(dataset, config.mask, config.holdout, rng)


@pytest.fixture
def data(monkeypatch, configure):
    """Put other data in the place of the toy data."""

    def put(X):
        dataset = Dataset("other", X)
        monkeypatch.setattr(type(configure().dataset), "load", lambda self, rng: dataset)
        monkeypatch.setattr(material, "_loader", Loader())  # which remembers what was there before
        return dataset

    return put


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_the_share_asked_for_is_held_out_of_what_is_known(configure, share, rng):
    X = rng.random((20, 30))
    X[rng.random(X.shape) < 0.2] = np.nan
    entries = visible(configure(f"holdout={share}", "layers=3"), Dataset("d", X), stream(0, "holdout"))
    held, known = np.isfinite(entries.heldout), np.isfinite(X)
    assert held.sum() == round(share * known.sum())
    assert not (held & ~known).any()
    np.testing.assert_array_equal(entries.mask, known & ~held)
    assert not entries.X[~entries.mask].any()


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
def test_entries_may_be_negative_where_they_are_signed_alone(rng, form):
    X = rng.standard_normal((6, 5))
    entries = visible_entries(Dataset("d", form(X)), None, 0.0, rng, signed=True)
    np.testing.assert_array_equal(entries.X if form is np.asarray else entries.X.toarray(), X)
    with pytest.raises(InputError, match=r"^The data has to be nonnegative\. Negative values in data: the lowest is -"):
        visible_entries(Dataset("d", form(X)), None, 0.0, rng, name="The data")
    with pytest.raises(InputError, match=r"^X holds only zeros"):
        visible_entries(Dataset("d", form(0.0 * X)), None, 0.0, rng, signed=True)


def test_signed_entries_are_held_out_and_left_out(rng, tmp_path):
    X, mask = -rng.random((6, 5)), np.ones((6, 5), bool)
    X[0, 1], mask[2, 3] = np.nan, False
    np.save(tmp_path / "mask.npy", mask)
    entries = visible_entries(Dataset("d", X), str(tmp_path / "mask.npy"), 0.25, rng, signed=True)
    held = np.isfinite(entries.heldout)
    assert held.sum() == 7
    assert not (held | entries.mask)[[0, 2], [1, 3]].any()
    np.testing.assert_array_equal(
        np.where(held, entries.heldout, entries.X)[held | entries.mask], X[held | entries.mask]
    )


def test_what_is_held_out_does_not_enter_the_fit(configure, data, tmp_path, rng):
    X = rng.random((20, 30))
    config = configure("holdout=0.3", "layers=[4,2]", "max_iter=20", f"output={tmp_path}", "force=true")
    hidden = np.isfinite(visible(config, Dataset("d", X), stream(0, "holdout")).heldout)
    outcomes = []
    for values in (X, np.where(hidden, 100.0 * X, X)):
        data(values)
        outcome = run_one(config, 0)
        outcomes.append((outcome.record["metrics"], read_factors(outcome.folder)))
    (one, factors), (other, again) = outcomes
    assert all(np.array_equal(factors[name], again[name]) for name in factors)
    assert one["relative_error"] == other["relative_error"]
    assert one["heldout_error"] < 0.9 < other["heldout_error"]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["neural", "deep", "hier_mu", "sparse_coding"])
def test_recorded_errors_are_those_of_the_factors(configure, data, tmp_path, rng, method):
    X = rng.random((20, 30))
    data(X)
    config = configure(f"method={method}", "holdout=0.2", "layers=[4,2]", "max_iter=20", f"output={tmp_path}", "seed=3")
    held = np.isfinite(visible(config, Dataset("d", X), stream(3, "holdout")).heldout)
    outcome = run_one(config, 3)
    factors = read_factors(outcome.folder)
    V = factors["A0"] @ factors["A1"] @ factors["S1"]
    metrics, layer = outcome.record["metrics"], outcome.record["layers"][1]
    for name, entries in (("relative_error", ~held), ("heldout_error", held)):
        assert metrics[name] == pytest.approx(np.linalg.norm((X - V)[entries]) / np.linalg.norm(X[entries]), rel=1e-12)
        assert layer[name] == metrics[name]
    assert layer["floor"] is None
    table = collect(config.folder, figures=False)
    assert "Relative error of the entries held out" in table
    assert "| - |" in table  # no floor is known


def test_a_mask_file_and_nan_are_the_same(configure, data, tmp_path, rng):
    X, known = rng.random((20, 30)), rng.random((20, 30)) < 0.8
    np.save(tmp_path / "mask.npy", known)
    found = []
    for name, values, mask in (("a", X, f"mask={tmp_path / 'mask.npy'}"), ("b", np.where(known, X, np.nan), "seed=0")):
        data(values)
        overrides = ("layers=[4,2]", "max_iter=20", f"output={tmp_path}", f"name={name}", mask)
        found.append(read_factors(run_one(configure(*overrides), 0).folder))
    assert all(np.array_equal(found[0][name], found[1][name]) for name in found[0])


def test_the_content_of_a_mask_is_part_of_the_run(configure, tmp_path):
    identities = []
    for entry in (True, False):
        mask = np.ones((87, 90), bool)
        mask[0, 0] = entry
        np.save(tmp_path / "mask.npy", mask)
        identities.append(configure(f"mask={tmp_path / 'mask.npy'}").identity(0))
    assert identities[0] != identities[1]
    (tmp_path / "mask.npy").rename(tmp_path / "moved.npy")
    assert configure(f"mask={tmp_path / 'moved.npy'}").identity(0) == identities[1]


def test_a_mask_of_numbers_is_not_taken_for_the_booleans_it_equals(command, tmp_path):
    known = np.random.default_rng(0).random((87, 90)) < 0.8
    np.save(tmp_path / "mask.npy", known)
    assert command("layers=2", "max_iter=1", "mask=mask.npy").status == 0
    np.save(tmp_path / "mask.npy", known.astype(int))
    result = command("layers=2", "max_iter=1", "mask=mask.npy")
    assert result.status == 2
    assert "mask=mask.npy is of type int64" in result.err


@pytest.mark.parametrize("option", ["holdout=0.1", "regularisation={l1_A: 0.1, l1_S: 0.1}", "normalise=true"])
def test_every_option_makes_another_run(configure, option):
    assert configure(option).identity(0) != configure().identity(0)


def test_normalised_factors_have_the_same_products(configure, tmp_path):
    overrides = ("layers=[9,4,2]", f"output={tmp_path}", "max_iter=30")
    plain, unit = (run_one(configure(*overrides, f"normalise={flag}"), 0) for flag in ("false", "true"))
    before, after = read_factors(plain.folder), read_factors(unit.folder)
    for name in ("A0", "A1", "A2"):
        np.testing.assert_allclose(np.linalg.norm(after[name], axis=0), 1.0, rtol=1e-12)
    np.testing.assert_allclose(
        after["A0"] @ after["A1"] @ after["S1"], before["A0"] @ before["A1"] @ before["S1"], rtol=1e-9, atol=1e-12
    )
    for name in ("relative_error", "accuracy_fit"):
        assert unit.record["metrics"][name] == pytest.approx(plain.record["metrics"][name], rel=1e-9)


def saved(folder, array, **options):
    np.save(folder / "mask.npy", array, **options)
    return "mask=mask.npy"


BAD = {
    "holdout=1": (lambda folder: ["holdout=1"], r"holdout=1.0 is not valid. Expected a number in [0, 1)"),
    "holdout by hals": (
        lambda folder: ["method=hier", "holdout=0.1"],
        "method=hier with these options cannot leave out",
    ),
    "holdout by semi": (
        lambda folder: ["method=semi", "holdout=0.1"],
        "method=semi with these options cannot leave out",
    ),
    "mask of another shape": (lambda folder: [saved(folder, np.ones((3, 4), bool))], "(87, 90)"),
    "mask of numbers": (lambda folder: [saved(folder, np.ones((87, 90)))], "mask"),
    "mask of words": (lambda folder: [saved(folder, np.full((87, 90), "True"))], "mask=mask.npy is of type <U4"),
    "holdout of nothing": (lambda folder: ["holdout=1e-9"], "holdout=1e-09 hides 0 of 7830 entries"),
    "mask of nothing": (lambda folder: [saved(folder, np.zeros((87, 90), bool))], "no known entry"),
    "pickled mask": (lambda folder: [saved(folder, np.array([{}]), allow_pickle=True)], "mask=mask.npy cannot be read"),
    "missing mask": (lambda folder: ["mask=none.npy"], "mask=none.npy cannot be read: No such file"),
    "one side penalised": (lambda folder: ["regularisation.l1_A=0.1"], "Expected a penalty on S as well"),
    "negative penalty": (lambda folder: ["regularisation.l2_S=-1"], "regularisation.l2_S=-1"),
    "no such penalty": (lambda folder: ["regularisation.l3_A=1"], "regularisation.l3_A is not an option"),
    "penalty on unfolded": (
        lambda folder: ["method=unfolded", "layers=9", "regularisation={l1_A: 1, l1_S: 1}"],
        "method=unfolded with these options cannot penalise",
    ),
    "normalise unfolded": (lambda folder: ["method=unfolded", "layers=9", "normalise=true"], "normalise=false"),
    "kl by hals": (lambda folder: ["method=hier", "cost=kl"], "cost=kl needs method.solver=mu"),
    "kl labels by neural": (lambda folder: ["supervision.loss=kl"], "has no supervision.loss=kl"),
    "unfolded with ranks": (lambda folder: ["method=unfolded"], "layers has 3 ranks, expected one rank"),
    "beta": (lambda folder: ["method=unfolded", "layers=9", "method.beta=2.5"], "method.beta=2.5 is not valid"),
    "foreign option": (lambda folder: ["method=semi", "method.beta=1"], "It is one of: method=unfolded"),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", BAD)
def test_what_does_not_fit_is_refused_in_one_line_before_anything_is_written(command, tmp_path, case):
    make, message = BAD[case]
    result = command(*make(tmp_path))
    assert result.status == 2
    assert result.err.count("\n") == 1
    assert message in result.err
    assert [name for name in result.files if name != "mask.npy"] == []


@pytest.mark.parametrize("fibres", [60, 2**60])
def test_a_sparse_tensor_stays_by_columns(fibres):
    X = sparse.csc_array(([1.0, 2.0], np.array([fibres - 1, 0]), [0, 1, 2]), shape=(fibres, 2))
    modes = Modes.of((fibres // 10, 10, 2), 2)
    for dataset in (Dataset("tensor", X, modes=modes), Dataset("tensor", X.copy(), modes=modes)):
        seen = visible_entries(dataset, None, 0.0, np.random.default_rng(0))
        assert seen.X.format == "csc"
        assert seen.X.data.tolist() == [1.0, 2.0]


def test_entries_of_a_dense_tensor_may_be_held_out(rng):
    dataset = Dataset("tensor", rng.random((12, 5)), modes=Modes.of((3, 4, 5), 2))
    seen = visible_entries(dataset, None, 0.25, np.random.default_rng(0))
    assert (~seen.mask).sum() == 15
