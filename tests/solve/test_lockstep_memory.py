"""Devices short of memory: the same numbers, in smaller parts, with a line in the log."""

import logging
from dataclasses import replace

import numpy as np
import pytest
from test_lockstep import SIZES, make

from popglm.engines import NumpyEngine, get_engine
from popglm.engines.memory import is_out_of_memory
from popglm.solve.lockstep import held_out as lockstep_held_out
from popglm.solve.lockstep.held_out import held_out_in_batches
from popglm.solve.lockstep.null import null_gradient
from popglm.statistics.families import get_family
from popglm.statistics.responses import response_sums

#: As PyTorch, JAX and TensorFlow say it.
COMPLAINTS = (
    "CUDA out of memory. Tried to allocate 2.00 GiB.",
    "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 8589934592 bytes.",
    "OOM when allocating tensor with shape[1500,16384]",
)


class ShortOfMemory(NumpyEngine):
    """Fails where columns × rows of a pass are more than ``most``, or one array has more entries than ``largest``."""

    most, largest, complaint = 0, np.inf, COMPLAINTS[0]

    @classmethod
    def compile(cls, function, *static):
        def call(*arrays):
            # the rows of what a pass has in its middle
            rows = [a.shape[1] for a in arrays if getattr(a, "ndim", 0) == 2 and function.__name__.endswith("_chunk")]
            if rows and len(arrays[0]) * max(rows) > cls.most:
                raise RuntimeError(cls.complaint)
            return function(*static, *arrays)

        return call

    def asarray(self, a):
        if np.size(a) > self.largest:
            raise RuntimeError(self.complaint)
        return super().asarray(a)


def short(most, largest=np.inf, complaint=COMPLAINTS[0]):
    """An engine with little memory, of a class of its own."""
    limits = {"most": most, "largest": largest, "complaint": complaint}
    return type("Short", (ShortOfMemory,), limits)("float64")


def longer(**settings):
    """A problem of 1,920 rows."""
    problem = make(**settings)
    return replace(
        problem,
        X=np.tile(problem.X, (8, 1)),
        **{
            name: None if (a := getattr(problem, name)) is None else np.tile(a, 8)
            for name in ("Y", "weights", "offset", "counts")
        },
    )


@pytest.mark.parametrize("complaint", COMPLAINTS)
def test_a_walk_finishes_with_smaller_chunks_and_fewer_neurons(caplog, complaint):
    problem = longer()
    expected, _ = problem.walk(NumpyEngine("float64"))
    # 3 neurons × 4 fits and one chunk of all 1,920 rows are too many; 6 columns × 256 rows are not
    with caplog.at_level(logging.WARNING, logger="popglm"):
        paths, _ = problem.walk(short(6 * 256, complaint=complaint))
    assert "chunks of" in caplog.text
    assert "neurons at a time" in caplog.text
    for path, same in zip(paths, expected, strict=True):
        np.testing.assert_allclose(path.objective, same.objective, atol=1e-5)
        assert (path.gap <= 1e-6).all()
    with pytest.raises(RuntimeError, match=r"(?i)memory|OOM"):
        problem.walk(short(0, complaint=complaint))


def test_other_errors_are_no_lack_of_memory():
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not is_out_of_memory(ValueError("no room for improvement"))
    assert is_out_of_memory(MemoryError())


def path_of(problem, rng):
    """Weights and intercepts of three strengths."""
    q, p = len(problem.Y), problem.X.shape[1]
    return rng.normal(0, 0.2, (3, q, p)), rng.normal(0, 0.1, (3, q))


def deviance_by_hand(problem, ranges, W, b):
    rows = np.concatenate([np.arange(*pair) for pair in ranges])
    eta = W @ problem.X[rows].T + b[..., None]
    eta = eta if problem.offset is None else eta + problem.offset[rows]
    unit = problem.loss.deviance(eta, problem.Y[:, rows])
    return (unit if problem.weights is None else problem.weights[:, rows] * unit).sum(axis=-1)


@pytest.mark.parametrize("extras", [False, True], ids=["plain", "weights and offset"])
@pytest.mark.parametrize("family", ["poisson", "bernoulli", "gaussian"])
def test_held_out_deviance_in_batches_is_the_sum_of_unit_deviances(family, extras, monkeypatch, caplog):
    # nine columns in two batches of five, the last column twice
    monkeypatch.setattr(lockstep_held_out, "MOST_COLUMNS", 6)
    link = {"poisson": "exp", "bernoulli": "sigmoid", "gaussian": "identity"}[family]
    problem = replace(longer(family=family, link=link, extras=extras), loss=get_family(family, link))
    W, b = path_of(problem, np.random.default_rng(0))
    data = problem.loss, problem.X, problem.Y, problem.weights, problem.offset
    for ranges in ([(300, 1700)], [(0, 700), (900, 1920)]):
        expected = deviance_by_hand(problem, ranges, W, b)
        found = held_out_in_batches(NumpyEngine("float64"), *data, ranges, W, b)
        np.testing.assert_allclose(found, expected, rtol=1e-10)
        assert not caplog.text
        # room for two columns and one tile of rows, and never for X whole
        with caplog.at_level(logging.WARNING, logger="popglm"):
            engine = short(2 * 256, largest=sum(SIZES) * 512)
            np.testing.assert_allclose(held_out_in_batches(engine, *data, ranges, W, b), expected, rtol=1e-10)
        for line in ("chunks of 256 rows", "copying them chunk by chunk", "2 columns at a time"):
            assert line in caplog.text
        caplog.clear()
    with pytest.raises(RuntimeError, match="out of memory"):
        held_out_in_batches(short(255), *data, ranges, W, b)


@pytest.mark.parametrize("name", ["torch", "jax", "tensorflow"])
def test_held_out_deviance_in_batches_on_every_engine(name):
    pytest.importorskip(name, reason=f"{name} is not installed")
    problem = longer(extras=True)
    W, b = path_of(problem, np.random.default_rng(0))
    expected = deviance_by_hand(problem, [(300, 1700)], W, b)
    data = problem.loss, problem.X, problem.Y, problem.weights, problem.offset
    for precision, rounding in (("float64", 1e-10), ("float32", 1e-5)):
        engine = get_engine(name, "cpu", precision)
        with engine.session():
            found = held_out_in_batches(engine, *data, [(300, 1700)], W, b)
        np.testing.assert_allclose(found, expected, rtol=rounding)


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_the_gradient_at_the_null_model_is_that_of_the_formula(fit_intercept, caplog):
    problem = longer(q=4)
    problem.Y[2] = 0
    problem.Y[1, 100:] += 1
    sums = response_sums(problem.loss, problem.Y, None, [(0, len(problem.X))])
    data = problem.loss, problem.X, problem.Y, None, None
    mean = problem.Y.mean(axis=1, keepdims=True) if fit_intercept else 1.0
    expected = (mean - problem.Y) @ problem.X / len(problem.X)
    # a silent neuron is not fitted
    expected[2] = 0
    found, _ = null_gradient(NumpyEngine("float64"), *data, sums, fit_intercept)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    with caplog.at_level(logging.WARNING, logger="popglm"):
        found, _ = null_gradient(short(2 * 256, largest=sum(SIZES) * 512), *data, sums, fit_intercept)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert "2 columns at a time" in caplog.text
