"""How sure a ranking of finalists is: means, intervals, the chance of being best, and who cannot be told apart."""

from dataclasses import dataclass

import numpy as np

DRAWS = 4000
BLOCK = 500
"""Draws at once: all of 8,000 queries would take a gigabyte."""
LEVEL = 0.95
"""Of the intervals, and of the group that holds the best one."""
MANY = 1e6
"""Degrees of freedom that are no different from a normal distribution."""


@dataclass(frozen=True)
class Certainty:
    """Of F finalists, in the order they were given; recalls in per cent."""

    means: np.ndarray
    """(F,) over seeds and queries; of several sets the mean over the sets."""
    spreads: np.ndarray
    """(F,) standard deviation over seeds; 0 for one seed."""
    intervals: np.ndarray
    """(F, 2) 95 % interval of the mean, for other queries and other seeds (with one seed: for other queries alone)."""
    probability_best: np.ndarray
    """(F,) share of draws in which it is the best."""
    is_tied: np.ndarray
    """(F,) whether it belongs to the group that cannot be told apart from the best."""


def weigh(*hits: np.ndarray, seed: int = 0) -> Certainty:
    """Return how certain the finalists' mean recall over one set or several is.

    Each set has equal weight, whatever its number of queries. Queries are drawn within their own set (a stratified
    bootstrap), and the sets' luck is independent, so the variances of the sets' means add up.

    A paired bootstrap: a draw takes the same queries (with replacement) for all finalists, and other seeds. Three seeds
    are too few to draw from: they give 2/3 of their true variance, and no tails. So what seeds do is drawn from a normal
    distribution, whose variance is the one between seeds, pooled over the finalists, less what comes from the luck of
    single queries (the residual mean square of the two-way table), which the queries count already. How little a few
    seeds say of that variance widens all draws to Student's t, with the degrees of freedom of Satterthwaite (1946).

    Args:
        hits: (F, S, Q) bool for each set: whether the model of finalist f and seed s answers query q of the set.
        seed: Of the draws.
    """
    finalists, seeds, _ = hits[0].shape
    random = np.random.default_rng(seed)
    recalls = np.mean([own.mean(axis=2) for own in hits], axis=0)  # (F, S)
    means = recalls.mean(axis=1)  # (F,)
    draws = np.mean([_resampled(random, own.mean(axis=1)) for own in hits], axis=0)  # (DRAWS, F)
    query_covariance = np.sum([_query_covariance(own.mean(axis=1)) for own in hits], axis=0) / len(hits) ** 2  # (F, F)
    seed_variance = 0.0
    if seeds > 1:
        between = float(recalls.var(axis=1, ddof=1).mean())
        residual = sum(map(_residual, hits)) / len(hits) ** 2
        seed_variance = max(between - residual, 0) / seeds
        draws += np.sqrt(seed_variance) * random.standard_normal((DRAWS, finalists))
        total = np.diag(query_covariance).mean() + seed_variance
        of_total = (between / seeds) ** 2 / (finalists * (seeds - 1))  # half the variance of that estimate
        freedom = min(total**2 / of_total, MANY) if of_total and total else MANY
        draws = means + (draws - means) * np.sqrt(freedom / random.chisquare(freedom, (DRAWS, 1)))
    tail = 100 * (1 - LEVEL) / 2
    intervals = np.percentile(draws, [tail, 100 - tail], axis=0).T.clip(0, 1)  # (F, 2)
    best = draws == draws.max(axis=1, keepdims=True)
    probability = (best / best.sum(axis=1, keepdims=True)).mean(axis=0)
    spreads = recalls.std(axis=1, ddof=1) if seeds > 1 else np.zeros(finalists)
    scales = _scales(query_covariance, seed_variance)
    return Certainty(100 * means, 100 * spreads, 100 * intervals, probability, tied(means, draws - means, scales))


def _resampled(random: np.random.Generator, by_query: np.ndarray) -> np.ndarray:
    """Return (DRAWS, F) means of `by_query` (F, Q) over queries drawn with replacement, the same for all finalists."""
    return np.concatenate([_resampled_block(random, by_query) for _ in range(DRAWS // BLOCK)])


def _resampled_block(random: np.random.Generator, by_query: np.ndarray) -> np.ndarray:
    queries = by_query.shape[1]
    drawn = random.integers(queries, size=(BLOCK, queries)) + queries * np.arange(BLOCK)[:, None]
    weights = np.bincount(drawn.ravel(), minlength=BLOCK * queries).reshape(BLOCK, queries) / queries  # (BLOCK, Q)
    return weights @ by_query.T


def _query_covariance(by_query: np.ndarray) -> np.ndarray:
    """Return (F, F) covariance of the finalists' means over one set's queries; by_query: (F, Q)."""
    finalists, queries = by_query.shape
    # One query says nothing of how others would do.
    return np.atleast_2d(np.cov(by_query)) / queries if queries > 1 else np.zeros((finalists, finalists))


def _residual(hits: np.ndarray) -> float:
    """Return the part of the variance between the seeds' recalls of one set that is each seed's own luck with single queries; pooled."""
    _, seeds, queries = hits.shape
    recalls, by_query = hits.mean(axis=2), hits.mean(axis=1)  # (F, S), (F, Q)
    means = recalls.mean(axis=1)[:, None, None]
    residuals = hits - recalls[:, :, None] - by_query[:, None, :] + means  # (F, S, Q)
    residual = (residuals**2).sum(axis=(1, 2)) / ((seeds - 1) * max(queries - 1, 1))  # (F,)
    return float(residual.mean() / queries)


def _scales(query_covariance: np.ndarray, seed_variance: float) -> np.ndarray:
    """(F, F) standard error of the difference of two means."""
    variances = np.diag(query_covariance)
    of_queries = variances[:, None] + variances[None, :] - 2 * query_covariance
    return np.sqrt(np.maximum(of_queries, 0) + 2 * seed_variance) + 1e-9


def tied(means: np.ndarray, errors: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """(F,) whether it may be the best: multiple comparisons with the best (Hsu 1996), with the draws' errors (DRAWS, F) in place of Dunnett's table.

    A finalist leaves the group when another is ahead of it by more than chance gives the best of the others in 95 %.
    """
    count = len(means)
    may_be_best = np.ones(count, dtype=bool)
    for mine in range(count) if count > 1 else ():
        others = np.arange(count) != mine
        chance = ((errors[:, others] - errors[:, [mine]]) / scales[mine, others]).max(axis=1)  # (DRAWS,)
        lead = ((means[others] - means[mine]) / scales[mine, others]).max()
        may_be_best[mine] = lead <= np.quantile(chance, LEVEL)
    return may_be_best
