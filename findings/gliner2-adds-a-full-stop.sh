#!/usr/bin/env bash
# gliner2 adds a full stop to texts that have none, and entities may hold it: they end past the text.
#
# Seen with gliner2 2.1.0, transformers 5.16.1, PyTorch 2.13.0, a random checkpoint: the text "ada wrote to charles" has
# 20 characters, and `extract_entities` returns the entity "to charles." with the end 21. Whoever writes such offsets
# into other tools (spaCy's char_span, Label Studio) gets None or an error for them.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check "torch==2.13.0" "transformers==5.16.1" "gliner2[local]==2.1.0"
cd "$work"
cat > ends.py <<'PYTHON'
from importlib.metadata import version

import torch
from gliner2 import AutoExtractor, ExtractorConfig
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import BertPreTokenizer
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

words = "[PAD] [UNK] [CLS] [SEP] [MASK] ada wrote to charles person .".split()
tokenizer = Tokenizer(WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
tokenizer.pre_tokenizer = BertPreTokenizer()
special = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), words))
PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained("backbone")
torch.manual_seed(0)
size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
BertModel(BertConfig(vocab_size=len(words), **size)).save_pretrained("backbone")
head = {"max_width": 8, "span_mode": "markerV0"}
model = AutoExtractor.from_config(ExtractorConfig(model_name="backbone", architecture="span", span_head=head)).eval()
text = "ada wrote to charles"
entities = model.extract_entities(text, ["person"], threshold=0.0, include_spans=True)["entities"]["person"]
past = [(entity["text"], entity["end"]) for entity in entities if entity["end"] > len(text)]
print(f"gliner2 {version('gliner2')}: a text of {len(text)} characters has an entity {past}")
assert "." not in text
assert past and all(name.endswith(".") and end == len(text) + 1 for name, end in past), entities
PYTHON
"$work/venv/bin/python" -W ignore ends.py
