"""`LowRankGLM.fit(checkpoint=...)`: the same call goes on where it was ended, and ends with the same bits."""

import warnings
from contextlib import suppress

import numpy as np
import pandas as pd
import pytest
from estimators.low_rank import NAMES, coupled, network, quietly

import popglm as pg
from popglm.io import checkpoints
from popglm.solve.low_rank import descent
from popglm.solve.low_rank.objective import LowRankObjective
from popglm.solve.stream import RowStream

N = 300
COUNTS = network(N)
X = coupled(COUNTS)[0].to_numpy()
GROUPS = np.repeat([f"{name} coupling" for name in NAMES], 2)
SETTINGS = {"low_rank": [0, 2], "n_lambdas": 2, "cv": 2, "feature_groups": GROUPS, "tol": 1e-3}


def fit(data=X, Y=COUNTS, family="poisson", checkpoint=None, **more):
    beside = {name: more.pop(name) for name in ("groups", "sample_weight", "offset") if name in more}
    model = pg.LowRankGLM(family, **{**SETTINGS, **more})
    return quietly(model.fit, data, Y, **beside, checkpoint=checkpoint)


@pytest.fixture
def always(monkeypatch):
    """Keep a state after every descent."""
    monkeypatch.setattr(checkpoints, "LEAST_SECONDS", 0.0)
    monkeypatch.setattr(checkpoints, "SHARE", np.inf)


def counted(monkeypatch, number=None):
    """Count evaluations, and end a fit in one of them."""
    count, evaluate = [0], LowRankObjective.evaluate

    def evaluated(self, weights):
        count[0] += 1
        if count[0] == number:
            raise RuntimeError("cut off")
        return evaluate(self, weights)

    monkeypatch.setattr(LowRankObjective, "evaluate", evaluated)
    return count


def assert_same(one, other):
    for name, value in vars(other).items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(getattr(one, name), value, name)
    for name in ("candidates_", "source_loadings_", "target_loadings_"):
        pd.testing.assert_frame_equal(getattr(one, name), getattr(other, name))


def total(monkeypatch, **more):
    """A fit, and how many evaluations it takes."""
    with monkeypatch.context() as patch:
        count = counted(patch)
        return fit(**more), count[0]


@pytest.mark.thorough(keep=1)
@pytest.mark.parametrize(("family", "share"), [("poisson", 0.1), ("poisson", 0.8), ("negative_binomial", 0.5)])
def test_a_fit_goes_on_after_an_error(tmp_path, monkeypatch, always, family, share):
    plain, n_all = total(monkeypatch, family=family)
    with monkeypatch.context() as patch:
        counted(patch, int(share * n_all))
        with pytest.raises(RuntimeError, match="cut off"):
            fit(family=family, checkpoint=tmp_path)
    with monkeypatch.context() as patch:
        count = counted(patch)
        assert_same(fit(family=family, checkpoint=tmp_path), plain)
        # what was done is not done again, but for one descent and the ends of others
        assert count[0] < (1.15 - share) * n_all + 30
    with monkeypatch.context() as patch:
        counted(patch, 1)
        assert_same(fit(family=family, checkpoint=tmp_path), plain)


@pytest.mark.thorough
def test_of_a_stream_and_every_kind_of_input(tmp_path, monkeypatch, always):
    rng = np.random.default_rng(0)
    more = {"sample_weight": rng.uniform(0.5, 1.5, N), "offset": rng.normal(0, 0.2, N), "groups": np.arange(N) // 30}
    more |= {
        "Y": COUNTS.mask(np.arange(N)[:, None] + np.arange(8) < 20),
        "lambdas": [0.1],
        "ridge": [0.1, 0.01],
        "low_rank": 1,
    }

    def stream(memory=5_000):
        return RowStream(X.astype(np.float32), memory=memory)

    plain, n_all = total(monkeypatch, data=stream(), **more)
    with monkeypatch.context() as patch:
        counted(patch, n_all // 2)
        with pytest.raises(RuntimeError, match="cut off"):
            fit(stream(), checkpoint=tmp_path, **more)
    assert_same(fit(stream(), checkpoint=tmp_path, **more), plain)
    with pytest.raises(ValueError, match=r"X was .* in blocks of .* rows \(now .* rows\)"):
        fit(stream(9_000), checkpoint=tmp_path, **more)


def test_one_fit_without_folds(tmp_path, monkeypatch):
    plain = fit(low_rank=1, lambdas=0.05)
    assert_same(fit(low_rank=1, lambdas=0.05, checkpoint=tmp_path), plain)
    counted(monkeypatch, 1)
    assert_same(fit(low_rank=1, lambdas=0.05, checkpoint=tmp_path), plain)


def test_a_fit_that_is_cut_off_again_and_again_ends_with_the_same_bits(tmp_path, monkeypatch, always):
    monkeypatch.setattr(descent, "RENEW", 5)
    job = {"low_rank": 3, "lambdas": 0.02, "own": "low_rank"}
    plain, n_all = total(monkeypatch, **job)
    ended, n_calls = None, 0
    while ended is None:
        n_calls += 1
        with monkeypatch.context() as patch, suppress(RuntimeError):
            counted(patch, 25)
            ended = fit(**job, checkpoint=tmp_path)
        assert n_calls < n_all
    assert n_calls > 5
    # evaluations are counted on, too
    assert_same(ended, plain)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A folder of a fit that has ended."""
    path = tmp_path_factory.mktemp("fits") / "fit"
    fit(checkpoint=path)
    return path


@pytest.mark.parametrize(
    ("what", "more"),
    [
        ("X had other values", {"data": np.where(X[299, 5] == X, 0, X)}),
        ("y had other values", {"Y": COUNTS[::-1].reset_index(drop=True)}),
        ("offset was none", {"offset": np.ones(N)}),
        (r"low_rank was \[0, 2\] .now \[0, 1\]", {"low_rank": [0, 1]}),
        ("lambdas was none", {"lambdas": [0.1]}),
        (r"ridge was \[0.01\] .now \[0.1\]", {"ridge": 0.1}),
        ("detours was 1 .now 0", {"detours": 0}),
        ("se_fraction was 0 .now 1", {"se_fraction": 1.0}),
        ("own was free .now zero", {"own": "zero"}),
        (r"the folds \(cv and groups\) were 2 folds \(now 3 folds\)", {"cv": 3}),
        ("family was poisson .now gaussian", {"family": "gaussian"}),
        ("feature_mask was none .now bool", {"feature_mask": np.arange(64).reshape(8, 8) % 7 > 0}),
    ],
)
def test_another_call_is_refused_with_what_differs(kept, what, more):
    before = (kept / "fit.end.npz").read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ValueError, match=rf"holds another fit, in which .*{what}.*give another folder"):
            fit(**more, checkpoint=kept)
    assert (kept / "fit.end.npz").read_bytes() == before
    with pytest.raises(TypeError, match="checkpoint must be the name of a folder"):
        fit(checkpoint=3)
