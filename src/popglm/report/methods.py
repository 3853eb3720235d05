"""A methods paragraph: what was fitted and how, in sentences, with the sources of what was used."""

from __future__ import annotations

from typing import Any

import numpy as np

from popglm.analysis.recipe import parse_recipe
from popglm.analysis.result import Result
from popglm.io.netcdf import description_of
from popglm.messages import listed
from popglm.report.clusters import LEAST_EXPLAINED, LEAST_SILHOUETTE, Clusters
from popglm.statistics.families import get_family

__all__ = ["methods_of"]

_GROUP_CONCAVE = (
    "Breheny P. & Huang J. (2015). Group descent algorithms for nonconvex penalized linear and logistic regression "
    "models with grouped predictors. Statistics and Computing 25, 173-187."
)
#: Sources, by what they stand for.
SOURCES = {
    "popglm": "popglm: generalized linear encoding models for whole neural populations, version {version}. "
    "The popglm developers.",
    "breakdown": "Tseng S.-Y., Chettih S. N., Arlt C., Barroso-Luque R. & Harvey C. D. (2022). Shared and specialized "
    "coding across posterior cortical areas for dynamic navigation decisions. Neuron 110, 2484-2502.",
    "group_lasso": "Yuan M. & Lin Y. (2006). Model selection and estimation in regression with grouped variables. "
    "Journal of the Royal Statistical Society B 68, 49-67.",
    "lasso": "Tibshirani R. (1996). Regression shrinkage and selection via the lasso. Journal of the Royal Statistical "
    "Society B 58, 267-288.",
    "elastic_net": "Zou H. & Hastie T. (2005). Regularization and variable selection via the elastic net. Journal of "
    "the Royal Statistical Society B 67, 301-320.",
    "mcp": "Zhang C.-H. (2010). Nearly unbiased variable selection under minimax concave penalty. Annals of Statistics "
    "38, 894-942.",
    "scad": "Fan J. & Li R. (2001). Variable selection via nonconcave penalized likelihood and its oracle properties. "
    "Journal of the American Statistical Association 96, 1348-1360.",
    "group_mcp": _GROUP_CONCAVE,
    "group_scad": _GROUP_CONCAVE,
    "ridge": "Hoerl A. E. & Kennard R. W. (1970). Ridge regression: biased estimation for nonorthogonal problems. "
    "Technometrics 12, 55-67.",
    "glm": "Nelder J. A. & Wedderburn R. W. M. (1972). Generalized linear models. Journal of the Royal Statistical "
    "Society A 135, 370-384.",
    "path": "Friedman J., Hastie T. & Tibshirani R. (2010). Regularization paths for generalized linear models via "
    "coordinate descent. Journal of Statistical Software 33(1), 1-22.",
    "relaxed": "Hastie T., Tibshirani R. & Tibshirani R. (2020). Best subset, forward stepwise or lasso? Analysis and "
    "recommendations based on extensive comparisons. Statistical Science 35, 579-592.",
    "bootstrap": "Efron B. & Tibshirani R. J. (1993). An introduction to the bootstrap. Chapman & Hall.",
    "pooled": "Cochran W. G. (1977). Sampling techniques, 3rd edition. Wiley.",
    "silhouette": "Rousseeuw P. J. (1987). Silhouettes: a graphical aid to the interpretation and validation of "
    "cluster analysis. Journal of Computational and Applied Mathematics 20, 53-65.",
    "scikit-learn": "Pedregosa F. et al. (2011). Scikit-learn: machine learning in Python. Journal of Machine Learning "
    "Research 12, 2825-2830.",
}

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
    "lasso": "a lasso",
    "elastic_net": "an elastic net",
    "ridge": "a ridge penalty",
    "mcp": "a minimax concave penalty (MCP)",
    "scad": "a smoothly clipped absolute deviation penalty (SCAD)",
    "group_mcp": "a group minimax concave penalty (MCP), which takes in or leaves out all columns of a group together",
    "group_scad": "a group SCAD penalty, which takes in or leaves out all columns of a group together",
}


