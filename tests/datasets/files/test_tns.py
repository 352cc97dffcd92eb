"""Tensors as lines of indices and a value."""

from __future__ import annotations

import gzip
import tracemalloc

import numpy as np
import pytest

from nnmf_runner.core.checks import InputError
from nnmf_runner.datasets.files import number_lines
from nnmf_runner.datasets.files.tns import read_tns
from nnmf_runner.datasets.modes import unfolded
from tests.fixtures.tables import lines_of, load


@pytest.fixture
def tensor(rng):
    array = np.round(rng.random((3, 4, 2, 5)) * (rng.random((3, 4, 2, 5)) < 0.3), 3)
    array[-1, -1, -1, -1] = 1.5
    return array


@pytest.mark.parametrize("mode", [None, 0, 1, 2, 3])
@pytest.mark.parametrize("name", ["a.tns", "a.TNS.gz"])
def test_what_was_written_is_read(tmp_path, tensor, name, mode):
    text = ("# a comment\n\n" + lines_of(tensor)).encode()
    (tmp_path / name).write_bytes(gzip.compress(text) if name.endswith("gz") else text)
    dataset = load(tmp_path / name, sample_mode=mode)
    mode = mode or 0
    np.testing.assert_array_equal(dataset.X.toarray(), unfolded(tensor, mode))
    assert dataset.modes.shape == (*np.delete(tensor.shape, mode), tensor.shape[mode])


def test_chunks_do_not_show(tmp_path, tensor, monkeypatch):
    (tmp_path / "a.tns").write_text(lines_of(tensor))
    whole = load(tmp_path / "a.tns").X
    monkeypatch.setattr(number_lines, "CHUNK", 20)
    np.testing.assert_array_equal(load(tmp_path / "a.tns").X.toarray(), whole.toarray())


def test_values_and_indices_may_be_written_as_any_number(tmp_path):
    (tmp_path / "a.tns").write_text("1 1.0 2e0\t4D-1 # one\r\n2 1 1 +3\n")
    np.testing.assert_array_equal(load(tmp_path / "a.tns", sample_mode=2).X.toarray(), [[0.0, 0.4], [3.0, 0.0]])


def test_indices_beyond_32_bits_are_exact(tmp_path):
    large = 2**40 + 1
    (tmp_path / "a.tns").write_text(f"1 1 1 1\n{large} 1 2 3\n")
    dataset = load(tmp_path / "a.tns", sample_mode=2)
    assert dataset.modes.shape == (large, 1, 2)
    assert dataset.X.indices.tolist() == [0, large - 1]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("1 2 x 4", "line 4 is '1 2 x 4', expected 3 indices, which count from 1, and a value"),
        ("1 2 3", "line 4 is '1 2 3', expected 3 indices"),
        ("1 2 3 4 5", "line 4 is '1 2 3 4 5', expected 3"),
        ("0 2 3 4", "line 4 is '0 2 3 4', expected 3 indices, which count from 1"),
        ("-1 2 3 4", "line 4"),
        ("1.5 2 3 4", "line 4"),
        ("9007199254740993 1 1 1", "line 4"),
        ("1 1 1 nan", "line 4 is '1 1 1 nan'"),
        ("1 1 1 1e999", "line 4"),
        ("1_1 1 1 1", "line 4"),
        ("1 2 1 1", r"\(1, 2, 1\) stands twice"),
    ],
)
def test_a_damaged_line_is_refused_with_its_number(tmp_path, monkeypatch, line, said):
    (tmp_path / "a.tns").write_text(f"# comment\n1 2 1 0.5\n\n{line}\n2 2 2 1\n")
    for chunk in (2**18, 12):
        monkeypatch.setattr(number_lines, "CHUNK", chunk)
        with pytest.raises(InputError, match=said):
            load(tmp_path / "a.tns")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("3\n", "line 1 is '3', expected indices"),
        ("# nothing\n", "no entries"),
        ("3 1\n", "1 dimensions"),
        ("1 1 999999999999 1\n", "mode of the samples"),
        ("4000000000 4000000000 1 1\n", r"2\*\*62"),
    ],
)
def test_what_is_no_tensor_is_refused(tmp_path, text, said):
    (tmp_path / "a.tns").write_text(text)
    with pytest.raises(InputError, match=said):
        load(tmp_path / "a.tns", sample_mode=0 if "dimensions" in said else 2)


def test_negative_entries_are_for_the_method_to_refuse(tmp_path):
    (tmp_path / "a.tns").write_text("1 1 1 -1\n1 2 2 2\n")
    assert load(tmp_path / "a.tns").X.min() == -1.0


def test_two_indices_are_those_of_a_matrix(tmp_path):
    (tmp_path / "a.tns").write_text("1 2 5\n3 1 6\n")
    dataset = load(tmp_path / "a.tns", orientation="features_by_samples")
    assert dataset.modes is None
    np.testing.assert_array_equal(dataset.X.toarray(), [[0, 5], [0, 0], [6, 0]])


def test_a_line_without_an_end_is_noted(tmp_path):
    (tmp_path / "a.tns").write_text("1 1 1 1\n1 1 2 12")
    assert len(read_tns(tmp_path / "a.tns").arrays["X"].notes) == 1


def test_memory_is_linear_in_the_entries(tmp_path):
    peaks = []
    for count in (20_000, 80_000):
        entries = (f"{i % 1000 + 1} {i * i % 1_000_003 + 1} {i + 1} 1\n" for i in range(count))
        (tmp_path / "a.tns").write_text("".join(entries))
        tracemalloc.start()
        load(tmp_path / "a.tns", sample_mode=0)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 150 * 60_000
