"""Plans and blending: laws that hold for every plan."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from joinedplans import join_plans
from scipy import stats

from logitmix_hf.errors import UserError
from logitmix_hf.plan import MixPlan, blend, draw_plan, step_generator


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


plans = st.builds(
    lambda rows, alpha, seed, per: draw_plan(rows, alpha, seeded(seed), per=per),
    st.integers(1, 17),
    st.floats(0, 50),
    st.integers(0, 10**6),
    st.sampled_from(["batch", "example"]),
)


@given(plans)
@settings(max_examples=60, deadline=None)
def test_shares_are_a_distribution_over_rows_of_the_batch(plan):
    assert torch.equal(plan.sources[:, 0], torch.arange(plan.rows))
    assert sorted(plan.sources[:, 1].tolist()) == list(range(plan.rows))  # a permutation
    assert (plan.shares >= 0).all()
    torch.testing.assert_close(plan.shares.sum(1), torch.ones(plan.rows))


@given(plans, st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_blend_is_the_sum_written_out(plan, seed):
    x = torch.randn(plan.rows, 3, 2, generator=seeded(seed), dtype=torch.float64)
    before = x.clone()
    expected = np.stack(
        [
            sum(float(s) * x[int(k)].numpy() for s, k in zip(plan.shares[i], plan.sources[i], strict=True))
            for i in range(plan.rows)
        ]
    )
    np.testing.assert_allclose(blend(x, plan).numpy(), expected, rtol=1e-12)
    assert torch.equal(x, before)


def test_blend_commutes_with_linear_maps_and_keeps_half_precision():
    plan = draw_plan(6, 3.0, seeded(), per="example")
    x, weight = torch.randn(6, 4, dtype=torch.float64), torch.randn(4, 2, dtype=torch.float64)
    torch.testing.assert_close(blend(x @ weight, plan), blend(x, plan) @ weight)
    assert blend(x.bfloat16(), plan).dtype == torch.bfloat16


def test_three_sources_mix():
    plan = MixPlan(torch.tensor([[0, 1, 2]]).expand(3, 3).contiguous(), torch.tensor([[0.5, 0.25, 0.25]] * 3))
    assert blend(torch.tensor([[4.0], [8.0], [16.0]]), plan).tolist() == [[8.0], [8.0], [8.0]]


def test_lam_is_beta_distributed():
    lam = draw_plan(4000, 3.0, seeded(1), per="example").lam.numpy()
    assert stats.kstest(lam, stats.beta(3, 3).cdf).pvalue > 0.01
    assert stats.kstest(lam, stats.beta(1, 1).cdf).pvalue < 1e-6


def test_one_lam_a_batch_or_one_an_example():
    assert len(set(draw_plan(8, 1.0, seeded()).lam.tolist())) == 1
    assert len(set(draw_plan(8, 1.0, seeded(), per="example").lam.tolist())) == 8


def test_alpha_zero_and_fixed_lam():
    assert draw_plan(4, 0, seeded()).lam.tolist() == [1.0] * 4
    assert draw_plan(4, 3.0, seeded(), lam=0.25).lam.tolist() == [0.25] * 4


def test_a_draw_reads_its_generator_and_nothing_else():
    torch.manual_seed(0)
    np.random.seed(0)
    before = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    first = draw_plan(8, 3.0, seeded(5), per="example")
    assert torch.equal(before[0], torch.random.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])
    torch.manual_seed(99)
    again = draw_plan(8, 3.0, seeded(5), per="example")
    assert torch.equal(first.sources, again.sources)
    assert torch.equal(first.shares, again.shares)


def test_every_place_of_a_run_draws_its_own_stream():
    places = [(s, t, m, p, u) for s in (0, 1) for t in (0, 1) for m in (0, 1) for p in (0, 1) for u in (0, 1)]
    draws = [float(torch.rand((), generator=step_generator(*place), dtype=torch.float64)) for place in places]
    assert len(set(draws)) == len(places)
    assert draws == [float(torch.rand((), generator=step_generator(*p), dtype=torch.float64)) for p in places]


def test_joined_plans_speak_of_the_joined_batch():
    parts = [draw_plan(3, 3.0, seeded(1)), draw_plan(2, 3.0, seeded(2))]
    x = torch.randn(5, 4)
    torch.testing.assert_close(blend(x, join_plans(parts)), torch.cat([blend(x[:3], parts[0]), blend(x[3:], parts[1])]))


@pytest.mark.parametrize(
    ("arguments", "named"),
    [((0, 3.0), "rows"), ((4, -1.0), "alpha"), ((4, float("nan")), "alpha"), ((4, "3"), "alpha")],
)
def test_a_draw_out_of_range_is_named(arguments, named):
    with pytest.raises(UserError, match=named):
        draw_plan(*arguments, seeded())


def test_a_plan_checks_its_shapes():
    with pytest.raises(ValueError, match=r"\(B, K\)"):
        MixPlan(torch.zeros(2, 2, dtype=torch.int64), torch.ones(2, 3))
    with pytest.raises(ValueError, match="int64"):
        MixPlan(torch.zeros(2, 2), torch.ones(2, 2))


@pytest.mark.parametrize("alpha", [2.2250738585072014e-308, 1e-300, 1e-9])
def test_the_least_alphas_toss_a_coin(alpha):
    """SciPy's quantile of Beta(alpha, alpha) is NaN for the least of them."""
    lam = draw_plan(2000, alpha, torch.Generator().manual_seed(0), per="example").lam
    assert bool(((lam < 1e-6) | (lam > 1 - 1e-6)).all())
    assert float(lam.mean()) == pytest.approx(0.5, abs=0.04)


