"""Formulas give the terms that Python does."""

import numpy as np
import pytest

import popglm as pg

pytest.importorskip("formulaic", reason="formulaic is not installed: pip install 'popglm[formula]'")

RNG = np.random.default_rng(0)
SESSION = {
    "position": RNG.uniform(0, 250, 300),
    "cue": np.tile(["a", "b", "c"], 100),
    "choice": np.tile([0.0, 1.0], 150),
    "speed": RNG.normal(size=300),
    "lick count": RNG.poisson(0.2, 300).astype(float),
    "trial": np.arange(300) // 30,
}


def bumps():
    return pg.bumps("position", 20, 0, 250)


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("speed", [pg.linear("speed")]),
        ("bumps(position, 20, low=0, high=250) + bs(speed, 7)", [bumps(), pg.splines("speed", 7)]),
        (
            "bumps(position, 20, 0, 250) * (C(cue) + choice) + bs(speed, 7)",
            [
                bumps(), pg.categories("cue"), pg.linear("choice"), pg.splines("speed", 7),
                bumps() * pg.categories("cue"), bumps() * pg.linear("choice"),
            ],
        ),
        ("bumps(position, 20, 0, 250):C(cue)", [bumps() * pg.categories("cue")]),
        ("speed + shifts('lick count', [-1, 0, 1])", [pg.linear("speed"), pg.shifts("lick count", [-1, 0, 1])]),
        ("kernel(`lick count`, bumps(lag, 3, 0, 9))", [pg.kernel("lick count", pg.bumps("lag", 3, 0, 9))]),
        ("history(speed, log_bumps(lag, 3, 1, 9))", [pg.history("speed", pg.log_bumps("lag", 3, 1, 9))]),
        ("(speed + choice)**2 - speed", [pg.linear("choice"), pg.linear("speed") * pg.linear("choice")]),
    ],
)  # fmt: skip
def test_the_same_columns(text, terms):
    found, expected = (pg.Design(own).fit_transform(SESSION) for own in (pg.formula(text), terms))
    assert found.equals(expected)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("y ~ speed", "left side"),
        ("0 + speed", "fit_intercept=False"),
        ("speed - 1", "fit_intercept=False"),
        ("1", "has no term"),
        ("", "give a text such as"),
        (3, "give a text such as"),
        ("speed +* choice", "cannot be read"),
        ("bump(position, 20)", "'bump' in .* is no term; there are bumps"),
        ("bumps(position, 20)", "bumps\\(position, 20\\) in .*low"),
        ("bumps(position, 20, low=0, hi=2)", "hi"),
        ("bs(speed, 2 + 3)", "is no name, number, text, list or term"),
        ("bs(speed, open('x'))", "'open' in .* is no term"),
        ("np.log(speed)", "is no name"),
        ("+".join(["speed"] * 3_000), "are the most"),
    ],
)
def test_what_is_no_formula_is_told(text, told):
    with pytest.raises(ValueError, match=told):
        pg.formula(text)
