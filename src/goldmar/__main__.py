"""`python -m goldmar`."""

from goldmar.cli import main

if __name__ == "__main__":
    main()
