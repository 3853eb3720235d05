"""Fits that are stopped between rounds, and go on in objects that are made anew, end with the same bits."""

from dataclasses import dataclass

import numpy as np
import pytest
from kept import Memory, Stopped, resumed

from popglm.engines import NumpyEngine, get_engine
from popglm.solve.first_order import FirstOrder
from popglm.solve.local_models.own import OwnModels
from popglm.solve.local_models.own_spectra import OwnSpectra
from popglm.solve.passes.samples import FitData
from popglm.solve.population import Settings, fit_population
from popglm.solve.walk.fit import Fit
from popglm.solve.walk.walk import Walk
from popglm.statistics.ends import Patience
from popglm.statistics.families import get_family
from popglm.statistics.penalties import Penalty

RNG = np.random.default_rng(5)
N, SIZES, Q = 240, np.array([4, 4, 1, 3]), 5
X = RNG.standard_normal((N, SIZES.sum())).astype(np.float32)
X[:, 5] = X[:, 4] + 0.1 * X[:, 5]
ETA = X @ (RNG.standard_normal((SIZES.sum(), Q)) * 0.4)
# events that crowd in few samples want a model of their own
ETA[:, 0] = 4 * X[:, 0] + 2 * X[:, 4] - 3
MEAN = np.exp(np.clip(ETA - 1, -9, 3))
ACTIVITY = {
    "poisson": RNG.poisson(MEAN).astype(float),
    "bernoulli": (RNG.random((N, Q)) < MEAN / (1 + MEAN)).astype(float),
    "gaussian": ETA + RNG.standard_normal((N, Q)),
    "negative_binomial": RNG.negative_binomial(1.5, 1.5 / (1.5 + MEAN)).astype(float),
    "censored_gaussian": np.maximum(ETA + RNG.standard_normal((N, Q)), 0),
}
MISSING = np.where(RNG.random((N, Q)) < 0.1 * (np.arange(Q) > 2), np.nan, ACTIVITY["poisson"])
TESTED = np.arange(N) // 40 % 2 == 0
SPLITS = [(np.flatnonzero(~held), np.flatnonzero(held)) for held in (TESTED, ~TESTED)]
ADAM = FirstOrder("adam", batch_size=64, check_every=10)


@dataclass(frozen=True)
class Case:
    """A fit to all rows and to two folds."""

    family: str = "poisson"
    penalty: str = "group_lasso"
    link: str | None = None
    smoothness: float = 0.0
    factors: tuple | None = None
    first_order: FirstOrder | None = None
    patience: int | None = None
    missing: bool = False
    masked: bool = False
    start: bool = False
    precision: str = "float32"
    engine: str = "numpy"
    schedule: str = "host"

    def fit(self, checkpoint):
        """All arrays that it ends with."""
        engine = get_engine(self.engine, "cpu" if self.engine != "numpy" else None, self.precision, [])
        factors = None if self.factors is None else np.array(self.factors, float)
        lambdas = None
        if self.penalty == "none":
            lambdas = np.zeros((1, Q))
        allowed = np.arange(len(X.T))[:, None] % 3 != np.arange(Q) % 3 if self.masked else None
        loss = get_family(self.family, self.link)
        settings = Settings(
            loss, Penalty.make(self.penalty, None, self.smoothness, SIZES, factors), lambdas, n_lambdas=3,
            tol=1e-4 if loss.parameters else 1e-6, max_iter=60 if self.first_order is None else 1,
            first_order=self.first_order, allowed=allowed,
            ends=None if self.patience is None else Patience(self.patience),
        )  # fmt: skip
        Y = MISSING if self.missing else ACTIVITY[self.family]
        start = np.full((3, 3, Q, len(X.T)), 0.05) if self.start else None
        with engine.session():
            data = FitData(engine, X, Y, None, None, SPLITS)
            found = fit_population(data, settings, start=start, schedule=self.schedule, checkpoint=checkpoint)
        return {name: array for name, array in found.state().items() if "seconds" not in name}

    def __str__(self):
        return ", ".join(
            f"{name}={value}" for name, value in vars(self).items() if value != vars(Case()).get(name)
        ) or "plain"  # fmt: skip


HOST = [
    Case(),
    Case(penalty="lasso"),
    Case(penalty="ridge"),
    Case(penalty="none"),
    Case("bernoulli", "elastic_net", smoothness=0.01),
    Case("bernoulli", "ridge", smoothness=0.01),
    Case(link="softplus"),
    Case("gaussian"),
    Case("gaussian", "ridge", factors=(0, 1, 1, 2)),
    Case("negative_binomial"),
    Case("censored_gaussian"),
    Case(factors=(0, 1, 1, 2)),
    Case(patience=1),
    Case(missing=True),
    Case(masked=True),
    Case(start=True),
    Case(precision="float64"),
    Case(first_order=ADAM),
    Case(first_order=FirstOrder("sgd", check_every=10)),
    Case("negative_binomial", first_order=ADAM),
]
DEVICE = [
    Case(engine=engine, penalty=penalty, schedule="device")
    for engine in ("numpy", "torch", "jax", "tensorflow")
    for penalty in ("group_lasso", "ridge")
    if (engine, penalty) not in {("torch", "ridge"), ("tensorflow", "ridge")}
]
DEVICE += [
    Case(penalty="lasso", schedule="device"),
    Case(penalty="none", schedule="device"),
    Case("bernoulli", smoothness=0.01, schedule="device"),
    Case("negative_binomial", schedule="device"),
    Case("censored_gaussian", "ridge", schedule="device"),
    Case(link="softplus", start=True, schedule="device"),
    Case(engine="torch"),
    Case(engine="jax"),
    Case(engine="tensorflow"),
]


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    differing = [name for name in expected if found[name].tobytes() != expected[name].tobytes()]
    assert differing == []


