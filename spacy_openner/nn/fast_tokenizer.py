"""Fast tokenizers as their files say, without `transformers`, which takes a second to be imported for a class that only
passes calls on."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from ..errors import error
from ..json_files import parse_json
from .backbones import TOKENIZER_FILES, check_json, content_of_token, first_line, load_tokenizer

FILE = "tokenizer.json"
# Files that say which tokens are special, those that win first; and one that is nothing but text.
_NAMES, _TEXTS = TOKENIZER_FILES[:2], ("chat_template.jinja",)


@dataclass(frozen=True)
class FastTokenizer:
    """A tokenizer as `tokenizer.json` describes it.

    backend_tokenizer: What splits.
    files: The other files of it, by name: they are written as they were read.
    pad_token_id, unk_token_id: Ids of special tokens; None without one.
    """

    backend_tokenizer: Tokenizer
    files: Mapping[str, str]
    pad_token_id: int | None
    unk_token_id: int | None

    @classmethod
    def read(cls, directory: Path) -> "FastTokenizer":
        """Read the files of a directory; one without `tokenizer.json` is left to `transformers`.

        RAISES (CheckpointError): When there are none, or they are damaged.
        """
        if not (directory / FILE).is_file():
            return cls.of(load_tokenizer(directory, directory, str(directory)))
        try:
            check_json(directory, TOKENIZER_FILES)
            names = (*TOKENIZER_FILES, *_TEXTS)
            files = {name: (directory / name).read_text("utf8") for name in names if (directory / name).is_file()}
            backend = Tokenizer.from_file(str(directory / FILE))
            pad, unknown = (_special_id(backend, files, name) for name in ("pad_token", "unk_token"))
        # Damaged files end in bare exceptions of the tokenizers library, too.
        except Exception as problem:
            raise error("O120", path=str(directory), source=str(directory), reason=first_line(problem)) from problem
        return cls(backend, files, pad, unknown)

    @classmethod
    def of(cls, tokenizer: Any) -> "FastTokenizer":
        """Take over a fast tokenizer of `transformers`."""
        with tempfile.TemporaryDirectory() as scratch:
            tokenizer.save_pretrained(scratch)
            return cls.read(Path(scratch))

    def token_to_id(self, token: str) -> int | None:
        """Return the id of a token; None for one that is not known."""
        token_id: int | None = self.backend_tokenizer.token_to_id(token)
        return token_id

    def decode(self, ids: Sequence[int]) -> str:
        """Spell subwords, special ones included."""
        return str(self.backend_tokenizer.decode(list(ids), skip_special_tokens=False))

    def save(self, directory: Path) -> None:
        """Write what `read` and `transformers` read."""
        self.backend_tokenizer.save(str(directory / FILE))
        for name, text in self.files.items():
            (directory / name).write_text(text, encoding="utf8")


def _special_id(backend: Tokenizer, files: Mapping[str, str], name: str) -> int | None:
    """Find the id of a special token, such as "pad_token"."""
    values = (parse_json(files[file]).get(name) for file in _NAMES if file in files)
    token = next((content_of_token(value) for value in values if value), None)
    return None if token is None else backend.token_to_id(token)
