import matplotlib.pyplot as plt
import pytest


@pytest.fixture(autouse=True)
def without_a_screen():
    with plt.rc_context({"backend": "agg"}):
        yield
    plt.close("all")
