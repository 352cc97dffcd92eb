"""The tree of topics as text, from the topics in a record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from statistics import fmean
from typing import Any

from nnmf_runner.report.data import data_title, trial_of
from nnmf_runner.report.variants import Shown

# Layers of topics, first to last, as in a record.
Topics = list[list[dict[str, Any]]]
# What a record says of the trials that it is the consensus of.
Consensus = dict[str, Any]
# The samples that topics are strongest in, by layer and topic, as in a record.
Strongest = list[list[dict[str, Any]]]

# Words that are told of a topic, and of each of its modes where there are several, and samples.
WORDS, WORDS_OF_MODE, SAMPLES = 8, 5, 3
# In a mode, entries of a smaller share of the weight of the first are not told.
FAINT = 0.02
# Two modes of one name are told once where they share at least this part of their top words.
ALIKE = 0.5
# Smaller shares of a second parent are left out; the record has them all.
NOTABLE = 0.1
# A smaller share is written as less than this.
SMALLEST = 0.01
LEGEND = (
    "Topic l.j is column j of A0 ... Al, below the topic that it has the largest share of, with that share.\n"
    "After + the words that set it apart, after 'also' other topics that have a large share of it."
)
LEGEND_OF_TREE = f"{LEGEND.splitlines()[0]}\nAfter 'also' other topics that have a large share of it."
LEGEND_OF_MODES = (
    "Of a tensor, top entries of every mode that has names stand behind its name, and once for two modes of one name\n"
    "that share at least half of them."
)
LEGEND_OF_SAMPLES = "After 'in' the samples that a topic is strongest in, by their names, or numbered from 0."
LEGEND_OF_CONSENSUS = (
    "In brackets the stability of the topic, its mean cosine with that of every trial, and how many trials have it\n"
    "below the same topic."
)


@dataclass(frozen=True)
class Told:
    """What is told of a topic, or of it in one mode of a tensor: top words, those that set it apart, and the mode.

    `weights` are the shares that the words have of the topic.
    """

    words: list[str]
    distinctive: list[str]
    mode: str = ""
    weights: list[float] = field(default_factory=list)

    @property
    def heading(self) -> str:
        """What stands before the words."""
        return f"{self.mode}: " if self.mode else ""


def in_modes(topic: dict[str, Any]) -> list[Told]:
    """What there is to tell of a topic, in every mode of a tensor; of equal modes that agree in the first of them."""
    if "modes" not in topic:
        return [Told(topic["words"], topic["distinctive"], weights=topic["weights"])]
    parts: list[Told] = []
    for mode in topic["modes"]:
        weights = zip(mode["words"], mode["weights"], strict=False)
        words = [word for word, weight in weights if weight >= FAINT * mode["weights"][0]]
        part = Told(words, mode["distinctive"], mode["name"], mode["weights"][: len(words)])
        if not any(part.mode == other.mode and _alike(part.words, other.words) for other in parts):
            parts.append(part)
    return parts


def _alike(words: Sequence[str], others: Sequence[str]) -> bool:
    return len({*words} & {*others}) >= ALIKE * max(len(words), len(others), 1)


def tree_text(topics: Topics, consensus: Consensus | None = None, strongest: Strongest | None = None) -> str:
    """Every topic once, with its words, indented below its parent: those of the last layer first, children by share.

    Of a consensus also how stable the topic is, and how many trials vote for where it stands.  Below its words are the
    samples that it is strongest in, but for those of a tensor that stand among the words of their mode.
    """
    return "\n".join(line for level, j in roots(topics) for line in _lines(topics, consensus, strongest, level, j, ""))


def legend_of(consensus: Consensus | None, strongest: Strongest | None = None) -> str:
    """What the text of a tree has to be read with."""
    parts = [LEGEND, LEGEND_OF_SAMPLES if strongest else "", LEGEND_OF_CONSENSUS if consensus else ""]
    return "\n".join(filter(None, parts))


def votes_for(consensus: Consensus, level: int, i: int, parent: int) -> float:
    """Share of the trials in which topic `i` of a layer stands below a topic of the next one."""
    return float(consensus["votes"][level][i][parent])


def consensus_text(consensus: Consensus) -> str:
    """How far the trials agree, in one line for every layer."""
    lines = [f"consensus of {len(consensus['members'])} trials"]
    for level, stability in enumerate(consensus["stability"]):
        line = f"layer {level}: mean stability of the topics {fmean(stability):.2f}, lowest {min(stability):.2f}"
        if level < len(consensus["votes"]):
            support = [max(votes) for votes in consensus["votes"][level]]
            line += f"; below the same topic in {fmean(support):.0%} of the trials on average"
            line += f", in {min(support):.0%} at least"
        lines.append(line)
    return "\n".join(lines)


def tree_children(topics: Topics, level: int, j: int) -> list[tuple[int, float]]:
    """The topics that stand below a topic, with their shares of it, largest first."""
    shares = zip(topics[level][j]["children"], topics[level][j]["child_weights"], strict=True)
    return [(i, share) for i, share in shares if topics[level - 1][i]["parent"] == j]


def also_made_of(topics: Topics, level: int, j: int) -> list[str]:
    """The topics that have a notable share of a topic and stand below another, with these shares, largest first."""
    topic = topics[level][j]
    others = {*zip(topic["children"], topic["child_weights"], strict=True)} - {*tree_children(topics, level, j)}
    return [f"{level - 1}.{i} {percent(part)}" for i, part in sorted(others, key=lambda x: -x[1]) if part >= NOTABLE]


def tree_rows(topics: Topics) -> list[dict[int, float]]:
    """The row of every topic by layer: one after the other, and in the middle of those that stand below it."""
    rows: list[dict[int, float]] = [{} for _ in topics]
    taken = count()

    def visit(level: int, j: int) -> float:
        own = [visit(level - 1, i) for i, _ in tree_children(topics, level, j)]
        rows[level][j] = (own[0] + own[-1]) / 2 if own else float(next(taken))
        return rows[level][j]

    for level, j in roots(topics):
        visit(level, j)
    return rows


def told(words: Sequence[str]) -> list[str]:
    """Words to be written side by side, with commas where one of them contains a space."""
    if not any(" " in word for word in words):
        return list(words)
    return [f"{word}," for word in words[:-1]] + list(words[-1:])


def percent(share: float) -> str:
    """A share in per cent."""
    return f"{share:.0%}" if share >= SMALLEST or not share else f"<{SMALLEST:.0%}"


def roots(topics: Topics) -> Iterator[tuple[int, int]]:
    """Level and index of the topics that stand below no other, the last layer first."""
    for level in reversed(range(len(topics))):
        yield from ((level, j) for j, topic in enumerate(topics[level]) if topic["parent"] is None)


def _lines(
    topics: Topics,
    consensus: Consensus | None,
    strongest: Strongest | None,
    level: int,
    j: int,
    share: str,
    depth: int = 0,
) -> Iterator[str]:
    topic, own = topics[level][j], tree_children(topics, level, j)
    parts = in_modes(topic)
    most = WORDS if len(parts) == 1 else WORDS_OF_MODE
    agreed = f" {_agreement(consensus, level, j, topic['parent'])}" if consensus else ""
    text = f"{level}.{j}{share}{agreed}  {' | '.join(_text(part, most) for part in parts)}"
    also = also_made_of(topics, level, j)
    yield "    " * depth + text + (f"  also {', '.join(also)}" if also else "")
    if strongest and (samples := told_samples(topic, strongest[level][j])):
        yield "    " * depth + f"{'':{len(f'{level}.{j}')}}  in {samples}"
    for i, part in own:
        yield from _lines(topics, consensus, strongest, level - 1, i, f" {percent(part)}", depth + 1)


def told_samples(topic: dict[str, Any], strongest: dict[str, Any], most: int = SAMPLES) -> str:
    """The samples that a topic is strongest in, by their names or indices; nothing where its words tell them."""
    if "names" not in strongest:
        return ", ".join(map(str, strongest["samples"][:most]))
    return "" if "modes" in topic else " | ".join(strongest["names"][:most])


def _agreement(consensus: Consensus, level: int, j: int, parent: int | None) -> str:
    """The stability of a topic and the votes for its place, in brackets."""
    stability, trials = f"{consensus['stability'][level][j]:.2f}", len(consensus["members"])
    if parent is None:
        return f"[{stability}]"
    return f"[{stability}, {round(trials * votes_for(consensus, level, j, parent))}/{trials}]"


def _text(part: Told, most: int) -> str:
    words = part.words[:most]
    apart = [word for word in part.distinctive[:most] if word not in words]
    text = part.heading + (" ".join(told(words)) or "(no words)")
    return f"{text} + {' '.join(told(apart))}" if apart else text


def samples_text(strongest: Strongest | None) -> str | None:
    """The tree of topics that have no words, with their samples; None where samples have no names, whose numbers tell
    nobody anything.

    Records of earlier versions have no tree: their topics stand below each other, those of the last layer first.
    """
    if not strongest or not any(samples.get("names") for layer in strongest for samples in layer):
        return None
    if _is_tree(strongest):
        return "\n".join(line for level, j in roots(strongest) for line in _sample_lines(strongest, level, j, ""))
    lines = [
        f"{level}.{j}  in {told_samples({}, samples)}"
        for level, layer in reversed([*enumerate(strongest)])
        for j, samples in enumerate(layer)
        if samples.get("names")
    ]
    return "\n".join(lines) or None


def _is_tree(strongest: Strongest) -> bool:
    return all("children" in samples for layer in strongest for samples in layer)


def _sample_lines(strongest: Strongest, level: int, j: int, share: str, depth: int = 0) -> Iterator[str]:
    samples, also = told_samples({}, strongest[level][j]), also_made_of(strongest, level, j)
    text = f"{level}.{j}{share}" + (f"  in {samples}" if samples else "")
    yield "    " * depth + text + (f"  also {', '.join(also)}" if also else "")
    for i, part in tree_children(strongest, level, j):
        yield from _sample_lines(strongest, level - 1, i, f" {percent(part)}", depth + 1)


def samples_legend(strongest: Strongest) -> str:
    """What the text of topics without words has to be read with."""
    return f"{LEGEND_OF_TREE}\n{LEGEND_OF_SAMPLES}" if _is_tree(strongest) else LEGEND_OF_SAMPLES


def topics_markdown(chosen: Mapping[str, Sequence[Shown]]) -> str | None:
    """The trees of the runs chosen for every experiment, as Markdown, or else their samples; None if none has names."""
    parts: list[str] = []
    legends: list[str] = []
    for experiment, runs in chosen.items():
        for run in runs:
            record = run.record
            topics, consensus, strongest = (record.get(name) for name in ("topics", "consensus", "strongest"))
            text = tree_text(topics, consensus, strongest) if topics else samples_text(strongest)
            if text is None:
                continue
            config = record["config"]
            ranks = "-".join(map(str, config["layers"]))
            about = f"{run.data or data_title(record)}, {record['regime']}, {trial_of(record)}, {run.folder.name}"
            title = f"### {run.variant}, {ranks} ({experiment}, {about})"
            told_of = f"\n\n{consensus_text(consensus)}" if consensus else ""
            parts.append(f"{title}\n\n```\n{text}{told_of}\n```")
            further = {
                LEGEND: bool(topics),
                LEGEND_OF_TREE: not topics and _is_tree(strongest or []),
                LEGEND_OF_MODES: any("modes" in topic for layer in topics or [] for topic in layer),
                LEGEND_OF_SAMPLES: bool(strongest),
                LEGEND_OF_CONSENSUS: bool(consensus),
            }
            legends += [legend for legend, belongs in further.items() if belongs and legend not in legends]
    return "\n\n".join([*parts, *legends]) + "\n" if parts else None
