"""Lags of more samples than any term needs are refused before anything is made of that size."""

import tracemalloc

import numpy as np
import pytest

import popglm as pg

FAR = pg.bumps("lag", n=3, low=0, high=1e8)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (
            lambda: pg.history("n", pg.log_bumps("lag", n=3, low=1, high=1e9)),
            r"history\('n'\): basis, with low=1 and high=1e\+09, reaches to lags of 1,000,000,000 samples, but "
            r"1,000,000 are the most; give it in samples, or in seconds together with dt=",
        ),
        (
            lambda: pg.coupling(["a", "b"], pg.bumps("lag", n=3, low=1, high=1e9)),
            r"coupling\('a'\): basis, .* lags of 1,999,999,999 samples",
        ),
        (lambda: pg.kernel("x", FAR), r"kernel\('x'\): basis, with low=0 and high=1e\+08, .* 200,000,000 samples"),
        (lambda: pg.kernel("x", FAR, side="anti-causal"), "200,000,000 samples"),
        (lambda: pg.kernel("x", FAR, side="both"), "200,000,000 samples"),
        (
            lambda: pg.kernel("x", pg.log_bumps("lag", n=3, low=-1e9, high=1, offset=1), side="both"),
            r"low=-1e\+09 and high=1, reaches",
        ),
        (
            lambda: pg.kernel("x", pg.log_bumps("lag", n=3, low=0, high=20), dt=1e-6),
            r"20,000,000 samples of dt=1e-06 s, .* give it in seconds, and the dt of the recording",
        ),
        (lambda: pg.kernel("x", pg.log_bumps("lag", n=3, low=0, high=20), dt=1e-30), r"2e\+31 samples of dt="),
        (lambda: pg.kernel("x", pg.bumps("lag", n=3, low=0, high=1, width=1e34)), r"lags of 5e\+33 samples"),
        (lambda: pg.shifts("x", [10**30]), r"shifts\('x'\): lags holds 1e\+30, a lag of 1e\+30 samples, but 1,000,000"),
        (lambda: pg.shifts("x", [10**400]), r"shifts\('x'\): lags must be one or more finite numbers; found \[inf\]"),
        (lambda: pg.shifts("x", [1, -1_000_001]), r"lags holds -1e\+06, a lag of 1,000,001 samples"),
        (lambda: pg.shifts("x", [0, 30.0], dt=1e-9), "lags holds 30, a lag of 30,000,000,000 samples of dt=1e-09 s"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_they_are_refused_in_a_sentence(make, sentence):
    tracemalloc.start()
    with pytest.raises(ValueError, match=sentence):
        make()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6


def test_many_functions_of_long_lags_need_room(monkeypatch):
    monkeypatch.setattr("os.sysconf", lambda name: 4096 if name == "SC_PAGE_SIZE" else 10**7)
    with pytest.raises(ValueError, match=r"900,019 lags × n=99,999 functions would take 720 GB, but .* 41 GB"):
        pg.kernel("x", pg.bumps("lag", n=99_999, low=0, high=9e5))


def test_the_longest_lags_are_made():
    assert pg.history("n", pg.log_bumps("lag", n=2, low=1, high=1_000_000)).reach == 999_999
    session = {"x": np.arange(4.0)}
    design = pg.Design([pg.shifts("x", [0, 1_000_000, -1_000_000])], standardize=False)
    X = design.fit_transform(session).to_numpy()
    np.testing.assert_array_equal(X, [[0, 0, 0], [1, 0, 0], [2, 0, 0], [3, 0, 0]])
