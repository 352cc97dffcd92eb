"""The estimators that there are."""

from __future__ import annotations

import pickle

import pytest

import nnmf_runner
from nnmf_runner.estimators import ESTIMATORS


@pytest.mark.parametrize("kind", ESTIMATORS.values())
def test_estimators_are_found_again_by_pickle_and_as_public_names(kind):
    model = kind(layers=(2,), random_state=3)
    again = pickle.loads(pickle.dumps(model))
    assert type(again) is kind is getattr(nnmf_runner, kind.__name__)
    assert again.get_params() == model.get_params()
    with pytest.raises(TypeError):
        kind((2,), 0.5)  # all but the ranks are keywords
