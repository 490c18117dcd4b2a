"""`python -m regard.cli`, for launchers that start modules."""

from regard.cli.app import main

main()
