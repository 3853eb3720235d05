"""The design matrix: terms in, z-scored columns out."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin

from popglm.checks import LARGEST, check_choice, check_fitted, check_flag, check_room
from popglm.design.output import OutputOfChoice
from popglm.design.past import Past
from popglm.design.report import Block, Dependence, describe, score, warn_of_new_values, warn_of_useless_columns
from popglm.design.terms import Term, check_columns
from popglm.design.variables import SessionVariables
from popglm.messages import listed, shown
from popglm.scaling import note_scaling
from popglm.shapes import Shape, note_shapes

__all__ = ["Design"]


class Design(OutputOfChoice, TransformerMixin, BaseEstimator, auto_wrap_output_keys=None):  # type: ignore[call-arg]  # of scikit-learn, which has no types
    """Turn a recording session into a design matrix, one group of columns per term.

    A scikit-learn transformer: `fit` learns what the terms need (ranges, quantiles, categories) and the mean
    and standard deviation of every column; `transform` repeats them on new data.

    Parameters
    ----------
    terms : list of Term
        From `bumps`, `log_bumps`, `splines`, `cyclic_splines`, `linear`, `categories`, `shifts`, `kernel`,
        `history`, `coupling`, `transformed` and their products. Their names must differ. The terms themselves are
        left as they are.
    trial : str, optional
        Variable that labels the trial of each sample, without gaps or returns. No lag crosses from one trial to
        another. Without it the whole session is one trial. Nor does a lag cross a gap in time: where the rows of the
        session, a table or a mapping of labelled variables, are labelled with times or numbers that rise, a step of
        more than 1.5 × the median step.
    standardize : bool
        Subtract each column's mean and divide by its standard deviation (ddof 0), both over the samples of the fitted
        session at which it is known. A column is then 0 where it is unknown. Without it, columns are left as they
        are, and are 0 where they are unknown.
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
    group_shapes_ : list of Shape, length n_groups
        Along which axes the columns of each group have their neighbours, as ``smoothness`` of a model counts them: two
        for a product of two bases, a circle for `cyclic_splines`, none along categories. DataFrames carry them to the
        model; for arrays give it ``feature_shapes=design.group_shapes_``.
    columns_ : pandas.MultiIndex, length n_features
        (group, feature) of every column.
    means_, scales_ : ndarray of float64, shape (n_features,)
        What was subtracted from, and then divided out of, every column: ``(column - mean) / scale``. The
        scale of a column that was constant is infinite, so that it is 0 in all data; likewise that of a basis
        function that the session never visited (no sample came to a tenth of the peak). Without `standardize`, 0
        and 1.
    units_ : dict of str to str
        Units of the variables, where the fitted session is labelled with them: those that `kernels` takes.
    report_ : pandas.DataFrame, one row per group
        What the fitted session leaves unknown, outside, never or hardly visited, and collinear: see `report`.

    Warns
    -----
    PopglmWarning
        Once per fit, naming the columns that are constant, or as good as, and therefore 0 (only with `standardize`).
        Once per `transform`, naming the splines that were evaluated outside their fitted range. In both, naming bumps
        in whose range no sample lies, and terms of categories of which no sample has a known level.

    Notes
    -----
    A basis function that few samples visit would have a small standard deviation, and be huge in new data that visit
    it more. Let v = n σ² / peak² be the number of full visits that have the variance of the column. A column is hardly
    visited when v is below v₀, which is 20, but no more than n / 250 or a twentieth of the visits of the most visited
    column of its group, whichever is larger. Its scale is then σ (v₀ / v)⁴, up to half the peak, the largest standard
    deviation that values from 0 to the peak can have. The penalty holds such a column about as it would if it were
    not z-scored. All other columns have their standard deviation.

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
        session : DataFrame of pandas or polars, mapping of 1-D arrays, xarray Dataset, or pynapple TsdFrame
            One value per variable and sample; a mapping may hold arrays, Series, DataArrays or pynapple Tsd. Those with
            an index or times are put in the order of the first of them, which must be of the same samples. NaN
            marks samples at which a variable is unknown or does not apply: bumps, splines and events are 0 there
            before z-scoring, all other columns are 0 after it.
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
            If two groups share a name; if a variable is missing, not 1-D, of another length or of other samples than
            the others, not numeric where it must be, infinite, or in a unit whose squares overflow; if trial labels are
            missing or come back after another trial.
        """
        session = self._learn(session)
        dependence = Dependence(session.n_samples, self.group_sizes_)
        rows: list[dict] = []
        for block in self._blocks(session):
            self._measure(block, session, dependence, rows)
        self._finish(dependence, rows, session)
        return self

    def fit_transform(self, session: Any, y: None = None) -> pd.DataFrame:
        """Do `fit` and `transform` in one pass; arguments, result and errors are theirs."""
        session = self._learn(session)
        X = self._empty(session)
        dependence = Dependence(session.n_samples, self.group_sizes_)
        rows: list[dict] = []
        for block in self._blocks(session):
            X[:, block.columns] = self._measure(block, session, dependence, rows)
        self._finish(dependence, rows, session)
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
            Columns are a MultiIndex (group, feature); rows have the index of a DataFrame or of the entries of a
            mapping, the coordinate of a Dataset, the times of pynapple objects, or count from 0.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If `fit` was not called before.
        TypeError, ValueError
            As in `fit`.
        """
        check_fitted(self, "columns_", "transform")
        session = self._read(session, self.terms_.values())
        X = self._empty(session)
        for block in self._blocks(session):
            X[:, block.columns] = score(block, self.means_[block.columns], self.scales_[block.columns])
        warn_of_new_values(self.terms_.values(), session)
        return self._label(X, session)

    def report(self, session: Any) -> pd.DataFrame:
        """Say of every group what a session leaves unknown, outside, unvisited or collinear.

        Parameters
        ----------
        session : DataFrame, mapping of 1-D arrays, xarray Dataset, or pynapple TsdFrame
            As in `fit`. For the session of the fit itself the result stands in `report_`.

        Returns
        -------
        pandas.DataFrame, one row per group
            - ``columns``: how many there are.
            - ``unknown``: share of the values that are unknown, from 0 to 1.
            - ``outside``: share of the samples at which a variable lies outside the range of the term: the support of
              bumps, the range to which splines were fitted, the levels of categories. 0 for terms without a range.
            - ``never_visited``: columns that are constant, or reach no tenth of the peak.
            - ``hardly_visited``: columns with few visits, whose scale is held back (see the notes of `Design`).
            - ``condition``: largest over smallest singular value of the group's z-scored columns, without those
              never visited; infinite where one is a combination of the others, NaN for more than 2,000 columns.
            - ``collinear``: columns that are exact combinations of others in the design and a constant; NaN if the
              design has more than 2,000 columns. The splines of a group, which sum to 1, always are. A penalty makes
              the weights unique all the same; without one there is no unique fit.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If `fit` was not called before.
        TypeError, ValueError
            As in `fit`.

        Examples
        --------
        >>> import numpy as np
        >>> from popglm.design import Design, bumps, linear
        >>> rng = np.random.default_rng(0)
        >>> session = {"x": rng.uniform(0, 10, 2000), "speed": rng.normal(50, 2, 2000)}
        >>> session["speed"][:100] = np.nan
        >>> session["twice"] = 2 * session["speed"]
        >>> design = Design([bumps("x", n=5, low=0, high=10), linear("speed"), linear("twice")]).fit(session)
        >>> design.report_.T.round(2)
        group             x  speed  twice
        columns         5.0   1.00   1.00
        unknown         0.0   0.05   0.05
        outside         0.0   0.00   0.00
        never_visited   0.0   0.00   0.00
        hardly_visited  0.0   0.00   0.00
        condition       inf   1.00   1.00
        collinear       3.0   1.00   1.00

        One speed is twice the other, and the bumps 0, 2 and 4 sum to 1 between `low` and `high`. In a session that
        was recorded elsewhere, more samples lie outside:

        >>> design.report({name: values[:500] + 8 for name, values in session.items()})["outside"].round(2)
        group
        x        0.34
        speed    0.00
        twice    0.00
        Name: outside, dtype: float64
        """
        check_fitted(self, "columns_", "report")
        session = self._read(session, self.terms_.values())
        dependence = Dependence(session.n_samples, self.group_sizes_)
        rows: list[dict] = []
        for block in self._blocks(session):
            row, mean, scale = describe(block, session)
            dependence.add(block.columns, score(block, mean, scale))
            rows.append(row)
        return self._tabulate(dependence, rows)

    def for_neuron(self, neuron: str) -> Design:
        """Return the part of the design that may explain one neuron: its own history, and coupling from all others.

        Parameters
        ----------
        neuron : str
            Name of the neuron, as in `history` and `coupling`.

        Returns
        -------
        Design
            Without the history of other neurons and without coupling from the neuron to itself. Fitted if this
            design is, with the same means and scales: its ``columns_`` select the neuron's columns from one X.

        Raises
        ------
        ValueError
            If no term reads the past of that neuron, or nothing would be left.

        Examples
        --------
        >>> import numpy as np
        >>> import popglm as pg
        >>> spikes = {f"n{j}": np.random.default_rng(j).poisson(0.3, 200) for j in range(3)}
        >>> basis = pg.log_bumps("lag", n=3, low=1, high=12)
        >>> design = pg.Design([*(pg.history(n, basis) for n in spikes), *pg.coupling(spikes, basis)])
        >>> X = design.fit_transform(spikes)
        >>> own = design.for_neuron("n1")
        >>> own.groups_
        ['n1 history', 'n0 coupling', 'n2 coupling']
        >>> model = pg.GLM(lambdas=[0.1]).fit(X[own.columns_], spikes["n1"])
        """
        self._check_parameters()
        sources = {term.source for term in self.terms if isinstance(term, Past)}
        if not isinstance(neuron, str) or neuron not in sources:
            read = listed(map(repr, sorted(sources))) or "none"
            raise ValueError(f"for_neuron: no history or coupling term reads {shown(neuron)}; neurons with one: {read}")
        kept = [t for t in self.terms if not isinstance(t, Past) or t.own == (t.source == neuron)]
        if not kept:
            raise ValueError(f"for_neuron: no term is left to explain {neuron!r}; add its history or other neurons")
        part = Design(kept, trial=self.trial, standardize=self.standardize, dtype=self.dtype)
        if hasattr(self, "terms_"):
            names = [str(term.name) for term in kept]
            columns = self.columns_.get_level_values("group").isin(names)
            part.terms_ = {name: self.terms_[name] for name in names}
            part.groups_ = names
            part.group_sizes_ = [len(term.feature_names()) for term in part.terms_.values()]
            part.columns_ = self.columns_[columns].remove_unused_levels()
            part.means_, part.scales_ = self.means_[columns], self.scales_[columns]
            part.report_ = self.report_.loc[names]
        return part

    @property
    def group_shapes_(self) -> list[Shape]:
        """See the class."""
        return [term.shape() for term in self.terms_.values()]

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
        check_fitted(self, "columns_", "get_feature_names_out")
        return np.array([f"{group}_{feature}" for group, feature in self.columns_], dtype=object)

    def _learn(self, session: Any) -> SessionVariables:
        """Fit copies of the terms, lay out the columns, and return the session as terms read it."""
        self._check_parameters()
        session = self._read(session, self.terms, is_fitted_to=True)
        self.units_ = session.units
        self.terms_: dict[str, Term] = {}
        for term in self.terms:
            group = str(term.name)
            self.terms_[group] = copy.deepcopy(term).fit(session)
            check_columns(self.terms_[group], session.n_samples)
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
            raise TypeError(f"Design: terms must be a list of terms such as bumps(...); found {shown(self.terms)}")
        for i, term in enumerate(self.terms):
            if not isinstance(term, Term):
                hint = f"; for the variable as it is write linear({term!r})" if isinstance(term, str) else ""
                hint = "; unpack a list of terms with *" if isinstance(term, (list, tuple)) else hint
                raise TypeError(f"Design: terms[{i}] must be a term such as bumps(...); found {shown(term)}{hint}")
        name, count = Counter(term.name for term in self.terms).most_common(1)[0]
        if count > 1:
            raise ValueError(f"Design: {count} terms are named {name!r}; give each a name of its own with name=")
        if not (self.trial is None or isinstance(self.trial, str)):
            raise TypeError(f"Design: trial must be the name of a variable or None; found {shown(self.trial)}")
        check_flag("Design", "standardize", self.standardize)
        check_choice("Design", "dtype", self.dtype, ("float32", "float64"))

    def _read(self, session: Any, terms: Iterable[Term], is_fitted_to: bool = False) -> SessionVariables:
        return SessionVariables(
            session, [variable for term in terms for variable in term.variables], self.trial, is_fitted_to
        )

    def _blocks(self, session: SessionVariables) -> Iterator[Block]:
        """Yield the columns of each term, before z-scoring."""
        stop = 0
        for (group, term), size in zip(self.terms_.items(), self.group_sizes_, strict=True):
            start, stop = stop, stop + size
            check_columns(term, session.n_samples)
            values = term.transform(session)
            # NaN is below no number
            if not max(values.max(initial=0), -values.min(initial=0)) <= LARGEST:
                row, column = (int(i[0]) for i in np.nonzero(~(np.abs(values) <= LARGEST)))
                raise ValueError(
                    f"term {group!r}: column {term.feature_names()[column]!r} is {values[row, column]:g} in row "
                    f"{row}, not within ±{LARGEST:g}; check its variables ({listed(term.variables)}), their units "
                    "and its transformer there"
                )
            yield Block(term, slice(start, stop), values, term.known(session))

    def _measure(self, block: Block, session: SessionVariables, dependence: Dependence, rows: list[dict]) -> np.ndarray:
        """Learn the statistics of a block, describe it, and return it z-scored."""
        row, mean, scale = describe(block, session)
        rows.append(row)
        z_scored = score(block, mean, scale)
        dependence.add(block.columns, z_scored)
        if not self.standardize:
            return block.values
        self.means_[block.columns], self.scales_[block.columns] = mean, scale
        return z_scored

    def _finish(self, dependence: Dependence, rows: list[dict], session: SessionVariables) -> None:
        self.report_ = self._tabulate(dependence, rows)
        names = {name for term in self.terms_.values() for name in term.variables}
        is_unknown = {name: bool(session.column(name).isna().all()) for name in names}
        unknown = [
            group
            for group, term in self.terms_.items()
            if self.report_.loc[group, "unknown"] == 1 or any(is_unknown[name] for name in term.variables)
        ]
        warn_of_useless_columns(self.columns_[np.isinf(self.scales_)], unknown, self.terms_.values(), session)

    def _tabulate(self, dependence: Dependence, rows: list[dict]) -> pd.DataFrame:
        index = pd.Index(self.groups_, name="group")
        return pd.DataFrame(rows, index=index).assign(collinear=dependence.collinear())

    def _empty(self, session: SessionVariables) -> np.ndarray:
        shape = session.n_samples, len(self.columns_)
        n_bytes = float(shape[0]) * shape[1] * np.dtype(self.dtype).itemsize
        check_room(f"Design: a matrix of {shape[0]:,} samples × {shape[1]:,} columns", n_bytes)
        return np.empty(shape, dtype=self.dtype)

    def _label(self, X: np.ndarray, session: SessionVariables) -> Any:
        table = pd.DataFrame(X, index=session.index, columns=self.columns_, copy=False)
        note_scaling(table, self.means_, self.scales_)
        note_shapes(table, dict(zip(self.groups_, self.group_shapes_, strict=True)))
        return self.as_chosen(table)
