"""Values as people type them: text is taken as typed, and what is Hydra's stays Hydra's."""

from __future__ import annotations

import dataclasses
import functools
from copy import deepcopy

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from nnmf_runner.config import composition, engine
from nnmf_runner.config.schema import GROUPS, option_types
from nnmf_runner.config.values import TEXT, TEXTS, quoted, readable
from nnmf_runner.core.checks import InputError


@pytest.fixture(autouse=True)
def registered():
    engine.register_schema()


@functools.cache
def composed(dataset):
    return engine.compose([f"dataset={dataset}"])


def value_of(argument):
    """What an option of `dataset=file` or `dataset=text` gets; several values of a sweep as a list of texts."""
    override = engine.parse([readable(argument)])[0]
    if override.is_sweep_override():
        return [getattr(each, "text", each) for each in override.sweep_iterator()]
    config = engine.set_values(deepcopy(composed("text" if "delimiter" in argument else "file")), [override], [])
    return OmegaConf.to_container(config.dataset, resolve=True)[override.key_or_group.removeprefix("dataset.")]


@pytest.mark.parametrize(
    "text",
    [
        *("größe", "名前", "a=b", "Cell type (broad)", "a:b", "a.b", "$x", "{x}", "{x: 1}", "[x]", "x [mg/l]", "it's"),
        *('a"b', "f(a,b)", "2019", "1_1", "1e3", "007", "true", "False", "inf", "nan", "-1", ".5", "a  b", "a;b", "#1"),
        *(
            "log(count)",
            "${x",
            "}{",
            ":)",
            "a\\b",
            "50%",
            "a|b",
            "a&b",
            "x@y",
            "~x",
            "'a' or 'b'",
            "a\nb",
            "!",
            "\u00b5m",
        ),
    ],
)
def test_a_name_of_a_column_is_taken_as_typed(text):
    assert value_of(f"dataset.x={text}") == text
    if text != "[x]":  # which is a list in a list
        assert value_of(f"dataset.labels=[{text}]") == [text]
        assert value_of(f"dataset.labels=[first, {text} ,last]") == ["first", text, "last"]


@pytest.mark.parametrize("text", ["null", "true", "2019", "1_1", "1.50", "NaN"])
def test_words_and_numbers_in_a_list_are_names(text):
    assert value_of(f"dataset.labels=[{text},b]") == [text, "b"]


def test_null_is_no_name_but_in_quotes_or_a_list():
    assert value_of("dataset.x=null") is None
    assert value_of("dataset.x='null'") == "null"


@pytest.mark.parametrize(
    ("typed", "names"),
    [
        ("[]", []),
        ("[ ]", []),
        (" [a] ", ["a"]),
        ("[Cell type (broad),größe]", ["Cell type (broad)", "größe"]),
        ("[a b, c]", ["a b", "c"]),
        ("['a,b',\"c]d\", e]", ["a,b", "c]d", "e"]),
        ("[f(a,b),g]", ["f(a,b)", "g"]),
        ("[it's, women's]", ["it's", "women's"]),
        ("[a (b, c]", ["a (b", "c"]),
        ("[:),b]", [":)", "b"]),
        (r"[a\,b,c\ d,\(e]", ["a,b", "c d", "(e"]),
        (r"['it\'s']", ["it's"]),
        ("['[a]']", ["[a]"]),
    ],
)
def test_lists_are_divided_at_commas_outside_of_quotes_and_brackets(typed, names):
    assert value_of(f"dataset.labels={typed}") == names


@pytest.mark.parametrize("typed", ["[[a,b],[c]]", "[[a]]", "[a,[b]]", "[a,]", "[,a]", "[a,,b]"])
def test_what_is_no_list_of_names_is_refused_in_one_line(typed):
    with pytest.raises(InputError, match=r"^dataset\.labels=.* is not valid\. Expected [^\n]*$"):
        readable(f"dataset.labels={typed}")


@pytest.mark.parametrize(
    ("typed", "text"),
    [
        (";", ";"),
        ('";"', ";"),
        ("';'", ";"),
        (r"\t", "\t"),
        (r'"\t"', "\t"),
        (r"'\t'", "\t"),
        ("\t", "\t"),
        (" ", " "),
        ("|", "|"),
        (",", ","),
        ("','", ","),
        (":", ":"),
    ],
)
def test_every_delimiter_can_be_typed(typed, text):
    assert value_of(f"dataset.delimiter={typed}") == text


@pytest.mark.parametrize(
    ("argument", "values"),
    [
        ("dataset.x=a,b", ["a", "b"]),
        ("dataset.x=a b, c=d,'e,f'", ["a b", "c=d", "e,f"]),
        ("dataset.x=2019,1_1", ["2019", "1_1"]),
        ("dataset.x=null,ä", [None, "ä"]),
        ("dataset.x=choice(a,b)", ["a", "b"]),
        ("dataset.path=a (1).npz,b.npz", ["a (1).npz", "b.npz"]),
        ("dataset.delimiter=;,|", [";", "|"]),
    ],
)
def test_several_values_are_a_sweep(argument, values):
    assert value_of(argument) == values


