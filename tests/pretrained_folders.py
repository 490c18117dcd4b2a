"""Folders as `save_pretrained` of transformers writes them: tiny models and their own tokenizers.

The models are random, with large weights, so that different words get different answers. Loaded by the
fixture `pretrained` of `conftest.py`.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = (
    "1"  # before huggingface_hub is imported: no test touches the network
)

import tokenizers
import torch
import transformers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

TEXTS = (
    "The bank raised its rates.",
    "A man rides a bicycle through the old town.",
    "I did not like it at all.",
    "It was a dark and stormy night.",
    "Ein Mann fährt Rad.",
    "Das ist ein Haus.",
)
SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
    "initializer_range": 0.5,
}
STACKS: dict[str, Any] = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "max_position_embeddings": 64,
    "init_std": 0.5,
}


def wordpiece() -> Any:
    """Tokenizer of a BERT: `[CLS] text [SEP]`; words of more than six letters are cut.

    Its words are not learned: the trainers of WordPiece and Unigram settle ties another way in every process.
    """
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = sorted({word.strip(".").lower() for text in TEXTS for word in text.split()})
    letters = sorted({letter for word in words for letter in word} | {"."})
    pieces = [*letters, *(f"##{letter}" for letter in letters)]
    pieces += [word for word in words if 1 < len(word) <= 6]
    pieces += [piece for word in words if len(word) > 6 for piece in (word[:4], f"##{word[4:]}")]
    vocabulary = {piece: index for index, piece in enumerate(dict.fromkeys([*names, *pieces]))}
    backend = tokenizers.Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    roles = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    inputs = ["input_ids", "token_type_ids", "attention_mask"]
    named = dict(zip(roles, names, strict=True))
    return _fast(backend, **named, model_max_length=64, model_input_names=inputs)


def byte_pairs() -> Any:
    """Tokenizer of a GPT-2: bytes, one special token that begins and ends."""
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    _train_bytes(backend, ["<|endoftext|>"])
    return _fast(backend, bos_token="<|endoftext|>", eos_token="<|endoftext|>")


def marked_byte_pairs() -> Any:
    """Tokenizer of a BART: `<s> text </s>`."""
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    _train_bytes(backend, ["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    return _fast(
        backend,
        bos_token="<s>",
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        mask_token="<mask>",
    )


def unigram() -> Any:
    """Tokenizer of a T5 or a Marian: `text </s>`; short words and letters are its pieces."""
    words = [f"▁{word.strip('.')}" for text in TEXTS for word in text.split()]
    counts = Counter("".join(words)) + Counter(word for word in words if len(word) <= 5)
    total = sum(counts.values())
    pieces = [(piece, math.log(count / total)) for piece, count in sorted(counts.items())]
    specials = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    backend = tokenizers.Tokenizer(models.Unigram([*specials, *pieces, (".", -4.0)], 2, False))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    backend.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    return _fast(backend, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")


def _train_bytes(backend: Any, special_tokens: list[str]) -> None:
    trainer = trainers.BpeTrainer(
        vocab_size=330,
        special_tokens=special_tokens,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(TEXTS, trainer)


def _fast(backend: Any, **names: Any) -> Any:
    return transformers.PreTrainedTokenizerFast(tokenizer_object=backend, **names)


def _bert(kind: str, **more: Any) -> Callable[[], tuple[Any, Any]]:
    def make() -> tuple[Any, Any]:
        tokenizer = wordpiece()
        config = transformers.BertConfig(vocab_size=len(tokenizer), **SIZES, **more)
        return getattr(transformers, kind)(config), tokenizer

    return make


def _labels(*names: str) -> dict[str, Any]:
    return {
        "num_labels": len(names),
        "id2label": dict(enumerate(names)),
        "label2id": {name: index for index, name in enumerate(names)},
    }


def _gpt2(kind: str, **more: Any) -> Callable[[], tuple[Any, Any]]:
    def make() -> tuple[Any, Any]:
        tokenizer = byte_pairs()
        config = transformers.GPT2Config(
            vocab_size=len(tokenizer),
            n_embd=32,
            n_head=4,
            n_layer=2,
            n_positions=64,
            bos_token_id=0,
            eos_token_id=0,
            initializer_range=0.5,
            **more,
        )
        return getattr(transformers, kind)(config), tokenizer

    return make


def _t5() -> tuple[Any, Any]:
    tokenizer = unigram()
    start: dict[str, Any] = {"decoder_start_token_id": 0}
    config = transformers.T5Config(
        vocab_size=len(tokenizer),
        **start,
        d_model=32,
        d_kv=8,
        d_ff=48,
        num_layers=2,
        num_decoder_layers=2,
        num_heads=4,
        pad_token_id=0,
        eos_token_id=1,
        initializer_factor=1.5,
    )
    return transformers.T5ForConditionalGeneration(config), tokenizer


def _marian() -> tuple[Any, Any]:
    tokenizer = unigram()
    config = transformers.MarianConfig(
        vocab_size=len(tokenizer),
        **STACKS,
        pad_token_id=0,
        eos_token_id=1,
        decoder_start_token_id=0,
        forced_eos_token_id=1,
    )
    return transformers.MarianMTModel(config), tokenizer


def _bart() -> tuple[Any, Any]:
    tokenizer = marked_byte_pairs()
    config = transformers.BartConfig(vocab_size=len(tokenizer), **STACKS)
    model = transformers.BartForConditionalGeneration(config)
    model.generation_config.forced_bos_token_id = 0
    model.generation_config.no_repeat_ngram_size = 2
    return model, tokenizer


def _roberta() -> tuple[Any, Any]:
    """A RoBERTa, whose first two rows of positions belong to no token, and whose tokenizer knows no limit."""
    tokenizer = marked_byte_pairs()
    marks: dict[str, Any] = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2}
    sizes = {**SIZES, "max_position_embeddings": 66, "vocab_size": len(tokenizer)}
    config = transformers.RobertaConfig(**sizes, **marks, **_labels("bad", "good"))
    return transformers.RobertaForSequenceClassification(config), tokenizer


def _bart_classifier() -> tuple[Any, Any]:
    tokenizer = marked_byte_pairs()
    config = transformers.BartConfig(
        vocab_size=len(tokenizer), **STACKS, **_labels("bad", "neutral", "good")
    )
    return transformers.BartForSequenceClassification(config), tokenizer


def _bert_to_bert() -> tuple[Any, Any]:
    """Two BERTs, made into one: the mark that begins an answer stands in front of the source, too."""
    tokenizer = wordpiece()
    sizes = {"vocab_size": len(tokenizer), **SIZES}
    model = transformers.EncoderDecoderModel(
        encoder=transformers.BertModel(transformers.BertConfig(**sizes)),
        decoder=transformers.BertLMHeadModel(
            transformers.BertConfig(**sizes, is_decoder=True, add_cross_attention=True)
        ),
    )
    for config in (model.config, model.generation_config):
        config.decoder_start_token_id, config.eos_token_id, config.pad_token_id = 2, 3, 0
    return model, tokenizer


KINDS: dict[str, Callable[[], tuple[Any, Any]]] = {
    "bert": _bert("BertModel"),
    "sentiment": _bert("BertForSequenceClassification", **_labels("bad", "neutral", "good")),
    "topics": _bert(
        "BertForSequenceClassification",
        **_labels("money", "sport", "home"),
        problem_type="multi_label_classification",
    ),
    "unnamed": _bert("BertForSequenceClassification", num_labels=2),
    "shouting": _bert("BertForSequenceClassification", **_labels("NEGATIVE", "POSITIVE")),
    "score": _bert("BertForSequenceClassification", num_labels=1),
    "gpt2": _gpt2("GPT2LMHeadModel"),
    "gpt2-sentiment": _gpt2("GPT2ForSequenceClassification", **_labels("bad", "good")),
    "t5": _t5,
    "marian": _marian,
    "roberta": _roberta,
    "bart-sentiment": _bart_classifier,
    "bart": _bart,
    "bert2bert": _bert_to_bert,
}


def save(kind: str, folder: Path) -> Path:
    """Write a model of a kind, the same every time, and return its folder."""
    torch.manual_seed(0)
    model, tokenizer = KINDS[kind]()
    transformers.utils.logging.disable_progress_bar()
    model.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
