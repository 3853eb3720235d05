"""Feature groups that say what others say: told before a fit, with both names."""

import numpy as np
import pytest
from analysis_helpers import as_json, run
from scipy.linalg import subspace_angles
from sklearn.linear_model import LinearRegression

from popglm.analysis import collinear
from popglm.analysis.collinear import collinearity_of

RNG = np.random.default_rng(4)
N = 2_000


def a_design():
    """Groups of one to four columns that share a part of what they say, in units of their own."""
    shared = RNG.normal(size=(N, 2))
    parts = {
        "a": shared @ RNG.normal(size=(2, 3)) + RNG.normal(size=(N, 3)),
        "b": 100 * (shared @ RNG.normal(size=(2, 4)) + 0.5 * RNG.normal(size=(N, 4))) + 7,
        "c": RNG.normal(size=(N, 1)),
        # shares that add up to 1, as those of B-splines do
        "d": RNG.dirichlet(np.ones(4), N),
    }
    return np.hstack(list(parts.values())), np.repeat(list(parts), [one.shape[1] for one in parts.values()])


def test_shares_are_those_of_least_squares():
    X, groups = a_design()
    found = collinearity_of(X, groups)
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    for group in "abcd":
        own, others = Z[:, groups == group], Z[:, groups != group]
        left = own - LinearRegression().fit(others, own).predict(others)
        assert found.explained[group] == pytest.approx(1 - left.var() / own.var(), abs=1e-6)
    assert found.by == {}


def test_the_most_alike_are_those_at_the_smallest_angle():
    X, groups = a_design()
    centred = X - X.mean(axis=0)
    found = collinearity_of(X, groups)
    assert found.alike[:2] == ("a", "b")
    # one of the columns of "d" follows from the others
    own = {group: centred[:, groups == group][:, :3] for group in "abcd"}
    own["b"] = centred[:, groups == "b"]
    cosines = {(g, h): np.cos(subspace_angles(own[g], own[h]).min()) for g in "abcd" for h in "abcd" if g < h}
    assert max(cosines, key=cosines.get) == ("a", "b")
    assert found.alike[2] == pytest.approx(cosines["a", "b"], abs=1e-6)


def test_a_group_that_says_the_same_is_named():
    X, groups = a_design()
    turned = X[:, groups == "a"] @ RNG.normal(size=(3, 3))
    found = collinearity_of(np.hstack([X, turned]).astype(np.float32), np.append(groups, ["turned"] * 3))
    assert found.by == {"a": ["turned"], "turned": ["a"]}
    assert found.alike == ("a", "turned", pytest.approx(1, abs=1e-5))


def test_groups_that_explain_another_together_are_named():
    X, groups = a_design()
    total = X[:, :1] + 2 * X[:, groups == "c"]
    found = collinearity_of(np.hstack([X, total]).astype(np.float32), np.append(groups, "total"))
    # "a" has more columns than the one that follows from the others
    assert {name: set(others) for name, others in found.by.items()} == {"c": {"a", "total"}, "total": {"a", "c"}}
    assert found.explained["total"] == pytest.approx(1, abs=1e-5)
    assert found.explained["a"] < 0.99


def test_what_cannot_be_told_is_not():
    X, groups = a_design()
    assert collinearity_of(X[:, :3], groups[:3]) is None
    # 12 columns want 24 rows
    assert collinearity_of(X[:23], groups) is None
    assert collinearity_of(X[:24], groups) is not None
    assert collinearity_of(np.zeros((N, 2)), np.array(["a", "b"])) is None
    assert collinearity_of(np.zeros((N, collinear.MOST_COLUMNS + 1)), np.arange(collinear.MOST_COLUMNS + 1)) is None


def test_columns_without_variance_explain_nothing():
    X, groups = a_design()
    found, whole = collinearity_of(np.hstack([X, np.ones((N, 1))]), np.append(groups, "e")), collinearity_of(X, groups)
    assert found == whole


RECIPE = """\
trials.source = 10

[data]
path = "session.npz"
options = {activity = "Y", times = "t", signals = ["cue", "side"], events = {reward = "reward", again = "again"}}

[[terms]]
basis = "kernel"
variable = "reward"
of = {basis = "bumps", n = 3, low = 0, high = 1}

[[terms]]
basis = "categories"
variable = "cue"

[model]
lambdas = [0.1]
cv = 2
"""


