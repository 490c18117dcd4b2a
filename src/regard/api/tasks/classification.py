"""Classification: one label of several for a text, or any number of them."""

# pyright: reportIncompatibleVariableOverride=false
# The class narrows `network` to the contract of its task; nobody assigns another kind of network.

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from regard.api.config.settings import RunSettings
from regard.api.tasks.answers import (
    Classification,
    check_no_reading,
    check_unchanged,
    cut_note,
    empty_text_error,
    weights_version,
)
from regard.api.tasks.baseline import baseline
from regard.api.tasks.explaining import explain
from regard.api.tasks.labels import LabelledTexts, label_names, label_targets, majority_scores
from regard.api.tasks.model import (
    EncodedExamples,
    Evaluation,
    Model,
    answer_nonempty,
    build_untrained,
    device_of,
    in_chunks,
    network_from_config,
    pad_batch,
    read_tokenizer,
    train_tokenizer,
)
from regard.api.tasks.records import Maps, make_record
from regard.api.tasks.tokens import input_tokens
from regard.cancel import check_cancelled
from regard.choices import Task
from regard.data import Example, token_batches
from regard.data.ragged import Ragged
from regard.decoding import DecodingSettings, Reading
from regard.engines import Each, Here
from regard.errors import InputError
from regard.evaluation import (
    ClassificationScores,
    MultilabelScores,
    score_label_sets,
    score_labels,
)
from regard.evaluation.faithfulness.adapters import adapt_classifier
from regard.layers.intervene import replaced_pooling
from regard.models import Classifier as Network
from regard.models import Output, configure
from regard.text import Encoding, SentencePair, TextOrPair, Tokenizer, to_text
from regard.text.marked import MarkedTokenizer
from regard.training import Batch, Loss, smoothed_cross_entropy
from regard.training.batch import labelled_batch
from regard.viewing import AttentionRecord, Tokens, Track
from regard.viewing.data.explanation import Explanation, Prediction

__all__ = ["Classifier"]


