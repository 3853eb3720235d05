"""`torch.compile` behind the engine: once for each set of shapes, and the same results where it cannot be had."""

import logging
import os
import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed; pip install 'popglm[torch]'")

from popglm.engines.torch_compile import Fused, fused  # noqa: E402
from popglm.engines.torch_engine import TorchEngine  # noqa: E402


def weighted(ops, power, a, parts):
    """A pass of the kinds of arguments that the solver has: arrays, tuples of them, and None."""
    xp, (b, c) = ops.xp, parts
    total = xp.sum(a * xp.exp(b), axis=0)
    return (total, b) if c is None else (total * c**power, b)


class Counting:
    """A backend that runs graphs as they are and counts them."""

    def __init__(self):
        self.count = 0

    def __call__(self, graph, inputs):
        self.count += 1
        return graph.forward


@pytest.fixture
def engine():
    made = TorchEngine("float64", "cpu")
    made.compiler = Counting()
    return made


def ours(caplog):
    return [record for record in caplog.records if record.name == "popglm"]


def test_each_set_of_shapes_is_compiled_once(engine):
    run = engine.fuse(weighted, 2.0)
    # PyTorch by itself stops after eight
    for n in range(1, 13):
        for value in (0.5, 1.5):
            a, b = torch.full((n, 2), value, dtype=torch.float64), torch.ones((n, 2), dtype=torch.float64)
            found, same = run(a, (b, 3 * torch.ones(2, dtype=torch.float64)))
            np.testing.assert_allclose(found, np.full(2, n * value * np.e * 9))
            assert torch.equal(same, b)
        assert engine.compiler.count == n
    run(a, (b, None))
    assert engine.compiler.count == 13
    other = TorchEngine("float64", "cpu")
    other.compiler = engine.compiler
    other.fuse(weighted, 2.0)(a, (b, None))
    assert engine.compiler.count == 13
    np.testing.assert_allclose(engine.fuse(weighted, 1.0)(a, (b, b[0]))[0], np.full(2, 12 * 1.5 * np.e))
    assert engine.compiler.count == 14


def test_a_tensor_in_two_places_needs_no_compilation_of_its_own(engine):
    a, b = torch.ones((3, 2), dtype=torch.float64), torch.zeros((3, 2), dtype=torch.float64)
    run = fused(weighted, (type(engine), 1.0), engine.compiler)
    np.testing.assert_allclose(run(a, (a, None))[0], np.full(2, 3 * np.e))
    np.testing.assert_allclose(run(a, (b, None))[0], np.full(2, 3.0))
    assert engine.compiler.count == 1


def test_without_a_compiler_functions_run_as_they_are(caplog):
    def broken(graph, inputs):
        raise RuntimeError("no C++ compiler here")

    engine = TorchEngine("float64", "cpu")
    assert engine.compiler is None
    engine.compiler = broken
    a, b = torch.ones((3, 2), dtype=torch.float64), torch.zeros((3, 2), dtype=torch.float64)
    run = engine.fuse(weighted, 1.0)
    with caplog.at_level(logging.WARNING, logger="popglm"):
        for _ in range(2):
            np.testing.assert_allclose(run(a, (b, None))[0], np.full(2, 3.0))
    assert len(ours(caplog)) == 1
    assert "cannot compile for cpu" in caplog.text
    assert engine.compiler is None
    assert not isinstance(getattr(engine.fuse(weighted, 1.0), "func", None), Fused)


def test_what_is_wrong_with_the_arrays_is_not_blamed_on_the_compiler(engine, caplog):
    a = torch.ones((3, 2), dtype=torch.float64)
    with pytest.raises(RuntimeError, match="size of tensor"):
        engine.fuse(weighted, 1.0)(a, (torch.ones((4, 5), dtype=torch.float64), None))
    assert not ours(caplog)
    assert engine.compiler is not None


def test_running_out_of_memory_is_passed_on(caplog):
    def full(graph, inputs):
        def run(*arrays):
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")

        return run

    engine = TorchEngine("float64", "cpu")
    engine.compiler = full
    a = torch.ones((3, 2), dtype=torch.float64)
    with pytest.raises(torch.cuda.OutOfMemoryError):
        engine.fuse(weighted, 3.0)(a, (a, None))
    assert not ours(caplog)
    assert engine.compiler is full


def test_numbers_and_inverses_need_no_copy_to_the_device(engine):
    a = torch.tensor([[2.0, 1.0], [1.0, -3.0]], dtype=torch.float64)
    np.testing.assert_allclose(engine.xp.maximum(a, 0), [[2, 1], [1, 0]])
    assert engine.xp.maximum(torch.tensor(float("nan")), 0.0).isnan()
    np.testing.assert_allclose(engine.inverse(a[None])[0] @ a, np.eye(2), atol=1e-15)
    # a singular one is no error: the solver looks for what is not finite itself
    assert engine.inverse(torch.zeros((1, 2, 2))).shape == (1, 2, 2)


@pytest.mark.parametrize(("device", "compiler", "waits"), [("cuda:1", "inductor", False), ("mps", None, True)])
def test_what_an_accelerator_is_given(monkeypatch, device, compiler, waits):
    # every device is there
    monkeypatch.setattr(torch, "empty", lambda *shape, device: None)
    made = TorchEngine("float32", device)
    assert (made.device, made.compiler, made.is_accelerator, made.n_streams) == (device, compiler, True, 1)

    class Copied(torch.Tensor):
        def to(self, **how):
            return how

    how = made.asarray(torch.ones(2).as_subclass(Copied))
    assert how == {"device": torch.device(device), "dtype": torch.float32, "non_blocking": not waits}


SWITCHES = {
    "untouched": lambda: None,
    "of old": lambda: setattr(torch.backends.cuda.matmul, "allow_tf32", True),
    "by name": lambda: torch.set_float32_matmul_precision("medium"),
    "new": lambda: setattr(torch.backends.cuda.matmul, "fp32_precision", "tf32"),
}
RESET = """
import os, sys
from test_torch_compile import SWITCHES, TorchEngine, torch

def check(way):
    SWITCHES[way]()
    torch.empty = lambda *shape, device: None  # so that a GPU is there
    engine = TorchEngine("tf32", "cuda")
    products = torch.backends.cuda.matmul
    name = "fp32_precision" if hasattr(products, "fp32_precision") else "allow_tf32"
    before = getattr(products, name)
    with engine.exact_products():
        inside = [getattr(products, name)]
        with engine.fast_products():
            inside.append(getattr(products, name))
        inside.append(getattr(products, name))
    assert inside in (["ieee", "tf32", "ieee"], [False, True, False]), inside
    assert before == getattr(products, name)
    print(way, *(() if way == "new" else (torch.get_float32_matmul_precision(), products.allow_tf32)), sep=", ")

for way in SWITCHES:
    if not os.fork():
        check(way)
        sys.exit()
    assert os.wait()[1] == 0, way
"""


def test_tf32_is_put_back_whichever_switch_was_used():
    # a process for each: PyTorch complains of mixed switches for as long as it lives
    run = subprocess.run(
        [sys.executable, "-c", RESET],
        env=dict(os.environ, PYTHONPATH=os.pathsep.join([os.path.dirname(__file__), *sys.path])),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-2000:]
    then = ["untouched, highest, False", "of old, high, True", "by name, medium, True", "new"]
    assert run.stdout.splitlines() == then
