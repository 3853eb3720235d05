"""What a recipe says of single neurons, samples and groups: history, coupling, masks, weights and factors."""

import json
import warnings

import numpy as np
import pytest
from analysis_helpers import RECIPE, as_json, run
from sklearn.decomposition import PCA
from sklearn.preprocessing import PolynomialFeatures

import popglm as pg
from popglm.analysis.recipe import parse_recipe
from popglm.analysis.result import fingerprint, make_result, open_result
from popglm.analysis.running import build, fit_recipe, grid_of, session_of
from popglm.scale.merging import merged

HEAD, TAIL = RECIPE.split("[model]")
PAST = """\
[[terms]]
basis = "history"
of = {basis = "log_bumps", n = 2, low = 0.2, high = 1.5}

[[terms]]
basis = "coupling"
sources = "part == 'deconvolved_activity_plane_0'"
exclude = ["plane_0/1"]
of = {basis = "bumps", n = 2, low = 0.2, high = 1}

[masks]
"position*" = "part == 'deconvolved_activity_plane_2'"
pitch = "neuron != 'plane_2/0'"

"""
MODEL = TAIL.replace("cv = 3", 'cv = 3\nprecision = "float64"\ntol = 1e-8')
WHOLE = f"{HEAD}{PAST}[fit]\nsample_weight = 'weight'\noffset = 'shift'\n\n[model]{TAIL}".replace(
    "[variables]\n",
    '[variables]\nweight = {source = "trials.is_correct", offset = 0.5}\n'
    'shift = {source = "trials.is_cueB", scale = 0.1}\n',
)


@pytest.fixture(scope="module")
def made(folder):
    """From the text of a recipe to the recipe, its session on the grid, and what is fitted."""

    def make(text):
        recipe = parse_recipe(text, folder / "recipe.toml")
        data = grid_of(recipe, session_of(recipe))
        return recipe, data, build(recipe, data)

    return make


def fitted(made, text):
    """The model of a recipe."""
    recipe, _, matrices = made(text)
    return fit_recipe(recipe, matrices)


def test_history_coupling_and_masks_are_fits_neuron_by_neuron_to_the_columns_of_each(made):
    recipe, data, matrices = made(f"{HEAD}{PAST}[model]{MODEL}")
    model = fit_recipe(recipe, matrices)
    names = list(map(str, data["neuron"].values))
    assert names == ["plane_2/0", "plane_2/1", "plane_0/0", "plane_0/1"]
    dt = float(data.attrs["bin_width"])
    position = pg.bumps("position", n=6, low=10, high=250)
    own = [pg.history(name, pg.log_bumps("lag", n=2, low=0.2, high=1.5), dt=dt) for name in names]
    others = pg.coupling(["plane_0/0"], pg.bumps("lag", n=2, low=0.2, high=1), dt=dt)
    design = pg.Design([position, position * "cue", pg.linear("pitch"), *own, *others], trial="trial")
    session = data.assign({name: ("time", data["activity"].values[:, j]) for j, name in enumerate(names)})
    X = design.fit_transform(session.isel(time=matrices.fitted))
    assert X.equals(matrices.X)
    hidden = {
        "plane_2/0": {"pitch"}, "plane_0/0": {"position", "position × cue"}, "plane_0/1": {"position", "position × cue"}
    }  # fmt: skip
    for j, name in enumerate(names):
        kept = [group for group in design.for_neuron(name).groups_ if group not in hidden.get(name, ())]
        columns = X.columns.get_level_values("group").isin(kept)
        assert not model.coef_[j, ~columns].any()
        alone = pg.GLMCV(**recipe.content.model).fit(X.loc[:, columns], matrices.Y[:, j], groups=matrices.trial)
        np.testing.assert_allclose(model.coef_[j, columns], alone.coef_, atol=2e-4)
        np.testing.assert_allclose(model.cv_deviance_explained_[j], alone.cv_deviance_explained_, atol=1e-6)


def test_a_recipe_with_all_of_it_is_checked_fitted_explained_and_reported(folder, tmp_path):
    recipe, result = folder / "whole.toml", tmp_path / "result.nc"
    recipe.write_text(WHOLE, encoding="utf-8")
    facts = as_json("check", recipe)
    assert facts["faults"] == []
    assert facts["neurons_per_group"] == {
        "position": 2, "position × cue": 2, "pitch": 3, "plane_2/0 history": 1, "plane_2/1 history": 1,
        "plane_0/0 history": 1, "plane_0/1 history": 1, "plane_0/0 coupling": 3,
    }  # fmt: skip
    assert facts["kinds_of_neurons"] == 4
    assert "plane_0/0 coupling: 3" in run("check", recipe).output
    assert run("fit", recipe, "-o", result).exit_code == 0
    before = open_result(result)
    contributions = before.part("contributions")
    assert contributions["variable"].values.tolist() == ["position", "cue", "pitch", "history", "coupling"]
    hidden = contributions["fraction_explained_deviance"].sel(variable="pitch", neuron="plane_2/0")
    assert (hidden == 0).all()
    assert before.part("unique").sizes["variable"] == 5
    assert len(before.tree["kernels"].children) == 8
    found = run("explain", result, "--recipe", recipe)
    assert found.exit_code == 0, found.output
    np.testing.assert_array_equal(
        open_result(result).part("contributions")["fraction_explained_deviance"],
        contributions["fraction_explained_deviance"],
    )
    found = run("report", result, "-o", tmp_path / "page.html")
    assert found.exit_code == 0, found.output
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "The history of a neuron could explain that neuron alone." in page
    assert "Bins were weighted by the variable “weight”." in page
    assert "The variable “shift” was added to the linear predictor." in page


