"""Files that earlier revisions saved open, and say what they said then."""

import json

import numpy as np
import pytest
from save_models import SAVED, answers

import popglm as pg

OTHERS = ("-result", "-classes", "-low-rank", "-zeros")
NAMES = sorted(path.stem for path in SAVED.glob("*.json") if not path.stem.endswith(OTHERS))


@pytest.mark.parametrize("kind", ["path", "cross-validated"])
@pytest.mark.parametrize("name", NAMES)
def test_a_saved_model_answers_as_it_did(name, kind):
    expected = json.loads((SAVED / f"{name}.json").read_text())[kind]
    found = answers(pg.load(SAVED / f"{name}-{kind}.nc"))
    for question, answer in expected.items():
        if isinstance(answer[0], str):
            assert found[question] == answer
        else:
            # predictions are float32 sums, whose order may change
            np.testing.assert_allclose(found[question], answer, rtol=2e-6, err_msg=question)


def test_there_are_files():
    assert NAMES
