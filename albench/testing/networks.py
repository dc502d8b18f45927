"""The contract of networks: the rules of the benchmark, the checks of every rule, and what a network does not offer."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable

import torch
from torch import Tensor, nn

from albench.encoder_decoder import Splits, dropouts_of, embedding_of, encoder_of, last_layers_of
from albench.errors import NetworkError
from albench.network import Network, Task, unlike_logits
from albench.testing.contract import Check, outcome

_SIZE = (48, 64)


def check_network(network: Network, report: Callable[[Check], None] = lambda check: None) -> list[Check]:
    """Check a network against the rules of the benchmark, on slices of 48 x 64 pixels of noise.

    If it cannot be built, only that is reported.

    Args:
        report: called after every check.

    Returns:
        All outcomes, in order.
    """
    checks: list[Check] = []
    for rule, check in _RULES.items():
        if checks and not checks[0].passed:
            break
        checks.append(outcome(rule, lambda check=check: check(network)))  # type: ignore[misc]
        report(checks[-1])
    return checks


def missing_parts(network: Network) -> list[str]:
    """What a network does not offer, and which strategies cannot run for that: a sentence each."""
    module, sentences = _built(network), []
    for offered, strategies in (
        (dropouts_of, "take dropout samples cannot run, such as bald"),
        (embedding_of, "compare slices by their embeddings cannot run, such as k-center"),
        (last_layers_of, "take gradients of the last layer cannot run, such as badge"),
        (encoder_of, "have a second encoder cannot run, such as star"),
    ):
        try:
            offered(module)
        except NetworkError as error:
            sentences.append(f"strategies that {strategies}: {error}")
        else:
            if offered is dropouts_of and not isinstance(module, Splits):
                sentences.append(
                    "every dropout sample runs the whole network: derive it from albench.encoder_decoder.Splits if it "
                    "has an encoder and a decoder"
                )
    return sentences


def _built(network: Network, *, channels: int = 1, classes: int = 1, seed: int = 0) -> nn.Module:
    """A network in evaluation mode, with weights of a seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Task(channels, _SIZE, network, classes).build().eval()


def _slices(count: int, channels: int = 1) -> Tensor:
    """(count, channels, h, w) of noise."""
    return torch.randn(count, channels, *_SIZE, generator=torch.Generator().manual_seed(0))


def _gives_logits(network: Network) -> str | None:
    for channels, classes in ((1, 1), (3, 2)):
        with torch.no_grad():
            logits = _built(network, channels=channels, classes=classes)(_slices(2, channels))
        found = unlike_logits(logits, Task(channels, _SIZE, network, classes), 2)
        if found:
            return f"for {channels} channels and {classes} classes it gave {found}"
        if not torch.isfinite(logits).all():
            return f"for {channels} channels and {classes} classes it gave logits that are not finite"
    return None


def _seeded(network: Network) -> str | None:
    one, two = (_built(network).state_dict() for _ in range(2))
    different = [name for name, value in one.items() if not torch.equal(value, two[name])]
    return f"'{different[0]}' differed with the same seed: draw with torch's global generator" if different else None


def _each_slice_alone(network: Network) -> str | None:
    module, images = _built(network), _slices(4)
    with torch.no_grad():
        together, alone = module(images), torch.cat([module(image[None]) for image in images])
    if torch.allclose(together, alone, atol=1e-3, rtol=1e-3):
        return None
    return "its logits changed with the batch, or from call to call: use no statistics of the batch, and draw nothing"


def _trains(network: Network) -> str | None:
    module = _built(network).train()
    module(_slices(4)).square().mean().backward()
    gradients = [weight.grad for weight in module.parameters() if weight.grad is not None]
    if not any(gradient.any() for gradient in gradients):
        return "no weight had a gradient: compute the logits from trained weights"
    if not all(torch.isfinite(gradient).all() for gradient in gradients):
        return "a gradient was not finite"
    return None


def _restored(network: Network) -> str | None:
    first, second = _built(network), _built(network, seed=1)
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second.load_state_dict(torch.load(file, weights_only=True))
    with torch.no_grad():
        same = torch.allclose(first(_slices(2)), second(_slices(2)))
    return None if same else "the same weights gave other logits: register all that is drawn as parameter or buffer"


def _split_gives_logits(network: Network) -> str | None:
    module, images = _built(network), _slices(2)
    if not isinstance(module, Splits):
        return None
    with torch.no_grad():
        logits = module.decode(module.prepare(module.encode(images)), images.shape[-2:])
        same = torch.allclose(logits, module(images), atol=1e-4, rtol=1e-4)
    return None if same else "decode(encode(images), size) gave other logits than the network"


def _encoder_encodes(network: Network) -> str | None:
    module, images = _built(network), _slices(2)
    try:
        own = encoder_of(module)
    except NetworkError:
        return None
    with torch.no_grad():
        one, two = own.encode(images), own.encoder(images)
    same = all(map(torch.equal, (one.deepest, *one.skips), (two.deepest, *two.skips)))
    return None if same else "encoder(images) gave other features than encode(images)"


def _embedding_is_a_map(network: Network) -> str | None:
    module = _built(network)
    try:
        embedding = embedding_of(module)
    except NetworkError as error:
        return str(error) if hasattr(module, "embedding_layer") else None
    try:
        with torch.no_grad():
            embedding(_slices(2))
    except NetworkError as error:
        return str(error)
    return None


def _pickles(network: Network) -> str | None:
    again = pickle.loads(pickle.dumps(network))
    return None if again == network else "it is not equal to itself after pickling: make it a frozen dataclass"


_RULES: dict[str, Callable[[Network], str | None]] = {
    "gives finite logits of the size of the slices, whatever the numbers of channels and classes": _gives_logits,
    "draws its initial weights with torch's global generator only": _seeded,
    "gives a slice the same logits in every batch, in evaluation mode": _each_slice_alone,
    "has finite gradients": _trains,
    "gives the same logits when its weights are stored and loaded": _restored,
    "gives its logits by decode(encode(images), size), if it has them": _split_gives_logits,
    "has an encoder that gives what encode gives, if it has one": _encoder_encodes,
    "gives feature maps as its embedding, if it has one": _embedding_is_a_map,
    "can be pickled": _pickles,
}
