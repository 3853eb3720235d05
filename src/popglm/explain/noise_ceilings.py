"""How much of the activity any model of the stimulus could explain, from its repeats."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from popglm.estimators.validation import check_responses, name_neurons
from popglm.explain.repeated_samples import RepeatedSamples
from popglm.explain.trials import check_trials
from popglm.explain.tuning_curves import check_predicted, split_levels
from popglm.labels import Rows, row_labels
from popglm.messages import shown
from popglm.numbers import shape_of
from popglm.statistics.families import FAMILIES, Family, get_family
from popglm.statistics.selection import fraction_explained

__all__ = ["noise_ceiling"]


def noise_ceiling(
    Y: Any,
    repeats: Any,
    *,
    trial: Any = None,
    predicted: Any = None,
    family: str | None = None,
    power: float | None = None,
) -> pd.DataFrame:
    r"""Explainable variance and deviance of every neuron, from conditions that were repeated.

    Activity differs between repeats of the same stimulus, and no model of the stimulus explains that. What all repeats
    share is the ceiling of such a model; what it explains of that tells how good it is, however noisy the neuron.

    Parameters
    ----------
    Y : DataFrame or array-like, shape (n_samples, n_neurons) or (n_samples,)
        Activity. NaN where a neuron was not recorded.
    repeats : array-like of shape (n_samples,), or DataFrame of shape (n_samples, n_labels)
        Condition of every sample: samples with the same label, or row of labels, are repeats of each other, such as the
        same frame of a film, or the same stimulus and time since it began. Samples with a missing label do not count.
    trial : array-like, shape (n_samples,), optional
        Trial of every sample. Only samples of different trials are repeats of each other then, and noise that the
        samples of a trial share counts neither for the signal nor against it. Unless given, all samples are taken for
        independent.
    predicted : array-like, shape of Y, optional
        Predicted means, such as ``model.predict_held_out()``: predictions that have not seen the activity of their own
        samples. Samples without (NaN) do not count.
    family : {"gaussian", "poisson", "bernoulli", "gamma", "inverse_gaussian", "tweedie"}, optional
        Whose deviance is asked for as well.
    power : float, optional
        Of Tweedie activity, as in `GLM`.

    Returns
    -------
    DataFrame
        A row per neuron, of the samples of conditions that it was recorded in twice or more.

        - ``n_samples``, ``n_conditions``; ``variance`` over these samples, ``signal_variance``, the part of it that
          repeats share, ``explainable``, its fraction, which is the ceiling of variance explained, and
          ``explainable_error``, its standard error over trials (a jackknife). Chance can make them negative.
        - with `predicted`: ``variance_explained``; ``normalised_variance_explained``, 1 for the best possible model of
          the conditions; ``normalised_correlation``. NaN where the signal variance is not positive.
        - with `family`: ``deviance_ceiling``, the fraction of null deviance that the true means of the conditions would
          explain, between ``deviance_ceiling_low`` and ``deviance_ceiling_high``; with `predicted` also
          ``deviance_explained`` and ``normalised_deviance_explained``, its fraction of the ceiling, NaN where that is
          not positive.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above, they differ in their number of samples or the labels of these, no condition
        was repeated in another trial, or there is only one condition.

    Notes
    -----
    The signal variance is :math:`\sum_c p_c (1 - p_c) W_c - \sum_{c \ne d} p_c p_d B`, with the shares :math:`p_c` of
    samples in the conditions, the mean product :math:`W_c` of two samples of one condition, and :math:`B` of two
    samples of different conditions, always from different trials. For a stimulus of T bins that was shown N times it
    is (T − 1)/T of the signal power of Sahani and Linden, :math:`\frac{1}{N - 1} [N \operatorname{Var}_t(\bar r) -
    \overline{\operatorname{Var}_t(r_n)}]`; for independent samples it is the variance component of an analysis of
    variance. With it S, the variance V and the mean square error E of the predictions,

    .. math:: \text{normalised variance explained} = \frac{V - E}{S}, \qquad
       \text{normalised correlation} = \frac{\operatorname{Cov}(y, \hat\mu)}{\sqrt{\operatorname{Var}(\hat\mu) \, S}},

    Sahani and Linden's and the CC\ :sub:`norm` of Schoppe et al. A model that knows more than the conditions, such as
    the animal's speed in every trial, can have more than 1.

    Of deviance there is no such product. As Nili et al. do for representations, bounds are given: ``high`` is what the
    means of the conditions explain of their own samples, which no prediction from the conditions exceeds; ``low`` what
    means of the other trials explain, which a good model should exceed. Around the truth the first is too large by
    about the noise over N, and the second too low by about the noise over N − 1. In ``deviance_ceiling``, a mean of
    both, that cancels: exactly for squares. With few events per condition, less than some five over all repeats, it is
    too high for Poisson deviance: take longer bins, or pool conditions.

    References
    ----------
    Sahani & Linden, "How linear are auditory cortical responses?", *NeurIPS* 15 (2002). Schoppe, Harper, Willmore, King
    & Schnupp, "Measuring the performance of neural models", *Frontiers in Computational Neuroscience* 10 (2016). Nili
    et al., "A toolbox for representational similarity analysis", *PLoS Computational Biology* 10 (2014).

    Examples
    --------
    Ten repeats of a film of 200 frames, and a neuron of which a third of the variance is due to the film:

    >>> import numpy as np
    >>> import popglm as pg
    >>> rng = np.random.default_rng(0)
    >>> film = rng.normal(size=200)
    >>> frame, trial = np.tile(np.arange(200), 10), np.repeat(np.arange(10), 200)
    >>> Y = film[frame] + np.sqrt(2) * rng.normal(size=2000)
    >>> found = pg.noise_ceiling(Y, frame, trial=trial, predicted=0.5 * film[frame])
    >>> found.iloc[0][["explainable", "variance_explained", "normalised_variance_explained"]].round(2).to_dict()
    {'explainable': 0.34, 'variance_explained': 0.24, 'normalised_variance_explained': 0.71}
    """
    names, rows = name_neurons(Y), Rows(row_labels(Y), "Y")
    loss = _check_family(family, power)
    n_samples = shape_of(Y)[0] if shape_of(Y) else 0
    y = check_responses(Y, n_samples, loss, names)
    condition = split_levels(repeats, n_samples, rows, "repeats")[2]
    trials = np.arange(n_samples) if trial is None else check_trials(trial, n_samples, rows)
    mu = None if predicted is None else check_predicted(Y, predicted, y.shape, rows, loss)
    samples = RepeatedSamples.make(y if mu is None else np.where(np.isnan(mu), np.nan, y), condition, trials)
    _check_repeated(samples)
    signal, variance = samples.signal_variance(), samples.variance()
    parts = {
        "n_samples": samples.total.astype(int),
        "n_conditions": (samples.n > 0).sum(axis=0),
        "variance": variance,
        "signal_variance": signal,
        "explainable": signal / np.where(variance > 0, variance, np.nan),
        "explainable_error": samples.jackknife(),
    }
    if mu is not None:
        parts |= _of_squares(samples, mu, np.where(signal > 0, signal, np.nan))
    if loss is not None:
        parts |= _of_deviance(samples, loss, mu)
    return pd.DataFrame(parts, index=pd.Index(names, name="neuron"))


def _check_family(family: Any, power: Any) -> Family | None:
    """The family by its name, if its deviance needs nothing else."""
    if family is None:
        if power is not None:
            raise ValueError(f"noise_ceiling: power={shown(power)} has no effect without a family; leave it None.")
        return None
    offers = [name for name in FAMILIES if not (get_family(name).parameters or get_family(name).has_trials)]
    if not isinstance(family, str) or family not in offers:
        raise ValueError(f"noise_ceiling: family={shown(family)} must be one of {', '.join(offers)}, or None.")
    return get_family(family, None, power)


def _check_repeated(samples: RepeatedSamples) -> None:
    """Complain where nothing can be told of any neuron."""
    if not samples.known.any():
        raise ValueError(
            "noise_ceiling: repeats has no label that comes back in another trial, in samples that were recorded; give "
            "repeats of the same condition the same label."
        )
    if ((samples.n > 0).sum(axis=0) < 2).all():
        raise ValueError(
            "noise_ceiling: repeats has a single label that comes back in another trial; the ceiling is of what "
            "differs between conditions, and needs two."
        )


def _of_squares(samples: RepeatedSamples, mu: np.ndarray, signal: np.ndarray) -> dict[str, np.ndarray]:
    """What predictions explain of the variance, and of the signal's."""
    n = np.where(samples.total > 0, samples.total, np.nan)
    known, y = samples.known, samples.y
    with np.errstate(invalid="ignore", over="ignore"):
        mu = np.where(known, mu, 0.0)
        error = np.sum((y - mu) ** 2, axis=0, where=known) / n
        center = mu.sum(axis=0) / n
        spread = np.sum((mu - center) ** 2, axis=0, where=known) / n
        together = np.sum((y - samples.mean) * (mu - center), axis=0, where=known) / n
    variance = samples.variance()
    return {
        "variance_explained": fraction_explained(error, variance),
        "normalised_variance_explained": (variance - error) / signal,
        "normalised_correlation": together / np.sqrt(np.where(spread > 0, spread, np.nan) * signal),
    }


def _of_deviance(samples: RepeatedSamples, loss: Family, mu: np.ndarray | None) -> dict[str, np.ndarray]:
    """Ceilings of deviance explained, and what predictions explain of it."""
    with np.errstate(invalid="ignore", divide="ignore"):
        null = np.sum(loss.unit_deviance(samples.y, samples.mean), axis=0, where=samples.known)
        null = np.where(samples.total > 0, null, np.nan)
        high, low, between = (fraction_explained(part, null) for part in samples.deviance_of_means(loss))
        parts = {"deviance_ceiling": between, "deviance_ceiling_low": low, "deviance_ceiling_high": high}
        if mu is None:
            return parts
        found = np.sum(loss.unit_deviance(samples.y, np.where(samples.known, mu, 0)), axis=0, where=samples.known)
    explained = fraction_explained(found, null)
    return parts | {
        "deviance_explained": explained,
        "normalised_deviance_explained": explained / np.where(between > 0, between, np.nan),
    }
