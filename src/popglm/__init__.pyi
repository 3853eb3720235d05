"""What popglm offers; the package imports each name when it is first asked for."""

from . import plot as plot
from . import recording as recording
from .design import (
    Design,
    bumps,
    categories,
    coupling,
    cyclic_splines,
    formula,
    history,
    kernel,
    linear,
    log_bumps,
    product,
    shifts,
    splines,
    transformed,
)
from .estimators import GLM, GLMCV, load
from .explain import (
    bins,
    bootstrap,
    breakdown,
    calibration,
    compare,
    decode,
    goodness_of_fit,
    kernels,
    likelihood_ratio,
    noise_ceiling,
    predicted_tuning,
    psth,
    shapley,
    significance,
    simulate,
    stability_selection,
    time_rescaling,
    tuning,
    wald,
)
from .io.nwb_results import to_nwb
from .recording import (
    Session,
    Variable,
    contents,
    read_alf,
    read_arrays,
    read_caiman,
    read_intervals,
    read_kilosort,
    read_matlab,
    read_nwb,
    read_pynapple,
    read_suite2p,
    read_table,
)
from .recording.reading import read
from .scale.division import Cluster
from .scale.plan import Plan, plan
from .scale.rows import rows_on_workers
from .scale.sessions import SessionsResult, fit_sessions
from .scale.spreading import dask_map
from .simulated_maze import maze_design, maze_session
from .solve.first_order import FirstOrder
from .solve.stream import RowStream
from .warnings import ConvergenceWarning, PopglmWarning

__version__: str

__all__ = [
    "GLM",
    "GLMCV",
    "Cluster",
    "ConvergenceWarning",
    "Design",
    "FirstOrder",
    "Plan",
    "PopglmWarning",
    "RowStream",
    "Session",
    "SessionsResult",
    "Variable",
    "bins",
    "bootstrap",
    "breakdown",
    "bumps",
    "calibration",
    "categories",
    "compare",
    "contents",
    "coupling",
    "cyclic_splines",
    "dask_map",
    "decode",
    "fit_sessions",
    "formula",
    "goodness_of_fit",
    "history",
    "kernel",
    "kernels",
    "likelihood_ratio",
    "linear",
    "load",
    "log_bumps",
    "maze_design",
    "maze_session",
    "noise_ceiling",
    "plan",
    "predicted_tuning",
    "product",
    "psth",
    "read",
    "read_alf",
    "read_arrays",
    "read_caiman",
    "read_intervals",
    "read_kilosort",
    "read_matlab",
    "read_nwb",
    "read_pynapple",
    "read_suite2p",
    "read_table",
    "rows_on_workers",
    "shapley",
    "shifts",
    "significance",
    "simulate",
    "splines",
    "stability_selection",
    "time_rescaling",
    "to_nwb",
    "transformed",
    "tuning",
    "wald",
]
