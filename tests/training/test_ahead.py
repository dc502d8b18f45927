import torch

from albench.training.ahead import sent_ahead


def test_what_is_sent_together_equals_what_is_sent_batch_by_batch():
    parts = [(torch.arange(n), torch.rand(n, 2, generator=torch.Generator().manual_seed(n))) for n in (3, 3, 1)]
    one_by_one, together = (list(sent_ahead(parts, torch.device(name))) for name in ("cpu", "meta"))  # no GPU, no CPU
    assert len(together) == len(one_by_one) == 3
    for some, others in zip(together, one_by_one, strict=True):
        assert all(torch.equal(one, other) for one, other in zip(some, others, strict=True))
