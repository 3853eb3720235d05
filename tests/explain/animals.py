"""Tables of neurons of several animals."""

import numpy as np
import pandas as pd


def animals(n_animals=6, n_sessions=3, n_neurons=10, seed=0, spread=(1.0, 0.7, 1.0), apart=0.0):
    """Values with deviations of animals, sessions and neurons; every other neuron is of the second area."""
    rng = np.random.default_rng(seed)
    n = n_animals * n_sessions * n_neurons
    animal, session = np.repeat(np.arange(n_animals), n_sessions * n_neurons), np.arange(n) // n_neurons
    second = np.arange(n) % 2
    cue = spread[0] * rng.normal(size=n_animals)[animal] + spread[1] * rng.normal(size=session.max() + 1)[session]
    cue += spread[2] * rng.normal(size=n) + apart * second
    area = np.where(second, "V1", "PPC")
    return pd.DataFrame({"animal": animal, "session": session % n_sessions, "area": area, "cue": cue})
