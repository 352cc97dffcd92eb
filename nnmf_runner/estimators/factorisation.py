"""What the estimators of all methods share."""

from __future__ import annotations

import dataclasses
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nnmf_runner.config.schema import GROUPS, Model
from nnmf_runner.core.approximation import Approximation
from nnmf_runner.core.checks import InputError, check_choice, check_finite, split_missing
from nnmf_runner.core.linalg import Matrix, in_order, zero_columns
from nnmf_runner.core.monitor import Stop
from nnmf_runner.core.regularisation import Regularisation
from nnmf_runner.datasets.seed_words import seed_features
from nnmf_runner.datasets.vocabulary import Vocabulary
from nnmf_runner.methods import Fit, Method, Supervision, in_parameters
from nnmf_runner.methods.fit import fit_from_arrays, named_arrays
from nnmf_runner.methods.supervision import PARAMETERS
from nnmf_runner.methods.target import predicted, read_target, share_right, side_by_side
from nnmf_runner.metrics.errors import relative_error
from nnmf_runner.store.files import user_path
from nnmf_runner.store.model import SavedModel, write_model
from nnmf_runner.store.start import Given, Saved, is_path
from nnmf_runner.task import Task

# Parameters that are objects, or their names.
OBJECTS = ("cost", "optimizer", "init")
# Attributes that a fit may not have.
OPTIONAL = ("classes_", "feature_names_in_")
# What `transform` may return.
OUTPUTS = ("default", "pandas")


class ConvergenceWarning(UserWarning):
    """A fit has ended at `max_iter`; where scikit-learn is loaded, this is a warning of its kind too."""