def methods_of(result: Result, clusters: Clusters | None) -> tuple[list[str], list[str]]:
    """Paragraphs, and the sources that they name as [1], [2] …"""
    cited: list[str] = []

    def cite(*keys: str) -> str:
        """The numbers of sources, in the order in which they were first named."""
        for key in keys:
            if key not in cited:
                cited.append(key)
        return "[" + ", ".join(str(cited.index(key) + 1) for key in keys) + "]"

    about = description_of(result.part("model"), "the result")
    paragraphs = [
        " ".join(sentences)
        for sentences in (
            [*_data_sentences(result), *_design_sentences(result)],
            _model_sentences(result, about, cite),
            [*_explanation_sentences(result, cite), *_cluster_sentences(clusters, cite)],
            _software_sentences(result),
        )
        if sentences
    ]
    version = result.about["versions"]["popglm"]
    return paragraphs, [SOURCES[key].format(version=version) for key in cited]


def _data_sentences(result: Result) -> list[str]:
    """What was recorded."""
    grid = result.part("grid")
    n, q = grid.sizes["time"], grid.sizes["neuron"]
    trials = len(np.unique(grid["trial"].values))
    held = len(np.unique(grid["trial"].values[grid["fold"].values < 0]))
    content = parse_recipe(result.recipe_text, result.recipe_path).content
    scale = content.data.activity_scale
    said = [
        f"The activity of {q:,} neurons was put on one grid of time with {n:,} bins of "
        f"{1000 * float(grid.attrs['bin_width']):.4g} ms in {trials:,} trials."
    ]
    if content.neurons:
        said.append(f"Neurons were chosen by the rule “{content.neurons}”.")
    if scale != 1:
        said.append(f"Activity was multiplied by {scale:g}.")
    if held:
        seed = f" (seed {content.test.seed})" if content.test else ""
        said.append(f"{held:,} trials, drawn at random{seed}, were kept from the fit as a test.")
    return said


def _design_sentences(result: Result) -> list[str]:
    """The columns."""
    groups = [str(group) for group in result.part("design")["group"].values]
    content = parse_recipe(result.recipe_text, result.recipe_path).content
    sizes = {group: groups.count(group) for group in dict.fromkeys(groups)}
    some = [f"{group} ({size})" for group, size in list(sizes.items())[:40]]
    more = f" and {len(sizes) - 40:,} more" if len(sizes) > 40 else ""
    return [
        f"The design matrix had {len(groups):,} columns in {len(sizes):,} feature groups (columns of each in "
        f"brackets): {', '.join(some)}{more}.",
        *(["Columns were z-scored over the fitted samples."] if content.design.standardize else []),
        *_past_sentences(content.terms),
        *(
            f"Groups that {key!r} fits could explain the neurons of the rule “{query}” alone."
            for key, query in list(content.masks.items())[:40]
        ),
    ]


def _past_sentences(terms: list[Any]) -> list[str]:
    """Whose past explains whom."""
    kinds = {term.basis for term in terms}
    said = {
        "history": "The history of a neuron could explain that neuron alone.",
        "coupling": "Coupling from a neuron could explain all neurons but itself.",
    }
    return [sentence for kind, sentence in said.items() if kind in kinds]


