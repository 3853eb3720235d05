"""A methods paragraph: what was fitted and how, in sentences, with the sources of what was used."""

from __future__ import annotations

from typing import Any

import numpy as np

from popglm.analysis.recipe import parse_recipe
from popglm.analysis.result import Result
from popglm.messages import listed
from popglm.report.classes import words_of
from popglm.report.clusters import LEAST_EXPLAINED, LEAST_SILHOUETTE, Clusters
from popglm.report.model_sentences import model_sentences

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
    "sparse_group_lasso": "Simon N., Friedman J., Hastie T. & Tibshirani R. (2013). A sparse-group lasso. Journal of "
    "Computational and Graphical Statistics 22, 231-245.",
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
    "multinomial": "Simon N., Friedman J. & Hastie T. (2013). A blockwise descent algorithm for group-penalized "
    "multiresponse and multinomial regression. arXiv 1311.6529.",
    "path": "Friedman J., Hastie T. & Tibshirani R. (2010). Regularization paths for generalized linear models via "
    "coordinate descent. Journal of Statistical Software 33(1), 1-22.",
    "relaxed": "Hastie T., Tibshirani R. & Tibshirani R. (2020). Best subset, forward stepwise or lasso? Analysis and "
    "recommendations based on extensive comparisons. Statistical Science 35, 579-592.",
    "two_part": "Wei X.-X., Zhou D., Grosmark A., Ajabi Z., Sparks F., Zhou P., Brandon M., Losonczy A. & Paninski L. "
    "(2020). A zero-inflated gamma model for deconvolved calcium imaging traces. Neurons, Behavior, Data Analysis, and "
    "Theory 3.",
    "smooth": "Wood S. N. (2011). Fast stable restricted maximum likelihood and marginal likelihood estimation of "
    "semiparametric generalized linear models. Journal of the Royal Statistical Society B 73, 3-36.",
    "low_rank": "Semedo J. D., Zandvakili A., Machens C. K., Yu B. M. & Kohn A. (2019). Cortical areas interact "
    "through a communication subspace. Neuron 102, 249-259.",
    "banded": "Dupré la Tour T., Eickenberg M., Nunez-Elizalde A. O. & Gallant J. L. (2022). Feature-space selection "
    "with banded ridge regression. NeuroImage 264, 119728.",
    "bootstrap": "Efron B. & Tibshirani R. J. (1993). An introduction to the bootstrap. Chapman & Hall.",
    "pooled": "Cochran W. G. (1977). Sampling techniques, 3rd edition. Wiley.",
    "silhouette": "Rousseeuw P. J. (1987). Silhouettes: a graphical aid to the interpretation and validation of "
    "cluster analysis. Journal of Computational and Applied Mathematics 20, 53-65.",
    "scikit-learn": "Pedregosa F. et al. (2011). Scikit-learn: machine learning in Python. Journal of Machine Learning "
    "Research 12, 2825-2830.",
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

    paragraphs = [
        " ".join(sentences)
        for sentences in (
            [*_data_sentences(result), *_design_sentences(result)],
            [*model_sentences(result, cite), *_weight_sentences(result)],
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
    what = f"The activity of {q:,} neurons was"
    if result.kind == "ClassifierGLMCV":
        what = f"Labels of {', '.join(_labels_of(result))} were"
    said = [
        f"{what} put on one grid of time with {n:,} bins of "
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


def _labels_of(result: Result) -> list[str]:
    """Every response, with the bins of its classes in brackets."""
    grid, has_class = result.part("grid"), result.part("model")["class_counts"].values > 0
    codes, classes = grid["code"].transpose("time", "neuron").values, grid["class"].values
    found = []
    for r, name in enumerate(grid["neuron"].values):
        sizes = [f"{classes[k]} {np.count_nonzero(codes[:, r] == k):,}" for k in np.flatnonzero(has_class[r])]
        found.append(f"{name} ({', '.join(sizes)})")
    return found


def _design_sentences(result: Result) -> list[str]:
    """The columns."""
    groups = [str(group) for group in result.part("design")["group"].values]
    content = parse_recipe(result.recipe_text, result.recipe_path).content
    sizes = {group: groups.count(group) for group in dict.fromkeys(groups)}
    some = [f"{group} ({size})" for group, size in list(sizes.items())[:40]]
    those = "responses" if result.kind == "ClassifierGLMCV" else "neurons"
    more = f" and {len(sizes) - 40:,} more" if len(sizes) > 40 else ""
    return [
        f"The design matrix had {len(groups):,} columns in {len(sizes):,} feature groups (columns of each in "
        f"brackets): {', '.join(some)}{more}.",
        *(["Columns were z-scored over the fitted samples."] if content.design.standardize else []),
        *_past_sentences(content.terms, result.kind),
        *(
            f"Groups that {key!r} fits could explain the {those} of the rule “{query}” alone."
            for key, query in list(content.masks.items())[:40]
        ),
    ]


def _past_sentences(terms: list[Any], kind: str) -> list[str]:
    """Whose past explains whom, in a model of a kind; a classifier explains no neuron, and has no history."""
    bases = {term.basis for term in terms}
    said = {
        "history": "The history of a neuron could explain that neuron alone.",
        "coupling": "Coupling from a neuron, which is its past activity, could explain all responses."
        if kind == "ClassifierGLMCV"
        else "Coupling from a neuron could explain all neurons but itself.",
    }
    return [sentence for basis, sentence in said.items() if basis in bases]


def _weight_sentences(result: Result) -> list[str]:
    """Sample weights and the offset."""
    fit = parse_recipe(result.recipe_text, result.recipe_path).content.fit
    said = [f"Bins were weighted by the variable “{fit.sample_weight}”."] if fit.sample_weight else []
    for argument, name in fit.beside.items():
        if argument.startswith("offset"):
            of_class = "class " if result.kind == "ClassifierGLMCV" else ""
            of_part = f" of the {of_class}{part}" if (part := argument.partition(".")[2]) else ""
            said.append(f"The variable “{name}” was added to the linear predictor{of_part}.")
    return said


def _rows_of(result: Result) -> str:
    """Whose predictions are scored."""
    return "held-out" if result.is_held_out else "in-sample"


def _explanation_sentences(result: Result, cite: Any) -> list[str]:
    """Contributions, kernels and bands."""
    said = []
    if "contributions" in result.tree.children:
        said.append(
            f"What a variable contributes is the deviance that {_rows_of(result)} predictions lose when its columns "
            "are set to 0, "
            f"over the explained or the null deviance {cite('breakdown')}."
        )
    if "unique" in result.tree.children:
        said.append(
            "What only a variable explains is the deviance that is lost when models are fitted again without it, "
            + ("in the same folds." if result.is_held_out else "on the trials that were kept as a test.")
        )
    if said:
        said.append(
            f"Pooled contributions are the sum over {words_of(result)['models']} over the sum of their explained or "
            "null deviances, with the "
            f"standard error of a ratio {cite('pooled')}."
        )
    if "kernels" in result.tree.children:
        said.append(
            "A kernel is what a group adds to the linear predictor, from its mean over the fitted samples; its gain is "
            "the exponential of that where the inverse link is exponential."
            if result.kind != "ClassifierGLMCV"
            else "A kernel is what a group adds to the linear predictor of a class, from its mean over the fitted "
            "samples; its gain is the exponential of that, and the ratio of two classes’ gains is the factor on their "
            "odds."
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
