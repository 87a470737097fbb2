"""`python -m spacy_openner`."""

from .cli import main

if __name__ == "__main__":
    main()
