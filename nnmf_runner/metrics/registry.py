"""All metrics, in the order of their columns.  A new one is a class and a line of `METRICS`."""

from __future__ import annotations

from statistics import fmean
from typing import Any, Literal

import numpy as np

from nnmf_runner.metrics.classification import accuracy
from nnmf_runner.metrics.errors import relative_error
from nnmf_runner.metrics.recovery import topic_recovery
from nnmf_runner.metrics.topics import npmi_coherence, topic_diversity, unlinked_topics
from nnmf_runner.metrics.view import LayerView


class Metric:
    """A number that says how good a fit is.  Subclasses compute it from a layer in `_value`, and never fit a model.

    A metric of the whole fit has the value None for all layers but the last.
    """

    name: str  # in records and files
    title: str  # of its tables and maps
    heading: str  # in the terminal
    better: Literal["lower", "higher"] = "higher"
    digits: int = 3  # that tables show; means that are equal at them are equally good
    scope: Literal["layer", "run"] = "layer"  # "run" is measured beside the fit, or derived from the record in `of_run`
    in_tables: bool = False
    by_layer: bool = False  # whether a table with one row per layer follows that of the runs
    has_floor: bool = False  # whether the Eckart-Young floor bounds it and stands beside it
    terminal: Literal["always", "if any", "never"] = "never"  # "if any" is where the first layer has a value
    in_map: bool = False  # whether the map of a sweep compares methods by it, which has to be a share

    def _value(self, layer: LayerView) -> float | None:
        raise NotImplementedError

    def __call__(self, layer: LayerView) -> float | None:
        """The value for a layer; None where there is nothing to measure."""
        return self._value(layer)

    def applies(self, layer: LayerView) -> bool:
        """Whether the record of a layer has the metric at all, be it without a value."""
        return True

    def of_run(self, record: dict[str, Any]) -> float | None:
        """The value that stands for a run, from its record: that of the last layer, unless a subclass differs."""
        last = record["layers"][-1] if record["layers"] else {}
        return (last | record["metrics"]).get(self.name)


class RelativeError(Metric):
    """Relative error of the entries that the method saw."""

    name, title, heading = "relative_error", "Relative error", "relative error"
    better, digits, has_floor = "lower", 4, True
    in_tables, by_layer, terminal = True, True, "always"

    def _value(self, layer: LayerView) -> float | None:
        entries = layer.entries
        return relative_error(entries.X, *layer.approximation, entries.mask)


class Floor(Metric):
    """Relative error that no factorisation of the layer's rank can beat."""

    name, title, heading = "floor", "Eckart-Young floor", "Eckart-Young floor"
    better, digits, terminal = "lower", 4, "always"

    def _value(self, layer: LayerView) -> float | None:
        return layer.floor


class Excess(Metric):
    """Relative error of the last layer less its floor."""

    name, title, heading = "excess", "Relative error above the floor", "error above the floor"
    better, digits, scope, in_map = "lower", 4, "run", True

    def of_run(self, record: dict[str, Any]) -> float | None:
        """The difference; None where there is no floor."""
        error, floor = METRICS["relative_error"].of_run(record), METRICS["floor"].of_run(record)
        return None if error is None or floor is None else error - floor


class HeldoutError(Metric):
    """Relative error of the entries that were held out."""

    name, title, heading = "heldout_error", "Relative error of the entries held out", "of entries held out"
    better, digits, in_tables, terminal = "lower", 4, True, "if any"

    def _value(self, layer: LayerView) -> float | None:
        held = layer.entries.heldout
        return None if held is None else relative_error(held, *layer.approximation, np.isfinite(held))


class AccuracyOfAll(Metric):
    """Accuracy over all samples of a linear map fitted with the known labels."""

    name, title, heading = "accuracy", "Accuracy over all samples", "accuracy"
    in_tables, by_layer, terminal = True, True, "always"

    def _value(self, layer: LayerView) -> float | None:
        return layer.accuracy.all


class AccuracyOfUnlabelled(Metric):
    """Accuracy of the same map on the samples whose label the method was not given."""

    name, title, heading = "accuracy_unknown", "Accuracy on the unlabelled samples", "unlabelled"
    in_tables, by_layer, terminal, in_map = True, True, "always", True

    def _value(self, layer: LayerView) -> float | None:
        return layer.accuracy.unknown


