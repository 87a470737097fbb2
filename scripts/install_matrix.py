"""Install the package beside others that people use with it: a fresh environment each.

Each one gets PyTorch, this checkout and the other package, in this order, as a user would install them. It passes when pip
finds no conflicts, both packages can be imported, and entities are found. The output is a Markdown table, for
docs/install.md.

    python scripts/install_matrix.py --torch torch==2.13.0
"""

import argparse
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# What to install, and a module of it.
PARTNERS = {
    "gliner": "gliner",
    "gliner2[local]": "gliner2",
    "presidio-analyzer[gliner]": "presidio_analyzer",
    "maskpipe": "maskpipe",
    "spacy-llm": "spacy_llm",
}
VERSIONS = ("spacy", "transformers", "torch")
CHECK = """
import sys
from importlib import import_module
from importlib.metadata import version
import spacy
import_module(sys.argv[1])
nlp = spacy.blank("en")
nlp.add_pipe("open_ner_span", config={"labels": ["person", "award", "city"]})
found = [f"{ent.text} ({ent.label_})" for ent in nlp("Marie Curie won the Nobel Prize in Paris.").ents]
assert "Marie Curie (person)" in found, found
print("; ".join(found), *(version(name) for name in sys.argv[2:]), sep="\\t")
"""


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command, offline as far as models are concerned."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=cwd, env=environment)


def last_line(result: subprocess.CompletedProcess[str]) -> str:
    """Return the end of what a command said, for a table's cell."""
    lines = (result.stdout + result.stderr).strip().splitlines() or ["(no output)"]
    return lines[-1].replace("|", "/")


def install(python: Path, requirements: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    """Install requirements in turn, and let pip look for conflicts at the end; stop at the first failure."""
    result = None
    for requirement in requirements:
        result = run(python, "-m", "pip", "install", "--quiet", "--no-compile", requirement, cwd=cwd)
        if result.returncode:
            return result
    return run(python, "-m", "pip", "check", cwd=cwd)


def row(partner: str, module: str, torch: str | None, scratch: Path) -> list[str]:
    """Try one package: its name and version, versions of others, and the outcome."""
    home = scratch / module
    venv.create(home, with_pip=True)
    python = home / "bin" / "python"
    blank = [""] * (len(VERSIONS) + 1)
    installed = install(python, [*([torch] if torch else []), str(ROOT), partner], scratch)
    if installed.returncode:
        return [partner, *blank, f"**not installed**: {last_line(installed)}"]
    name = partner.partition("[")[0]
    checked = run(python, "-c", CHECK, module, name, *VERSIONS, cwd=scratch)
    if checked.returncode:
        return [partner, *blank, f"**fails**: {last_line(checked)}"]
    pipes, *versions = last_line(checked).split("\t")
    return [partner, *versions, f"no conflicts; {pipes}"]


def rows(partners: list[str], torch: str | None) -> Iterator[list[str]]:
    """Try packages one after the other; each environment is removed before the next one is made."""
    for partner in partners:
        with tempfile.TemporaryDirectory() as scratch:
            yield row(partner, PARTNERS[partner], torch, Path(scratch))


def main() -> int:
    """Print the table; return 1 where anything failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("partners", nargs="*", choices=[*PARTNERS, []], help="packages; all of them if none is given")
    parser.add_argument("--torch", help="what to install first, such as torch==2.13.0 for a CPU build")
    options = parser.parse_args()
    head = ["beside", "version", *VERSIONS, "result"]
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head), flush=True)
    failed = False
    for cells in rows(options.partners or list(PARTNERS), options.torch):
        failed |= cells[-1].startswith("**")
        print("| " + " | ".join(cells) + " |", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
