"""What a fit must leave alone, what cannot be found, and where libraries may be imported."""

import io
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import popglm
from popglm import GLM
from popglm.engines import ENGINES, Engine, choose_engine, get_engine


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 3))
    return X, rng.poisson(np.exp(0.5 * X[:, :2]))


def _settings_of(name):
    if name == "torch":
        import torch

        return (
            torch.get_default_dtype(), torch.get_default_device(), torch.get_num_threads(), torch.is_grad_enabled(),
            torch.get_num_interop_threads(), torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32,
            torch.get_float32_matmul_precision(), torch.are_deterministic_algorithms_enabled(),
        )  # fmt: skip
    if name == "jax":
        import jax

        return (
            jax.config.jax_enable_x64, jax.config.jax_default_matmul_precision, jax.config.jax_default_device,
            jax.numpy.asarray(1.0).dtype, jax.config.jax_platforms,
        )  # fmt: skip
    import tensorflow as tf

    return (
        tf.constant(1.0).dtype, tf.config.threading.get_intra_op_parallelism_threads(),
        tf.config.threading.get_inter_op_parallelism_threads(), tf.executing_eagerly(),
        tf.config.experimental.tensor_float_32_execution_enabled(), tf.constant(1.0).device,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["torch", "jax", "tensorflow"])
@pytest.mark.parametrize("precision", ["float64", "tf32"])
def test_a_fit_changes_no_setting(data, name, precision):
    pytest.importorskip(name)
    from threadpoolctl import threadpool_info, threadpool_limits

    def state():
        pools = [(pool["filepath"], pool["num_threads"]) for pool in threadpool_info()]
        return _settings_of(name), pools, np.geterr()

    get_engine(name)  # what importing a library changes is not the fit's doing
    # more than the one thread that a fit needs
    with threadpool_limits(2, user_api="blas"):
        before = state()
        GLM(lambdas=[0.1], engine=name, precision=precision).fit(*data).predict(data[0])
        assert state() == before
        with pytest.raises(ValueError, match="negative"):
            GLM(lambdas=[0.1], engine=name).fit(data[0], -1.0 * data[1])
        assert state() == before


def test_settings_are_put_back_when_a_fit_fails(data, monkeypatch):
    jax = pytest.importorskip("jax")

    class Broken(io.StringIO):
        """A screen that fails when the fit, whose settings hold by then, wants to draw a bar."""

        def isatty(self):
            assert jax.config.jax_enable_x64
            raise RuntimeError("stop")

    monkeypatch.setattr("sys.stderr", Broken())
    before = _settings_of("jax")
    with pytest.raises(RuntimeError, match="stop"):
        GLM(engine="jax").fit(*data)
    assert _settings_of("jax") == before


def test_engines_live_side_by_side(data):
    pytest.importorskip("torch")
    pytest.importorskip("jax")
    engines = [get_engine(name, precision=p) for name, p in (("torch", "float64"), ("jax", "float32"))]
    with engines[0].session(), engines[1].session():
        a, b = (engine.asarray(data[0]) for engine in engines)
        assert (str(a.dtype), str(b.dtype)) == ("torch.float64", "float32")
        assert engines[0].to_numpy(a).dtype == np.float64


def test_only_the_engines_folder_imports_array_libraries():
    source = Path(popglm.__file__).parent
    wanted = re.compile(r"^\s*(import|from)\s+(torch|jax|tensorflow|array_api_compat|cupy)\b", re.MULTILINE)
    found = {file.relative_to(source).parts[0] for file in source.rglob("*.py") if wanted.search(file.read_text())}
    assert found == {"engines"}


def test_importing_popglm_imports_none_of_them():
    code = "import sys, popglm; print([m for m in ('torch', 'jax', 'tensorflow') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["torch", "jax", "tensorflow"])
def test_a_missing_library_is_one_sentence(data, monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=rf'engine=\'{name}\' needs {name}.*pip install "popglm\[{name}\]"$'):
        GLM(engine=name).fit(*data)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"engine": "cupy"}, r"engine='cupy' is unknown; use one of auto, numpy, torch, tensorflow, jax\."),
        ({"engine": None}, "engine=None is unknown"),
        ({"engine": "numpy", "device": "cuda"}, "device='cuda' is not for engine='numpy'"),
        ({"engine": "numpy", "device": 0}, "device=0 must be a string"),
        ({"precision": "bf16"}, "precision='bf16' is unknown"),
    ],
)
def test_unknown_settings_are_named(data, settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        GLM(**settings).fit(*data)


@pytest.mark.parametrize("name", ["torch", "jax", "tensorflow"])
@pytest.mark.parametrize("device", ["cuda:63", "abacus", "cpu:x"])
def test_absent_devices_are_named(data, name, device):
    pytest.importorskip(name)
    with pytest.raises(ValueError, match=f"device='{device}' cannot be used by engine='{name}'; .* cpu.* here"):
        GLM(engine=name, device=device).fit(*data)


def test_auto_takes_the_arrays_then_the_variable_then_numpy(monkeypatch):
    monkeypatch.delenv("POPGLM_ENGINE", raising=False)
    assert choose_engine("auto", np.zeros(2)) == "numpy"
    monkeypatch.setenv("POPGLM_ENGINE", "jax")
    assert choose_engine("auto", np.zeros(2)) == "jax"
    assert choose_engine("numpy", np.zeros(2)) == "numpy"
    torch = pytest.importorskip("torch")
    assert choose_engine("auto", np.zeros(2), torch.zeros(2)) == "torch"
    monkeypatch.setenv("POPGLM_ENGINE", "abacus")
    with pytest.raises(ValueError, match="POPGLM_ENGINE='abacus' is unknown"):
        choose_engine("auto", np.zeros(2))


@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_has_the_members_of_its_protocol_and_no_others(name):
    if name != "numpy":
        pytest.importorskip(name, reason=f"{name} is not installed")
    engine = get_engine(name, None if name == "numpy" else "cpu")
    asked = {member for member in {*vars(Engine), *Engine.__annotations__} if not member.startswith("_")}
    offered = {member for member in dir(engine) if not member.startswith("_")}
    # which compiler PyTorch takes is its own affair
    assert offered - {"compiler"} == asked
