//! The questions Q1 to Q3 of the developer data's README, as it writes them, with the caps that no
//! person of that data reaches and the months and countries that are public. What they answer stands
//! in that README and comes from an engine, never from here.

/// One question.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// Its name.
    pub name: &'static str,
    /// The text, planned as it stands and run as it stands.
    pub sql: &'static str,
    /// Rows of the relation that one person counts with: more than anybody has.
    pub row_cap: u32,
    /// Cells that one person counts in: more than anybody has.
    pub group_cap: u32,
    /// What coverage spends, as rho. Where one cost cannot be right for all columns (noise of three
    /// steps at least, and small beside what shares divide by), there are two.
    pub rho: &'static [&'static str],
}

/// All of them; Q3 is two questions.
pub const QUESTIONS: [Asked; 4] = [Q1, Q2, Q3_SPEND, Q3_STRESS];

/// Cross-town mobility.
pub const Q1: Asked = Asked {
    name: "q1",
    sql: "SELECT start_city, COUNT(DISTINCT person_id) AS riders, COUNT(*) AS trips,
       AVG(CASE WHEN end_city <> start_city THEN 1.0 ELSE 0.0 END) AS cross_share
FROM mob
WHERE start_time_local >= TIMESTAMP '2019-07-01' AND start_time_local < TIMESTAMP '2019-10-01'
  AND start_city IS NOT NULL AND end_city IS NOT NULL AND distance_m >= 200
GROUP BY start_city",
    row_cap: 2_000,
    group_cap: 6,
    // For riders, and for trips and shares: those have noise for as many rows as the cap.
    rho: &["1", "200000"],
};

/// Who is still active a month later? Each partner's months are named by its filter; the share is a
/// column here, as in the README's table.
pub const Q2: Asked = Asked {
    name: "q2",
    sql: "WITH activity AS (
  SELECT 'mobility' AS partner, person_id, date_trunc('month', start_time_local) AS m FROM mob WHERE distance_m >= 200
    AND start_time_local >= TIMESTAMP '2019-07-01' AND start_time_local < TIMESTAMP '2019-11-01'
  UNION ALL SELECT 'retail', person_id, date_trunc('month', invoice_time) FROM ret WHERE person_id IS NOT NULL AND quantity > 0
    AND invoice_time >= TIMESTAMP '2011-07-01' AND invoice_time < TIMESTAMP '2011-11-01'
  UNION ALL SELECT 'bank', person_id, statement_month FROM bank WHERE payment_amount_twd > 0
    AND statement_month IN (TIMESTAMP '2005-06-01', TIMESTAMP '2005-07-01', TIMESTAMP '2005-08-01', TIMESTAMP '2005-09-01')),
pm AS (SELECT DISTINCT partner, person_id, m FROM activity)
SELECT a.partner, a.m, COUNT(*) AS active, COUNT(b.person_id) AS active_next, COUNT(b.person_id) * 1.0 / COUNT(*) AS share
FROM pm a LEFT JOIN pm b ON a.partner = b.partner AND a.person_id = b.person_id AND b.m = a.m + INTERVAL '1' MONTH
GROUP BY 1, 2",
    row_cap: 4,
    group_cap: 4,
    rho: &["1"],
};

/// Spend, with clipping.
pub const Q3_SPEND: Asked = Asked {
    name: "q3-spend",
    sql: "WITH s AS (SELECT country, person_id, SUM(amount_gbp) AS spend FROM ret
  WHERE person_id IS NOT NULL AND invoice_time >= TIMESTAMP '2011-09-01' AND invoice_time < TIMESTAMP '2011-12-01'
  GROUP BY country, person_id)
SELECT country, COUNT(*) AS customers, SUM(spend) AS spend,
       SUM(LEAST(GREATEST(spend, 0), 2000)) AS spend_clipped FROM s GROUP BY country",
    row_cap: 4,
    group_cap: 4,
    rho: &["1"],
};

/// Payment stress.
pub const Q3_STRESS: Asked = Asked {
    name: "q3-stress",
    sql: "SELECT CASE WHEN age < 30 THEN '21-29' WHEN age < 40 THEN '30-39' WHEN age < 50 THEN '40-49'
            WHEN age < 60 THEN '50-59' ELSE '60+' END AS age_band,
       COUNT(*) AS customers, AVG(CASE WHEN repayment_status >= 1 THEN 1.0 ELSE 0.0 END) AS behind,
       AVG(LEAST(payment_amount_twd, 50000.0)) AS mean_payment
FROM bank WHERE statement_month = TIMESTAMP '2005-09-01' GROUP BY 1",
    row_cap: 1,
    group_cap: 1,
    rho: &["0.1"],
};
