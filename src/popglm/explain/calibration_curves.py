"""Calibration: activity as it was observed where a model predicts so much of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from scipy.special import logsumexp

from popglm.checks import MOST_BINS, check_count, is_number
from popglm.estimators.base import PopulationGLM
from popglm.estimators.classifier.base import CategoricalGLM
from popglm.estimators.classifier.predictions import shares_of
from popglm.estimators.deviance_loss import deviance_loss, fitted_loss
from popglm.estimators.validation import check_as_in_fit, check_offset, warn_neurons
from popglm.explain.class_ablation import ClassActivity, ClassPredictor, check_class_matrix
from popglm.explain.contributions import (
    Activity,
    Predictor,
    check_design_matrix,
    neuron_blocks,
    other_than_in_fit,
    rows_of,
)
from popglm.explain.recalibration import NOT_FOUND, Line, recalibrate
from popglm.explain.trials import check_trials
from popglm.messages import shown
from popglm.numbers import numbers_of
from popglm.statistics.families import Family, get_family

__all__ = ["calibration"]

Curve = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
#: What a curve and a line are called in the result.
OF_CURVE = ("predicted", "observed", "standard_error", "n_samples")
OF_LINE = ("intercept", "slope", "intercept_error", "slope_error")


def calibration(
    model: PopulationGLM | CategoricalGLM,
    X: Any,
    Y: Any,
    *,
    bins: Any = 10,
    trial: Any = None,
    held_out: bool = True,
    sample_weight: Any = None,
    offset: Any = None,
) -> xr.Dataset:
    r"""Observed activity in bins of what was predicted, and the line that would make the predictions right.

    A model can explain much and be wrong about sizes: an overfitted one predicts too much where it predicts much, and
    one under a strong penalty too little. Then predictions are no rates, though they rank the samples rightly.

    Parameters
    ----------
    model : GLMCV or ClassifierGLMCV, or GLM or ClassifierGLM with ``held_out=False``
        Fitted. Of a classifier the activity is whether a sample is of a class, and there are curves of every class.
    X : array-like, DataFrame, RowStream or sparse matrix, shape (n_samples, n_features)
        The rows of the fit, or any others with ``held_out=False``.
    Y : array-like or DataFrame, shape (n_samples, n_neurons) or (n_samples,)
        Their activity, held out that of the fit. NaN where a neuron was not recorded.
    bins : int or array-like, shape (n_bins + 1,)
        A number of bins with equally many samples each, of every neuron's own predictions and of all together; or the
        edges of the bins in ascending order, in the units of Y. Predictions beyond the edges are in the outer bins.
    trial : array-like, shape (n_samples,), optional
        Trial of every sample; standard errors are then over trials, else over samples, and too small where samples of
        a trial are alike. Over fewer than about five trials they are too small as well.
    held_out : bool
        Predict each row by the weights of the fold that held it out; else by the weights of the fit to all rows. On the
        samples of an unpenalised fit with a canonical link the slope is 1 and the intercept 0, whatever the model; of a
        classifier where it has two classes.
    sample_weight, offset : array-like, shape (n_samples,), optional
        As in the fit, and needed if that had them; ``sample_weight=1`` and ``offset=0`` ask for none on purpose, and
        then Y may also be known of fewer samples than in the fit, such as those of one condition. With
        ``held_out=False`` those of the rows of X.

    Returns
    -------
    xarray.Dataset
        - ``predicted``, ``observed`` (neuron, bin): means over the samples in the bin, in the units of Y, NaN where
          there are none, and ``n_samples``; ``standard_error`` of the observed, NaN for a single sample or trial.
        - ``intercept``, ``slope`` (neuron): of the recalibration, and ``intercept_error``, ``slope_error``, NaN for a
          single trial. A slope below 1 says that predictions are too extreme, one above 1 that they are too timid. NaN
          for neurons at the null model, whose predictions do not vary, and for those that are silent.
        - of a classifier all of these are (neuron, class) in the place of (neuron);
        - the same of all neurons together, ``pooled_predicted`` … (bin) and ``pooled_slope`` …, in bins of their own.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above, X or Y are not those of the model, or the model is not cross-validated (unless
        ``held_out=False``); if X and Y are not those of the fit, or their rows are in another order, so that the
        held-out deviance is not that of the fit; if the fit had sample weights or an offset that are not given, or the
        other way round.

    Warns
    -----
    PopglmWarning
        Names neurons of which an infinite mean is predicted; they are NaN, and not among those pooled. Names neurons
        without a best line: predictions that tell all events from all others have an infinite slope.

    Notes
    -----
    With the held-out linear predictor :math:`\eta_t`, the recalibration (Cox 1958) is the fit of the model's own family
    and inverse link h to that single column,

    .. math:: \mu_t = h(a + b \, \eta_t),

    logistic regression for the Bernoulli family. Of a class, :math:`\eta_t = \log(p_t / (1 - p_t))` of its probability.
    Where :math:`a = 0, b = 1` predictions need no change on average;
    Van Calster et al. call that weak calibration, and observed equal to predicted in every bin moderate calibration. Of
    all neurons together one line is fitted. Errors are those of the sandwich, as of `wald` with trials, and of a ratio
    in bins (Cochran 1977, section 6.3); folds are taken for given. Held-out slopes scatter below 1 where little is
    explained: a fold that holds out much activity was fitted to less of it.

    References
    ----------
    Cox, "Two further applications of a model for binary regression", *Biometrika* 45 (1958). Van Calster, Nieboer,
    Vergouwe, De Cock, Pencina & Steyerberg, "A calibration hierarchy for risk models was defined", *Journal of Clinical
    Epidemiology* 74 (2016).

    Examples
    --------
    >>> import numpy as np
    >>> import popglm as pg
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(3000, 4))
    >>> Y = rng.poisson(np.exp(0.7 * X[:, :1] - 1))
    >>> timid = pg.GLMCV(penalty="ridge", lambdas=[0.3]).fit(X, Y)
    >>> found = pg.calibration(timid, X, Y, bins=3)
    >>> found["predicted"].values.round(1), found["observed"].values.round(1)
    (array([[0.3, 0.4, 0.7]]), array([[0.2, 0.4, 0.9]]))
    >>> found["slope"].item() > 1.3
    True
    """
    edges = _check_bins(bins)
    of_classes = isinstance(model, CategoricalGLM)
    values = (check_class_matrix if of_classes else check_design_matrix)(model, X, "calibration", held_out)
    labels = rows_of(model, X, held_out)
    # a single number asks on purpose for predictions without what the fit had
    as_in_fit = held_out and not any(np.isscalar(given) for given in (sample_weight, offset))
    if held_out:
        # the weights go on as they were given, for they are put in order with the activity
        _, offset = check_as_in_fit(model, sample_weight, offset, len(values), labels, "calibration", refits=False)
    else:
        offset = check_offset(model, offset, len(values), labels, "calibration")
    predictor = (ClassPredictor if of_classes else Predictor).make(model, values, offset, held_out)
    fold = model.fold_ if held_out else None
    kind = ClassActivity if of_classes else Activity
    activity = kind.make(model, Y, len(values), predictor.rows, sample_weight, None, labels, fold)
    cluster = np.arange(len(values)) if trial is None else check_trials(trial, len(values), labels)
    blocks = list(neuron_blocks(len(values), len(model.neuron_names_)))
    etas = [predictor.eta(neurons) for neurons in blocks]
    if as_in_fit:
        _check_as_in_fit(activity, blocks, etas)
    has_weights = np.any([coef.any(axis=tuple(range(1, coef.ndim))) for _, coef, _ in predictor.parts], axis=0)
    eta = np.concatenate(etas, axis=1)
    about: dict[str, Any] = {"held_out": int(held_out), "errors": "over samples" if trial is None else "over trials"}
    if of_classes:
        return _of_classes(model, activity, eta, has_weights, cluster, edges).assign_attrs(about, of_classes=1)
    with np.errstate(over="ignore"):
        mean = fitted_loss(model, folds=fold).link.mean(np, eta)
    names, loss = model.neuron_names_, deviance_loss(model, folds=fold)
    parts = _Predicted(names, loss, activity.y, activity.weights, eta, mean, has_weights, cluster, edges)
    return parts.dataset().assign_attrs(about)


def _of_classes(
    model: Any, activity: Activity, eta: np.ndarray, has_weights: np.ndarray, cluster: np.ndarray, edges: Any
) -> xr.Dataset:
    """Curves and lines of every class: of whether a sample is of it, by its log odds against all others."""
    responses, classes = np.nonzero(model.has_class_)
    names = [f"{model.neuron_names_[r]}: {model.classes_[k]}" for r, k in zip(responses, classes, strict=True)]
    p = shares_of(eta)
    odds = np.stack([_log_odds(eta[:, r], int(k)) for r, k in zip(responses, classes, strict=True)], axis=1)
    is_own = (activity.y[:, responses] == classes).astype(float)
    # a fold that does not train on a class predicts nothing of it
    weights = np.where(np.isfinite(odds), activity.weights[:, responses], 0.0)
    loss = get_family("bernoulli", None)
    mean = p[:, responses, classes]
    found = _Predicted(names, loss, is_own, weights, odds, mean, has_weights[responses], cluster, edges).dataset()
    whole = xr.Dataset({name: own for name, own in found.items() if "neuron" not in own.dims})
    for name, own in found.items():
        if "neuron" in own.dims:
            values = np.full(
                (*model.has_class_.shape, *own.shape[1:]), 0 if own.dtype.kind == "i" else np.nan, own.dtype
            )
            values[responses, classes] = own.values
            whole[name] = ("neuron", "class", *own.dims[1:]), values
    return whole.assign_coords({"neuron": model.neuron_names_, "class": list(map(str, model.classes_.tolist()))})


def _log_odds(eta: np.ndarray, k: int) -> np.ndarray:
    """Of class k against all others, from predictors (n_samples, n_classes)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return eta[:, k] - logsumexp(np.delete(eta, k, axis=1), axis=1)


