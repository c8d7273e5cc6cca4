import numpy as np
import pytest
from scipy.stats import beta, binom

from medlabel.annotation.guarantee import AuditDesign, certify, fewest_answers, sample_rows
from medlabel.errors import MedlabelError

FEW = 0.05  # of 1,000 promises so many may be broken


def population(n=4000, wrong=0.2, seed=0):
    """Confidences, labels 0 and 1, and which are right: the less confident, the likelier wrong."""
    rng = np.random.default_rng(seed)
    confidences = rng.random(n).astype(np.float32)
    right = rng.random(n) > wrong * (1 - confidences) ** 2 * 3
    return confidences, rng.integers(0, 2, n), right


def promise(confidences, labels, right, design, salt=0):
    asked = sample_rows(confidences, labels, design, salt)
    return certify(confidences, labels, asked, right[asked], design)


@pytest.mark.parametrize("coverage", [1.0, 0.4])
def test_a_guarantee_is_wrong_no_more_often_than_stated(coverage):
    confidences, labels, right = population(wrong=0.1)
    broken = kept = 0
    for seed in range(300):
        design = AuditDesign(200, precision=0.95, max_coverage=coverage, seed=seed)
        step = promise(confidences, labels, right, design)[0].accepted
        if step is not None:
            broken += right[confidences >= np.float32(step.threshold)].mean() < 0.95
            kept += 1
    assert kept > 150
    assert broken <= binom.ppf(0.999, 300, FEW)


def test_nor_where_no_threshold_deserves_one():
    rng = np.random.default_rng(0)
    confidences, labels = rng.random(4000).astype(np.float32), np.zeros(4000, dtype=int)
    right = np.ones(4000, dtype=bool)
    right[rng.permutation(4000)[:202]] = False  # 5.05 %, whatever the confidence
    found = [
        promise(confidences, labels, right, AuditDesign(200, precision=0.95, seed=seed))[0].accepted
        for seed in range(300)
    ]
    broken = [s for s in found if s and right[confidences >= np.float32(s.threshold)].mean() < 0.95]
    assert len(broken) <= binom.ppf(0.999, 300, FEW)


@pytest.mark.parametrize(("confidence", "most"), [(0.95, 1), (0.85, 3)])
def test_plans_repeated_until_one_succeeds_are_wrong_no_more_often_than_stated(confidence, most):
    confidences, labels = np.linspace(0, 1, 2000, dtype=np.float32), np.zeros(2000, dtype=int)
    right = np.ones(2000, dtype=bool)
    right[np.random.default_rng(0).permutation(2000)[:101]] = False  # one too many
    broken, series = 0, 200
    for seed in range(series):
        for plan in range(most):
            before = 0.05 * plan
            design = AuditDesign(200, 0.95, 1 - before - 0.05, seed=seed, alpha_spent=before)
            step = promise(confidences, labels, right, design, salt=plan)[0].accepted
            if step and right[confidences >= np.float32(step.threshold)].mean() < 0.95:
                broken += 1
                break
    assert broken <= binom.ppf(0.999, series, 1 - confidence)
    for spent, advice in ((0.05, r"--confidence 0\.9$"), (0.3, "annotate into another folder")):
        with pytest.raises(MedlabelError, match=advice):
            AuditDesign(200, 0.95, 0.95, alpha_spent=spent)


def test_the_guarantees_of_classes_hold_simultaneously():
    confidences, labels, right = population(wrong=0.1)
    broken = 0
    for seed in range(200):
        design = AuditDesign(400, precision=0.95, by_class=True, seed=seed)
        _, classes = promise(confidences, labels, right, design)
        broken += any(
            right[(labels == k) & (confidences >= np.float32(one.accepted.threshold))].mean() < 0.95
            for k, one in classes.items()
            if one.accepted
        )
    assert broken <= binom.ppf(0.999, 200, FEW)


def test_299_right_answers_guarantee_99_percent_of_many_and_290_do_not():
    assert fewest_answers(0.99, 0.05) == 299
    n = 10**6
    everything = np.linspace(0, 1, n, dtype=np.float32), np.zeros(n, dtype=int), np.ones(n, bool)
    whole, _ = promise(*everything, AuditDesign(299))
    assert (whole.coverage, whole.accepted.asked, whole.accepted.wrong) == (1.0, 299, 0)
    assert promise(*everything, AuditDesign(290))[0].accepted is None


