import torch

from albench.training.batches import concat_batches


def test_concatenation_equals_that_of_torch():
    torch.manual_seed(0)
    maps = torch.rand(7, 3, 4, 5).to(memory_format=torch.channels_last)
    whole = maps, torch.rand(7, 6, 4).transpose(1, 2), torch.rand(7, 2) < 0.5, torch.rand(7, 2).bfloat16()
    parts = [tensor.split(3) for tensor in whole]
    found = concat_batches(zip(*parts, strict=True), 7)
    for ours, theirs in zip(found, map(torch.cat, parts), strict=True):
        assert torch.equal(ours, theirs)
        assert ours.dtype == theirs.dtype
        assert ours.stride() == theirs.stride()
