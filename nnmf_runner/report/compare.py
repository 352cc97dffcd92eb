"""What tells runs apart: their options, their metrics, and the topics that one has and another has not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nnmf_runner.core.checks import InputError
from nnmf_runner.core.consensus import SAME, largest
from nnmf_runner.core.linalg import Index, Mask, Matrix
from nnmf_runner.metrics.recovery import match_topics, topic_cosines
from nnmf_runner.metrics.registry import METRICS
from nnmf_runner.metrics.scoring import tree_shares
from nnmf_runner.report.codes import heading_of
from nnmf_runner.report.data import attempt, load_data
from nnmf_runner.report.export import Exported, features_of, read_fitted
from nnmf_runner.report.summary import aligned, mean_text
from nnmf_runner.report.variants import files_of, flat, names_of_files
from nnmf_runner.store.model import SavedModel

# How options begin that not all methods have.
OWN = ("method.", "optimizer.")
# What is said of a topic of one run that is none of the other's.
ALONE = "without a match"
LEGEND = (
    f"Topics of a cosine of {SAME} at least are the same. That of another is its largest with any topic of its layer.\n"
    "A topic that is in both runs has moved if the topic above it is another in the other run."
)


@dataclass(frozen=True)
class Compared:
    """A run that is compared with others."""

    folder: Path
    model: SavedModel
    record: dict[str, Any]

    def heading(self, level: int, j: int) -> str:
        """What a topic is called, - where there is none."""
        return heading_of(self.record.get("topics"), level, j) if j >= 0 else "-"

    def topics(self, level: int) -> Matrix:
        """Topics of a layer in terms of the features, shape (m, k)."""
        return self.model.method.topics(self.model.fit, level)

    def parents(self, level: int) -> Index:
        """The topic above that each has the largest share of, -1 without any."""
        shares = dict(enumerate(tree_shares(self.model.method, self.model.fit))).get(level)
        return np.full(self.model.fit.A[level].shape[1], -1) if shares is None else largest(shares)


@dataclass(frozen=True)
class LayerMatch:
    """How the topics of a layer of a run are found again in another run.

    Attributes
    ----------
    cosines : ndarray of shape (k, k_other)
    partner : ndarray of int, shape (k,)
        The same topic of the other run, -1 for those without a match.
    parents : ndarray of int, shape (k,)
        The topic above, of this run.
    parents_there : ndarray of int, shape (k,)
        The topic above the partner, of the other run.
    moved : ndarray of bool, shape (k,)
        Whether these two are other topics; where both are without a match, nobody can tell.
    """

    cosines: Matrix
    partner: Index
    parents: Index
    parents_there: Index
    moved: Mask

    @property
    def origin(self) -> Index:
        """The inverse of `partner`, shape (k_other,): -1 for topics of the other run without a match."""
        found = np.full(self.cosines.shape[1], -1)
        found[self.partner[self.partner >= 0]] = np.flatnonzero(self.partner >= 0)
        return found

    def told(self) -> str:
        """How many topics are the same, moved, and without a match."""
        alone, alone_there = (self.partner < 0).sum(), (self.origin < 0).sum()
        same = f"{len(self.partner) - alone} the same, {self.moved.sum()} of them moved"
        return f"{same}; without a match {alone} of the first and {alone_there} of the other"


def compare(folders: Sequence[Path]) -> str:
    """Tables of what tells runs apart, every one compared with the first.

    Raises
    ------
    InputError
        If there are fewer than two folders, one is not that of a run with factors, or the data of two have no features
        in common.
    """
    if len(folders) < 2:
        raise InputError(f"run={folders[0]} is one run alone. Expected two or more folders of runs.")
    first, *others = runs = [read_compared(folder) for folder in folders]
    topics = [_topics_text(first, other, n) for n, other in enumerate(others, 2)]
    return "\n\n".join([_runs_text(runs), _options_text(runs), _metrics_text(runs), *topics, LEGEND])


def read_compared(folder: Path) -> Compared:
    """Read a run; an `InputError` says why the folder is that of none, or of one without factors."""
    model, record = read_fitted(folder)
    if record is None:
        raise InputError(f"run={folder} is a saved model, which has no metrics. Expected the folder of a run.")
    return Compared(folder, model, record)


def differing_options(records: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """The options, by dotted name, in which runs differ, with their values; - where one has none.

    Of runs of several methods, options that belong to some of these alone make no difference.  Files are told by their
    names, see `names_of_files`.

    Examples
    --------
    >>> configs = [{"seed": 0, "cost": {"name": "kl"}}, {"seed": 0, "cost": {"name": "energy"}, "tol": 0.1}]
    >>> differing_options([{"config": {"method": {"name": "neural"}, **config}} for config in configs])
    {'cost.name': ['kl', 'energy'], 'tol': ['-', '0.1']}
    """
    each = [flat(record["config"]) for record in records]
    methods = {config["method.name"] for config in each}
    names = names_of_files({option: name for record in records for option, name in files_of(record).items()})
    found = {}
    for name in dict.fromkeys(name for config in each for name in config):
        values = [str(config.get(name, "-")) for config in each]
        is_own = len(methods) > 1 and name.startswith(OWN) and any(name not in config for config in each)
        if len(set(values)) > 1 and not is_own:
            found[name] = [names.get(f"{name}={value}", value) for value in values]
    return found


def match_runs(first: Compared, other: Compared) -> list[LayerMatch]:
    """Match the topics of every layer that both runs have, by the largest total cosine over all features of either.

    Features are matched by name where those of both are known, and else one by one.  An `InputError` says so if there
    is no way to match them.
    """
    rows, rows_there, count = _common_rows(first, other)
    found: list[LayerMatch] = []
    for level in reversed(range(min(len(first.model.fit.A), len(other.model.fit.A)))):
        topics = [_placed(first.topics(level), rows, count)], [_placed(other.topics(level), rows_there, count)]
        cosines, partner = topic_cosines(*topics), match_topics(*topics)[0]
        same = (partner >= 0) & (np.take_along_axis(cosines, partner[:, None], axis=1)[:, 0] >= SAME)
        partner = np.where(same, partner, -1)
        above = found[0] if found else None
        found.insert(
            0, LayerMatch(cosines, partner, *_moves(partner, first.parents(level), other.parents(level), above))
        )
    return found


def _moves(partner: Index, parents: Index, others: Index, above: LayerMatch | None) -> tuple[Index, Index, Mask]:
    """The parents of topics in both runs, and whether they are other topics, see `LayerMatch`."""
    there = np.where(partner >= 0, others[partner], -1)
    has_both = (parents >= 0) & (there >= 0)
    if above is None:
        return parents, there, np.zeros_like(has_both)
    into, origin = above.partner[parents], above.origin[there]
    return parents, there, has_both & (into != there) & ((into >= 0) | (origin >= 0))


def _placed(topics: Matrix, rows: Index, count: int) -> Matrix:
    """Topics with the rows of their features among those of two runs."""
    placed = np.zeros((count, topics.shape[1]))
    placed[rows] = topics
    return placed


def _common_rows(first: Compared, other: Compared) -> tuple[Index, Index, int]:
    """Where the features of two runs stand among those of either, and how many these are."""
    sizes = [len(run.model.fit.A[0]) for run in (first, other)]
    which = f"run={first.folder} and run={other.folder}"
    parts = [run.record["config"].get("resample") for run in (first, other)]
    if parts[0] != parts[1]:
        raise InputError(f"{which} saw different parts of their data. Expected runs of the same features.")
    names = None if _data(first) == _data(other) else [_names(run) for run in (first, other)]
    if names is None or None in names:
        if sizes[0] != sizes[1]:
            raise InputError(
                f"{which} have {sizes[0]} and {sizes[1]} features, whose names are not all known. Expected runs of the "
                "same features."
            )
        return np.arange(sizes[0]), np.arange(sizes[1]), sizes[0]
    places: dict[Hashable, int] = {}
    rows = [np.array([places.setdefault(name, len(places)) for name in own or ()]) for own in names]
    if len(places) == sum(sizes):
        raise InputError(f"{which} have no features in common. Expected runs of data whose features have common names.")
    return rows[0], rows[1], len(places)


def _data(run: Compared) -> Any:
    return run.record["dataset"].get("fingerprint")


def _names(run: Compared) -> list[Hashable] | None:
    """Names of the features, equal ones told apart by their number; None if they are not known."""
    data = None
    if run.model.feature_names is None:  # of a tensor, or a run that keeps none
        data = attempt(lambda: load_data(run.record), f"{run.folder} is compared without names of features")
    names = features_of(Exported(run.folder, run.model, data, None))
    return None if isinstance(names, range) else list(_distinct(names))


def _distinct(names: Iterable[str]) -> Iterator[Hashable]:
    seen: Counter[str] = Counter()
    for name in names:
        yield name, seen[name]
        seen[name] += 1


def _columns(runs: Sequence[Compared]) -> list[str]:
    return [f"run {n}" for n, _ in enumerate(runs, 1)]


def _runs_text(runs: Sequence[Compared]) -> str:
    return aligned([[name, str(run.folder)] for name, run in zip(_columns(runs), runs, strict=True)], left=[0, 1])


def _options_text(runs: Sequence[Compared]) -> str:
    options = differing_options([run.record for run in runs])
    if not options:
        return "no option differs"
    rows = [["option", *_columns(runs)], *([name, *values] for name, values in options.items())]
    return aligned(rows, left=range(len(rows[0])))


def _metrics_text(runs: Sequence[Compared]) -> str:
    rows = [["layer", "metric", *_columns(runs)]]
    for level in range(max(len(run.record["layers"]) for run in runs)):
        layers = [dict(enumerate(run.record["layers"])).get(level, {}) for run in runs]
        for name, heading in ({"rank": "rank"} | {metric.name: metric.heading for metric in METRICS.values()}).items():
            values = [layer.get(name) for layer in layers]
            if values != [None] * len(runs):
                rows.append([str(level), heading, *(mean_text([value]) for value in values)])
    return aligned(rows, left=[1])


def _topics_text(first: Compared, other: Compared, n: int) -> str:
    """The topics of every layer of two runs side by side."""
    parts = []
    for level, match in enumerate(match_runs(first, other)):
        rows = [["run 1", f"run {n}", "cosine", ""], *topic_rows(first, other, level, match)]
        parts.append(f"layer {level} of run 1 and run {n}: {match.told()}\n{aligned(rows, left=[0, 1, 3])}")
    return "\n\n".join(parts)


def topic_rows(first: Compared, other: Compared, level: int, match: LayerMatch) -> Iterator[list[str]]:
    """The topics of a layer of two runs side by side, with their cosines and what became of them."""
    for i, j in enumerate(match.partner.tolist()):
        cosine = match.cosines[i, j] if j >= 0 else match.cosines[i].max()
        what = ALONE if j < 0 else ""
        if match.moved[i]:  # topics of two runs, whose numbers may be the same
            above, above_there = f"{level + 1}.{match.parents[i]}", f"{level + 1}.{match.parents_there[i]}"
            what = f"moved: below {above} in the first, below {above_there} in the other"
        yield [first.heading(level, i), other.heading(level, j), f"{cosine:.2f}", what]
    for j in np.flatnonzero(match.origin < 0).tolist():
        yield ["-", other.heading(level, j), f"{match.cosines[:, j].max():.2f}", ALONE]
