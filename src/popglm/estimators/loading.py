"""Models from files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import xarray as xr

from popglm.estimators.classifier.glm import ClassifierGLM
from popglm.estimators.classifier.glm_cv import ClassifierGLMCV
from popglm.estimators.classifier.storage import missing_class_parts
from popglm.estimators.glm import GLM
from popglm.estimators.glm_cv import GLMCV
from popglm.estimators.low_rank_glm import LowRankGLM
from popglm.estimators.part_arguments import PARTS
from popglm.estimators.smooth_glm import SmoothGLM
from popglm.estimators.storage import missing_parts
from popglm.estimators.two_part import TwoPartGLM
from popglm.io.netcdf import damaged, read_described
from popglm.messages import listed

__all__ = ["load", "model_from", "model_of"]

Model = GLM | GLMCV | SmoothGLM | LowRankGLM | ClassifierGLM | ClassifierGLMCV


def load(path: str | Path) -> Model | TwoPartGLM:
    """Read a model that its ``save`` wrote, or the one in a result of ``popglm fit``.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    GLM, GLMCV, SmoothGLM, LowRankGLM, TwoPartGLM, ClassifierGLM or ClassifierGLMCV
        Fitted, without its training data. A splitter given as ``cv`` comes back as its number of folds.

    Raises
    ------
    TypeError
        If `path` is no path.
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file holds something else, is damaged, or lacks a part of a model, which is named.

    Examples
    --------
    >>> import numpy as np, tempfile, os, popglm
    >>> model = popglm.GLM(family="gaussian").fit(np.arange(12.0).reshape(6, 2) ** 2, np.arange(6.0))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     model.save(os.path.join(folder, "model.nc"))
    ...     popglm.load(os.path.join(folder, "model.nc"))
    GLM(family='gaussian')
    """
    return model_from(lambda part: read_described(path, part), path)


def model_from(read: Callable[[str | None], tuple[xr.Dataset, dict[str, Any]]], path: str | Path) -> Model | TwoPartGLM:
    """The model of which ``read`` gives Dataset and description, or those of a part by its name."""
    data, about = read(None)
    if about.get("class") != "TwoPartGLM":
        return model_of(data, about, path)
    parts = [model_of(*read(part), path) for part in PARTS]
    try:
        return TwoPartGLM().restore(data, *parts)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged(path, repr(error)) from error


def model_of(data: xr.Dataset, about: dict[str, Any], path: str | Path) -> Model:
    """The model that a Dataset and its description are of; ``path`` is where they come from, for complaints."""
    own: tuple[type[Model], ...] = (GLM, GLMCV, SmoothGLM, LowRankGLM, ClassifierGLM, ClassifierGLMCV)
    kinds = {kind.__name__: kind for kind in own}
    name = str(about.get("class"))
    if name not in kinds:
        raise damaged(path, f"it names no kind of model, but {name}")
    parts = missing_class_parts if issubclass(kinds[name], ClassifierGLM | ClassifierGLMCV) else missing_parts
    if missing := parts(data, about, cross_validated=kinds[name] in (GLMCV, ClassifierGLMCV)):
        raise ValueError(
            f"{path} holds a popglm model that lacks {listed(map(repr, missing))}; it was damaged or written by "
            "another version. Save the model again."
        )
    try:
        return kinds[name]().restore(data, about)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise damaged(path, repr(error)) from error
