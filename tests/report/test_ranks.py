"""The choice of ranks as files and in the terminal."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest

from nnmf_runner.metrics.rank_profile import Pair, make_profile
from nnmf_runner.report.ranks import rank_table, write_ranking


@pytest.fixture
def profile(rng):
    """Data of rank three, whose halves agree there."""
    X, ranks = rng.random((12, 3)) @ rng.random((3, 14)) + 1e-3 * rng.random((12, 14)), range(2, 6)
    pairs = {k: [Pair(A := rng.random((12, k)), A if k == 3 else rng.random((12, k)))] for k in ranks}
    return make_profile(X, None, pairs.items(), {k: [0.5 if k > 2 else 1.0] for k in ranks})


def test_the_table_has_a_line_for_every_rank_and_a_star_at_those_that_are_chosen(profile):
    header, *lines = rank_table(profile).splitlines()
    assert header.split()[:2] == ["rank", "spectrum"]
    assert [line.split()[0] for line in lines] == ["2", "*", "4", "5"]
    assert lines[1].endswith("split halves, spectrum, bi-cross-validation")
    assert all(line == line.rstrip() for line in lines)


def test_figure_table_and_json_are_written(profile, tmp_path):
    written = [path.relative_to(tmp_path).as_posix() for path in write_ranking(profile, "my $ data", tmp_path)]
    assert written == [
        f"report/{name}" for name in ("ranks.json", "ranks.csv", "figures/ranks.png", "figures/ranks.pdf")
    ]
    found = json.loads((tmp_path / "report" / "ranks.json").read_text())
    assert (found["dataset"], found["layers"], found["verdict"]) == ("my $ data", [3], "layers=3")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "report" / "ranks.csv").read_text())))
    assert [row["rank"] for row in rows] == ["2", "3", "4", "5"]
    assert [row["chosen"] for row in rows] == ["False", "True", "False", "False"]
    np.testing.assert_allclose([float(row["halves_cosine"]) for row in rows], profile.criteria.halves.values)
