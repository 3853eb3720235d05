"""Recipes: what they say, and what is told of one that says something wrong."""

import pytest

import popglm as pg
from popglm.analysis.recipe import line_of, parse_recipe, read_recipe

GOOD = """\
clock_scale.wheel = 0.0005
neurons = "iscell"

[data]
path = "session.nwb"
activity = ["plane_0", "plane_1"]
activity_scale = 10

[trials]
source = "trials"
where = "included"

[variables]
position = {source = "place.forward", scale = 100}
cue = {source = "trials.is_cueB", scale = 2, offset = -1}
corr = "trials.is_correct"
lick = "licks"

[[terms]]
basis = "bumps"
variable = "position"
n = 20
low = 10
high = 250
times = ["cue", "corr"]

[[terms]]
basis = "kernel"
variable = "lick"
of = {basis = "bumps", n = 4, low = 0, high = 1}

[model]
family = "poisson"
penalty = "group_lasso"
lambdas = [0.1, 0.01]
cv = 5

[test]
fraction = 0.2
seed = 3

[explain]
compare = true
variables = {cue = "* × cue", corr = ["* × corr"]}

[explain.by.position]
low = 0
high = 250
n = 25
unit = "cm"
"""


def parsed(text, tmp_path):
    return parse_recipe(text, tmp_path / "recipe.toml")


def test_a_recipe_says_what_it_says(tmp_path):
    recipe = parsed(GOOD, tmp_path)
    content = recipe.content
    assert content.clock_scale == {"wheel": 0.0005}
    assert content.data.activity == ["plane_0", "plane_1"]
    assert content.variables["cue"].offset == -1
    assert content.test.seed == 3
    assert content.explain.by["position"].n == 25
    assert recipe.source == str((tmp_path / "session.nwb").resolve())
    assert recipe.variables_read() == ["position", "cue", "corr", "lick"]


def test_a_byte_order_mark_is_no_part_of_a_recipe(tmp_path):
    (tmp_path / "recipe.toml").write_text(GOOD, encoding="utf-8-sig")
    assert read_recipe(tmp_path / "recipe.toml").text == GOOD


def test_its_design_is_that_of_the_same_terms_in_python(tmp_path):
    position = pg.bumps("position", n=20, low=10, high=250)
    kernel = pg.kernel("lick", pg.bumps("lag", 4, 0, 1), dt=0.1)
    terms = [position, position * "cue", position * "corr", kernel]
    assert list(map(repr, parsed(GOOD, tmp_path).design(0.1).terms)) == list(map(repr, terms))


def shifted(options, tmp_path):
    """The terms of a recipe of lags, at bins of 0.1 s."""
    text = f'data.path = "session.nwb"\n[[terms]]\n{options}'
    return list(map(repr, parsed(text, tmp_path).design(0.1).terms))


@pytest.mark.parametrize("lags", [[-0.2, 0.0, 0.3], [0, 1, 2]])
def test_lags_are_seconds_whether_whole_or_not(lags, tmp_path):
    for named in ("variable", "of"):
        expected = [repr(pg.shifts("speed", lags, dt=0.1))]
        assert shifted(f'basis = "shifts"\n{named} = "speed"\nlags = {lags}', tmp_path) == expected


