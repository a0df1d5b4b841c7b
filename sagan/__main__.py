"""`python -m sagan`."""

from sagan.cli import main

main()
