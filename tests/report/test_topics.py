"""Topics for people: a planted tree of words is found, told as text and drawn; without names nothing is said."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from itertools import chain
from typing import ClassVar

import numpy as np
import pytest

from nnmf_runner import cli
from nnmf_runner.config import composition, engine
from nnmf_runner.datasets import DATASETS, Dataset
from nnmf_runner.datasets.pictures import Pictures
from nnmf_runner.methods.neural import Neural
from nnmf_runner.metrics.scoring import describe_topics
from nnmf_runner.report.collect import collect
from nnmf_runner.report.figures.topic_tree import topic_tree
from nnmf_runner.report.topics import (
    LEGEND,
    LEGEND_OF_MODES,
    LEGEND_OF_SAMPLES,
    LEGEND_OF_TREE,
    consensus_text,
    legend_of,
    samples_text,
    told,
    topics_markdown,
    tree_children,
    tree_rows,
    tree_text,
)
from nnmf_runner.report.variants import Shown
from nnmf_runner.running.run import Outcome, run_one
from nnmf_runner.store.form import WORDS
from nnmf_runner.store.record import read_record

TREE = {
    "science": {
        "space": ["orbit", "launch", "moon", "shuttle", "rocket"],
        "medicine": ["doctor", "patient", "disease", "cancer", "dose"],
    },
    "play": {
        "hockey": ["puck", "goalie", "rink", "skate", "coach"],
        "chess": ["bishop", "knight", "castle", "gambit", "rook"],
    },
}
GENERAL = {"science": ["research", "study", "data"], "play": ["game", "player", "win"]}
NAMES = [word for words in GENERAL.values() for word in words]
NAMES += [word for subtopics in TREE.values() for words in subtopics.values() for word in words]


@dataclass
class Corpus:
    """Documents of one subtopic each: its words, those of its supertopic, and some of its sibling's."""

    name: ClassVar[str] = "corpus"
    with_names: bool = True
    with_images: bool = False

    def load(self, rng: np.random.Generator) -> Dataset:
        columns = []
        for supertopic, subtopics in TREE.items():
            related = [word for words in subtopics.values() for word in words]
            for words in subtopics.values():
                mean = [
                    4.0 * (name in words) + 2.0 * (name in GENERAL[supertopic]) + 0.3 * (name in related)
                    for name in NAMES
                ]
                columns += list(rng.poisson(mean, (15, len(NAMES))))
        X = np.array(columns, dtype=float).T
        names, shape = NAMES if self.with_names else None, Pictures(2, 13) if self.with_images else None
        return Dataset(self.name, X, feature_names=names, pictures=shape)


@pytest.fixture(scope="module")
def corpus_run(tmp_path_factory):
    """A run on the corpus by its options and overrides; hierarchical, whose first layer is fitted for itself."""
    output = tmp_path_factory.mktemp("topics")
    composition.register_schema()

    def make(*overrides: str, **options: bool) -> Outcome:
        config = composition.resolve(engine.compose([f"output={output}", "method=hier", "layers=4-2", *overrides]))
        return run_one(dataclasses.replace(config, dataset=Corpus(**options)), config.seed)

    return make


@pytest.fixture
def outcome(corpus_run):
    return corpus_run()


@pytest.fixture
def known_corpus(monkeypatch):
    monkeypatch.setitem(DATASETS, Corpus.name, Corpus)


def planted(words):
    """The subtopic that words are of."""
    of = {word: name for subtopics in TREE.values() for name, own in subtopics.items() for word in own}
    found = {of[word] for word in words if word in of}
    assert len(found) == 1
    return found.pop()


def test_the_planted_words_and_tree_are_in_the_record(outcome):
    subtopics, supertopics = read_record(outcome.folder / "record.json")["topics"]
    assert sorted(planted(topic["words"][:5]) for topic in subtopics) == ["chess", "hockey", "medicine", "space"]
    assert all(topic["parent"] is None for topic in supertopics)
    for j, topic in enumerate(supertopics):
        own = [subtopics[i] for i, _ in tree_children(outcome.record["topics"], 1, j)]
        assert {planted(child["words"][:5]) for child in own} in [set(children) for children in TREE.values()]
        assert sum(topic["child_weights"]) == pytest.approx(1.0)
        assert topic["child_weights"] == sorted(topic["child_weights"], reverse=True)
    for topic in subtopics + supertopics:
        assert topic["weights"] == sorted(topic["weights"], reverse=True)
        assert sum(topic["weights"]) <= 1.0 + 1e-12


