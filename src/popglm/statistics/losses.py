"""Former names of `popglm.statistics.families`."""

from __future__ import annotations

from popglm.statistics.families import FAMILIES, INVERSE_LINKS
from popglm.statistics.families import Family as Loss
from popglm.statistics.families import get_family as get_loss

__all__ = ["FAMILIES", "INVERSE_LINKS", "Loss", "get_loss"]
