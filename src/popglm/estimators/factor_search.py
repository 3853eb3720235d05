"""`FactorSearch`: penalty factors of feature spaces that cross-validation chooses for every neuron."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from popglm.checks import check_count, check_seed, is_iterable, is_number
from popglm.engines import as_numpy
from popglm.estimators.arguments import LARGEST_FACTOR
from popglm.estimators.attributes import Attributes, penalty_with
from popglm.estimators.progress import fit_progress
from popglm.labels import is_counted
from popglm.messages import shown
from popglm.numbers import holds_flags, numbers_of
from popglm.solve.factors.search import search_factors
from popglm.solve.passes.samples import FitData
from popglm.solve.settings import Settings
from popglm.variables import Variables, resolve_variables

__all__ = ["FactorSearch", "run_search"]

#: Candidates of a search at most.
MOST_CANDIDATES = 100_000


@dataclass(frozen=True, eq=False)
class FactorSearch:
    """Penalty factors of feature spaces, chosen per neuron by cross-validation among random ones: banded ridge.

    For the ``penalty_factors`` of `GLMCV`. A space is one feature group or several that share a factor: the task, the
    movements, the population. A candidate gives every space a weight γ, and all weights sum to 1: the factor of a space
    is 1 / (n_spaces · γ), so that with equal weights all factors are 1, and a space of a small weight is hardly used.
    Every candidate is tried at all strengths, by the folds of the fit, and each neuron keeps the pair that predicts its
    held-out activity best.

    Parameters
    ----------
    spaces : None, list of str, or mapping
        None: every feature group is a space. Else as the variables of `breakdown`: a list of groups or patterns, or a
        mapping from names to groups, patterns or lists of them. Every group belongs to one space.
    n_candidates : int
        How many are tried. The first has equal weights, which is the plain penalty; the others are drawn.
    concentrations : float or sequence of float
        Of the Dirichlet distributions that weights are drawn from, in turn: 1 is even over all mixtures, and smaller
        ones prefer those of few spaces.
    candidates : array-like or DataFrame, shape (n_candidates, n_spaces), optional
        Weights to try in place of drawn ones, ≥ 0, each row up to a factor: ``np.eye(n_spaces)`` lets one space win.
        Columns of a DataFrame go by the names of spaces.
    n_fitted : int, optional
        Candidates of each neuron that are fitted, where these are not known without fits, beside equal weights; None
        for all. See the Notes.
    seed : int
        Of the draws.

    Raises
    ------
    ValueError
        When `GLMCV.fit` is called, for an argument that is none of these.

    Notes
    -----
    Ridges of Gaussian activity that was recorded in all samples need no fits: with columns divided by the roots of
    their factors, one decomposition of the covariance of a fold's training rows serves all strengths and neurons, and
    held-out errors follow from sums as well. All candidates are tried then, exactly. With other families, missing
    samples or weights of each neuron's own, a plain ridge is fitted first. About it the held-out deviance of a fold is
    replaced by its quadratic approximation, with the mean curvature of a neuron over samples, which ranks all
    candidates. The first ``n_fitted`` of a neuron are then fitted by its own family, at seven strengths around the best
    one of the approximation, and their true held-out deviance decides. Penalties other than ridge have no such
    approximation: all candidates are fitted, each as long as a fit of `GLMCV`.

    Time grows with the cube of the number of columns, and hardly with that of samples. Fits of other families take
    turns over candidates, so that they cost more than as many fits of the whole population.

    The model is then fitted as one with these ``penalty_factors``, at all strengths, or down to where the ``patience``
    of the `GLMCV` ends; the search knows no patience. The held-out deviance of what was chosen among many is
    optimistic, more so than that of a strength alone: judge it on data that `fit` has not seen. `compare` and other
    re-fits keep the factors that were found.

    References
    ----------
    Nunez-Elizalde, Huth & Gallant, "Voxelwise encoding models with non-spherical multivariate normal priors",
    *NeuroImage* 197 (2019). Dupré la Tour, Eickenberg, Nunez-Elizalde & Gallant, "Feature-space selection with banded
    ridge regression", *NeuroImage* 264 (2022): the random search, as `himalaya` has it.

    Examples
    --------
    Neurons of which each follows one of two spaces:

    >>> import numpy as np
    >>> import popglm as pg
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((400, 40))
    >>> W = np.where(np.arange(40)[:, None] < 20, [0.3, 0.0], [0.0, 0.3])
    >>> Y = X @ W + rng.standard_normal((400, 2))
    >>> search = pg.FactorSearch(n_candidates=50)
    >>> model = pg.GLMCV("gaussian", feature_groups=[20, 20], penalty_factors=search).fit(X, Y)
    >>> plain = pg.GLMCV("gaussian").fit(X, Y)
    >>> bool((model.penalty_factors_.argmin(axis=0) == [0, 1]).all())
    True
    >>> bool((model.cv_deviance_explained_ > plain.cv_deviance_explained_).all())
    True
    """

    spaces: Variables = None
    n_candidates: int = 100
    concentrations: float | Sequence[float] = (0.1, 1.0)
    candidates: Any = None
    n_fitted: int | None = 5
    seed: int = 0

    def drawn(self, groups: Sequence[str]) -> _Candidates:
        """The candidates for a fit with these feature groups.

        Raises
        ------
        TypeError, ValueError
        """
        spaces = resolve_variables(self.spaces, groups, "spaces")
        left = [group for group in groups if not any(group in own for own in spaces.values())]
        if left:
            raise ValueError(
                f"spaces: the feature group {left[0]!r} is in none of them ({len(left)} groups in all); give it to one "
                "of them, or to a space of its own."
            )
        if len(spaces) < 2:
            raise ValueError(
                f"spaces: a search needs two or more, and there is {shown(list(spaces))} alone; its factor would be "
                "another strength."
            )
        if self.n_fitted is not None:
            check_count("FactorSearch", "n_fitted", self.n_fitted, 1, MOST_CANDIDATES)
        place = {group: s for s, own in enumerate(spaces.values()) for group in own}
        weights = self._drawn(len(spaces)) if self.candidates is None else self._given(list(spaces))
        return _Candidates(list(spaces), np.array([place[group] for group in groups]), weights)

    def _drawn(self, n_spaces: int) -> np.ndarray:
        """Equal weights, and random ones."""
        check_count("FactorSearch", "n_candidates", self.n_candidates, 1, MOST_CANDIDATES)
        check_seed(self.seed, "FactorSearch")
        found = self.concentrations
        each: list[Any] = list(found) if is_iterable(found) and not isinstance(found, str | bytes) else [found]
        if not each or not all(is_number(one) and one > 0 for one in each):
            raise ValueError(
                f"FactorSearch: concentrations={shown(found)} must be a number above 0, or several; 1 draws mixtures "
                "evenly, 0.1 mostly single spaces."
            )
        rng, weights = np.random.default_rng(self.seed), np.full((self.n_candidates, n_spaces), 1 / n_spaces)
        for i in range(1, self.n_candidates):
            weights[i] = rng.dirichlet(np.full(n_spaces, float(each[i % len(each)])))
        return weights

    def _given(self, spaces: list[str]) -> np.ndarray:
        """The weights given, in the order of the spaces, each row summing to 1."""
        found = self.candidates
        if isinstance(found, pd.DataFrame) and not is_counted(found.columns):
            names = [str(name) for name in found.columns]
            if sorted(names) != sorted(spaces):
                raise ValueError(
                    f"FactorSearch: candidates has columns {shown(names)}, and the spaces are {shown(spaces)}; give a "
                    "column for each."
                )
            found = found.iloc[:, [names.index(name) for name in spaces]]
        table = numbers_of(found, "candidates")
        if holds_flags(found) or table.ndim != 2 or table.shape[1] != len(spaces) or not len(table):
            raise ValueError(
                f"FactorSearch: candidates must be numbers of shape (n_candidates, {len(spaces)}), a weight for each "
                f"of the spaces {shown(spaces)}; found {np.asarray(as_numpy(found)).dtype.name} of shape {table.shape}."
            )
        bad = np.argwhere(~np.isfinite(table) | (table < 0))
        if len(bad):
            raise ValueError(
                f"FactorSearch: candidates must be finite and ≥ 0; that of {spaces[bad[0][1]]!r} in row {bad[0][0]} is "
                f"{table[tuple(bad[0])]:g}."
            )
        empty = np.flatnonzero(table.sum(axis=1) == 0)
        if len(empty):
            raise ValueError(f"FactorSearch: candidates has no weight above 0 in row {empty[0]}; leave that row out.")
        return table / table.sum(axis=1, keepdims=True)


@dataclass(frozen=True)
class _Candidates:
    """Weights of spaces to try.

    Attributes
    ----------
    spaces : list of str
    space : ndarray of int, shape (n_groups,)
        That of every feature group.
    weights : ndarray, shape (n_candidates, n_spaces)
    """

    spaces: list[str]
    space: np.ndarray
    weights: np.ndarray

    @property
    def factors(self) -> np.ndarray:
        """Those of every candidate and feature group, shape (n_candidates, n_groups)."""
        return 1 / np.maximum(len(self.spaces) * self.weights, 1 / LARGEST_FACTOR)[:, self.space]


def run_search(
    model: Attributes, settings: Settings, data: FitData, shares: list
) -> tuple[xr.Dataset, np.ndarray, np.ndarray]:
    """What the search of a `GLMCV` found: its `factor_search_`, factors (n_groups, n_neurons), and strengths.

    Parameters
    ----------
    model : GLMCV
        Whose arguments are checked.
    data : FitData
    """
    search, (engine, X, *_) = model.penalty_factors, data
    if model.penalty == "none":
        raise ValueError("penalty_factors has no effect under penalty='none'; leave it None or choose a penalty.")
    if not isinstance(X, np.ndarray):
        raise ValueError(
            "penalty_factors: a FactorSearch goes through X for many fits, and needs it in memory; give an array, or "
            "search on a part of the samples and give what was found there as penalty_factors."
        )
    candidates = search.drawn(model.feature_group_names_)
    factors = candidates.factors
    of_blocks = np.stack([np.asarray(penalty_with(model, own).factors) for own in factors])
    n_neurons = data.Y.shape[1]
    with (
        np.errstate(all="ignore"),
        engine.session(),
        fit_progress(model.verbose, n_neurons, len(factors), 1, "candidate") as advance,
    ):
        told = None if advance is None else lambda i, share: advance(i, -1, share=share)
        found = search_factors(
            data, settings, of_blocks, search.n_fitted, float(model.min_lambda), told, shares=shares,
            schedule=model.schedule,
        )  # fmt: skip
    about = xr.Dataset(
        {
            "weight": (("candidate", "space"), candidates.weights),
            "chosen": (("neuron",), found.chosen),
            "deviance": (("candidate", "neuron"), found.deviance),
            "strength": (("candidate", "neuron"), found.strength),
        },
        coords={"space": candidates.spaces, "neuron": model.neuron_names_},
    )
    return about, factors[found.chosen].T, found.lambdas
