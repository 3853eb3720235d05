"""The decisions of the walk, by problems that answer what a test says."""

import numpy as np
import pytest

from popglm import GLM
from popglm.engines import NumpyEngine
from popglm.solve.local_models.quadratic import QuadraticModel
from popglm.solve.objective.evaluation import Evaluation
from popglm.solve.walk import fit
from popglm.solve.walk.problems import Check, Comparison, Problems, at_rest
from popglm.solve.walk.rounds import finished_paths, run_walks
from popglm.solve.walk.walk import Walk
from popglm.statistics.families import get_family
from popglm.statistics.penalties import Penalty


class Answers(Problems):
    """One problem that stands still: its model promises one number, first order another, and points have one loss."""

    has_derivatives = True
    own_model_after = 10**9
    nuisance = None

    def __init__(self, promise, promised=0.0, loss=1.0):
        model = QuadraticModel(NumpyEngine("float64"), np.eye(1), Penalty.make("lasso", None, 0.0, np.array([1])))
        one = np.ones(1)
        super().__init__(
            loss=get_family("poisson"), objective=self, model=model, fittable=np.arange(1), scale=one, magnitude=one,
            unit=one, level=0 * one, at=at_rest(0 * one, 1), damping=one.copy(), n_samples=np.full(1, 1000),
        )  # fmt: skip
        self.at.loss[:] = 1.0
        self.promise, self.promised, self.ends = promise, promised, loss
        self.moved = 0

    def penalty_value(self, problems, lam):
        return np.zeros(len(problems))

    def weights(self, problems):
        return np.zeros((len(problems), 1))

    def certificate(self, problems, lam):
        return np.full(len(problems), 0.5)

    def open_round(self, problems):
        pass

    def aim_by_models(self, problems, lam, most):
        return np.full(len(problems), self.promise)

    def aim(self, problems, d):
        pass

    def propose(self, problems):
        return problems, np.zeros((len(problems), 1)), np.zeros(len(problems))

    def evaluate(self, problems, W, b):
        found = at_rest(b, 1)
        found.loss[:] = self.ends
        return found

    def compare(self, problems, lam, found: Evaluation):
        zero = np.zeros(len(problems))
        return Comparison(found.loss, zero + self.promised, zero, found.loss - self.at.loss[problems])

    def learn(self, problems, found, learns, accepted):
        self.moved += int(accepted.sum())

    def give_own_models(self, problems):
        return problems[:0]

    def leave_norms(self, problems):
        pass

    def drop_models(self, finished):
        pass


def walked(max_iter=20, **answers):
    problem = Answers(**answers)
    walk = Walk(problem, np.full((1, 1), 0.1), 1e-4, max_iter)
    run_walks([walk])
    return problem, finished_paths(walk)[0]


@pytest.mark.parametrize("promise", [1e5, np.inf, np.nan], ids=str)
def test_steps_of_models_that_were_not_solved_end_no_strength(promise):
    # first order promises nothing, and the model more than rounding: it was not minimised
    _, path = walked(promise=promise)
    assert path.n_iter[0, 0] == 20
    assert path.gap[0, 0] == 0.5


@pytest.mark.parametrize(("damping", "n_iter"), [(1, 3), (16, 10)])
def test_three_steps_that_promise_less_than_rounding_end_a_strength(damping, n_iter):
    # a tolerance that asks for less than rounding; steps that damping makes short promise little anywhere
    problem = Answers(promise=1e-17)
    problem.damping[:] = damping
    walk = Walk(problem, np.full((1, 1), 0.1), 1e-20, 20)
    run_walks([walk])
    assert finished_paths(walk)[0].n_iter[0, 0] == n_iter


def test_a_promise_that_meets_the_tolerance_ends_a_strength_and_is_reported_as_the_tolerance():
    _, path = walked(promise=1e-6)
    assert path.n_iter[0, 0] == 0
    assert path.gap[0, 0] == 1e-4


def test_a_step_must_keep_a_share_of_what_first_order_promised():
    # 1e-4 of the promise: Armijo's rule
    for fall, goes in ((0.9e-4, 0), (1.1e-4, 20)):
        problem, _ = walked(promise=1.0, promised=-1.0, loss=1.0 - fall)
        assert problem.moved == goes