def test_weights_and_offset_are_those_that_python_fits(made):
    recipe, data, matrices = made(WHOLE)
    model = fit_recipe(recipe, matrices)
    weight = data["weight"].values[matrices.fitted]
    assert set(weight) == {0.5, 1.5}
    direct = pg.GLMCV(**recipe.content.model, feature_mask=matrices.mask)
    direct.fit(
        matrices.X, matrices.Y, groups=matrices.trial, sample_weight=weight,
        offset=0.1 * (data["cue"].values[matrices.fitted] + 1) / 2,
    )  # fmt: skip
    np.testing.assert_allclose(model.coef_path_, direct.coef_path_, atol=1e-6)
    plain = pg.GLMCV(**recipe.content.model, feature_mask=matrices.mask)
    plain.fit(matrices.X, matrices.Y, groups=matrices.trial)
    assert np.abs(model.coef_path_ - plain.coef_path_).max() > 1e-3


def test_blocks_of_neurons_keep_their_masks_weights_and_coupling(made):
    recipe, data, matrices = made(WHOLE)
    results = []
    for some in (slice(0, 3), slice(3, 4)):
        block = matrices.of_neurons(some)
        results.append(make_result(recipe, data.isel(neuron=some), block, fit_recipe(recipe, block), None))
    same = [one.with_about(fingerprint="whole") for one in results]
    model, whole = merged(same).model, fit_recipe(recipe, matrices)
    np.testing.assert_array_equal(model.feature_mask_, whole.feature_mask_)
    np.testing.assert_allclose(model.coef_path_, whole.coef_path_, atol=1e-5)


def test_the_fingerprint_knows_masks_and_weights(made):
    seen = {
        fingerprint(made(text)[2])
        for text in (
            WHOLE, WHOLE.replace("neuron != 'plane_2/0'", "neuron != 'plane_2/1'"),
            WHOLE.replace("offset = 0.5", "offset = 0.6"), WHOLE.replace("offset = 'shift'\n", ""),
        )
    }  # fmt: skip
    assert len(seen) == 4


def test_a_result_is_not_explained_with_other_masks(folder, tmp_path):
    (folder / "masked.toml").write_text(f"{HEAD}{PAST}[model]{TAIL}", encoding="utf-8")
    assert run("fit", folder / "masked.toml", "-o", tmp_path / "result.nc", "--no-explain").exit_code == 0
    (folder / "masked.toml").write_text(f"{HEAD}{PAST}[model]{TAIL}".replace("2/0'", "2/1'"), encoding="utf-8")
    found = run("explain", tmp_path / "result.nc", "--recipe", folder / "masked.toml")
    assert found.exit_code == 1
    assert "in more than [explain]; fit again" in found.output


def test_factors_by_patterns_and_groups_that_are_never_penalised(made):
    factors = '\n[model.penalty_factors]\n"* history" = 3\n"plane_0/1 history" = 0.5\npitch = 0\n'
    recipe, _, matrices = made(f"{HEAD}{PAST}[model]{TAIL}".replace("cv = 3", "cv = 3\n" + factors))
    model = fit_recipe(recipe, matrices)
    expected = {"pitch": 0.0, "plane_0/1 history": 0.5} | {f"plane_{j} history": 3.0 for j in ("2/0", "2/1", "0/0")}
    assert {
        group: factor for group, factor in zip(model.feature_group_names_, model.penalty_factors_, strict=True)
        if factor != 1
    } == expected  # fmt: skip
    # at the largest strength nothing but what is free, and allowed, has a weight
    pitch = matrices.X.columns.get_level_values("group") == "pitch"
    assert not model.coef_path_[0][:, ~pitch].any()
    np.testing.assert_array_equal(model.coef_path_[0][:, pitch].ravel() != 0, [False, True, True, True])


