"""Variants of methods, data and regimes: what each is called, in which order they stand, and which run shows it."""

from __future__ import annotations

import functools
import os
import re
import sys
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from nnmf_runner.core.costs import COSTS
from nnmf_runner.core.optimizers import OPTIMIZERS
from nnmf_runner.methods import METHODS
from nnmf_runner.methods.ncpd import HIERARCHIES, TRAININGS
from nnmf_runner.store.start import INITIALISATIONS

if TYPE_CHECKING:
    import pandas as pd

# A configuration but for its seeds, as texts ``option=value``.
Options = tuple[str, ...]

SEPARATOR = ", "
# Options whose value alone says what was chosen.
CHOICES = (
    *("cost.name", "optimizer.name", "init.name", "method.solver", "method.hierarchy", "method.training"),
    "engine.name",
)
CHOSEN = [*COSTS, *OPTIMIZERS, *INITIALISATIONS, *HIERARCHIES, *TRAININGS]
# Of an experiment of which single runs are shown: nobody looks at the heatmaps of a hundred.
MOST_SHOWN = 12
# Columns of what runs of one variant of a method may differ in.
SETTING = ["dataset", "regime", "layers"]
# What prose calls methods and costs; others go by their own names.
NAMES = {
    "hier": "hierarchical NMF",
    "deep": "deep NMF",
    "neural": "Neural NMF",
    "semi": "deep semi-NMF",
    "unfolded": "unfolded NMF",
    "sparse_coding": "multilayer sparse coding",
    "ncpd": "hierarchical CP",
}
COST_NAMES = {
    "reconstruction": "reconstruction cost",
    "energy": "energy cost",
    "multilevel": "multilevel cost",
    "kl": "Kullback-Leibler divergence",
}
# A number with more than two digits after its point, alone or in a list: no part of a name or a path.
LONG_NUMBER = re.compile(r"(?<![^\[ ])-?\d+\.\d{3,}(?:e[-+]\d+)?(?![^\], ])")
NUMBER = re.compile(r"(\d+(?:\.\d+)?(?:e[+-]?\d+)?)")
# Values of options that are not set, and of switches.
UNSET, SWITCHES = ("[]", "None"), {"True": "on", "False": "off"}


class Shown(NamedTuple):
    """A run that figures show: its variant, folder and record, what else tells it apart, and the name of its data."""

    variant: str
    folder: Path
    record: dict[str, Any]
    setting: str = ""
    data: str = ""

    @property
    def label(self) -> str:
        """What the run goes by, as ``neural, energy, 9-4``."""
        return SEPARATOR.join(filter(None, [self.variant, self.setting]))


def options_of(config: dict[str, Any]) -> Options:
    """A configuration but for its seeds, as texts ``option=value``: trials may differ in that of the data too."""
    return tuple(sys.intern(f"{name}={value}") for name, value in flat(config).items() if not name.endswith("seed"))


