"""Flags and overrides, in any order."""

from __future__ import annotations

import itertools

import pytest

from nnmf_runner.config.arguments import read_arguments
from nnmf_runner.core.checks import InputError


@pytest.mark.parametrize("flags", [["-m"], ["--cfg", "job"], ["--info"], ["-i", "searchpath"], ["-h"], ["-sc"]])
def test_overrides_may_stand_on_both_sides_of_flags(flags):
    orders = [[*flags, "a=1", "b=2"], ["a=1", *flags, "b=2"], ["a=1", "b=2", *flags]]
    first, *others = (vars(read_arguments(order)) for order in orders)
    assert first["overrides"] == ["a=1", "b=2"]
    assert first == others[0] == others[1]


def test_flags_may_stand_in_any_order():
    orders = itertools.permutations([["-m"], ["--cfg", "job"], ["seed=0,1"], ["-p", "method"], ["method=hier"]])
    read = [vars(read_arguments(list(itertools.chain(*order)))) for order in orders]
    for found in read:
        assert sorted(found.pop("overrides")) == ["method=hier", "seed=0,1"]
        assert found == read[0]
    assert (read[0]["multirun"], read[0]["cfg"], read[0]["package"]) == (True, "job", "method")


def test_a_bare_info_asks_for_all():
    assert read_arguments(["--info"]).info == read_arguments(["--info", "all"]).info == "all"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--foo", "unrecognized arguments: --foo"),
        ("--experimental-rerun config.pickle", "unrecognized arguments: --experimental-rerun"),
        ("--cfg", "expected one argument"),
        ("--cfg foo", "invalid choice: 'foo'"),
        ("--cfg job --info", "not allowed with"),
        ("-p method", "--package goes with --cfg alone"),
        ("--resolve seed=1", "--resolve goes with --cfg alone"),
    ],
)
def test_other_flags_are_refused_in_one_line(line, message):
    with pytest.raises(InputError, match=message) as refused:
        read_arguments(line.split())
    assert "\n" not in str(refused.value)