def test_products_of_terms_transformers_and_columns_as_they_are(made):
    text = HEAD.replace('times = ["cue"]', 'times = [{basis = "categories", variable = "cue"}]')
    text += """[[terms]]
basis = "transformed"
variables = ["pitch", "position"]
transformer = {name = "PCA", n_components = 1}

[[terms]]
basis = "transformed"
variables = "pitch"
name = "square"
transformer = {name = "PolynomialFeatures", degree = 2, include_bias = false}

[design]
standardize = false
dtype = "float64"

"""
    recipe, data, matrices = made(f"{text}[model]{TAIL}")
    position = pg.bumps("position", n=6, low=10, high=250)
    design = pg.Design(
        [
            position, position * pg.categories("cue"), pg.linear("pitch"),
            pg.transformed(["pitch", "position"], PCA(1, random_state=0)),
            pg.transformed("pitch", PolynomialFeatures(2, include_bias=False), name="square"),
        ],
        trial="trial", standardize=False, dtype="float64",
    )  # fmt: skip
    assert design.fit_transform(data.isel(time=matrices.fitted)).equals(matrices.X)
    assert (matrices.X.dtypes == np.float64).all()
    assert matrices.mask is None
    fit_recipe(recipe, matrices)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('pitch = "neuron', 'pich = "neuron', r"line \d+ \(masks.pich\): .*no group fits 'pich'. Did you mean 'pitch'"),
        ("plane_2'\"\npitch", "plane_7'\"\npitch", r"\(masks.position\*\): none of 4 neurons meets"),
        ("\"neuron != 'plane_2/0'\"", "\"dept > 3\"", r"\(masks.pitch\): .*'dept', which is no column; .*'depth'"),
        ('exclude = ["plane_0/1"]', 'exclude = ["plane_0/2"]', r"\(terms\[3\]\): exclude names 'plane_0/2'"),
        ("sources = \"part == 'deconvolved_activity_plane_0'\"", "sources = 'depth > 1e9'", "none of 4 neurons meets"),
        ('basis = "history"', 'basis = "history"\nneuron = 3', r"\(terms\[2\]\): neuron must be a query .*; found 3"),
        ('basis = "history"', 'basis = "history"\ntimes = ["cue"]', r"\(terms\[2\]\): history has no products"),
        ('basis = "history"', 'basis = "history"\nnam = "a"', r"'nam' is not known here"),
        ('times = ["cue"]', 'times = [{basis = "history"}]', r"\(terms\[0\].*\): history needs of"),
        ('times = ["cue"]', 'times = [{basis = "linea", variable = "cue"}]', r"'linea' is not known here; .*'linear'"),
        ("[masks]", "[fit]\nofset = 'a'\n[masks]", r"\(fit.ofset\): 'ofset' is not known here; .*'offset'"),
        ("[masks]", "[fit]\noffset = 'none'\n[masks]", "no variable 'none'"),
        ("[masks]", "[design]\nstandardise = true\n[masks]", r"\(design.standardise\): .*'standardize'"),
        ("cv = 3", "cv = 3\npenalty_factors = {piitch = 0}", r"line \d+ \(model.penalty_factors.piitch\): .*'pitch'"),
        ("cv = 3", 'cv = 3\npenalty_factors = {"p*" = 0, "*h" = 1}', "both fit the group 'pitch'"),
        (
            '"linear"\nvariable = "pitch"', '"transformed"\nvariables = "pitch"\ntransformer = "PCAA"',
            r"\(terms\[1\]\): transformer 'PCAA' is not known here; nearest names: 'PCA'",
        ),
        (
            '"linear"\nvariable = "pitch"',
            '"transformed"\nvariables = "pitch"\ntransformer = {name = "PCA", n_component = 1}',
            r"PCA has no argument 'n_component'; nearest names: 'n_components'",
        ),
        ('"linear"\nvariable = "pitch"', '"transformed"\nvariables = "pitch"\ntransformer = 3', "must be a name"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_line_and_the_nearest_name(old, new, words, made):
    text = f"{HEAD}{PAST}[model]{TAIL}"
    assert text.count(old) == 1
    with pytest.raises(ValueError, match=words):
        fitted(made, text.replace(old, new))


def test_a_weight_that_is_unknown_or_no_number_is_told(made):
    for source, words in (
        ('{source = "trials.is_cueB", previous = true}', r"\(fit.sample_weight\): 'weight' is unknown in [\d,]+ of"),
        ('{source = "trials.is_cueB", scale = -1}', r"\(fit.sample_weight\): .*sample_weight"),
    ):
        text = WHOLE.replace('{source = "trials.is_correct", offset = 0.5}', source)
        assert text != WHOLE
        with pytest.raises(ValueError, match=words):
            fitted(made, text)


def test_neurons_without_a_group_are_told_and_fitted_as_the_null_model(folder, tmp_path, made):
    text = f'{HEAD}[masks]\n"*" = "neuron != \'plane_2/0\'"\n\n[model]{TAIL}'
    (folder / "bare.toml").write_text(text, encoding="utf-8")
    facts = as_json("check", folder / "bare.toml")
    assert any("1 neurons have no feature group" in line and "plane_2/0" in line for line in facts["warnings"])
    recipe, _, matrices = made(text)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = fit_recipe(recipe, matrices)
    assert not model.coef_[0].any()
    np.testing.assert_allclose(model.predict(matrices.X)[:, 0], float(np.mean(matrices.Y.values[:, 0])), rtol=1e-5)
    assert json.dumps(facts)
