"""Save models as this revision writes them: ``python tests/compatibility/save_models.py NAME``.

To be run once before every change of the files.

Writes ``saved/NAME-*.nc`` and what the models answer, ``saved/NAME.json``. Files stay as they are: later revisions
have to open them.
"""

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

import popglm as pg

SAVED = Path(__file__).parent / "saved"


def recording() -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray, np.ndarray]:
    """X of two groups, counts of three neurons, trials, and exposures; the same in every revision."""
    n = 240
    time = np.arange(n)
    names = [("position", "low"), ("position", "high"), ("speed", "linear")]
    X = np.column_stack([np.sin(time / 9), np.cos(time / 9), np.sin(time / 4.1)])
    X = pd.DataFrame(X, columns=pd.MultiIndex.from_tuples(names, names=["group", "feature"]))
    rate = np.exp(X.to_numpy() @ np.array([[0.8, 0.0, 0.0], [0.3, 0.0, 0.0], [0.0, 0.7, 0.0]]))
    # every count is near its rate, by no random number
    Y = pd.DataFrame(np.floor(rate + ((7 * time[:, None] + 3 * np.arange(3)) % 10) / 10), columns=["a", "b", "c"])
    Y.loc[30:60, "c"] = np.nan
    return X, Y, time // 20, np.where(time % 40 < 20, 0.0, 0.3)


def models() -> dict[str, pg.GLM | pg.GLMCV]:
    """A path with an offset, and a cross-validated one in another family."""
    X, Y, trial, offset = recording()
    lambdas = [0.3, 0.03, 0.003]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = pg.GLM(penalty="group_lasso", lambdas=lambdas).fit(X, Y, offset=offset)
        chosen = pg.GLMCV("gaussian", penalty="elastic_net", l1_ratio=0.3, lambdas=lambdas, cv=4)
        chosen.fit(X, Y - Y.mean(), groups=trial)
    return {"path": path, "cross-validated": chosen}


def answers(model: pg.GLM | pg.GLMCV) -> dict[str, list]:
    """What a model says of the recording."""
    X, _, _, offset = recording()
    offset = offset if model.fitted_with_offset_ else None
    found = {
        "predict": model.predict(X.iloc[:5], offset=None if offset is None else offset[:5]),
        "lambda_": model.lambda_,
        "coef_": model.coef_,
        "gap_": model.gap_,
        "neuron_names_": model.neuron_names_,
        "feature_group_names_": model.feature_group_names_,
    }
    if isinstance(model, pg.GLMCV):
        found |= {
            "predict_held_out": np.asarray(model.predict_held_out(X))[:5],
            "cv_deviance_explained_": model.cv_deviance_explained_,
            "strongest_within_an_error": model.select(se_fraction=1.0).lambda_,
        }
    return {name: np.asarray(value).tolist() for name, value in found.items()}


def main(name: str) -> None:
    """Write both models and their answers."""
    SAVED.mkdir(exist_ok=True)
    expected = {}
    for kind, model in models().items():
        model.save(SAVED / f"{name}-{kind}.nc")
        expected[kind] = answers(model)
    (SAVED / f"{name}.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
