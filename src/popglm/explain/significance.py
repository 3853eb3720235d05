"""Which neurons, and which variables, beat chance: held-out deviance under circular shifts of the activity."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy.stats import false_discovery_control
from sklearn.base import clone

from popglm.design.checks import check_count
from popglm.explain.breakdown import breakdown
from popglm.explain.contributions import check_activity, check_design_matrix, check_splits, rows_of
from popglm.explain.shifts import ShiftTest, unique_columns
from popglm.explain.trials import check_trials
from popglm.explain.variables import Variables, group_columns, resolve_variables
from popglm.model.estimators import GLMCV
from popglm.model.validation import check_offset, check_seed, check_vector
from popglm.warnings import PopglmWarning

__all__ = ["significance"]

#: Fractions of deviance this close are equal: rounding in the Fourier transforms must not break a tie.
TIE = 1e-9


def significance(
    model: GLMCV,
    X: Any,
    Y: Any,
    variables: Variables = None,
    *,
    trial: Any,
    n_shifts: int = 1000,
    seed: int = 0,
    refit: bool = False,
    sample_weight: Any = None,
    offset: Any = None,
) -> xr.Dataset:
    """Test held-out deviance explained, and contributions of variables, against circular shifts of the activity.

    Parameters
    ----------
    model : GLMCV
        Fitted to X and Y.
    X : array-like or DataFrame, shape (n_samples, n_features)
    Y : array-like or DataFrame, shape (n_samples, n_neurons) or (n_samples,)
        Rows in order of time.
    variables : list of str, or mapping, optional
        Whose contributions to test, as in `breakdown`; None tests the deviance explained alone.
    trial : array-like, shape (n_samples,)
        Trial of every sample. Offsets are at least as long as the longest trial, from both ends of the recording, so
        that no activity lands in its own trial.
    n_shifts : int
        Offsets drawn for every neuron, all different. No p-value is below ``1 / (1 + n_shifts)``.
    seed : int
        Of the generator ``numpy.random.default_rng(seed)`` that draws them.
    refit : bool
        Fit the model again to every shifted activity: ``n_shifts × (1 + number of variables)`` fits. See Notes.
    sample_weight, offset : array-like, shape (n_samples,), optional
        Those of the fit. Without ``refit`` a shift moves the weights with the activity; offsets count as a part of the
        prediction.

    Returns
    -------
    xarray.Dataset
        ``deviance_explained`` (neuron), ``deviance_explained_null`` (shift, neuron), ``p_value`` and ``q_value``
        (neuron). With `variables` also ``contribution`` (neuron, variable), the fraction of the null deviance in
        `breakdown` with ``method="zero"``; ``contribution_null`` (shift, neuron, variable);
        ``contribution_p_value`` and ``contribution_q_value`` (neuron, variable). p-values are one-sided; q-values
        control the false-discovery rate over neurons (Benjamini & Hochberg), for each variable by itself.

    Raises
    ------
    TypeError
        If X is a `RowStream`: correlations at all shifts need its columns whole.
    ValueError
        If the model is not cross-validated; if labels of rows, columns or neurons are not those of the fit, or the fit
        had an offset and none is given; if `trial` has
        another length, a missing label, or a trial whose rows do not follow each other; if the recording has fewer
        than `n_shifts` trial-safe offsets; for unknown variables; and with ``refit`` if some row is never held out.

    Notes
    -----
    Every loss here is :math:`a(\\eta) - y\\,\\theta(\\eta)` plus a constant in η, so the deviance at all
    shifts is a circular cross-correlation. Rows that no fold holds out are dropped first. At every shift the strength
    is selected again, since the least of several deviances is too good a score for its strength. p-values are
    ``(1 + number of shifts at least as good) / (1 + n_shifts)`` (Phipson & Smyth 2010).

    *Folds share training rows.* Weights that are fitted to chance make the held-out deviance of one fold a sum of
    products between that fold's noise and the other folds', and each product occurs twice, once with either fold held
    out. So the sum over folds has twice the variance that shifts with given weights show, for any number of folds above
    one (Bengio & Grandvalet 2004). Without ``refit`` the null distribution is therefore spread around its mean by √2;
    for few columns that is more than enough.

    *Slow fluctuations.* Where activity and X both outlast the gap between a held-out and a training trial, what they
    share by chance is learned in the one and found again in the other (Harris 2020). Shifts with given weights do not
    see this. Without ``refit`` the null distribution is therefore moved up by the gain that is expected of unrelated
    activity: for principal component k of X, with autocorrelations :math:`r_k, r_y` at lags up to two trials and the
    share d(h) of pairs of samples h apart that are in different folds,

    .. math:: \\frac{\\sum_k g_k \\sum_{h \\neq 0} d(h) r_k(h) r_y(h)}
              {\\sqrt{2 (1 - 1/K) \\sum_k g_k^2 [\\sum_h (1 - d(h)) r_k(h) r_y(h)]^2}}

    standard deviations, which is mean over standard deviation of :math:`\\sum_k g_k \\sum x_k y\\, x_k' y'`, primes for
    samples of another fold; :math:`g_k` is the component's variance (strong penalties) or 1 (none), whichever gives
    more. With fluctuations longer than trials p-values are conservative. ``refit=True`` needs neither correction,
    since every shift goes through all that the activity went through, and finds more there; use it too where columns
    are not far fewer than independent samples (samples over the length of a fluctuation), since both corrections are of
    first order in the weights. Activity locked to trials of equal length survives a shift by whole trials: its p-values
    are too large either way.

    *Contributions.* The question is whether a variable adds to the others, and shifting the activity against all of X
    would tear it from these too. Shifted is instead what the others leave over (Freedman & Lane 1983):
    :math:`y_s(t) = \\mu(t) + \\sigma(t)\\, e(t - s)` with :math:`e = (y - \\mu) / \\sigma`. Here μ is the held-out mean
    where the variable's columns are replaced by their linear regression on all other columns, for in a model without
    the variable these would take over what they can; and σ² is the neuron's mean squared residual among samples of
    alike μ, so that noise that grows with the rate stays where it was. The strength is the selected one throughout,
    for all variables determine it. With ``refit``, :math:`y_s` is cut to the family's range and all is fitted and
    selected anew, for each variable by itself. So a contribution can be large and its p-value too: the model uses the
    variable, and could do without.

    References
    ----------
    Harris (2020), Nonsense correlations in neuroscience, bioRxiv 2020.11.29.402719.
    Freedman & Lane (1983), Journal of Business & Economic Statistics 1, 292-298.
    Bengio & Grandvalet (2004), Journal of Machine Learning Research 5, 1089-1105.
    Phipson & Smyth (2010), Statistical Applications in Genetics and Molecular Biology 9, 39.

    Examples
    --------
    >>> import numpy as np
    >>> import popglm as pg
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((900, 2))
    >>> Y = rng.poisson(np.exp(np.outer(X[:, 0], [0.8, 0.0])))
    >>> trial = np.arange(900) // 10
    >>> model = pg.GLMCV(penalty="lasso", n_lambdas=5).fit(X, Y, groups=trial)
    >>> result = pg.significance(model, X, Y, ["feature0", "feature1"], trial=trial, n_shifts=200)
    >>> result.q_value.to_series() < 0.05
    neuron
    neuron0     True
    neuron1    False
    Name: q_value, dtype: bool
    >>> result.contribution_q_value.sel(neuron="neuron0").to_series() < 0.05
    variable
    feature0     True
    feature1    False
    Name: contribution_q_value, dtype: bool
    """
    check_count("significance", "n_shifts", n_shifts, 1)
    check_seed(seed, "significance")
    values = check_design_matrix(model, X, "significance", held_out=True, whole=True)
    labels = rows_of(model, X, held_out=True)
    y = check_activity(model, Y, len(values), labels)
    weight = check_vector(sample_weight, "sample_weight", len(values), non_negative=True, rows=labels)
    offset = check_offset(model, offset, len(values), labels, "significance")
    groups, sizes = model.feature_group_names_, model.feature_group_sizes_
    chosen = {} if variables is None else resolve_variables(variables, groups)
    columns = [group_columns(names, groups, sizes) for names in chosen.values()]
    rows = np.flatnonzero(model.fold_ >= 0)
    if refit and len(rows) < len(values):
        raise ValueError(f"significance: {len(values) - len(rows)} rows are never held out; refit=True needs them all.")
    codes = _check_order(check_trials(trial, len(values), labels), rows, trial)
    longest = int(np.bincount(codes).max())
    offsets = _draw_offsets(len(rows), longest, n_shifts, y.shape[1], seed)
    scale = 1.0 if weight is None else weight[rows, None]
    known = ~np.isnan(y[rows])
    test = ShiftTest(model, values, offset, rows, np.where(known, y[rows], 0.0), known * scale, offsets, longest)
    own = unique_columns(values[rows], columns)
    arrays = _refit(test, values, y, weight, chosen, columns, own) if refit else test.scores(columns, own)
    return _dataset(model, list(chosen), *arrays, {"n_shifts": n_shifts, "seed": seed, "refit": int(refit)})


def _check_order(codes: np.ndarray, rows: np.ndarray, trial: Any) -> np.ndarray:
    """Trials of the rows, numbered anew, if the rows of each follow each other."""
    numbers = pd.factorize(codes[rows])[0]
    back = np.flatnonzero(np.diff(numbers) < 0)
    if len(back):
        row = rows[back[0] + 1]
        raise ValueError(
            f"trial {np.asarray(trial)[row]} comes back in row {row} after other trials; the rows of a trial must "
            "follow each other in time, and every trial of several sessions needs its own label."
        )
    return numbers


def _draw_offsets(n: int, longest: int, n_shifts: int, n_neurons: int, seed: int) -> np.ndarray:
    """Offsets (n_shifts, n_neurons) between ``longest`` and ``n − longest``, all different within a neuron."""
    n_safe = n - 2 * longest + 1
    if n_safe < n_shifts:
        raise ValueError(
            f"significance: {n} held-out samples with a longest trial of {longest} have {max(n_safe, 0)} trial-safe "
            f"offsets, fewer than n_shifts={n_shifts}; use fewer shifts, or a longer recording."
        )
    rng = np.random.default_rng(seed)
    draws = [rng.choice(n_safe, n_shifts, replace=False) for _ in range(n_neurons)]
    return longest + np.stack(draws, axis=1)


def _refit(test: ShiftTest, X: Any, y: np.ndarray, weight, chosen: dict, columns: list, unique: list) -> tuple:
    """What `ShiftTest.scores` returns, by fits of the model to shifted activity."""
    model, (n_shifts, q) = test.model, test.offsets.shape
    labels = np.repeat(model.feature_group_names_, model.feature_group_sizes_).tolist()
    again = clone(model).set_params(
        cv=check_splits(model, "significance"),
        refit=False,
        verbose=0,
        feature_groups=labels,
        se_fraction=model._rule[0],
        min_lambda=model._rule[1],
    )
    options = {"sample_weight": weight, "offset": test.offset}
    neurons = np.arange(q)
    eta = test.linear_predictors(neurons, selected=True)[:, 0]
    without = [eta - test.part(neurons, own, x) for own, x in zip(columns, unique, strict=True)]
    share = np.zeros((q, 0))
    explained_null, share_null = np.zeros((n_shifts, q)), np.zeros((n_shifts, q, len(columns)))
    with warnings.catch_warnings():
        # the model's own fit has told of neurons without a fit
        warnings.simplefilter("ignore", PopglmWarning)
        if chosen:
            share = breakdown(model, X, y, chosen, **options).fraction_null_deviance.values
        for k, shifts in enumerate(test.offsets):
            shifted = np.stack([np.roll(y[:, j], shifts[j]) for j in neurons], axis=1)
            explained_null[k] = again.fit(X, shifted, **options).cv_deviance_explained_
            for v, (name, groups) in enumerate(chosen.items()):
                surrogate = [test.shifted_residuals(without[v][j], shifts[j], j) for j in neurons]
                surrogate = np.stack(surrogate, axis=1)
                fitted = again.fit(X, surrogate, **options)
                shares = breakdown(fitted, X, surrogate, {name: groups}, **options).fraction_null_deviance
                share_null[k, :, v] = shares.values[:, 0]
    return model.cv_deviance_explained_, share, explained_null, share_null


def _dataset(model, variables, explained, share, explained_null, share_null, attrs) -> xr.Dataset:
    def p_values(observed: np.ndarray, null: np.ndarray) -> np.ndarray:
        return (1 + (null >= observed - TIE).sum(axis=0)) / (1 + len(null))

    p = p_values(explained, explained_null)
    contents: dict[str, Any] = {
        "deviance_explained": ("neuron", explained),
        "deviance_explained_null": (("shift", "neuron"), explained_null),
        "p_value": ("neuron", p),
        "q_value": ("neuron", false_discovery_control(p)),
    }
    coords: dict[str, Any] = {"neuron": model.neuron_names_}
    if variables:
        coords["variable"] = variables
        p = p_values(share, share_null)
        contents |= {
            "contribution": (("neuron", "variable"), share),
            "contribution_null": (("shift", "neuron", "variable"), share_null),
            "contribution_p_value": (("neuron", "variable"), p),
            "contribution_q_value": (("neuron", "variable"), false_discovery_control(p, axis=0)),
        }
    return xr.Dataset(contents, coords=coords, attrs=attrs)
