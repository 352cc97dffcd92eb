"""The help: every option has its default and a line of meaning, and what it says composes."""

from __future__ import annotations

import dataclasses
import re

import pytest

from nnmf_runner.config import composition, engine
from nnmf_runner.config.help import EXAMPLES, default_parts, help_text, options_of, parameters, parameters_of
from nnmf_runner.config.schema import GROUPS, RunConfig
from nnmf_runner.core.checks import InputError
from nnmf_runner.core.regularisation import Regularisation
from nnmf_runner.methods import Supervision
from nnmf_runner.store.trackers.mlflow import MLflow
from nnmf_runner.store.trackers.tensorboard import TensorBoard

PARTS = [(group, name, part) for group, registry in GROUPS.items() for name, part in registry.items()]
FIXED = [("supervision", Supervision), ("regularisation", Regularisation)]
IDS = [f"{group}={name}" for group, name, _ in PARTS]


@pytest.fixture(autouse=True)
def registered():
    composition.register_schema()


def entries(text):
    """Options by name: the default, and what is said of it."""
    found = re.findall(r"^  ([\w.]+)=(\S+) *((?:.*\n?)(?:^ {20,}.*\n?)*)", text, re.MULTILINE)
    return {name: (default, " ".join(said.split())) for name, default, said in found}


def test_numpydoc_parameters_are_read_with_type_and_meaning():
    found = parameters(
        """Do something.

        Parameters
        ----------
        kind : {"one", "two"}, optional
            Which of them.  By default ``one``, see `Kinds`;
            or None.
        low, high : float
            Bounds.
        bare

        References
        ----------
        A : thing
        """
    )
    assert list(found) == ["kind", "low", "high", "bare"]
    assert found["kind"].kind == "one, two or null"
    assert found["kind"].meaning == "Which of them. By default one; or null."
    assert (found["low"], found["bare"].kind) == (found["high"], "")
    assert parameters(None) == parameters("One line.") == {}


@pytest.mark.parametrize("part", [RunConfig, *(part for _, part in FIXED), *(part for *_, part in PARTS)])
def test_every_option_of_the_schema_has_a_type_and_a_line_of_meaning(part):
    described = parameters_of(part)
    for option in dataclasses.fields(part):
        assert re.fullmatch(r"[A-Z\"-].{9,}\.", described[option.name].meaning)
        assert described[option.name].kind or option.name in GROUPS


@pytest.mark.parametrize("part", [RunConfig, *(part for _, part in FIXED), *(part for *_, part in PARTS)])
def test_every_option_of_a_part_has_a_text_of_its_own(part):
    described = parameters_of(part)
    meanings = [described[option.name].meaning for option in dataclasses.fields(part)]
    assert len(set(meanings)) == len(meanings)


def test_what_is_said_of_figures_is_of_one_tracker_alone():
    assert len({parameters_of(part)["figures"].meaning for part in (MLflow, TensorBoard)}) == 2


def test_parts_without_a_page_of_their_own_are_described_in_full():
    text = " ".join(help_text([]).split())
    for _, part in FIXED:
        assert all(each.meaning in text for each in parameters_of(part).values())


def test_the_help_has_every_option_with_its_default_and_every_part():
    config, shown = engine.compose([]), entries(help_text([]))
    plain = [f.name for f in dataclasses.fields(RunConfig) if f.name not in {*GROUPS, *dict(FIXED)}]
    nested = [f"{name}.{f.name}" for name, part in FIXED for f in dataclasses.fields(part)]
    assert set(shown) == {*plain, *nested}
    assert all(re.match(r"[^:]+: \w", meaning) for _, meaning in shown.values())
    assert engine.compose([f"{name}={default}" for name, (default, _) in shown.items()]) == config
    text = help_text([])
    for group in GROUPS:
        assert default_parts()[group] in options_of(group)
        for name, meaning in options_of(group).items():
            assert re.search(rf"^  {name} +{re.escape(meaning[:20])}", text, re.MULTILINE)


@pytest.mark.slow
@pytest.mark.parametrize(("group", "name", "part"), PARTS, ids=IDS)
def test_the_help_of_a_part_has_all_its_options_with_their_defaults(group, name, part):
    text = help_text([f"{group}={name}"])
    shown = entries(text)
    assert text.startswith(f"{group}={name}\n")
    assert set(shown) == {f"{group}.{f.name}" for f in dataclasses.fields(part)}
    overrides = [f"{option}={default}" for option, (default, _) in shown.items()]
    assert engine.compose([f"{group}={name}", *overrides])[group] == engine.compose([f"{group}={name}"])[group]


def test_presets_are_described_with_their_own_defaults():
    assert "method.solver=mu" in help_text(["method=hier_mu"])
    assert "By default cost=multilevel" in help_text(["method=neural"])
    assert "By default cost=reconstruction" in help_text(["method=neural_reconstruction"])


def test_several_parts_may_be_asked_for_and_other_overrides_do_not_matter():
    text = help_text(["seed=x", "method=deep,semi", "optimizer=adam", "dataset.x=1"])
    assert [line for line in text.splitlines() if re.match(r"\w+=", line)] == [
        "method=deep",
        "method=semi",
        "optimizer=adam",
    ]
    assert help_text(["seed=x"]) == help_text([])
    with pytest.raises(InputError, match=r"method=dep is not known.*Did you mean 'deep'"):
        help_text(["method=dep"])
    with pytest.raises(InputError, match=r"^metho=deep cannot be described\. .*Did you mean 'method'\?$"):
        help_text(["metho=deep"])


@pytest.mark.slow
def test_the_help_is_plain_and_fits_a_terminal():
    texts = [help_text([]), *(help_text([f"{group}={name}"]) for group, name, _ in PARTS)]
    assert max(len(line) for text in texts for line in text.splitlines()) <= 100
    assert not [word for word in ("schema", "Powered", "`", "None", "see See") for text in texts if word in text]
    assert not re.findall(r"\b\w+\.[A-Z]{2,}\b|\b[A-Z]{2,}_[A-Z_]+\b", " ".join(texts))  # of constants in the code


@pytest.mark.slow
def test_experiments_of_the_help_compose():
    section = help_text([]).partition("\nexperiment: ")[2].partition("\n\n")[0]
    names = re.findall(r"^  (\w+) ", section, re.MULTILINE)
    assert "table1" in names
    assert not [name for name in names if name.endswith("_reported")]
    assert all(composition.read_sweep([f"experiment={name}"]).over for name in names)


@pytest.mark.parametrize("line", EXAMPLES)
def test_examples_are_read(line):
    assert line in help_text([])
    assert composition.read(line.split()[1:])


def test_a_group_without_a_part_is_not_answered_with_itself():
    with pytest.raises(InputError, match=r"^method cannot be described\. Expected .*, such as method=neural\.$"):
        help_text(["method"])
    with pytest.raises(InputError, match=r"Did you mean 'method'\?$"):
        help_text(["metho=deep"])
