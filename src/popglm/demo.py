"""The job of ``popglm demo``: simulate a session, fit, test, draw."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import typer
from rich.console import Console
from rich.table import Table
from sklearn.metrics import d2_tweedie_score
from sklearn.model_selection import GroupShuffleSplit

import popglm as pg
from popglm.plot import deviance_histogram, deviance_over_strengths, predicted_and_recorded
from popglm.simulated_maze import MazeSession, maze_design, maze_session

__all__ = ["run_demo"]

# a tenth of a percent of the null deviance: far below what a picture or a held-out figure shows
DEMO_TOL = 1e-3
LAMBDAS = 10.0 ** np.linspace(-1, -6, 11)
TEST_FRACTION = 0.15  # of the trials
SAMPLING_RATE = 6.0  # Hz
N_NEURONS_SHOWN = 5
SECONDS_SHOWN = 120


@dataclass(frozen=True)
class _Split:
    """The session cut by trials, as design matrices; X, Y: DataFrames of (n_samples, ...)."""

    X: pd.DataFrame
    Y: pd.DataFrame
    trial: pd.Series
    X_test: pd.DataFrame
    Y_test: pd.DataFrame
    trial_test: pd.Series


def run_demo(output: Path, n_samples: int, n_neurons: int, n_task_variables: int, folds: int, seed: int) -> None:
    """Do what `popglm.cli.demo` says, and print how it went.

    Raises
    ------
    typer.BadParameter
        If the session is too short to keep a trial for the test, or for so many folds.
    """
    console = Console()
    seconds: dict[str, float] = {}
    with _timed(seconds, "simulate the session"):
        session = maze_session(
            n_samples, n_neurons, n_task_variables=n_task_variables, sampling_rate=SAMPLING_RATE, seed=seed
        )
    with _timed(seconds, "build the design matrix"):
        split = _split(session, n_task_variables, seed)
    if (n_trials := split.trial.nunique()) < folds:
        raise typer.BadParameter(
            f"{folds} folds need as many trials, and {n_trials} are left to fit; give fewer --folds"
        )
    n_groups = split.X.columns.get_level_values("group").nunique()
    console.print(
        f"[bold]{n_samples:,} samples × {split.X.shape[1]:,} columns in {n_groups} groups, {n_neurons:,} neurons[/]; "
        f"{split.trial.nunique():,} trials to fit, {split.trial_test.nunique():,} to test"
    )

    with _timed(seconds, "fit"):
        model = pg.GLMCV(family="poisson", penalty="group_lasso", lambdas=LAMBDAS, cv=folds, tol=DEMO_TOL, verbose=1)
        model.fit(split.X, split.Y, groups=split.trial)
    with _timed(seconds, "evaluate on the test trials"):
        evaluation = _evaluate(model, split, session)
    with _timed(seconds, "write and draw"):
        output.mkdir(parents=True, exist_ok=True)
        model.save(output / "model.nc")
        evaluation.to_csv(output / "evaluation.csv")
        _draw(model, evaluation, split, output)

    best = evaluation["deviance_explained"].sort_values(ascending=False).index[:N_NEURONS_SHOWN]
    for table in (
        _population_table(evaluation),
        _strengths_table(model),
        _neurons_table(model, evaluation.loc[best], split, session),
        _seconds_table(seconds, model.timings_),
    ):
        console.print(table)
    console.print(
        f"{evaluation['n_true_groups_found'].sum():,} of the {evaluation['n_true_groups'].sum():,} groups that truly "
        f"drive the neurons were found; {evaluation['n_groups'].sum():,} groups have weights in all."
    )
    written = ", ".join(sorted(path.name for path in output.iterdir()))
    console.print(f"Written to [bold]{output}[/]: {written}")


@contextmanager
def _timed(seconds: dict[str, float], phase: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    seconds[phase] = time.perf_counter() - began


def _split(session: MazeSession, n_task_variables: int, seed: int) -> _Split:
    """Keep whole trials for the test; the design learns its statistics from the others alone."""
    behavior, activity = session.behavior, session.activity
    if behavior["trial"].nunique() < 2:
        raise typer.BadParameter(f"{len(behavior)} samples are a single trial; give --n-samples 1000 or more")
    splitter = GroupShuffleSplit(n_splits=1, test_size=TEST_FRACTION, random_state=seed)
    fit_rows, test_rows = next(splitter.split(behavior, groups=behavior["trial"]))
    design = maze_design(n_task_variables)
    return _Split(
        X=design.fit_transform(behavior.iloc[fit_rows]),
        Y=activity.iloc[fit_rows],
        trial=behavior["trial"].iloc[fit_rows],
        X_test=design.transform(behavior.iloc[test_rows]),
        Y_test=activity.iloc[test_rows],
        trial_test=behavior["trial"].iloc[test_rows],
    )


def _evaluate(model: pg.GLMCV, split: _Split, session: MazeSession) -> pd.DataFrame:
    """One row per neuron: selection, held-out and test figures, and the comparison with the truth."""
    evaluation = model.evaluate(split.X_test, split.Y_test)
    evaluation.index = pd.Index(split.Y.columns, name="neuron")
    found, true = _active_groups(model, split.X), session.truth.active
    true_rate = session.truth.rate.loc[split.Y_test.index]
    return evaluation.assign(
        true_rate_deviance_explained=_deviance_explained(split.Y_test, true_rate),
        cv_deviance_explained=model.cv_deviance_explained_,
        lambda_=model.lambda_,
        n_groups=found.sum(axis=1),
        n_true_groups=true.sum(axis=1),
        n_true_groups_found=(found & true).sum(axis=1),
    )


def _active_groups(model: pg.GLMCV, X: pd.DataFrame) -> pd.DataFrame:
    """Groups with a weight other than 0, bool (n_neurons, n_groups)."""
    weights = pd.DataFrame(model.coef_ != 0, index=model.neuron_names_, columns=X.columns)
    return weights.T.groupby(level="group", sort=False).any().T


def _deviance_explained(activity: pd.DataFrame, rate: pd.DataFrame) -> pd.Series:
    """Fraction of the Poisson deviance that given rates explain; 0 for a silent neuron."""
    return pd.Series(
        {
            neuron: d2_tweedie_score(y, rate[neuron], power=1) if y.any() else 0.0
            for neuron, y in activity.astype(float).items()
        }
    )


# ---------------------------------------------------------------------------------------------- pictures


def _draw(model: pg.GLMCV, evaluation: pd.DataFrame, split: _Split, output: Path) -> None:
    pictures = {
        "deviance_over_strengths": deviance_over_strengths(model).figure.figure,
        "deviance_histogram": deviance_histogram(evaluation).figure.figure,
        "predicted_and_recorded": _draw_neurons(model, evaluation, split),
    }
    for name, figure in pictures.items():
        figure.savefig(output / f"{name}.png", dpi=120)
        plt.close(figure)


def _draw_neurons(model: pg.GLMCV, evaluation: pd.DataFrame, split: _Split) -> plt.Figure:
    """The best neuron, a good one and the median one over the first test trials, laid end to end."""
    ranked = evaluation["deviance_explained"].sort_values(ascending=False).index
    places = dict.fromkeys([0, len(ranked) // 4, len(ranked) // 2])
    rows = slice(0, int(SECONDS_SHOWN * SAMPLING_RATE))
    recorded, trial = split.Y_test.iloc[rows], split.trial_test.iloc[rows]
    predicted = pd.DataFrame(np.asarray(model.predict(split.X_test.iloc[rows])), columns=split.Y.columns)
    time_s = np.arange(len(recorded)) / SAMPLING_RATE

    figure, axes = plt.subplots(
        len(places), figsize=(7.0, 0.7 + 1.35 * len(places)), sharex=True, squeeze=False, layout="constrained"
    )
    for ax, place in zip(axes[:, 0], places, strict=True):
        neuron = ranked[place]
        predicted_and_recorded(recorded[neuron], predicted[neuron], time_s, ax, trial=trial, unit="a.u.")
        explained = evaluation.loc[neuron, "deviance_explained"]
        ax.set_title(f"{neuron}: {explained:.0%} of the test deviance explained", fontsize="medium", loc="left")
        ax.label_outer()
        # one legend, above the first title, is enough for all
        ax.get_legend().remove()
    axes[-1, 0].set_xlabel("Time in the test trials, end to end (s)")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), frameon=False, ncols=3, loc="outside upper right")
    return figure


# ------------------------------------------------------------------------------------------------ tables


def _population_table(evaluation: pd.DataFrame) -> Table:
    table = Table(title=f"Fraction deviance explained, {len(evaluation):,} neurons", title_justify="left")
    table.add_column("")
    for header in ("median", "mean", "beat the null"):
        table.add_column(header, justify="right")
    for label, column in (
        ("held-out folds", "cv_deviance_explained"),
        ("test trials", "deviance_explained"),
        ("test trials, true rates", "true_rate_deviance_explained"),
    ):
        values = evaluation[column]
        table.add_row(label, f"{values.median():.3f}", f"{values.mean():.3f}", f"{(values > 0).sum():,}")
    return table


def _strengths_table(model: pg.GLMCV) -> Table:
    table = Table(title="Selected strengths", title_justify="left")
    table.add_column("λ", justify="right")
    table.add_column("neurons", justify="right")
    table.add_column("")
    counts = np.bincount(model.lambda_index_, minlength=len(LAMBDAS) + 1)
    # the null model comes after the strengths
    for strength, count in zip([*LAMBDAS, np.inf], counts, strict=True):
        table.add_row(f"{strength:.1e}", f"{count:,}", "█" * round(30 * count / counts.max()))
    return table


def _neurons_table(model: pg.GLMCV, evaluation: pd.DataFrame, split: _Split, session: MazeSession) -> Table:
    """The best neurons with the groups that move them most: standard deviation of their part of the log rate."""
    table = Table(title="Best neurons and their strongest groups (✓: a true one)", title_justify="left")
    table.add_column("neuron", no_wrap=True)
    for header in ("held-out", "test", "true rates"):
        table.add_column(header, justify="right")
    table.add_column("groups", overflow="fold")
    weights = pd.DataFrame(model.coef_, index=model.neuron_names_, columns=split.X.columns)
    labels = split.X.columns.get_level_values("group")
    for neuron, row in evaluation.iterrows():
        true = session.truth.active.loc[neuron]
        contribution = (split.X * weights.loc[neuron]).T.groupby(labels, sort=False).sum().std(axis=1)
        strongest = contribution[contribution >= 0.01].nlargest(4)
        table.add_row(
            str(neuron),
            *(
                f"{row[column]:.3f}"
                for column in ("cv_deviance_explained", "deviance_explained", "true_rate_deviance_explained")
            ),
            ", ".join(f"{group}{' ✓' if true[group] else ''} {spread:.2f}" for group, spread in strongest.items()),
        )
    return table


def _seconds_table(seconds: dict[str, float], of_the_fit: dict[str, float]) -> Table:
    table = Table(title="Seconds by phase", title_justify="left", show_footer=True)
    table.add_column("phase", footer="total")
    table.add_column("seconds", justify="right", footer=f"{sum(seconds.values()):.1f}")
    for phase, value in seconds.items():
        table.add_row(phase, f"{value:.1f}")
        if phase == "fit":
            # "fit" and "total" contain the others
            for part in (part for part in of_the_fit if part not in ("fit", "total")):
                table.add_row(f"  {part}", f"{of_the_fit[part]:.1f}", style="dim")
    return table
