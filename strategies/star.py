"""STAR [1]: spread labels from labeled slices to their neighbors by attention, and ask for the least similar slices.

A case is cut into groups of j + 1 slices, from one initially labeled slice to the next. A round has two stages: the
supervised training that all strategies share, whose network is tested; then training on pairs of neighboring labeled
slices, in which a second encoder remembers one slice with its mask and attention passes that on to the other. The
network then segments every unlabeled slice from the labeled slices of its group. The slices whose features are least
similar to those are asked for, and the predictions with the lowest entropy are pseudo-labels of the next round.

Presets: `paper` is [1], with the repairs below; `reference` is the authors' code [2], which differs in

    grouping=sliding, similarity=multiscale, selection=global, pseudo_as_memory=true, refill=false, entropy=half,
    pairs=forward, val_pair_stride=1, batch_norm=frozen, value_init=random, propagation_lr=5e-5,
    propagation_patience=5

and needs `--set training.lr_incremental=1e-4 --set network.upsample=nearest --set network.dropout=0` beside. An option
that is given comes before its preset; `null` counts as not given. Of [2], normalization frozen in the first stage too,
separate augmentation of the slices of a pair and a loss divided by the batch size again are not reproduced.

Differences from the paper:
- Pairs in both directions. [1] does not say; in [2] the lower slice always helps the upper one, but groups have labels
  on both sides.
- Validation pairs are j slices apart, as far as labels are spread. [1] does not say; [2] takes adjacent slices.
- The decoder's upsampling is bilinear, as in the network that [2] is derived from; in [2] it is nearest.
- Eq. 4 leaves the features open: here the bottleneck as one vector (`similarity=flat`).
- Each group names its least similar slice, as in [1], and of these the b lowest are asked for, because there are more
  groups than b; if there are fewer groups, their second choices follow (`selection=group-first`).
- Eq. 2 divides by the root of the depth of the keys, D/8, which [1] calls D like that of the features.
- Two key/value heads as in [2], one for each encoder; Eq. 1 has one (`share_kv=true`).
- The encoder of labeled slices also sees the background, 1 - mask, as in [2].
- The propagation loss, which [1] does not name, is binary cross-entropy as in [2] (`propagation_loss`).
- Learning rates: [1] gives 1e-4 for supervised and 1e-5 for incremental training. Both stages use the former in
  round 0 and the latter in later rounds (`propagation_lr=1e-5` for the second stage in all rounds).
- The second stage stops after twice the epochs without progress, 10 for the 5 of [1] (`propagation_patience=5`): with
  few pairs its validation loss rises and falls while attention is learned.
- A slice in several groups gets the mean of its predictions, as in [2].
- A queried slice is no pseudo-label, and the next one takes its place (`refill`).
- The bottleneck has dropout, like that of every other strategy here.
- Weights start at random or from ImageNet; those of [2] start from a video segmentation network that [1] does not name,
  whose attention is trained already. Without that, value heads with random weights are learned too slowly: they start
  as the identity instead (`value_init=random` for the other).
- Padding is neither attended to nor compared.
- While no case has two labeled slices there are no pairs, and slices are segmented without attention.
- Without attention there is no trained encoder of labeled slices; Eq. 4 then compares features of the other encoder,
  which does not see the mask.

[1] Ma et al. Spatial Aggregation for Semi-supervised Active Learning in 3D Medical Image Segmentation. MICCAI 2025.
[2] github.com/HelenMa9998/STAR
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field

from albench.acquisition import Scores, binarize, binary_entropy
from albench.errors import StrategyError
from albench.masks import Ids, Mask, PackedMasks
from albench.pool import Pool
from albench.strategies._star.figures import attention_arrays, histogram
from albench.strategies._star.groups import Direction, fixed_groups, neighbors, pairs_at_stride, rank_in_group, windows
from albench.strategies._star.network import StarNetwork
from albench.strategies._star.propagation import Aggregation, Propagation, Rules, propagate
from albench.strategies._star.similarity import SIMILARITIES, Similarity
from albench.strategies._star.training import PairLoss, Pairs, train_propagation
from albench.strategy import Query, Round, Strategy, Task, register
from albench.training.learner import Batch, Weights

_PRESET: Any = None  # in the place of a default that the preset decides
_COMPARED = 8  # of so many slices one is segmented without attention too, to be compared: it takes time
_ENTROPIES = {"binary": binary_entropy, "half": torch.special.entr}

PRESETS: Mapping[str, Mapping[str, object]] = {
    "paper": {
        "grouping": "fixed",
        "similarity": "flat",
        "selection": "group-first",
        "pseudo_as_memory": False,
        "refill": True,
        "entropy": "binary",
        "pairs": "both",
        "val_pair_stride": None,
        "batch_norm": "train",
        "value_init": "identity",
        "propagation_lr": None,
        "propagation_patience": None,
    },
    "reference": {
        "grouping": "sliding",
        "similarity": "multiscale",
        "selection": "global",
        "pseudo_as_memory": True,
        "refill": False,
        "entropy": "half",
        "pairs": "forward",
        "val_pair_stride": 1,
        "batch_norm": "frozen",
        "value_init": "random",
        "propagation_lr": 5e-5,
        "propagation_patience": 5,
    },
}

TABLE_2: tuple[Mapping[str, str], ...] = (
    {"aggregation": "none", "query_rule": "random"},
    {"aggregation": "none", "query_rule": "similarity"},
    {"aggregation": "attention", "query_rule": "random"},
    {"aggregation": "self", "query_rule": "similarity"},
    {"aggregation": "attention", "query_rule": "similarity"},
)
"""Options of the rows of Table 2, in its order. Row 1 is `random`; row 4 is the table's "CEAL"."""


