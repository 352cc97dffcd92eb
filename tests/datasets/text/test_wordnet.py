"""WordNet from small files of the layout that wndb(5WN) describes."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from nnmf_runner.core.checks import InputError
from nnmf_runner.datasets.text.wordnet import Wordnet

LICENCE = "  1 This software and database is being provided to you | the LICENSEE  \n"
SYNSETS = {
    "adj": [("00", "a", "having colour"), ("01", "s", "of colour; relating"), ("00", "a", "bright colour")],
    "adv": [("02", "r", "in a bright manner")],
    "noun": [("05", "n", "large animal"), ("05", "n", 'small animal; "a | b bright"'), ("03", "n", "entity bright")],
    "verb": [("29", "v", "move air")],
}


def line(number, kind, gloss):
    return f"00001740 {number} {kind} 01 word 0 001 @ 00005041 v 0000 | {gloss}  \n"


@pytest.fixture
def wordnet(tmp_path):
    for part, synsets in SYNSETS.items():
        (tmp_path / f"data.{part}").write_text(2 * LICENCE + "".join(line(*synset) for synset in synsets))
    return tmp_path


def load(path, **options):
    pytest.importorskip("sklearn")
    return Wordnet(path=str(path), **{"min_df": 1, **options}).load(np.random.default_rng(0))


def test_glosses_are_samples_at_two_levels(wordnet):
    dataset = load(wordnet)
    # files 00, 01, 02, 03, 05, 29 and adj, adv, noun, verb
    assert [level.tolist() for level in dataset.labels] == [[0, 1, 0, 2, 4, 4, 3, 5], [0, 0, 0, 1, 2, 2, 2, 3]]
    assert dataset.X.shape == (len(dataset.feature_names), 8)
    np.testing.assert_allclose((dataset.X**2).sum(axis=0), 1.0, rtol=1e-12)
    assert not {"software", "licensee", "word"} & set(dataset.feature_names)


def test_a_gloss_begins_at_the_first_bar(wordnet):
    dataset = load(wordnet)
    used = np.flatnonzero(dataset.X[:, [5]].toarray().ravel())
    assert [dataset.feature_names[i] for i in used] == ["animal", "bright", "small"]


def test_synsets_are_called_by_their_words(wordnet):
    words = "03 domestic_dog 0 Canis_familiaris 1 galore(ip) a 000"
    (wordnet / "data.verb").write_text(f"00001740 29 v {words} 01 + 08 00 | move air  \n")
    assert load(wordnet).sample_names[-2:] == ["word", "domestic dog, Canis familiaris, galore"]


def test_weights_may_be_counts(wordnet):
    dataset = load(wordnet, idf=False, norm=None)
    assert set(dataset.X.data) == {1.0}
    assert dataset.X[dataset.feature_names.index("bright")].sum() == 4


def common(dataset, file, *words):
    """How often two words stand together, by the tensor."""
    files, words_of, _ = dataset.modes.entries
    tensor = dataset.X.toarray().reshape(dataset.modes.shape)
    return tensor[files.index(file), words_of.index(words[0]), words_of.index(words[1])]


def test_a_tensor_counts_pairs_of_words_in_the_glosses_of_a_file(wordnet):
    dataset = load(wordnet, tensor=True)
    assert dataset.modes.names == ("file", "word", "word")
    assert dataset.modes.entries[0] == ["adj.all", "adj.pert", "adv.all", "noun.Tops", "noun.animal", "verb.body"]
    assert dataset.X.format == "csc"
    assert dataset.sample_names == dataset.modes.entries[1] == dataset.modes.entries[2]
    assert common(dataset, "adj.all", "having", "colour") == 1
    assert common(dataset, "adj.all", "bright", "colour") == 1
    assert common(dataset, "adj.all", "bright", "having") == 0
    assert common(dataset, "noun.animal", "animal", "large") == common(dataset, "noun.animal", "large", "animal") == 1
    assert common(dataset, "noun.animal", "animal", "animal") == 0


def test_counts_of_pairs_are_those_of_the_documents(wordnet):
    counts, glosses = load(wordnet, tensor=True), load(wordnet, idf=False, norm=None)
    assert counts.modes.entries[1] == glosses.feature_names
    for file in range(6):
        occurs = (glosses.X[:, glosses.labels[0] == file].toarray() > 0).astype(float)
        pairs = occurs @ occurs.T
        np.fill_diagonal(pairs, 0.0)
        np.testing.assert_array_equal(counts.X.toarray().reshape(counts.modes.shape)[file], pairs)


def test_files_may_be_the_samples_of_the_tensor(wordnet):
    words, files = load(wordnet, tensor=True), load(wordnet, tensor=True, sample_mode=0)
    tensor = words.X.toarray().reshape(words.modes.shape)
    np.testing.assert_array_equal(files.X.toarray().reshape(files.modes.shape), np.moveaxis(tensor, 0, -1))
    assert files.modes.names == ("word", "word", "file")
    assert files.sample_names == files.modes.entries[2]
    assert [files.class_names[0][i] for i in files.labels[0]] == ["adj", "adj", "adv", "noun", "noun", "verb"]
    assert words.labels == []


def test_counts_of_the_tensor_may_be_sublinear(wordnet):
    (wordnet / "data.adv").write_text(2 * line("02", "r", "in a bright manner"))
    plain, sublinear = load(wordnet, tensor=True), load(wordnet, tensor=True, sublinear=True)
    assert plain.X.data.max() == 2.0
    np.testing.assert_allclose(sublinear.X.data, 1.0 + np.log(plain.X.data), rtol=1e-15)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"sample_mode": 1}, "dataset.sample_mode=1 needs dataset.tensor=true"),
        ({"tensor": True, "sample_mode": 3}, "dataset.sample_mode=3 is not valid"),
        ({"tensor": 1}, "dataset.tensor=1 is not valid"),
        ({"tensor": True, "idf": False}, "dataset.idf=False changes nothing with dataset.tensor=true"),
        ({"tensor": True, "norm": None}, "dataset.norm=None changes nothing"),
        ({"tensor": True, "keep_empty": True}, "dataset.keep_empty=True changes nothing"),
    ],
)
def test_options_that_the_tensor_does_not_have_are_refused(options, said):
    with pytest.raises(InputError, match=said):
        Wordnet(**options)


def test_rare_words_are_left_out_by_default(wordnet):
    assert Wordnet(path=str(wordnet)).min_df == 5


def test_the_identity_is_what_the_files_hold(wordnet):
    same = Wordnet(path=str(wordnet)).identity()
    assert Wordnet(path=f"{wordnet}/.").identity() == same
    with (wordnet / "data.verb").open("a") as file:
        file.write(line("30", "v", "change"))
    assert Wordnet(path=str(wordnet)).identity() != same


def test_other_files_are_refused(wordnet):
    with pytest.raises(InputError, match=r"does not exist.*apt install wordnet-base"):
        load(wordnet / "absent")
    (wordnet / "data.adv").write_text(LICENCE + "0001 nonsense\n")
    with pytest.raises(InputError, match=r"line 2 of data\.adv is not a synset"):
        load(wordnet)
    (wordnet / "data.adv").unlink()
    with pytest.raises(InputError, match=r"holds no data\.adv"):
        load(wordnet)


def test_empty_files_are_refused(wordnet):
    for path in wordnet.iterdir():
        path.write_text("")
    with pytest.raises(InputError, match="no words to count"):
        load(wordnet)


def test_without_the_package_the_command_is_named(monkeypatch, wordnet):
    monkeypatch.setitem(sys.modules, "sklearn.feature_extraction.text", None)
    with pytest.raises(InputError, match=r"pip install 'nnmf-runner\[text\]'"):
        load(wordnet)
