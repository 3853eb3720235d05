"""The interface of the module ``glm_class`` of GLM_Tensorflow_2, on popglm's own estimators.

Notebooks that begin with ``import glm_class as glm`` run with ``from popglm import glm_class as glm``. Their
objective, per response, is the loss averaged over samples + λP(w) + smooth_strength·wᵀRw. It differs from that of
`popglm.GLM` in two factors:

=========  ============================  =====================  ====================
loss_type  loss per sample               popglm's ``lambdas``   popglm's smoothness
=========  ============================  =====================  ====================
gaussian   (y − μ)², without the ½       lambda_series / 2      smooth_strength
poisson    μ − y log μ                   lambda_series          2 · smooth_strength
binominal  −y log μ − (1−y) log(1−μ)     lambda_series          2 · smooth_strength
=========  ============================  =====================  ====================

All attributes report the caller's λ and the caller's objective. The interface is that of Tseng, Chettih, Arlt,
Barroso-Luque & Harvey (2022), Neuron 110, 2484-2502.
"""

from popglm.glm_class.checks import UsageError
from popglm.glm_class.deviances import (
    deviance,
    make_prediction,
    null_deviance,
    pointwise_deviance,
    pointwise_null_deviance,
)
from popglm.glm_class.glm import GLM
from popglm.glm_class.glm_cv import GLM_CV
from popglm.glm_class.groups import make_group_matrix, make_prior_matrix, parse_group_from_feature_names

__all__ = [
    "GLM",
    "GLM_CV",
    "UsageError",
    "deviance",
    "make_group_matrix",
    "make_prediction",
    "make_prior_matrix",
    "null_deviance",
    "parse_group_from_feature_names",
    "pointwise_deviance",
    "pointwise_null_deviance",
]
