"""`python -m regard`: the command line, for launchers that start modules."""

from regard.cli.app import main

if __name__ == "__main__":
    main()
