"""The form of a record: whatever one field of it is, reading says so, or reports can show it."""

from __future__ import annotations

import copy
import json
import math

import pandas as pd
import pytest

from nnmf_runner.report.collect import collect
from nnmf_runner.store.form import FORM, are_strongest, check_form, is_forest
from nnmf_runner.store.record import RECORD, read_record

GONE = object()
VALUES = [GONE, None, {}, {"a": {"b": 1}}, [], [{}], "x", "a/b", -1, 10**400, True, 1.5, math.nan]
TOPIC = {"words": ["a"], "weights": [1.0], "distinctive": [], "children": [], "child_weights": [], "parent": None}

STRONGEST = {"samples": [3, 0], "strengths": [2.0, 1.5], "names": ["d", "a"]}


@pytest.fixture
def record(record_of):
    """A record with all that a record may hold."""
    above = {**TOPIC, "children": [1, 0], "child_weights": [0.6, 0.4]}
    topics = [[{**TOPIC, "parent": 0}, {**TOPIC, "parent": 0}], [above]]
    data = {"title": "Toy", "name": "toy", "classes": [4, 2], "n_features": 9, "n_samples": 8, "pictures": False}
    data["modes"] = {"names": ["a", "b", "c"], "shape": [3, 3, 8], "named": [True, False, False]}
    told = {"code": "hier-0", "commit": "abc", "finished": "2026-01-01", "peak_memory_mb": 10.0, "tree_agreement": 0.5}
    consensus = {"members": {"a": "b"}, "stability": [[0.9, 0.8], [1.0]], "votes": [[[1.0], [0.5]]]}
    told["strongest"] = [[STRONGEST, STRONGEST], [STRONGEST]]
    found = record_of(seed=1, layers=(2, 1), topics=topics, dataset=data, consensus=consensus, **told)
    found["config"] |= {"data_seed": 0, "consensus": 3}
    return found


def spots(value, at=()):
    """The places in a nested value, of lists the first alone."""
    if at:
        yield at
    if isinstance(value, (dict, list)) and value:
        for key in value if isinstance(value, dict) else [0]:
            yield from spots(value[key], (*at, key))


def changed(record, at, value):
    """A record with something else, or nothing, in one place."""
    found = copy.deepcopy(record)
    part = found
    for key in at[:-1]:
        part = part[key]
    if value is GONE:
        del part[at[-1]]
    else:
        part[at[-1]] = value
    return found


def test_every_field_that_is_checked_is_in_a_whole_record(record):
    check_form(record)
    missing = {name for name in FORM if not any(".".join(map(str, at)) == name for at in spots(record))}
    assert missing == set()


@pytest.mark.parametrize(
    "value", [{}, {"a": {"b": 1}}, [{}], -1.5, math.nan, 10**400], ids=lambda value: repr(value)[:9]
)
@pytest.mark.parametrize("name", sorted(FORM.keys() - {"dataset"}))
def test_what_no_field_holds_is_refused_in_a_short_line(record, name, value):
    holds = {
        "metrics": [{}],
        "tree_agreement": [-1.5],
        "peak_memory_mb": [-1.5],
        "projected_gradient": [-1.5],
        "config.tol": [-1.5],
    }
    if value in holds.get(name, []):
        return
    with pytest.raises(ValueError, match=r"^is damaged: ") as caught:
        check_form(changed(record, tuple(name.split(".")), value))
    assert len(str(caught.value)) < 160


