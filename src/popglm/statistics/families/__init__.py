"""Families under their inverse links: `contract` says what one is, every other file is one family."""

from __future__ import annotations

from typing import Any

from popglm.statistics.families.bernoulli import BERNOULLI
from popglm.statistics.families.binomial import BINOMIAL
from popglm.statistics.families.censored_gaussian import CENSORED_GAUSSIAN
from popglm.statistics.families.contract import Family, Parameter, Samples
from popglm.statistics.families.gamma import GAMMA
from popglm.statistics.families.gaussian import GAUSSIAN
from popglm.statistics.families.inverse_gaussian import INVERSE_GAUSSIAN
from popglm.statistics.families.links import INVERSE_LINKS, InverseLink
from popglm.statistics.families.negative_binomial import NEGATIVE_BINOMIAL
from popglm.statistics.families.poisson import POISSON
from popglm.statistics.families.tweedie import TWEEDIE
from popglm.statistics.families.units import Units

__all__ = [
    "FAMILIES",
    "INVERSE_LINKS",
    "Family",
    "InverseLink",
    "Parameter",
    "Samples",
    "Units",
    "get_family",
    "has_link",
]

MEMBERS = (
    *(GAUSSIAN, POISSON, BERNOULLI, BINOMIAL, GAMMA, INVERSE_GAUSSIAN),
    *(NEGATIVE_BINOMIAL, TWEEDIE, CENSORED_GAUSSIAN),
)
#: Family and inverse link, by their names, to what they are together; a family's first link is its default.
FAMILIES: dict[str, dict[str, Family]] = {
    members[0].name: {family.link.name: family for family in members} for members in MEMBERS
}


def get_family(name: str, inverse_link: str | None = None, power: Any = None) -> Family:
    """A family under an inverse link (its default one unless given), with a power of the mean where it has a choice.

    Raises
    ------
    ValueError
        For an unknown name, a pair that has no meaning (a Bernoulli mean that can leave [0, 1]), or a power that the
        family cannot have.

    Examples
    --------
    >>> get_family("poisson").link.name
    'exp'
    """
    if name not in FAMILIES:
        raise ValueError(f"family={name!r} is unknown; use one of {', '.join(FAMILIES)}.")
    links = FAMILIES[name]
    default = next(iter(links))
    inverse_link = default if inverse_link is None else inverse_link
    if inverse_link not in INVERSE_LINKS:
        raise ValueError(f"inverse_link={inverse_link!r} is unknown; use one of {', '.join(INVERSE_LINKS)}.")
    if inverse_link not in links:
        raise ValueError(
            f"inverse_link={inverse_link!r} {links[default].other_links}; use "
            f"{' or '.join(f'inverse_link={link!r}' for link in links)}."
        )
    found = links[inverse_link]
    return found if power is None else found.with_power(power)


def has_link(name: str, inverse_link: str) -> bool:
    """Whether a family has a meaning under an inverse link.

    Examples
    --------
    >>> has_link("bernoulli", "exp")
    False
    """
    return inverse_link in FAMILIES[name]
