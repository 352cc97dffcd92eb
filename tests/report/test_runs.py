"""Sizes and ages as people read them."""

from __future__ import annotations

import pytest

from nnmf_runner.report.runs import age_text, size_text


@pytest.mark.parametrize(
    ("size", "told"), [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (999_600, "1 MB"), (2.5e9, "2.5 GB")]
)
def test_sizes(size, told):
    assert size_text(size) == told


@pytest.mark.parametrize(
    ("age", "told"), [(-3.0, "0 s"), (59.9, "59 s"), (60, "1 min"), (7300, "2 h"), (200_000, "2 d")]
)
def test_ages(age, told):
    assert age_text(age) == told
