"""A small result before and after it was explained."""

import warnings

import pytest
from recordings import RECIPE, recording

import popglm as pg
from popglm.analysis import running
from popglm.analysis.explaining import explain_result
from popglm.analysis.recipe import parse_recipe
from popglm.analysis.result import make_result


@pytest.fixture(scope="session")
def results(tmp_path_factory):
    """By "bare" and "explained": a result before and after it was explained, and the folder of its recipe."""
    folder = tmp_path_factory.mktemp("recording")
    recipe = parse_recipe(RECIPE, folder / "recipe.toml")
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        # of a silent neuron, and of the test trials that reach a little further
        warnings.simplefilter("ignore", pg.PopglmWarning)
        patch.setattr(running, "read", lambda path, *_, **__: recording())
        data = running.grid_of(recipe, running.session_of(recipe))
        matrices = running.build(recipe, data)
        model = running.fit_recipe(recipe, matrices)
        bare = make_result(recipe, data, matrices, model, None)
        return {"bare": bare, "explained": explain_result(recipe, bare)}


@pytest.fixture(scope="session")
def result(results):
    return results["explained"]
