"""Sparse text to measure on: documents drawn from topics over words whose frequencies follow Zipf's law."""

from __future__ import annotations

import numpy as np
from scipy import sparse

WORDS, DOCUMENTS, TOPICS = 20_000, 11_000, 20
LENGTH = 155  # words drawn a document: about 100 different ones, 1.1 million entries in all


def zipf_text(documents: int = DOCUMENTS, words: int = WORDS, topics: int = TOPICS, seed: int = 0) -> sparse.csr_array:
    """A tf-idf matrix of (words, documents) with columns of unit length.

    Every topic prefers words of its own: it weighs the common distribution by factors of Gamma(0.1), so that the same
    words are frequent everywhere but a topic has many that others lack.  A document mixes few topics.

    Parameters
    ----------
    documents, words, topics : int
    seed : int

    Returns
    -------
    csr_array of float64, shape (words, documents)
    """
    rng = np.random.default_rng(seed)
    common = 1.0 / np.arange(1, words + 1)
    of_topic = common * rng.gamma(0.1, size=(topics, words))
    cumulative = np.cumsum(of_topic / of_topic.sum(axis=1, keepdims=True), axis=1)  # (topics, words)
    mixtures = rng.dirichlet(np.full(topics, 0.05), documents)  # (documents, topics)
    counts = np.zeros((documents, topics), int)
    for j, mixture in enumerate(mixtures):
        counts[j] = rng.multinomial(LENGTH, mixture)
    rows, columns = [], []
    for t in range(topics):
        drawn = np.searchsorted(cumulative[t], rng.random(counts[:, t].sum()) * cumulative[t, -1])
        rows.append(np.minimum(drawn, words - 1))
        columns.append(np.repeat(np.arange(documents), counts[:, t]))
    places = (np.concatenate(rows), np.concatenate(columns))
    X = sparse.coo_array((np.ones(len(places[0])), places), shape=(words, documents)).tocsr()
    frequency = np.diff(X.indptr)  # documents that a word is in
    X = sparse.diags_array(np.log((1.0 + documents) / (1.0 + frequency)) + 1.0) @ X
    X = sparse.csr_array(X / sparse.linalg.norm(X, axis=0)[None, :])
    X.indices, X.indptr = X.indices.astype(np.int32), X.indptr.astype(np.int32)
    return X
