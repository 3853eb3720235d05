"""The design matrix: terms in, z-scored columns out."""

from __future__ import annotations

import copy
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from popglm.design.session import Session
from popglm.design.terms import Term
from popglm.warnings import PopglmWarning

__all__ = ["Design"]

#: A column of a basis counts as constant when its squares around the mean add up to less than this share of the
#: largest in its group: a single sample that comes to a tenth of a bump's peak is enough.
LEAST_VISIT = 0.01


class Design(TransformerMixin, BaseEstimator, auto_wrap_output_keys=None):
    """Turn a recording session into a design matrix, one group of columns per term.

    A scikit-learn transformer: `fit` learns what the terms need (ranges, quantiles, categories) and the mean
    and standard deviation of every column; `transform` repeats them on new data.

    Parameters
    ----------
    terms : list of Term
        From `bumps`, `log_bumps`, `splines`, `cyclic_splines`, `linear`, `categories`, `shifts`, `kernel`,
        `transformed` and their products. Their names must differ. The terms themselves are left as they are.
    trial : str, optional
        Variable that labels the trial of each sample, without gaps or returns. Shifts and kernels never cross
        from one trial to another. Without it the whole session is one trial.
    standardize : bool
        Subtract each column's mean and divide by its standard deviation (ddof 0) in the fitted session.
    dtype : {"float32", "float64"}
        Of the design matrix; statistics are computed in float64.

    Attributes
    ----------
    terms_ : dict of str to Term
        The fitted copy of each term by group name, in the order of the columns.
    groups_ : list of str, length n_groups
        Names of the groups.
    group_sizes_ : list of int, length n_groups
        Columns per group.
    columns_ : pandas.MultiIndex, length n_features
        (group, feature) of every column.
    means_, scales_ : ndarray of float64, shape (n_features,)
        What was subtracted from, and then divided out of, every column: ``(column - mean) / scale``. The
        scale of a column that was constant is infinite, so that it is 0 in all data; likewise that of a basis
        function that the session hardly visited (no sample came to a tenth of the peak), since the tail of a
        bump, z-scored, would be huge in new data. Without `standardize`, 0 and 1.

    Warns
    -----
    PopglmWarning
        Once per fit, naming the columns that are constant, or as good as, and therefore 0 (only with `standardize`).

    Examples
    --------
    >>> import numpy as np
    >>> from popglm.design import Design, bumps, linear
    >>> session = {"position": np.linspace(0, 100, 6), "cue": np.array([1, 1, 1, -1, -1, -1])}
    >>> position = bumps("position", n=3, low=0, high=100)
    >>> design = Design([position, position * "cue", linear("cue")])
    >>> X = design.fit_transform(session)
    >>> X.shape, X.dtypes.unique().tolist()
    ((6, 7), [dtype('float32')])
    >>> dict(zip(design.groups_, design.group_sizes_))
    {'position': 3, 'position × cue': 3, 'cue': 1}
    >>> bool(np.allclose(X.mean(), 0, atol=1e-6)) and bool(np.allclose(X.std(ddof=0), 1))
    True
    >>> design.transform({"position": [50.0], "cue": [1]})["cue"]
    feature  linear
    0           1.0
    """

    def __init__(
        self,
        terms: Sequence[Term],
        trial: str | None = None,
        standardize: bool = True,
        dtype: str = "float32",
    ):
        self.terms = terms
        self.trial = trial
        self.standardize = standardize
        self.dtype = dtype

    def fit(self, session: Any, y: None = None) -> Design:
        """Learn the terms and the statistics of their columns from a session.

        Parameters
        ----------
        session : DataFrame, mapping of 1-D arrays, xarray Dataset, or pynapple TsdFrame
            One value per variable and sample; a mapping may hold arrays, Series, DataArrays or pynapple Tsd.
            NaN marks samples at which a variable is unknown or does not apply: the columns it enters are 0
            there before z-scoring.
        y : None
            Ignored; for scikit-learn pipelines.

        Returns
        -------
        Design
            The object itself.

        Raises
        ------
        TypeError
            If an argument has the wrong type, or `session` is none of the above.
        ValueError
            If two groups share a name; if a variable is missing, not 1-D, of another length than the others,
            not numeric where it must be, or infinite; if trial labels are missing or come back after another
            trial.
        """
        session = self._learn(session)
        for term, columns, block in self._blocks(session):
            self._measure(term, columns, block)
        self._warn_of_constant_columns()
        return self

    def fit_transform(self, session: Any, y: None = None) -> pd.DataFrame:
        """Do `fit` and `transform` in one pass; arguments, result and errors are theirs."""
        session = self._learn(session)
        X = self._empty(session)
        for term, columns, block in self._blocks(session):
            self._measure(term, columns, block)
            X[:, columns] = self._z_score(columns, block)
        self._warn_of_constant_columns()
        return self._label(X, session)

    def transform(self, session: Any) -> pd.DataFrame:
        """Compute the design matrix of a session with the statistics learned in `fit`.

        Parameters
        ----------
        session : DataFrame, mapping of 1-D arrays, xarray Dataset, or pynapple TsdFrame
            As in `fit`.

        Returns
        -------
        X : DataFrame of `dtype`, shape (n_samples, n_features)
            Columns are a MultiIndex (group, feature); rows have the index of a DataFrame, the times of a
            TsdFrame, or count from 0.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If `fit` was not called before.
        TypeError, ValueError
            As in `fit`.
        """
        check_is_fitted(self)
        session = self._read(session, self.terms_.values())
        X = self._empty(session)
        for _, columns, block in self._blocks(session):
            X[:, columns] = self._z_score(columns, block)
        return self._label(X, session)

    def get_feature_names_out(self, input_features: None = None) -> np.ndarray:
        """Return one string per column, "group_feature".

        Parameters
        ----------
        input_features : None
            Ignored; for scikit-learn pipelines.

        Returns
        -------
        ndarray of str, shape (n_features,)
        """
        check_is_fitted(self)
        return np.array([f"{group}_{feature}" for group, feature in self.columns_], dtype=object)

    def _learn(self, session: Any) -> Session:
        """Fit copies of the terms, lay out the columns, and return the session as terms read it."""
        self._check_parameters()
        session = self._read(session, self.terms)
        self.terms_ = {term.name: copy.deepcopy(term).fit(session) for term in self.terms}
        names = {group: term.feature_names() for group, term in self.terms_.items()}
        self.groups_ = list(names)
        self.group_sizes_ = [len(features) for features in names.values()]
        self.columns_ = pd.MultiIndex.from_tuples(
            [(group, feature) for group, features in names.items() for feature in features],
            names=["group", "feature"],
        )
        self.means_ = np.zeros(len(self.columns_))
        self.scales_ = np.ones(len(self.columns_))
        return session

    def _check_parameters(self) -> None:
        if not isinstance(self.terms, (list, tuple)) or not self.terms:
            raise TypeError(f"Design: terms must be a list of terms such as bumps(...); found {self.terms!r}")
        for i, term in enumerate(self.terms):
            if not isinstance(term, Term):
                hint = f"; for the variable as it is write linear({term!r})" if isinstance(term, str) else ""
                raise TypeError(f"Design: terms[{i}] must be a term such as bumps(...); found {term!r}{hint}")
        name, count = Counter(term.name for term in self.terms).most_common(1)[0]
        if count > 1:
            raise ValueError(f"Design: {count} terms are named {name!r}; give each a name of its own with name=")
        if not (self.trial is None or isinstance(self.trial, str)):
            raise TypeError(f"Design: trial must be the name of a variable or None; found {self.trial!r}")
        if self.dtype not in ("float32", "float64"):
            raise ValueError(f"Design: dtype must be 'float32' or 'float64'; found {self.dtype!r}")

    def _read(self, session: Any, terms: Iterable[Term]) -> Session:
        return Session(session, [variable for term in terms for variable in term.variables], self.trial)

    def _blocks(self, session: Session) -> Iterator[tuple[Term, slice, np.ndarray]]:
        """Yield each term, its columns, and their values, float64, shape (n_samples, group size)."""
        stop = 0
        for (group, term), size in zip(self.terms_.items(), self.group_sizes_, strict=True):
            start, stop = stop, stop + size
            block = term.transform(session)
            if not np.isfinite(block.sum()):
                row, column = (int(i[0]) for i in np.nonzero(~np.isfinite(block)))
                raise ValueError(
                    f"term {group!r}: column {term.feature_names()[column]!r} is {block[row, column]} in row "
                    f"{row}; check its variables ({', '.join(term.variables)}) and its transformer there"
                )
            yield term, slice(start, stop), block

    def _measure(self, term: Term, columns: slice, block: np.ndarray) -> None:
        if not self.standardize:
            return
        mean = block.mean(axis=0)
        scale = block.std(axis=0)
        constant = scale <= 1e-12 * np.abs(mean)  # all that varies is rounding
        if term.common_scale:
            peak = np.abs(block - mean).max()
            constant |= len(block) * scale**2 < LEAST_VISIT * peak**2
        self.means_[columns] = mean
        self.scales_[columns] = np.where(constant, np.inf, scale)

    def _z_score(self, columns: slice, block: np.ndarray) -> np.ndarray:
        return (block - self.means_[columns]) / self.scales_[columns] if self.standardize else block

    def _warn_of_constant_columns(self) -> None:
        constant = self.columns_[np.isinf(self.scales_)]
        if len(constant):
            features = constant.to_frame(index=False).groupby("group", sort=False)["feature"].agg(", ".join)
            named = "; ".join(f"{group} ({names})" for group, names in features.items())
            message = f"{len(constant)} constant column(s) carry no information and are set to 0: {named}"
            warnings.warn(message, PopglmWarning, stacklevel=3)

    def _empty(self, session: Session) -> np.ndarray:
        return np.empty((session.n_samples, len(self.columns_)), dtype=self.dtype)

    def _label(self, X: np.ndarray, session: Session) -> pd.DataFrame:
        return pd.DataFrame(X, index=session.index, columns=self.columns_, copy=False)