class Factorisation:
    """What the estimators share; parameters are stored as given and checked by `fit`.

    Parameters
    ----------
    layers : sequence of int
        Rank of every layer, that is its number of topics, starting from the data.
    optimizer : {"auto", "lbfgs", "spg", "adam", "sgd", "gd"} or object of `nnmf_runner.core.optimizers`
        Minimises the cost over all factors.
    init : {"nndsvd", "random", "greedy"}, list of array_like, path, or object of `nnmf_runner.core.init`
        Initial factors.  A list has an array for every layer, ``[A_0, ...]``, of the shapes that ``factors_`` has, or
        None for one that NNDSVD is to make.  A path is that of a run, of a saved model, or of a ``.npz`` file of arrays
        ``A0``, ``A1`` and so on.
    fixed : sequence of int
        Layers, counted from 0, whose factors stay as `init` gives them, bit for bit: the others, and the codes, are
        fitted to them.  Their columns keep their lengths even where a cost or a penalty scales those of the others,
        and `normalise` cannot be asked for beside.
    seed_words : mapping of str to sequence of str, or None
        Names of features, such as words, by the topic that they are of, ``{"space": ["orbit", "shuttle"]}``, for X that
        has such names.  Topics of the first layer, in this order, start from more of these than `init` gives them, and
        are fitted like all others.
    label_weight : float or None
        Weight of the labels' relative cost against that of the data in units of its floor, see
        `nnmf_runner.methods.label_units`; None leaves y out altogether, as in a Pipeline of which only the last step
        is to learn from it, or where y is no class label.
    label_levels : {"auto", "all", "last"} or sequence of int or None
        Which layer learns from which level of labels, that is from which column of y.  With "all", every layer chooses
        the level whose number of classes is nearest to its rank; where several choose the same level, the nearest of
        them learns from it.  "auto" does the same, but leaves out lower layers with fewer than four labelled samples
        per topic.  With "last", or where y has a single level, only the last layer is supervised.  A sequence gives a
        level, or None, for every layer.
    learn_map : bool
        Whether the label map is a variable, rather than the best one for the codes.
    l1_A, l2_A, l1_S, l2_S : float
        Penalties on the factors and on the codes, see `nnmf_runner.core.regularisation.Regularisation`.
    allow_growing_ranks : bool
        Whether a layer may have more topics than the layer below.
    normalise : bool
        Whether the columns of every factor are scaled to unit length after the fit, with the codes rescaled to match.
    tol : float
        Relative projected gradient at which a fit has converged, see `nnmf_runner.core.monitor.StoppingRule`.
    max_iter : int
        Maximum number of iterations.
    dtype : {"float64", "float32"}
        Precision of the data, factors, codes and their products, and of what `transform` returns.  Single precision
        takes half the memory, and its errors agree with those of double precision to four digits; small systems and
        sums of squares are in double precision there too.
    random_state : int, Generator or None
        Seed of the initial factors and of the fit; an integer, from zero up and of any size, has the same effect as
        ``seed`` of a run.

    Attributes
    ----------
    factors_ : list of ndarray of shape (k_{l-1}, k_l)
        ``A_0, ..., A_L``; the first has one row per feature.  The arrays of the model are read-only, here and below.
    codes_ : list of ndarray of shape (n_samples, k_l)
        Codes of every layer, as the fit left them.
    components_ : ndarray of shape (k_L, n_features)
        The last layer's topics in terms of the features.
    label_map_ : ndarray of shape (n_classes, k_L) or None
        The label map of the last layer, where labels supervised it.
    classes_ : ndarray of shape (n_classes,), or list of such
        Where labels were given; a list with one entry per level where y had columns.
    label_layers_ : list of int or None
        The layer that every level of labels is predicted from, an empty list without y.  That is the last one which
        the level supervised; or else the one whose rank is nearest to its number of classes.  None for a level of
        which no label was known.
    label_maps_ : list of ndarray of shape (n_classes, k_l) or None
        The label map of every level, from the codes of its layer.
    n_features_in_ : int
        Number of features in the fit.
    feature_names_in_ : ndarray of str, shape (n_features,)
        Names of the features, if the data had any.
    n_iter_ : int
        Number of iterations, those of all fits together where the method fits one layer after the other.
    stop_ : str
        Why the fit ended, see `nnmf_runner.core.monitor.Stop`.
    history_ : dict of ndarray
        Relative cost, projected gradient and seconds by iteration.
    """

    _method: ClassVar[type[Method]]
    classes_: Any
    label_weight: float | None
    max_iter: int
    random_state: Any
    _fitted: SavedModel
    _fit: Fit
    factors_: list[Matrix]
    label_layers_: list[int | None]
    label_maps_: list[Matrix | None]
    n_features_in_: int

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters by name."""
        return {name: getattr(self, name) for name in fields_of(self)}

    def set_params(self, **params: Any) -> Factorisation:
        """Set parameters by name.

        Raises
        ------
        InputError
            If there is no parameter of that name.
        """
        for name, value in params.items():
            setattr(self, check_choice(name, fields_of(self), "parameter"), value)
        return self

    def set_output(self, *, transform: str | None = None) -> Factorisation:
        """Choose what `transform` and `fit_transform` return, as in scikit-learn.

        Parameters
        ----------
        transform : {"default", "pandas"} or None
            "pandas" for a data frame with the names of `get_feature_names_out` and the index of X, "default" for an
            array; None leaves it as it is.  Where nothing was chosen, scikit-learn's ``transform_output`` says it.

        Returns
        -------
        self
        """
        if transform is not None:
            # By the name under which scikit-learn's `clone` looks for it.
            self._sklearn_output_config = {"transform": check_choice(transform, OUTPUTS, "transform")}
        return self

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn's tools may expect; they alone ask for it."""
        from sklearn.utils import InputTags, Tags, TargetTags, TransformerTags

        try:
            method = self._method(**self._given(self._method))
        except InputError:  # of parameters that `fit` is to refuse
            method = self._method()
        return Tags(
            estimator_type=None,
            target_tags=TargetTags(required=False, multi_output=True),
            transformer_tags=TransformerTags(),
            input_tags=InputTags(
                two_d_array=not method.tensors,
                three_d_array=method.tensors,
                sparse=method.takes_sparse,
                positive_only=not method.sign_free,
                allow_nan=method.takes_missing,
            ),
        )

    def fit(self, X: ArrayLike, y: ArrayLike | None = None, *, mask: ArrayLike | None = None) -> Factorisation:
        """Factor the data.

        Parameters
        ----------
        X : array_like, sparse matrix or data frame of shape (n_samples, n_features)
            Nonnegative; where an entry is missing, for methods that can leave it out, it is NaN, None, ``pandas.NA`` or
            masked in a masked array.  The estimators of tensors say what theirs is.
        y : array_like or data frame of shape (n_samples,) or (n_samples, n_levels), optional
            Class labels, integers or strings.  One is unknown if it is -1, "-1" (which numpy makes of -1 among
            strings), an empty string, None, NaN, NaT, ``pandas.NA`` or masked in a masked array; "nan" is a class.
            Columns are levels of labels, such as topics and the themes that they belong to, in any order and each of
            its own kind; they may contradict each other.
        mask : array_like of bool, shape (n_samples, n_features), optional
            True where an entry of dense X is known.

        Returns
        -------
        self

        Warns
        -----
        ConvergenceWarning
            If the fit has ended at `max_iter`.

        Raises
        ------
        InputError
            If X is negative, not finite, not numeric, zero or empty; if y has another shape, is not of class labels
            or knows a single class of a level; if `mask` does not fit X; if a parameter is not acceptable.
        """
        with _python_names():
            model = self._model()
            columns, known, sizes = self._read(X, mask, model.method, model.dtype)  # (n_features, n_samples)
            modes = sizes and (*sizes, columns.shape[1])
            target = None if y is None or self.label_weight is None else read_target(y, columns.shape[1])
            labels = ([], []) if target is None else (target.indices, target.counts)
            task = Task(model, columns, known, *labels, modes=modes, seeds=self._seeds(X, model.layers[0]))
            levels = task.levels
        fit = task.fit(self._seed())
        fit = fit_from_arrays(
            {name: in_order(array) for name, array in named_arrays(fit).items()}, fit.history, fit.stop
        )
        saved = SavedModel(None, {}, model.method, fit, feature_names=_feature_names(X))
        if target is not None:
            classes = target.classes if target.has_columns else target.classes[0]
            layers, maps = target.predictors(levels, fit, lambda: model.method.transform(fit, columns, known))
            saved = dataclasses.replace(
                saved, classes=classes, label_layers=layers, label_maps=maps, majorities=target.majorities
            )
        self._store(saved)
        if self._fit.stop is Stop.MAX_ITER:
            message = f"{type(self).__name__} did not converge in max_iter={self.max_iter} iterations."
            warnings.warn(f"{message} Raise max_iter or tol.", _kind(ConvergenceWarning), stacklevel=2)
        return self

    def fit_transform(self, X: ArrayLike, y: ArrayLike | None = None, *, mask: ArrayLike | None = None) -> NDArray[Any]:
        """Factor the data and return what `transform` gives for them, shape (n_samples, layers[-1]).

        Labels shape the factors, but do not leak into these codes as they may into ``codes_``: what learns from the
        result meets new data in the same form.
        """
        return self.fit(X, y, mask=mask).transform(X, mask=mask)

    def transform(self, X: ArrayLike, *, mask: ArrayLike | None = None) -> NDArray[Any]:
        """Return the codes of the last layer for new data.

        Parameters
        ----------
        X : array_like, sparse matrix or data frame of shape (n_samples, n_features)
            Of a run on text that `nnmf_runner.load` has read, texts as well: a list or series of strings, whose words
            are weighted as those of the run were.  Words that the run does not know are not counted.
        mask : array_like of bool, shape (n_samples, n_features), optional
            True where an entry of dense X is known.

        Returns
        -------
        ndarray of shape (n_samples, layers[-1]), or data frame
            As `set_output` says.  A sample whose known entries are all zero, or which has none, has codes of zeros.

        Raises
        ------
        InputError
            If the estimator is not fitted, or X is not acceptable or has other features.
        """
        return self._output(self._encoded(X, mask)[2][-1].T, X)

    def inverse_transform(self, codes: ArrayLike) -> NDArray[Any]:
        """Transform codes of the last layer back into data.

        Parameters
        ----------
        codes : array_like of shape (n_samples, layers[-1])

        Returns
        -------
        ndarray of shape (n_samples, n_features)

        Raises
        ------
        InputError
            If the estimator is not fitted, or the codes are not acceptable or of another layer.
        """
        self._check_fitted()
        last = self._fit.A[-1]
        columns, rank = check_finite(codes, "codes", dtype=last.dtype.name).T, last.shape[1]
        if columns.shape[0] != rank:
            raise InputError(f"codes has {columns.shape[0]} columns, expected {rank}, the rank of the last layer.")
        return self._shaped(self._approximation([columns] * len(self._fit.A)).dense().T)

    def predict(self, X: ArrayLike, *, mask: ArrayLike | None = None) -> NDArray[Any]:
        """Predict the class labels of new data with the fitted label maps.

        Parameters
        ----------
        X, mask
            As for `transform`.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_levels), as y had in the fit
            Of ``classes_``; -1 for a level of which no label was known.  A sample whose codes are all zero is of the
            class that most labelled samples of the fit were of, the first of equally frequent ones.  Where the sample
            itself is, this class means nothing, and a warning says how many such samples there are.  An array of
            objects where levels differ in their kind, such as integers and strings.

        Raises
        ------
        InputError
            If the estimator was fitted without labels; otherwise as `transform`.
        """
        columns, _, codes = self._encoded(X, mask)
        if not self._predicts:
            raise InputError(f"{type(self).__name__} was fitted without labels. Expected y in fit(X, y) to predict.")
        if nothing := np.count_nonzero(zero_columns(columns)):
            are = "is all zeros, and its class means" if nothing == 1 else "are all zeros, and their classes mean"
            warnings.warn(f"{nothing} of {columns.shape[1]} samples {are} nothing.", stacklevel=2)
        found = self._predicted(codes)
        return side_by_side(found) if isinstance(self.classes_, list) else found[0]

    def score(self, X: ArrayLike, y: ArrayLike | None = None, *, mask: ArrayLike | None = None) -> float:
        """Return the accuracy, or minus the relative error, on new data; higher is better.

        Parameters
        ----------
        X, mask
            As for `transform`.
        y : array_like of shape (n_samples,) or (n_samples, n_levels), as in the fit, optional
            Class labels, unknown as in `fit`.

        Returns
        -------
        float
            With y, where labels were fitted: the share of the known labels, of all levels together, that `predict`
            gets right.  Otherwise minus the relative error of the known entries,
            ``-||X - inverse_transform(transform(X))|| / ||X||``, and zero for X of zeros, which leave no error.

        Raises
        ------
        InputError
            If y has another shape or knows no label; otherwise as `transform`.
        """
        columns, known, codes = self._encoded(X, mask)
        if y is None or not self._predicts:
            return -relative_error(columns, self._approximation(codes), known)
        return share_right(self._predicted(codes), y, isinstance(self.classes_, list))

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """Names of the columns that `transform` returns: the class and a number.

        Parameters
        ----------
        input_features : array_like of str, optional
            Names of the features, only to be compared with those of the fit.

        Returns
        -------
        ndarray of str, shape (layers[-1],)

        Raises
        ------
        InputError
            If the estimator is not fitted, or had other features or another number of them.
        """
        self._check_fitted()
        if input_features is not None:
            expected = getattr(self, "feature_names_in_", input_features)
            if len(input_features) != self.n_features_in_:
                raise InputError(
                    f"input_features should have length equal to number of features ({self.n_features_in_}), got "
                    f"{len(input_features)}."
                )
            if not np.array_equal(np.asarray(input_features, dtype=object), expected):
                raise InputError("input_features is not equal to feature_names_in_, expected the names as in fit.")
        name = type(self).__name__.lower()
        return np.array([f"{name}{i}" for i in range(self._fit.A[-1].shape[1])], dtype=object)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted estimator as a folder, whole or not at all, in place of an earlier one.

        Parameters
        ----------
        path : path
            `nnmf_runner.load` reads it; its ``factors.npz`` serves ``init=path`` of a run as a start.

        Raises
        ------
        InputError
            If the estimator is not fitted, a parameter is an object that cannot be saved, or something other than a
            saved model is at `path`.
        OSError
            If the folder cannot be written.
        """
        self._check_fitted()
        model = dataclasses.replace(self._fitted, estimator=type(self).__name__, parameters=self.get_params())
        write_model(user_path(path, "path").resolve(), model)

    def _encoded(self, X: ArrayLike, mask: ArrayLike | None) -> tuple[Any, NDArray[np.bool_] | None, list[Matrix]]:
        """New data as columns, their mask, and their codes in every layer."""
        self._check_fitted()
        X = self._in_numbers(X)
        method, names = self._fitted.method, _feature_names(X)
        columns, known, sizes = self._read(X, mask, method, self._fit.A[0].dtype.name, zeros=True)
        self._check_features(columns.shape[0], sizes)
        modes = () if sizes is None else (*sizes, columns.shape[1])
        expected = getattr(self, "feature_names_in_", None)
        if names is not None and expected is not None and not np.array_equal(names, expected):
            at = int(np.flatnonzero(names != expected)[0])
            raise InputError(f"X has {names[at]!r} as its feature {at}, expected {expected[at]!r} as in fit.")
        with _python_names():
            method.check_data(columns, known, None, modes)
        codes = method.transform(self._fit, columns, known)
        if known is not None:  # an iteration without any known entry has converged at its start
            for S in codes:
                S[:, ~known.any(axis=0)] = 0.0
        return columns, known, codes

    def _in_numbers(self, X: Any) -> Any:
        """Texts as the weights that the fit would have of their words; other data as they are."""
        if (texts := _texts(X)) is None:
            return X
        vocabulary = vocabulary_of(self._fitted)
        if vocabulary is None or vocabulary.split is None:
            raise InputError(
                "X holds texts, and this model has no vocabulary to count their words by. Expected numbers, or the "
                "model of a run on text that this version of nnmf-runner has made."
            )
        return vocabulary.weigh(vocabulary.counts(texts), "X").T

    def _read(
        self, X: Any, mask: Any, method: Method, dtype: str, *, zeros: bool = False
    ) -> tuple[Any, NDArray[np.bool_] | None, tuple[int, ...] | None]:
        """Data with samples as columns, zero where they are missing, and which entries are known; `zeros` may be all.

        Last come the sizes of the modes of a tensor but that of the samples; None for a matrix.
        """
        shape: tuple[int, ...] = getattr(X, "shape", ())
        if len(shape) == 1:
            said = f"X has 1 dimension with shape {shape}, expected 2: one row per sample."
            raise InputError(f"{said} Reshape your data.")
        if len(shape) == 2 and shape[1] == 0:
            raise InputError(f"X has 0 feature(s) (shape={tuple(shape)}) while a minimum of 1 is required.")
        rows, known = split_missing(X, "X", mask, signed=method.sign_free, zeros=zeros, dtype=dtype)
        return in_order(rows.T), None if known is None else known.T, None

    def _check_features(self, n_features: int, sizes: tuple[int, ...] | None) -> None:
        """Refuse new data of other features than the fit had."""
        if n_features != self.n_features_in_:
            raise InputError(
                f"X has {n_features} features, but {type(self).__name__} is expecting {self.n_features_in_} features "
                "as input."
            )

    def _shaped(self, rows: Matrix) -> NDArray[Any]:
        """Data of shape (n_samples, n_features) in the form that the fit had them in."""
        return rows

    def _output(self, codes: NDArray[Any], X: Any) -> Any:
        """The codes of samples X in the form that `set_output` or, where it is loaded, scikit-learn says."""
        sklearn = sys.modules.get("sklearn")
        default = "default" if sklearn is None else sklearn.get_config()["transform_output"]
        chosen = getattr(self, "_sklearn_output_config", {}).get("transform", default)
        if check_choice(chosen, OUTPUTS, "transform_output") == "default":
            return codes
        import pandas as pd

        index = X.index if hasattr(X, "iloc") else None  # lists have a method of that name
        return pd.DataFrame(codes, index=index, columns=self.get_feature_names_out())

    @property
    def _predicts(self) -> bool:
        """Whether labels of any level were known."""
        return any(B is not None for B in self.label_maps_)

    def _predicted(self, codes: list[Matrix]) -> list[NDArray[Any]]:
        """The classes by level, of shape (n_samples,), from the codes of every layer."""
        classes = self.classes_ if isinstance(self.classes_, list) else [self.classes_]
        levels = zip(classes, self.label_maps_, self.label_layers_, self._fitted.majorities, strict=True)
        return [
            predicted(of_level, B, None if layer is None else codes[layer], most, codes[0].shape[1])
            for of_level, B, layer, most in levels
        ]

    def _approximation(self, codes: list[Matrix]) -> Approximation:
        """What the last of the codes stand for in the data, shape (n_features, n_samples)."""
        return self._fitted.method.approximation(self._fit, codes, len(codes) - 1)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the state of a copy, whose arrays can be written again."""
        vars(self).update(state)
        if "_fitted" in state:
            self._store(self._fitted)

    def _check_fitted(self, name: str | None = None) -> None:
        if not hasattr(self, "factors_"):
            said = f"{name or type(self).__name__} is not fitted yet"
            raise _kind(NotFittedError)(f"{said}. Call fit before using {'it' if name else 'this method'}.")

    def _seed(self) -> int:
        """The seed of all that is random about a fit: `random_state` itself if it is one, else drawn from it."""
        if isinstance(self.random_state, (int, np.integer)) and self.random_state >= 0:
            return int(self.random_state)
        try:
            return int(np.random.default_rng(self.random_state).integers(2**63))
        except (TypeError, ValueError):
            raise InputError(
                f"random_state={self.random_state!r} is not valid. Expected a nonnegative integer, a Generator or None."
            ) from None

    def _model(self) -> Model:
        """The parameters as a checked `Model`, with the method's default for what is no parameter here."""
        chosen = defaults_of(self._method) | self.get_params()
        labels = {name: chosen[own] for name, own in PARAMETERS.items() if chosen.get(own) is not None}
        given = self._given(Model) | {name: _chosen(name, chosen[name]) for name in OBJECTS}
        given["method"] = self._method(**self._given(self._method))
        given["regularisation"] = Regularisation(**self._given(Regularisation))
        given["supervision"] = Supervision(
            **{name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in labels.items()}
        )
        return Model(**given)

    def _seeds(self, X: Any, rank: int) -> list[NDArray[np.intp]]:
        """The features of X that topics are to begin with."""
        topics = getattr(self, "seed_words", None)
        if topics is None:
            return []
        if (names := _feature_names(X)) is None:
            raise InputError("seed_words is for X with names of its features. Expected a data frame, or None.")
        return seed_features(topics, names.tolist(), rank, "seed_words")

    def _given(self, kind: Any) -> dict[str, Any]:
        """The parameters that are fields of a dataclass."""
        return {name: getattr(self, name) for name in fields_of(kind) if name in fields_of(self)}

    def _store(self, model: SavedModel) -> None:
        """Keep what was fitted or read in place of an earlier fit, all of it or nothing."""
        _protect(model)
        method, fit = model.method, model.fit
        found = {
            "_fitted": model,
            "_fit": fit,
            "factors_": fit.A,
            "codes_": [S.T for S in fit.S],
            "label_map_": fit.B,
            "label_layers_": list(model.label_layers),
            "label_maps_": list(model.label_maps),
            "components_": method.topics(fit, len(fit.A) - 1).T,
            "n_features_in_": method.n_features(fit),
            "history_": {name: np.asarray(column) for name, column in fit.history.columns().items()},
            "n_iter_": fit.history.n_iter,
            "stop_": fit.stop.value,
            "classes_": model.classes,
            "feature_names_in_": model.feature_names,
        }
        for name in OPTIONAL:
            vars(self).pop(name, None)  # of an earlier fit
        found |= self._own_attributes(model)
        vars(self).update({name: value for name, value in found.items() if name not in OPTIONAL or value is not None})

    def _own_attributes(self, model: SavedModel) -> dict[str, Any]:
        """Further attributes of a fitted estimator of this kind, by name."""
        return {}


