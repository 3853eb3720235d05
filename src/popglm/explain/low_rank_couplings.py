"""The latent signals of a `LowRankGLM`: who sends them, at which lags, and who hears them."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from popglm.checks import check_fitted
from popglm.design import Design
from popglm.design.past import Past
from popglm.estimators import LowRankGLM
from popglm.explain.tuning_kernels import group_slices, raw_weights
from popglm.messages import listed, shown

__all__ = ["latent_couplings"]


def latent_couplings(model: LowRankGLM, design: Design) -> xr.Dataset:
    r"""The latent signals through which a population acts on itself: who sends each, at which lags, and who hears it.

    Parameters
    ----------
    model : LowRankGLM
        Fitted to what `design` makes, of rank 1 or more.
    design : Design
        Fitted, with `coupling` terms in the low-rank part.

    Returns
    -------
    xarray.Dataset
        Over ``dimension``, the latent signals, the strongest first; ``source``, in the order of the design; ``target``,
        in that of the model; and ``lag``.

        - ``source_kernel`` (dimension, source, lag): what one unit of a source's activity adds to the signal later.
        - ``sends`` (dimension, source): its sum over lags.
        - ``hears`` (dimension, target): what a unit of the signal adds to the linear predictor of the target.
        - ``singular_value`` (dimension): of the low-rank part, as in the model.

        Sums over dimensions of ``sends`` times ``hears`` are the ``net`` of `connectivity`, but for pairs that are not
        of low rank, as a neuron's own past. Signs of a dimension are arbitrary together.

    Raises
    ------
    sklearn.exceptions.NotFittedError
        If the model or the design is not fitted.
    TypeError, ValueError
        If an argument is not as above.

    References
    ----------
    Semedo, Zandvakili, Machens, Yu & Kohn, "Cortical areas interact through a communication subspace", *Neuron* 102
    (2019).

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> import popglm as pg
    >>> rng = np.random.default_rng(0)
    >>> spikes = pd.DataFrame(rng.poisson(0.3, (5000, 4)), columns=list("abcd"))
    >>> drive = (spikes["a"] - spikes["b"]).shift(fill_value=0)
    >>> for name in "cd":
    ...     spikes[name] = rng.poisson(0.3 * np.exp(0.5 * drive))
    >>> design = pg.Design(pg.coupling(spikes.columns, pg.bumps("lag", n=2, low=1, high=2, width=2)))
    >>> model = pg.LowRankGLM(low_rank=1, lambdas=0.05).fit(design.fit_transform(spikes), spikes)
    >>> found = pg.latent_couplings(model, design)
    >>> (found["hears"] / found["hears"].max()).values.round() + 0.0
    array([[0., 0., 1., 1.]])
    >>> (found["sends"] / found["sends"].max()).values.round() + 0.0
    array([[ 1., -1.,  0.,  0.]])
    """
    if not isinstance(model, LowRankGLM):
        raise TypeError(f"latent_couplings: model must be a popglm.LowRankGLM; found {type(model).__name__}.")
    check_fitted(model, "lambda_index_", "latent_couplings")
    if not isinstance(design, Design):
        raise TypeError(f"latent_couplings: design must be the Design of the fit; found {shown(design)}.")
    raw_weights(model, design, "latent_couplings")
    if not model.rank_:
        raise ValueError(
            "latent_couplings: the model has no latent signal; fit with a smaller lambdas, or a low_rank above 0."
        )
    loadings = np.zeros((model.rank_, model.n_features_in_))
    loadings[:, model.low_rank_features_] = model.source_loadings_.to_numpy().T
    scales = np.where(np.isfinite(design.scales_), design.scales_, 1.0)
    kernels = _kernels(design, loadings / scales, np.isin(np.arange(loadings.shape[1]), model.low_rank_features_))
    n_lags = max(kernel.shape[1] for kernel in kernels.values())
    padded = [np.pad(kernel, ((0, 0), (0, n_lags - kernel.shape[1]))) for kernel in kernels.values()]
    kernel, step = np.stack(padded, axis=1), next(_pasts(design)).dt
    hears = (model.target_loadings_.to_numpy() * model.singular_values_).T
    lag = xr.Variable("lag", (step or 1) * np.arange(1, n_lags + 1), {"units": "samples" if step is None else "s"})
    return xr.Dataset(
        {
            "source_kernel": (("dimension", "source", "lag"), kernel),
            "sends": (("dimension", "source"), kernel.sum(axis=2)),
            "hears": (("dimension", "target"), hears),
            "singular_value": ("dimension", model.singular_values_),
        },
        coords={
            "dimension": np.arange(model.rank_) + 1,
            "source": list(kernels),
            "target": [str(name) for name in model.neuron_names_],
            "lag": lag,
        },
    )


def _pasts(design: Design) -> Any:
    return (term for term in design.terms_.values() if isinstance(term, Past))


def _kernels(design: Design, loadings: np.ndarray, is_low: np.ndarray) -> dict[str, np.ndarray]:
    """Kernels (rank, n_lags) of every source in the low-rank part."""
    columns, found = group_slices(design), dict[str, np.ndarray]()
    for group, term in design.terms_.items():
        if not (isinstance(term, Past) and is_low[columns[group]].any()):
            continue
        kernel = loadings[:, columns[group]] @ term.grid()[1].T
        if (before := found.get(term.source)) is not None:
            n_lags = max(before.shape[1], kernel.shape[1])
            kernel = sum(np.pad(one, ((0, 0), (0, n_lags - one.shape[1]))) for one in (before, kernel))
        found[term.source] = kernel
    if not found:
        others = [group for group in design.terms_ if is_low[columns[group]].any()]
        raise ValueError(
            "latent_couplings: no history or coupling term is in the low-rank part, only "
            f"{listed(map(repr, others))}; look at source_loadings_ of the model instead."
        )
    return found
