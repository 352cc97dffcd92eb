"""Words that are no features: those of a list, of a file, or the English ones of scikit-learn."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnmf_runner.core.checks import InputError
from nnmf_runner.datasets.files.reading import decoded, existing_file, read_unpacked, required

log = logging.getLogger(__name__)

ENGLISH = "english"
EXPECTED = f"{ENGLISH}, a list such as '[the,a,of]', a file of words, or null"
# From a mark that begins a word to the end of its line.
COMMENT = re.compile(r"(?m)(?<!\S)#.*$")


def read_stop_words(given: Any, dataset: str) -> list[str]:
    """The words that an option stands for, in the order of the alphabet and each once; none for None.

    A file holds them in UTF-8, separated by white space; what follows a ``#`` that begins a word is a comment.

    Parameters
    ----------
    given : str, list of str or None
        ``english``, the path of a file, or the words.
    dataset : str
        Name of the dataset that needs scikit-learn for the English ones.

    Raises
    ------
    InputError
        If it stands for no words.
    """
    if given is None:
        return []
    if given == ENGLISH:
        return sorted(required("sklearn.feature_extraction.text", "text", dataset).ENGLISH_STOP_WORDS)
    words = _of_file(given) if isinstance(given, str) else given
    if not isinstance(words, Sequence) or not words:
        raise InputError(f"dataset.stop_words={given} holds no words. Expected {EXPECTED}.")
    if strange := [word for word in words if not isinstance(word, str)]:
        raise InputError(
            f"dataset.stop_words holds {strange[0]}, which is no text. Expected words, in quotes where they read as "
            "numbers or as true, false or null."
        )
    return sorted(set(words))


def _of_file(path: str) -> list[str]:
    option = f"dataset.stop_words={path}"
    file = existing_file(path, EXPECTED, "dataset.stop_words")
    return COMMENT.sub("", decoded(read_unpacked(file, option), file, option, "utf-8")).split()


def stop_words_identity(given: Any) -> str | None:
    """What determines the words: a hash of those of a list or a file, wherever it is; else the option as it is."""
    if given is None or given == ENGLISH:
        return given
    return hashlib.sha256("\n".join(read_stop_words(given, "")).encode()).hexdigest()[:16]


def stop_words_anywhere(given: Any) -> Any:
    """What stands for the same words from any working directory: those of a file themselves."""
    return read_stop_words(given, "") if isinstance(given, str) and given != ENGLISH else given


def keeps(names: Sequence[str], stop_words: Any) -> NDArray[np.bool_]:
    """Which features have a name that is no stop word, compared as it is written, shape (m,).

    How many have one is in the log.

    Parameters
    ----------
    names : sequence of str
        What every feature is called.
    stop_words : str, list of str or None
        See `read_stop_words`.

    Raises
    ------
    InputError
        If none is left.
    """
    stop = set(read_stop_words(stop_words, "file"))
    kept = np.array([name not in stop for name in names], bool)
    if not kept.any():
        raise InputError("dataset.stop_words leaves no features: all of their names are among them.")
    if stop:
        log.info("dataset.stop_words: %d of %d features are left out.", len(kept) - kept.sum(), len(kept))
    return kept
