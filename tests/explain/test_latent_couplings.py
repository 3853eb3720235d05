"""Latent signals add up to couplings, and what cannot have any is told."""

import numpy as np
import pandas as pd
import pytest

import popglm as pg

NAMES = list("abcd")
BASES = pg.log_bumps("lag", n=3, low=1, high=9), pg.bumps("lag", n=2, low=1, high=2, width=2)


@pytest.fixture(scope="module")
def fitted():
    rng = np.random.default_rng(0)
    counts = pd.DataFrame(rng.poisson(0.4, (1500, 4)), columns=NAMES)
    for name in "cd":
        counts[name] = rng.poisson(0.3 * np.exp(0.4 * (counts["a"] - counts["b"]).shift(fill_value=0)))
    # two bases of different lengths for one source
    terms = [*pg.coupling(NAMES, BASES[0]), pg.coupling("a", BASES[1])[0]]
    terms[-1].name = "again coupling"
    design = pg.Design(terms, standardize=True)
    X = design.fit_transform(counts)
    return pg.LowRankGLM(low_rank=2, lambdas=0.01, own="low_rank").fit(X, counts), design, X, counts


def test_latent_signals_add_up_to_the_net_couplings_and_kernels(fitted):
    model, design, *_ = fitted
    found = pg.latent_couplings(model, design)
    net = (found["sends"] * found["hears"]).sum("dimension")
    whole = pg.connectivity(model, design)
    np.testing.assert_allclose(net.transpose("source", "target"), whole["net"], atol=1e-5)
    kernel = (found["source_kernel"] * found["hears"]).sum("dimension")
    np.testing.assert_allclose(np.sqrt((kernel**2).sum("lag")).transpose("source", "target"), whole["norm"], atol=1e-5)
    assert found.sizes == {"dimension": 2, "source": 4, "lag": found.sizes["lag"], "target": 4}
    assert list(found["lag"].values) == list(range(1, found.sizes["lag"] + 1))
    assert found["lag"].attrs["units"] == "samples"
    np.testing.assert_allclose(found["singular_value"], model.singular_values_)


def test_arrays_without_names_have_the_same(fitted):
    model, design, X, counts = fitted
    groups = X.columns.get_level_values(0)
    again = pg.LowRankGLM(low_rank=2, lambdas=0.01, own="low_rank", feature_groups=list(groups))
    again.fit(X.to_numpy(), counts)
    np.testing.assert_array_equal(
        pg.latent_couplings(again, design)["sends"], pg.latent_couplings(model, design)["sends"]
    )


def test_what_has_no_latent_signal_is_told(fitted):
    model, design, X, counts = fitted
    with pytest.raises(TypeError, match=r"latent_couplings: model must be a popglm\.LowRankGLM; found GLM"):
        pg.latent_couplings(pg.GLM(lambdas=[0.1]).fit(X, counts), design)
    with pytest.raises(TypeError, match="design must be the Design of the fit; found 3"):
        pg.latent_couplings(model, 3)
    nothing = pg.LowRankGLM(low_rank=0, lambdas=0.01).fit(X, counts)
    with pytest.raises(ValueError, match="has no latent signal; fit with a smaller lambdas"):
        pg.latent_couplings(nothing, design)
    plain = pg.Design([pg.linear("a"), pg.linear("b")])
    other = pg.LowRankGLM(low_rank=1, lambdas=0.01).fit(plain.fit_transform(counts), counts[["c", "d"]])
    with pytest.raises(ValueError, match="no history or coupling term is in the low-rank part, only 'a', 'b'"):
        pg.latent_couplings(other, plain)
