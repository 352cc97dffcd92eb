"""All metrics, in the order of their columns.  A new one is an entry of `METRICS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal

import numpy as np

from nnmf_runner.methods.ncpd import ALONE
from nnmf_runner.metrics.classification import accuracy
from nnmf_runner.metrics.errors import relative_error
from nnmf_runner.metrics.recovery import Planted, topic_recovery
from nnmf_runner.metrics.resampling import left_out_error
from nnmf_runner.metrics.topics import npmi_coherence, topic_diversity, unlinked_topics
from nnmf_runner.metrics.trees import tree_loss
from nnmf_runner.metrics.view import LayerView

Record = dict[str, Any]


@dataclass(frozen=True)
class Metric:
    """A number that says how good a fit is.  Metrics are computed from a layer, and never fit a model.

    A metric of the whole fit has the value None for all layers but the last.
    """

    name: str  # in records and files
    title: str  # of its tables and maps
    heading: str  # in the terminal
    # The value for a layer, None where there is nothing to measure; no function for what a run alone has.
    of_layer: Callable[[LayerView], float | None] | None = None
    # The value for a run by its record, where it is neither that of the last layer nor measured beside the fit.
    of_record: Callable[[Record], float | None] | None = None
    # Whether the record of a layer has the metric at all, be it without a value.
    applies: Callable[[LayerView], bool] = lambda layer: True
    needs: str | None = None  # an option of a run; where it is zero, there is nothing to measure
    better: Literal["lower", "higher"] = "higher"
    digits: int = 3  # that tables show; means that are equal at them are equally good
    in_tables: bool = False
    by_layer: bool = False  # whether a table with one row per layer follows that of the runs
    has_floor: bool = False  # whether the Eckart-Young floor bounds it and stands beside it
    terminal: Literal["always", "if any", "never"] = "never"  # "if any" is where a layer has a value
    in_map: bool = False  # whether the map of a sweep compares methods by it, which has to be a share

    def of_run(self, record: Record) -> float | None:
        """The value that stands for a run, from its record."""
        if self.of_record is not None:
            return self.of_record(record)
        last = record["layers"][-1] if record["layers"] else {}
        return (last | record["metrics"]).get(self.name)


def _heldout_error(layer: LayerView) -> float | None:
    held = layer.entries.heldout
    return None if held is None else relative_error(held, layer.approximation, np.isfinite(held))


def _left_out_error(layer: LayerView) -> float | None:
    if layer.left_out is None:
        return None
    return left_out_error(layer.topics, layer.fit.S[layer.index], layer.left_out, signed=layer.method.sign_free)


def _excess(record: Record) -> float | None:
    error, floor = METRICS["relative_error"].of_run(record), METRICS["floor"].of_run(record)
    return None if error is None or floor is None else error - floor


def _topic_cosine(layer: LayerView) -> float | None:
    planted = Planted.of(layer.dataset, by_mode=layer.has_modes)
    return topic_recovery(layer.modes[:-1], planted) if planted else None


def _mean_cosine(record: Record) -> float | None:
    """The mean over the layers."""
    cosines = [layer["topic_cosine"] for layer in record["layers"] if layer.get("topic_cosine") is not None]
    return fmean(cosines) if cosines else None


def _tree_loss(layer: LayerView) -> float | None:
    """How far the topics are from a tree over those of the layer below; None for the first layer."""
    return tree_loss(layer.below.modes, layer.modes) if layer.index else None


def _coherence(layer: LayerView) -> float | None:
    """Mean over the topics that have several top words."""
    if layer.top_words is None or layer.is_distributed:
        return None
    coherence = npmi_coherence(layer.dataset.X, layer.top_words)
    known = coherence[np.isfinite(coherence)]
    return float(known.mean()) if len(known) else None


def _clustering(index: Literal["purity", "nmi", "ari"], way: Literal["by_largest_code", "by_kmeans"]) -> Metric:
    """Agreement of the labels with clusters of the samples, by one index and one way to cluster."""
    name, title = index if way == "by_largest_code" else f"{index}_kmeans", f"{index} {way.replace('_', ' ')}"
    return Metric(
        name,
        title,
        title,
        lambda layer: getattr(getattr(layer, way), index, None),
        applies=lambda layer: layer.labels is not None,
    )


# What several of them share: how errors are shown, and the places of what readers look at first.
ERROR: dict[str, Any] = {"better": "lower", "digits": 4}
FIRST: dict[str, Any] = {"in_tables": True, "by_layer": True, "terminal": "always"}

METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(
            "relative_error",
            "Relative error",
            "relative error",
            lambda layer: relative_error(layer.entries.X, layer.approximation, layer.entries.mask),
            has_floor=True,
            **ERROR | FIRST,
        ),
        Metric(
            "floor", "Eckart-Young floor", "Eckart-Young floor", lambda layer: layer.floor, terminal="always", **ERROR
        ),
        # Of a tensor: what its approximation by as many topics has without a hierarchy.
        Metric(
            "alone_error",
            "Relative error of a CP model of that rank by itself",
            "CP of that rank alone",
            lambda layer: float(layer.fit.parameters[ALONE][layer.index]),
            applies=lambda layer: ALONE in layer.fit.parameters,
            in_tables=True,
            by_layer=True,
            terminal="if any",
            **ERROR,
        ),
        Metric(
            "excess", "Relative error above the floor", "error above the floor", of_record=_excess, in_map=True, **ERROR
        ),
        Metric(
            "heldout_error",
            "Relative error of the entries held out",
            "of entries held out",
            _heldout_error,
            needs="holdout",
            in_tables=True,
            terminal="if any",
            **ERROR,
        ),
        Metric(
            "left_out_error",
            "Relative error of the rows and columns left out",
            "of rows and columns left out",
            _left_out_error,
            applies=lambda layer: layer.left_out is not None,
            in_tables=True,
            terminal="if any",
            **ERROR,
        ),
        # Of a linear map from the codes that is fitted with the known labels, over all samples and over the others.
        Metric(
            "accuracy",
            "Accuracy over all samples",
            "accuracy",
            lambda layer: layer.accuracy.all,
            needs="label_fraction",
            **FIRST,
        ),
        Metric(
            "accuracy_unknown",
            "Accuracy on the unlabelled samples",
            "unlabelled",
            lambda layer: layer.accuracy.unknown,
            needs="label_fraction",
            in_map=True,
            **FIRST,
        ),
        # Where all layers are evaluated on one coarser level.
        Metric(
            "accuracy_unknown_finest",
            "Accuracy on the unlabelled samples, finest labels",
            "unlabelled, finest labels",
            lambda layer: accuracy(layer.codes, layer.dataset.labels[0], layer.known).unknown,
            applies=lambda layer: layer.adds_finest,
            in_tables=True,
            by_layer=True,
        ),
        # Where the method was given no labels.
        Metric(
            "accuracy_fit",
            "Accuracy of a linear probe fitted with all labels",
            "linear probe (all labels)",
            lambda layer: layer.accuracy.fit,
            in_tables=True,
            terminal="always",
        ),
        *(_clustering(index, way) for way in ("by_largest_code", "by_kmeans") for index in ("purity", "nmi", "ari")),
        # Topics that are empty, or that no topic of the next layer is made of.
        Metric(
            "unlinked_topics",
            "Topics that take no part",
            "unlinked topics",
            lambda layer: unlinked_topics(layer.factors)[layer.index],
            better="lower",
            digits=0,
        ),
        # Of a tensor: between a layer and the one below.
        Metric(
            "tree_loss",
            "Distance of the topics from a tree over those below",
            "tree loss",
            _tree_loss,
            applies=lambda layer: layer.dataset.modes is not None,
            better="lower",
            in_tables=True,
            by_layer=True,
            terminal="if any",
        ),
        Metric(
            "topic_cosine", "Recovery of the planted topics", "planted topics", _topic_cosine, _mean_cosine, in_map=True
        ),
        Metric(
            "npmi",
            "Coherence (NPMI) of the top words",
            "NPMI",
            _coherence,
            in_tables=True,
            by_layer=True,
            terminal="if any",
        ),
        Metric(
            "diversity",
            "Share of distinct words among the top words",
            "diversity",
            lambda layer: None if layer.top_words is None else topic_diversity(layer.top_words),
            in_tables=True,
            terminal="if any",
        ),
        Metric(
            "tree_agreement",
            "Recovery of the planted tree",
            "planted tree",
            of_record=lambda record: record.get("tree_agreement"),
            in_map=True,
        ),
        # Wall time, without loading and scoring.
        Metric("seconds", "Fit time (s)", "fit time (s)", better="lower", digits=2, in_tables=True),
    )
}


def tabled(*, by_layer: bool = False) -> list[Metric]:
    """Metrics that have a table, or of them those that have one with a row per layer."""
    return [metric for metric in METRICS.values() if metric.in_tables and (metric.by_layer or not by_layer)]


def mapped() -> list[Metric]:
    """Metrics by which the map of a sweep compares methods."""
    return [metric for metric in METRICS.values() if metric.in_map]
