"""The README of an export: a program of a few lines that uses it, and what inputs and outputs mean."""

from __future__ import annotations

from regard.api.exporting.parity import Parity
from regard.api.tasks.generation import Generator
from regard.api.tasks.model import Model
from regard.choices import ExportFormat
from regard.version import __version__

__all__ = ["readme"]

_PACKAGES = {"onnx": "onnxruntime", "ctranslate2": "ctranslate2", "torch": "torch"}


def readme(
    model: Model, to: ExportFormat, parity: Parity, name: str, program: str, notes: str
) -> str:
    """Text of the README.

    Args:
        model: that was exported.
        to: the format.
        parity: what the comparison found.
        name: of the folder.
        program: lines that use the export, in the folder.
        notes: paragraphs about its inputs, outputs and limits.
    """
    return f"""# {name}

A {model.settings.kind} model for {model.settings.task} with {model.num_parameters:,} parameters, exported to
{to} by regard {__version__}. Compared with the model it was made from on {parity}.

`pip install {_PACKAGES[to]} tokenizers`, then in this folder:

```python
{program.strip()}
```

{notes.strip()}

`export.json` tells where the model came from, what was compared, and the SHA-256 of every file.
"""


def ctranslate2_program(model: Model) -> str:
    """A program that translates, or continues, a text by CTranslate2."""
    if isinstance(model, Generator):
        return _GENERATE
    decoding = model.settings.decoding
    return _TRANSLATE.format(beam=decoding.beam, alpha=decoding.length_penalty)


def ctranslate2_notes(model: Model) -> str:
    """What to know about the files for CTranslate2."""
    words = _WORDS if model.settings.text.tokenizer == "word" else ""
    kind = _GENERATOR_NOTES if isinstance(model, Generator) else _TRANSLATOR_NOTES
    return kind + words


_TRANSLATE = """
import ctranslate2
from tokenizers import Tokenizer

source, target = (Tokenizer.from_file(f"{{side}}_tokenizer.json") for side in ("source", "target"))
translator = ctranslate2.Translator(".", compute_type="float32")  # or "int8": smaller and faster
tokens = [source.encode(text).tokens for text in ["..."]]
found = translator.translate_batch(tokens, beam_size={beam}, num_hypotheses={beam}, return_scores=True,
                                   length_penalty=1e-6, min_decoding_length=0)
for each in found:
    ranked = max(zip(each.scores, each.hypotheses), key=lambda a: a[0] / ((6 + len(a[1])) / 6) ** {alpha})
    print(target.decode([target.token_to_id(token) for token in ranked[1]], skip_special_tokens=False))
"""

_GENERATE = """
import ctranslate2
from tokenizers import Tokenizer

tokenizer = Tokenizer.from_file("tokenizer.json")
generator = ctranslate2.Generator(".", compute_type="float32")  # or "int8": smaller and faster
prompts = [["<s>", *tokenizer.encode(text).tokens] for text in ["..."]]
for each in generator.generate_batch(prompts, max_length=20, include_prompt_in_result=False):
    ids = [tokenizer.token_to_id(token) for token in each.sequences[0]]
    print(tokenizer.decode(ids, skip_special_tokens=False))
"""

_TRANSLATOR_NOTES = """\
Inputs are tokens of the source vocabulary; CTranslate2 adds the end mark. `<pad>` and `<s>` are never written,
and log-probabilities are those among all other tokens. In beam search CTranslate2 divides a sum of
log-probabilities by `length ** penalty`; the lines above rank as regard does: `((5 + length) / 6) ** penalty`
(Wu et al. 2016), end mark included. CTranslate2 ends a search when as many answers are complete as the beam is
wide; regard goes on while an unfinished answer is better than all of them, so that single answers may differ.
Answers are at most 256 tokens long unless `max_decoding_length` says otherwise; sources longer than
`max_tokens` of `export.json` are longer than any in training."""

_GENERATOR_NOTES = """\
A prompt begins with `<s>`. `<pad>` and `<s>` are never written, and log-probabilities are those among all other
tokens."""

_WORDS = """

Words of an answer are joined by spaces; regard leaves out those before a full stop or inside brackets."""
