"""Linear mixed models of contributions: groups of neurons, with what animals and sessions differ by of themselves."""

from __future__ import annotations

import warnings
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy import stats

from popglm.checks import check_flag, is_number
from popglm.explain.pooling import check_groups, check_levels, check_table
from popglm.messages import shown
from popglm.warnings import ConvergenceWarning, warn

__all__ = ["mixed_model"]

#: A variance below this share of all is at the edge.
EDGE = 1e-6


def mixed_model(
    table: pd.DataFrame,
    values: Any,
    by: str | None = None,
    *,
    levels: Any = ("animal", "session"),
    slopes: bool = False,
    level: float = 0.95,
) -> xr.Dataset:
    r"""Means by area or condition and their differences, with random intercepts of animals and sessions (statsmodels).

    `hierarchical_bootstrap` asks the same and assumes less. A mixed model says more with few animals, if what it
    assumes is right: normal deviations, of one variance at each level.

    Parameters
    ----------
    table : DataFrame
        A row per neuron, as of `pool_sessions`.
    values : str or list of str
        Columns of numbers, a model each. NaN is left out.
    by : str, optional
        Column of groups that are compared.
    levels : str or list of str
        One column, or two, that say what neurons belong to, the larger unit first.
    slopes : bool
        Whether the difference of groups may differ between the larger units, which takes more of them. Groups that were
        recorded in the same animals, such as areas, need that: else their difference seems surer than it is. Groups of
        which each animal has one, such as genotypes, cannot have that.
    level : float
        Of the intervals.

    Returns
    -------
    xarray.Dataset
        - ``estimate``, ``standard_error``, ``lower``, ``upper`` (value, group), of the groups' means; ``n_neurons``.
        - with two groups or more ``difference`` and the same of it, and ``p_value`` (value, pair), by Wald's test.
        - ``variance`` (value, component): of each level, and of neurons within the smallest.

    Raises
    ------
    ImportError
        Without statsmodels: ``pip install 'popglm[mixed]'``.
    TypeError, ValueError
        If a column is not there or not as above, there are fewer than two of the larger units with numbers, or more
        levels than two, ``by`` is one of the values or the larger unit itself, or with ``slopes`` no larger unit has
        two groups.

    Warns
    -----
    ConvergenceWarning
        Names values whose likelihood has no maximum inside, mostly because a variance is 0, or was not found.

    Notes
    -----
    For neuron i in session s of animal a, with its group g,

    .. math:: y_i = \beta_g + u_a + w_{as} + e_i ,

    by restricted maximum likelihood. For a balanced table and one group the error of the mean is that of the animals'
    means, :math:`s_a / \sqrt{n_a}`. Intervals are normal, which is too short for few animals: with five, Student's are
    1.4 times as wide.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> import popglm as pg
    >>> rng = np.random.default_rng(0)
    >>> animal = np.repeat(np.arange(6), 40)
    >>> cue = 0.1 * rng.normal(size=6)[animal] + 0.1 * rng.normal(size=240)
    >>> table = pd.DataFrame({"animal": animal, "cue": cue})
    >>> pg.mixed_model(table, "cue", levels="animal")["variance"].round(4).values  # doctest: +SKIP
    array([[0.0015, 0.0106]])
    """
    who = "mixed_model"
    table = check_table(who, table)
    values, levels = check_levels(who, table, "values", values, True), check_levels(who, table, "levels", levels)
    check_flag(who, "slopes", slopes)
    if len(levels) > 2:
        raise ValueError(f"{who}: levels={shown(levels)} must be one column or two; hierarchical_bootstrap takes more.")
    if not is_number(level) or not 0 < level < 1:
        raise ValueError(f"{who}: level={shown(level)} must be a number between 0 and 1, such as 0.95.")
    code, groups = check_groups(who, table, by, values, levels)
    large = table.groupby(levels[0], sort=False, observed=True).ngroup()
    frame = pd.DataFrame({"group": code, "large": large.to_numpy()})
    if len(levels) == 2:
        frame["small"] = table.groupby(levels, sort=False, observed=True).ngroup().to_numpy()
    if frame["large"].nunique() < 2:
        raise ValueError(f"{who}: levels: a single {levels[0]!r} in the table says nothing of how much these differ.")
    fits, odd = [], []
    for name in values:
        known = frame.assign(y=table[name].to_numpy(float)).dropna()
        _check_known(known, groups, name, levels[0], slopes)
        fits.append(_fit(known, len(groups), slopes and len(groups) > 1))
        if not fits[-1][-1]:
            odd.append(name)
    if odd:
        warn(
            f"{who}: the likelihood of {', '.join(map(repr, odd))} has its maximum at the edge, where a variance is 0, "
            "or none was found. Take errors from hierarchical_bootstrap, or fewer levels, or slopes=False.",
            ConvergenceWarning,
        )
    known = table[values].notna().to_numpy()
    n_neurons = np.stack([known[code == k].sum(axis=0) for k in range(len(groups))], axis=1)
    return _dataset(fits, values, groups, [*levels, "neuron"], level, n_neurons)


