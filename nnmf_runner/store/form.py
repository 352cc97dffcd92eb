"""What a record holds: its words, and the form of every field that status, tables and figures rely on."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from typing import Any

from nnmf_runner.methods import METHODS

# Status of a run.  Only the first two give numbers that a table may average.
DONE, MAX_ITER, DIVERGED, FAILED, INTERRUPTED = "done", "max_iter", "diverged", "failed", "interrupted"
TIMED_OUT = "timed_out"
COUNTED = (DONE, MAX_ITER)
STATUSES = [*COUNTED, DIVERGED, FAILED, INTERRUPTED, TIMED_OUT]

# Names for the share of labels that a method is given: none, some, all.
REGIMES = ["unsupervised", "semisupervised", "supervised"]

Check = Callable[[Any], bool]
_ABSENT = object()


def check_form(record: dict[str, Any]) -> None:
    """Raise a ValueError that names the first field that is missing or damaged."""
    for name, is_right in FORM.items():
        value: Any = record
        for key in name.split("."):
            value = value.get(key, _ABSENT) if isinstance(value, dict) else _ABSENT
        if name in OPTIONAL and (value is _ABSENT or (value is None and not name.startswith("dataset"))):
            continue
        if value is None or value is _ABSENT:
            raise ValueError(f"is incomplete: it has no {name}")
        if not is_right(value):
            raise ValueError(f"is damaged: {name}={_short(value)} is not what a record holds there")
    if any(len(record.get(name) or ()) > len(record["config"]["layers"]) for name in ("layers", "topics")):
        raise ValueError("is damaged: it has more layers than ranks")
    topics, strongest = (record.get(name) or [] for name in ("topics", "strongest"))
    if strongest and topics and [*map(len, topics)] != [*map(len, strongest)]:  # which reports tell together
        raise ValueError("is damaged: it has samples of other topics")
    if found := record.get("consensus"):  # beside whose topics reports say how stable they are
        told = [found["stability"], *([record["topics"]] if record.get("topics") else [])]
        if any([*map(len, layers)] != record["config"]["layers"] for layers in told):
            raise ValueError("is damaged: its consensus is of other ranks")


def _short(value: Any, most: int = 60) -> str:
    text = repr(value) if not isinstance(value, int) else f"{float(value):g}" if is_number(value) else "a huge number"
    return text if len(text) <= most else f"{text[:most]}..."


def is_text(value: Any) -> bool:
    """Whether it is a string."""
    return isinstance(value, str)


def is_number(value: Any) -> bool:
    """Whether it is a finite number within the range of doubles."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def is_count(value: Any) -> bool:
    """Whether it is an integer from zero up that an array may have as its length."""
    return type(value) is int and 0 <= value <= sys.maxsize


def is_file_name(value: Any) -> bool:
    """Whether it may begin the names of files in one folder."""
    return is_text(value) and not {"/", "\0"} & set(value)


def optional(check: Check) -> Check:
    """Whether it is None, or what `check` says."""
    return lambda value: value is None or check(value)


def one_of(values: Any) -> Check:
    """Whether it is one of several strings."""
    return lambda value: is_text(value) and value in values


def list_of(check: Check) -> Check:
    """Whether it is a list of what `check` says."""
    return lambda value: isinstance(value, list) and all(map(check, value))


def mapping(values: Check = lambda value: True, /, **named: Check) -> Check:
    """Whether it is a mapping to what `values` says that has all the `named` entries, each as its own check says."""
    return lambda value: (
        isinstance(value, dict)
        and all(map(values, value.values()))
        and all(name in value and check(value[name]) for name, check in named.items())
    )


