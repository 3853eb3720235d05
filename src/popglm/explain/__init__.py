"""What a fitted population says: tuning kernels, contributions of variables, where in the task, and how surely."""

from popglm.explain.ablation import breakdown
from popglm.explain.binning import Bins, bins
from popglm.explain.calibration_curves import calibration
from popglm.explain.cell_clusters import cell_types
from popglm.explain.comparison import compare
from popglm.explain.couplings import connectivity
from popglm.explain.debiased_weights import debiased
from popglm.explain.decoding import decode
from popglm.explain.event_averages import psth
from popglm.explain.forward_simulation import simulate
from popglm.explain.goodness import goodness_of_fit
from popglm.explain.hierarchical import hierarchical_bootstrap
from popglm.explain.low_rank_couplings import latent_couplings
from popglm.explain.mixed import mixed_model
from popglm.explain.nested_tests import likelihood_ratio
from popglm.explain.noise_ceilings import noise_ceiling
from popglm.explain.pooling import pool_sessions
from popglm.explain.resampling import bootstrap
from popglm.explain.rescaling import rescaled_quantiles, time_rescaling
from popglm.explain.shapley_values import shapley
from popglm.explain.significance_tests import significance
from popglm.explain.standard_errors import wald
from popglm.explain.subsampled_selection import stability_selection
from popglm.explain.tuning_curves import predicted_tuning, tuning
from popglm.explain.tuning_kernels import kernels

__all__ = [
    "Bins",
    "bins",
    "bootstrap",
    "breakdown",
    "calibration",
    "cell_types",
    "compare",
    "connectivity",
    "debiased",
    "decode",
    "goodness_of_fit",
    "hierarchical_bootstrap",
    "kernels",
    "latent_couplings",
    "likelihood_ratio",
    "mixed_model",
    "noise_ceiling",
    "pool_sessions",
    "predicted_tuning",
    "psth",
    "rescaled_quantiles",
    "shapley",
    "significance",
    "simulate",
    "stability_selection",
    "time_rescaling",
    "tuning",
    "wald",
]
