"""Masks of curves: neurons without a term are fitted as if X had none, and others as before."""

import warnings

import numpy as np
import pandas as pd
import pytest

import popglm as pg

N = 500


@pytest.fixture(scope="module")
def session():
    rng = np.random.default_rng(0)
    return {"phase": rng.uniform(0, 2 * np.pi, N), "speed": rng.uniform(0, 1, N), "cue": rng.choice([-1.0, 1.0], N)}


def made(session, *names):
    terms = {"phase": pg.cyclic_splines("phase", n=7), "speed": pg.splines("speed", n=6), "cue": pg.linear("cue")}
    design = pg.Design([terms[name] for name in names])
    return design, design.fit_transform(session)


@pytest.fixture(scope="module")
def recording(session):
    eta = np.column_stack([np.sin(session["phase"]), 2 * session["speed"] - 1, 0.4 * session["cue"]])
    return made(session, "phase", "speed", "cue")[1], np.random.default_rng(1).poisson(np.exp(eta)).astype(float)


#: Groups × neurons: the second has no phase, the third its cue alone.
MASK = np.array([[1, 0, 0], [1, 1, 0], [1, 1, 1]], bool)
OPEN = [("phase", "speed", "cue"), ("speed", "cue"), ("cue",)]


def fitted(X, Y, **more):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pg.PopglmWarning)
        return pg.SmoothGLM(**more).fit(X, Y)


@pytest.mark.parametrize("more", [{}, {"method": "gcv"}, {"constraints": {"speed": "increasing"}}, {"smoothing": 0.01}])
def test_neurons_are_fitted_to_their_terms_alone(session, recording, more):
    X, Y = recording
    model = fitted(X, Y, feature_mask=MASK, **more)
    for j, names in enumerate(OPEN):
        own = {key: value for key, value in more.items() if key != "constraints" or "speed" in names}
        alone = fitted(made(session, *names)[1], Y[:, [j]], **own)
        columns = np.repeat([name in names for name in ("phase", "speed", "cue")], [7, 6, 1])
        np.testing.assert_allclose(model.coef_[j, columns], alone.coef_[0], atol=1e-6)
        assert not model.coef_[j, ~columns].any()
        np.testing.assert_allclose(model.intercept_[j], alone.intercept_[0], atol=1e-6)
        np.testing.assert_allclose(model.criterion_[j], alone.criterion_[0], rtol=1e-8)
        np.testing.assert_allclose(model.edf_.iloc[j][list(names)], alone.edf_.iloc[0], atol=1e-6)
        strengths = model.smoothing_.iloc[j]
        assert strengths[[name not in names for name, _ in strengths.index]].isna().all()
        np.testing.assert_allclose(strengths.dropna(), alone.smoothing_.iloc[0], rtol=1e-4)


def test_single_columns_may_be_closed_and_count_as_0(recording):
    X, Y = recording
    mask = np.ones((14, 3), bool)
    mask[8:10, 0] = False
    model = fitted(X, Y, feature_mask=mask, smoothing=0.01)
    assert not model.coef_[0, 8:10].any()
    assert model.coef_[1, 8:10].all()
    # the penalised objective is at its minimum along the columns that are open
    eta, own = X.to_numpy() @ model.coef_[0] + model.intercept_[0], model.penalty_of(0)
    slope = X.to_numpy().T @ (np.exp(eta) - Y[:, 0]) / N + own.smooth_gradient(model.coef_[[0]])[0]
    assert np.abs(slope[mask[:, 0]]).max() < 1e-6
    assert np.abs(slope[8:10]).max() > 1e-4


