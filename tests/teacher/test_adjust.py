"""Each step from scores to scores, and how steps are typed."""

from itertools import product

import numpy as np
import pytest
from scipy.special import softmax

from medlabel.errors import MedlabelError
from medlabel.teacher.adjust import (
    Adjustment,
    AdjustmentStep,
    apply_steps,
    dawid_skene,
    em_prior,
    match_prior,
    mean_vote,
    parse_steps,
    temperature,
    transduct,
)


def sample(n, k, spread=3.0, bias=0.0, seed=0):
    """Labels and the scores of a teacher that leans towards the last class."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % k
    logits = rng.normal(0, spread, (n, k)) + 3 * np.eye(k)[labels]
    logits[:, -1] += bias
    return labels, softmax(logits, axis=1).astype(np.float32)


def counts(scores):
    return np.bincount(scores.argmax(axis=1), minlength=scores.shape[1]).tolist()


def steps_with_all():
    _, scores = sample(60, 3)
    embeddings = np.random.default_rng(0).normal(size=(60, 8))
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    return scores, embeddings


@pytest.mark.parametrize(
    "text", ["temperature=2", "prior", "prior=0.2:0.3:0.5", "em-prior", "transduct"]
)
def test_scores_in_scores_out_and_the_same_twice(text):
    scores, embeddings = steps_with_all()
    before = scores.copy()
    once, twice = (apply_steps(parse_steps(text), scores, embeddings) for _ in range(2))
    assert (once.shape, once.dtype) == (scores.shape, np.float32)
    np.testing.assert_allclose(once.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(once, twice)
    np.testing.assert_array_equal(scores, before)
    assert np.abs(once - scores).max() > 1e-3


def test_temperature_is_a_power_of_the_scores():
    scores = np.array([[0.8, 0.2]], np.float32)
    np.testing.assert_allclose(temperature(scores, 0.5), [[0.64 / 0.68, 0.04 / 0.68]], atol=1e-6)
    np.testing.assert_allclose(temperature(scores, 1), scores, atol=1e-6)


@pytest.mark.parametrize("k", [2, 3, 5])
def test_prior_makes_the_labels_as_frequent_as_is_known(k):
    _, scores = sample(240, k, bias=4)
    assert counts(scores)[-1] > 300 / k
    assert counts(match_prior(scores)) == [240 // k] * k
    prior = np.arange(1, k + 1) / np.arange(1, k + 1).sum()
    np.testing.assert_allclose(counts(match_prior(scores, prior)), 240 * prior, atol=1)


def test_prior_of_two_classes_is_the_quantile_of_the_log_odds():
    _, scores = sample(101, 2, bias=3)
    found = match_prior(scores, (0.3, 0.7))
    odds = np.log(scores[:, 1].astype(float)) - np.log(scores[:, 0].astype(float))
    chosen = odds.argsort()[-71:]  # 70.7 images, rounded
    assert set(np.flatnonzero(found.argmax(axis=1))) == set(chosen)
    np.testing.assert_array_equal(np.argsort(found[:, 1]), np.argsort(scores[:, 1]))


def test_prior_finds_the_likeliest_of_all_assignments():
    _, scores = sample(6, 3, spread=2, bias=2)
    labels = np.array(
        [a for a in product(range(3), repeat=6) if [*map(a.count, range(3))] == [2] * 3]
    )
    logs = np.log(scores.astype(float))
    best = labels[logs[np.arange(6), labels].sum(axis=1).argmax()]
    np.testing.assert_array_equal(match_prior(scores).argmax(axis=1), best)


@pytest.mark.parametrize("shares", [(60, 40), (40, 60), (100, 0), (60, 30, 10), (10, 30, 60)])
def test_prior_leaves_alone_what_it_cannot_tell_apart(shares):
    hard = np.eye(len(shares), dtype=np.float32)[np.repeat(np.arange(len(shares)), shares)]
    np.testing.assert_allclose(match_prior(hard), hard, atol=1e-6)


def test_em_finds_the_prior_under_which_images_were_drawn():
    rng = np.random.default_rng(0)
    labels = (rng.random(4000) < 0.2).astype(int)
    logit = rng.normal(2 * labels - 1, 1)  # of equal spread: the posterior's log-odds are 2 x
    posterior = 1 / (1 + np.exp(-2 * logit))
    scores = np.stack([1 - posterior, posterior], axis=1).astype(np.float32)
    found = em_prior(scores)
    assert scores.mean(axis=0)[1] > 0.27
    assert found.mean(axis=0)[1] == pytest.approx(0.2, abs=0.02)
    assert (found.argmax(1) == labels).mean() > (scores.argmax(1) == labels).mean() + 0.02


def test_transduction_lets_neighbours_outvote_a_wrong_score():
    labels, scores = sample(200, 2, spread=4)
    rng = np.random.default_rng(1)
    embeddings = np.eye(4)[labels] + rng.normal(0, 0.2, (200, 4))
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    assert (scores.argmax(axis=1) == labels).mean() < 0.8
    assert (transduct(scores, embeddings).argmax(axis=1) == labels).mean() > 0.97


def test_transduction_of_a_handful_of_equal_images():
    equal = transduct(np.array([[0.9, 0.1]] * 3, np.float32), np.eye(2)[[0, 0, 0]])
    np.testing.assert_allclose(equal, [[0.9, 0.1]] * 3, atol=1e-5)


def test_a_mean_of_teachers_is_the_mean():
    first, second = np.array([[0.9, 0.1]], np.float32), np.array([[0.4, 0.6]], np.float32)
    np.testing.assert_allclose(mean_vote([first, second]), [[0.65, 0.35]], atol=1e-6)


def test_dawid_skene_believes_the_teacher_that_others_bear_out():
    pytest.importorskip("crowdkit")
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 600)
    votes = [
        np.eye(3, dtype=np.float32)[
            np.where(rng.random(600) < wrong, rng.integers(0, 3, 600), labels)
        ]
        for wrong in (0.05, 0.6, 0.6, 0.6)
    ]
    right = [(scores.argmax(axis=1) == labels).mean() for scores in (mean_vote(votes), *votes)]
    found = dawid_skene(votes)
    assert found.shape == (600, 3)
    assert (found.argmax(axis=1) == labels).mean() > right[0] + 0.05


def test_dawid_skene_keeps_a_column_for_a_class_that_no_teacher_names():
    pytest.importorskip("crowdkit")
    vote = np.eye(3, dtype=np.float32)[[0, 1, 0, 1]]
    assert dawid_skene([vote] * 3).argmax(axis=1).tolist() == [0, 1, 0, 1]


def test_two_teachers_cannot_settle_a_vote_by_dawid_skene():
    with pytest.raises(MedlabelError, match="three teachers or more, and there are 2"):
        dawid_skene([np.eye(2, dtype=np.float32)] * 2)


def test_steps_are_taken_in_the_order_they_are_typed():
    steps = parse_steps("temperature=2, prior=0.3:0.7,transduct")
    assert steps == (
        AdjustmentStep("temperature", (2,)),
        AdjustmentStep("prior", (0.3, 0.7)),
        AdjustmentStep("transduct"),
    )
    assert ",".join(map(str, steps)) == "temperature=2,prior=0.3:0.7,transduct"
    _, scores = sample(50, 2, bias=2)
    one, other = (apply_steps(parse_steps(t), scores) for t in ("prior,em-prior", "em-prior,prior"))
    assert counts(one) != counts(other) == [25, 25]
    assert parse_steps("") == ()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("magic", "unknown step 'magic': choose from temperature, prior, em-prior, transduct"),
        ("temperature", "write temperature=T"),
        ("temperature=0", "above 0"),
        ("temperature=nan", "above 0"),
        ("temperature=hot", "'hot' is not numbers"),
        ("prior=0.3:0.3", "sum to 1"),
        ("prior=1:0", "above 0"),
        ("em-prior=3", "takes no numbers"),
    ],
)
def test_steps_that_cannot_be_taken(text, reason):
    with pytest.raises(MedlabelError, match=reason):
        parse_steps(text)


def test_without_steps_raw_scores_come_back_as_they_are():
    _, scores = sample(10, 2)
    assert Adjustment()(scores) is scores


def test_several_teachers_vote_before_the_steps():
    votes = np.stack([sample(40, 2, bias=3, seed=seed)[1] for seed in range(2)])
    found = Adjustment(parse_steps("prior"))(votes)
    np.testing.assert_array_equal(found, match_prior(mean_vote(list(votes))))


@pytest.mark.parametrize(
    ("adjustment", "reason"),
    [
        (Adjustment(parse_steps("transduct")), "a file of scores has none"),
        (Adjustment(parse_steps("prior=0.2:0.3:0.5")), "3 shares for 2 classes"),
        (Adjustment(vote="dawid-skene"), "there are 1"),
        (Adjustment(vote="lots"), "unknown vote 'lots': choose from mean, dawid-skene"),
    ],
)
def test_what_cannot_work_is_refused_before_the_work(adjustment, reason):
    with pytest.raises(MedlabelError, match=reason):
        adjustment.check(2, 1, embeddings=False)


def test_one_image_has_no_neighbours():
    scores = np.array([[0.3, 0.7]], dtype=np.float32)
    np.testing.assert_array_equal(transduct(scores, np.ones((1, 4))), scores)


def plain_match_prior(scores):
    """What `match_prior` computes, with all columns anew in each turn."""
    logs = np.log(np.clip(scores.astype(np.float64), np.finfo(np.float32).tiny, None))
    n, k = logs.shape
    wanted = np.full(k, n // k) + (np.arange(k) < n % k)
    offsets, best, kept = np.zeros(k), n + 1, np.zeros(k)
    for turn in range(100 * k):
        counts = np.bincount((logs + offsets).argmax(axis=1), minlength=k)
        misplaced = int(np.abs(counts - wanted).sum()) // 2
        if misplaced < best:
            best, kept = misplaced, offsets.copy()
        if not misplaced:
            break
        c = turn % k
        needed = np.sort(np.delete(logs + offsets, c, axis=1).max(axis=1) - logs[:, c])
        gaps = np.flatnonzero(np.diff(needed) > 1e-9) + 1
        if len(gaps):
            cut = gaps[np.abs(gaps - wanted[c]).argmin()]
            offsets[c] = (needed[cut - 1] + needed[cut]) / 2
    return kept, logs


@pytest.mark.parametrize("digits", [1, 8])
@pytest.mark.parametrize("k", [2, 3, 9])
def test_prior_is_matched_column_by_column_also_where_scores_are_equal(k, digits):
    scores = np.random.default_rng(k).dirichlet(np.full(k, 0.5), 70).round(digits) + 1e-3
    scores = (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)
    offsets, logs = plain_match_prior(scores)
    powers = np.exp(logs + offsets - (logs + offsets).max(axis=1, keepdims=True))
    expected = powers / powers.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(match_prior(scores), expected, rtol=1e-5)