def _model_sentences(result: Result, about: dict[str, Any], cite: Any) -> list[str]:
    """Family, penalty, selection and certificate."""
    parameters = about["parameters"]
    family = get_family(parameters["family"], parameters["inverse_link"], parameters.get("power"))
    model, neurons = result.part("model"), result.neurons
    penalty = parameters["penalty"]
    called = _FAMILIES[family.name].format(power=getattr(family, "power", 0))
    said = [
        f"{'An' if called[0] in 'aeiou' else 'A'} {called} generalized linear model {cite('glm')} with "
        f"{_LINKS[family.link.name]} was fitted to every neuron with popglm {cite('popglm')}."
    ]
    if penalty in _PENALTIES:
        mixed = parameters["l1_ratio"]
        share = f" (share of the L1 norm {mixed:g})" if penalty == "elastic_net" and mixed is not None else ""
        said.append(
            f"Weights were penalised by {_PENALTIES[penalty]}{share} {cite(penalty)}, at {model.sizes['strength']} "
            f"strengths from the strongest to the weakest {cite('path')}."
        )
    if "gamma" in model:
        said.append(
            "The columns that a strength had chosen were fitted again without a penalty, and weights are blends of "
            f"both fits {cite('relaxed')}; share and strength are the pair with the best held-out deviance."
        )
    said += [*_factor_sentences(about), *_weight_sentences(result)]
    if parameters["smoothness"]:
        said.append(
            f"Squared differences of neighbouring weights of a group were penalised with {parameters['smoothness']:g}."
        )
    folds = model.sizes["fold"]
    errors = parameters["se_fraction"]
    rule = (
        f"the strongest within {errors:g} standard error{'s' * (errors != 1)} of the best held-out deviance"
        if errors
        else "the one with the best held-out deviance"
    )
    at_null = int(np.isinf(neurons["strength"]).sum())
    said.append(
        f"Each neuron has a strength of its own: {rule} in {folds}-fold cross-validation, in which all samples of a "
        "trial were in the same fold and the null model was a candidate, too."
    )
    if at_null:
        said.append(f"The null model was best for {at_null:,} neuron{'s' * (at_null > 1)}.")
    said.append(
        "Deviance explained is 1 minus the deviance over that of the mean, of samples predicted by the fold that had "
        "not seen them."
    )
    said.append(
        f"Every fit carries a certificate: its objective lies above the minimum by at most {parameters['tol']:g} of "
        "half the mean null deviance where it has converged; the largest certificate of a selected fit is "
        f"{neurons['gap'].max():.2g}."
    )
    return said


def _factor_sentences(about: dict[str, Any]) -> list[str]:
    """Groups that are penalised more or less than others."""
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


def _weight_sentences(result: Result) -> list[str]:
    """Sample weights and the offset."""
    fit = parse_recipe(result.recipe_text, result.recipe_path).content.fit
    said = [f"Bins were weighted by the variable “{fit.sample_weight}”."] if fit.sample_weight else []
    return said + ([f"The variable “{fit.offset}” was added to the linear predictor."] if fit.offset else [])


def _explanation_sentences(result: Result, cite: Any) -> list[str]:
    """Contributions, kernels and bands."""
    said = []
    if "contributions" in result.tree.children:
        said.append(
            "What a variable contributes is the deviance that held-out predictions lose when its columns are set to 0, "
            f"over the explained or the null deviance {cite('breakdown')}."
        )
    if "unique" in result.tree.children:
        said.append(
            "What only a variable explains is the deviance that is lost when models are fitted again without it, in "
            "the same folds."
        )
    if said:
        said.append(
            "Pooled contributions are the sum over neurons over the sum of their explained or null deviances, with the "
            f"standard error of a ratio {cite('pooled')}."
        )
    if "kernels" in result.tree.children:
        said.append(
            "A kernel is what a group adds to the linear predictor, from its mean over the fitted samples; its gain is "
            "the exponential of that where the inverse link is exponential."
        )
        first = next(iter(result.tree.children["kernels"].children.values())).to_dataset(inherit=False)
        if "n_resamples" in first.attrs:
            said.append(
                f"Bands of kernels span the central {100 * float(first.attrs['level']):g} % of "
                f"{int(first.attrs['n_resamples'])} fits to trials drawn with replacement {cite('bootstrap')}."
            )
    return said


def _cluster_sentences(clusters: Clusters | None, cite: Any) -> list[str]:
    """How neurons were clustered."""
    if clusters is None:
        return []
    found = (
        f"this gave {len(clusters.centers)} clusters (mean silhouette {clusters.silhouette:.2f})"
        if len(clusters.centers) > 1
        else f"no number of clusters had a mean silhouette of {LEAST_SILHOUETTE:g}, so all are in one"
    )
    return [
        f"Neurons with a deviance explained of at least {LEAST_EXPLAINED:g} were clustered by k-means of their shares "
        f"of explained deviance, cut to [0, 1] {cite('scikit-learn')}, with as many clusters as have the largest mean "
        f"silhouette {cite('silhouette')}; {found}."
    ]


def _software_sentences(result: Result) -> list[str]:
    """Versions, data and fingerprint."""
    about = result.about
    versions = [f"{name} {version}" for name, version in about["versions"].items()]
    return [
        f"Software: {listed(versions)}.",
        f"Data: {about['data']} (fingerprint {about['fingerprint']}), fitted {about['made']}.",
    ]