def test_words_of_a_subtopic_set_it_apart_from_its_sibling(outcome):
    for topic in outcome.record["topics"][0]:
        own = TREE["science"] | TREE["play"]
        assert set(topic["distinctive"][:5]) == set(own[planted(topic["words"][:5])])


def test_quality_of_the_words_is_in_the_record_and_its_table(outcome):
    layers, metrics = outcome.record["layers"], outcome.record["metrics"]
    assert all(0.0 < row["npmi"] <= 1.0 and 0.0 < row["diversity"] <= 1.0 for row in layers)
    assert (metrics["npmi"], metrics["diversity"]) == (layers[-1]["npmi"], layers[-1]["diversity"])
    markdown = collect(outcome.folder, figures=False)
    assert "Coherence (NPMI) of the top words" in markdown
    assert f"{metrics['diversity']:.3f}" in markdown


def test_the_scale_of_the_factors_changes_no_description(outcome, rng):
    A0, A1 = rng.random((26, 4)), rng.random((4, 2))
    fit = dataclasses.make_dataclass("Fit", ["A"])
    scale, above = rng.uniform(0.1, 10.0, 4), rng.uniform(0.1, 10.0, 2)
    config = dataclasses.make_dataclass("Config", ["method"])(Neural())
    dataset = Corpus().load(rng)
    before = describe_topics(config, dataset, fit([A0, A1]))
    after = describe_topics(config, dataset, fit([A0 * scale, A1 / scale[:, None] * above]))
    for ours, theirs in zip(chain(*before), chain(*after), strict=True):
        for name in ("words", "distinctive", "children", "parent"):
            assert ours[name] == theirs[name]
        for name in ("weights", "child_weights"):
            np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-12)


def test_normalised_factors_are_described_alike(corpus_run, outcome):
    assert tree_text(corpus_run("normalise=true").record["topics"]) == tree_text(outcome.record["topics"])


@pytest.mark.slow
@pytest.mark.parametrize("options", ["method=semi", "method=deep method.pooling=max", "method=unfolded layers=[4]"])
def test_other_kinds_of_factors_are_described(corpus_run, options):
    outcome = corpus_run(*options.split(), "max_iter=20")
    record = read_record(outcome.folder / "record.json")
    assert [len(layer) for layer in record["topics"]] == (ranks := record["config"]["layers"])
    assert all(weight > 0 for layer in record["topics"] for topic in layer for weight in topic["weights"])
    assert [sorted(rows) for rows in tree_rows(record["topics"])] == [list(range(rank)) for rank in ranks]
    topic_tree(record, "neural").savefig("/dev/null", format="png")


@pytest.mark.slow
def test_without_names_there_are_no_topics(corpus_run, known_corpus, capsys):
    outcome = corpus_run("max_iter=5", with_names=False)
    record = read_record(outcome.folder / "record.json")
    assert record["topics"] is None
    assert record["metrics"]["npmi"] is record["metrics"]["diversity"] is None
    assert "NPMI" not in collect(outcome.folder)
    assert not (outcome.folder / "report" / "topics.md").exists()
    assert not any(
        "topics" in path.name or "images" in path.name for path in (outcome.folder / "report" / "figures").iterdir()
    )
    cli._report({0: outcome})
    assert "NPMI" not in capsys.readouterr().out


def test_the_text_holds_the_planted_tree(outcome):
    lines = tree_text(outcome.record["topics"]).splitlines()
    assert len(lines) == 6
    groups = []
    for line in lines:
        if line.startswith("    "):
            groups[-1].add(planted(line.split()[2:7]))
            assert 0 < int(line.split()[1].removesuffix("%")) <= 100
        else:
            groups.append(set())
    assert sorted(map(sorted, groups)) == sorted(sorted(children) for children in TREE.values())


