"""Which feature groups are selected again and again in halves of the trials, with a bound on how many are by chance."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from popglm.checks import MOST_DRAWS, check_count, check_room, check_seed, is_number
from popglm.estimators import GLMCV
from popglm.estimators.base import PopulationGLM
from popglm.explain.data_of_fit import DataOfFit, check_refittable, data_of_fit, in_stages, unfitted
from popglm.explain.maps import check_map
from popglm.explain.trials import check_trials
from popglm.messages import shown
from popglm.warnings import PopglmWarning

__all__ = ["stability_selection"]


def stability_selection(
    model: PopulationGLM,
    X: Any,
    Y: Any,
    *,
    trial: Any,
    n_pairs: int = 25,
    threshold: float = 0.75,
    n_false: float = 1.0,
    seed: int = 0,
    sample_weight: Any = None,
    offset: Any = None,
    map: Callable[..., Iterable[Any]] = map,
) -> xr.Dataset:
    r"""Select feature groups that are selected in most halves of the trials.

    The path of strengths is fitted to random halves of the trials, each beside its complement. In every half, the first
    :math:`q` groups of :math:`p` count that get weights as the strength falls. A neuron's group is selected if it
    counts in at least a share :math:`\pi` of the halves. If the groups that explain nothing count no more often than
    others would by chance, and each as often as the next, then the expected number of them that are selected is at most

    .. math:: q^2 / ((2\pi - 1)\, p)

    which `n_false` bounds, for each neuron, by the choice of q.

    Parameters
    ----------
    model : GLM or GLMCV
        Fitted to X and Y under a penalty that selects: "lasso", "group_lasso", "sparse_group_lasso", MCP, SCAD, or an
        elastic net with an l1_ratio above 0. Constraints are kept.
    X : DataFrame or array-like, shape (n_samples, n_features)
    Y : DataFrame or array-like, shape (n_samples, n_neurons) or (n_samples,)
        Those of the fit.
    trial : array-like, shape (n_samples,)
        Trial of every sample. Whole trials are in one half or the other.
    n_pairs : int
        Number of pairs of halves.
    threshold : float
        The share :math:`\pi`, above 0.5 and at most 1.
    n_false : float
        Bound of the expected number of groups selected by chance, per neuron, above 0.
    seed : int
        Of the generator ``numpy.random.default_rng(seed)``, whose permutations of the trials make the halves.
    sample_weight, offset : array-like, shape (n_samples,), optional
        Those of the fit.
    map : callable, optional
        As Python's ``map``, which is taken unless given: `popglm.dask_map` has the fits done by workers of Dask.

    Returns
    -------
    Dataset
        Over "neuron" and "group", which are those with a penalty: ``frequency``, the share of halves in which a group
        counts, and ``selected``. The attribute ``n_counted`` is q.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above; if the penalty selects nothing; if `threshold` and `n_false` allow no group at
        all; or if there are fewer than 4 trials.

    Notes
    -----
    The bound does not ask for the right strength, nor for as many trials as a p-value does, but neurons with few spikes
    may have none in a half, and select nothing there. It counts groups. Two groups that say the same share their
    counts, and neither may reach the threshold.

    References
    ----------
    Meinshausen & Bühlmann, "Stability selection", *Journal of the Royal Statistical Society B* 72 (2010), theorem 1.
    Shah & Samworth, "Variable selection with error control: another look at stability selection", *Journal of the Royal
    Statistical Society B* 75 (2013), for pairs.

    Examples
    --------
    >>> import numpy as np
    >>> import popglm as pg
    >>> rng = np.random.default_rng(0)
    >>> X, trial = rng.normal(size=(1000, 10)), np.arange(1000) // 20
    >>> Y = rng.poisson(np.exp(0.3 * X[:, :2]))
    >>> model = pg.GLM(penalty="lasso").fit(X, Y)
    >>> found = pg.stability_selection(model, X, Y, trial=trial, n_pairs=10)
    >>> found.attrs["n_counted"], [np.flatnonzero(one).tolist() for one in found["selected"].values]
    (2, [[0], [1]])
    """
    check_count("stability_selection", "n_pairs", n_pairs, 1, MOST_DRAWS)
    check_seed(seed, "stability_selection")
    check_map("stability_selection", map, X)
    check_refittable(model, "stability_selection")
    data = data_of_fit(model, X, Y, sample_weight, offset, "stability_selection")
    trials = check_trials(trial, len(data.X), data.labels)
    starts, sizes, names = _penalised_groups(model)
    n_counted = _number_counted(len(names), threshold, n_false)
    n_trials = int(trials.max()) + 1
    if n_trials < 4:
        raise ValueError(f"stability_selection: halves of {n_trials} trials say little; at least 4 are needed.")
    n_weights = len(model.lambda_path_) * data.Y.shape[1] * data.X.shape[1]
    check_room("stability_selection: paths of two halves", 8.0 * 2 * n_weights)
    rng = np.random.default_rng(seed)
    halves = [rng.permutation(n_trials)[: n_trials // 2] for _ in range(n_pairs)]
    counted = partial(_counted, model, data, trials, (starts, sizes, n_counted))
    frequency = sum(np.mean(each, axis=0) for each in map(counted, halves)) / n_pairs
    return xr.Dataset(
        {
            "frequency": (("neuron", "group"), frequency),
            # shares are sums of as many parts: what is missing is rounding
            "selected": (("neuron", "group"), frequency >= threshold - 1e-9),
        },
        coords={"neuron": model.neuron_names_, "group": names},
        attrs={"n_counted": n_counted, "threshold": threshold, "n_false": n_false, "n_pairs": n_pairs},
    )


def _penalised_groups(model: PopulationGLM) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Where each group of columns with a penalty begins, how many it has, and its name."""
    if model.penalty == "none" or not model.penalty_.l1_ratio > 0:
        raise ValueError(
            f"stability_selection: penalty={model.penalty!r} gives weights to all columns and selects none; fit with "
            "'lasso', 'group_lasso', an elastic net or a concave penalty."
        )
    sizes = np.asarray(model.feature_group_sizes_, int)
    starts, factors = np.cumsum(sizes) - sizes, model.penalty_factors_
    held = np.ones(len(sizes), bool) if factors is None else np.reshape(factors, (len(sizes), -1))[:, 0] > 0
    names = [str(name) for name, is_held in zip(model.feature_group_names_, held, strict=True) if is_held]
    if not names:
        raise ValueError("stability_selection: no feature group is penalised, so none is selected.")
    return starts[held], sizes[held], names


