"""Results that earlier revisions saved open, and say what they said then."""

import json

import numpy as np
import pytest
from save_results import SAVED, answers

import popglm as pg
from popglm.analysis.result import open_result

NAMES = sorted(path.stem for path in SAVED.glob("*-result.json"))


@pytest.mark.parametrize("name", NAMES)
def test_a_saved_result_answers_as_it_did(name):
    expected = json.loads((SAVED / f"{name}.json").read_text(encoding="utf-8"))
    found = answers(open_result(SAVED / f"{name}.nc"))
    assert found.pop("neurons") == expected.pop("neurons")
    for question, answer in expected.items():
        np.testing.assert_allclose(found[question], answer, rtol=1e-12, err_msg=question)
    np.testing.assert_array_equal(pg.load(SAVED / f"{name}.nc").coef_, expected["coef_"])


def test_there_are_results():
    assert NAMES


@pytest.mark.parametrize("name", NAMES)
def test_neurons_have_the_same_labels_in_all_parts(name):
    result = open_result(SAVED / f"{name}.nc")
    share = result.part("contributions")["fraction_explained_deviance"]
    for part, quantity in (("grid", "predicted"), ("neurons", "deviance_explained")):
        assert result.part(part)["neuron"].values.tolist() == share["neuron"].values.tolist()
        assert (result.part(part)[quantity] * share).sizes["neuron"] == share.sizes["neuron"]