def test_who_asks_about_all_knows_all():
    confidences, labels, right = population(200)
    design = AuditDesign(200, precision=0.9)
    whole, _ = promise(confidences, labels, right, design)
    assert whole.largest.asked == 200
    assert whole.lower_bound() == pytest.approx(right.mean())
    assert right[confidences >= np.float32(whole.accepted.threshold)].mean() >= 0.9
    assert right[confidences >= np.float32(whole.rejected.threshold)].mean() < 0.9


def test_the_lower_bound_is_clopper_and_pearsons_where_images_are_many():
    confidences, labels = np.linspace(0, 1, 10**6, dtype=np.float32), np.zeros(10**6, dtype=int)
    right = np.ones(100, dtype=bool)
    right[:3] = False
    design = AuditDesign(100)
    whole, _ = certify(confidences, labels, sample_rows(confidences, labels, design), right, design)
    assert whole.lower_bound() == pytest.approx(beta.ppf(0.05, 97, 4), abs=1e-4)


def test_the_further_answers_that_it_names_are_enough():
    confidences, labels = np.linspace(0, 1, 10**5, dtype=np.float32), np.zeros(10**5, dtype=int)
    design = AuditDesign(100)
    asked = sample_rows(confidences, labels, design)
    few, _ = certify(confidences, labels, asked, np.ones(100, dtype=bool), design)
    assert few.accepted is None
    more = AuditDesign(100 + few.answers_needed())
    asked = sample_rows(confidences, labels, more)
    enough, _ = certify(confidences, labels, asked, np.ones(len(asked), dtype=bool), more)
    assert enough.coverage == 1
    wrong, _ = certify(confidences, labels, asked, np.zeros(len(asked), dtype=bool), more)
    assert wrong.answers_needed() is None


def test_only_the_most_confident_are_asked_about_and_nobody_twice():
    confidences, labels, _ = population(1000)
    asked = sample_rows(confidences, labels, AuditDesign(300, max_coverage=0.4))
    assert len(set(asked.tolist())) == 300
    assert confidences[asked].min() >= np.quantile(confidences, 0.6)
    assert len(sample_rows(confidences, labels, AuditDesign(5000))) == 1000


def test_a_plan_by_class_asks_as_much_about_a_rare_label():
    confidences, _, _ = population(1000)
    labels = (np.arange(1000) % 10 == 0).astype(int)
    asked = sample_rows(confidences, labels, AuditDesign(100, by_class=True))
    assert np.bincount(labels[asked]).tolist() == [50, 50]


def test_the_order_of_the_sets_does_not_depend_on_the_sample():
    confidences, labels, right = population(4000, wrong=0)
    starts = {
        certify(c, labels, a, ~right[a], d)[0].rejected.threshold
        for d in (AuditDesign(1000, seed=s) for s in range(20))
        for c, a in [(confidences, sample_rows(confidences, labels, d))]
    }
    assert len(starts) == 1


def test_one_early_mistake_is_not_the_end():
    confidences, labels = np.linspace(0, 1, 10**5, dtype=np.float32), np.zeros(10**5, dtype=int)
    design = AuditDesign(1000, precision=0.95)
    asked = sample_rows(confidences, labels, design)
    right = np.ones(1000, dtype=bool)
    right[confidences[asked].argmax()] = False
    whole, _ = certify(confidences, labels, asked, right, design)
    assert whole.coverage == 1


def test_nothing_is_guaranteed_of_a_label_that_was_not_sampled():
    confidences = np.array([0.9] * 500 + [0.1] * 500, dtype=np.float32)
    labels = np.repeat([0, 1], 500)
    design = AuditDesign(200, precision=0.9, max_coverage=0.5)
    asked = sample_rows(confidences, labels, design)
    whole, classes = certify(confidences, labels, asked, np.ones(200, dtype=bool), design)
    assert (whole.coverage, classes[0].coverage, classes[1].coverage) == (0.5, 1.0, 0.0)
    assert classes[1].answers_needed() is None


def test_looking_twice_costs_half_the_level():
    assert AuditDesign(10, reports=2).level == pytest.approx(0.025)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"precision": 1.0}, "precision 1"),
        ({"confidence": 0}, "confidence 0"),
        ({"max_coverage": 0}, "max-coverage 0"),
        ({"reports": 0}, "one report"),
    ],
)
def test_what_cannot_be_planned_is_refused(wrong, message):
    with pytest.raises(MedlabelError, match=message):
        AuditDesign(100, **wrong)