@pytest.fixture
def recipe(tmp_path):
    t = np.arange(N) / 10
    reward = np.sort(RNG.uniform(0, 195, 60))
    cue = np.where(np.arange(N) % 200 < 100, "left", "right")
    # left is left for both; for the rest they differ
    side = np.where(cue == "left", cue, np.where(RNG.uniform(size=N) < 0.5, "back", "front"))
    cue = np.where((cue == "right") & (RNG.uniform(size=N) < 0.5), "none", cue)
    arrays = {"Y": RNG.poisson(1, (N, 4)), "t": t, "cue": cue, "side": side}
    np.savez(tmp_path / "session.npz", **arrays, reward=reward, again=reward)

    def written(more=""):
        (tmp_path / "recipe.toml").write_text(RECIPE + more, encoding="utf-8")
        return tmp_path / "recipe.toml"

    return written


AGAIN = """
[[terms]]
basis = "kernel"
variable = "again"
of = {basis = "bumps", n = 3, low = 0, high = 1}
"""


def test_check_names_both_groups_once(recipe):
    facts = as_json("check", recipe(AGAIN))
    lines = [line for line in facts["warnings"] if "kernel" in line]
    assert lines == [
        "'reward kernel' says what 'again kernel' says: 100 % of its variance is explained by other groups, so a fit "
        "cannot tell them apart; leave one of them out"
    ]
    assert facts["explained_by_other_groups"]["again kernel"] == pytest.approx(1, abs=1e-6)
    assert facts["explained_by_other_groups"]["cue"] < 0.1


def test_products_with_every_category_are_no_surprise_beside_the_term(recipe):
    product = 'variable = "reward"\ntimes = [{basis = "categories", variable = "cue"}]'
    path = recipe()
    path.write_text(RECIPE.replace('variable = "reward"', product), encoding="utf-8")
    assert not any("says what" in line for line in as_json("check", path)["warnings"])


def test_check_says_nothing_of_groups_that_differ(recipe):
    facts = as_json("check", recipe())
    assert not any("says" in line or "in common" in line for line in facts["warnings"])
    assert set(facts["explained_by_other_groups"]) == {"reward kernel", "cue"}


def test_check_says_that_groups_of_many_columns_are_not_compared(recipe, monkeypatch):
    monkeypatch.setattr("popglm.analysis.collinear.MOST_COLUMNS", 3)
    facts = as_json("check", recipe())
    assert "explained_by_other_groups" not in facts
    assert "samples are too many" in facts["feature_groups_not_compared"]


def test_a_direction_in_common_is_told(recipe):
    facts = as_json("check", recipe('\n[[terms]]\nbasis = "categories"\nvariable = "side"\n'))
    told = [line for line in facts["warnings"] if "in common" in line or "says" in line]
    assert told == [
        "'cue' and 'side' have a direction in common (canonical correlation 1.000), whose weight a fit may "
        "give to either"
    ]


def test_history_and_coupling_of_a_neuron_are_never_side_by_side(recipe):
    past = 'of = {basis = "bumps", n = 2, low = 0.1, high = 0.5}\n'
    more = f'\n[[terms]]\nbasis = "history"\n{past}\n[[terms]]\nbasis = "coupling"\n{past}'
    facts = as_json("check", recipe(more))
    assert not any("says" in line or "in common" in line for line in facts["warnings"])
    # of the neuron that has most groups: its own history, and coupling from the three others
    assert len(facts["explained_by_other_groups"]) == 2 + 1 + 3


def test_very_many_are_counted(recipe, monkeypatch):
    monkeypatch.setattr(collinear, "MOST_TOLD", 1)
    found = run("check", recipe(AGAIN))
    assert "1 more feature groups say what others say" in found.output


def test_products_of_a_group_say_what_it_says_on_purpose():
    rng = np.random.default_rng(0)
    n = 2_000
    speed, position = rng.normal(size=n), rng.integers(0, 4, n)
    bumps = np.eye(4)[position]
    values = np.column_stack([speed, bumps[:, :3], speed[:, None] * bumps, rng.normal(size=n)])
    groups = np.array(["speed", *["position"] * 3, *["position × speed"] * 4, "cue"])
    found = collinearity_of(values, groups)
    assert found.by == {}
    assert found.explained["speed"] < 0.1
    assert found.alike[2] < 0.5
    # another group with the same is none of its products
    twice = collinearity_of(np.column_stack([values, speed]), np.array([*groups, "pace"]))
    assert twice.by["speed"] == ["pace"]