def _check_known(known: pd.DataFrame, groups: list[str], value: str, unit: str, slopes: bool) -> None:
    """Complain of a value whose neurons with a number say too little for the model."""
    who = "mixed_model"
    if lost := set(range(len(groups))) - set(known["group"]):
        raise ValueError(f"{who}: values: column {value!r} has no number in {groups[min(lost)]!r}; leave that out.")
    if known["large"].nunique() < 2:
        raise ValueError(
            f"{who}: values: column {value!r} has numbers in a single {unit!r}, which says nothing of how much these "
            "differ."
        )
    if slopes and len(groups) > 1 and known.groupby("large")["group"].nunique().max() < 2:
        raise ValueError(
            f"{who}: slopes=True needs two groups within one {unit!r}, but of column {value!r} every one has a "
            "single group; how much their difference varies is not known then. Use slopes=False."
        )


def _fit(known: pd.DataFrame, n_groups: int, slopes: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray, bool]:
    """Means (n_groups,), their covariance, variances of the levels, and whether the maximum is inside."""
    try:
        from statsmodels.regression.mixed_linear_model import MixedLM, VCSpec
    except ImportError as error:
        raise ImportError("mixed_model needs statsmodels: pip install 'popglm[mixed]'.") from error
    # as statsmodels goes through the larger units
    known = known.sort_values("large", kind="stable")
    X = (known["group"].to_numpy()[:, None] == np.arange(n_groups)).astype(float)
    size = known["y"].std() or 1.0
    parts = None
    if "small" in known:
        # of every larger unit a matrix with a column for each of its smaller ones
        own = [pd.get_dummies(part["small"]).astype(float) for _, part in known.groupby("large")]
        names = [list(map(str, one.columns)) for one in own]
        parts = VCSpec(["small"], [names], [[one.to_numpy() for one in own]])
    random = X if slopes else np.ones((len(known), 1))
    with warnings.catch_warnings():
        # of variances of 0 that it passes on its way
        warnings.simplefilter("ignore")
        model = MixedLM(known["y"].to_numpy() / size, X, known["large"].to_numpy(), exog_re=random, exog_vc=parts)
        # by gradients it often ends at a variance of 0 that is none
        fit = model.fit(method="powell", xtol=1e-8, ftol=1e-12)
    covariance = np.asarray(fit.cov_params())[:n_groups, :n_groups]
    variances = np.array([np.diag(np.asarray(fit.cov_re)).mean(), *np.atleast_1d(fit.vcomp), fit.scale])
    least = min(variances.min(), np.linalg.eigvalsh(np.asarray(fit.cov_re))[0])
    inside = bool(fit.converged) and least > EDGE * variances.sum() and bool(np.isfinite(covariance).all())
    return np.asarray(fit.fe_params) * size, covariance * size**2, variances * size**2, inside


def _dataset(
    fits: list, values: list[str], groups: list[str], components: list[str], level: float, n_neurons: np.ndarray
) -> xr.Dataset:
    """Means of groups, their differences, and components of variance."""
    means, variances = np.stack([fit[0] for fit in fits]), np.stack([fit[2] for fit in fits])
    covariance = np.stack([fit[1] for fit in fits])
    far = stats.norm.ppf((1 + level) / 2)

    def told(found: np.ndarray, square: np.ndarray) -> dict[str, np.ndarray]:
        error = np.sqrt(np.maximum(square, 0))
        return {"standard_error": error, "lower": found - far * error, "upper": found + far * error}

    dims, of_pairs = ("value", "group"), ("value", "pair")
    of_groups = told(means, np.diagonal(covariance, axis1=1, axis2=2))
    parts = {"estimate": (dims, means), **{name: (dims, one) for name, one in of_groups.items()}}
    parts |= {"n_neurons": (dims, n_neurons), "variance": (("value", "component"), variances)}
    coords: dict[str, Any] = {"value": values, "group": groups, "component": components}
    pairs = list(combinations(range(len(groups)), 2))
    if pairs:
        apart = np.stack([means[:, a] - means[:, b] for a, b in pairs], axis=1)
        square = np.stack(
            [covariance[:, a, a] + covariance[:, b, b] - 2 * covariance[:, a, b] for a, b in pairs], axis=1
        )
        of_differences = told(apart, square)
        z = apart / np.where(of_differences["standard_error"] > 0, of_differences["standard_error"], np.nan)
        parts |= {"difference": (of_pairs, apart), "p_value": (of_pairs, 2 * stats.norm.sf(np.abs(z)))}
        parts |= {f"difference_{name}": (of_pairs, one) for name, one in of_differences.items()}
        coords["pair"] = [f"{groups[a]} − {groups[b]}" for a, b in pairs]
    return xr.Dataset(parts, coords=coords, attrs={"level": level})
