"""How much may be read from a file."""

from __future__ import annotations

import pytest

from nnmf_runner.datasets.files import bounds


def test_a_file_may_unpack_to_some_times_its_size(tmp_path):
    (tmp_path / "a").write_bytes(b"1")
    assert bounds.most_unpacked(tmp_path / "a") == bounds.FREE
    with (tmp_path / "a").open("wb") as file:
        file.truncate(bounds.FREE)
    assert bounds.most_unpacked(tmp_path / "a") == bounds.RATIO * bounds.FREE


@pytest.mark.parametrize(("size", "text"), [(5, "5 bytes"), (2500, "2.5 kB"), (4.29e9, "4.29 GB"), (1e15, "1e+03 TB")])
def test_sizes_are_shown_in_units(size, text):
    assert bounds.in_units(size) == text
