"""Slices that cover the pool: the greedy k-center algorithm, and the seeding of k-means++.

The greedy algorithm has a form for CPUs and one for GPUs. Both select what float64 distances select. A CPU saves
arithmetic by asking which distances it needs. For a GPU the question costs more than the arithmetic, because the CPU
waits for the answer before it launches more.
"""

from __future__ import annotations

import torch
from torch import Tensor

_BLOCK = 1024  # rows of a matrix product computed at once
_LEADERS = 64  # candidates evaluated at once on a CPU
_NUMBERS = 1 << 25  # float64 numbers of candidates in memory at once on a GPU


def k_center(candidates: Tensor, centers: Tensor, count: int) -> Tensor:
    """Greedy k-center: `count` times, make the candidate that is farthest from its nearest center a new center.

    Sener and Savarese, ICLR 2018, Algorithm 1; the covering radius is at most twice the optimum. Distances are
    Euclidean; ties are broken by the lower row.

    Args:
        candidates: (n, d), n at least `count`.
        centers: (m, d), at least one.

    Returns:
        (count,) rows of `candidates`, in the order of selection, on the CPU.
    """
    return (_dense if candidates.is_cuda else _lazy)(candidates, centers, count)


def _lazy(candidates: Tensor, centers: Tensor, count: int) -> Tensor:
    """For a CPU: evaluate few distances.

    Distances to the nearest center can only decrease as centers are added, so an earlier distance is an upper bound,
    and only the candidates with the highest bounds are evaluated exactly (lazy evaluation, as in Minoux's accelerated
    greedy algorithm). The initial bounds are float32 distances plus a bound of their rounding error. O(m n d) time in
    float32, O(n) extra memory.
    """
    shift = candidates.mean(0, dtype=torch.float64)  # |a|^2 + |b|^2 - 2ab loses fewer digits with smaller norms
    bound = torch.cat([_upper_bounds(part, centers, shift) for part in candidates.split(_BLOCK)])
    known = len(centers)
    fixed = torch.cat([centers.double() - shift, shift.new_empty(count, len(shift))])
    checked = torch.zeros(len(bound), dtype=torch.long, device=bound.device)  # centers in each bound
    chosen: list[int] = []
    for _ in range(count):
        while True:
            leading = bound == bound.max()
            if not (leading & (checked < known)).any():
                break
            lead = bound.masked_fill(checked == known, -torch.inf).topk(min(_LEADERS, len(bound)))
            rows = lead.indices[lead.values > -torch.inf]
            for part in (rows[checked[rows] == 0], rows[checked[rows] > 0]):
                if len(part):
                    since = int(checked[part].min())
                    nearest = _nearest(candidates[part].double() - shift, fixed[since:known])
                    bound[part] = torch.minimum(bound[part], nearest) if since else nearest
                    checked[part] = known
        row = int(leading.nonzero()[0])
        chosen.append(row)
        fixed[known] = candidates[row].double() - shift
        known += 1
        bound[row] = -1
        checked[row] = len(fixed) + 1  # never evaluated again
    return torch.tensor(chosen, dtype=torch.long)


def _dense(candidates: Tensor, centers: Tensor, count: int) -> Tensor:
    """For a GPU: evaluate all distances in float64 by a fixed sequence of kernels, which is read once, at the end.

    Distances to a new center are sums of squared differences, not made of a matrix product, so that equal distances are
    equal numbers. O((m + count) n d) time, and memory for the candidates in float64.
    """
    shift, points = candidates.mean(0, dtype=torch.float64), candidates.double()
    far = centers.double() - shift
    parts = points.split(max(1, _NUMBERS // points.shape[1]))
    nearest = torch.cat([_nearest(part - shift, far) for part in parts]).sqrt_()
    chosen = torch.empty(count, dtype=torch.long, device=points.device)
    for row in chosen.split(1):
        torch.argmax(nearest, 0, keepdim=True, out=row)
        center = points.index_select(0, row)
        distances = torch.cdist(points, center, compute_mode="donot_use_mm_for_euclid_dist")[:, 0]
        torch.minimum(nearest, distances, out=nearest).index_fill_(0, row, -1)
    return chosen.cpu()


def k_means_plus_plus(points: Tensor, draws: Tensor) -> Tensor:
    """Seeding of k-means++: points far from each other, drawn with probability proportional to squared distances.

    Arthur and Vassilvitskii, SODA 2007. The next point is drawn in proportion to the squared Euclidean distance to the
    nearest one so far. The first is the one with the largest norm, as in the authors' code of Ash et al., ICLR 2020,
    and not drawn uniformly. Where every point that is left equals one that was drawn, it is drawn uniformly.

    A fixed sequence of kernels, which is read once, at the end. O(k n d) time, O(n) memory besides a block of points.

    Args:
        points: (n, d), n at least k.
        draws: (k - 1,) float64 uniform numbers in [0, 1), on the device of the points.

    Returns:
        (k,) rows of `points`, in the order of selection, on the CPU.
    """
    size = max(1, _NUMBERS // points.shape[1]) if points.is_cuda else _BLOCK
    chosen = torch.empty(len(draws) + 1, dtype=torch.long, device=points.device)
    left = torch.ones(len(points), dtype=torch.float64, device=points.device)
    nearest = torch.cat([part.double().square().sum(1) for part in points.split(size)])
    row = chosen[:1].copy_(nearest.argmax())
    nearest.fill_(torch.inf)
    for step, draw in enumerate(draws.split(1), 1):
        nearest = torch.minimum(nearest, _squares(points, row, size)).index_fill_(0, row, 0)
        left.index_fill_(0, row, 0)
        sums = torch.where(nearest.any(), nearest, left).cumsum(0)
        row = chosen[step : step + 1].copy_(torch.searchsorted(sums, draw * sums[-1], right=True))
    return chosen.cpu()


def _squares(points: Tensor, row: Tensor, size: int) -> Tensor:
    """(n,) float64 squared distances of (n, d) points to one of their rows (1,), computed for `size` points at once."""
    center = points.index_select(0, row).double()
    return torch.cat([(part - center).square_().sum(1) for part in points.split(size)])


def _nearest(points: Tensor, centers: Tensor) -> Tensor:
    """(n,) squared distances of (n, d) points to the nearest of (m, d) centers."""
    squares = centers.square().sum(1) - 2 * points @ centers.T
    return (squares.amin(1) + points.square().sum(1)).clamp_min_(0)


def _upper_bounds(points: Tensor, centers: Tensor, shift: Tensor) -> Tensor:
    """(n,) upper bounds in float64 of the squared distances of (n, d) points to the nearest of (m, d) centers.

    They are computed from float32 products. The error of a float32 dot product over d terms is at most about d 2^-24
    times the product of the norms (Higham, Accuracy and Stability of Numerical Algorithms, Sec. 3.1). 16 is added to d
    for the operations before and after.
    """
    near, far = (part.double().sub(shift).float() for part in (points, centers))
    norms, reach = near.double().square().sum(1), far.double().square().sum(1)
    nearest = (reach.float() - 2 * near @ far.T).amin(1).double() + norms
    error = (points.shape[1] + 16) * 2.0**-24 * (norms.sqrt() + reach.max().sqrt()).square()
    return torch.nan_to_num(nearest + error, nan=torch.inf, posinf=torch.inf)