class Classifier(Model):
    """Model that finds the label of a text, or all labels that apply.

    Attributes:
        labels: all labels it knows.
        multilabel: whether a text may have any number of labels, each a yes or no of its own.
    """

    task: ClassVar[Task] = "classification"
    verb: ClassVar[str] = "classify"
    fits_baseline: ClassVar[bool] = True
    # Later epochs of equal accuracy are surer of themselves and no better (docs/log.md).
    keep_earliest: ClassVar[bool] = True
    metrics: ClassVar[tuple[str, ...]] = ("loss", "accuracy", "macro_f1")
    network: Network

    def __init__(
        self,
        settings: RunSettings,
        network: nn.Module,
        tokenizer: Tokenizer,
        labels: Sequence[str],
        *,
        multilabel: bool,
    ) -> None:
        super().__init__(settings, network)
        self.tokenizer: Tokenizer = tokenizer
        self.labels: tuple[str, ...] = tuple(labels)
        self.multilabel: bool = multilabel

    @classmethod
    def from_examples(cls, examples: Sequence[Example], settings: RunSettings) -> Self:
        """Learn vocabulary and labels from the training part."""
        labels, multilabel = label_names(examples)
        tokenizer = train_tokenizer([example.text for example in examples], settings)
        if settings.model.get("marks"):
            tokenizer = MarkedTokenizer(tokenizer)
        values = {**settings.model, "size": len(tokenizer), "labels": len(labels)}
        network = build_untrained(settings, configure(settings.kind, settings.preset, **values))
        return cls(settings, network, tokenizer, labels, multilabel=multilabel)

    @classmethod
    def from_folder(cls, folder: Path, settings: RunSettings, config: Mapping[str, Any]) -> Self:
        """Read tokenizer and labels."""
        rows, marks = config["model"]["size"], bool(config["model"].get("marks"))
        tokenizer = read_tokenizer(folder, "source.json", rows - marks)
        if marks:
            tokenizer = MarkedTokenizer(tokenizer)
        network, labels = network_from_config(config), config["labels"]
        return cls(settings, network, tokenizer, labels, multilabel=config["multilabel"])

    def save_tokenizers(self, folder: Path) -> dict[str, Any]:
        """Write the tokenizer; labels go to `config.json`."""
        self.tokenizer.save(folder / "source.json")
        model = self.network.settings.model_dump()
        return {"model": model, "labels": list(self.labels), "multilabel": self.multilabel}

    # Training

    def encode_examples(self, examples: Sequence[Example], *, training: bool) -> LabelledTexts:
        """Texts are cut to `max_tokens`."""
        targets = label_targets(examples, self.labels, multilabel=self.multilabel)
        limit, cut = self.settings.text.max_tokens, 0

        def rows() -> Iterator[list[int]]:
            nonlocal cut
            for chunk in in_chunks(examples):
                for encoding in self.tokenizer.encode_batch([e.text for e in chunk]):
                    cut += len(encoding) > limit
                    yield encoding.first(limit).ids or [0]

        texts = Ragged(rows())
        return LabelledTexts(
            texts.lengths,
            lambda indices: labelled_batch(texts, targets, indices),
            {},
            texts,
            targets,
            cut=cut,
        )

    def fit_features(self, examples: EncodedExamples) -> str:
        """Choose the n-grams of a network that has some, and fit their weights."""
        assert isinstance(examples, LabelledTexts)
        self.network.fit_features(self.tokenizer.spelling, examples.ids(), examples.targets)
        return ""

    def refit(self, parts: Sequence[EncodedExamples]) -> bool:
        """Refit the n-gram weights of a network that has some, on all parts together."""
        labelled = [part for part in parts if isinstance(part, LabelledTexts)]
        texts = [ids for part in labelled for ids in part.ids()]
        return self.network.refit(texts, torch.cat([part.targets for part in labelled]))

    def loss(self, network: nn.Module, batch: Batch) -> Loss:
        """Label-smoothed cross entropy; with several labels, the binary one of each label.

        The members of an ensemble are trained each by its own loss; the mean is returned.
        """
        smoothing = self.settings.training.label_smoothing
        output = network(batch.source, batch.source_lengths)
        members = output.logits[None] if output.ensemble_logits is None else output.ensemble_logits
        losses = [self._loss(logits, batch, smoothing).value for logits in members]
        with torch.no_grad():
            plain = self._loss(output.logits, batch, 0.0).value  # as a validation measures it
        return Loss(torch.stack(losses).mean(), len(batch), plain)

    def _loss(self, logits: Tensor, batch: Batch, smoothing: float) -> Loss:
        assert batch.target is not None
        if self.multilabel:
            target = batch.target * (1 - smoothing) + smoothing / 2
            value = F.binary_cross_entropy_with_logits(logits.float(), target, reduction="sum")
            return Loss(value / len(self.labels), len(batch))
        value = smoothed_cross_entropy(logits, batch.target, smoothing=smoothing, ignore_index=-1)
        return Loss(value, len(batch))

    def validator(
        self, examples: Sequence[Example], encoded: EncodedExamples
    ) -> Callable[[nn.Module], dict[str, float]]:
        """Loss, accuracy (of whole sets of labels, where there may be several) and macro F1."""
        batches = list(encoded.one_pass(32768))
        order = [index for batch in batches for index in batch.indices]
        gold = [examples[index].labels for index in order]

        def validate(network: nn.Module) -> dict[str, float]:
            device = device_of(network)
            total, found = 0.0, []
            for batch in (batch.to(device) for batch in batches):
                logits = network(batch.source, batch.source_lengths).logits
                total += float(self._loss(logits, batch, 0.0).value)
                found.append(self._probabilities(logits))
            scored = self._scored(gold, np.concatenate(found))
            whole = (
                scored.subset_accuracy if isinstance(scored, MultilabelScores) else scored.accuracy
            )
            return {
                "loss": total / len(gold),
                "accuracy": whole.value,
                "macro_f1": scored.macro_f1.value,
            }

        return validate

    def floors(self, examples: Sequence[Example]) -> Mapping[str, float]:
        """Scores of always answering the most frequent label, or set of labels."""
        gold = [example.labels for example in examples]
        return majority_scores(gold, self.labels, multilabel=self.multilabel)

    def _probabilities(self, logits: Tensor) -> NDArray[np.float64]:
        logits = logits.double()
        found = logits.sigmoid() if self.multilabel else logits.softmax(-1)
        return np.asarray(found.cpu())

    def _scored(
        self, gold: Sequence[Sequence[str]], probabilities: NDArray[np.float64]
    ) -> ClassificationScores | MultilabelScores:
        if self.multilabel:
            sets = [self._applying(row) for row in probabilities]
            return score_label_sets([set(g) for g in gold], sets, labels=self.labels)
        predicted = [self.labels[best] for best in probabilities.argmax(axis=1)]
        right = [labels[0] for labels in gold]
        return score_labels(right, predicted, labels=self.labels, probabilities=probabilities)

    def _applying(self, row: NDArray[np.float64]) -> list[str]:
        if not self.multilabel:
            return [self.labels[int(row.argmax())]]
        return [self.labels[i] for i in np.argsort(-row, kind="stable") if row[i] >= 0.5]

    def evaluate(
        self,
        examples: Sequence[Example],
        *,
        train: Sequence[Example] | None = None,
        settings: DecodingSettings | None = None,
        note: str = "",
        each: Each | None = None,
    ) -> Evaluation:
        """Accuracy and F1, beside TF-IDF of words with logistic regression."""
        label_targets(examples, self.labels, multilabel=self.multilabel)  # errors before any work
        gold = [example.labels for example in examples]
        texts = [example.text for example in examples]
        sequences, batches = self._batches(self.tokenizer.encode_batch(texts))
        rows = (each or Here(self))(
            Classifier.probabilities_of, [[sequences[i] for i in batch] for batch in batches]
        )
        probabilities = np.empty((len(sequences), len(self.labels)))
        for batch, row in zip(batches, rows, strict=True):
            probabilities[batch] = row
        found = self._scored(gold, probabilities)
        baselines = {}
        try:
            if train is not None:
                simple = self._scored(gold, baseline(train, texts, self.labels, self.multilabel))
                baselines["TF-IDF, logistic regression"] = simple.scores
        except InputError as error:
            note = f"no baseline: {error}"
        return Evaluation(len(examples), found.scores, baselines, note=note, details=found.table())

    # Answering

    def classify(
        self, texts: str | Sequence[TextOrPair], *, attention: bool = False
    ) -> list[Classification]:
        """Label some texts.

        Args:
            texts: one or several; an empty one has no labels. Two that are read together, such as premise and
                hypothesis, are a tuple.
            attention: keep the attention to each token (`Classification.aligned`), which otherwise
                takes one more forward pass for each text.
        """
        read = [texts] if isinstance(texts, str) else [self._read_as(text) for text in texts]

        def classified(nonempty: list[str]) -> list[Classification]:
            encodings = self.tokenizer.encode_batch(nonempty)
            probabilities, weights = self._predict(encodings, attention=attention)
            since = weights_version(self.network)
            triples = zip(encodings, probabilities, weights, strict=True)
            return [self._to_answer(*triple, since=since) for triple in triples]

        return answer_nonempty(read, classified, lambda text: Classification(text=text))

    def _read_as(self, text: TextOrPair) -> str:
        """A text, or a pair if the model reads pairs.

        Raises:
            InputError: a pair for a model that reads one text.
        """
        read = to_text(text)
        if isinstance(read, SentencePair) and not self.reads_pairs:
            raise InputError(
                "this model reads one text at a time, and a pair would be read as one; give one text, "
                "joined as the model was trained"
            )
        return read

    @property
    def reads_pairs(self) -> bool:
        """Whether it reads two texts as a pair: by marks between them, or as it was trained on two columns."""
        if self.tokenizer.marks_pairs:
            return True
        columns = self.data_facts.get("columns") or {}
        text = columns.get("text") or ()
        return (
            not isinstance(text, int)
            and len(text.split(",") if isinstance(text, str) else text) == 2
        )

    def reweigh(self, text: TextOrPair, strengths: ArrayLike) -> Classification:
        r"""Label a text with its attention changed by a factor for each token.

        .. math:: a'_i = \frac{s_i a_i}{\sum_j s_j a_j}

        Strength 1 leaves a token as it is, 0 knocks it out. Only the pooling changes: layers before it
        (and n-grams beside it) still read every token.

        Args:
            text: not empty.
            strengths: one per token (`input_tokens`), at least 0.

        Raises:
            InputError: a wrong number of strengths, all zero, or a model that does not pool by attention.
        """
        encoding = self.tokenizer.encode(self._read_as(text))
        ids = encoding.first(self.settings.text.max_tokens).ids
        factors = np.asarray(strengths, dtype=np.float64)
        if factors.shape != (len(ids),):
            raise InputError(f"{factors.size} strengths for {len(ids)} tokens; give one each")
        if not (np.isfinite(factors).all() and (factors >= 0).all() and (factors > 0).any()):
            raise InputError("strengths must be at least 0, and one above; 1 changes nothing")
        if not self.pools_by_attention:
            raise InputError(
                f"a {self.settings.kind} with these settings does not pool by attention, so there "
                "are no weights to change; try a model with pooling"
            )
        weights = adapt_classifier(self.network).attention([ids])[0] * factors
        weights = weights / np.maximum(weights.sum(-1, keepdims=True), np.finfo(float).tiny)
        device = device_of(self.network)
        batch, lengths = pad_batch([ids], device)
        with (
            torch.inference_mode(),
            replaced_pooling(self.network, torch.from_numpy(weights[None]).to(device)),
        ):
            row = self._probabilities(self.network(batch, lengths).logits)[0]
        return replace(self._to_answer(encoding, row, weights), view=None)

    @property
    def pools_by_attention(self) -> bool:
        """True if it pools by attention, so that `reweigh` has weights to change."""
        return self.network.pools_by_attention

    def input_tokens(self, text: TextOrPair) -> Tokens:
        """Tokens of a text as the network reads them; `reweigh` counts them."""
        return self._read_tokens(self.tokenizer.encode(self._read_as(text)))

    def _batches(self, encodings: Sequence[Encoding]) -> tuple[list[list[int]], list[list[int]]]:
        """Ids of each text as the network reads them, and the indices of those that it reads together."""
        limit = self.settings.text.max_tokens
        sequences = [encoding.first(limit).ids or [0] for encoding in encodings]
        return sequences, [*_alike_batches(encodings, [len(s) for s in sequences])]

    @torch.inference_mode()
    def probabilities_of(self, sequences: Sequence[Sequence[int]]) -> NDArray[np.float64]:
        """Probabilities `(texts, labels)` of one batch of token ids."""
        check_cancelled()
        output = self.network(*pad_batch(sequences, device_of(self.network)))
        return self._probabilities(output.logits)

    @torch.inference_mode()
    def _predict(
        self, encodings: Sequence[Encoding], *, attention: bool = False
    ) -> tuple[NDArray[np.float64], list[NDArray[np.float64] | None]]:
        """Probabilities `(texts, labels)`, and the attention to tokens `(heads, tokens)` of each text."""
        device = device_of(self.network)
        sequences, batches = self._batches(encodings)
        probabilities = np.empty((len(sequences), len(self.labels)))
        attended: list[NDArray[np.float64] | None] = [None] * len(sequences)
        for indices in batches:
            check_cancelled()
            ids, lengths = pad_batch([sequences[index] for index in indices], device)
            output = self.network(ids, lengths)
            probabilities[indices] = self._probabilities(output.logits)
            if attention:
                weights = self.network.token_attention(output.maps, lengths).double()
                for index, row in zip(indices, weights.numpy(force=True), strict=True):
                    attended[index] = row[:, : min(len(sequences[index]), len(encodings[index]))]
        return probabilities, attended

    def _to_answer(
        self,
        encoding: Encoding,
        row: NDArray[np.float64],
        weights: NDArray[np.float64] | None = None,
        *,
        since: int | None = None,
    ) -> Classification:
        """Answer from probabilities and attention; `since`: `weights_version` of the network that gave them."""
        order, likely = np.argsort(-row, kind="stable").tolist(), row.tolist()
        since = weights_version(self.network) if since is None else since
        views = _Views(self, encoding, weights, since)
        return Classification(
            text=encoding.text,
            label=self.labels[order[0]],
            labels=tuple(self._applying(row)),
            probabilities={self.labels[i]: likely[i] for i in order},
            tokens=tuple(encoding.surfaces),
            note=cut_note(min(self.settings.text.max_tokens, len(encoding)), len(encoding)),
            view=views.all,
            alignment_view=views.aligned,
        )

    # Views

    def look(
        self, text: TextOrPair, target: str | None = None, *, reading: Reading | None = None
    ) -> AttentionRecord:
        """Record of the attention while the network reads `text`."""
        if target is not None:
            raise InputError("a classifier writes no text, so it takes no target")
        check_no_reading(reading)
        read = self._read_as(text)
        if not read.strip():
            raise empty_text_error()
        return self._view(self.tokenizer.encode(read))[1]

    def _read_tokens(self, encoding: Encoding) -> Tokens:
        return input_tokens(encoding.first(self.settings.text.max_tokens), end=False)

    def _alignment_view(
        self, encoding: Encoding, weights: NDArray[np.float64] | None
    ) -> AttentionRecord:
        """One map: `weights` `(heads, tokens)`, or if there are none, those of a forward pass."""
        tokens = self._read_tokens(encoding)
        if weights is None:
            ids = encoding.first(len(tokens)).ids
            weights = adapt_classifier(self.network).attention([ids])[0]
        reader = Tokens.of(["reader"], special=["reader"])
        members = getattr(self.network.settings, "members", 1)  # whose heads are concatenated
        track = Track("pooling", "pooling", "reader", "text", weights[:, None], members=members)
        return AttentionRecord({"reader": reader, "text": tokens}, (track,), verdict=self.verdict)

    @torch.no_grad()
    def _view(self, encoding: Encoding) -> tuple[Maps, AttentionRecord]:
        output = self._forward(encoding)
        tokens = {"text": self._read_tokens(encoding)}
        record = make_record(output.maps, tokens, title=encoding.text, verdict=self.verdict)
        row = self._probabilities(output.logits)[0]
        likely = tuple((self.labels[i], float(row[i])) for i in np.argsort(-row, kind="stable"))
        return output.maps, replace(
            record,
            prediction=Prediction(tuple(self._applying(row)), likely),
            explanation=self._explanation(encoding, output),
        )

    def _forward(self, encoding: Encoding) -> Output:
        """Result of a pass over one text."""
        ids = encoding.first(self.settings.text.max_tokens).ids
        if not ids:
            raise empty_text_error()
        output: Output = self.network(*pad_batch([ids], device_of(self.network)))
        return output

    @torch.no_grad()
    def explain(self, text: TextOrPair) -> Explanation:
        """How much each word of a text counts for its likeliest label, by every method side by side.

        Attention, the contribution of n-grams (of a model that has some), and the effect of leaving the word
        out, which classifies the text again without each of its words.

        Raises:
            InputError: the text is empty.
        """
        read = self._read_as(text)
        if not read.strip():
            raise empty_text_error()
        encoding = self.tokenizer.encode(read)
        return self._explanation(encoding, self._forward(encoding))

    def _explanation(self, encoding: Encoding, output: Output) -> Explanation:
        label = int(output.logits[0].argmax())
        return explain(
            self.network,
            encoding.first(self.settings.text.max_tokens).ids,
            self._read_tokens(encoding),
            output,
            label=label,
            label_name=self.labels[label],
            multilabel=self.multilabel,
            findings=self.findings,
        )


