"""Pictures with matplotlib: every function takes Axes, or makes them, and returns them."""

from popglm.plot.activity import predicted_and_recorded
from popglm.plot.animals import cell_types, group_averages, type_stability
from popglm.plot.calibrated import calibration
from popglm.plot.ceilings import noise_ceiling
from popglm.plot.comparison import breakdown_and_comparison, full_and_reduced
from popglm.plot.contributions import contribution_distribution, contributions_over_bins
from popglm.plot.coupled import connectivity
from popglm.plot.design import basis_functions, design_matrix
from popglm.plot.deviance import (
    deviance_cumulative,
    deviance_histogram,
    deviance_over_strengths,
    explained_and_null_deviance,
)
from popglm.plot.inference import coefficients, posterior, time_rescaling
from popglm.plot.kernels import kernel_curves, kernel_image, mean_absolute_kernels
from popglm.plot.latents import latent_couplings
from popglm.plot.maps import place_map
from popglm.plot.session import session_overview
from popglm.plot.stacked import stacked_contributions
from popglm.plot.tuning import psth, tuning_curves

__all__ = [
    "basis_functions",
    "breakdown_and_comparison",
    "calibration",
    "cell_types",
    "coefficients",
    "connectivity",
    "contribution_distribution",
    "contributions_over_bins",
    "design_matrix",
    "deviance_cumulative",
    "deviance_histogram",
    "deviance_over_strengths",
    "explained_and_null_deviance",
    "full_and_reduced",
    "group_averages",
    "kernel_curves",
    "kernel_image",
    "latent_couplings",
    "mean_absolute_kernels",
    "noise_ceiling",
    "place_map",
    "posterior",
    "predicted_and_recorded",
    "psth",
    "session_overview",
    "stacked_contributions",
    "time_rescaling",
    "tuning_curves",
    "type_stability",
]