@pytest.mark.slow
def test_one_bad_record_stops_no_collection(record, record_of, tmp_path, caplog):
    """In every place everything; one record of each kind, in one folder."""
    for seed, at in enumerate(spots(record), start=2):
        for i, value in enumerate(VALUES):
            path = tmp_path / f"{seed}-{i}" / RECORD
            path.parent.mkdir()
            own = changed(record, ("config", "seed"), 100 * seed + i)
            path.write_text(json.dumps(changed(own, at, value)))
    for i, text in enumerate(["", "[" * 100_000, '{"a":' * 100_000, '{"schema": "\\ud800"}', "1" * 5000]):
        (tmp_path / f"text{i}").mkdir()
        (tmp_path / f"text{i}" / RECORD).write_text(text)
    for path in tmp_path.glob(f"*/{RECORD}"):
        if path.read_text().startswith('{"schema": 1000000'):  # a later version, at which all stops
            path.unlink()
    (tmp_path / "good").mkdir()
    (tmp_path / "good" / RECORD).write_text(json.dumps(record_of(seed=0)))
    collect(tmp_path, figures=False)
    assert "good" in set(pd.read_csv(tmp_path / "report" / "records.csv")["folder"])
    assert all(path.parent.name in caplog.text for path in tmp_path.glob(f"text*/{RECORD}"))


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, '{"schema": "\\ud800"}', "1" * 5000, "\xff"])
def test_what_cannot_be_read_is_a_reason(tmp_path, text):
    (tmp_path / RECORD).write_text(text, encoding="latin-1")
    with pytest.raises(ValueError, match=r"^cannot be read: .{5,200}$"):
        read_record(tmp_path / RECORD)


@pytest.mark.parametrize("change", [{"children": [2], "child_weights": [1.0]}, {"children": [0]}, {"parent": 0}])
def test_a_tree_names_no_topic_that_is_not_there(change):
    below = [{**TOPIC, "parent": 0}] * 2
    assert is_forest([below, [TOPIC]])
    assert not is_forest([below, [TOPIC | change]])


def test_topics_of_a_tensor_have_words_by_mode():
    links = {name: TOPIC[name] for name in ("children", "child_weights", "parent")}
    mode = {"name": "word", **{name: TOPIC[name] for name in ("words", "weights", "distinctive")}}
    assert is_forest([[links | {"modes": [mode, mode]}]])
    for damaged in ([mode | {"words": [1]}], [{"name": "word"}], "word", [{**mode, "name": None}]):
        assert not is_forest([[links | {"modes": damaged}]])
    assert not is_forest([[links]])
    assert not is_forest([[TOPIC, links | {"modes": [mode]}]])


def test_samples_of_a_topic_have_a_strength_each_and_a_name_or_none():
    assert are_strongest([[STRONGEST, {"samples": [], "strengths": []}], [{"samples": [7], "strengths": [1]}]])
    for damage in ({"samples": [1]}, {"strengths": [1.0, "x"]}, {"names": ["a"]}, {"names": "da"}, {"names": [1, 2]}):
        assert not are_strongest([[STRONGEST | damage]])
    below, above = ({**STRONGEST, "children": [], "child_weights": [], "parent": 0} for _ in range(2))
    above |= {"children": [0], "child_weights": [1.0], "parent": None}
    assert are_strongest([[below], [above]])
    for damage in ({"children": [1]}, {"children": [0, 0]}, {"parent": 2}, {"parent": "0"}):
        assert not are_strongest([[below], [above | damage]])
    assert not are_strongest([[STRONGEST], [above]])


def test_samples_are_those_of_the_topics(record):
    with pytest.raises(ValueError, match="samples of other topics"):
        check_form(changed(record, ("strongest",), [[STRONGEST], [STRONGEST]]))
    check_form(changed(record, ("strongest",), None))


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (("consensus", "stability"), [[0.9], [1.0]]),
        (("consensus", "stability"), [[0.9, 0.8]]),
        (("consensus", "votes"), [[[1.0, 0.0], [0.5, 0.5]]]),
        (("consensus", "votes"), []),
        (("consensus", "members"), {"a": 3}),
        (("consensus", "tree_agreement"), "all"),
        (("config", "layers"), [2, 2]),
        (("topics",), [[TOPIC], [TOPIC]]),
    ],
)
def test_a_consensus_is_of_the_topics_of_its_record(record, at, value):
    check_form(record)
    with pytest.raises(ValueError, match=r"^is damaged: "):
        check_form(changed(record, at, value))
