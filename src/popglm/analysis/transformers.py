"""The transformers of scikit-learn that a recipe may name: columns follow from the data and their settings alone."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from popglm.messages import listed, shown

__all__ = ["make_transformer"]

#: Names, and the module of each.
TRANSFORMERS = {
    name: f"sklearn.{module}"
    for module, names in {
        "decomposition": ("FactorAnalysis", "FastICA", "KernelPCA", "NMF", "PCA", "SparsePCA", "TruncatedSVD"),
        "kernel_approximation": ("Nystroem", "PolynomialCountSketch", "RBFSampler"),
        "preprocessing": (
            *("Binarizer", "KBinsDiscretizer", "MaxAbsScaler", "MinMaxScaler", "Normalizer", "PolynomialFeatures"),
            *("PowerTransformer", "QuantileTransformer", "RobustScaler", "SplineTransformer", "StandardScaler"),
        ),
    }.items()
    for name in names
}


def make_transformer(asked: str | Mapping[str, Any]) -> Any:
    """A transformer by its name, or by a table of its name and arguments.

    One that draws random numbers does so from ``random_state`` 0 unless the table says otherwise, so that a recipe
    determines a result.

    Raises
    ------
    TypeError, ValueError
        If it is none of `TRANSFORMERS`, or has no such argument; the nearest names are offered.

    Examples
    --------
    >>> make_transformer({"name": "PolynomialFeatures", "degree": 3}), make_transformer("StandardScaler")
    (PolynomialFeatures(degree=3), StandardScaler())
    """
    options = {"name": asked} if isinstance(asked, str) else dict(asked) if isinstance(asked, Mapping) else {}
    name = options.pop("name", None)
    if not isinstance(name, str):
        raise TypeError(
            f'transformer must be a name, "PCA", or a table with one, {{name = "PCA", n_components = 3}}; found '
            f"{shown(asked)}"
        )
    if name not in TRANSFORMERS:
        raise ValueError(f"transformer {name!r} is not known here; nearest names: {_near(name, list(TRANSFORMERS))}")
    make = getattr(import_module(TRANSFORMERS[name]), name)
    known = list(inspect.signature(make).parameters)
    for option in options:
        if option not in known:
            raise ValueError(f"{name} has no argument {option!r}; nearest names: {_near(option, known)}")
    return make(**({"random_state": 0} if "random_state" in known else {}) | options)


def _near(name: str, known: list[str]) -> str:
    """The nearest of some names, or all."""
    return listed(map(repr, difflib.get_close_matches(name, known, n=3, cutoff=0.5) or known))
