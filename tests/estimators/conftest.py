"""What several tests of estimators need."""

import warnings

import pytest

import popglm as pg


@pytest.fixture
def quiet():
    """A warning is a failure, but for the one that says that a grid of few strengths is short."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "The selected strength lies at an end", pg.PopglmWarning)
        yield
