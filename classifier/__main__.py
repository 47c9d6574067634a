"""Run the command line with `python -m classifier`."""

from classifier.cli.app import main

if __name__ == "__main__":
    main()