# --- rows that keep themselves whole ------------------------------------------------------------------------------------


@pytest.mark.parametrize("per", ["batch", "example"])
def test_an_atom_of_zero_draws_what_was_drawn_and_others_leave_the_mixed_rows_alone(per):
    plain = draw_plan(512, 3.0, torch.Generator().manual_seed(4), per=per)
    none = draw_plan(512, 3.0, torch.Generator().manual_seed(4), per=per, atom=0.0)
    half = draw_plan(512, 3.0, torch.Generator().manual_seed(4), per=per, atom=0.5)
    assert torch.equal(none.shares, plain.shares)
    assert torch.equal(half.sources, plain.sources)
    whole = half.lam == 1
    assert torch.equal(half.lam[~whole], plain.lam[~whole])
    assert (half.shares[whole] == torch.tensor([1.0, 0.0])).all()
    assert int(whole.sum()) == pytest.approx(256, abs=46)  # four standard deviations of a binomial


def test_whether_a_row_is_whole_says_nothing_of_the_next():
    plan = draw_plan(4000, 3.0, torch.Generator().manual_seed(0), per="example", atom=0.3)
    whole = (plan.lam == 1).double().numpy()
    assert whole.mean() == pytest.approx(0.3, abs=4 * (0.3 * 0.7 / 4000) ** 0.5)
    assert abs(np.corrcoef(whole[1:], whole[:-1])[0, 1]) < 4 / 4000**0.5
    assert stats.kstest(plan.lam[plan.lam < 1].numpy(), stats.beta(3, 3).cdf).pvalue > 0.001


def test_an_atom_of_one_mixes_nothing_and_a_fixed_share_is_the_others():
    assert (draw_plan(7, 3.0, torch.Generator(), atom=1.0).lam == 1).all()
    assert set(draw_plan(64, 3.0, torch.Generator(), lam=0.25, atom=0.5).lam.tolist()) == {0.25, 1.0}
    with pytest.raises(UserError, match="atom.*1.5"):
        draw_plan(7, 3.0, torch.Generator(), atom=1.5)