def _check_as_in_fit(activity: Activity, blocks: list[np.ndarray], etas: list[np.ndarray]) -> None:
    """Complain of held-out predictions whose deviance is not that of the fit."""
    for neurons, eta in zip(blocks, etas, strict=True):
        deviance, null = activity.deviance(eta, neurons)[0], activity.null_deviance(neurons)[0]
        if said := other_than_in_fit(activity.model, neurons, deviance, null):
            raise ValueError(
                "calibration: X and Y are not those of the fit, or their rows are in another order, but are predicted "
                f"row by row by the folds of the fit: {said}. Give the data that the model was fitted to, in its "
                "order; held_out=False for other samples; or sample_weight=1 for some of those of the fit, with NaN "
                "in Y for the others."
            )


def _check_bins(bins: Any) -> int | np.ndarray:
    """A number of bins, or their edges."""
    if is_number(bins):
        check_count("calibration", "bins", bins, 1, MOST_BINS)
        return int(bins)
    edges = numbers_of(bins, "bins")
    if edges.ndim != 1 or not 2 <= len(edges) <= MOST_BINS or not (np.diff(edges) > 0).all():
        raise ValueError(
            "calibration: bins must be a number of bins, or two or more edges in ascending order, in the units of Y; "
            f"found {shown(bins)}."
        )
    return edges


