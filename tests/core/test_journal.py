"""Journals of evaluations: a fit that is begun again meets what it was told before."""

from __future__ import annotations

import numpy as np
import pytest

from nnmf_runner.core.journal import Journal

POINTS = [[np.full((2, 3), step), np.full((3, 1), -step)] for step in (1.0, 2.0, 3.0)]


class Counted:
    """An evaluation, and how often it was asked for."""

    def __init__(self):
        self.count = 0

    def of(self, variables):
        def evaluate():
            self.count += 1
            return float(variables[0].sum()), [2.0 * variable for variable in variables]

        return evaluate


def told(path, points, key="fit"):
    """What a fit is told at these points, and how many were evaluated for it."""
    journal, counted = Journal(path, key), Counted()
    return [journal.evaluated(point, counted.of(point)) for point in points], counted.count


@pytest.fixture
def path(tmp_path):
    return tmp_path / "evaluations"


def assert_right(found, points):
    for (value, gradients), point in zip(found, points, strict=True):
        assert value == point[0].sum()
        assert all(map(np.array_equal, gradients, [2.0 * variable for variable in point]))


def test_what_is_noted_is_not_evaluated_again(path):
    assert told(path, POINTS[:2])[1] == 2
    found, count = told(path, POINTS)
    assert count == 1
    assert_right(found, POINTS)
    assert told(path, POINTS)[1] == 0


@pytest.mark.parametrize("lost", [1, 30, 100])
def test_half_a_note_is_none(path, lost):
    told(path, POINTS)
    path.write_bytes(path.read_bytes()[:-lost])
    found, count = told(path, POINTS)
    assert count == 1
    assert_right(found, POINTS)


def test_a_damaged_note_is_none(path):
    told(path, POINTS)
    data = bytearray(path.read_bytes())
    data[40] ^= 1  # in the first value
    path.write_bytes(bytes(data))
    found, count = told(path, POINTS)
    assert count == 3
    assert_right(found, POINTS)


def test_another_way_leaves_the_journal_behind(path):
    told(path, POINTS)
    other = [POINTS[0], POINTS[2], POINTS[1]]
    found, count = told(path, other)
    assert count == 2
    assert_right(found, other)


def test_a_journal_is_of_one_key(path):
    told(path, POINTS)
    assert told(path, POINTS, "other data")[1] == 3
