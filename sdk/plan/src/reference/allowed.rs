//! What an analysis may write, a row each: how it is written, what it does, a text that plans.
//! Nothing may stand here that the planner refuses.

use super::{Entry, Group};

/// Every allowed entry.
pub(super) fn entries() -> impl Iterator<Item = Entry> {
    let of = |rows: Rows, is_module: bool, delta: Option<&'static str>| {
        rows.iter().map(move |(name, what, example)| Entry {
            group: Group::Shapes,
            name: (*name).into(),
            what: (*what).into(),
            example: (*example).into(),
            refused: None,
            is_module,
            delta,
        })
    };
    let (shapes, modules) = (of(SHAPES, false, None), of(MODULES, true, None));
    shapes.chain(modules).chain(of(PRIVATE, false, Some(PRIVATE_DELTA)))
}

/// The delta of examples with private keys.
pub(super) const PRIVATE_DELTA: &str = "0.000001";

/// Shapes that need a delta.
const PRIVATE: Rows = &[(
    "`GROUP BY` a key without a public list",
    "With a `delta` in `spend`, such as `spend = { rho = \"0.1\", delta = \"0.000001\" }`: each partner shows the values that enough people share, counted with noise; from how many people on is told by `cloister explain`. With `rounds = 2` beside it that is the first of two rounds, which counts people and nothing else; in the second, every partner answers all values that any of them has shown. Texts longer than 256 bytes are in no group.",
    "SELECT note, COUNT(DISTINCT person_id) AS people FROM trips GROUP BY note",
)];

/// Name, meaning, example.
type Rows = &'static [(&'static str, &'static str, &'static str)];

