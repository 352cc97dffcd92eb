"""All figures of collected runs: a new one is a file of its own and a line in a registry here."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from nnmf_runner.datasets.pictures import FEATURES, SAMPLES
from nnmf_runner.report.data import attempt
from nnmf_runner.report.figures.abundances import abundances
from nnmf_runner.report.figures.comparison import comparison
from nnmf_runner.report.figures.convergence import convergence
from nnmf_runner.report.figures.factors import factors
from nnmf_runner.report.figures.heatmaps import heatmaps
from nnmf_runner.report.figures.images import images
from nnmf_runner.report.figures.material import View, load_view
from nnmf_runner.report.figures.projections import projections
from nnmf_runner.report.figures.regimes_map import regime_map
from nnmf_runner.report.figures.samples import samples
from nnmf_runner.report.figures.spectra import spectra
from nnmf_runner.report.figures.style import Look, drawing, looks_of, save
from nnmf_runner.report.figures.topic_tree import topic_tree
from nnmf_runner.report.regimes import methods_of
from nnmf_runner.report.variants import MOST_SHOWN, Shown, file_part, groups_of, method_of

log = logging.getLogger(__name__)

# By the ends of their files; None where there is nothing to draw, as of a run whose data cannot be shown.
RUN_FIGURES: dict[str, Callable[[Shown, View | None], Figure | None]] = {
    "topics": lambda run, view: topic_tree(run.record, run.variant, run.data) if run.record.get("topics") else None,
    "heatmaps": lambda run, view: heatmaps(view) if view and view.approximations and not view.mode_topics else None,
    "factors": lambda run, view: factors(view) if view and view.mode_topics else None,
    "projections": lambda run, view: projections(view) if view and view.dataset.modes else None,
    "images": lambda run, view: images(view) if view and view.pixels == FEATURES else None,
    "samples": lambda run, view: samples(view) if view and view.pixels == FEATURES else None,
    "abundances": lambda run, view: abundances(view) if view and view.pixels == SAMPLES else None,
    "spectra": lambda run, view: spectra(view) if view and view.pixels == SAMPLES else None,
}
# From the runs of a group, see `groups_of`, its parts of the summary and of the comparisons, and the looks of all its
# variants.
EXPERIMENT_FIGURES: dict[str, Callable[..., Figure | None]] = {
    "convergence": lambda runs, summary, pairs, looks: (
        convergence(runs[:MOST_SHOWN], looks, len(runs)) if runs else None
    ),
    "comparison": lambda runs, summary, pairs, looks: comparison(summary, looks, runs) if comparable(summary) else None,
    "map": lambda runs, summary, pairs, looks: (
        regime_map(pairs, looks, method_of(summary["dataset"].iloc[0]) if len(summary) else None)
        if len(pairs)
        else None
    ),
}


def draw_all(
    shown: Mapping[str, Sequence[Shown]],
    summary: pd.DataFrame,
    comparisons: pd.DataFrame,
    folder: Path,
    see: Callable[[Shown, View], None] = lambda run, view: None,
) -> Iterator[Path]:
    """Draw what there is to draw of every experiment and of the runs that stand for its variants; yield each file.

    `shown` has those runs by what `groups_of` says; `summary` and `comparisons` are of all experiments, from
    `nnmf_runner.report.table.summarise` and `nnmf_runner.report.regimes.compare`.  The folder is made if it does not
    exist.  `see` is given every run whose data and factors can be shown, with these.
    """
    with drawing():
        for name in dict.fromkeys([*shown, *comparisons["experiment"]]):  # whose map may be of several data
            all_runs = shown.get(name, [])
            runs = all_runs[:MOST_SHOWN]
            if runs:
                told = ", ".join(f"{run.label} ({run.folder.name})" for run in runs)
                log.info("%s: single runs that are drawn: %s. nnmf-collect RUN draws any other.", name, told)
            if len(all_runs) > len(runs):
                log.info("%s: runs of %d of %d configurations are drawn.", name, len(runs), len(all_runs))
            tables = [summary[groups_of(summary) == name], comparisons[comparisons["experiment"] == name]]
            for run in runs:
                for end, figure in figures_of(run, see):
                    yield from save(figure, folder / f"{name}_{file_part(run.label)}_{end}")
            looks = looks_of_group(runs, *tables)
            for end, draw_whole in EXPERIMENT_FIGURES.items():
                yield from save(draw_whole(all_runs, *tables, looks), folder / f"{name}_{end}")


def figures_of(
    run: Shown, see: Callable[[Shown, View], None] = lambda run, view: None
) -> Iterator[tuple[str, Figure | None]]:
    """Draw what there is to draw of one run, each figure after the end of its name, in the style that is set.

    For `see`, see `draw_all`.
    """
    view = attempt(functools.partial(load_view, run), f"{run.folder} has no heatmaps")
    if view is not None:
        see(run, view)
    for end, draw in RUN_FIGURES.items():
        yield end, attempt(functools.partial(draw, run, view), f"{run.folder} has no figure of {end}")


def draw_run(run: Shown, folder: Path) -> list[Path]:
    """Draw one run by itself, its convergence among it, into a folder; return the paths of the pictures."""
    paths = []
    with drawing():
        whole = attempt(functools.partial(convergence, [run], looks_of([run.label])), f"{run.folder} has no history")
        for end, figure in [*figures_of(run), ("convergence", whole)]:
            if figure is not None:
                paths.append(folder / f"{end}.png")
                figure.savefig(paths[-1])
    return paths


def looks_of_group(runs: Sequence[Shown], summary: pd.DataFrame, comparisons: pd.DataFrame) -> dict[str, Look]:
    """The looks of all variants of a group, in every figure the same, from what `EXPERIMENT_FIGURES` are drawn of."""
    compared = [
        *(summary["method"] if comparable(summary) else []),
        *(methods_of(comparisons) if len(comparisons) else []),
    ]
    return looks_of([*(run.label for run in runs), *compared])


def comparable(summary: pd.DataFrame) -> bool:
    """Whether there are several methods on one dataset."""
    return summary["method"].nunique() > 1 and summary["dataset"].nunique() == 1
