"""What `regard.watch` yields: attention captured while a model runs, sorted into passes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary, ref

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from regard.attention import AttentionMap
from regard.errors import InputError
from regard.integrations.attention_modules import attention_modules, in_a_stack, is_routed
from regard.integrations.captured import AttentionCall, Keep, capture
from regard.integrations.layer_attention import LayerAttention
from regard.integrations.passes import Pass, Run, Search, pass_of
from regard.integrations.seen_pass import SeenPass
from regard.integrations.sites import Site, stack_of
from regard.models import Reading
from regard.viewing import AttentionRecord, Tokens

__all__ = ["Watched"]

MakeCall = Callable[[], tuple[AttentionMap, int, int]]
"""Function that computes the map of a call and gives the positions of its first query and first key."""


class Watched:
    """Attention that `regard.watch` captured: `seen["encoder"]`, `seen["decoder"]`, `seen["cross"]`.

    Each is a list of `LayerAttention`, first layer first. Encoder-decoder models have all three sites, most
    others one; a model with several towers has one for each, `"vision"` and `"text"`, say.

    Texts that the model reads one after the other are kept apart as `passes`: with several, ask one of
    them. A step of generation belongs to the pass whose cache it uses.

    >>> import regard, torch, transformers
    >>> config = transformers.GPT2Config(vocab_size=9, n_embd=8, n_layer=1, n_head=2, n_positions=8)
    >>> model = transformers.GPT2Model(config).eval()
    >>> with regard.watch(model) as seen:
    ...     for batch in ([[1, 2]], [[3, 4, 5]]):  # of any length: memory stays flat
    ...         output = model(torch.tensor(batch))
    ...         print(seen["decoder"][0].shape)
    ...         seen.clear()
    (1, 2, 2, 2)
    (1, 2, 3, 3)

    Args:
        model: the model that is watched.
        keep: statistics to keep.
    """

    def __init__(self, model: nn.Module, keep: Keep) -> None:
        self.keep = keep
        self._model = type(model).__name__
        self._module_names = {id(part): name for name, part in model.named_modules()}
        modules = dict(attention_modules(model))
        self._modules = {
            name: bool(getattr(part, "is_causal", False))
            for name, part in modules.items()
            if in_a_stack(name)
        }
        self._outside = tuple(
            name
            for name, part in modules.items()
            if not in_a_stack(name) and not is_routed(type(part))
        )
        self.is_encoder_decoder: bool = any(
            getattr(getattr(part, "config", None), "is_encoder_decoder", False)
            for part in model.modules()
        )
        self._lock = threading.Lock()
        self._local = threading.local()
        self._has_run = False
        self._passes: list[Pass] = []
        self._by_cache: WeakKeyDictionary[Any, Pass] = WeakKeyDictionary()

    # While the model runs

    @property
    def run(self) -> Run | None:
        """The outermost call of the model that runs on this thread."""
        running: Run | None = getattr(self._local, "run", None)
        return running

    @contextmanager
    def running(
        self, model: nn.Module, *, cache: Any = None, sources: tuple[Tensor, ...] = ()
    ) -> Iterator[Run]:
        """Context of one call of the model or of a model inside it.

        Args:
            model: the model called.
            cache: keys and values of earlier positions that it was given.
            sources: states of an encoder that it was given.
        """
        outermost = self.run is None
        run = self._local.run = self.run or Run()
        run.begin(id(model), cache, sources)
        try:
            yield run
            if outermost:
                self._merge(run)
        finally:
            if outermost:
                self._local.run = None

    @contextmanager
    def searching(self, model: nn.Module) -> Iterator[Search]:
        """Context of one loop of `generate`, whose runs continue one pass."""
        before = getattr(self._local, "search", None)
        search = self._local.search = Search(id(model))
        try:
            yield search
        finally:
            self._local.search = before

    def begin_module(self, module: nn.Module) -> None:
        """Note that the forward pass of an attention module begins."""
        if (run := self.run) is not None:
            name = self._module_names[id(module)]
            run.segment.uses[name] += 1
            run.unseen.append(name)
            run.attended = None

    def end_module(self, module: nn.Module) -> None:
        """Note that the forward pass of an attention module ended.

        Raises:
            InputError: it is a layer, and no attention was observed in it.
        """
        if (run := self.run) is None:
            return
        run.attended = None
        if not run.unseen or run.unseen.pop() == "":
            return
        name = self._module_names[id(module)]
        if in_a_stack(name):
            raise InputError(
                f"{self._model}: {name} ({type(module).__name__}) ran, and its attention was not "
                "observed: it does not go through transformers' AttentionInterface, so the layers that "
                "were observed are not all of them"
            )

    def is_repeated(self, query: Tensor, key: Tensor) -> bool:
        """Return whether the running module has just attended with these arrays.

        DiffLlama attends to two halves of its values with the same weights.
        """
        if (run := self.run) is None or not run.unseen:
            return False
        before, run.attended = run.attended, (query, key)
        return before is not None and all(
            old.data_ptr() == new.data_ptr() and old.shape == new.shape
            for old, new in zip(before, (query, key), strict=True)
        )

    def add_call(
        self,
        module: nn.Module,
        make: MakeCall,
        *,
        causal: bool,
        dense: Callable[[], Tensor] | None = None,
    ) -> None:
        """Capture one call of a layer's attention.

        Args:
            module: the attention module.
            make: computes its map, `(batch, heads, queries, keys)`, unless the layer is not kept.
            causal: whether queries see only earlier keys.
            dense: computes all weights of the map faster than it does itself.

        Raises:
            RegardError: some query has NaN weights.
        """
        name = self._module_names[id(module)]
        run, alone = self.run or Run(), self.run is None
        if run.unseen:
            run.unseen[-1] = ""
        number = run.segment.number(name, stack_of(name))
        call: AttentionCall | None = None
        if self.keep.layers is None or number in self.keep.layers:
            weights, first_query, first_key = make()
            call = capture(
                weights,
                self.keep,
                first_key=first_key,
                first_query=first_query,
                module=name,
                dense=dense,
            )
        run.segment.add(name, call, causal, number)
        if alone:
            self._merge(run)

    def add_layer(self, module: nn.Module, make: MakeCall, *, causal: bool) -> None:
        """Capture an attention as a layer of its own, also if its module has computed another before.

        Args:
            module: the module that computes it.
            make: computes its map, `(batch, heads, queries, keys)`, unless the layer is not kept.
            causal: whether queries see only earlier keys.

        Raises:
            RegardError: some query has NaN weights.
        """
        if self.run is not None:
            self.run.segment.uses[self._module_names[id(module)]] += 1
        self.add_call(module, make, causal=causal)

    def _merge(self, run: Run) -> None:
        """Sort the calls of a run into passes."""
        search: Search | None = getattr(self._local, "search", None)
        self._has_run = True
        with self._lock:
            for segment in run.segments:
                if segment.calls:
                    found = pass_of(segment, self._passes, self._by_cache, search)
                    if found is None:
                        if self._passes:
                            self._seen(self._passes[-1]).close()
                        self._passes.append(found := Pass())
                    found.extend(segment)
                    if search is not None:
                        search.found = found
                        search.keys |= segment.layers()
                    for cache in segment.caches:
                        self._by_cache[cache] = found
                    found.states += [ref(state) for state in segment.states]

    def follow(self, search: Search, beams: NDArray[np.integer[Any]]) -> None:
        """Reorder a pass of beam search by the rows that wrote the tokens of each hypothesis.

        Args:
            search: the loop of `generate`, which has ended.
            beams: `beam_indices` of its answer, `(hypotheses, steps)`.
        """
        with self._lock:
            if search.found is not None and search.recomputed:
                search.found.fault = (
                    "beam search without a cache reads each beam again at every step, and its beams "
                    "are not followed; generate with use_cache=True, or run the finished text once more"
                )
            elif search.found is not None:
                search.found.follow(search.keys, beams)

    def rearrange(self, cache: Any, rows: Callable[[int], NDArray[np.integer[Any]]]) -> None:
        """Change the examples of the pass that uses a cache, as the cache was changed.

        Args:
            cache: keys and values of earlier positions.
            rows: gives the rows that it takes, of the size of the batch.
        """
        search: Search | None = getattr(self._local, "search", None)
        with self._lock:
            found = self._by_cache.get(cache)
            if found is not None and not (search is not None and search.has_beams):
                found.rearrange(rows)

    def cut(self, search: Search, end: int) -> None:
        """Remove the positions that a search read and then rejected, from `end` on."""
        with self._lock:
            if search.found is not None:
                search.found.cut(end, search.keys)

    def finish(self) -> None:
        """Compute the rollouts and release the maps that were held only for them.

        Raises:
            InputError: the model ran, but no attention call was observed.
        """
        if self._has_run and not self._passes:
            raise InputError(
                f"{self._model} ran, but no attention call was observed: its attention does not go "
                "through AttentionInterface, so there is nothing to show"
            )
        for each in self.passes:
            each.close()

    # Afterwards, or between two batches

    def clear(self) -> None:
        """Forget what was captured so far, so that memory stays flat over many batches."""
        with self._lock:
            self._passes.clear()
            self._by_cache.clear()
            self._has_run = False

    def _seen(self, calls: Pass) -> SeenPass:
        return SeenPass(
            calls,
            model=self._model,
            modules=self._modules,
            keep=self.keep,
            is_encoder_decoder=self.is_encoder_decoder,
            outside=self._outside,
        )

    @property
    def passes(self) -> list[SeenPass]:
        """Attention of each text, or batch of texts, in the order in which the model read them."""
        return [self._seen(each) for each in self._passes]

    def _only(self) -> SeenPass:
        """The single pass."""
        passes = self.passes
        if not passes:
            raise InputError(
                f"no attention call was observed; run {self._model} inside `with regard.watch(...)`"
            )
        if len(passes) > 1:
            raise InputError(
                f"{self._model} read {len(passes)} texts or batches, which are kept apart; ask one of "
                "seen.passes, seen.passes[-1] say, or call seen.clear() after each"
            )
        return passes[0]

    @property
    def sites(self) -> list[Site]:
        """Sites where attention was observed: towers by name, then encoder, decoder, cross."""
        return self._only().sites if self._passes else []

    def __getitem__(self, site: str) -> list[LayerAttention]:
        return self._only()[site]

    def rollout(self, site: Site) -> NDArray[np.float32]:
        """Return how much of each input reaches the chosen queries, `(batch, chosen, length)`.

        Attention rollout multiplies the maps of all layers, each averaged over its heads and mixed
        with the residual connection (Abnar and Zuidema 2020).

        Raises:
            InputError: rollout was not kept, the text was processed in several steps, or there are
                several passes.
        """
        return self._only().rollout(site)

    def record(
        self,
        text: Tokens,
        target: Tokens | None = None,
        *,
        example: int = 0,
        mask: ArrayLike | None = None,
        title: str = "",
        reading: Reading = "output",
    ) -> AttentionRecord:
        """Make a record of one example of the only pass: `SeenPass.record`, which says more.

        Raises:
            InputError: a padded batch of texts too long to be kept in full; a statistic not kept;
                several passes.
            ShapeError: tokens or mask that do not fit the maps.
        """
        return self._only().record(
            text, target, example=example, mask=mask, title=title, reading=reading
        )
