"""How a model was fitted, in sentences: family, penalty, choice of strengths, and what certifies the fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from popglm.analysis.result import Result
from popglm.io.netcdf import description_of
from popglm.messages import listed
from popglm.statistics.families import get_family
from popglm.statistics.sparse_groups import SPARSE_GROUPS

__all__ = ["model_sentences"]

#: Gives the numbers of sources, by their keys.
Cite = Callable[..., str]

#: How families and penalties are called in a sentence.
_FAMILIES = {
    "poisson": "Poisson",
    "gaussian": "Gaussian",
    "bernoulli": "Bernoulli",
    "binomial": "binomial",
    "gamma": "gamma",
    "negative_binomial": "negative binomial",
    "inverse_gaussian": "inverse Gaussian",
    "censored_gaussian": "censored Gaussian (tobit)",
    "tweedie": "Tweedie (variance μ^{power:g})",
}
_LINKS = {
    "exp": "an exponential inverse link",
    "identity": "an identity link",
    "sigmoid": "a logistic inverse link",
    "softplus": "a softplus inverse link",
    "relu": "a rectified linear inverse link",
}
_PENALTIES = {
    "group_lasso": "a group lasso, which takes in or leaves out all columns of a group together",
    "sparse_group_lasso": "a sparse group lasso, which takes in or leaves out groups and single columns within them",
    "lasso": "a lasso",
    "elastic_net": "an elastic net",
    "ridge": "a ridge penalty",
    "mcp": "a minimax concave penalty (MCP)",
    "scad": "a smoothly clipped absolute deviation penalty (SCAD)",
    "group_mcp": "a group minimax concave penalty (MCP), which takes in or leaves out all columns of a group together",
    "group_scad": "a group SCAD penalty, which takes in or leaves out all columns of a group together",
}


def model_sentences(result: Result, cite: Cite) -> list[str]:
    """How the model of a result was fitted, whatever its kind."""
    about = description_of(result.part("model"), "the result")
    if result.kind == "SmoothGLM":
        return _of_curves(result, about, cite)
    if result.kind == "LowRankGLM":
        return _of_low_rank(result, about, cite)
    if result.kind == "TwoPartGLM":
        said = [
            "Activity was fitted in two parts, whether a sample is above 0 and by how much where it is, whose "
            f"likelihood is a product {cite('two_part')}; deviances of both parts are added up."
        ]
        for name in ("events", "amounts"):
            part = result.part(name)
            said += [f"Of the {name}:", *_of_path(part, description_of(part, "the result"), cite)]
        return [*said, *_of_selection(result, description_of(result.part("amounts"), "the result"))]
    return [*_of_path(result.part("model"), about, cite), *_of_selection(result, about)]


def _of_classes(parameters: dict[str, Any], cite: Cite) -> list[str]:
    """The softmax, its groups and the weights of its classes."""
    said = [
        f"A multinomial logistic (softmax) model {cite('glm', 'multinomial')} was fitted to every response with popglm "
        f"{cite('popglm')}; every class has an intercept and weights of its own, and none is a reference."
    ]
    if parameters["penalty"] == "group_lasso":
        said.append("A group holds the weights of its columns for all classes.")
    weights = parameters.get("class_weight")
    if weights == "balanced":
        said.append(
            "Samples were weighted so that all classes of a response have the same sum of weights, by which "
            "probabilities are no longer frequencies."
        )
    elif weights:
        named = [f"{label} ({weight:g})" for label, weight in weights]
        said.append(f"Samples of some classes were weighted: {listed(named)}.")
    return said


def _of_family(parameters: dict[str, Any], cite: Cite) -> str:
    """Family and link."""
    family = get_family(parameters["family"], parameters["inverse_link"], parameters.get("power"))
    called = _FAMILIES[family.name].format(power=getattr(family, "power", 0))
    return (
        f"{'An' if called[0] in 'aeiou' else 'A'} {called} generalized linear model {cite('glm')} with "
        f"{_LINKS[family.link.name]} was fitted to every neuron with popglm {cite('popglm')}."
    )


def _of_path(model: xr.Dataset, about: dict[str, Any], cite: Cite) -> list[str]:
    """Family and penalty of a model that was fitted at many strengths."""
    parameters = about["parameters"]
    penalty = parameters["penalty"]
    of_classes = about["class"] == "ClassifierGLMCV"
    weights = {"class_weight": about.get("class_weight", parameters.get("class_weight"))} if of_classes else {}
    said = _of_classes(parameters | weights, cite) if of_classes else [_of_family(parameters, cite)]
    if penalty in _PENALTIES:
        mixed = parameters["l1_ratio"]
        has_share = penalty in ("elastic_net", SPARSE_GROUPS) and mixed is not None
        share = f" (share of the L1 norm {mixed:g})" if has_share else ""
        said.append(
            f"Weights were penalised by {_PENALTIES[penalty]}{share} {cite(penalty)}, at {model.sizes['strength']} "
            f"strengths from the strongest to the weakest {cite('path')}."
        )
    if "gamma" in model:
        said.append(
            "The columns that a strength had chosen were fitted again without a penalty, and weights are blends of "
            f"both fits {cite('relaxed')}; share and strength are the pair with the best held-out deviance."
        )
    said += _factor_sentences(about, model, cite)
    if parameters.get("constraints"):
        some = [f"{group} ({_of_bounds(kind)})" for group, kind in parameters["constraints"].items()]
        said.append(f"Weights of some groups had a known sign or bounds: {listed(some)}.")
    if parameters["smoothness"]:
        said.append(
            f"Squared differences of neighbouring weights of a group were penalised with {parameters['smoothness']:g}."
        )
    if np.isinf(strength := model["lambda"].values).any():
        n = int(np.isinf(strength).sum())
        said.append(f"The null model was best for {n:,} {'response' if of_classes else 'neuron'}{'s' * (n > 1)}.")
    return said


def _of_bounds(kind: Any) -> str:
    """A sign, or what bounds a file has."""
    if isinstance(kind, str):
        return kind
    lower, upper = kind
    if isinstance(lower, list) or isinstance(upper, list):
        return "bounds of every column"
    has_lower, has_upper = lower is not None and np.isfinite(lower), upper is not None and np.isfinite(upper)
    if has_lower and has_upper:
        return f"from {lower:g} to {upper:g}"
    return f"at least {lower:g}" if has_lower else f"at most {upper:g}" if has_upper else "none"


def _of_selection(result: Result, about: dict[str, Any]) -> list[str]:
    """How strengths were chosen by folds, and the certificate."""
    parameters, errors = about["parameters"], about["parameters"]["se_fraction"]
    rule = (
        f"the strongest within {errors:g} standard error{'s' * (errors != 1)} of the best held-out deviance"
        if errors
        else "the one with the best held-out deviance"
    )
    whose = {"TwoPartGLM": "Each part of a neuron", "ClassifierGLMCV": "Each response"}.get(result.kind, "Each neuron")
    return [
        f"{whose} has a strength of its own: {rule} in {_n_folds(result)}-fold cross-validation, in which all samples "
        "of a trial were in the same fold and the null model was a candidate, too.",
        _HELD_OUT_CLASSES if result.kind == "ClassifierGLMCV" else _HELD_OUT,
        f"Every fit carries a certificate: its objective lies above the minimum by at most {parameters['tol']:g} of "
        "half the mean null deviance where it has converged; the largest certificate of a selected fit is "
        f"{result.neurons['gap'].max():.2g}.",
    ]


#: What deviance explained is, by folds and without.
_HELD_OUT = (
    "Deviance explained is 1 minus the deviance over that of the mean, of samples predicted by the fold that had not "
    "seen them."
)
_HELD_OUT_CLASSES = (
    "Deviance, −2 log likelihood, explained is 1 minus the deviance over that of the classes’ frequencies, of samples "
    "predicted by the fold that had not seen them; confusions are of the same samples, each told its most probable "
    "class."
)
_IN_SAMPLE = (
    "Deviance explained is 1 minus the deviance over that of the mean, of the samples of the fit itself, which "
    "flatters a model; of trials that were kept as a test it does not."
)


def _n_folds(result: Result) -> int:
    """Folds of the cross-validation."""
    return int(result.part("grid")["fold"].values.max()) + 1


def _of_curves(result: Result, about: dict[str, Any], cite: Cite) -> list[str]:
    """A model whose smoothness was chosen."""
    parameters = about["parameters"]
    by = "restricted maximum likelihood" if parameters["method"] == "reml" else "generalised cross-validation"
    said = [
        _of_family(parameters, cite),
        f"Differences of order {parameters['order']} of neighbouring weights of a term were penalised along each of "
        f"its axes, with strengths of every neuron and term by {by} {cite('smooth')}; no sample was held out.",
    ]
    if parameters["shrink"]:
        said.append("What the differences leave free was penalised too, so that a term may be smoothed away.")
    if parameters.get("constraints"):
        some = [f"{group} ({what})" for group, what in parameters["constraints"].items()]
        said.append(f"Weights of some terms were constrained: {listed(some)}.")
    return [
        *said,
        _IN_SAMPLE,
        "The criterion changes with the logarithm of a strength by at most "
        f"{parameters['tol']:g} where it has converged; the largest change that is left is "
        f"{result.neurons['slope'].max():.2g}.",
    ]


def _of_low_rank(result: Result, about: dict[str, Any], cite: Cite) -> list[str]:
    """A model of few latent signals."""
    parameters, model = about["parameters"], result.part("model")
    said = [
        _of_family(parameters, cite),
        f"Weights of the groups that couple neurons form a matrix of rank {model['singular_values'].size}, fitted to "
        f"all neurons together under its nuclear norm with the strength {float(model['lambda'].values[0]):.3g}, and "
        f"all other weights under a ridge {cite('low_rank')}.",
    ]
    if result.is_held_out:
        said.append(
            f"Rank and strengths are those with the best deviance of all neurons in {_n_folds(result)}-fold "
            "cross-validation, in which all samples of a trial were in the same fold."
        )
    return [*said, _HELD_OUT if result.is_held_out else _IN_SAMPLE]


def _factor_sentences(about: dict[str, Any], model: xr.Dataset, cite: Cite) -> list[str]:
    """Groups that are penalised more or less than others."""
    if "factor_search_chosen" in model:
        n, spaces = model.sizes["candidate"], [str(space) for space in model["space"].values]
        return [
            f"The spaces {listed(spaces)} had factors of each neuron’s own, which multiply the strength: those of "
            f"{n:,} candidates with the best held-out deviance {cite('banded')}."
        ]
    factors = about["parameters"].get("penalty_factors")
    if factors is None:
        return []
    if isinstance(factors, dict):
        return [
            "The strength of every group and neuron was multiplied by a factor: the norm of its weights in a first fit "
            f"to the same samples, to the power of −{factors['exponent']:g}."
        ]
    if np.ndim(factors) == 2:
        return ["The strength of feature groups was multiplied by factors of each neuron’s own."]
    named = list(zip(about["group_names"], factors, strict=True))
    free = [name for name, factor in named if factor == 0]
    other = [f"{name} ({factor:g})" for name, factor in named if factor not in (0, 1)]
    said = [f"These groups were not penalised: {listed(free)}."] if free else []
    return said + ([f"The strength of some groups was multiplied by a factor: {listed(other)}."] if other else [])
