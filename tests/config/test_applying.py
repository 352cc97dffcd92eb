"""The command line of `nnmf-apply`: the run, the new data, and where the results go."""

from __future__ import annotations

from pathlib import Path

import pytest

from nnmf_runner.config.applying import read_application
from nnmf_runner.core.checks import InputError
from nnmf_runner.datasets import File


def test_words_say_the_run_the_data_and_the_output():
    found = read_application(["runs/ab", "output=a=b", "dataset.path=new.npz", "dataset=file", "seed=3"])
    assert (found.run, found.output, found.seed) == (Path("runs/ab"), Path("a=b"), 3)
    assert found.source == File(path="new.npz")
    assert read_application(["runs/ab", "dataset=toy"]).output == Path("ab-applied")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "dataset has to be given"),
        (["dataset=toy", "method=hier"], "method=hier is no option of new data"),
        (["dataset=toy", "output=a", "output=b"], "output is given as a, b. Expected one"),
        (["dataset=toy", "output="], "output is given as nothing"),
        (["dataset=toys"], "toys"),
    ],
)
def test_what_is_not_acceptable_is_named(options, said):
    with pytest.raises(InputError, match=said):
        read_application(["run", *options])
