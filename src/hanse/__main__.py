"""`python -m hanse`: the same as the `hanse` command, for machines where the script is not on PATH."""

from hanse.cli.main import main

main()