def topic(words="", parent=None, children=(), weights=(), apart=""):
    parts = {"words": words.split(), "weights": [], "distinctive": apart.split(), "parent": parent}
    return parts | {"children": list(children), "child_weights": list(weights)}


def test_text_of_a_tree_worked_by_hand():
    layers = [
        [topic("a b", parent=1), topic("c", parent=0, apart="c d"), topic(parent=None)],
        [topic("c", children=[1, 0], weights=[0.75, 0.25]), topic("a", children=[0, 1], weights=[0.95, 0.05])],
    ]
    assert tree_text(layers).splitlines() == [
        "1.0  c  also 0.0 25%",
        "    0.1 75%  c + d",
        "1.1  a",
        "    0.0 95%  a b",
        "0.2  (no words)",
    ]
    assert tree_rows(layers) == [{1: 0.0, 0: 1.0, 2: 2.0}, {0: 0.0, 1: 1.0}]


CENTRE = {"samples": [3, 0], "strengths": [2.0, 1.5], "names": ["x y", "z"]}


def test_samples_stand_below_the_words_of_their_topic_by_name_or_number():
    layers = [[topic("a", parent=0), topic("b", parent=0)], [topic("c", children=[0, 1], weights=[0.5, 0.5])]]
    named = {"samples": [7, 2, 0, 1], "strengths": [4.0, 3.0, 2.0, 1.0], "names": ["x y", "z", "u", "v"]}
    strongest = [[named, {"samples": [], "strengths": []}], [{"samples": [5, 6], "strengths": [1.0, 0.5]}]]
    assert tree_text(layers, strongest=strongest).splitlines() == [
        "1.0  c",
        "     in 5, 6",
        "    0.0 50%  a",
        "         in x y | z | u",
        "    0.1 50%  b",
    ]
    of_a_tensor = [[of_modes(("word", "a"), ("file", "x y"))]]
    assert tree_text(of_a_tensor, strongest=[[named]]) == tree_text(of_a_tensor)


def test_without_words_the_named_samples_of_topics_are_told(record_of, tmp_path, capsys):
    strongest = [[{"samples": [i], "strengths": [1.0], "names": [name]} for i, name in enumerate("ab")], [CENTRE]]
    record = record_of(layers=(2, 1), topics=None, strongest=strongest)
    assert samples_text(strongest) == "1.0  in x y | z\n0.0  in a\n0.1  in b"
    written = topics_markdown({"trial": [Shown("hier", tmp_path, record)]})
    assert "```\n1.0  in x y | z\n" in written
    assert written.endswith(f"\n\n{LEGEND_OF_SAMPLES}\n")
    assert LEGEND not in written
    cli._report({0: Outcome(tmp_path, record)})
    assert "\n1.0  in x y | z\n0.0  in a\n" in capsys.readouterr().out
    bare = [[{"samples": [1], "strengths": [1.0]}] * 2, [{"samples": [], "strengths": []}]]
    assert samples_text(bare) is samples_text(None) is None
    assert topics_markdown({"trial": [Shown("hier", tmp_path, record | {"strongest": bare})]}) is None


def test_topics_without_words_stand_in_their_tree_with_their_samples(given, rng, tmp_path, capsys):
    names = [f"photo {i}" for i in range(12)]
    data = Dataset("given", rng.random((9, 12)), [], sample_names=names)
    outcome = run_one(given(data, "method=hier", "layers=3-1", "max_iter=5", f"output={tmp_path}"), 0)
    strongest = outcome.record["strongest"]
    first, *lines = samples_text(strongest).splitlines()
    best = [[names[i] for i in topic["samples"][:3]] for topic in strongest[0]]
    shares = strongest[1][0]["child_weights"]
    assert first.startswith("1.0  in photo ")
    assert lines == [
        f"    0.{i} {share:.0%}  in {' | '.join(best[i])}"
        for i, share in zip(strongest[1][0]["children"], shares, strict=True)
    ]
    cli._report({0: outcome})
    said = capsys.readouterr().out
    assert lines[-1] in said
    assert LEGEND_OF_TREE in said
    assert lines[-1] in topics_markdown({"trial": [Shown("hier", tmp_path, outcome.record)]})


