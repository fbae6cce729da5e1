"""The statistics of the answer, against finalists whose true recalls are known."""

import numpy as np
import pytest
from scipy.stats import norm

from search.certainty import tied, weigh

REPEATS = 400


def finalists(random, recalls, seeds, queries, seed_sd):
    """hits (F, S, Q) of a probit model, and the true mean recall of each finalist (per cent).

    Queries are easy or hard for all (0.6 of the variance) or for one finalist (0.15); the rest is the luck of a seed with a query.
    """
    count = len(recalls)
    middle = norm.ppf(recalls)
    seed_scale = seed_sd / norm.pdf(middle)
    effects = random.normal(size=(count, seeds, 1)) * seed_scale[:, None, None]
    shared = random.normal(0, 0.6**0.5, (1, 1, queries)) + random.normal(0, 0.15**0.5, (count, 1, queries))
    luck = random.normal(0, 0.25**0.5, (count, seeds, queries))
    hits = middle[:, None, None] + effects + shared + luck > 0
    return hits, 100 * norm.cdf(middle / np.sqrt(1 + seed_scale**2))


@pytest.mark.slow
@pytest.mark.parametrize(("count", "seeds", "queries", "seed_sd"), [(3, 3, 250, 0.01), (2, 2, 200, 0.02)])
def test_intervals_cover_and_the_group_holds_the_best(count, seeds, queries, seed_sd):
    random = np.random.default_rng(1)
    covered, holds, sizes = [], [], []
    for repeat in range(REPEATS):
        recalls = np.clip(random.normal(0.6, 0.025, count), 0.05, 0.95)
        hits, truth = finalists(random, recalls, seeds, queries, seed_sd)
        found = weigh(hits, seed=repeat)
        covered.append((found.intervals[:, 0] <= truth) & (truth <= found.intervals[:, 1]))
        holds.append(found.is_tied[truth.argmax()])
        sizes.append(found.is_tied.sum())
    print(
        f"covered {np.mean(covered):.3f}, best in the group {np.mean(holds):.3f}, mean size {np.mean(sizes):.2f} of {count}"
    )
    assert 0.93 <= np.mean(covered) <= 0.97
    assert np.mean(holds) >= 0.93 and np.mean(sizes) < count - 0.1


@pytest.mark.slow
def test_the_group_is_hardly_larger_than_an_oracle_of_the_noise_would_have_it():
    random = np.random.default_rng(2)
    recalls = np.array([0.64, 0.62, 0.58])
    found = [weigh(finalists(random, recalls, 3, 1000, 0.01)[0], seed=repeat) for repeat in range(200)]
    means = np.array([certainty.means for certainty in found])
    noise = means - means.mean(axis=0)  # what no search knows: the errors of its own means
    scales = np.array([[np.std(noise[:, f] - noise[:, g]) + 1e-9 for g in range(3)] for f in range(3)])
    oracle = np.mean([tied(mean, noise, scales).sum() for mean in means])
    ours = np.mean([certainty.is_tied.sum() for certainty in found])
    print(f"mean size {ours:.2f}, of an oracle {oracle:.2f}")
    assert oracle <= ours + 0.1 and ours < oracle + 0.5


def test_a_plain_case():
    hits = np.zeros((2, 2, 100), dtype=bool)
    hits[0, :, :90], hits[1, :, :50] = True, True
    found = weigh(hits)
    assert found.means == pytest.approx([90, 50]) and found.spreads == pytest.approx([0, 0])
    assert found.probability_best[0] > 0.99 and found.is_tied.tolist() == [True, False]
    assert found.intervals[0, 0] < 90 < found.intervals[0, 1] <= 100


def test_equal_finalists_are_tied_and_share_the_chance():
    hits = np.repeat(np.random.default_rng(0).random((1, 1, 200)) < 0.5, 3, axis=0)
    found = weigh(hits)
    assert found.is_tied.all() and found.probability_best == pytest.approx([1 / 3] * 3)
    assert weigh(hits[:1]).probability_best.tolist() == [1.0]


def two_sets(random, seeds):
    """hits of three finalists on 400 easy and on 60 hard queries."""
    return [
        finalists(random, np.array(recalls), seeds, queries, 0.02)[0]
        for recalls, queries in (([0.8, 0.75, 0.7], 400), ([0.4, 0.42, 0.3], 60))
    ]


def slow_twin(sets, draws=4000):
    """Means, intervals and chances of one seed: a bootstrap that draws query by query, within each set."""
    random = np.random.default_rng(7)
    recalls = np.empty((draws, len(sets[0])))
    for draw in range(draws):
        drawn = [hits[:, 0, random.choice(hits.shape[2], hits.shape[2])] for hits in sets]  # (F, Q) of each set
        recalls[draw] = [np.mean([own[finalist].mean() for own in drawn]) for finalist in range(len(sets[0]))]
    means = [100 * np.mean([hits[finalist].mean() for hits in sets]) for finalist in range(len(sets[0]))]
    best = np.bincount(recalls.argmax(axis=1), minlength=len(sets[0])) / draws
    return means, 100 * np.percentile(recalls, [2.5, 97.5], axis=0).T, best


def test_several_sets_agree_with_a_slow_twin():
    sets = two_sets(np.random.default_rng(3), seeds=1)
    found = weigh(*sets)
    means, intervals, best = slow_twin(sets)
    assert found.means == pytest.approx(means)
    assert found.intervals == pytest.approx(intervals, abs=0.6)
    assert found.probability_best == pytest.approx(best, abs=0.03)


def test_a_set_of_many_queries_weighs_no_more_than_one_of_few():
    many, few = np.zeros((1, 2, 900), dtype=bool), np.zeros((1, 2, 100), dtype=bool)
    many[..., :810], few[..., :50] = True, True
    assert weigh(many, few).means == pytest.approx([70]) and weigh(few, many).means == pytest.approx([70])


@pytest.mark.slow
def test_intervals_of_the_mean_of_several_sets_cover():
    random = np.random.default_rng(4)
    covered, holds = [], []
    for repeat in range(REPEATS):
        recalls = np.clip(random.normal(0.6, 0.025, 3), 0.05, 0.95)
        sets = [finalists(random, recalls + shift, 3, queries, 0.01) for shift, queries in ((0.1, 250), (-0.1, 80))]
        truth = np.mean([true for _, true in sets], axis=0)
        found = weigh(*(hits for hits, _ in sets), seed=repeat)
        covered.append((found.intervals[:, 0] <= truth) & (truth <= found.intervals[:, 1]))
        holds.append(found.is_tied[truth.argmax()])
    print(f"covered {np.mean(covered):.3f}, best in the group {np.mean(holds):.3f}")
    assert 0.93 <= np.mean(covered) <= 0.97 and np.mean(holds) >= 0.93