def test_lags_within_a_second_are_no_fault_of_a_recipe(tmp_path):
    options = 'basis = "kernel"\nvariable = "lick"\nof = {basis = "bumps", n = 3, low = 0.2, high = 0.6}'
    assert shifted(options, tmp_path) == [repr(pg.kernel("lick", pg.bumps("lag", 3, 0.2, 0.6), dt=0.1))]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("lags = [0, 1]", r"line 2 \(terms\[0\]\): shifts needs variable or of$"),
        ('variable = "speed"\nof = "speed"\nlags = [0, 1]', "give variable or of, not both"),
        ('variable = "speed"\nlags = [0.5, 0.5]', "two lags fall on the same sample"),
    ],
)
def test_lags_that_cannot_be_are_told(options, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        shifted(f'basis = "shifts"\n{options}', tmp_path)


def test_a_term_may_stand_for_its_products_alone(tmp_path):
    text = GOOD.replace('times = ["cue", "corr"]', 'times = ["cue"]\nalone = false')
    assert [term.name for term in parsed(text, tmp_path).design().terms] == ["position × cue", "lick kernel"]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("[model]", "[modle]", r"line 32 \(modle\): 'modle' is not known here; nearest names: 'model'"),
        ("n = 20", "m = 20", r"line 22 \(terms\[0\].m\): 'm' is not known here; nearest names: .*'n'"),
        ('basis = "bumps"\nvar', 'basis = "bump"\nvar', r"\(terms\[0\].basis\): 'bump' is not known here; .*'bumps'"),
        ("n = 20\n", "", r"line 19 \(terms\[0\]\): bumps needs n$"),
        ("n = 20", "n = 0", r"line 19 \(terms\[0\]\): .*n must be"),
        ("fraction = 0.2", "fraction = 2", r"line 39 \(test.fraction\): .*less than 1; found 2"),
        ("family", "famly", r"line 33 \(model.famly\): 'famly' is not known here; nearest names: 'family'"),
        ("cv = 5", "feature_mask = [1]", "feature_mask is told by \\[masks\\]"),
        ("scale = 100", "scal = 100", r"line 14 \(variables.position\.?.*\): 'scal' is not known here; .*'scale'"),
        ("scale = 100", "scale = 'a'", r"line 14 \(variables.position.scale\): .*number.*; found 'a'"),
        ('path = "session.nwb"\n', "", r"\(data.*\): 'path' is missing"),
        ("clock_scale.wheel = 0.0005", "clock_scale.wheel = 'x'", r"line 1 \(clock_scale.wheel\)"),
        ('source = "trials"', "source = []", r"line 10 \(trials.source\)"),
        (
            "n = 4, low = 0, high = 1",
            "n = 4, low = -0.2, high = 1",
            r"line 27 \(terms\[1\]\): .*lags below 0 need side='both', or",
        ),
        ("n = 25", "n = 0", r"line 49 \(explain.by.position.n\): .*greater than 0; found 0"),
    ],
)
def test_a_fault_is_told_with_its_line_and_the_nearest_name(old, new, words, tmp_path):
    assert GOOD.count(old) >= 1
    with pytest.raises(ValueError, match=words):
        parsed(GOOD.replace(old, new, 1), tmp_path)


def test_all_faults_are_told_at_once(tmp_path):
    text = GOOD.replace("fraction = 0.2", "fraction = 2").replace("n = 25", "n = 0")
    with pytest.raises(ValueError, match=r"fraction.*\n.*explain\.by\.position\.n"):
        parsed(text, tmp_path)


def test_dt_and_series_exclude_each_other(tmp_path):
    with pytest.raises(ValueError, match=r"line 1 \(grid\): give dt or series, not both"):
        parsed("grid = {dt = 0.1, series = 'a'}\n" + GOOD, tmp_path)


def test_what_is_no_recipe_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="popglm init"):
        read_recipe(tmp_path / "none.toml")
    for content, words in ((b"a = ", "is no TOML"), (b"\xff\xfe\x00", "no text in UTF-8"), (b"", "'data' is missing")):
        (tmp_path / "recipe.toml").write_bytes(content)
        with pytest.raises(ValueError, match=words):
            read_recipe(tmp_path / "recipe.toml")
    (tmp_path / "recipe.toml").write_bytes(b"#" * 2_000_000)
    with pytest.raises(ValueError, match="far more than a recipe"):
        read_recipe(tmp_path / "recipe.toml")


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        (("clock_scale", "wheel"), 1),
        (("data",), 4),
        (("data", "activity"), 6),
        (("data", "none"), 4),
        (("variables", "cue", "offset"), 15),
        (("terms", 0, "high"), 24),
        (("terms", 1, "of", "n"), 30),
        (("explain", "by", "position"), 46),
        (("nothing",), None),
    ],
)
def test_lines_of_keys(keys, line):
    assert line_of(GOOD, keys) == line


def test_the_line_of_a_table_of_dotted_keys_is_its_first():
    text = 'a = 1\ntrials.source = 4\ntrials.where = "x"\n'
    assert line_of(text, ("trials",)) == 2
    assert line_of(text, ("trials", "where")) == 3


def test_lines_of_terms_in_one_list():
    text = 'terms = [\n  {basis = "a"},\n  {basis = "b"},\n]\n'
    assert line_of(text, ("terms", 0, "basis")) == 2
    assert line_of(text, ("terms", 1, "basis")) == 3
