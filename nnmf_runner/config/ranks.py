"""From the command line of `nnmf-rank` to the sweep of fits that it compares."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from nnmf_runner.config.arguments import Parser
from nnmf_runner.config.cells import Cell
from nnmf_runner.config.composition import Sweep, expanded, read_sweep
from nnmf_runner.config.engine import register_schema
from nnmf_runner.config.sweepers import BASIC_SWEEPER
from nnmf_runner.core.checks import InputError
from nnmf_runner.datasets.resample import FOLDS, PAIRS

# More ranks than anybody waits for.
MOST_RANKS = 1000
# Options that the program sets itself.
_OWN = ("layers", "resample", "experiment", "trials", "consensus", "holdout")
_EXPECTED = "Expected ranks such as ranks=2..20, ranks=2..40..2 or ranks=2,3,5,8."


@dataclass(frozen=True)
class RankSweep:
    """The fits that a choice of ranks needs, and which ranks are compared."""

    sweep: Sweep
    cells: list[Cell]
    ranks: list[int]


def read_rank_sweep(arguments: Sequence[str]) -> RankSweep:
    """Read the command line of `nnmf-rank`; an `InputError` says what of it is not acceptable."""
    parser = Parser(
        "nnmf-rank",
        "Compare the ranks of a matrix by its spectrum, split halves and bi-cross-validation; write ranks.csv,\n"
        "ranks.json and figures/ranks.png to outputs/ranks/report, and print the ranks on which the three criteria\n"
        "agree, or what each of them says.\n\n"
        "example: nnmf-rank dataset=file dataset.path=my.npz ranks=2..40",
    )
    parser.usage = "nnmf-rank ranks=2..20 [name=value ...]"
    parser.add_argument(
        "ranks", metavar="ranks=2..20", nargs="?", help="ranks to compare, at least three; also 2..40..2 or 2,3,5,8"
    )
    parser.add_argument("overrides", metavar="name=value", nargs="*", help="options of the fits, see nnmf-run --help")
    known = parser.parse_args(arguments)
    overrides = [each for each in (known.ranks, *known.overrides) if each is not None]
    given = [each for each in overrides if each.startswith("ranks=")]
    if len(given) != 1:
        said = "has to be given" if not given else "is given more than once"
        names = {each.partition("=")[0]: each for each in overrides if not given}
        near = difflib.get_close_matches("ranks", names, n=1)
        meant = f" Did you mean 'ranks={names[near[0]].partition('=')[2]}'?" if near else ""
        raise InputError(f"ranks {said}. {_EXPECTED}{meant}")
    others = [each for each in overrides if each not in given]
    for override in others:
        name = re.split(r"[.=]", override.lstrip("+~"))[0]
        if name in _OWN:
            raise InputError(f"{override} cannot be set: nnmf-rank sets {name} itself. Expected it to be left out.")
    ranks = read_ranks(given[0].removeprefix("ranks="))
    register_schema()
    return _sweep(expanded(others), ranks)


def read_ranks(text: str) -> list[int]:
    """Ranks in ascending order from a text such as ``2..20``, ``2..40..2`` or ``2,3,5,8``; an `InputError` if not."""
    found: set[int] = set()
    for part in re.sub(r"^\[(.*)\]$", r"\1", text).split(","):
        numbers = re.fullmatch(r"\s*(\d{1,9})(?:\.\.(\d{1,9})(?:\.\.(\d{1,9}))?)?\s*", part)
        if not numbers:
            raise InputError(f"ranks={text} cannot be read. {_EXPECTED}")
        first, last, step = (None if number is None else int(number) for number in numbers.groups())
        assert first is not None
        some = range(first, (first if last is None else last) + 1, 1 if step is None else max(step, 1))
        if not some or step == 0:
            raise InputError(f"ranks={text} holds no rank. {_EXPECTED}")
        if len(some) > MOST_RANKS or len(found | {*some[:MOST_RANKS]}) > MOST_RANKS:
            raise InputError(f"ranks={text} holds too many ranks. Expected at most {MOST_RANKS}.")
        found |= {*some}
    return check_rank_list(sorted(found), text)


def check_rank_list(ranks: list[int], text: str, expected: str = _EXPECTED) -> list[int]:
    """Return ranks in ascending order if they can be compared; raise an `InputError` with what is expected if not."""
    if not ranks:
        raise InputError(f"ranks={text} holds no rank. {expected}")
    if ranks[0] < 2:
        raise InputError(f"ranks={text} begins with {ranks[0]}. Expected ranks of at least 2.")
    if len(ranks) < 3:
        raise InputError(f"ranks={text} holds {len(ranks)} of them. Expected at least 3, to tell peaks among them.")
    return ranks


def _sweep(given: list[str], ranks: list[int]) -> RankSweep:
    """One sweep over the halves and the folds of every rank; bi-cross-validation takes in the rank before the first."""
    halves = {"pair": range(PAIRS), "half": range(2)}
    folds = {"row_fold": range(FOLDS), "column_fold": range(FOLDS)}
    parts = [("halves", halves, ranks), ("bicross", folds, [ranks[0] - 1, *ranks])]
    sweeps = []
    for name, options, compared in parts:
        over = [f"resample.{option}={','.join(map(str, values))}" for option, values in options.items()]
        layers = f"layers={','.join(map(str, compared))}"
        found = read_sweep(["experiment=ranks", *given, f"resample={name}", *over, layers], multirun=True)
        assert found is not None
        sweeps.append(found)
    first, second = sweeps
    if first.sweeper != BASIC_SWEEPER:
        raise InputError(f"hydra/sweeper={first.sweeper} chooses fits itself, and nnmf-rank compares them all.")
    _refuse_sweeps(first.over)
    cells = [cell for sweep in sweeps for cell in sweep.cells]
    fixed = [each for each in first.fixed if each in second.fixed]
    over = list(dict.fromkeys(first.over + second.over))
    listened = first.callbacks, first.tracking
    sweep = Sweep(fixed, over, first.launcher, first.threads, len(cells), iter(cells), *listened)
    return RankSweep(sweep, cells, ranks)


def _refuse_sweeps(over: Sequence[str]) -> None:
    """Raise an `InputError` if anything is swept over beside the ranks and the parts of the data."""
    for override in over:
        if not override.startswith(("layers=", "resample.")):
            raise InputError(f"{override} is several values. Expected one: nnmf-rank compares ranks alone.")
