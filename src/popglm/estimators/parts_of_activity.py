"""The two parts of activity with zeros, whether something happened and how much, and what both say together."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import polygamma, psi
from sklearn.base import clone

from popglm.estimators.deviance_loss import scored_by_folds
from popglm.estimators.features import check_features
from popglm.estimators.glm_cv import GLMCV
from popglm.estimators.part_arguments import PARTS, offset_of, plus
from popglm.estimators.validation import check_responses, check_vector, check_weights, name_neurons, over_neurons
from popglm.labels import Rows, neuron_labels, row_labels
from popglm.messages import shown
from popglm.numbers import shape_of
from popglm.solve.passes.coordinates import product64
from popglm.solve.sparse.rows import parts_of, some_rows
from popglm.statistics.selection import at_strengths, fraction_explained
from popglm.warnings import warn

__all__ = [
    "SamplesOfFit",
    "check_parts",
    "fit_part",
    "log_likelihood",
    "share_of",
    "split_activity",
]

#: Families of the amounts; under the Gaussian one their logarithm is fitted.
AMOUNTS = ("gamma", "inverse_gaussian", "gaussian")
#: Newton steps for the dispersion of gamma amounts.
STEPS = 12
#: Amounts that differ by less, as a fraction of the largest, are all alike but for rounding.
ROUNDING = 1e-6
#: Fractions of held-out deviance of the fit and of the data given differ by less than this, which is rounding.
SAME = 0.001


def check_parts(amounts: Any, events: Any) -> tuple[GLMCV, GLMCV]:
    """Models of the amounts and the events, not fitted, from what a `TwoPartGLM` is given.

    Raises
    ------
    TypeError, ValueError
    """
    amounts = GLMCV("gamma") if amounts is None else amounts
    for name, part in (("amounts", amounts), ("events", events)):
        if part is not None and not isinstance(part, GLMCV):
            raise TypeError(f"TwoPartGLM: {name} must be a GLMCV that is not fitted yet, or None; found {shown(part)}.")
    if amounts.family not in AMOUNTS:
        instead = "; for counts use GLMCV('negative_binomial')" if "binomial" in str(amounts.family) else ""
        instead = instead or "; for counts use GLMCV('negative_binomial')" * (amounts.family == "poisson")
        raise ValueError(
            f"TwoPartGLM: amounts has family={amounts.family!r}, but must have one of {', '.join(AMOUNTS)}{instead}."
        )
    if amounts.family == "gaussian" and amounts.inverse_link not in (None, "identity"):
        raise ValueError(
            f"TwoPartGLM: amounts has inverse_link={amounts.inverse_link!r}, but the logarithm of amounts is a line; "
            "leave it None."
        )
    if events is None:
        events = clone(amounts).set_params(family="bernoulli", inverse_link=None, power=None)
    else:
        events = clone(events)
        if events.family != "bernoulli":
            raise ValueError(f"TwoPartGLM: events has family={events.family!r}, but must have family='bernoulli'.")
        if shown(events.cv) != shown(amounts.cv):
            raise ValueError(
                f"TwoPartGLM: events has cv={shown(events.cv)} and amounts cv={shown(amounts.cv)}; both parts have "
                "the same folds, so give them the same."
            )
    for name, part in (("amounts", amounts), ("events", events)):
        if not part.refit:
            raise ValueError(f"TwoPartGLM: {name} has refit=False, and leaves no weights for both; use refit=True.")
    return clone(amounts), events


def split_activity(Y: Any) -> tuple[Any, Any]:
    """See `TwoPartGLM.split`."""
    names = name_neurons(Y)
    values = check_responses(Y, shape_of(Y)[0] if shape_of(Y) else 0, None, names)
    if (values < 0).any():
        row, neuron = np.argwhere(values < 0)[0]
        raise ValueError(
            f"Y holds a negative value for neuron {neuron} ({names[neuron]!r}), first in row {row}: "
            f"{values[row, neuron]:g}. A TwoPartGLM needs activity ≥ 0 that is 0 where nothing happened; set tiny "
            "negative values of a deconvolution to 0, and use GLMCV(family='gaussian') for dF/F."
        )
    known = ~np.isnan(values)
    happened, amount = np.where(known, values > 0, np.nan), np.where(known & (values > 0), values, np.nan)
    rows, neurons = row_labels(Y), neuron_labels(Y)
    if len(shape_of(Y)) == 1:
        if rows is None:
            return happened[:, 0], amount[:, 0]
        name = None if neurons is None else neurons[0]
        return pd.Series(happened[:, 0], rows, name=name), pd.Series(amount[:, 0], rows, name=name)
    if rows is None and neurons is None:
        return happened, amount
    return pd.DataFrame(happened, rows, neurons), pd.DataFrame(amount, rows, neurons)


def fit_part(name: str, model: GLMCV, X: Any, Y: Any, **beside: Any) -> GLMCV:
    """A fitted part, whose warnings say which it is."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        model.fit(X, Y, **beside)
    for one in found:
        warn(f"{name}: {one.message}", one.category)
    return model


