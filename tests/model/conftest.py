"""What several tests of estimators need."""

import warnings

import pytest


@pytest.fixture
def quiet():
    """A warning is a failure."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
