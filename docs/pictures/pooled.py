"""Contributions of simulated sessions of six animals, as pool_sessions has them."""

import numpy as np
import pandas as pd


def pooled() -> pd.DataFrame:
    """Neurons that follow position, the cue or nothing; in one area more follow the cue."""
    rng = np.random.default_rng(0)
    n = 600
    animal, area = np.arange(n) % 6, np.where(rng.random(n) < 0.5, "PPC", "V1")
    cue = rng.random(n) < np.where(area == "PPC", 0.5, 0.2) + 0.1 * rng.normal(size=6)[animal]
    follows = np.where(cue, 1, np.where(rng.random(n) < 0.6, 0, 2))
    size = np.array([[0.35, 0.03], [0.05, 0.3], [0.01, 0.01]])[follows] + 0.03 * rng.normal(size=(n, 2))
    table = pd.DataFrame(size, columns=["position", "cue"])
    return table.assign(animal=animal, session=rng.integers(3, size=n), area=area)
