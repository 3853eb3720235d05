"""A simulated session of a virtual-maze task: behaviour, neurons, and the truth behind them.

The mouse runs along a virtual maze, sees a cue, chooses a side, gets feedback and waits for the next trial.
Which choice is right depends on a rule that switches without notice, so that cue, choice, outcome and the
animal's belief are correlated with each other, as in a real session. Every neuron follows a few groups of the
design matrix through smooth kernels; its activity looks like deconvolved calcium, sparse and over-dispersed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter1d

from popglm.checks import check_flag, check_room, is_number
from popglm.design import Design, bumps, splines
from popglm.maze_behavior import (
    CHOICE_POINT,
    LONGEST_RUN,
    LONGEST_WAIT,
    MAZE_START,
    SHORTEST_RUN,
    SHORTEST_WAIT,
    simulate_samples,
    simulate_trials,
)
from popglm.messages import shown

__all__ = ["TASK_VARIABLES", "VELOCITIES", "MazeSession", "MazeTruth", "maze_design", "maze_session"]

TASK_VARIABLES: tuple[str, ...] = (
    # the eight of the tutorial
    *("cue", "cho", "corr", "prevCorr", "rule_following", "bias_following", "belief", "dyn_cho"),
    # for larger designs: signals that unfold within the trial, learned values, and the history of trials
    *("dyn_cue", "dyn_belief", "value_left", "value_right", "engagement"),
    *("cue_back1", "cho_back1", "cue_back2", "cho_back2", "corr_back2"),
    *("cue_mean5", "cho_mean5", "corr_mean5", "cho_mean20", "corr_mean20"),
    *("cue_back3", "cho_back3", "corr_back3", "cue_back4", "cho_back4", "corr_back4"),
)
"""Names of the task variables, all between -1 and 1; a session has the first `n_task_variables` of them."""

VELOCITIES: tuple[str, ...] = ("pitch", "roll", "yaw")
"""Names of the three velocities of the treadmill ball, cm/s."""


@dataclass(frozen=True)
class MazeTruth:
    """What the neurons of a simulated session really do.

    The expected activity is log-linear in the columns X of `maze_design(..., standardize=False)`, fitted to
    the whole session, whose quantiles the splines take: ``rate = exp(baseline + X @ weights.T)``.

    Attributes
    ----------
    baseline : pandas.Series, shape (n_neurons,)
        Intercept of the log rate for columns that are *not* z-scored.
    weights : pandas.DataFrame, shape (n_neurons, n_features)
        Weights of those columns, labelled (group, feature) as in the design; zero outside the active groups.
    active : pandas.DataFrame of bool, shape (n_neurons, n_groups)
        The groups that drive each neuron.
    rate : pandas.DataFrame of float32, shape (n_samples, n_neurons)
        Expected activity per sample, in the units of `MazeSession.activity`.
    """

    baseline: pd.Series
    weights: pd.DataFrame
    active: pd.DataFrame
    rate: pd.DataFrame


@dataclass(frozen=True)
class MazeSession:
    """A simulated session: see `maze_session`.

    Attributes
    ----------
    behavior : pandas.DataFrame, shape (n_samples, 4 + n_task_variables + 3)
        ``trial`` (0, 1, ...), ``time`` (s), ``position`` (cm; NaN after the choice point),
        ``time_from_choice`` (s; NaN before it), the task variables and the three velocities (cm/s).
    activity : pandas.DataFrame of float32, shape (n_samples, n_neurons)
        Deconvolved-like activity, 10 × the usual unit; columns "neuron0", "neuron1", ...
    truth : MazeTruth
        Weights and rates that made the activity.
    """

    behavior: pd.DataFrame
    activity: pd.DataFrame
    truth: MazeTruth


def maze_session(
    n_samples: int = 27_396,
    n_neurons: int = 100,
    *,
    n_task_variables: int = 8,
    sampling_rate: float = 6.0,
    seed: int = 0,
) -> MazeSession:
    """Simulate a rule-switching choice task in a virtual maze, with neurons whose kernels are known.

    The defaults give a session of the size of a real one; the same arguments give the same session.

    Parameters
    ----------
    n_samples : int
        Length of the recording in samples; the last trial is cut there. A trial lasts 14.6 s on average.
    n_neurons : int
        Number of neurons.
    n_task_variables : int
        How many of `TASK_VARIABLES` the session has, 0 to 29. With v of them `maze_design` gives
        33 (v + 1) + 21 columns in 2 (v + 1) + 3 groups: 318 in 21 for v = 8 and 1,011 in 63 for v = 29.
    sampling_rate : float
        Samples per second (Hz).
    seed : int
        Seed of the random numbers.

    Returns
    -------
    MazeSession
        Behaviour, activity and truth.

    Raises
    ------
    ValueError
        If a size, the sampling rate or the seed is out of range, or the session does not fit into memory.

    Notes
    -----
    The task is of the kind of Tseng, Chettih, Arlt, Barroso-Luque & Harvey (2022), *Neuron* 110:2484-2502. A
    neuron has one to six active groups; each gets a smooth kernel (half of those over the bare position or
    time are single fields), and together they set the spread of its log rate. Mean rates are log-normal.
    Given its rate, a sample holds a negative binomial number of events of gamma-distributed amplitude.

    Examples
    --------
    >>> from popglm.simulated_maze import maze_session
    >>> session = maze_session(n_samples=600, n_neurons=3)
    >>> session.behavior[["trial", "time", "position", "cue", "cho"]].head(3).round(2)
       trial  time  position  cue  cho
    0      0  0.00     10.00   -1    1
    1      0  0.17     12.04   -1    1
    2      0  0.33     14.38   -1    1

    What the first neuron listens to, and how well its true rate explains its activity:

    >>> from sklearn.metrics import d2_tweedie_score
    >>> active = session.truth.active.loc["neuron0"]
    >>> list(active.index[active])
    ['position × belief', 'time_from_choice × belief', 'pitch']
    >>> round(d2_tweedie_score(session.activity["neuron0"], session.truth.rate["neuron0"], power=1), 2)
    0.26
    """
    for name, value in (("n_samples", n_samples), ("n_neurons", n_neurons)):
        if not is_number(value, whole=True) or value < 1:
            raise ValueError(f"{name} must be a whole number, 1 or more, not {shown(value)}.")
    _check_n_task_variables(n_task_variables)
    if not is_number(sampling_rate) or sampling_rate <= 0:
        raise ValueError(f"sampling_rate must be a positive number (Hz), not {shown(sampling_rate)}.")
    if not is_number(seed, whole=True) or seed < 0:
        raise ValueError(f"seed must be a whole number, 0 or more, not {shown(seed)}.")
    _check_memory(n_samples, n_neurons, n_task_variables, sampling_rate)

    # One stream each, so that more neurons or more task variables leave the behaviour as it was.
    trial_rng, sample_rng, neuron_rng = np.random.default_rng(seed).spawn(3)
    # samples in the shortest possible trial: run and wait are each rounded and hold at least one
    shortest_trial = max(2.0, (SHORTEST_RUN + SHORTEST_WAIT) * sampling_rate - 1.5)
    trials = simulate_trials(int(np.ceil(n_samples / shortest_trial)), trial_rng)
    samples = simulate_samples(trials, sampling_rate, sample_rng).iloc[:n_samples]
    columns = [
        "trial",
        "time",
        "position",
        "time_from_choice",
        *TASK_VARIABLES[:n_task_variables],
        *VELOCITIES,
    ]
    behavior = samples[columns].copy()
    mean_rate = neuron_rng.lognormal(np.log(2.0), 0.7, size=n_neurons) / sampling_rate  # activity per sample
    truth = _simulate_truth(behavior, n_task_variables, mean_rate, neuron_rng)
    return MazeSession(behavior, _simulate_activity(truth.rate, neuron_rng), truth)


def maze_design(n_task_variables: int = 8, *, standardize: bool = True) -> Design:
    """Design of the maze task: the tutorial's recipe, for any number of task variables.

    Position along the maze (20 raised cosines, 10 to 250 cm) and time from the choice (13, 0 to 5 s), each
    alone and times every task variable; and 7 cubic B-splines of each quantile-transformed velocity.

    Parameters
    ----------
    n_task_variables : int
        How many of `TASK_VARIABLES` are multiplied with position and time, 0 to 29.
    standardize : bool
        Whether the columns are z-scored.

    Returns
    -------
    Design
        Not yet fitted; one group per term.

    Raises
    ------
    ValueError
        If `n_task_variables` is out of range.

    Examples
    --------
    >>> from popglm.simulated_maze import maze_design, maze_session
    >>> X = maze_design().fit_transform(maze_session(n_samples=2000, n_neurons=1).behavior)
    >>> X.shape, X.columns.get_level_values("group").nunique()
    ((2000, 318), 21)
    """
    _check_n_task_variables(n_task_variables)
    check_flag("maze_design", "standardize", standardize)
    task = TASK_VARIABLES[:n_task_variables]
    position = bumps("position", n=20, low=MAZE_START, high=CHOICE_POINT)
    elapsed = bumps("time_from_choice", n=13, low=0, high=LONGEST_WAIT)
    return Design(
        [
            *(position, *(position * v for v in task)),
            *(elapsed, *(elapsed * v for v in task)),
            *(splines(v, n=7, quantiles=True) for v in VELOCITIES),
        ],
        trial="trial",
        standardize=standardize,
    )


def _check_memory(n_samples: int, n_neurons: int, n_task_variables: int, sampling_rate: float) -> None:
    """Refuse what does not fit: whole trials are simulated, however few of their samples are asked for."""
    simulated = n_samples * (SHORTEST_RUN + LONGEST_RUN) / SHORTEST_RUN + LONGEST_RUN * sampling_rate
    # at most so many float64 at a time: of behaviour, of the design, and of rates and activity
    columns = 3 * len(TASK_VARIABLES) + 33 * (n_task_variables + 1) + 21
    check_room(
        f"maze_session: n_samples={n_samples:,} and n_neurons={n_neurons:,} at sampling_rate={sampling_rate:g}",
        8.0 * (simulated * 3 * len(TASK_VARIABLES) + n_samples * (columns + 4.0 * n_neurons)),
    )


def _check_n_task_variables(n: int) -> None:
    if not is_number(n, whole=True) or not 0 <= n <= len(TASK_VARIABLES):
        raise ValueError(f"n_task_variables must be a whole number from 0 to 29, not {shown(n)}.")


def _simulate_truth(
    behavior: pd.DataFrame, n_task_variables: int, mean_rate: np.ndarray, rng: np.random.Generator
) -> MazeTruth:
    """Draw sparse smooth kernels, scaled so that every neuron has a plausible mean rate and modulation."""
    n_neurons = len(mean_rate)
    X = maze_design(n_task_variables, standardize=False).fit_transform(behavior)
    neurons = pd.Index([f"neuron{j}" for j in range(n_neurons)], name="neuron")
    label = X.columns.get_level_values("group")
    groups = label.unique()
    over_maze, over_time = 0, n_task_variables + 1  # where the bare position and time groups stand

    preference = np.ones(len(groups))
    preference[[over_maze, over_time]] = 8, 5
    preference[-len(VELOCITIES) :] = 2
    # Gumbel keys: the k largest are k groups drawn without replacement with these odds.
    keys = np.log(preference) + rng.gumbel(size=(n_neurons, len(groups)))
    n_active = 1 + rng.binomial(5, 0.35, size=n_neurons)
    active = keys.argsort(axis=1).argsort(axis=1) >= len(groups) - n_active[:, None]

    eta = np.zeros((len(X), n_neurons))
    weights = np.zeros((n_neurons, X.shape[1]))
    for g, group in enumerate(groups):
        columns = np.flatnonzero(label == group)
        W = _smooth_kernels(n_neurons, len(columns), rng, single_field=g in (over_maze, over_time))
        share = rng.lognormal(0.0, 0.4, size=n_neurons) * (1.5 if g in (over_maze, over_time) else 1.0)
        on = np.flatnonzero(active[:, g])
        part = X.to_numpy()[:, columns].astype(float) @ W[on].T
        scale = share[on] / _nonzero_std(part)
        weights[np.ix_(on, columns)] = W[on] * scale[:, None]
        eta[:, on] += part * scale

    # The std of the log rate over samples; less where the peak would exceed exp(3.3) times the typical rate.
    spread = rng.lognormal(np.log(1.25), 0.25, size=n_neurons)
    peak = eta.max(axis=0) - eta.mean(axis=0)
    scale = np.minimum(spread / _nonzero_std(eta), 3.3 / np.maximum(peak, 1e-9))
    eta *= scale
    weights *= scale[:, None]
    baseline = np.log(mean_rate) - np.log(np.exp(eta).mean(axis=0))
    eta += baseline
    return MazeTruth(
        baseline=pd.Series(baseline, index=neurons, name="baseline"),
        weights=pd.DataFrame(weights, index=neurons, columns=X.columns),
        active=pd.DataFrame(active, index=neurons, columns=groups),
        rate=pd.DataFrame(np.exp(eta, out=eta).astype(np.float32), index=X.index, columns=neurons),
    )


def _smooth_kernels(n_kernels: int, n_basis: int, rng: np.random.Generator, *, single_field: bool) -> np.ndarray:
    """Random weights (n_kernels, n_basis), smooth over the basis; half are one field if `single_field`."""
    white = rng.standard_normal((n_kernels, n_basis))
    kernels = gaussian_filter1d(white, n_basis / 6, axis=1, mode="nearest")
    if single_field:
        centre = rng.uniform(0, n_basis - 1, size=(n_kernels, 1))
        width = rng.uniform(0.05, 0.15, size=(n_kernels, 1)) * n_basis
        fields = np.exp(-0.5 * ((np.arange(n_basis) - centre) / width) ** 2)
        kernels = np.where(rng.random((n_kernels, 1)) < 0.5, fields, kernels)
    return kernels


def _nonzero_std(columns: np.ndarray) -> np.ndarray:
    """Standard deviation of each column; 1 for constant ones, as happen in very short sessions."""
    std = columns.std(axis=0)
    return np.where(std > 1e-9, std, 1.0)


def _simulate_activity(rate: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Negative binomial numbers of events, each of gamma-distributed amplitude, with expectation `rate`."""
    n_samples, n_neurons = rate.shape
    amplitude = rng.lognormal(0.0, 0.2, size=n_neurons)  # mean activity of one event
    dispersion = rng.lognormal(np.log(2.0), 0.4, size=n_neurons)  # shape of the gamma-mixed event rate
    activity = np.empty(rate.shape, dtype=np.float32)
    for j in range(n_neurons):
        gain = rng.standard_gamma(dispersion[j], size=n_samples) / dispersion[j]
        events = rng.poisson(rate.iloc[:, j].to_numpy() / amplitude[j] * gain)
        # the sum of k gamma(2) amplitudes is gamma(2k); gamma(0) is 0
        activity[:, j] = amplitude[j] / 2 * rng.standard_gamma(2.0 * events)
    return pd.DataFrame(activity, index=rate.index, columns=rate.columns)
