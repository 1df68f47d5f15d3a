"""`python -m qualification.cli`, for where the command is not on the PATH."""

from . import main

main()
