"""The command line of `nnmf-rank`: which ranks are asked for, and which fits they need."""

from __future__ import annotations

import pytest

from nnmf_runner.config.ranks import check_rank_list, read_rank_sweep, read_ranks
from nnmf_runner.core.checks import InputError
from nnmf_runner.datasets.resample import FOLDS, PAIRS, Bicross, Halves


@pytest.mark.parametrize(
    ("text", "ranks"),
    [
        ("2..5", [2, 3, 4, 5]),
        ("2..9..3", [2, 5, 8]),
        ("3,8,2", [2, 3, 8]),
        ("[2,4,8]", [2, 4, 8]),
        ("2..4,4,8", [2, 3, 4, 8]),
    ],
)
def test_ranks_are_ranges_and_lists(text, ranks):
    assert read_ranks(text) == ranks


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "ranks= cannot be read"),
        ("5..2", "ranks=5..2 holds no rank"),
        ("2..9..0", "holds no rank"),
        ("two", "ranks=two cannot be read"),
        ("2-20", "cannot be read. Expected ranks such as ranks=2..20"),
        ("-3..4", "cannot be read"),
        ("[2..5", "cannot be read"),
        ("0..4", "begins with 0. Expected ranks of at least 2"),
        ("1..4", "begins with 1"),
        ("2..3", "ranks=2..3 holds 2 of them. Expected at least 3"),
        ("2..999999999", "too many ranks"),
        ("2..99999999999999999999", "cannot be read"),
    ],
)
def test_what_are_no_ranks_is_refused_in_one_line(text, said):
    with pytest.raises(InputError) as refused:
        read_ranks(text)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_an_empty_list_is_no_list_of_ranks():
    with pytest.raises(InputError, match="holds no rank"):
        check_rank_list([], "[]")


def test_every_rank_is_fitted_on_all_halves_and_folds():
    asked = read_rank_sweep(["ranks=3..5", "dataset=planted", "dataset.noise=0.5", "seed=3"])
    configs = [cell.config for cell in asked.cells]
    assert asked.ranks == [3, 4, 5]
    assert asked.sweep.size == len(configs) == 3 * 2 * PAIRS + 4 * FOLDS**2
    assert len({str(config.identity(config.seed)) for config in configs}) == len(configs)
    for kind, ranks in ((Halves, {3, 4, 5}), (Bicross, {2, 3, 4, 5})):
        assert {config.layers[0] for config in configs if isinstance(config.resample, kind)} == ranks
    assert {(config.method.name, config.dataset.noise, config.seed) for config in configs} == {("hier", 0.5, 3)}


def test_options_and_launchers_are_those_of_a_sweep():
    asked = read_rank_sweep(["ranks=2..4", "method=neural", "tol=1e-2", "workers=3", "name=mine"])
    assert {cell.config.method.name for cell in asked.cells} == {"neural"}
    assert {(cell.config.tol, cell.config.workers, cell.config.name) for cell in asked.cells} == {(1e-2, 3, "mine")}
    # What all jobs share does not say which part of the data they are for.
    assert not any(each.startswith("resample") for each in asked.sweep.fixed)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "ranks has to be given"),
        (["dataset=toy"], "ranks has to be given"),
        (["ranks=2..5", "ranks=2..6"], "ranks is given more than once"),
        (["ranks=2..5", "layers=3"], "layers=3 cannot be set: nnmf-rank sets layers itself"),
        (["ranks=2..5", "resample.folds=4"], "resample.folds=4 cannot be set"),
        (["ranks=2..5", "experiment=table1"], "experiment=table1 cannot be set"),
        (["ranks=2..5", "trials=3"], "trials=3 cannot be set"),
        (["ranks=2..5", "seed=0,1"], "seed=0,1 is several values. Expected one"),
        (["ranks=2..5", "consensus=true"], "consensus=true cannot be set"),
        (["ranks=2..5", "label_fraction=0.4"], "Expected label_fraction=0"),
        (["ranks=2..5", "dataset=file", "dataset.seed_words=a.yaml"], "Expected dataset.seed_words=null"),
        (["ranks=2..5", "label_level=1"], "label_level=1 asks for labels, which resample=halves leaves out"),
        (["ranks=2..5", "eval_label_level=0"], "eval_label_level=0 asks for labels"),
        (["ranks=2..5", "method=neural", "supervision.levels=[0]"], "Expected supervision.levels=auto"),
        (["ranks=2..5", "method=nothing"], "method=nothing is not known"),
        (["ranks=2..5", "--wrong"], "--wrong"),
    ],
)
def test_a_command_line_that_makes_no_sense_is_refused(arguments, said):
    with pytest.raises(InputError) as refused:
        read_rank_sweep(arguments)
    assert said in str(refused.value)
