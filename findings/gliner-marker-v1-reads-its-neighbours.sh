#!/usr/bin/env bash
# The scores of gliner's "markerV1" span layer depend on the other texts of a batch.
#
# Seen with gliner 0.2.29, transformers 5.16.1, PyTorch 2.13.0, a random checkpoint: beside a longer text, the scores of
# a text's spans differ by 0.006 from those that it gets alone; with "markerV0" they are the same. The layer averages
# over the padded length of the batch. Thresholds that are tuned on one batch size are not those of another.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check "torch==2.13.0" "transformers==5.16.1" "gliner==0.2.29"
cd "$work"
cat > neighbours.py <<'PYTHON'
from importlib.metadata import version

import torch
from gliner import GLiNER, GLiNERConfig
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import BertPreTokenizer
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

words = "[PAD] [UNK] [CLS] [SEP] [MASK] ada wrote to charles from london every week person , .".split()
tokenizer = Tokenizer(WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
tokenizer.pre_tokenizer = BertPreTokenizer()
special = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), words))
PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained("backbone")
size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
torch.manual_seed(0)
BertModel(BertConfig(vocab_size=len(words), **size)).save_pretrained("backbone")
text, neighbour = "ada wrote to charles", "ada wrote to charles from london every week , ada wrote to charles every week ."


def scores(model, batch):
    spans = model.inference(batch, ["person"], threshold=0.0, flat_ner=False, batch_size=len(batch))[0]
    return {(span["start"], span["end"]): span["score"] for span in spans}


gaps = {}
for mode in ("markerV0", "markerV1"):
    torch.manual_seed(0)
    config = GLiNERConfig(model_name="backbone", span_mode=mode, hidden_size=32, max_width=4)
    model = GLiNER.from_config(config).eval()
    alone, beside = scores(model, [text]), scores(model, [text, neighbour])
    assert alone.keys() == beside.keys() and len(alone) > 3
    gaps[mode] = max(abs(alone[span] - beside[span]) for span in alone)
print(f"gliner {version('gliner')}: largest change of a score by a neighbour: {gaps}")
assert gaps["markerV0"] < 1e-6, gaps
assert gaps["markerV1"] > 1e-3, gaps
PYTHON
"$work/venv/bin/python" -W ignore neighbours.py