def joint_log_density(
    model: Any, etas: tuple[np.ndarray, np.ndarray], z: np.ndarray, y: np.ndarray, phi: np.ndarray
) -> np.ndarray:
    """Logarithm of the probability of 0, or of the density of what is above, NaN where a sample is not known.

    Parameters
    ----------
    model : TwoPartGLM
        With fitted parts.
    etas : (chance, amount)
        Linear predictors of both parts, shape (n_samples, n_neurons).
    z, y : ndarray, shape (n_samples, n_neurons)
        Whether a sample is above 0, and by how much, NaN where it is not.
    phi : ndarray, shape (n_neurons,)
        Where it is 0, the density of an amount is no number; it is NaN.
    """
    events, amounts = model.events_.loss_, model.amounts_.loss_
    amount = np.where(y > 0, y, 1.0)
    v = np.log(amount) if amounts.name == "gaussian" else amount
    width = np.where(phi > 0, phi, np.nan)
    density = np.stack([amounts.log_density(etas[1][:, j], v[:, j], width[j]) for j in range(len(phi))], axis=1)
    # of the amount itself, not of its logarithm
    density = density - v if amounts.name == "gaussian" else density
    known = ~np.isnan(z)
    found = events.log_density(etas[0], np.where(known, z, 0.0)) + np.where(y > 0, density, 0.0)
    return np.where(known, found, np.nan)


def linear_predictors(
    values: Any, coef: np.ndarray, intercept: np.ndarray | float, offset: np.ndarray | None
) -> np.ndarray:
    """η (n_samples, n_neurons) in float64, of checked features and a checked offset."""
    found = [product64(rows, np.atleast_2d(coef)) for _, _, rows in parts_of(values)]
    return plus(np.concatenate(found) + np.atleast_1d(intercept), offset)


def log_likelihood(model: Any, X: Any, Y: Any, sample_weight: Any, offset: Any) -> np.ndarray:
    """Joint log-likelihood of every neuron on data, summed over samples."""
    rows, names = Rows(row_labels(X)), model.neuron_names_
    parts, etas = (model.events_, model.amounts_), []
    for name, part in zip(PARTS, parts, strict=True):
        values = check_features(part, X, reset=False)
        own = check_vector(offset_of(offset, name), "offset", len(values), rows=rows)
        etas.append(linear_predictors(values, part.coef_, part.intercept_, own))
    z, y = (check_responses(own, len(etas[0]), None, names, rows, parts[0]) for own in split_activity(Y))
    weights = over_neurons(check_weights(sample_weight, len(z), names, rows))
    return summed(joint_log_density(model, (etas[0], etas[1]), z, y, model.dispersion_), z, weights)


def summed(found: np.ndarray, z: np.ndarray, weights: Any) -> np.ndarray:
    """Weighted sums over known samples of `joint_log_density`, shape (n_neurons,); NaN where one of those is."""
    counts = ~np.isnan(z) & (weights > 0)
    return np.where(counts, weights * np.where(counts, found, 0.0), 0.0).sum(axis=0)


def share_of(phi: np.ndarray) -> np.ndarray:
    """What deviances of amounts are multiplied by in joint ones: 1/φ, and 0 of amounts that do not vary."""
    return np.where(phi > 0, 1 / np.where(phi > 0, phi, 1.0), 0.0)


def likeliest_dispersion(family: str, unit: np.ndarray, y: np.ndarray, s: np.ndarray) -> np.ndarray:
    """φ of the largest likelihood from unit deviances, amounts and weights (n_samples, n_neurons).

    It is 0 where amounts do not vary, or there are none: deviances there are rounding.
    """
    high, low = (np.where(s > 0, y, none) for none in (-np.inf, np.inf))
    high, low = high.max(axis=0, initial=-np.inf), low.min(axis=0, initial=np.inf)
    varies = high - low > ROUNDING * high
    total = s.sum(axis=0)
    mean = np.where(s > 0, s * np.where(s > 0, unit, 0), 0).sum(axis=0) / np.where(total > 0, total, 1)
    usable = varies & np.isfinite(mean) & (mean > 0)
    mean = np.where(usable, mean, 1.0)
    if family != "gamma":
        return np.where(usable, mean, 0.0)
    # log k − ψ(k) is half the mean deviance, for the shape k; Minka's start is within 1.5 % of it
    half = mean / 2
    k = (3 - half + np.sqrt((half - 3) ** 2 + 24 * half)) / (12 * half)
    for _ in range(STEPS):
        ahead = k - (np.log(k) - psi(k) - half) / (1 / k - polygamma(1, k))
        k = np.where(ahead > 0, ahead, k / 2)
    return np.where(usable, 1 / k, 0.0)


def held_out_deviances(model: GLMCV) -> tuple[np.ndarray, np.ndarray]:
    """Deviance of held-out samples at the selected strengths, and around their mean; 0 where there are none."""
    own = at_strengths(model.cv_deviance_, model.lambda_index_, model.cv_null_model_deviance_, axis=1)
    return np.nansum(own, axis=0), np.nan_to_num(model.cv_null_deviance_)