@pytest.mark.thorough(keep=6)
@pytest.mark.parametrize("case", [*HOST, *DEVICE], ids=str)
def test_a_fit_that_goes_on_ends_with_the_same_bits(case):
    if case.engine != "numpy":
        pytest.importorskip(case.engine)
    whole = Memory()
    expected = case.fit(whole)
    n_pauses = whole.pauses
    assert n_pauses >= 3
    # stopped again and again, and once; libraries that compile take their time
    often, once = max(n_pauses // 3, 1), int(RNG.integers(max(2, n_pauses // 6), n_pauses))
    stops = [n_pauses // 2] if case.engine != "numpy" else [often, once]
    for stop in stops:
        found, times = resumed(case.fit, stop)
        assert times >= 1
        assert_same(found, expected)


def test_the_cases_have_models_of_problems_own(monkeypatch):
    # what is not in any of them is not tested by them
    seen = set()
    give = Fit.give_own_models

    def noted(self, problems):
        seen.add(type(self.together))
        return give(self, problems)

    monkeypatch.setattr(Fit, "give_own_models", noted)
    for case in (Case(), Case(penalty="lasso"), Case("bernoulli", "elastic_net", smoothness=0.01)):
        case.fit(Memory())
    assert seen == {OwnModels, OwnSpectra, type(None)}


def arrays_of(value, name, found, seen):
    """All arrays that an object reaches, by where they are."""
    if isinstance(value, np.ndarray):
        found[name] = value
        return
    if id(value) in seen or callable(value):
        return
    seen.add(id(value))
    if isinstance(value, dict):
        for key, one in value.items():
            arrays_of(one, f"{name}[{key}]", found, seen)
    elif isinstance(value, list | tuple):
        for i, one in enumerate(value):
            arrays_of(one, f"{name}[{i}]", found, seen)
    elif hasattr(value, "__dict__") and "popglm" in type(value).__module__ and not isinstance(value, NumpyEngine):
        for key, one in vars(value).items():
            arrays_of(one, f"{name}.{key}", found, seen)


def forget_free_slots(found):
    """Set what no problem has for its model any more to 0."""
    prefix, used = "walk.fit.together.", found.get("walk.fit.together.slot", np.zeros(0, int))
    for name in ("G", "V", "values", "vectors", "columns", "norms"):
        if (own := prefix + name) in found and len(used):
            found[own] = np.where(
                np.isin(np.arange(len(found[own])), used).reshape(-1, *[1] * (found[own].ndim - 1)), found[own], 0
            )


#: Made when they are first asked for, by what is given; and what does not outlast a round.
MADE = (
    "_spectrum",
    "_fast_spectrum",
    "_known_kinds",
    "cached",
    "_steps",
    "_target",
    "_moving",
    "_promised",
    "_change",
    ".seen",
    ".trace",
)


@pytest.mark.thorough(keep=1)
@pytest.mark.parametrize(
    "case", [Case(), Case(penalty="lasso"), Case("negative_binomial"), Case(schedule="device")], ids=str
)
def test_every_array_of_a_walk_is_taken_up(case, monkeypatch):
    # two walks of the same fit beside each other: one that went there, and one that was made anew and put there
    for stop in (3, 6, 9):
        walks = []
        begin = Walk.__init__

        def made(self, *arguments, begin=begin, walks=walks, **more):
            begin(self, *arguments, **more)
            walks.append(self)

        monkeypatch.setattr(Walk, "__init__", made)
        memory = Memory(stop)
        with pytest.raises(Stopped):
            case.fit(memory)
        went, walks[:] = walks[-1], []
        memory.store["pauses"], memory.store["stop"] = 0, None
        restored = []
        restore = Walk.restore

        def put(self, state, restore=restore, restored=restored):
            restore(self, state)
            found = {}
            arrays_of(self, "walk", found, set())
            restored.append({name: array.copy() for name, array in found.items()})

        monkeypatch.setattr(Walk, "restore", put)
        case.fit(memory)
        monkeypatch.setattr(Walk, "restore", restore)
        monkeypatch.setattr(Walk, "__init__", begin)
        expected = {}
        arrays_of(went, "walk", expected, set())
        found = restored[-1]
        kept = [name for name in expected if not any(part in name for part in MADE)]
        assert len(kept) > 20
        for arrays in (expected, found):
            forget_free_slots(arrays)
        lost = [name for name in kept if name in found and found[name].tobytes() != expected[name].tobytes()]
        absent = [name for name in kept if name not in found]
        assert (lost, absent) == ([], [])
