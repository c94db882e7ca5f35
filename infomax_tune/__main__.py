"""`python -m infomax_tune`: the same as the infomax-tune command."""

from infomax_tune.cli import main

if __name__ == "__main__":
    main()