def _number_counted(n_groups: int, threshold: float, n_false: float) -> int:
    """How many groups may count in a half, by the bound."""
    if not (is_number(threshold) and 0.5 < threshold <= 1):
        raise ValueError(f"stability_selection: threshold must be above 0.5, and 1 at most; found {shown(threshold)}.")
    if not (is_number(n_false) and n_false > 0):
        raise ValueError(f"stability_selection: n_false must be a number above 0; found {shown(n_false)}.")
    # the root of a whole number is not to fall below it
    n_counted = int(np.sqrt((2 * threshold - 1) * n_groups * n_false) + 1e-9)
    if n_counted < 1:
        least = 1 / ((2 * threshold - 1) * n_groups)
        raise ValueError(
            f"stability_selection: with {n_groups:,} groups and threshold={threshold:g}, n_false={n_false:g} lets no "
            f"group count; give an n_false of at least {np.ceil(1000 * least) / 1000:g}, or a higher threshold."
        )
    return min(n_counted, n_groups)


def _counted(
    model: PopulationGLM,
    data: DataOfFit,
    trials: np.ndarray,
    groups: tuple[np.ndarray, np.ndarray, int],
    half: np.ndarray,
) -> np.ndarray:
    """Which groups count in a half of the trials and in the other, bool (2, n_neurons, n_groups)."""
    inside = np.isin(trials, half)
    rows = np.flatnonzero(inside), np.flatnonzero(~inside)
    path, (starts, sizes, n_counted) = np.asarray(model.lambda_path_, float), groups
    adaptive = isinstance(model, GLMCV) and model.adaptive_factors_ is not None
    fit_path = partial(_adaptive_paths if adaptive else _paths, model, data, rows)
    # of a path that is long enough the rest changes nothing; adaptive factors are found once
    for n_strengths in (*(() if adaptive else (max(1, len(path) // 2),)), len(path)):
        with warnings.catch_warnings():
            # of half of the data less can be said, and no strength is chosen
            warnings.simplefilter("ignore", PopglmWarning)
            has_weight = fit_path(path[:n_strengths]) != 0
        used = np.stack([has_weight[..., a : a + n].any(axis=-1) for a, n in zip(starts, sizes, strict=True)], axis=-1)
        # what had a weight once counts from there on
        entered = np.logical_or.accumulate(used, axis=1)
        still = entered.sum(axis=-1) <= n_counted
        if not still[:, -1].any():
            break
    return (entered & still[..., None]).any(axis=1)


def _paths(model: PopulationGLM, data: DataOfFit, rows: tuple[np.ndarray, ...], lambdas: np.ndarray) -> np.ndarray:
    """Weights (2, n_lambdas, n_neurons, n_features) of both halves; relaxed ones would be of the same columns."""
    fit = unfitted(model, GLMCV).set_params(cv=[rows, rows[::-1]], refit=False, lambdas=lambdas)
    fit.fit(data.X, data.Y, sample_weight=data.weight, offset=data.offset)
    return np.asarray(fit.cv_coef_path_)


def _adaptive_paths(model: GLMCV, data: DataOfFit, rows: tuple[np.ndarray, ...], lambdas: np.ndarray) -> np.ndarray:
    """`_paths` with factors that each half finds in its own trials."""
    found = []
    for own in rows:
        weight, offset = (None if a is None else a[own] for a in (data.weight, data.offset))
        fit = in_stages(model, rows=own).set_params(lambdas=lambdas)
        found.append(fit.fit(data.X[own], data.Y[own], sample_weight=weight, offset=offset).coef_path_)
    return np.stack(found)
