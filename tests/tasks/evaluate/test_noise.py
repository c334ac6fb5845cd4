"""The noise of a figure: what it claims, it must be right about as often as it says."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import beta, binomtest

from tasks.evaluate.metrics import score
from tasks.evaluate.noise import RESAMPLES, Noise, holm, noise_of
from tasks.evaluate.statistics import Kind, Statistic, classes_of, gap_of, mean_of, share_of

TOLERANCE = 4 / np.sqrt(RESAMPLES)  # of a quantile in ranks: four standard errors


def yes(count: int, of: int) -> Statistic:
    """`count` rows of `of` are right."""
    return share_of([1.0] * count + [0.0] * (of - count))


@pytest.mark.parametrize(("right", "of"), [(0, 20), (7, 20), (20, 20), (107, 108), (540, 600)])
def test_the_interval_of_a_share_is_that_of_clopper_and_pearson(right: int, of: int) -> None:
    low, high = noise_of(yes(right, of)).interval(0.95)
    if right:
        assert beta.cdf(low, right, of - right + 1) == pytest.approx(0.025, abs=0.025 * 0.5)
    else:
        assert low == 0
    if right < of:
        assert beta.cdf(high, right + 1, of - right) == pytest.approx(0.975, abs=0.025 * 0.5)
    else:
        assert high == 1


def test_ten_of_ten_prove_little() -> None:
    noise = noise_of(yes(10, 10))
    holds, _ = noise.against_min(0.9)
    assert holds == pytest.approx(0.9**10, abs=0.05)
    assert noise.interval(0.95)[0] < 0.75


@pytest.mark.parametrize(("right", "of"), [(0, 20), (7, 20), (20, 20), (107, 108), (540, 600)])
@pytest.mark.parametrize("bound", [0.3, 0.9, 0.97])
def test_a_share_is_held_against_a_bound_by_the_exact_test(right: int, of: int, bound: float) -> None:
    noise = noise_of(yes(right, of))
    greater, less = (binomtest(right, of, bound, alternative=side).pvalue for side in ("greater", "less"))
    assert noise.against_min(bound) == pytest.approx((greater, less))
    assert noise.against_max(bound) == pytest.approx((less, greater))
    by_resamples = noise._replace(n_yes=None).against_min(bound)
    assert by_resamples == pytest.approx((greater, less), abs=TOLERANCE)
    assert noise.least_p(bound) == 0


def test_every_share_is_at_least_nothing_and_at_most_all() -> None:
    assert noise_of(yes(0, 20)).against_min(0)[0] < 0.001
    assert noise_of(yes(20, 20)).against_max(1)[0] < 0.001


@pytest.mark.parametrize(("wins", "losses"), [(0, 0), (12, 2), (3, 9), (40, 38)])
def test_which_of_two_arms_is_better_is_asked_by_the_exact_test_of_mcnemar(wins: int, losses: int) -> None:
    same = [1.0] * 50
    one = share_of([*same, *[1.0] * wins, *[0.0] * losses])
    two = share_of([*same, *[0.0] * wins, *[1.0] * losses])
    holds, fails = noise_of(one, two).against_min(0)
    if wins + losses:
        assert holds == pytest.approx(binomtest(wins, wins + losses, alternative="greater").pvalue)
        assert fails == pytest.approx(binomtest(wins, wins + losses, alternative="less").pvalue)
    else:
        assert (holds, fails) == (1, 1)  # nothing tells them apart


def test_a_pair_is_compared_row_by_row() -> None:
    """Two arms that go wrong on the same rows differ surely, though each alone is as noisy as ever."""
    generator = np.random.default_rng(0)
    hard = (generator.random(300) < 0.5).astype(float)
    better = hard.copy()
    better[np.flatnonzero(hard == 0)[:12]] = 1
    difference = noise_of(share_of(better), share_of(hard))
    alone = noise_of(share_of(better))
    width = np.subtract(*difference.interval(0.95)[::-1])
    assert difference.value == pytest.approx(12 / 300)
    assert width < np.subtract(*alone.interval(0.95)[::-1]) / 2
    assert difference.against_min(0)[0] < 0.001


@pytest.mark.parametrize("truth", [0.3, 0.9])
def test_an_interval_holds_the_truth_as_often_as_it_says(truth: float) -> None:
    generator = np.random.default_rng(1)
    covered = 0
    for _ in range(200):
        low, high = noise_of(share_of((generator.random(60) < truth).astype(float))).interval(0.9)
        covered += low <= truth <= high
    assert covered >= 180 - 3 * np.sqrt(18)  # at least nine in ten, by three standard errors


def test_the_interval_of_macro_f1_holds_the_truth_as_often_as_it_says() -> None:
    """Answers are right three times in four, else any class: macro F1 of three even classes is 5/6."""
    generator = np.random.default_rng(2)
    truth = 0.75 + 0.25 / 3
    covered = 0
    for _ in range(120):
        expected = generator.integers(0, 3, 150)
        answered = np.where(generator.random(150) < 0.75, expected, generator.integers(0, 3, 150))
        low, high = noise_of(Statistic("macro_f1", classes_of(expected.tolist(), answered.tolist(), 3))).interval(0.9)
        covered += low <= truth <= high
    assert covered >= 108 - 4 * np.sqrt(10.8)


def test_a_bound_that_does_not_hold_is_let_pass_no_more_often_than_asked() -> None:
    """The truth stands right at the bound: a claim that it is above may be wrong once in twenty."""
    generator = np.random.default_rng(3)
    passed = sum(
        noise_of(share_of((generator.random(80) < 0.9).astype(float))).against_min(0.9)[0] <= 0.05 for _ in range(300)
    )
    assert passed <= 15 + 3 * np.sqrt(15)


def test_only_the_named_rows_count() -> None:
    assert noise_of(yes(10, 20), rows=range(10)).value == 1
    assert noise_of(yes(10, 20), yes(0, 20), rows=[9, 10]).value == 0.5


def test_so_many_rows_would_settle_it() -> None:
    noise = noise_of(yes(92, 100))
    assert noise.against_min(0.9)[0] > 0.05
    needed = noise.rows_needed(0.9, 0.05)
    # the textbook: ((1.645 √(0.9 · 0.1) + 0.842 √(0.92 · 0.08)) / 0.02)² + 1 / 0.02 = 1353
    assert needed == pytest.approx(1353, rel=0.1)
    assert noise.rows_needed(0.92, 0.05) is None
    farther = noise.rows_needed(0.85, 0.05)
    assert farther is not None
    assert farther < 200


def test_rows_needed_are_enough_eight_times_in_ten() -> None:
    generator = np.random.default_rng(4)
    needed = noise_of(yes(94, 100)).rows_needed(0.9, 0.05)
    assert needed is not None
    settled = sum(
        noise_of(share_of((generator.random(needed) < 0.94).astype(float))).against_min(0.9)[0] <= 0.05
        for _ in range(100)
    )
    assert 65 <= settled <= 95


def test_holm_adjusts_as_holm_did() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


def test_the_same_rows_always_give_the_same_noise() -> None:
    assert noise_of(yes(7, 30)).interval(0.95) == noise_of(yes(7, 30)).interval(0.95)


def test_a_figure_without_a_scale_that_ends_has_an_interval_too() -> None:
    generator = np.random.default_rng(5)
    tokens = generator.integers(5, 30, 200).astype(float)
    noise = noise_of(Statistic("exp_mean", mean_of((tokens * 0.7).tolist(), tokens.tolist()).rows))
    assert noise.value == pytest.approx(np.exp(0.7))
    assert noise.ends is None
    assert noise.interval(0.95) == pytest.approx((np.exp(0.7),) * 2)  # every row says the same


@pytest.mark.parametrize(("n_rows", "most"), [(10, 0.16), (30, 0.14), (200, 0.10)])
def test_few_rows_of_a_skewed_figure_are_not_taken_for_sure(n_rows: int, most: float) -> None:
    """Log-normal, the truth at the bound: a gate may pass once in twenty, and mere resamples pass one in five."""
    generator = np.random.default_rng(5)
    passes = [
        noise_of(mean_of(generator.lognormal(0, 1, n_rows).tolist())).against_max(float(np.exp(0.5)))[0] <= 0.05
        for _ in range(500)
    ]
    assert np.mean(passes) <= most


def test_two_perplexities_are_compared_row_by_row() -> None:
    generator = np.random.default_rng(4)
    tokens = generator.integers(5, 30, 60).astype(float)
    nats = tokens * generator.lognormal(-0.5, 0.6, 60)

    def perplexity(nll: np.ndarray) -> Statistic:
        return Statistic("exp_mean", mean_of(nll.tolist(), tokens.tolist()).rows)

    paired = noise_of(perplexity(0.9 * nats), perplexity(nats))
    low, high = paired.interval(0.95)
    assert low < paired.value < high < 0  # though either is far less sure than that
    one = noise_of(perplexity(nats)).interval(0.95)
    assert one[1] - one[0] > 2 * (high - low)


def test_one_row_without_a_scale_tells_nothing_and_two_next_to_nothing() -> None:
    assert noise_of(mean_of([3.0])).against_max(5.0) == (1, 1)
    assert noise_of(mean_of([3.0, 3.1])).against_max(3.5)[0] > 0.05


@pytest.mark.parametrize("metric", ["bleu", "chrf"])
def test_few_answers_prove_little_of_bleu_and_chrf_though_all_are_right(metric: str) -> None:
    def noise(count: int) -> Noise:
        texts = ["the quick brown fox jumps over the lazy dog"] * count
        return noise_of(score("generation", texts, texts).statistics[metric])

    few, many = noise(4), noise(400)
    assert (few.value, few.ends) == (pytest.approx(100), (0, 100))
    assert few.against_min(95)[0] > 0.5
    assert few.interval(0.95)[0] < 85
    assert many.against_min(95)[0] < 0.001


def test_no_value_in_any_answer_proves_no_more_than_the_rule_of_three() -> None:
    """Figures per 1,000 answers have a scale of their own."""
    noise = noise_of(mean_of([0.0] * 240, ends=(0.0, 1000.0)))
    assert noise.value == 0
    assert 8 < noise.interval(0.95)[1] < 20
    assert noise.against_max(1.0)[0] > 0.5


def test_a_figure_that_only_looks_like_a_share_is_none() -> None:
    assert noise_of(mean_of([0.0, 1.0, 1.0])).ends is None
    assert noise_of(share_of([0.0, 1.0, 1.0]), share_of([0.0, 1.0, 0.0])).ends == (-1, 1)


@pytest.mark.parametrize("kind", ["macro_f1", "macro_precision", "macro_recall", "weighted_f1"])
def test_few_rows_prove_little_of_classes_though_all_are_right(kind: Kind) -> None:
    few = noise_of(Statistic(kind, classes_of([0, 1, 0, 1], [0, 1, 0, 1], 2)))
    assert few.value == 1
    assert few.against_min(0.95)[0] > 0.5
    assert few.interval(0.95)[0] < 0.8
    many = noise_of(Statistic(kind, classes_of([0, 1] * 500, [0, 1] * 500, 2)))
    assert many.against_min(0.95)[0] < 0.001


def test_what_few_rows_prove_of_classes_is_what_they_prove_of_the_share() -> None:
    """All right, in one class: both figures are the share of rows that are right."""
    share = noise_of(share_of([1.0] * 20)).against_min(0.9)[0]
    assert share == pytest.approx(0.9**20, abs=0.03)
    recall = noise_of(Statistic("macro_recall", classes_of([0] * 20, [0] * 20, 1))).against_min(0.9)[0]
    assert recall == pytest.approx(share, abs=0.03)


def test_rows_that_are_all_alike_tell_nothing_where_the_scale_has_no_end() -> None:
    noise = noise_of(mean_of([3.0] * 50))
    assert (noise.against_min(1.0), noise.against_max(1.0)) == ((1, 1), (1, 1))
    assert noise.rows_needed(1.0, 0.05) is None


def test_rows_of_one_customer_are_no_independent_evidence() -> None:
    """30 customers of 10 like tickets, 27 of them right: the noise is that of 30."""
    right = [1.0] * 270 + [0.0] * 30
    customers = [row // 10 for row in range(300)]
    by_customer = noise_of(share_of(right), groups=customers)
    alone = noise_of(share_of([1.0] * 27 + [0.0] * 3))
    assert by_customer.n_rows == 30
    assert by_customer.value == 0.9
    assert by_customer.interval(0.95) == pytest.approx(alone.interval(0.95))
    assert noise_of(share_of(right)).against_min(0.85)[0] < 0.05 < by_customer.against_min(0.85)[0]


def test_a_customer_with_more_rows_weighs_more() -> None:
    noise = noise_of(share_of([1.0, 1.0, 1.0, 0.0]), groups=[7, 7, 7, 9])
    assert (noise.value, noise.n_rows) == (0.75, 2)


def test_two_arms_are_compared_customer_by_customer_and_the_mean_is_of_rows() -> None:
    """Better for 12 customers of one row, worse for 2 of twenty: on the whole worse, whatever most customers say."""
    ours, theirs = share_of([1.0] * 12 + [0.0] * 40), share_of([0.0] * 12 + [1.0] * 40)
    customers = [*range(12), *([12] * 20), *([13] * 20)]
    noise = noise_of(ours, theirs, groups=customers)
    assert noise.value == pytest.approx(-28 / 52)
    assert noise.signs is None
    assert noise.against_min(0)[0] > 0.5
    assert noise_of(theirs, ours, groups=customers).against_min(0)[0] < 0.5


def test_the_interval_over_customers_holds_the_truth_as_often_as_it_says() -> None:
    generator = np.random.default_rng(8)
    covered = 0
    for _ in range(200):
        sizes = generator.integers(1, 7, 40)
        right = np.repeat(generator.random(40) < 0.8, sizes).astype(float)
        low, high = noise_of(share_of(right), groups=np.repeat(np.arange(40), sizes).tolist()).interval(0.9)
        covered += low <= 0.8 <= high
    assert covered >= 180 - 4 * np.sqrt(18)


def test_groups_of_some_rows_alone_are_those_of_these_rows() -> None:
    statistic = share_of([1.0, 0.0, 1.0, 1.0])
    some = noise_of(statistic, rows=[0, 2, 3], groups=[5, 6, 5, 6])
    assert (some.n_rows, some.value) == (2, 1)
    alone = noise_of(statistic, rows=[0, 1], groups=[5, 6, 5, 6])
    assert alone.n_rows == 2
    assert alone.yes_or_no


def test_the_interval_of_a_gap_is_as_wide_as_that_of_two_samples() -> None:
    from scipy.stats import ttest_ind

    generator = np.random.default_rng(5)
    one, two = generator.normal(1.0, 0.5, 160), generator.normal(0.8, 1.0, 60)
    low, high = noise_of(gap_of(mean_of(one), mean_of(two))).interval(0.95)
    welch = ttest_ind(one, two, equal_var=False).confidence_interval(0.95)
    assert (low, high) == pytest.approx((welch.low, welch.high), abs=0.1 * (welch.high - welch.low))


def test_a_gap_that_is_none_is_taken_for_one_no_more_often_than_asked() -> None:
    """Nats of tokens, 40 validation and 80 test rows alike: a claim of a gap may be wrong once in twenty."""
    generator = np.random.default_rng(6)

    def side(count: int) -> Statistic:
        tokens = generator.integers(1, 6, count)
        return mean_of(generator.gamma(0.5 * tokens, 1.0), tokens)

    noises = [noise_of(gap_of(side(80), side(40))) for _ in range(200)]
    for claims in ([noise.against_min(0)[0] for noise in noises], [noise.against_max(0)[0] for noise in noises]):
        assert sum(p <= 0.05 for p in claims) <= 10 + 3 * np.sqrt(10)
