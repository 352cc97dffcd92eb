"""One independent stream of random numbers for each purpose of a seed."""

import numpy as np
import pytest

from nnmf_runner.core.streams import STREAMS, stream


@pytest.mark.parametrize("seed", [0, 1, 2**40, 2**200])
def test_streams_are_the_children_of_the_seed(seed):
    children = np.random.SeedSequence(seed).spawn(len(STREAMS))
    for name, child in zip(STREAMS, children, strict=True):
        np.testing.assert_array_equal(stream(seed, name).random(5), np.random.default_rng(child).random(5))


def test_a_stream_begins_anew_whatever_was_drawn_from_others():
    first = stream(3, "init").random(4)
    stream(3, "labels").random(100)
    np.testing.assert_array_equal(stream(3, "init").random(4), first)


def test_streams_and_seeds_do_not_share_numbers():
    draws = {stream(seed, name).random() for seed in range(20) for name in STREAMS}
    assert len(draws) == 20 * len(STREAMS)


def test_streams_are_not_correlated():
    draws = np.array([stream(0, name).random(4000) for name in STREAMS])
    off_diagonal = np.corrcoef(draws)[~np.eye(len(STREAMS), dtype=bool)]
    assert np.abs(off_diagonal).max() < 5.0 / np.sqrt(4000)  # five standard deviations


def test_a_purpose_without_a_stream_is_an_error():
    with pytest.raises(ValueError, match="not in tuple"):
        stream(0, "nonsense")
