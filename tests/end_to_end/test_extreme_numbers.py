"""Numbers at the ends of what options may be, for every option of every part: fits end in numbers or one line."""

from __future__ import annotations

import contextlib
import math

import pytest

from nnmf_runner.config.engines import OneProcess
from nnmf_runner.config.schema import RunConfig, parts, types_of
from nnmf_runner.core.checks import LARGEST, MOST, InputError
from nnmf_runner.core.costs import COSTS
from nnmf_runner.core.optimizers import OPTIMIZERS
from nnmf_runner.datasets.generated.planted import Planted
from nnmf_runner.datasets.resample import Whole
from nnmf_runner.methods import METHODS, Supervision
from nnmf_runner.running.run import fit_and_score
from nnmf_runner.store.start import INITIALISATIONS
from nnmf_runner.store.trackers import Tracker
from nnmf_runner.task import prepare

# What the types of these options do not say.
TOLD = {("sparse_coding", "penalty"): float, ("energy", "weights"): list[float]}
REALS = (float, float | None, list[float], list[float] | None)
# Any integer is a seed, one of numpy's legacy generator has a limit of its own, and lists of topics name each other.
COUNTS, NAMES = (int, int | None), ("seed", "data_seed", "noise_seed")


def kind_of(part, name):
    return TOLD.get((getattr(part, "name", ""), name), types_of(part)[name])


def options(*kinds):
    """Every option of certain types: what it stands below, its part and its name."""
    return [
        pytest.param(below, part, name, id=f"{below}.{getattr(part, 'name', '')}.{name}")
        for below, part in parts()
        for name in types_of(part)
        if name in part.__dataclass_fields__ and kind_of(part, name) in kinds and name not in NAMES
    ]


def configurations(below, part, name, value):
    """Runs that differ in the method, with one option of a part set."""
    given = [value] * (3 if name == "levels" else 2) if "list" in str(kind_of(part, name)) else value
    for method in [part] if below == "method" else METHODS.values():
        found = {
            "dataset": Planted(branching=[2, 2], features=12, samples=20),
            "method": method(),
            "resample": Whole(),
            "engine": OneProcess(),
            "tracking": Tracker(),
            "cost": COSTS[method.costs[0]](),
            "optimizer": OPTIMIZERS["auto"](),
            "init": INITIALISATIONS["nndsvd"](),
            "supervision": Supervision(loss=method.losses[0]),
            "layers": [4] if method.most_layers == 1 else [4, 2],
            "label_fraction": 0.5,
            "max_iter": 8,
        }
        yield found | {below or name: part(**{name: given}) if below else given}


@pytest.mark.slow
@pytest.mark.parametrize("value", [LARGEST, 10**50, 1e20, 1.0 / LARGEST, 1e-308, 5e-324])
@pytest.mark.parametrize(("below", "part", "name"), options(*REALS))
def test_a_fit_with_numbers_as_large_or_small_as_they_may_be_ends_in_numbers_or_one_line(below, part, name, value):
    with contextlib.suppress(InputError):
        for given in configurations(below, part, name, value):
            with contextlib.suppress(InputError):
                config = RunConfig(**given)
                _, outcome = fit_and_score(config, 0, prepare(config, 0), bar=False)
                assert math.isfinite(outcome["metrics"]["relative_error"])


@pytest.mark.parametrize("value", [1.01 * LARGEST, 1e308, 10**400, math.inf])
@pytest.mark.parametrize(("below", "part", "name"), options(*REALS))
def test_larger_numbers_are_refused_by_name(below, part, name, value):
    with pytest.raises(InputError, match=rf"{name}"):
        RunConfig(**next(configurations(below, part, name, value)))


@pytest.mark.parametrize("value", [MOST + 1, 10**30, 10**400])
@pytest.mark.parametrize(("below", "part", "name"), options(*COUNTS))
def test_larger_counts_are_refused_by_name(below, part, name, value):
    with pytest.raises(InputError, match=rf"{name}(\[0\])?=1\d+(\.\.\.)? is not valid\. Expected an integer in \["):
        RunConfig(**next(configurations(below, part, name, value)))
