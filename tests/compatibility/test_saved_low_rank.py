"""Files of low rank that earlier revisions saved open, and say what they said then."""

import json

import numpy as np
import pytest
from save_low_rank import SAVED, answers

import popglm as pg

FILES = sorted(SAVED.glob("*-low-rank.json"))


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_saved_models_of_low_rank_answer_as_they_did(file):
    expected, model = json.loads(file.read_text()), pg.load(file.with_suffix(".nc"))
    assert model.low_rank == [0, 1, 2]
    found = answers(model)
    for question, answer in expected.items():
        if question.endswith("names_"):
            assert found[question] == answer
        else:
            np.testing.assert_allclose(found[question], answer, rtol=2e-6, err_msg=question)


def test_there_are_files():
    assert FILES