def test_documents_of_a_topic_are_of_its_class_in_every_layer(outcome):
    subtopics, supertopics = outcome.record["strongest"]
    topics = outcome.record["topics"]
    of = [name for subtopics in TREE.values() for name in subtopics for _ in range(15)]
    for topic, samples in zip(topics[0], subtopics, strict=True):
        assert {of[i] for i in samples["samples"]} == {planted(topic["words"][:5])}
        assert samples["strengths"] == sorted(samples["strengths"], reverse=True)
    for j, samples in enumerate(supertopics):
        own = {planted(topics[0][i]["words"][:5]) for i, _ in tree_children(topics, 1, j)}
        assert {of[i] for i in samples["samples"]} <= own


def test_topics_stand_in_the_middle_of_those_below_and_those_without_have_rows_of_their_own():
    layers = [
        [topic(parent=0), topic(parent=0), topic(parent=2)],
        [topic(parent=0, children=[0, 1], weights=[0.6, 0.4]), topic(parent=0), topic(children=[2], weights=[1.0])],
        [topic(children=[0, 1], weights=[0.9, 0.004])],
    ]
    assert tree_rows(layers) == [{0: 0.0, 1: 1.0, 2: 3.0}, {0: 0.5, 1: 2.0, 2: 3.0}, {0: 1.25}]
    assert tree_text(layers).splitlines()[4] == "    1.1 <1%  (no words)"


def test_names_of_several_words_are_set_apart_by_commas():
    assert told(["new york", "city"]) == ["new york,", "city"]
    assert told(["york", "city"]) == ["york", "city"]
    assert told([]) == []


def of_modes(*modes, **links):
    """A topic of a tensor by names of modes and their words, all of one weight."""
    told = [{"name": name, "words": words.split(), "weights": [0.1] * 9, "distinctive": []} for name, words in modes]
    return {name: value for name, value in topic(**links).items() if name not in WORDS} | {"modes": told}


def test_words_of_every_mode_are_told_behind_its_name():
    layers = [
        [of_modes(("file", "noun verb"), ("word", "a b c d e f"), parent=0)],
        [of_modes(("file", ""), ("word", "a"), children=[0], weights=[1.0])],
    ]
    assert tree_text(layers).splitlines() == [
        "1.0  file: (no words) | word: a",
        "    0.0 100%  file: noun verb | word: a b c d e",
    ]


def test_of_two_modes_of_one_name_that_agree_one_is_told():
    def line(*modes):
        return tree_text([[of_modes(*modes)]])

    assert line(("word", "a b c d"), ("word", "b a d c")) == "0.0  word: a b c d"
    assert line(("word", "a b c d"), ("word", "b a e f")) == "0.0  word: a b c d"
    assert line(("word", "a b c d"), ("word", "b g e f")) == "0.0  word: a b c d | word: b g e f"
    assert line(("word", "a b"), ("other", "a b")) == "0.0  word: a b | other: a b"
    assert line(("word", ""), ("word", "")) == "0.0  word: (no words) | word: (no words)"


def test_entries_of_a_mode_that_weigh_next_to_nothing_are_not_told():
    faint = of_modes(("file", "noun verb adverb"))
    faint["modes"][0]["weights"] = [0.9, 0.02, 0.01]
    assert tree_text([[faint]]) == "0.0  file: noun verb"


@pytest.mark.parametrize("topics", [[[of_modes(("file", "noun"))]], [[topic("noun")]], [[]]])
def test_the_legend_tells_of_modes_where_there_are_any(record_of, tmp_path, topics):
    record = record_of(layers=(1,), topics=topics)
    told = topics_markdown({"trial": [Shown("hier", tmp_path, record)]})
    assert LEGEND in told
    assert (LEGEND_OF_MODES in told) == ("file: noun" in told)