@register("star")
@dataclass(frozen=True)
class Star(Strategy):
    """Spatial aggregation.

    Attributes:
        preset: decides every option below that is not given (see above).
        aggregation: pseudo-labels by `attention` over labeled slices, from the slice's `self` alone, or `none`.
        query_rule: ask for the slices with the least `similarity`, or at `random`.
        pseudo_count: pseudo-labels per round; None takes as many as are bought.
        share_kv: one key/value head for both encoders.
        value_init: initial weights of the value heads: `identity` passes features on, so that the decoder knows them.
        propagation_loss: of the second stage: binary cross-entropy, or the focal loss of the first stage.
        grouping: `fixed` groups from one initial slice to the next, or a `sliding` one from every labeled slice.
        similarity: cosine of bottlenecks as one vector (`flat`), averaged over positions (`positional`), or averaged
            over positions of three layers (`multiscale`).
        selection: the lowest similarities of all (`global`), or of those that the groups name (`group-first`).
        pseudo_as_memory: treat pseudo-labeled slices as labeled ones in pairs and groups, and do not ask for them,
            while enough others are left to ask for.
        refill: choose pseudo-labels after the slices to ask for are gone; false drops those that are asked for.
        entropy: of both classes (`binary`), or only the term of the foreground (`half`).
        pairs: whether a pair's slices help each other (`both`) or only the lower one the upper one (`forward`).
        val_pair_stride: distance of validation pairs; None takes the interval of the initial labels.
        batch_norm: whether normalization is in `train` mode or `frozen` in the second stage.
        propagation_lr: learning rate of the second stage; None takes that of the first stage in the same round.
        propagation_patience: epochs without a lower validation loss before the second stage stops; None takes twice
            those of the first stage.
    """

    kind: ClassVar = "semi-supervised"
    needs: ClassVar[str] = "a second encoder with attention, and a second training stage"
    paper: ClassVar[str] = "Ma et al., MICCAI 2025"

    preset: Literal["paper", "reference"] = "paper"
    aggregation: Aggregation = "attention"
    query_rule: Literal["similarity", "random"] = "similarity"
    pseudo_count: Annotated[int, Field(ge=0)] | None = None
    share_kv: bool = False
    value_init: Literal["identity", "random"] = _PRESET
    propagation_loss: PairLoss = "bce"
    grouping: Literal["fixed", "sliding"] = _PRESET
    similarity: Similarity = _PRESET
    selection: Literal["global", "group-first"] = _PRESET
    pseudo_as_memory: bool = _PRESET
    refill: bool = _PRESET
    entropy: Literal["binary", "half"] = _PRESET
    pairs: Direction = _PRESET
    val_pair_stride: Annotated[int, Field(ge=1)] | None = None
    batch_norm: Literal["train", "frozen"] = _PRESET
    propagation_lr: Annotated[float, Field(gt=0)] | None = None
    propagation_patience: Annotated[int, Field(ge=1)] | None = None

    def __post_init__(self) -> None:
        for name, value in PRESETS[self.preset].items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)

    def network(self, task: Task) -> StarNetwork:
        """The shared segmenter with the labeled slices' encoder and attention."""
        return StarNetwork(task, share_kv=self.share_kv, identity=self.value_init == "identity")

    def query(self, ctx: Round) -> Query:
        """Train the second stage, propagate, and choose; `fit` was the first stage."""
        if self.aggregation == "none" and self.query_rule == "random":
            return Query(_random(ctx, ctx.pool.unlabeled))
        network = ctx.learner.network
        assert isinstance(network, StarNetwork)
        memory, candidates = self._memory(ctx)
        groups = self._groups(ctx.pool, memory, ctx.interval)
        aggregation, before, pairs = self.aggregation, None, np.empty((0, 2), dtype=np.int64)
        if aggregation == "attention":
            before = ctx.learner.weights()
            pairs = self._second_stage(ctx, network, memory)
            aggregation = "attention" if len(pairs) else "self"
        rules = Rules(aggregation, SIMILARITIES[self.similarity], _ENTROPIES[self.entropy])
        found = propagate(network, ctx.learner, candidates, memory, groups, rules)
        if aggregation != "none" and not np.isfinite(found.entropy).all():
            raise StrategyError("predictions must be finite, some are not: lower strategy.propagation_lr")
        asked = (
            _random(ctx, candidates) if self.query_rule == "random" else self._least_similar(found, groups, ctx.budget)
        )
        pseudo = self._most_certain(found, asked, ctx.budget) if aggregation != "none" else []
        return Query(
            asked,
            found.masks.only(pseudo),
            scores=_all_scores(ctx, found),
            notes={"pairs": len(pairs), "groups": sum(map(len, groups))} | histogram(found.similarity),
            predictions=self._predictions(ctx, found, before, pseudo),
            arrays=attention_arrays(found.attention, found.masks, memory, ctx.pool),
        )

    def _memory(self, ctx: Round) -> tuple[dict[int, Mask], Ids]:
        """{id: mask} of the slices that count as labeled, and the ids that can be asked for."""
        memory = {int(i): ctx.pool.mask(int(i)) for i in ctx.pool.labeled}
        unlabeled = ctx.pool.unlabeled
        rest = np.setdiff1d(unlabeled, list(ctx.pseudo))
        if self.pseudo_as_memory and len(rest) >= ctx.budget:
            return memory | dict(ctx.pseudo), rest
        return memory, unlabeled

    def _groups(self, pool: Pool, memory: Mapping[int, Mask], interval: int) -> list[list[Ids]]:
        """Of each case the ids in each of its groups."""
        groups = []
        for case in range(len(pool.slices.cases)):
            ids = pool.slices.of(case)
            if self.grouping == "fixed":
                found = fixed_groups(len(ids), interval)
            else:
                found = windows(len(ids), interval, np.flatnonzero(np.isin(ids, list(memory))).tolist())
            groups.append([ids[group.start : group.stop] for group in found])
        return groups

    def _second_stage(self, ctx: Round, network: StarNetwork, memory: Mapping[int, Mask]) -> Ids:
        """Train on pairs of closest labeled slices; the pairs. Without any there is nothing to train on."""
        learner, slices, val = ctx.learner, ctx.pool.slices, ctx.learner.validation
        pairs = neighbors(np.array(sorted(memory), dtype=np.int64), slices.case, self.pairs)

        def labeled(ids: Ids) -> Batch:
            return learner.batch(slices, ids, np.stack([memory[i] for i in ids.tolist()]))

        if len(pairs):
            val_pairs = pairs_at_stride(val.slices.case, self.val_pair_stride or ctx.interval, self.pairs)
            train_propagation(
                network,
                learner,
                Pairs(pairs, labeled),
                Pairs(val_pairs, lambda ids: learner.batch(val.slices, ids, val.masks(ids))),
                lr=self.propagation_lr or learner.lr,
                patience=self.propagation_patience or 2 * learner.training.patience,
                loss=self.propagation_loss,
                freeze_norm=self.batch_norm == "frozen",
            )
        return pairs

    def _least_similar(self, found: Propagation, groups: Sequence[Sequence[Ids]], budget: int) -> Ids:
        """The slices that are least like the labeled slices of their groups (Sec. 2.2)."""
        first = np.zeros(len(found.ids))
        if self.selection == "group-first":
            rows = [np.flatnonzero(np.isin(found.ids, group)) for own in groups for group in own]
            first = rank_in_group(rows, found.similarity)
        return found.ids[np.lexsort((found.ids, found.similarity, first))][:budget]

    def _most_certain(self, found: Propagation, asked: Ids, budget: int) -> list[int]:
        """The slices whose predictions have the lowest entropy and are not asked for (Sec. 2.2)."""
        count = budget if self.pseudo_count is None else self.pseudo_count
        ranked = found.ids[np.lexsort((found.ids, found.entropy))]
        if self.refill:
            ranked = ranked[~np.isin(ranked, asked)]
        return [int(i) for i in ranked[:count] if i not in asked]

    def _predictions(
        self, ctx: Round, found: Propagation, before: Weights | None, pseudo: Sequence[int]
    ) -> dict[str, PackedMasks]:
        """What the loop compares with the truth: with and without aggregation, as in Fig. 3b, on every eighth slice."""
        if self.aggregation == "none":
            return {}
        if before is None:
            return {"plain": found.masks, "pseudo": found.masks.only(pseudo)}
        some = found.ids[::_COMPARED].tolist()
        plain = _plain_predictions(ctx, np.union1d(some, pseudo).astype(np.int64), before)
        return {
            "propagated": found.masks.only(some),
            "plain": plain.only(some),
            "pseudo": found.masks.only(pseudo),
            "pseudo_plain": plain.only(pseudo),
        }


def _random(ctx: Round, ids: Ids) -> Ids:
    return ctx.rng.choice(ids, size=ctx.budget, replace=False)


def _plain_predictions(ctx: Round, ids: Ids, before: Weights) -> PackedMasks:
    """What the network of the first stage, with the weights from before the second, makes of each slice alone."""
    network, now = ctx.learner.network, ctx.learner.weights()
    network.load_state_dict(before)
    predicted = ctx.learner.predict(ctx.pool.slices, ids)
    parts = ((some, binarize(probs, valid)) for some, probs, valid in predicted)
    masks = PackedMasks.collect(ids, ctx.pool.slices.shape[1:], parts)
    network.load_state_dict(now)
    return masks


def _all_scores(ctx: Round, found: Propagation) -> Scores:
    """Similarity of every unlabeled slice; those in the memory are their own neighbors, with 1."""
    scores = np.ones(len(ctx.pool.unlabeled))
    scores[np.isin(ctx.pool.unlabeled, found.ids)] = found.similarity
    return scores