def test_several_lists_are_a_sweep():
    assert readable("dataset.labels=[a b],[c,ü],[]") == "dataset.labels=['a b'],[c,'ü'],[]"
    assert readable("dataset.labels=['a]'],[b]") == "dataset.labels=['a]'],[b]"


def test_a_value_with_a_comma_is_one_if_it_is_the_name_of_something(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a,b.csv").touch()
    assert value_of("dataset.x=a,b.csv") == ["a", "b.csv"]  # which is no path
    assert value_of("dataset.path=a,b.csv") == "a,b.csv"
    assert value_of("dataset.path=a,c.csv") == ["a", "c.csv"]


@pytest.mark.parametrize("key", ["output", "name"])
def test_options_that_no_result_depends_on_are_not_swept_over(key):
    assert readable(f"{key}=a,b") == f"{key}='a,b'"


@pytest.mark.parametrize(
    "argument",
    [
        "seed=0,1",
        "seed=range(0,3)",
        "layers=[9,4],[9]",
        "layers=9-4-2",
        "method=hier,deep",
        "output=outputs/a-b",
        "dataset.labels=[a,b]",
        "dataset.x=choice(a,b)",
        "dataset.x=",
        "~seed",
        "hydra.launcher.comment=a",
        "~method",
        "~größe",
        "dataset.x",
        "",
    ],
)
def test_what_hydra_reads_as_it_is_meant_stays(argument):
    assert readable(argument) == argument


def test_references_to_other_options_work(configure):
    assert configure("seed=3", readable("output=out_${seed}")).output == "out_3"
    assert configure("dataset=file", readable(r"dataset.x=\${seed}")).dataset.x == "${seed}"


@pytest.mark.parametrize("prefix", ["+", "++"])
def test_an_argument_with_a_plus_is_read_like_one_without(prefix):
    assert readable(f"{prefix}dataset.x=a=b") == f"{prefix}dataset.x='a=b'"


@pytest.mark.parametrize(
    "argument",
    [
        "method=größe",
        "method=[",
        "init=nndsvd;",
        "experiment=a b",
        "sede=größe",
        "dataset.labells=[Cell type (broad)]",
        "seed=größe",
        "layers=[9,",
        "tol=a=b",
    ],
)
def test_what_hydra_cannot_read_is_left_to_the_option_to_refuse(argument):
    with pytest.raises(InputError, match=rf"^{argument.partition('=')[0]}.*(not an option|not valid|not known)"):
        composition.read([argument])


def test_an_option_of_text_or_a_list_is_either():
    assert readable("dataset.stop_words=2019") == "dataset.stop_words='2019'"
    assert readable("dataset.stop_words=[the,true,1_1]") == "dataset.stop_words=[the,'true','1_1']"
    assert readable("dataset.stop_words=null") == "dataset.stop_words=null"


LETTERS = st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=["Cs"])
NAMES = st.text(LETTERS, min_size=1).filter(lambda text: "${" not in text)


@given(NAMES)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_quotes_bring_any_text_through_hydra(text):
    override = engine.parse([f"dataset.x={quoted(text)}"])[0]
    assert str(override.value()) == text
    assert readable(f"dataset.x={quoted(text)}") == f"dataset.x={quoted(text if text != chr(92) + 't' else chr(9))}"
    again = engine.parse([f"dataset.x={override.get_value_element_as_str()}"])[0]  # as in the cells of a sweep
    assert str(again.value()) == text


@given(st.lists(NAMES, max_size=4))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_list_in_quotes_is_read_as_it_is(names):
    typed = ", ".join(quoted(name) for name in names)
    [override] = engine.parse([readable(f"dataset.labels=[{typed}]")])
    assert list(map(str, override.value())) == [name if name != r"\t" else "\t" for name in names]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("group", "name", "field"),
    [(g, n, f.name) for g, registry in GROUPS.items() for n, p in registry.items() for f in dataclasses.fields(p)],
)
def test_every_option_of_text_takes_any_letters(group, name, field):
    """Also one that is added to the schema: its type is all that is asked for."""
    types = option_types(f"{group}.{field}")
    if all(each in TEXT for each in types):
        assert readable(f"{group}.{field}=ä=(b") == f"{group}.{field}='ä=(b'"
    elif all(each in TEXTS for each in types):
        assert readable(f"{group}.{field}=[ä=(b,2]") == f"{group}.{field}=['ä=(b','2']"
    elif str in types:  # beside Any
        assert readable(f"{group}.{field}=5") == f"{group}.{field}='5'"
        assert readable(f"{group}.{field}=[ä=(b,2]") == f"{group}.{field}=['ä=(b','2']"
    else:
        assert readable(f"{group}.{field}=5") == f"{group}.{field}=5"