def test_strengths_of_another_fit_are_found_by_their_labels(recording, tmp_path):
    X, Y = recording
    Y = pd.DataFrame(np.column_stack([Y, np.zeros(N)]), columns=["a", "b", "c", "silent"])
    job = {"feature_mask": np.column_stack([MASK, MASK[:, 0]]), "max_iter": 30}
    model = fitted(X, Y, **job)
    strengths = model.smoothing_
    assert strengths.isna().any(axis=None)
    expected = fitted(X, Y, smoothing=strengths.to_numpy(), **job)
    np.testing.assert_allclose(expected.coef_, model.coef_, atol=1e-5)
    for given in (strengths, strengths.iloc[::-1], strengths.iloc[:, ::-1], strengths.sample(frac=1, random_state=0)):
        np.testing.assert_array_equal(fitted(X, Y, smoothing=given, **job).coef_, expected.coef_)
    fitted(X, Y, smoothing=strengths.iloc[::-1, ::-1], **job).save(tmp_path / "model.nc")
    np.testing.assert_array_equal(pg.load(tmp_path / "model.nc").smoothing, strengths)
    everything = Y[["a", "b"]]
    one, same = strengths.loc["a"], strengths.loc["a"].to_numpy()
    np.testing.assert_array_equal(
        fitted(X, everything, smoothing=one.iloc[::-1]).coef_, fitted(X, everything, smoothing=same).coef_
    )
    negative = strengths.copy()
    negative.iloc[0, 0] = -2.0
    for given, message in (
        (strengths.rename(index={"b": "z"}), "smoothing lacks neuron 'b' of the fit and has neuron 'z'"),
        (strengths.iloc[:, 1:], r"smoothing lacks \('phase', '.*'\): its labels must be those of the penalties"),
        (strengths.rename(columns={"phase": "angle"}), r"smoothing lacks \('phase', 'axis 1'\)"),
        (one.rename(index={"cue": "place"}), r"smoothing lacks \('cue', '.*'\)"),
        (pd.concat([strengths, strengths.iloc[:, :1]], axis=1), r"smoothing has \('phase', 'axis 1'\) twice"),
        (negative, r"smoothing of neuron 'a' for 'axis 1' of group 'phase' is -2; it must be finite and above 0"),
        ([1.0] * (strengths.shape[1] - 1) + [-2.0], "smoothing for '.*' of group 'cue' is -2; it must be"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            fitted(X, Y, smoothing=given, **job)


def test_files_and_explanations_know_it(recording, session, tmp_path):
    X, Y = recording
    names = pd.Index(["a", "b", "c"])
    table = pd.DataFrame(MASK, index=["phase", "speed", "cue"], columns=names)
    # rows and neurons in another order are put right
    table = table.loc[["cue", "phase", "speed"], ["c", "a", "b"]]
    given = X[:400], pd.DataFrame(Y[:400], columns=names)
    model = fitted(*given, feature_mask=table)
    np.testing.assert_array_equal(model.coef_, fitted(X[:400], Y[:400], feature_mask=MASK).coef_)
    model.save(tmp_path / "model.nc")
    again = pg.load(tmp_path / "model.nc")
    np.testing.assert_array_equal(again.feature_mask_, model.feature_mask_)
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    coef = model.coef_.astype(float)
    for j in range(3):
        ours, theirs = (one.penalty_of(j).value(coef[[j]], np.zeros(1)) for one in (again, model))
        np.testing.assert_array_equal(ours, theirs)
    found = pg.compare(again, *given, test=(X[400:], pd.DataFrame(Y[400:], columns=names)))
    # what a neuron does not have it has not to lose
    lost = (found["reduced_deviance"] - found["full_deviance"]).values
    np.testing.assert_allclose(lost[~MASK.T], 0, atol=1e-3)
    assert (lost[[0, 1, 2], [0, 1, 2]] > 3).all()


def test_wrong_masks_are_told(recording):
    X, Y = recording
    with pytest.raises(ValueError, match="feature_mask closes all features for neuron 'neuron1'"):
        pg.SmoothGLM(feature_mask=np.array([[1, 0, 1]] * 3, bool)).fit(X, Y)
    with pytest.raises(ValueError, match="feature_mask has 2 columns for 3 neurons"):
        pg.SmoothGLM(feature_mask=MASK[:, :2]).fit(X, Y)
