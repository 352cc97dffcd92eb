"""What is kept of weighted counts: texts get the weights that scikit-learn gives them, and damage is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

from nnmf_runner.core.checks import InputError
from nnmf_runner.datasets.text.words import Documents
from nnmf_runner.datasets.vocabulary import Vocabulary
from tests.datasets.text.test_words import TEXTS, Given

NEW = ["Colour of the DOCTOR doctor", "shader, pixel; zebra", "zebra", ""]


def kept(**options):
    """What a run on the texts keeps, from JSON, and their words."""
    source = Given(**options)
    dataset = source.weighted(lambda: Documents(TEXTS, []))
    return json.loads(json.dumps(dataset.weights)), dataset.feature_names


@pytest.mark.parametrize(
    ("options", "of_sklearn"),
    [
        ({}, {}),
        ({"norm": "l1", "sublinear": True}, {"norm": "l1", "sublinear_tf": True}),
        ({"idf": False, "norm": None, "lowercase": False}, {"use_idf": False, "norm": None, "lowercase": False}),
        ({"min_df": 2, "stop_words": ["the", "doctor"]}, {"min_df": 2, "stop_words": ["the", "doctor"]}),
        ({"max_features": 3, "stop_words": None}, {"max_features": 3, "stop_words": None}),
    ],
)
def test_new_texts_have_the_weights_that_scikit_learn_gives_them(options, of_sklearn):
    text = pytest.importorskip("sklearn.feature_extraction.text")
    theirs = text.TfidfVectorizer(**{"stop_words": "english"} | of_sklearn).fit(TEXTS)
    ours = Vocabulary.of(*kept(**options))
    found = ours.weigh(ours.counts(NEW), "X")
    np.testing.assert_allclose(found.toarray(), theirs.transform(NEW).toarray().T, rtol=1e-14)
    assert ours.recipe == Given(**options).recipe


def test_stop_words_of_a_file_are_kept_as_words(tmp_path):
    (tmp_path / "stop.txt").write_text("the colour")
    assert Given(stop_words=str(tmp_path / "stop.txt")).recipe["stop_words"] == ["colour", "the"]


@pytest.mark.parametrize(
    "damage",
    [
        {"idf": None},
        {"options": {"idf": True, "norm": "l7", "sublinear": False}},
        {"options": {"idf": True, "norm": [], "sublinear": False}},
        {"options": {"sublime": True}},
        {"options": {"lowercase": "yes", "stop_words": None}},
        {"options": {"lowercase": True, "stop_words": "/etc/passwd"}},
        {"options": {"lowercase": True, "stop_words": [1]}},
    ],
    ids=str,
)
def test_what_is_damaged_or_names_a_path_is_refused(damage):
    pytest.importorskip("sklearn")
    good, words = kept()
    with pytest.raises(InputError, match="weights of words is damaged"):
        Vocabulary.of(good | damage, words)
    with pytest.raises(InputError, match="weights of words is damaged"):
        Vocabulary.of(good, None)
    with pytest.raises(InputError, match="weights of words is damaged"):
        Vocabulary.of(good, [*words[:-1], words[0]])
