"""Re-fits of a classifier to trials that were drawn."""

from __future__ import annotations

import warnings

import numpy as np

from popglm.estimators.classifier.base import CategoricalGLM
from popglm.estimators.classifier.glm import ClassifierGLM
from popglm.explain.class_refits import ClassDataOfFit
from popglm.warnings import PopglmWarning

__all__ = ["refit_classes"]


def refit_classes(
    model: CategoricalGLM, data: ClassDataOfFit, tol: float, beyond: float, codes: np.ndarray, trials: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The model fitted to trials that were drawn, at each response's selected strength.

    Returns coefficients (n_responses × n_classes, n_features), NaN of a response without trials of one of its classes,
    gaps (n_responses,), and which responses these are.

    Parameters
    ----------
    tol : float
        Of the re-fit.
    beyond : float
        What the largest strength is multiplied by for responses at their null model.
    codes : ndarray of int, shape (n_samples,)
        Trial of every sample.
    trials : ndarray of int, shape (n_drawn,)
    """
    times = np.bincount(trials, minlength=codes.max() + 1)[codes]
    weight = np.ones(len(times)) if data.weight is None else data.weight
    selected = np.isfinite(model.lambda_)
    given = model.get_params()
    refit = ClassifierGLM(**{name: given[name] for name in ClassifierGLM().get_params()}).set_params(
        feature_groups=np.repeat(model.feature_group_names_, model.feature_group_sizes_).tolist(),
        feature_shapes=model.feature_shapes_,
        feature_mask=model.feature_mask_,
        penalty_factors=model.penalty_factors_,
        lambdas=None
        if model.penalty == "none"
        else np.where(selected, model.lambda_, beyond * model.lambda_path_[0])[None],
        tol=tol,
        verbose=0,
    )
    shape = len(model.neuron_names_), len(model.classes_)
    with warnings.catch_warnings():
        # of classes that are rare in a resample: those that are lacking are counted
        warnings.simplefilter("ignore", PopglmWarning)
        sample_weight = weight * (times if weight.ndim == 1 else times[:, None])
        start = model.coef_.reshape(1, *shape, -1)
        refit.fit(data.X, data.y, sample_weight=sample_weight, offset=data.offset, start=start)
    lacks = (model.has_class_ & ~refit.has_class_).any(axis=1)
    unknown = lacks[:, None] | ~model.has_class_
    coef = np.where(unknown[..., None], np.nan, refit.coef_.reshape(*shape, -1))
    return coef.reshape(shape[0] * shape[1], -1), refit.gap_[-1], lacks
