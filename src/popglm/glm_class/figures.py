"""The figures that selection and evaluation make."""

from __future__ import annotations

from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from popglm.plot import deviance_histogram, deviance_over_strengths, explained_and_null_deviance

__all__ = ["draw_evaluation", "draw_selection"]


def draw_selection(lambda_series: np.ndarray, selected: np.ndarray, explained: np.ndarray) -> None:
    """Deviance explained (n_lambdas, n_responses) over strengths, and its histogram at the selected ones."""
    _, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    path = SimpleNamespace(lambdas_=lambda_series, lambda_index_=selected, cv_deviance_explained_path_=explained)
    deviance_over_strengths(path, left)
    deviance_histogram(explained[selected, np.arange(len(selected))], right)


def draw_evaluation(fraction: np.ndarray, model: np.ndarray, null: np.ndarray) -> None:
    """Histogram of deviance explained, and explained beside null deviance."""
    _, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    deviance_histogram(fraction, left)
    # all responses silent: there is no deviance to draw
    if (null > 0).any():
        explained_and_null_deviance(pd.DataFrame({"deviance": model, "null_deviance": null}), right)
