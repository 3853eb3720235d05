"""Names and values as TOML writes them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

__all__ = ["in_line", "key", "text"]


def text(value: Any) -> str:
    """A text as TOML writes it."""
    return json.dumps(str(value), ensure_ascii=False)


def key(name: str) -> str:
    """A name, in quotes where it needs them."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else text(name)


def in_line(value: Any) -> str:
    """A value as TOML writes it on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key(name)} = {in_line(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(in_line, value)) + "]"
    if isinstance(value, bool | int):
        return str(value).lower()
    return text(value) if isinstance(value, str) else str(value)
