"""Save models of activity with zeros as this revision does: ``python tests/compatibility/save_zeros.py NAME``.

To be run once before every change of the files.

Writes ``saved/NAME-two-parts.nc`` and ``saved/NAME-censored.nc``, and what both answer, ``saved/NAME-zeros.json``.
Files stay as they are: later revisions have to open them.
"""

import json
import sys
import warnings

import numpy as np
from save_models import SAVED, recording

import popglm as pg

KINDS = ("two-parts", "censored")


def models() -> dict[str, pg.TwoPartGLM | pg.GLMCV]:
    """One of each kind, of the columns and neurons of the other saved models."""
    X, counts, trial, _ = recording()
    Y = (counts > 0) * (0.2 + 0.5 * counts + 0.1 * np.abs(X.to_numpy()[:, :1]))
    settings = {"penalty": "group_lasso", "lambdas": [0.1, 0.01, 0.001], "cv": 4}
    found = {
        "two-parts": pg.TwoPartGLM(pg.GLMCV("gamma", **settings)),
        "censored": pg.GLMCV("censored_gaussian", **settings),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {kind: model.fit(X, Y, groups=trial) for kind, model in found.items()}


def answers(found: pg.TwoPartGLM | pg.GLMCV) -> dict[str, list]:
    """What a model says of the recording."""
    X, *_ = recording()
    said = {
        "predict": found.predict(X.iloc[:5]),
        "predict_held_out": found.predict_held_out(X)[:5],
        "neuron_names_": found.neuron_names_,
        "cv_deviance_explained_": found.cv_deviance_explained_,
    }
    if isinstance(found, pg.TwoPartGLM):
        names = ("dispersion_", "cv_dispersion_", "deviance_dispersion_", "cv_log_likelihood_")
        said |= {"events": found.events_.coef_, "amounts": found.amounts_.coef_}
        said |= {"draw": found.draw(X.iloc[:20], seed=0)[0], **{name: getattr(found, name) for name in names}}
    else:
        said |= {"coef_": found.coef_, "lambda_": found.lambda_}
        said |= {"sigma": found.family_parameters_["sigma"], "cv_sigma": found.cv_family_parameters_["sigma"]}
    return {name: np.asarray(value).tolist() for name, value in said.items()}


def main(name: str) -> None:
    """Write the models and their answers."""
    found = models()
    for kind, model in found.items():
        model.save(SAVED / f"{name}-{kind}.nc")
    said = {kind: answers(model) for kind, model in found.items()}
    (SAVED / f"{name}-zeros.json").write_text(json.dumps(said, indent=1) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