def test_a_single_run_prints_its_tree_below_the_layers(outcome, capsys):
    assert cli._report({0: outcome}) == cli.OK
    out = capsys.readouterr().out
    tree = tree_text(outcome.record["topics"], strongest=outcome.record["strongest"])
    assert out.index("NPMI") < out.index(tree) < out.index(LEGEND_OF_SAMPLES) < out.index(str(outcome.folder))
    cli._report({0: outcome, 1: outcome})
    assert tree not in capsys.readouterr().out


@pytest.mark.slow
def test_collecting_writes_the_tree_and_its_figures(corpus_run, known_corpus):
    outcome = corpus_run("max_iter=7")
    collect(outcome.folder)
    written = (outcome.folder / "report" / "topics.md").read_text()
    assert tree_text(outcome.record["topics"], strongest=outcome.record["strongest"]) in written
    assert LEGEND_OF_SAMPLES in written
    names = {path.name for path in (outcome.folder / "report" / "figures").iterdir()}
    assert {"runs_hier_topics.png", "runs_hier_topics.pdf"} <= names


@pytest.mark.slow
def test_names_of_pixels_are_in_no_tree(corpus_run, known_corpus):
    outcome = corpus_run("max_iter=6", with_images=True)
    assert outcome.record["topics"] is None
    assert outcome.record["metrics"]["npmi"] is None
    collect(outcome.folder)
    names = {path.name for path in (outcome.folder / "report" / "figures").iterdir()}
    assert "runs_hier_images.png" in names
    assert not any("topics" in name for name in names)


@pytest.mark.parametrize("damage", ["lost", [1], [[{"words": []}]]])
def test_damaged_topics_are_refused_and_older_records_without_them_read(outcome, tmp_path, damage):
    path, record = tmp_path / "record.json", dict(outcome.record)
    path.write_text(json.dumps(record | {"topics": damage}))
    with pytest.raises(ValueError, match="damaged: topics"):
        read_record(path)
    del record["topics"]
    path.write_text(json.dumps(record))
    assert read_record(path) == record


CONSENSUS = {
    "members": dict.fromkeys("abcd", "0"),
    "stability": [[0.9, 0.8, 0.7], [1.0, 0.99]],
    "votes": [[[1.0, 0.0], [0.25, 0.5], [0.0, 0.75]]],
}


def agreed_topics():
    """Three topics below two, the second of which gives some to both."""
    below = [topic("a b", parent=0), topic("c", parent=1), topic("d", parent=1)]
    return [below, [topic("a", None, [0, 1], [0.8, 0.2]), topic("d", None, [2, 1], [0.6, 0.4])]]


def test_a_consensus_tells_stability_and_votes_beside_each_own_topic():
    assert tree_text(agreed_topics(), CONSENSUS).splitlines() == [
        "1.0 [1.00]  a  also 0.1 20%",
        "    0.0 80% [0.90, 4/4]  a b",
        "1.1 [0.99]  d",
        "    0.2 60% [0.70, 3/4]  d",
        "    0.1 40% [0.80, 2/4]  c",
    ]
    assert legend_of(CONSENSUS).startswith(legend_of(None))
    assert consensus_text(CONSENSUS).splitlines() == [
        "consensus of 4 trials",
        "layer 0: mean stability of the topics 0.80, lowest 0.70; "
        "below the same topic in 75% of the trials on average, in 50% at least",
        "layer 1: mean stability of the topics 0.99, lowest 0.99",
    ]


def test_a_collection_tells_it_too_and_explains_it_once(record_of, tmp_path):
    about = {"layers": (3, 2), "topics": agreed_topics(), "consensus": CONSENSUS}
    records = [record_of(**about, experiment=name) for name in ("one", "other")]
    for record in records:
        record["config"]["consensus"] = 4
    text = topics_markdown({record["experiment"]: [Shown("hier", tmp_path, record)] for record in records})
    assert text.count("1.0 [1.00]  a") == text.count("consensus of 4 trials") == 2
    assert text.count("In brackets the stability") == 1
    assert "seeds 0 to 3" in text
