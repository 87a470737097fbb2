"""`python -m spacy_openner`."""

from .cli.app import main

if __name__ == "__main__":
    main()
