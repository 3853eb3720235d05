"""``python -m popglm`` is the command ``popglm``."""

from popglm.cli import app

app(prog_name="popglm")
