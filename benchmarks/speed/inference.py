"""How many forward passes over the pool does a query cost?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import torch
from torch import nn

from albench.benchmarks.speed import synthetic
from albench.benchmarks.speed.interleave import Spread, Variant, interleaved, ratio
from albench.benchmarks.speed.record import Row, main
from albench.encoder_decoder import encoder_of, plain
from albench.network import Network
from albench.resolve import make_strategy
from albench.strategy import Round
from albench.temporary import temporary_folder
from albench.training.learner import Learner

_CHEAP = {"entropy": "<= 1.05", "margin": "<= 1.05"}
_ENCODER = "encoder"
_PASSES = 10
# Slices, of which a tenth is labeled, and turns of cheap and of expensive queries. A GPU is measured with fewer
# disturbances and in less time
_SLICES, _CHEAP_TURNS, _TURNS = (960, 9, 3) if synthetic.DEVICE.type == "cuda" else (160, 41, 11)


def measure() -> Iterator[Row]:
    """Queries relative to bare forward passes over the same batches, which are on the device in advance.

    On a CPU with the network of the phantom at 64 x 64, whose pass is so short that every overhead shows, and two
    queries with the network of the paper at 240 x 240; on a GPU all queries with the network of the paper.
    """
    seconds, _ = _seconds(_SLICES, synthetic.SIDE, synthetic.NETWORK, tuple(_CHEAP), _CHEAP_TURNS)
    yield from _rows(seconds, _CHEAP)
    names = (_ENCODER, "mc-dropout", "bald", "bal", "k-center")
    seconds, slices = _seconds(_SLICES, synthetic.SIDE, synthetic.NETWORK, names, _TURNS)
    share = ratio([f - e for f, e in zip(seconds["forward"], seconds[_ENCODER], strict=True)], seconds["forward"])
    sampled = "<= 6.1" if synthetic.DEVICE.type == "cuda" else f"<= {1 + _PASSES * share.median:.3g}"
    yield from _rows(seconds, {"mc-dropout": sampled, "bald": sampled, "bal": "", "k-center": ""})
    yield Row("share of the decoder in a pass", share)
    yield Row("pass, time per slice", Spread.of([s / slices * 1e3 for s in seconds["forward"]]), unit="ms")
    if synthetic.NETWORK != synthetic.PAPER:
        seconds, _ = _seconds(34, 240, synthetic.PAPER, tuple(_CHEAP), 5)
        yield from _rows(seconds, _CHEAP, ", ResNet-50 at 240 x 240")


def _rows(seconds: Mapping[str, list[float]], limits: Mapping[str, str], where: str = "") -> list[Row]:
    """Queries in units of forward passes, each with its limit."""
    return [Row(name + where, ratio(seconds[name], seconds["forward"]), limit) for name, limit in limits.items()]


def _seconds(
    slices: int, side: int, network: Network, names: tuple[str, ...], repeats: int
) -> tuple[dict[str, list[float]], int]:
    """Seconds of a bare pass and, by name, of the encoder or of queries; and the number of unlabeled slices."""
    with temporary_folder() as folder:
        prepared = synthetic.made_up(slices, side, folder)
        ctx = synthetic.after_training(make_strategy("entropy", {}), prepared, network)  # all queries use its network
        forward, encode = bare_passes(ctx.learner, synthetic.images_of(ctx, len(ctx.pool.unlabeled)))
        named: dict[str, Variant] = {name: encode if name == _ENCODER else _query(name, ctx) for name in names}
        return interleaved({"forward": forward} | named, repeats, synthetic.DEVICE), len(ctx.pool.unlabeled)


def bare_passes(learner: Learner, images: torch.Tensor) -> tuple[Callable[[], None], Callable[[], None]]:
    """A forward pass over (n, c, h, w) images on the device, and its encoder alone."""
    batches, network = images.split(learner.inference_batch), learner.network

    def over(part: Callable[[torch.Tensor], object]) -> None:
        network.eval()
        with torch.no_grad(), learner.autocast():
            for batch in batches:
                part(batch)

    encode: nn.Module = encoder_of(plain(network)).encoder
    return lambda: over(network), lambda: over(encode)


def _query(name: str, ctx: Round) -> Variant:
    strategy = make_strategy(name, {})
    return lambda: strategy.query(ctx)


if __name__ == "__main__":
    main("inference", measure)
