"""The README of an export: a program of a few lines that uses it, and what inputs and outputs mean."""

from __future__ import annotations

from regard.api.exporting.joining import joins_words, replaces_unknown
from regard.api.exporting.parity import Parity
from regard.api.tasks.generation import Generator
from regard.api.tasks.model import Model
from regard.api.tasks.text_to_text import TextToText
from regard.choices import ExportFormat
from regard.version import __version__

__all__ = ["UNKNOWN_WORDS", "ctranslate2_notes", "ctranslate2_program", "readme"]

UNKNOWN_WORDS = """\
Where this model writes `<unk>`, regard puts the unknown word of the source that it attended to most; the lines
above leave `<unk>`."""

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
    settings = model.settings.decoding
    options = [
        f"no_repeat_ngram_size={settings.block_ngrams}" if settings.block_ngrams else "",
        "disable_unk=True" if settings.block_unknown else "",
    ]
    if isinstance(model, Generator):
        options = ["", f"min_length={settings.min_length}", *options]
        return _GENERATE.format(
            longest=settings.max_length or 20,
            options=", ".join(filter(None, options)),
            join="join_words(each.sequences[0])" if joins_words(model) else _GENERATED,
            imports=_IMPORT_JOIN if joins_words(model) else "",
        )
    assert isinstance(model, TextToText)
    longest = "2 * len(tokens) + 22" if settings.max_length is None else str(settings.max_length)
    if model.network.max_positions is not None:
        longest = f"min({longest}, {model.network.max_positions - 1})"
    options = [f"max_decoding_length={longest}", "max_input_length=0", *options]
    return _TRANSLATE.format(
        beam=settings.beam if settings.method == "beam" else 1,
        alpha=settings.length_penalty,
        least=settings.min_length,
        options=", ".join(filter(None, options)),
        join="join_words(best[1])" if joins_words(model) else _TRANSLATED,
        imports=_IMPORT_JOIN if joins_words(model) else "",
    )


def ctranslate2_notes(model: Model) -> str:
    """What to know about the files for CTranslate2."""
    if isinstance(model, Generator):
        return _GENERATOR_NOTES
    assert isinstance(model, TextToText)
    return _TRANSLATOR_NOTES + (f"\n\n{UNKNOWN_WORDS}" if replaces_unknown(model) else "")


_IMPORT_JOIN = "from join_words import join_words\n"

_TRANSLATED = (
    "target.decode([target.token_to_id(token) for token in best[1]], skip_special_tokens=False)"
)

_GENERATED = (
    "tokenizer.decode([tokenizer.token_to_id(token) for token in each.sequences[0]], "
    "skip_special_tokens=False)"
)

_TRANSLATE = """
import ctranslate2
from tokenizers import Tokenizer
{imports}
source, target = (Tokenizer.from_file(f"{{side}}_tokenizer.json") for side in ("source", "target"))
translator = ctranslate2.Translator(".", compute_type="float32")  # or "int8": smaller and faster
for text in ["..."]:
    tokens = source.encode(text).tokens
    (found,) = translator.translate_batch(
        [tokens], beam_size={beam}, num_hypotheses={beam}, return_scores=True, length_penalty=1e-6,
        min_decoding_length={least}, {options})
    best = max(zip(found.scores, found.hypotheses), key=lambda a: a[0] / ((6 + len(a[1])) / 6) ** {alpha})
    print({join})
"""

_GENERATE = """
import ctranslate2
from tokenizers import Tokenizer
{imports}
tokenizer = Tokenizer.from_file("tokenizer.json")
generator = ctranslate2.Generator(".", compute_type="float32")  # or "int8": smaller and faster
prompts = [["<s>", *tokenizer.encode(text).tokens] for text in ["..."]]
for each in generator.generate_batch(prompts, max_length={longest}, include_prompt_in_result=False, {options}):
    print({join})
"""

_TRANSLATOR_NOTES = """\
Inputs are tokens of the source vocabulary; CTranslate2 adds the end mark. `<pad>` and `<s>` are never written,
and log-probabilities are those among all other tokens. In beam search CTranslate2 divides a sum of
log-probabilities by `length ** penalty`; the lines above rank as regard does: `((5 + length) / 6) ** penalty`
(Wu et al. 2016), end mark included. CTranslate2 ends a search when as many answers are complete as the beam is
wide; regard goes on while an unfinished answer is better than all of them, so that single answers may differ.
The tokenizer cuts a source to the `max_tokens` of `export.json`, end mark included, and an answer is at most as
long as regard's. For a blank text regard writes nothing; leave it out."""

_GENERATOR_NOTES = """\
A prompt begins with `<s>`. `<pad>` and `<s>` are never written, and log-probabilities are those among all other
tokens. The lines above decode greedily, as regard does with `--set method=greedy`. Of a prompt longer than the
`max_tokens` of `export.json` the tokenizer keeps the end, as regard does."""