def test_damping_rises_after_steps_that_are_not_taken_and_falls_after_others():
    def damping(max_iter, **answers):
        return walked(max_iter, **answers)[0].damping[0]

    assert damping(3, promise=1.0, promised=-1.0, loss=2.0) == 2**3
    assert damping(2, promise=1.0, promised=-1.0, loss=np.inf) == 16**2
    # of a model that was not solved, a step that does not go down says nothing
    assert damping(3, promise=np.inf, promised=1.0, loss=2.0) == 1
    problem = Answers(promise=1.0, promised=-1.0, loss=0.5)
    problem.damping[:] = 4.0
    run_walks([Walk(problem, np.full((1, 1), 0.1), 1e-4, 1)])
    assert problem.damping[0] == 4 / 1.25


class Rounded(Answers):
    """One whose loss rounding makes too high by so much; its gradients say that every step goes down."""

    def compare(self, problems, lam, found):
        beside = super().compare(problems, lam, found)
        beside.slope[:] = -1e-9
        return beside


def test_a_change_of_the_loss_within_its_rounding_is_taken_from_the_gradients():
    # 32 times 4 epsilons of loss and magnitude
    few = 32 * 4 * np.finfo(float).eps * 2
    for error, goes in ((0.9 * few, 20), (1.1 * few, 0)):
        problem = Rounded(promise=1.0, promised=-1e-9, loss=1.0 + error)
        run_walks([Walk(problem, np.full((1, 1), 0.1), 1e-4, 20)])
        assert problem.moved == goes


class Slow(Answers):
    """One that gets a model of its own after three evaluations, and remembers how many it had by then."""

    own_model_after = 3

    def give_own_models(self, problems):
        self.given = [*getattr(self, "given", []), self.walk.path.n_iter[0, 0]]
        return problems[:0]


def test_a_slow_problem_gets_a_model_of_its_own_and_a_new_one_after_twice_as_many_evaluations():
    problem = Slow(promise=1.0, promised=-1.0, loss=0.5)
    problem.walk = Walk(problem, np.full((1, 1), 0.1), 1e-4, 30)
    run_walks([problem.walk])
    assert problem.given == [3, 6, 12, 24]


class Beside(Answers):
    """The same beside a column that is never penalised, along which it can gain so much."""

    def __init__(self, gain, bound, **answers):
        super().__init__(**answers)
        self.gain, self.bound, self.newton = gain, bound, 0

    def can_check(self, problems, lam):
        return np.ones(len(problems), bool)

    def check(self, problems, lam):
        one = np.ones(len(problems))
        return Check(np.full((len(problems), 1), 7.0), self.gain * one, self.bound * one)

    def aim(self, problems, d):
        self.newton += int((d == 7.0).all())


@pytest.mark.parametrize(
    ("gain", "bound", "n_iter", "gap", "newton"),
    [(0.0, 0.3, 0, 1e-4, 0), (1e-3, 0.3, 20, 1e-3, 20), (1e-3, 2e-5, 0, 2e-5, 0), (5e-5, 0.3, 0, 1e-4, 0)],
)
def test_what_columns_without_a_penalty_can_gain_keeps_a_strength_open(gain, bound, n_iter, gap, newton):
    problem = Beside(gain, bound, promise=1e-6, promised=-2 * gain, loss=1.0 - gain)
    walk = Walk(problem, np.full((1, 1), 0.1), 1e-4, 20)
    run_walks([walk])
    (path,) = finished_paths(walk)
    assert path.n_iter[0, 0] == n_iter
    np.testing.assert_allclose(path.gap[0, 0], gap, rtol=0.05)
    assert problem.newton >= newton


def test_no_room_for_models_of_single_problems_is_no_end(monkeypatch):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 60))
    X[:, 1:] += 0.9 * X[:, :-1]
    Y = rng.poisson(np.exp(np.clip(X[:, :20] @ rng.normal(0, 0.3, (20, 12)), -4, 3)))
    given = {"penalty": "group_lasso", "feature_groups": [5] * 12, "lambdas": np.geomspace(0.3, 1e-4, 10)}
    models = []
    for room in (fit.OWN_BYTES, 1.0):
        monkeypatch.setattr(fit, "OWN_BYTES", room)
        models.append(GLM(precision="float64", tol=1e-8, **given).fit(X, Y))
    assert (models[1].n_iter_.sum(axis=0) >= models[0].n_iter_.sum(axis=0)).all()
    np.testing.assert_allclose(models[1].coef_, models[0].coef_, atol=2e-3)
    assert (models[1].gap_ <= 1e-8).all()
