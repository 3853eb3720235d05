"""Every picture against the results of every function that explains: it draws them, or says in one sentence why not."""

import traceback
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from statistics_results import (
    averages,
    calibration_dataset,
    ceiling_table,
    connectivity_dataset,
    decoded_dataset,
    latent_dataset,
    quantiles_dataset,
    types_dataset,
    wald_dataset,
)

import popglm as pg
from popglm import plot

N = 300
#: What each picture draws; all else is refused.
DRAWS = {
    "basis_functions": {"term"},
    "connectivity": {"connectivity"},
    "contribution_distribution": {"breakdown", "comparison", "breakdown by bins"},
    "contributions_over_bins": {"breakdown by bins"},
    "design_matrix": {"X"},
    "deviance_cumulative": {"evaluation", "ceilings"},
    "deviance_histogram": {"evaluation", "ceilings"},
    "deviance_over_strengths": {"model"},
    "explained_and_null_deviance": {"evaluation"},
    "full_and_reduced": {"breakdown", "breakdown by bins", "comparison"},
    "kernel_curves": {"kernels of a group"},
    "kernel_image": {"kernels of a group"},
    "mean_absolute_kernels": {"kernels of a group"},
    "place_map": {"tuning", "predicted tuning"},
    "psth": {"psth"},
    "tuning_curves": {"tuning", "predicted tuning"},
    "calibration": {"calibration"},
    "cell_types": {"types"},
    "coefficients": {"weights"},
    "group_averages": {"averages"},
    "noise_ceiling": {"ceilings"},
    "latent_couplings": {"latent signals"},
    "posterior": {"posterior"},
    "stacked_contributions": {"breakdown", "breakdown by bins", "comparison"},
    "time_rescaling": {"rescaled"},
    "type_stability": {"types"},
}
#: With a second argument that is right.
PAIRS = {
    "breakdown_and_comparison, first": {"breakdown", "breakdown by bins"},
    "breakdown_and_comparison, second": {"comparison"},
    "session_overview, first": {"session"},
    "session_overview, second": {"X"},
    "predicted_and_recorded, first": set(),
    "predicted_and_recorded, second": set(),
}


@pytest.fixture(scope="module")
def results():
    rng = np.random.default_rng(0)
    session, trial = {"x": rng.uniform(0, 10, N), "cue": rng.choice([-1.0, 1.0], N)}, np.arange(N) // 20
    design = pg.Design([pg.bumps("x", n=4, low=0, high=10), pg.linear("cue")])
    X, Y = design.fit_transform(session), rng.poisson(np.exp(0.3 * session["cue"]), (3, N)).T
    model = pg.GLMCV(lambdas=[0.1, 0.01], cv=3).fit(X, Y, groups=trial)
    bins = pg.bins(session["x"], [2, 5, 8], 3, name="x")
    kernels = pg.kernels(model, design, n_points=5)
    return {
        "term": pg.linear("x").fit(pg.design.variables.SessionVariables(session, ["x"])),
        "design": design,
        "session": session,
        "X": X,
        "model": model,
        "model as a Dataset": model.to_xarray(),
        "report": design.report_,
        "evaluation": model.evaluate(X, Y),
        "summary": model.summary(),
        "bins": bins,
        "kernels": kernels,
        "kernels of a group": kernels["x"],
        "breakdown": pg.breakdown(model, X, Y, {"x": ["x"]}),
        "breakdown by bins": pg.breakdown(model, X, Y, {"x": ["x"]}, by=bins),
        "comparison": pg.compare(model, X, Y, {"x": ["x"]}),
        "significance": pg.significance(model, X, Y, ["x"], trial=trial, n_shifts=3),
        "tuning": pg.tuning(Y, bins),
        "predicted tuning": pg.predicted_tuning(model, X, Y, bins),
        "psth": pg.psth(Y, trial=trial, before=0, after=3),
        "Y": Y,
        "calibration": calibration_dataset(3),
        "types": types_dataset(),
        "weights": wald_dataset(3),
        "averages": averages(),
        "ceilings": ceiling_table(3),
        "connectivity": connectivity_dataset(3),
        "latent signals": latent_dataset(3),
        "posterior": decoded_dataset(),
        "rescaled": quantiles_dataset(3),
    }


def pictures(results):
    yield from ((name, getattr(plot, name)) for name in DRAWS)
    yield from {
        "breakdown_and_comparison, first": lambda v: plot.breakdown_and_comparison(v, results["comparison"]),
        "breakdown_and_comparison, second": lambda v: plot.breakdown_and_comparison(results["breakdown"], v),
        "session_overview, first": lambda v: plot.session_overview(v, results["Y"]),
        "session_overview, second": lambda v: plot.session_overview(results["session"], v),
        "predicted_and_recorded, first": lambda v: plot.predicted_and_recorded(v, results["Y"][:, 0]),
        "predicted_and_recorded, second": lambda v: plot.predicted_and_recorded(results["Y"][:, 0], v),
    }.items()


def test_all_pictures_are_asked(results):
    assert {name.split(",")[0] for name, _ in pictures(results)} == set(plot.__all__)


@pytest.mark.parametrize("picture", [*DRAWS, *PAIRS])
def test_it_draws_its_own_and_refuses_all_others(picture, results):
    draw = dict(pictures(results))[picture]
    drawn = set()
    for name, value in results.items():
        complaint = None
        try:
            draw(value)
            drawn.add(name)
        except (TypeError, ValueError) as error:
            complaint = error
        plt.close("all")
        if complaint is not None:
            raised_at = traceback.extract_tb(complaint.__traceback__)[-1]
            assert Path(pg.__file__).parent in Path(raised_at.filename).parents, (name, complaint)
            assert raised_at.line.startswith("raise"), (name, complaint)
            assert "\n" not in str(complaint)
    expected = (DRAWS | PAIRS)[picture]
    also = {"Y"} if picture.startswith("session_overview, s") else set()
    assert drawn == expected | also


@pytest.mark.parametrize(
    ("picture", "result", "sentence"),
    [
        (
            "tuning_curves",
            "psth",
            r"tuning must be .*, with 'axis'; .*: popglm\.plot\.psth draws what popglm\.psth",
        ),
        ("place_map", "psth", r"with 'axis'; .*: popglm\.plot\.psth draws what popglm\.psth returns"),
        ("psth", "tuning", r"with 'n_events'; .*: popglm\.plot\.tuning_curves and place_map draw what popglm\.tuning"),
        ("psth", "comparison", r"popglm\.plot\.contribution_distribution and contributions_over_bins draw what popglm"),
        ("tuning_curves", "kernels of a group", r"popglm\.plot\.kernel_curves and kernel_image draw what popglm\.kern"),
        ("kernel_image", "connectivity", r"with 'kernel'; .*: popglm\.plot\.connectivity draws what popglm\.conn"),
        (
            "breakdown_and_comparison, first",
            "comparison",
            r"breakdown must be what popglm\.breakdown returns; found a c",
        ),
    ],
)
def test_it_says_what_draws_them(picture, result, sentence, results):
    with pytest.raises(ValueError, match=sentence):
        dict(pictures(results))[picture](results[result])
