"""Connectivity: how strongly the past of every neuron moves every other, from history and coupling terms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from popglm.checks import check_fitted
from popglm.design import Design
from popglm.design.past import Past
from popglm.estimators.base import PopulationGLM
from popglm.explain.tuning_kernels import group_slices, raw_weights
from popglm.messages import listed, shown

__all__ = ["connectivity"]


def connectivity(model: PopulationGLM | Mapping[str, PopulationGLM], design: Design) -> xr.Dataset:
    r"""How strongly the past of every source neuron moves every target neuron.

    Parameters
    ----------
    model : GLM, GLMCV or LowRankGLM, or mapping of str to GLM or GLMCV
        Of a population, fitted to what `design` makes, and to Y whose columns have the names of the neurons that
        `history` and `coupling` name. Or the models of single neurons by name, each fitted to the columns of
        ``design.for_neuron(name)``.
    design : Design
        Fitted, with `history` or `coupling` terms; the whole of it.

    Returns
    -------
    xarray.Dataset
        Over ``source``, in the order of the design, and ``target``, in the order of the model. The past of a neuron
        acts on itself where these have the same name. A pair whose weights are fixed at 0 is NaN, be it that no term
        reads the source, that ``feature_mask`` forbids it or that `Design.for_neuron` leaves it out. Variables
        (n_sources, n_targets), in units of the linear predictor (of the log rate where the inverse link is exp) per
        unit of the source's activity:

        - ``net``: the sum of the kernel over lags; below 0 where the source inhibits on the whole.
        - ``norm``: the root of the sum of its squares over lags, also large where its parts cancel.
        - ``peak``: its value where it is farthest from 0.
        - ``gain``, where the inverse link is exp: ``exp(peak)``, a factor on the rate.

    Raises
    ------
    sklearn.exceptions.NotFittedError
        If a model or the design is not fitted.
    TypeError, ValueError
        If an argument is not as above: the design has no history or coupling, a model was fitted to other columns, or
        the history is that of neurons that the model does not have.

    Notes
    -----
    With weights :math:`w_{ck}` of a column :math:`c` for the target :math:`k`, the column's scale :math:`s_c` and its
    function :math:`b_c` of the basis, the kernel from :math:`j` to :math:`k` at a lag of :math:`l` samples is

    .. math:: h_{jk}(l) = \sum_{c \in j} \frac{w_{ck}}{s_c} b_c(l) , \qquad l = 1, 2, \dots

    over the columns of all history and coupling terms of :math:`j`. Products of these with other terms are left out.
    `kernels` has the kernels themselves. A coupling is what the past of one neuron tells of another, given all other
    terms. It is no synapse: a common input that no term holds makes couplings too.

    References
    ----------
    Pillow et al., Nature 454, 995-999 (2008). Stevenson et al., "Functional connectivity and tuning curves in
    populations of simultaneously recorded neurons", PLoS Computational Biology 8, e1002775 (2012).

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> import popglm as pg
    >>> rng = np.random.default_rng(0)
    >>> a = rng.poisson(0.3, 20_000)
    >>> b = rng.poisson(0.2 * np.exp(0.9 * np.r_[0, a[:-1]]))
    >>> spikes = pd.DataFrame({"a": a, "b": b})
    >>> design = pg.Design(pg.coupling(spikes.columns, pg.bumps("lag", n=2, low=1, high=2, width=2)))
    >>> model = pg.GLM(lambdas=[1e-4]).fit(design.fit_transform(spikes), spikes)
    >>> found = pg.connectivity(model, design)
    >>> found["net"].sel(source="a", target="b").round(1).item()
    0.9
    >>> found.sizes
    Frozen({'source': 2, 'target': 2})
    """
    if not isinstance(model, Mapping):
        return _of_model(model, design)
    if not model:
        raise ValueError("connectivity: model is an empty mapping; give the fitted model of every neuron by its name")
    sources = _sources(design)
    parts = [_of_neuron(name, one, design, sources) for name, one in model.items()]
    everywhere = [name for name in parts[0] if all(name in part for part in parts)]
    whole = xr.concat([part[everywhere].reindex(source=sources) for part in parts], "target")
    return whole.transpose("source", "target")


def _sources(design: Any) -> list[str]:
    """Neurons whose past the design has, in its order.

    Raises
    ------
    sklearn.exceptions.NotFittedError
    TypeError, ValueError
        If it is no design, or has none.
    """
    if not isinstance(design, Design):
        raise TypeError(f"connectivity: design must be the Design of the fit; found {shown(design)}")
    check_fitted(design, "columns_", "connectivity")
    terms = design.terms_.values()
    sources = list(dict.fromkeys(term.source for term in terms if isinstance(term, Past)))
    if not sources:
        raise ValueError(
            "connectivity: design has no history or coupling term, only "
            f"{listed(map(repr, design.terms_))}; add history(neuron, basis) or *coupling(neurons, basis)"
        )
    return sources


def _of_neuron(name: Any, model: Any, design: Design, sources: list[str]) -> xr.Dataset:
    """Connections to one neuron, from its own model."""
    if name not in sources:
        raise ValueError(
            f"connectivity: model has the name {shown(name)}, whose past is in no term of the design; it has "
            f"{listed(map(repr, sources))}"
        )
    own = design.for_neuron(name)
    n_neurons = len(raw_weights(model, own, "connectivity")[0])
    if n_neurons != 1:
        raise ValueError(
            f"connectivity: model of {name!r} was fitted to {n_neurons:,} neurons; a mapping has one model "
            "for each, and a model of the whole population is given as it is"
        )
    # whatever it was called where it was fitted
    return _of_model(model, own, [name])


def _of_model(model: Any, design: Any, targets: list[str] | None = None) -> xr.Dataset:
    """Connections to the neurons of one model that may use all of a design, less what its mask forbids.

    ``targets`` are names for its neurons in place of those of the fit.
    """
    sources = _sources(design)
    weights, _ = raw_weights(model, design, "connectivity")
    targets = [str(name) for name in model.neuron_names_] if targets is None else targets
    columns = group_slices(design)
    _check_histories(design, model, targets, columns)
    kernels: dict[str, np.ndarray] = {}
    allowed = np.zeros((len(sources), len(targets)), bool)
    for group, term in design.terms_.items():
        if not isinstance(term, Past):
            continue
        kernel = weights[:, columns[group]] @ term.grid()[1].T
        kernels[term.source] = _added(kernels.get(term.source), kernel)
        mask = None if model.feature_mask_ is None else model.feature_mask_[columns[group]].any(axis=0)
        allowed[sources.index(term.source)] |= True if mask is None else mask
    values = [_summary(kernels[source]) for source in sources]
    found = {name: np.where(allowed, [one[name] for one in values], np.nan) for name in values[0]}
    if model.loss_.link.is_multiplicative:
        found["gain"] = np.exp(found["peak"])
    dims = ("source", "target")
    return xr.Dataset({name: (dims, one) for name, one in found.items()}, coords={"source": sources, "target": targets})


def _check_histories(design: Design, model: Any, targets: list[str], columns: dict[str, slice]) -> None:
    """Complain of histories of neurons that a model does not have, unless they explain nobody."""
    mask = model.feature_mask_
    used = [group for group in design.terms_ if mask is None or mask[columns[group]].any()]
    own = [term.source for term in map(design.terms_.get, used) if isinstance(term, Past) and term.own]
    strange = [source for source in own if source not in targets]
    if strange:
        raise ValueError(
            f"connectivity: design has the history of {strange[0]!r}, which is none of the model's neurons "
            f"({listed(map(repr, targets))}); fit to Y as a DataFrame whose columns have the names of the sources"
        )


def _added(one: np.ndarray | None, other: np.ndarray) -> np.ndarray:
    """The sum of two kernels (n_targets, n_lags) from a lag of one sample on, the shorter 0 beyond its end."""
    if one is None:
        return other
    long, short = (one, other) if one.shape[1] >= other.shape[1] else (other, one)
    long = long.copy()
    long[:, : short.shape[1]] += short
    return long


def _summary(kernel: np.ndarray) -> dict[str, np.ndarray]:
    """What a kernel (n_targets, n_lags) comes to, for each target."""
    farthest = np.abs(kernel).argmax(axis=1)
    return {
        "net": kernel.sum(axis=1),
        "norm": np.sqrt((kernel**2).sum(axis=1)),
        "peak": np.take_along_axis(kernel, farthest[:, None], axis=1)[:, 0],
    }