# What a record says of a topic: its top words and their shares of it, and the words that set it apart; of a tensor's,
# the same for every mode whose entries have names.
WORDS = {"words": list_of(is_text), "weights": list_of(is_number), "distinctive": list_of(is_text)}
MODES = {"modes": list_of(mapping(name=is_text, **WORDS))}
# The topics below with their shares of it, and the topic above that it has the largest share of (None for those of the
# last layer).
LINKS = {"children": list_of(is_count), "child_weights": list_of(is_number), "parent": optional(is_count)}
TOPIC = WORDS | LINKS
TENSOR_TOPIC = MODES | LINKS
# The samples that a topic is strongest in, by their indices, and their names where they have some; where topics have no
# words `LINKS` as well, but in records of earlier versions.
STRONGEST = {"samples": list_of(is_count), "strengths": list_of(is_number)}


def are_strongest(layers: Any) -> bool:
    """Whether it holds for every layer and each of its topics as many strengths, and names, as samples."""
    return (
        list_of(list_of(mapping(**STRONGEST)))(layers)
        and all(
            list_of(is_text)(names := topic.get("names", [""] * len(topic["samples"])))
            and len(topic["samples"]) == len(topic["strengths"]) == len(names)
            for layer in layers
            for topic in layer
        )
        and (not _are_linked(layers) or _is_tree(layers))
    )


def _are_linked(layers: Any) -> bool:
    """Whether any topic says what is below it."""
    return any("children" in topic for layer in layers for topic in layer)


def is_forest(layers: Any) -> bool:
    """Whether it holds for every layer its topics, each with what the tree shows, and all that they name are there."""
    return _is_tree(layers) and any(list_of(list_of(mapping(**form)))(layers) for form in (TOPIC, TENSOR_TOPIC))


def _is_tree(layers: Any) -> bool:
    """Whether every topic has links, and all that they name are there."""
    if not list_of(list_of(mapping(**LINKS)))(layers):
        return False
    sizes = [0, *map(len, layers), 0]
    return all(
        len(topic["children"]) == len(topic["child_weights"])
        and max(topic["children"], default=-1) < below
        and (topic["parent"] is None or topic["parent"] < above)
        for below, topics, above in zip(sizes, layers, sizes[2:], strict=False)
        for topic in topics
    )


def is_consensus(value: Any) -> bool:
    """Whether it holds the trials of a consensus, how stable every topic is, and the votes for every link."""
    matrix = list_of(list_of(is_number))
    is_whole = mapping(members=mapping(is_text), stability=matrix, votes=list_of(matrix))(value)
    if not is_whole or not optional(is_number)(value.get("tree_agreement")):
        return False
    sizes = [*map(len, value["stability"])]
    votes = [[*map(len, of_layer)] for of_layer in value["votes"]]
    return all(sizes) and votes == [[above] * below for below, above in itertools.pairwise(sizes)]


# By its dotted name in a record.
FORM: dict[str, Check] = {
    "config.seed": lambda value: type(value) is int and is_number(value) and value >= 0,
    "config.dataset.name": is_text,
    "config.method.name": one_of(METHODS),
    "config.layers": list_of(is_count),
    "config.tol": is_number,
    "status": one_of(STATUSES),
    "regime": one_of(REGIMES),
    "experiment": is_file_name,
    "published": is_text,
    "stop": is_text,
    "message": is_text,
    "code": is_text,
    "commit": is_text,
    "finished": is_text,
    "n_iter": is_count,
    "fits": is_count,
    "projected_gradient": is_number,
    "peak_memory_mb": is_number,
    "metrics": mapping(optional(is_number)),
    "layers": list_of(mapping(optional(is_number), floor=lambda value: True)),
    "topics": is_forest,
    "strongest": are_strongest,
    "dataset": mapping(),
    "dataset.title": is_text,
    "dataset.classes": list_of(is_count),
    "dataset.modes": mapping(names=list_of(is_text), shape=list_of(is_count)),
    "tree_agreement": is_number,
    "config.data_seed": lambda value: type(value) is int and is_number(value) and value >= 0,
    "config.consensus": is_count,
    "consensus": is_consensus,
}
# Absent, or None but for what is said of the dataset, where the run failed, the features have no names, no tree is
# planted, or nobody has said it.
OPTIONAL = FORM.keys() - {
    *("config.seed", "config.dataset.name", "config.method.name", "config.layers"),
    *("status", "regime", "experiment", "metrics", "layers"),
}