class SamplesOfFit:
    """The samples that both parts were fitted to, for what they say together.

    Parameters
    ----------
    model : TwoPartGLM
        With fitted parts.
    X, happened, amount, sample_weight, offset
        Of its fit; amounts themselves, not their logarithm.
    """

    def __init__(self, model: Any, X: Any, happened: Any, amount: Any, sample_weight: Any, offset: Any) -> None:
        events, amounts = model.events_, model.amounts_
        rows, names = Rows.of_fit(events.sample_labels_, X), events.neuron_names_
        order, values = rows.given, check_features(amounts, X, reset=False)
        self.model, self.values = model, values if order is None else some_rows(values, order)
        if len(self.values) != len(events.fold_):
            raise ValueError(f"X has {len(self.values)} rows, but the model was fitted to {len(events.fold_)}.")
        self.z, self.y = (
            check_responses(own, len(events.fold_), None, names, rows, events) for own in (happened, amount)
        )
        self.weights = over_neurons(check_weights(sample_weight, len(self.z), names, rows))
        self.offset = {
            id(part): check_vector(offset_of(offset, name), "offset", len(self.z), rows=rows)
            for name, part in zip(PARTS, (events, amounts), strict=True)
        }
        self.s = np.where(self.y > 0, self.weights, 0.0)
        self.v = np.where(self.y > 0, np.log(self.y) if amounts.family == "gaussian" else self.y, 1.0)

    def eta(self, part: GLMCV, fold: int | None = None) -> np.ndarray:
        """Linear predictors of a part, of the whole fit or of a fold."""
        if fold is None:
            return linear_predictors(self.values, part.coef_, part.intercept_, self.offset[id(part)])
        return linear_predictors(self.values, part.cv_coef_[fold], part.cv_intercept_[fold], self.offset[id(part)])

    def dispersion(self, unit: np.ndarray, rows: Any = slice(None)) -> np.ndarray:
        """φ of the largest likelihood, from unit deviances of some rows."""
        return likeliest_dispersion(self.model.amounts_.loss_.name, unit, self.y[rows], self.s[rows])

    def _deviance_dispersion(self) -> np.ndarray:
        """φ beside the mean of all amounts."""
        total = self.s.sum(axis=0)
        mean = np.einsum("ij,ij->j", self.s, self.v) / np.where(total > 0, total, 1)
        return self.dispersion(2 * self.model.amounts_.loss_.null(self.v, np.where(total > 0, mean, 1)))

    def together(self) -> dict[str, np.ndarray]:
        """What both parts say together at their strengths: attributes of a `TwoPartGLM`, by name."""
        events, amounts = self.model.events_, self.model.amounts_
        loss, splits = amounts.loss_, events.splits_ or []
        of_folds, found = np.empty((len(splits), self.y.shape[1])), np.full(self.z.shape, np.nan)
        for fold, (train, test) in enumerate(splits):
            eta, chance = self.eta(amounts, fold), self.eta(events, fold)
            of_folds[fold] = self.dispersion(loss.deviance(eta[train], self.v[train]), train)
            etas = chance[test], eta[test]
            found[test] = joint_log_density(self.model, etas, self.z[test], self.y[test], of_folds[fold])
        once = events.held_out_once_ and (events.fold_ >= 0).all()
        around = self._deviance_dispersion()
        deviance, null = (
            own + other * share_of(around)
            for own, other in zip(held_out_deviances(events), held_out_deviances(amounts), strict=True)
        )
        # no fold has learned of such a neuron, and none scores it
        explained = np.where(np.isnan(events.cv_deviance_explained_), np.nan, fraction_explained(deviance, null))
        return {
            "dispersion": self.dispersion(loss.deviance(self.eta(amounts), self.v)),
            "deviance_dispersion": around,
            "cv_dispersion": of_folds,
            "cv_log_likelihood": np.where(once, summed(found, self.z, self.weights), np.nan),
            "cv_deviance_explained": explained,
        }

    def check(self, who: str) -> None:
        """Complain of samples that are not those of the fit.

        Raises
        ------
        ValueError
        """
        parts = (
            (self.model.events_, np.nan_to_num(self.z), np.where(np.isnan(self.z), 0.0, self.weights)),
            (self.model.amounts_, self.v, self.s),
        )
        for name, (part, y, s) in zip(("events", "amounts"), parts, strict=True):
            deviance = np.zeros(y.shape[1])
            for fold, (_, test) in enumerate(part.splits_):
                own = scored_by_folds(part, s[test], np.full(len(test), fold))
                unit = part.loss_.deviance(self.eta(part, fold)[test], y[test])
                deviance += np.where(own > 0, own * unit, 0).sum(axis=0)
            fitted, null = held_out_deviances(part)
            if (np.abs(deviance - fitted) > SAME * np.maximum(null, fitted)).any():
                j = int(np.argmax(np.abs(deviance - fitted)))
                raise ValueError(
                    f"{who}: X, Y, sample_weight or offset are not those of the fit: the held-out deviance of the "
                    f"{name} of neuron {part.neuron_names_[j]!r} is {deviance[j]:.4g}, and was {fitted[j]:.4g} in the "
                    "fit. Give the data that the model was fitted to, in its order."
                )