def _protect(model: SavedModel) -> None:
    """Make the arrays of a model read-only, which attributes show: what is written there would change the model."""
    fit = model.fit
    classes = model.classes if isinstance(model.classes, list) else [model.classes]
    for array in (*fit.A, *fit.S, *fit.maps.values(), fit.B, *model.label_maps, *classes, model.feature_names):
        if array is not None:
            array.setflags(write=False)


class NotFittedError(InputError):
    """An estimator was asked for something before it was fitted; where scikit-learn is loaded, of its kind too."""


def _kind(own: type) -> Any:
    """An error or warning that tools of scikit-learn, where it is loaded, take for theirs of this name."""
    theirs = getattr(sys.modules.get("sklearn.exceptions"), own.__name__, None)
    found = {"__reduce__": lambda self: (own, self.args)}  # pickle finds the own one alone
    return own if theirs is None else type(own.__name__, (own, theirs), found)


@contextmanager
def _python_names() -> Iterator[None]:
    """Name what is wrong as it is called here, not as on the command line."""
    try:
        yield
    except InputError as error:
        raise type(error)(in_parameters(str(error))) from None


def fields_of(kind: Any) -> list[str]:
    """Names of the fields of a dataclass."""
    return [each.name for each in dataclasses.fields(kind)]


def _feature_names(X: Any) -> NDArray[Any] | None:
    """Names of the columns of a data frame, if all are strings."""
    names = np.array(getattr(X, "columns", ()), dtype=object)
    return names if len(names) and all(isinstance(name, str) for name in names) else None


