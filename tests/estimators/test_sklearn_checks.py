"""scikit-learn's own rules for estimators hold for all of them."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from popglm import GLM, GLMCV, ClassifierGLM, ClassifierGLMCV, LowRankGLM, SmoothGLM

#: The checks compare fits that agree at the minimum only, hence float64 and a tolerance far below their own.
EXACT = {"precision": "float64", "tol": 1e-12, "n_lambdas": 2}

ESTIMATORS = [
    GLM(family="poisson", **EXACT),
    GLMCV(family="gaussian", cv=2, **EXACT),
    SmoothGLM(family="gaussian", tol=1e-9),
    LowRankGLM(family="gaussian", low_rank=1, lambdas=1e-3, tol=1e-9, precision="float64"),
    ClassifierGLM(**EXACT),
    ClassifierGLMCV(cv=2, **EXACT),
]


def excused(estimator):
    """Checks that ask for something an estimator rightly refuses."""
    if isinstance(estimator, ClassifierGLM | ClassifierGLMCV):
        return {"check_classifier_multioutput": "predictors of several responses have an axis for the classes"}
    found = {"check_supervised_y_no_nan": "NaN is activity that was not recorded; a neuron of it gets the null model"}
    if isinstance(estimator, SmoothGLM):
        why = "15 samples of 10 columns are fitted without an error, where strengths are found to their tolerance alone"
        found |= {f"check_sample_weight_equivalence_on_{kind}_data": why for kind in ("dense", "sparse")}
    if estimator.family == "poisson":
        found["check_regressor_multioutput"] = "hands over negative responses, whatever target_tags.positive_only says"
    return found


@pytest.mark.thorough(keep=80)
@parametrize_with_checks(ESTIMATORS, expected_failed_checks=excused)
def test_scikit_learns_rules(estimator, check):
    check(estimator)