def flat(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, with dotted names."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found


def files_of(record: Mapping[str, Any]) -> dict[str, str]:
    """Options of a run whose values are hashes of files, as texts ``option=value``, and what the files are called."""
    config, about = record["config"], record.get("dataset") or {}
    given = flat({"dataset": about.get("options") or {}})
    if "digest" in config.get("init", {}) and record.get("start"):
        given["init.digest"] = record["start"]
    own = flat({name: config[name] for name in ("dataset", "init") if name in config})
    hashed = {name: value for name, value in own.items() if name in given and given[name] != value}
    return {f"{name}={value}": _called(given[name]) for name, value in hashed.items()}


def _called(given: Any) -> str:
    """What a file is called, or several, with what is read of it: ``metadata.csv:cell_type``, wherever it is."""
    if isinstance(given, list):
        return f"[{', '.join(map(_called, given))}]"
    path, *column = str(given).partition(":")
    return "".join([os.path.basename(path.rstrip("/")), *column])


def names_of_files(files: Mapping[str, str]) -> dict[str, str]:
    """What to call the files of several runs, from `files_of`: those of other contents and one name by their hashes.

    Examples
    --------
    >>> names_of_files({"dataset.path=8f3a": "a.mtx", "dataset.path=07c1": "a.mtx", "dataset.path=55de": "b.mtx"})
    {'dataset.path=55de': 'b.mtx'}
    """
    count = Counter((_name(option), name) for option, name in files.items())
    return {option: name for option, name in files.items() if count[_name(option), name] == 1}


def variants(
    names: Iterable[tuple[Hashable, str]],
    options: Sequence[Options],
    cells: Iterable[Hashable],
    choices: Iterable[str] = CHOICES,
    files: Mapping[str, str] | None = None,
) -> list[str]:
    """Name the method of every run, with what tells it apart from others of its experiment, in plain words.

    `choices`, such as the cost, are told by their values where runs of the method differ in them, as in
    ``neural, energy``.  Any other option is told with its name, as in ``neural, weights 1.0 / 0.5``, where runs that
    are called the same so far differ in it within one cell, unless it is not set: what comes with a cost is not told
    where the cost tells enough.  Data and regimes are named alike, as in ``toy, noise 1`` and ``semisupervised, 0.4``.
    Numbers have the digits of `in_short` among the values that an experiment has of their option.

    Parameters
    ----------
    names : iterable of tuple
        The experiment of every run and its method.
    options : sequence of tuple of str
        From `options_of`, without those that are told elsewhere.
    cells : iterable of hashable
        Runs of one cell are compared with each other, so that nothing but their method may tell them apart.
    choices : iterable of str
        Options whose value alone says what was chosen.
    files : mapping of str to str, optional
        What files are called, from `names_of_files`.
    """
    scopes = list(names)
    options = _in_short([experiment for experiment, _ in scopes], options)
    telling = {scope: _differing(given) & set(choices) for scope, given in _grouped(scopes, options).items()}
    plain = [
        (scope, tuple(_value(option) for option in given if _name(option) in telling[scope]))
        for scope, given in zip(scopes, options, strict=True)
    ]
    told: dict[Hashable, set[str]] = {}
    for (name, _), found in _grouped(zip(plain, cells, strict=True), options).items():
        told.setdefault(name, set()).update(_differing(found))
    return [
        SEPARATOR.join([method, *words, *_details(given, told[(experiment, method), words], files or {})])
        for ((experiment, method), words), given in zip(plain, options, strict=True)
    ]


def in_short(values: Iterable[str]) -> dict[str, str]:
    """Texts of values with as few digits of their long numbers as still tell all of them apart, three at least.

    Examples
    --------
    >>> in_short(["1.8243248407951807e-06", "0.0001"])
    {'1.8243248407951807e-06': '1.82e-06', '0.0001': '0.0001'}
    >>> in_short(["[1.0, 0.33333333333333337]", "[1.0, 0.3332]"])
    {'[1.0, 0.33333333333333337]': '[1.0, 0.3333]', '[1.0, 0.3332]': '[1.0, 0.3332]'}
    """
    each = list(dict.fromkeys(values))
    digits = range(3, sys.float_info.dig + 3)  # the last of which tell any numbers apart
    tried = ([LONG_NUMBER.sub(functools.partial(_rounded, n), value) for value in each] for n in digits)
    apart = (some for some in tried if len(set(some)) == len(each))
    return dict(zip(each, next(apart, each), strict=True))  # texts may be the same number


def _rounded(digits: int, number: re.Match[str]) -> str:
    """A number with so many digits, or all before its point where these are more."""
    whole = len(number[0].partition(".")[0].strip("-"))
    return str(float(f"{float(number[0]):.{max(digits, whole)}g}"))


def _in_short(experiments: Sequence[Hashable], options: Sequence[Options]) -> Sequence[Options]:
    """The options of runs, with numbers as `in_short` has them among those of their experiment."""
    values: dict[tuple[Hashable, str], list[str]] = {}
    for experiment, found in _grouped(experiments, options).items():
        for option in set().union(*found):
            values.setdefault((experiment, _name(option)), []).append(_value(option))
    short = {
        (experiment, f"{name}={value}"): f"{name}={shown}"
        for (experiment, name), found in values.items()
        for value, shown in in_short(found).items()
        if shown != value
    }
    return [
        tuple(short.get((experiment, option), option) for option in given)
        for experiment, given in zip(experiments, options, strict=True)
    ]


def _grouped(keys: Iterable[Any], options: Sequence[Options]) -> dict[Any, set[Options]]:
    """The different configurations of every key."""
    groups: dict[Any, set[Options]] = {}
    for key, given in zip(keys, options, strict=True):
        groups.setdefault(key, set()).add(given)
    return groups


def _differing(configurations: Iterable[Options]) -> set[str]:
    """Names of the options that not all configurations have alike."""
    each = [set(given) for given in configurations]
    shared = functools.reduce(set.intersection, each)
    return {_name(option) for given in each for option in given - shared}


def _details(given: Options, told: set[str], files: Mapping[str, str]) -> list[str]:
    """The options to tell in words, each by the last part of its name where no other has the same one."""
    short = Counter(name.rpartition(".")[2] for name in told)
    details = []
    for option in [each for each in given if _name(each) in told]:
        name, value = _name(option), files.get(option, _value(option))
        if value not in UNSET:
            tail = name.rpartition(".")[2]
            words = (tail if short[tail] == 1 else name).replace(".", " ").replace("_", " ")
            listed = " / ".join(value.strip("[]").split(", ")) if value.startswith("[") else value
            details.append(f"{words} {SWITCHES.get(value, listed)}")
    return details


def _name(option: str) -> str:
    return option.partition("=")[0]


def _value(option: str) -> str:
    return option.partition("=")[2]


def method_of(label: str) -> str:
    """The method that a name of `variants` is of, or the data, or the regime."""
    return label.partition(SEPARATOR)[0]


def words_of(label: str) -> str:
    """What a name of `variants` says beside the method; nothing where the method has no other variant."""
    return label.partition(SEPARATOR)[2]


def in_words(label: str, cost: str | None = None) -> str:
    """A name of `variants` as prose has it, with the cost if it is given: ``Neural NMF, energy cost, adam``."""
    method, *words = label.split(SEPARATOR)
    words = [COST_NAMES.get(word, word) for word in words]
    if cost and (told := COST_NAMES.get(cost, cost)) not in words:
        words.insert(0, told)
    return SEPARATOR.join([NAMES.get(method, method.replace("_", " ")), *words])


def costs_of(runs: Iterable[Shown]) -> tuple[str | None, dict[str, str]]:
    """The cost that all variants were fitted with, as prose has it; else None, and that of each for `in_words`."""
    names = {run.variant: flat(run.record["config"]).get("cost.name") for run in runs}
    costs = {variant: name for variant, name in names.items() if isinstance(name, str)}
    if len(costs) < len(names) or len(set(costs.values())) != 1:
        return None, costs
    [cost] = set(costs.values())
    return COST_NAMES.get(cost, cost), {}


def method_order(label: str) -> tuple[int, tuple[int, ...], tuple[str | float, ...]]:
    """Place of a variant: by its method, by what was chosen, in the order of the registries, and by its numbers."""
    words = words_of(label).split(SEPARATOR)
    ranks = tuple(CHOSEN.index(word) if word in CHOSEN else len(CHOSEN) for word in words)
    return list(METHODS).index(method_of(label)), ranks, numbered(label)


def numbered(text: str) -> tuple[str | float, ...]:
    """A text with its numbers as such, to sort by: every other entry is one."""
    return tuple(float(part) if i % 2 else part for i, part in enumerate(NUMBER.split(text)))


def groups_of(table: pd.DataFrame) -> pd.Series:
    """What figures of every row go by: its experiment, with its data where runs of the experiment are of several."""
    data = table["dataset"].map(method_of)
    several = data.groupby(table["experiment"]).transform("nunique") > 1
    return table["experiment"].where(~several, table["experiment"] + "_" + data.map(file_part))


def settings_of(shown: pd.DataFrame) -> list[str]:
    """What of `SETTING` tells every row apart from others of its ``group`` and ``method``, as ``noise 1, 9-4``."""
    told = shown[SETTING].assign(dataset=shown["dataset"].map(words_of))
    differ = told.groupby([shown["group"], shown["method"]]).transform("nunique") > 1
    return [SEPARATOR.join(filter(None, row)) for row in told.where(differ, "").itertuples(index=False)]


def file_part(label: str) -> str:
    """A name of `variants` as part of the name of a file."""
    return re.sub(r"[^\w.-]+", "_", label).strip("_")