def vocabulary_of(model: SavedModel) -> Vocabulary | None:
    """How the counts were weighted that a model was fitted to; None if it was fitted to other data."""
    names = model.feature_names
    return None if model.weights is None else Vocabulary.of(model.weights, None if names is None else names.tolist())


def _texts(X: Any) -> list[str] | None:
    """The texts of a list, an array or a series of them; None for other data."""
    if isinstance(X, str):
        raise InputError("X is one text, expected a list of texts.")
    given = list(X) if isinstance(X, (list, tuple)) or getattr(X, "ndim", None) == 1 else []
    if not given or not isinstance(given[0], str):
        return None
    for i, text in enumerate(given):
        if not isinstance(text, str):
            raise InputError(f"X[{i}] is of type {type(text).__name__} among texts, expected a text.")
    return given


def _chosen(name: str, value: Any) -> Any:
    """An object of a registry, by its name or as it is."""
    registry = GROUPS[name]
    if name == "init" and is_path(value):
        return _Path(os.fspath(value))
    if name == "init" and isinstance(value, (list, tuple, np.ndarray)):
        return Given(value)
    return value if isinstance(value, (*registry.values(), Given)) else registry[check_choice(value, registry, name)]()


class _Path(Saved):
    """Saved factors by their path alone, which is the parameter then."""

    option: ClassVar[str] = "init"


def defaults_of(method: type[Method]) -> dict[str, Any]:
    """The default of every one of `OBJECTS` for a method."""
    return {"cost": method.costs[0], "optimizer": "auto", "init": (method.inits or ("nndsvd",))[0]}
