"""What the animal of the simulated maze sees, learns, chooses and does, trial by trial and sample by sample."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.signal import lfilter
from scipy.special import expit

__all__ = [
    "CHOICE_POINT",
    "LONGEST_RUN",
    "LONGEST_WAIT",
    "MAZE_START",
    "SHORTEST_RUN",
    "SHORTEST_WAIT",
    "simulate_samples",
    "simulate_trials",
]

MAZE_START, CHOICE_POINT = 10.0, 250.0  # position along the maze, cm
SHORTEST_RUN, LONGEST_RUN = 5.0, 30.0  # from the start to the choice point, s
SHORTEST_WAIT, LONGEST_WAIT = 4.0, 5.0  # feedback and inter-trial time, s
N_TRIALS_BEFORE = 60  # trials before the recording, so that every history variable has its past


def simulate_trials(n_trials: int, rng: np.random.Generator) -> pd.DataFrame:
    """One row per trial: the cue, what an animal that learns the rule does, and its history of trials.

    The correct side is rule × cue. The animal's `belief` about the rule follows the outcomes by a delta rule,
    and its choice mixes belief × cue with a drifting side bias (a logistic choice model).
    """
    rows = []
    rule, trials_left = 1, 45
    bias = engagement = 0.0
    learned = ("belief", "rule_following", "bias_following", "value_left", "value_right")
    state = dict.fromkeys(learned, 0.6)
    for _ in range(N_TRIALS_BEFORE + n_trials):
        if trials_left == 0:
            rule = -rule
            trials_left = int(rng.integers(40, 71) if rule > 0 else rng.integers(15, 31))
        trials_left -= 1
        bias = 0.97 * bias + 0.25 * rng.standard_normal()
        engagement = 0.98 * engagement + 0.2 * rng.standard_normal()
        cue = rng.choice((-1, 1))
        drive = 4.0 * state["belief"] * cue * (1 + 0.5 * np.tanh(engagement)) + bias
        cho = 1 if rng.random() < expit(drive) else -1
        corr = rule * cue * cho
        rows.append(dict(cue=cue, cho=cho, corr=corr, engagement=np.tanh(engagement), **state))

        observed = {"belief": rule, "rule_following": corr, "bias_following": cho * np.sign(bias)}
        observed["value_right" if cho > 0 else "value_left"] = corr
        for name, value in observed.items():
            state[name] += 0.15 * (value - state[name])

    trials = pd.DataFrame(rows)
    for name in ("cue", "cho", "corr"):
        for back in range(1, 5):
            trials[f"{name}_back{back}"] = trials[name].shift(back)
        for span in (5, 20):
            trials[f"{name}_mean{span}"] = trials[name].shift().rolling(span).mean()
    trials["prevCorr"] = trials["corr_back1"]
    trials["next_belief"] = trials["belief"].shift(-1, fill_value=state["belief"])
    return trials.iloc[N_TRIALS_BEFORE:].reset_index(drop=True)


def simulate_samples(trials: pd.DataFrame, sampling_rate: float, rng: np.random.Generator) -> pd.DataFrame:
    """One row per sample: the variables of its trial, where the animal is, how it moves."""
    n_trials = len(trials)
    run_time = np.clip(rng.lognormal(np.log(9.6), 0.25, n_trials), SHORTEST_RUN, LONGEST_RUN)
    wait_time = np.where(trials["corr"] > 0, rng.uniform(SHORTEST_WAIT, LONGEST_WAIT, n_trials), LONGEST_WAIT)
    commit_position = rng.normal(130.0, 40.0, n_trials)  # where the choice is made up
    confidence = rng.uniform(0.5, 1.0, n_trials)

    n_run = np.maximum(1, np.round(run_time * sampling_rate)).astype(int)
    n_wait = np.maximum(1, np.floor(wait_time * sampling_rate)).astype(int)
    trial = np.repeat(np.arange(n_trials), n_run + n_wait)
    n_samples = len(trial)
    in_trial = np.arange(n_samples) - np.repeat(np.cumsum(n_run + n_wait) - n_run - n_wait, n_run + n_wait)
    running = in_trial < n_run[trial]
    since_choice = np.where(running, 0.0, in_trial - n_run[trial]) / sampling_rate

    def noise(time_constant: float) -> np.ndarray:
        """First-order autoregressive noise of unit variance, `time_constant` in seconds."""
        a = np.exp(-1 / (time_constant * sampling_rate))
        return lfilter([np.sqrt(1 - a**2)], [1, -a], rng.standard_normal(n_samples))

    step = np.exp(0.4 * noise(0.8)) * running
    way = np.cumsum(step) - step
    way -= way[in_trial == 0][trial]
    length = np.bincount(trial, step)[trial]
    position = MAZE_START + (CHOICE_POINT - MAZE_START) * np.minimum(way / length, 1)
    speed = (CHOICE_POINT - MAZE_START) * step / length * sampling_rate

    samples = trials.loc[trial].reset_index(drop=True)
    samples["trial"] = trial
    samples["time"] = np.arange(n_samples) / sampling_rate
    samples["position"] = np.where(running, position, np.nan)
    samples["time_from_choice"] = np.where(running, np.nan, since_choice)

    cue, cho = samples["cue"].to_numpy(), samples["cho"].to_numpy()
    decided = expit((position - commit_position[trial]) / 25) * np.exp(-since_choice / 4)
    seen = -np.expm1(-(position - MAZE_START) / 60) * np.exp(-since_choice / 2)
    learned = -np.expm1(-since_choice)
    samples["dyn_cho"] = np.clip(cho * confidence[trial] * decided + 0.1 * noise(0.5), -1, 1)
    samples["dyn_cue"] = np.clip(cue * seen + 0.1 * noise(0.5), -1, 1)
    samples["dyn_belief"] = samples["belief"] + learned * (samples["next_belief"] - samples["belief"])

    turn = np.exp(-(((CHOICE_POINT - position) / 40) ** 2) - since_choice / 0.5)
    samples["pitch"] = speed + ~running * 20 * np.exp(-since_choice / 0.7) + 3 * noise(0.3)
    samples["yaw"] = 12 * cho * turn + 6 * noise(0.4)
    samples["roll"] = 0.4 * samples["yaw"] + 5 * noise(0.4)
    return samples
