"""What no fit can take is told before one, with its name and its time, by check and fit alike."""

import numpy as np
import pytest
from analysis_helpers import as_json, run

RECIPE = """\
trials.source = 4

[data]
path = "session.npz"
options = {activity = "Y", signals = ["speed", "choice", "block"], rate = 10}

[[terms]]
basis = "linear"
variable = "speed"

[model]
family = "poisson"
lambdas = [0.1, 0.01]
cv = 2
"""


@pytest.fixture
def told(tmp_path):
    """What check and fit say alike of a recording in which something is otherwise."""

    def say(change, recipe=RECIPE):
        rng = np.random.default_rng(0)
        n = 400
        arrays = {
            "Y": rng.poisson(1.0, (n, 6)).astype(float),
            "speed": rng.normal(size=n),
            "choice": np.where(np.arange(n) % 80 < 40, "left", "right"),
            "block": np.repeat(np.arange(10), 40),
        }
        change(arrays)
        np.savez(tmp_path / "session.npz", **arrays)
        (tmp_path / "recipe.toml").write_text(recipe, encoding="utf-8")
        outputs = [run("check", tmp_path / "recipe.toml"), run("fit", tmp_path / "recipe.toml")]
        assert [output.exit_code for output in outputs] == [1, 1]
        words = [output.stderr.partition("recipe.toml")[2].strip() for output in outputs]
        assert words[0] == words[1]
        assert "Warning" not in outputs[0].output
        assert "look:" not in outputs[1].output
        return words[0]

    return say


def put(name, at, value):
    """A change of one value."""

    def change(arrays):
        arrays[name][at] = value

    return change


def test_infinite_activity_is_told_with_its_neuron_and_time(told):
    words = told(put("Y", (123, 4), np.inf))
    assert words.startswith(", line 3 (data): the activity of neuron '4' holds an infinite value in 1 of 400 bins")
    assert "first at 12.3 s: inf; put NaN there" in words


@pytest.mark.parametrize("dt", [0.03, 0.3, 1])
def test_infinite_activity_is_told_on_another_grid(told, dt):
    def both(arrays):
        # on a coarser grid their sum is unknown
        arrays["Y"][[123, 124], 4] = np.inf, -np.inf

    words = told(both, f"grid.dt = {dt}\n{RECIPE}")
    assert "the activity of neuron '4' holds an infinite value in " in words


def test_negative_activity_is_that_of_the_same_neuron_for_check_and_fit(told):
    words = told(put("Y", ([7, 9], 4), -2))
    assert words.startswith(", line 12 (model.family): the activity of neuron '4' holds a negative value in 2 of 400")
    assert "first at 0.7 s: -2; family='poisson' needs activity ≥ 0" in words


def test_an_infinite_variable_is_told_with_its_time(told):
    words = told(put("speed", 50, -np.inf))
    assert words.startswith(", line 9 (terms[0].variable): '")
    assert "'speed' is infinite in 1 samples, first at 5 s (sample 50); put NaN there" in words


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"speed"\n', '"sped"\n', ", line 9 (terms[0].variable): the session has no variable 'sped'; nearest"),
        ('"linear"\nvariable = "speed"', '"linear"\nvariable = "speed"\ntimes = ["bloc"]', ", line 10 (terms[0].times"),
        ("[model]", '[variables]\nv = "sped"\n[model]', ", line 12 (variables.v): the session has no variable 'sped'"),
        ('"speed"\n', '"choice"\n', ", line 9 (terms[0].variable): variable 'choice' must be numeric"),
        ("[data]", 'neurons = "neuron > 9"\n[data]', ", line 3 (neurons): "),
        ("[data]", 'neurons = "iscel"\n[data]', ", line 3 (neurons): the query 'iscel' asks for 'iscel', which is no"),
        ("[data]", 'neurons = ""\n[data]', ", line 3 (neurons): a query must be text"),
        (
            "[model]",
            '[variables]\nspeed = {source = "speed", where = "sped > 0"}\n[model]',
            ", line 12 (variables.speed.where): the query 'sped > 0' asks for 'sped'",
        ),
        (
            '"speed"\n',
            '"speed"\ntimes = ["block", "choice"]\n',
            ", line 10 (terms[0].times[1]): variable 'choice' must be numeric, but row 0 holds 'left'; for "
            'a term of each category give times = [{basis = "categories", variable = "choice"}]',
        ),
        (
            "[data]",
            "grid.dt = 0.2\n[fit]\noffset = 'sped'\n[data]",
            ", line 5 (fit.offset): the session has no variable",
        ),
    ],
)
def test_names_and_kinds_that_are_wrong_are_told_with_their_line(old, new, words, told):
    assert RECIPE.count(old) == 1
    assert told(lambda _: None, RECIPE.replace(old, new)).startswith(words)


@pytest.mark.parametrize(
    ("strengths", "key", "words"),
    [
        ("n_lambdas = 0", "n_lambdas", "n_lambdas=0 must be at least 1"),
        ("n_lambdas = -6", "n_lambdas", "n_lambdas=-6 must be at least 1"),
        ('n_lambdas = "6"', "n_lambdas", "n_lambdas='6' must be a"),
        ("lambdas = []", "lambdas", "lambdas"),
        ('lambdas = ["1"]', "lambdas", "lambdas"),
        ("cv = 0", "cv", "cv"),
        ('cv = "5"', "cv", "cv"),
        ("lambda_min_ratio = 2", "lambda_min_ratio", "lambda_min_ratio=2"),
        ("max_iter = 0", "max_iter", "max_iter=0 must be at least 1"),
        ('max_iter = "a"', "max_iter", "max_iter='a' must be"),
    ],
)
def test_numbers_of_the_model_that_are_wrong_are_told_with_their_line(strengths, key, words, told):
    text = RECIPE.replace("lambdas = [0.1, 0.01]\ncv = 2", strengths)
    assert told(lambda _: None, text).startswith(f", line 13 (model.{key}): {words}")