const SHAPES: Rows = &[
    (
        "`GROUP BY` a public column",
        "One row for each value of the column's public list, also those without people.",
        "SELECT town, COUNT(*) AS trips FROM trips GROUP BY town",
    ),
    (
        "several keys",
        "One row for each combination.",
        "SELECT town, zone, COUNT(*) AS trips FROM trips GROUP BY town, zone",
    ),
    (
        "bands by `CASE`",
        "The texts after `THEN` and `ELSE` are the public list.",
        "SELECT CASE WHEN distance_km < 5 THEN 'short' ELSE 'long' END AS band, COUNT(*) AS trips\nFROM trips GROUP BY band",
    ),
    (
        "`GROUP BY 1`",
        "A key by its place in `SELECT`.",
        "SELECT town, COUNT(*) AS trips FROM trips GROUP BY 1",
    ),
    (
        "a truth value as a key",
        "Its public list is true and false.",
        "SELECT is_member, COUNT(*) AS trips FROM trips GROUP BY is_member",
    ),
    (
        "`WHERE`",
        "Rows that count, chosen before a person's rows are capped.",
        "SELECT COUNT(*) AS trips FROM trips WHERE started_at >= TIMESTAMP '2019-07-01'",
    ),
    (
        "values that `WHERE` lists as keys",
        "`IN`, `=` and `OR` of them give a key its public list where the dictionary has none.",
        "SELECT note, COUNT(*) AS trips FROM trips WHERE note IN ('lost', 'late') GROUP BY note",
    ),
    (
        "months, days and hours as keys",
        "A range of times in `WHERE` gives `date_trunc` its public list. A constant text beside a time is read as a time.",
        "SELECT date_trunc('month', started_at) AS month, COUNT(*) AS trips FROM trips\nWHERE started_at >= TIMESTAMP '2019-07-01' AND started_at < '2019-10-01'\nGROUP BY 1",
    ),
    (
        "histograms",
        "`WIDTH_BUCKET` numbers equal bands from 0 to n + 1.",
        "SELECT WIDTH_BUCKET(distance_km, 0, 100, 10) AS band, COUNT(*) AS trips FROM trips GROUP BY 1",
    ),
    (
        "arithmetic on aggregates",
        "Computed from released figures, after the noise; costs nothing more. Division keeps fractions, so that `CAST` to `DOUBLE` changes nothing.",
        "SELECT town, SUM(minutes) / COUNT(DISTINCT person_id) AS minutes_each FROM trips GROUP BY town",
    ),
    (
        "arithmetic on quantiles and distinct counts",
        "As on all aggregates; the interval holds whatever the parts' noise does.",
        "SELECT APPROX_PERCENTILE_CONT(minutes, 0.75) - APPROX_PERCENTILE_CONT(minutes, 0.25) AS spread,\n  COUNT(DISTINCT end_town) / COUNT(DISTINCT zone) AS towns_a_zone FROM trips",
    ),
    (
        "`ROUND`, `ABS`, `SQRT` of aggregates",
        "After the noise, of the figure and of the ends of its interval. Digits of `ROUND` are a constant from -15 to 15; a root of what is below 0 is not defined.",
        "SELECT town, ROUND(AVG(minutes), 1) AS mean, SQRT(COUNT(*)) AS root FROM trips GROUP BY town",
    ),
    (
        "`COALESCE` of an aggregate and a number",
        "The number where the noised figure is not defined, such as an average over too few rows to tell; it is shown without an interval. Counts and sums are always defined.",
        "SELECT town, COALESCE(AVG(minutes), 0) AS mean FROM trips GROUP BY town",
    ),
    (
        "`COUNT(DISTINCT CASE WHEN ... THEN unit END)`",
        "As `COUNT(DISTINCT unit) FILTER (WHERE ...)`.",
        "SELECT COUNT(DISTINCT CASE WHEN is_member THEN person_id END) AS members FROM trips",
    ),
    (
        "shares of the answer's total",
        "`SUM(...) OVER ()` of a count or a sum adds up the noised figures of all groups, with `PARTITION BY` of those with the same keys, before any `LIMIT`.",
        "SELECT town, COUNT(*) / SUM(COUNT(*)) OVER () AS share FROM trips GROUP BY town",
    ),
    (
        "`HAVING`",
        "Chooses rows by their noised figures, after the noise; every group is released and paid for. Figures are aggregates, headings and what is computed from them, compared by = <> < <= > >=, `IN`, `BETWEEN` and `IS NOT NULL`.",
        "SELECT town, COUNT(*) AS trips FROM trips GROUP BY town HAVING COUNT(*) > 100 AND trips / 2 NOT IN (60, 70)",
    ),
    (
        "`HAVING` on keys",
        "Chooses rows by their keys, which are exact, after the noise. What `WHERE` leaves out is not even counted.",
        "SELECT town, zone, COUNT(*) AS trips FROM trips GROUP BY town, zone\nHAVING town <> 'Ashford' AND zone BETWEEN 1 AND 2",
    ),
    (
        "`ORDER BY`",
        "Orders rows by keys, noised figures or what is computed from them; figures that are not defined come last.",
        "SELECT town, COUNT(*) AS trips, SUM(minutes) AS minutes FROM trips GROUP BY town\nORDER BY minutes / trips DESC, town",
    ),
    (
        "`LIMIT`",
        "Cuts the noised answer.",
        "SELECT town, COUNT(*) AS trips FROM trips GROUP BY town ORDER BY trips DESC LIMIT 2",
    ),
    (
        "`OFFSET`",
        "Leaves out the first rows of the noised answer.",
        "SELECT town, COUNT(*) AS trips FROM trips GROUP BY town ORDER BY trips DESC LIMIT 2 OFFSET 1",
    ),
    (
        "per-person subqueries",
        "One row a person, from that person's rows alone.",
        "SELECT AVG(n) AS trips_each FROM (\n  SELECT person_id, COUNT(*) AS n FROM trips GROUP BY person_id) AS each_person",
    ),
    (
        "aggregates of one person",
        "`COUNT`, `COUNT(DISTINCT x)`, `SUM`, `AVG`, `MIN` and `MAX` of that person's rows, exact there.",
        "SELECT AVG(longest) AS longest_each, AVG(towns) AS towns_each FROM (\n  SELECT person_id, MAX(minutes) AS longest, COUNT(DISTINCT town) AS towns FROM trips\n  GROUP BY person_id) AS each_person",
    ),
    (
        "`FILTER` in a per-person subquery",
        "Aggregates of one person over those of that person's rows where the condition is true; without such a row a count is 0 and all else is missing.",
        "SELECT AVG(n) AS long_trips_each FROM (\n  SELECT person_id, COUNT(*) FILTER (WHERE distance_km > 20) AS n FROM trips\n  GROUP BY person_id) AS each_person",
    ),
    (
        "`HAVING` in a per-person subquery",
        "Chooses people, or their groups, by their own exact values, before any noise.",
        "SELECT COUNT(*) AS regulars FROM (\n  SELECT person_id FROM trips GROUP BY person_id HAVING COUNT(*) >= 10) AS each_person",
    ),
    (
        "joins of private tables",
        "On the person, and on further keys; `INNER`, `LEFT` and `RIGHT`.",
        "SELECT t.town, COUNT(*) AS paid_trips FROM trips AS t\nJOIN payments AS p ON t.person_id = p.person_id GROUP BY t.town",
    ),
    (
        "`LEFT JOIN` of private tables",
        "Keeps rows of the left side that find none; a count of the right side's person counts those that do. `ON` may choose rows of the right side.",
        "SELECT COUNT(*) AS pairs, COUNT(p.person_id) AS found FROM trips AS t\nLEFT JOIN payments AS p ON t.person_id = p.person_id AND p.shop = 'fuel'",
    ),
    (
        "`RIGHT JOIN` of private tables",
        "A `LEFT JOIN` with its sides changed.",
        "SELECT COUNT(*) AS pairs, COUNT(t.person_id) AS found FROM trips AS t\nRIGHT JOIN payments AS p ON t.person_id = p.person_id",
    ),
    (
        "`USING`",
        "`ON` of equal columns of one name, which is then the left side's.",
        "SELECT town, COUNT(*) AS paid_trips FROM trips JOIN payments USING (person_id) GROUP BY town",
    ),
    (
        "joins of public tables",
        "On any key; `INNER`, or an outer join that keeps all rows of people.",
        "SELECT r.region, COUNT(*) AS trips FROM trips AS t JOIN regions AS r ON t.town = r.town\nGROUP BY r.region",
    ),
    (
        "`LEFT JOIN` of a public table",
        "Keeps people's rows that find none; `RIGHT JOIN` does, where the public table stands first.",
        "SELECT COUNT(*) AS trips, COUNT(r.region) AS known FROM trips AS t\nLEFT JOIN regions AS r ON t.end_town = r.town",
    ),
    (
        "`WITH`",
        "Names a subquery that keeps the unit; used as often as one likes.",
        "WITH long AS (SELECT person_id, town FROM trips WHERE distance_km > 20)\nSELECT town, COUNT(DISTINCT person_id) AS riders FROM long GROUP BY town",
    ),
    (
        "`*` in a subquery",
        "All columns, or those of one table where its name is written before: `t.*`.",
        "WITH long AS (SELECT * FROM trips WHERE distance_km > 20)\nSELECT COUNT(*) AS trips FROM long",
    ),
    (
        "`UNION ALL`",
        "Rows of several tables with the same unit, inside a subquery.",
        "SELECT kind, COUNT(*) AS events FROM (\n  SELECT person_id, 'trip' AS kind FROM trips\n  UNION ALL SELECT person_id, 'payment' FROM payments) AS events GROUP BY kind",
    ),
    (
        "`UNION`",
        "As `UNION ALL`, each different row of a person once.",
        "SELECT town, COUNT(*) AS people FROM (\n  SELECT person_id, town FROM trips\n  UNION SELECT person_id, end_town FROM trips) AS seen GROUP BY town",
    ),
    (
        "`SELECT DISTINCT` in a subquery",
        "Each different row of a person once.",
        "SELECT town, COUNT(*) AS riders FROM (SELECT DISTINCT person_id, town FROM trips) AS seen\nGROUP BY town",
    ),
    (
        "windows in a subquery",
        "`ROW_NUMBER`, `LAG`, `LEAD` and aggregates over a person's own rows, partitioned by the unit.",
        "SELECT COUNT(*) AS returns FROM (\n  SELECT person_id, town, LAG(town) OVER (PARTITION BY person_id ORDER BY started_at) AS before\n  FROM trips) AS t WHERE town <> before",
    ),
    (
        "`ROW_NUMBER`",
        "The place of a row among that person's, from 1.",
        "SELECT town, COUNT(*) AS first_trips FROM (\n  SELECT person_id, town, ROW_NUMBER() OVER (PARTITION BY person_id ORDER BY started_at) AS place\n  FROM trips) AS t WHERE place = 1 GROUP BY town",
    ),
    (
        "`LAG`, `LEAD`",
        "A value of the row before or after, or so many rows away: `LAG(x, 2)`.",
        "SELECT COUNT(*) AS onward FROM (\n  SELECT person_id, end_town, LEAD(town) OVER (PARTITION BY person_id ORDER BY started_at) AS next_town\n  FROM trips) AS t WHERE next_town <> end_town",
    ),
    (
        "windows over the rows so far",
        "With `ROWS UNBOUNDED PRECEDING`, also written `ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW`.",
        "SELECT COUNT(*) AS trips FROM (\n  SELECT person_id, SUM(minutes) OVER (\n    PARTITION BY person_id ORDER BY started_at ROWS UNBOUNDED PRECEDING) AS so_far\n  FROM trips) AS t WHERE so_far <= 600",
    ),
    (
        "windows over the whole partition",
        "Without `ORDER BY`: one value for all rows of the partition.",
        "SELECT COUNT(*) AS long_trips FROM (\n  SELECT person_id, minutes, AVG(minutes) OVER (PARTITION BY person_id) AS usual\n  FROM trips) AS t WHERE minutes > usual",
    ),
    (
        "names",
        "Unquoted names fold to lower case; a dataset may be given another name.",
        "SELECT T.Town, COUNT(*) AS trips FROM trips AS t GROUP BY t.town",
    ),
    (
        "comments",
        "After `--`, or between `/*` and `*/`.",
        "SELECT COUNT(*) AS trips -- all of them\nFROM trips /* of everybody */",
    ),
];

const MODULES: Rows = &[(
    "the rows of a module",
    "A person-map module sees one person's rows at a time: columns only, chosen by `WHERE`. Text goes in as a place in its public list.",
    "SELECT town, minutes FROM trips WHERE minutes > 5",
)];
