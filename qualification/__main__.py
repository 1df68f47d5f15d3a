"""`python -m qualification`: the `vxqual` command, also if it is not on the PATH."""

from .cli import main

main(prog_name="vxqual")