class AccuracyOfFinest(Metric):
    """Accuracy on the finest labels where all layers are evaluated on one coarser level."""

    name, heading = "accuracy_unknown_finest", "unlabelled, finest labels"
    title = "Accuracy on the unlabelled samples, finest labels"
    in_tables, by_layer = True, True

    def applies(self, layer: LayerView) -> bool:
        """Whether there is such a level."""
        return layer.adds_finest

    def _value(self, layer: LayerView) -> float | None:
        return accuracy(layer.codes, layer.dataset.labels[0], layer.known).unknown


class LinearProbe(Metric):
    """Accuracy of a linear map fitted with all labels, where the method was given none."""

    name, heading = "accuracy_fit", "linear probe (all labels)"
    title = "Accuracy of a linear probe fitted with all labels"
    in_tables, terminal = True, "always"

    def _value(self, layer: LayerView) -> float | None:
        return layer.accuracy.fit


class Clustering(Metric):
    """Agreement of the labels with clusters of the samples, by one index and one way to cluster.

    Parameters
    ----------
    index : {"purity", "nmi", "ari"}
    way : {"by_largest_code", "by_kmeans"}
    """

    def __init__(self, index: str, way: str) -> None:
        self.index, self.way = index, way
        self.name = index if way == "by_largest_code" else f"{index}_kmeans"
        self.title = self.heading = f"{index} {way.replace('_', ' ')}"

    def applies(self, layer: LayerView) -> bool:
        """Whether there are labels."""
        return layer.labels is not None

    def _value(self, layer: LayerView) -> float | None:
        return getattr(getattr(layer, self.way), self.index, None)


class UnlinkedTopics(Metric):
    """Number of topics that are empty, or that no topic of the next layer is made of."""

    name, title, heading, better, digits = "unlinked_topics", "Topics that take no part", "unlinked topics", "lower", 0

    def _value(self, layer: LayerView) -> float | None:
        return unlinked_topics(layer.fit.A)[layer.index]


class TopicCosine(Metric):
    """Mean cosine of the planted topics with those found."""

    name, title, heading = "topic_cosine", "Recovery of the planted topics", "planted topics"
    in_map = True

    def _value(self, layer: LayerView) -> float | None:
        truth = layer.dataset.truth
        return topic_recovery(layer.topics, truth.A) if truth else None

    def of_run(self, record: dict[str, Any]) -> float | None:
        """The mean over the layers."""
        cosines = [layer[self.name] for layer in record["layers"] if layer.get(self.name) is not None]
        return fmean(cosines) if cosines else None


class Coherence(Metric):
    """Mean NPMI of the top words over the topics that have several."""

    name, title, heading = "npmi", "Coherence (NPMI) of the top words", "NPMI"
    in_tables, by_layer, terminal = True, True, "if any"

    def _value(self, layer: LayerView) -> float | None:
        if layer.top_words is None:
            return None
        coherence = npmi_coherence(layer.dataset.X, layer.top_words)
        known = coherence[np.isfinite(coherence)]
        return float(known.mean()) if len(known) else None


class Diversity(Metric):
    """Share of distinct words among the top words of all topics."""

    name, title, heading = "diversity", "Share of distinct words among the top words", "diversity"
    in_tables, terminal = True, "if any"

    def _value(self, layer: LayerView) -> float | None:
        return None if layer.top_words is None else topic_diversity(layer.top_words)


class TreeAgreement(Metric):
    """Share of the planted topics that are found below their planted parent."""

    name, title, heading = "tree_agreement", "Recovery of the planted tree", "planted tree"
    scope, in_map = "run", True

    def of_run(self, record: dict[str, Any]) -> float | None:
        """The value beside the metrics of the record."""
        return record.get(self.name)


class FitTime(Metric):
    """Wall time of the fit, without loading and scoring."""

    name, title, heading = "seconds", "Fit time (s)", "fit time (s)"
    better, digits, scope, in_tables = "lower", 2, "run", True


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        RelativeError(),
        Floor(),
        Excess(),
        HeldoutError(),
        AccuracyOfAll(),
        AccuracyOfUnlabelled(),
        AccuracyOfFinest(),
        LinearProbe(),
        *(Clustering(index, way) for way in ("by_largest_code", "by_kmeans") for index in ("purity", "nmi", "ari")),
        UnlinkedTopics(),
        TopicCosine(),
        Coherence(),
        Diversity(),
        TreeAgreement(),
        FitTime(),
    )
}


def tabled(*, by_layer: bool = False) -> list[Metric]:
    """Metrics that have a table, or of them those that have one with a row per layer."""
    return [metric for metric in METRICS.values() if metric.in_tables and (metric.by_layer or not by_layer)]


def mapped() -> list[Metric]:
    """Metrics by which the map of a sweep compares methods."""
    return [metric for metric in METRICS.values() if metric.in_map]
