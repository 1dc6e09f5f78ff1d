"""`python -m tidings`: the command line, also where the `tidings` script is not on the PATH."""

from tidings.cli import main

main()