@dataclass(frozen=True, eq=False)
class _Predicted:
    """What was predicted, beside what was observed.

    Attributes
    ----------
    names : list of str
    loss : Family
        With parameters of every neuron, or of every sample, where it has some.
    y, weights, eta, mean : ndarray, shape (n_samples, n_neurons)
    has_weights : ndarray of bool, shape (n_neurons,)
        Others have the predictions of the null model.
    cluster : ndarray of int, shape (n_samples,)
    edges : int or ndarray
        As `calibration` has ``bins``.
    """

    names: list[str]
    loss: Family
    y: np.ndarray
    weights: np.ndarray
    eta: np.ndarray
    mean: np.ndarray
    has_weights: np.ndarray
    cluster: np.ndarray
    edges: int | np.ndarray

    def dataset(self) -> xr.Dataset:
        """Curves and lines of every neuron, and of all together."""
        names, known = self.names, self.weights > 0
        infinite = ~np.isfinite(np.where(known, self.mean, 0.0)).all(axis=0)
        which = np.flatnonzero(infinite)
        warn_neurons("calibration: infinite means are predicted, so nothing is said of", which, names)
        known &= ~infinite
        of_neurons = [(np.flatnonzero(known[:, j]), j) for j in range(len(names))]
        curves = [self._curve(*at) for at in of_neurons]
        lines = [self._line(*at) if self.has_weights[at[1]] else NOT_FOUND for at in of_neurons]
        lost = np.flatnonzero([line is None for line in lines])
        warn_neurons("calibration: no finite intercept and slope are best for", lost, names)
        everything = np.nonzero(known)
        pooled = *self._curve(*everything), *(self._line(*everything) or NOT_FOUND)
        dims = [("bin",)] * len(OF_CURVE) + [()] * len(OF_LINE)
        both = [(*curve, *(line or NOT_FOUND)) for curve, line in zip(curves, lines, strict=True)]
        return xr.Dataset(
            {
                **{
                    name: (("neuron", *dim), np.array(values))
                    for name, dim, values in zip(OF_CURVE + OF_LINE, dims, zip(*both, strict=True), strict=True)
                },
                **{
                    f"pooled_{name}": (dim, value)
                    for name, dim, value in zip(OF_CURVE + OF_LINE, dims, pooled, strict=True)
                },
            },
            coords={"neuron": names},
        )

    def _curve(self, rows: np.ndarray, neurons: np.ndarray | int) -> Curve:
        """Means of predictions and activity in every bin, the standard error of the latter, and numbers of samples."""
        mean = self.mean[rows, neurons]
        y, s, cluster = self.y[rows, neurons], self.weights[rows, neurons], self.cluster[rows]
        inner, n_bins = self._inner_edges(mean)
        code = np.searchsorted(inner, mean)
        share, n = np.bincount(code, s, n_bins), np.bincount(code, minlength=n_bins)
        share = np.where(share > 0, share, np.nan)
        predicted, observed = np.bincount(code, s * mean, n_bins) / share, np.bincount(code, s * y, n_bins) / share
        # what every cluster has in every bin
        place, width = code * (self.cluster.max() + 1) + cluster, n_bins * (self.cluster.max() + 1)
        sums = np.bincount(place, s * (y - observed[code]), width).reshape(n_bins, -1)
        there = np.count_nonzero(np.bincount(place, minlength=width).reshape(n_bins, -1), axis=1)
        factor = there / np.where(there > 1, there - 1, np.nan)
        return predicted, observed, np.sqrt(factor * (sums**2).sum(axis=1)) / share, n

    def _inner_edges(self, mean: np.ndarray) -> tuple[np.ndarray, int]:
        """Edges between bins, and how many these are."""
        if not isinstance(self.edges, int):
            return self.edges[1:-1], len(self.edges) - 1
        if not len(mean):
            return np.zeros(0), self.edges
        return np.quantile(mean, np.linspace(0, 1, self.edges + 1)[1:-1]), self.edges

    def _line(self, rows: np.ndarray, neurons: np.ndarray | int) -> Line | None:
        """The recalibration; None where no finite line is best."""
        y, s = self.y[rows, neurons], self.weights[rows, neurons]
        loss = self.loss
        if loss.parameters:
            own = (getattr(loss, parameter.name) for parameter in loss.parameters)
            loss = loss.given(*(np.broadcast_to(values, self.eta.shape)[rows, neurons] for values in own))
        n, (n_events, n_others) = np.array([np.count_nonzero(np.isfinite(y))]), loss.events(y[None], s[None])
        constant = np.array([not len(y) or np.ptp(y) == 0])
        if not loss.fittable(n, n_events, n_others, constant)[0]:
            return NOT_FOUND
        return recalibrate(loss, self.eta[rows, neurons], y, s, self.cluster[rows])
