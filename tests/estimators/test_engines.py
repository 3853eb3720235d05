"""Tensors in, tensors out."""

import numpy as np
import pytest

from popglm import GLM, GLMCV


def tensors(name):
    """A maker of arrays of one library."""
    if name == "torch":
        torch = pytest.importorskip("torch")
        return lambda a: torch.tensor(np.asarray(a))
    if name == "jax":
        return pytest.importorskip("jax").numpy.asarray
    return pytest.importorskip("tensorflow").constant


@pytest.fixture(scope="module")
def recording():
    rng = np.random.default_rng(1)
    X = rng.standard_normal((240, 3)).astype(np.float32)
    Y = rng.poisson(np.exp(0.4 * X[:, :2])).astype(np.float32)
    return X, Y, rng.uniform(0.5, 1.5, len(X)).astype(np.float32), np.repeat(np.arange(24), 10)


@pytest.mark.parametrize("name", ["torch", "jax", "tensorflow"])
def test_tensors_are_taken_everywhere(recording, name):
    make = tensors(name)
    settings = {"penalty": "lasso", "lambdas": [0.1, 0.01], "cv": 3}
    X, Y, weights, trial = recording
    given = [make(a) for a in recording]
    model = GLMCV(**settings).fit(given[0], given[1], sample_weight=given[2], offset=given[2], groups=given[3])
    known = GLMCV(**settings, engine="numpy").fit(X, Y, sample_weight=weights, offset=weights, groups=trial)
    assert isinstance(model.coef_, np.ndarray)
    np.testing.assert_allclose(model.coef_path_, known.coef_path_, atol=2e-3)
    np.testing.assert_array_equal(model.fold_, known.fold_)

    ours = model.evaluate(given[0], given[1], given[2], given[2])
    np.testing.assert_allclose(ours, model.evaluate(X, Y, weights, weights), rtol=1e-6)
    assert model.score(given[0], given[1], offset=given[2]) == pytest.approx(
        model.score(X, Y, offset=weights), rel=1e-6
    )
    for predicted, numpys in (
        (model.predict(given[0], given[2]), model.predict(X, weights)),
        (model.predict_held_out(given[0], given[2]), model.predict_held_out(X, weights)),
    ):
        assert type(predicted) is type(given[0])
        assert predicted.dtype == given[0].dtype
        assert predicted.device == given[0].device
        assert isinstance(numpys, np.ndarray)
        np.testing.assert_allclose(np.asarray(predicted), numpys, rtol=1e-5)
    np.testing.assert_allclose(
        model.predict(X, weights), np.exp(X @ model.coef_.T + model.intercept_ + weights[:, None]), rtol=1e-5
    )


@pytest.mark.parametrize("name", ["torch", "jax", "tensorflow"])
def test_one_neuron_and_other_engines(recording, name):
    """Arrays of one library may be fitted by another's engine; 1-D y works with all."""
    make = tensors(name)
    X, Y, *_ = recording
    one = GLM(lambdas=[0.1]).fit(make(X), make(Y[:, 0]))
    other = GLM(lambdas=[0.1], engine="numpy").fit(make(X), make(Y[:, 0]))
    assert one.coef_.shape == (3,)
    np.testing.assert_allclose(one.coef_, other.coef_, atol=1e-4)
    for model in (one, other):
        predicted = model.predict(make(X))
        assert type(predicted) is type(make(X))
        assert tuple(predicted.shape) == (240,)


def test_tensors_with_a_history_and_in_double_precision(recording):
    torch = pytest.importorskip("torch")
    X, Y, *_ = recording
    tensor = torch.tensor(X, dtype=torch.float64, requires_grad=True)
    model = GLM(lambdas=[0.1]).fit(tensor, Y)
    predicted = model.predict(tensor)
    assert predicted.dtype == torch.float64
    assert not predicted.requires_grad
    half = model.predict(torch.tensor(X, dtype=torch.bfloat16))
    assert half.dtype == torch.bfloat16
    with pytest.raises(ValueError, match="X contains NaN in column 1, first in row 2"):
        model.predict(torch.tensor(np.where(np.arange(720).reshape(240, 3) == 7, np.nan, X)))