class _Views(NamedTuple):
    """What an answer shows when it is asked.

    One object of an answer and not several closures: of ten thousand answers these were most of what Python's
    garbage collector walks through, which took a third of the time to classify.

    Attributes:
        model: which gave the answer.
        encoding: of the text.
        weights: attention `(heads, tokens)` that was kept, if any.
        since: `weights_version` of the network at the answer.
    """

    model: Classifier
    encoding: Encoding
    weights: NDArray[np.float64] | None
    since: int

    def all(self, reading: Reading | None) -> tuple[Maps, AttentionRecord]:
        """All maps, and their record."""
        self._check(reading)
        return self.model._view(self.encoding)

    def aligned(self, reading: Reading | None) -> AttentionRecord:
        """Record of the attention to each token."""
        self._check(reading)
        return self.model._alignment_view(self.encoding, self.weights)

    def _check(self, reading: Reading | None) -> None:
        check_no_reading(reading)
        check_unchanged(self.model.network, self.since)


def _alike_batches(encodings: Sequence[Encoding], lengths: Sequence[int]) -> Iterator[list[int]]:
    """Batches of texts, and of pairs: some networks count the marks of a batch, which must be equal."""
    for pairs in (False, True):
        group = [i for i, encoding in enumerate(encodings) if bool(encoding.segments) == pairs]
        if len(group) == 1:  # as one text alone always is
            yield group
            continue
        for batch in token_batches([lengths[i] for i in group], max_tokens=16384):
            yield [group[i] for i in batch]