@pytest.mark.parametrize(("n_columns", "status"), [(6, 0), (3, 1)])
def test_strengths_of_each_neuron_are_those_of_all(n_columns, status, tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "session.npz", Y=rng.poisson(1.0, (400, 6)).astype(float), speed=rng.normal(size=400))
    text = RECIPE.replace('["speed", "choice", "block"]', '["speed"]')
    text = text.replace("[0.1, 0.01]", f"[{[0.1] * n_columns}, {[0.01] * n_columns}]")
    (tmp_path / "recipe.toml").write_text(text, encoding="utf-8")
    found = run("check", tmp_path / "recipe.toml")
    assert found.exit_code == status
    assert ("lambdas has 3 columns for 6 neurons" in found.stderr) == bool(status)


def test_one_resample_is_refused_before_a_fit(told):
    text = f"{RECIPE}\n[explain]\nbootstrap = 1\n"
    words = ", line 17 (explain.bootstrap): one resample has no spread; give 2 or more, or 0 for none; found 1"
    assert told(lambda _: None, text) == words


def test_text_is_told_how_a_recipe_takes_it(told):
    words = told(lambda _: None, RECIPE.replace('variable = "speed"', 'variable = "choice"'))
    assert 'convert it to numbers or give the term basis = "categories"' in words


def test_the_line_that_mends_text_in_a_product_is_a_recipe(tmp_path, told):
    kernel = (
        'basis = "kernel"\nvariable = "block"\nof = {basis = "bumps", n = 3, low = 0, high = 1}\ntimes = ["choice"]'
    )
    source = RECIPE.replace('basis = "linear"\nvariable = "speed"', kernel)
    words = told(lambda _: None, source)
    assert words.startswith(", line 11 (terms[0].times[0])")
    mended = source.replace('times = ["choice"]', words.rpartition(" give ")[2])
    (tmp_path / "recipe.toml").write_text(mended, encoding="utf-8")
    assert run("check", tmp_path / "recipe.toml").exit_code == 0


def test_words_of_python_are_none_of_a_recipe(told):
    source = RECIPE.replace("trials.source = 4", "trials.source = 'block'")
    words = told(lambda arrays: arrays.update(block=np.full(400, -1)), source)
    assert words.startswith(", line 1 (trials")
    assert "compare popglm check, the trials and the clock" in words


def test_signals_that_look_like_trial_numbers_are_named_where_trials_are_missing(told):
    source = RECIPE.replace("trials.source = 4\n", "").replace("rate = 10", 'trials = "trial", rate = 10')

    def with_trials(arrays):
        # no trial in between
        arrays["trial"] = np.where(np.arange(400) % 40 < 5, -1, np.arange(400) // 40)

    words = told(with_trials, source)
    assert words.startswith("(trials): the session has no table of trials; 'trial', 'block' look like trial numbers: ")
    assert words.endswith('trials.source = "trial"')
    words = told(lambda arrays: arrays.update(trial=between_trials()), source)
    assert words.endswith('trials.source = "trial" and trials.none = 0')


def between_trials():
    """Trial numbers from 1 on, with 0 between trials, as many files of MATLAB have them."""
    return np.where(np.arange(400) % 40 < 5, 0, 1 + np.arange(400) // 40)


@pytest.mark.parametrize("test", ["", "\n[test]\nfraction = 0.5\n"])
def test_a_number_between_trials_is_told_with_the_line_that_says_so(test, tmp_path, told):
    source = RECIPE.replace("trials.source = 4", 'trials.source = "trial"') + test
    source = source.replace("rate = 10", 'trials = "trial", rate = 10')
    words = told(lambda arrays: arrays.update(trial=between_trials()), source)
    assert words.startswith(
        ", line 1 (trials.source): trial variable 'trial' is not contiguous: label 0 comes back in row 40 after "
    )
    assert "if 0 stands for no trial, say so with trials.none = 0; if not, sort" in words
    (tmp_path / "recipe.toml").write_text("trials.none = 0\n" + source, encoding="utf-8")
    assert as_json("check", tmp_path / "recipe.toml")["trials"] == 10


def test_numbers_for_no_trial_are_of_trials_that_have_numbers(told):
    words = told(lambda _: None, "trials.none = 0\n" + RECIPE)
    assert words == (
        ", line 1 (trials.none): trials.none = 0 is for a signal of trial numbers; leave it out, or name one with "
        "trials.source"
    )


def test_counts_that_fall_or_change_with_every_sample_are_no_trials(told):
    def without(arrays):
        arrays["block"], arrays["speed"] = arrays["block"][::-1], np.arange(400)

    words = told(without, RECIPE.replace("trials.source = 4\n", ""))
    assert words.endswith("or the length of blocks in seconds: trials.source = 30")


def test_a_power_of_tweedie_activity(told):
    """A recipe's power is that of the model; one that cannot be is told by check and fit alike."""
    recipe = RECIPE.replace('"poisson"', '"tweedie"\npower = 2.5')
    words = told(lambda arrays: None, recipe)
    assert words.startswith(", line 13 (model.power): power=2.5 must lie between 1 and 2")
    words = told(put("Y", (7, 4), -2.0), recipe.replace("2.5", "1.3"))
    assert "first at 0.7 s: -2; family='tweedie' needs activity ≥ 0" in words
    assert "power=1.3 has no effect under family='poisson'" in told(
        lambda arrays: None, RECIPE.replace('"poisson"', '"poisson"\npower = 1.3')
    )
