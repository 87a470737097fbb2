"""Texts and descriptions of types to vectors: the mean of a transformer's states, or of static token vectors.

With the pooling "max" a text has a vector for each of its subwords, and the best one counts. A text of more subwords
than a window is read in several windows, at words where that goes; nothing is cut.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn.functional import embedding_bag

from ...arguments import as_whole
from ...errors import error
from ...json_files import load_json
from ...nn import int8 as int8_rows
from ...nn.backbones import hidden_size, subword_limit
from ...nn.batching import batch_by_length
from ...nn.dropout import use_fast_dropout
from ...nn.weights import unusable
from ..gliner.pretrained import pretrained

SETTINGS_FILE = "type_matcher.json"
TOKENIZER_FILE = "tokenizer.json"
WEIGHTS_FILE = "model.safetensors"
TOKENS = "tokens"
# A single subword drowns in the mean of many: a few neighbouring ones are read together, so that the best window of a
# text decides.
STATIC_WINDOW = 8
DISTIL_BATCH = 256
POOLINGS: tuple[str, ...] = ("mean", "max")


class TextEncoder(nn.Module):
    """Base of the encoders.

    tokenizer (Tokenizer): Cuts texts into subwords.
    window (int): The most subwords that are read together.
    step (int): How many subwords further the next window starts.
    pooling (str): What stands for a window of a text: the "mean" of its subwords' vectors, or each of them, of which a
        type finds the best ("max"). Types are always read by the mean.
    """

    def __init__(self, tokenizer: Tokenizer, window: int, step: int, pooling: str = "mean") -> None:
        super().__init__()
        self.tokenizer, self.window, self.step = tokenizer, window, step
        self.pooling = pooling
        tokenizer.no_truncation()
        tokenizer.no_padding()

    @property
    def width(self) -> int:
        """Width of the vectors."""
        raise NotImplementedError

    def forward(self, windows: Sequence[Sequence[int]], batch_tokens: int) -> Tensor:
        """Encode windows.

        windows (Sequence[Sequence[int]]): Subwords, as `windows_of` gives them.
        batch_tokens (int): The most subwords that are computed at once, padding included.
        RETURNS (Tensor): *Shape:* (windows, width), float32.
        """
        raise NotImplementedError

    def states(self, windows: Sequence[Sequence[int]], batch_tokens: int) -> list[Tensor]:
        """Encode the subwords of windows; as `forward`.

        RETURNS (list[Tensor]): *Shape of each:* (subwords, width), float32.
        """
        raise NotImplementedError

    def save(self, path: Path) -> None:
        """Write what `load` reads."""
        raise NotImplementedError

    def windows_of(self, texts: Sequence[str]) -> list[list[list[int]]]:
        """Cut texts into windows of subwords. May be called from several threads.

        RETURNS (list[list[list[int]]]): For each text at least one window; it is empty where the text has no subwords.
        """
        encodings = self.tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return [self._cut(encoding.ids, encoding.word_ids) for encoding in encodings]

    def _cut(self, ids: list[int], words: list[int | None]) -> list[list[int]]:
        if len(ids) <= self.window:
            return [ids]
        starts = [0]
        while starts[-1] + self.window < len(ids):
            nearest = _word_start(words, starts[-1] + self.step)
            following = nearest if nearest > starts[-1] else starts[-1] + self.step
            # The last window is as long as the others: one of a single subword would say little.
            starts.append(min(following, len(ids) - self.window))
        return [ids[start : start + self.window] for start in starts]


class StaticEncoder(TextEncoder):
    """A table of subword vectors; a text's is the mean of its subwords'.

    tokens (Tensor): *Shape:* (subwords, width).
    """

    def __init__(
        self, tokenizer: Tokenizer, tokens: Tensor, window: int = STATIC_WINDOW, pooling: str = "mean"
    ) -> None:
        super().__init__(tokenizer, window, max(1, window // 2), pooling)
        self.tokens = nn.Parameter(tokens)
        # Of whole subwords, in training.
        self.dropout = nn.Dropout(0.0)

    @property
    def width(self) -> int:
        """Width of the vectors."""
        return int(self.tokens.shape[1])

    def forward(self, windows: Sequence[Sequence[int]], batch_tokens: int) -> Tensor:
        """Encode windows; see `TextEncoder.forward`. A window without subwords has the vector 0."""
        lengths = torch.tensor([0, *map(len, windows)])
        subwords = torch.tensor([subword for window in windows for subword in window], dtype=torch.long)
        starts = lengths.cumsum(0)[:-1]
        weights = self.dropout(torch.ones(len(subwords)))
        device = self.tokens.device
        inputs = (subwords.to(device), self.tokens, starts.to(device))
        # The sum would do: lengths of vectors do not count.
        return embedding_bag(*inputs, mode="sum", per_sample_weights=weights.to(device)).float()

    def states(self, windows: Sequence[Sequence[int]], batch_tokens: int) -> list[Tensor]:
        """Look subwords up; see `TextEncoder.states`."""
        subwords = torch.tensor([subword for window in windows for subword in window], dtype=torch.long)
        vectors = self.tokens[subwords.to(self.tokens.device)].float()
        return list(vectors.split([len(window) for window in windows]))

    def save(self, path: Path) -> None:
        """Write the table in float32."""
        self._save_settings(path)
        save_file({TOKENS: self.tokens.detach().cpu().contiguous()}, path / WEIGHTS_FILE)

    def save_int8(self, path: Path) -> None:
        """Write the table in a quarter of the size, rounded; see `int8_rows`."""
        self._save_settings(path)
        int8_rows.save({TOKENS: self.tokens.cpu()}, path)

    def _save_settings(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        for file in (WEIGHTS_FILE, int8_rows.FILE):
            (path / file).unlink(missing_ok=True)
        settings = {"encoder": "static", "window": self.window, "pooling": self.pooling}
        (path / SETTINGS_FILE).write_text(json.dumps(settings), encoding="utf8")
        self.tokenizer.save(str(path / TOKENIZER_FILE))


class TransformerEncoder(TextEncoder):
    """A Hugging Face encoder; a text's vector is the mean of its last states (ToNER, section 3.2), special subwords
    included.

    tokenizer (Any): Its fast tokenizer.
    backbone (nn.Module): The network.
    window (int | None): The most subwords that are read together; as many as the network reads if None.
    """

    def __init__(self, tokenizer: Any, backbone: nn.Module, window: int | None = None, pooling: str = "mean") -> None:
        sample = tokenizer.backend_tokenizer.encode("a", add_special_tokens=True)
        own = sample.special_tokens_mask.index(0)
        count = sample.special_tokens_mask.count(0)
        limit = subword_limit(backbone.config) - len(sample.ids) + count
        limit = min(limit, window or limit)
        super().__init__(tokenizer.backend_tokenizer, limit, limit, pooling)
        # What the tokenizer puts around each text.
        self.before, self.after = sample.ids[:own], sample.ids[own + count :]
        self.backbone: Any = backbone
        self.whole_tokenizer = tokenizer
        use_fast_dropout(backbone)

    @property
    def width(self) -> int:
        """Width of the vectors."""
        return hidden_size(self.backbone)

    def forward(self, windows: Sequence[Sequence[int]], batch_tokens: int) -> Tensor:
        """Encode windows; see `TextEncoder.forward`. A window without any subword has the vector 0."""
        return torch.stack([states.sum(0) / max(1, len(states)) for states in self.states(windows, batch_tokens)])

    def states(self, windows: Sequence[Sequence[int]], batch_tokens: int) -> list[Tensor]:
        """Encode windows, those of similar length together; see `TextEncoder.states`."""
        rows = [[*self.before, *window, *self.after] for window in windows]
        states: list[Tensor] = [torch.empty(0)] * len(rows)
        for batch in batch_by_length(range(len(rows)), lambda i: len(rows[i]), batch_tokens):
            for i, row_states in zip(batch, self._encode([rows[i] for i in batch]), strict=True):
                states[i] = row_states
        return states

    def _encode(self, rows: Sequence[Sequence[int]]) -> list[Tensor]:
        """The states of a batch without padding."""
        ids = torch.zeros(len(rows), max(1, *map(len, rows)), dtype=torch.long)
        mask = torch.zeros_like(ids)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = torch.tensor(row)
            mask[i, : len(row)] = 1
        ids, mask = ids.to(self.backbone.device), mask.to(self.backbone.device)
        states = self.backbone(input_ids=ids, attention_mask=mask)[0].float()
        return [state[: len(row)] for state, row in zip(states, rows, strict=True)]

    def save(self, path: Path) -> None:
        """Write the encoder and its tokenizer as Hugging Face does, and the window beside them."""
        path.mkdir(parents=True, exist_ok=True)
        (path / int8_rows.FILE).unlink(missing_ok=True)
        self.backbone.save_pretrained(path)
        self.whole_tokenizer.save_pretrained(path)
        settings = {"encoder": "transformer", "window": self.window, "pooling": self.pooling}
        (path / SETTINGS_FILE).write_text(json.dumps(settings), encoding="utf8")


def load(source: str | Path, revision: str | None = None) -> TextEncoder:
    """Load what `save` wrote, or any Hugging Face encoder, or the encoder of a span matcher.

    source (str | Path): A directory; or the name of a repository on a hub.
    revision (str | None): Commit or tag of a hub name.
    RAISES (CheckpointError): When it cannot be loaded.
    """
    path = Path(source)
    try:
        settings = load_json(path / SETTINGS_FILE) if (path / SETTINGS_FILE).is_file() else {}
        if not isinstance(settings, dict):
            raise ValueError(f"{SETTINGS_FILE} holds no JSON object")
        pooling, window = _pooling(settings), _window(settings)
        if settings.get("encoder") == "static":
            tokenizer = Tokenizer.from_file(str(path / TOKENIZER_FILE))
            return StaticEncoder(tokenizer, _table(path, tokenizer), window or STATIC_WINDOW, pooling)
        tokenizer, backbone = pretrained(source, revision)
    # Damaged files fail in the words of json, safetensors, tokenizers or transformers.
    except Exception as problem:
        reason = (str(problem).strip().splitlines() or [type(problem).__name__])[0]
        raise error("O115", path=str(source), reason=reason) from problem
    if not tokenizer.is_fast:
        raise error("O107", path=str(source), kind=type(tokenizer).__name__)
    return TransformerEncoder(tokenizer, backbone, window, pooling)


def _window(settings: Mapping[str, Any]) -> int | None:
    """Read the subwords of a window from saved settings."""
    window = settings.get("window")
    if window is not None and (isinstance(window, bool) or not isinstance(window, int) or window < 1):
        raise ValueError(f'"window" of {SETTINGS_FILE} is {window!r}; allowed: a whole number from 1')
    return window


def _pooling(settings: Mapping[str, Any]) -> str:
    """Read the pooling from saved settings; older ones say nothing of it."""
    pooling = settings.get("pooling", POOLINGS[0])
    if pooling not in POOLINGS:
        raise ValueError(f'"pooling" of {SETTINGS_FILE} is {pooling!r}; allowed: {", ".join(POOLINGS)}')
    return str(pooling)


def distil(encoder: TextEncoder, width: int, window: int = STATIC_WINDOW) -> StaticEncoder:
    """Make a static encoder of another one, in a minute of one core for a small transformer.

    Each subword is encoded alone; the vectors are centred and turned into their principal components.

    width (int): Width of the vectors, at most that of the encoder.
    """
    subwords = range(encoder.tokenizer.get_vocab_size(with_added_tokens=True))
    with torch.inference_mode():
        batches = [subwords[i : i + DISTIL_BATCH] for i in range(0, len(subwords), DISTIL_BATCH)]
        vectors = torch.cat(
            [encoder.eval()([[subword] for subword in batch], 4 * DISTIL_BATCH) for batch in batches]
        ).cpu()
    vectors = (vectors - vectors.mean(0)).double()
    as_whole(width, "static_width", 1, vectors.shape[1])
    _, directions = torch.linalg.eigh(vectors.T @ vectors)
    tokens = vectors @ directions.flip(1)[:, :width]
    tokens = (tokens / tokens.norm(dim=1).mean()).float()
    return StaticEncoder(Tokenizer.from_str(encoder.tokenizer.to_str()), tokens.contiguous(), window)


def _table(path: Path, tokenizer: Tokenizer) -> Tensor:
    """Read the subword vectors of a directory."""
    if int8_rows.is_chosen(path):
        tokens = int8_rows.load(path)[TOKENS]
    else:
        tokens = load_file(path / WEIGHTS_FILE)[TOKENS]
    if bad := unusable({TOKENS: tokens}):
        raise ValueError(f"its table holds no finite numbers: {bad}")
    tokens = tokens.float()
    rows = tokenizer.get_vocab_size(with_added_tokens=True)
    if tokens.ndim != 2 or len(tokens) < rows or not tokens.shape[1]:
        raise ValueError(f"its table is of shape {tuple(tokens.shape)}, and its tokenizer has {rows} subwords")
    return tokens


def _word_start(words: Sequence[int | None], index: int) -> int:
    """Find where the word at an index begins."""
    start = index
    while start > 0 and words[start] is not None and words[start] == words[start - 1]:
        start -= 1
    return start
