//! What an analysis may write, a row each: how it is written, what it does, a text that plans.
//! Nothing may stand here that the planner refuses.

use super::{Entry, Group};

/// Every allowed entry.
pub(super) fn entries() -> impl Iterator<Item = Entry> {
    let of = |group: Group, rows: &'static [(&'static str, &'static str, &'static str)]| {
        rows.iter().map(move |(name, what, example)| Entry {
            group,
            name,
            what,
            example,
            refused: None,
            is_module: false,
        })
    };
    of(Group::Aggregates, AGGREGATES)
        .chain(of(Group::RowFunctions, ROW_FUNCTIONS))
        .chain(of(Group::Shapes, SHAPES))
        .chain(MODULES.iter().map(|(name, what, example)| Entry {
            group: Group::Shapes,
            name,
            what,
            example,
            refused: None,
            is_module: true,
        }))
}

/// Name, meaning, example.
type Rows = &'static [(&'static str, &'static str, &'static str)];

const AGGREGATES: Rows = &[
    (
        "`COUNT(*)`",
        "The number of rows. One person counts with at most `row_cap` of them.",
        "SELECT COUNT(*) AS trips FROM trips",
    ),
    (
        "`COUNT(column)`",
        "The number of rows in which the expression is known.",
        "SELECT COUNT(fare) AS priced FROM trips",
    ),
    (
        "`COUNT(DISTINCT unit)`",
        "The number of people. Only the dataset's unit column may stand there; over several partners, a person at two of them counts twice.",
        "SELECT COUNT(DISTINCT person_id) AS riders FROM trips",
    ),
    (
        "`SUM(x)`",
        "The sum over rows. Each value is rounded to a grid and kept within its bounds, which come from the dictionary, from `clamp`, or follow from them.",
        "SELECT SUM(distance_km) AS km FROM trips",
    ),
    (
        "`AVG(x)`",
        "The sum divided by the number of rows in which the value is known. Both are paid for; a count or sum that stands in the answer as well is paid for once.",
        "SELECT AVG(minutes) AS mean_minutes, COUNT(*) AS trips FROM trips",
    ),
];

const ROW_FUNCTIONS: Rows = &[
    (
        "`clamp(x, lo, hi)`",
        "The value, kept between two constants: how a text bounds what the dictionary does not.",
        "SELECT SUM(clamp(fare, 0, 50)) AS revenue FROM trips",
    ),
    (
        "`COALESCE(a, b, ...)`",
        "The first value that is known.",
        "SELECT SUM(COALESCE(minutes, 0)) AS minutes_in_all FROM trips",
    ),
    (
        "`NULLIF(a, b)`",
        "Unknown where the two are equal, else the first.",
        "SELECT AVG(NULLIF(minutes, 0)) AS mean_minutes FROM trips",
    ),
    (
        "`CASE WHEN ... THEN ... ELSE ... END`",
        "The value of the first condition that holds; unknown when none does and there is no `ELSE`.",
        "SELECT SUM(CASE WHEN is_member THEN distance_km ELSE 0 END) AS member_km FROM trips",
    ),
    (
        "`CASE x WHEN a THEN ... END`",
        "The same, by comparing one value.",
        "SELECT SUM(CASE zone WHEN 1 THEN 1 WHEN 2 THEN 2 ELSE 0 END) AS points FROM trips",
    ),
    (
        "`+ - *`",
        "Whole numbers and floats. Whole numbers that leave their range become unknown.",
        "SELECT AVG(distance_km * 1000 - 5) AS metres FROM trips",
    ),
    (
        "`/`",
        "Always a float. Division by zero is unknown, never an error.",
        "SELECT AVG(clamp(distance_km / minutes, 0, 2)) AS km_a_minute FROM trips",
    ),
    (
        "`= <> < <= > >=`",
        "Comparisons; unknown when a side is.",
        "SELECT COUNT(*) AS long_trips FROM trips WHERE distance_km >= 20",
    ),
    (
        "`AND OR NOT`",
        "Three-valued, as in SQL.",
        "SELECT COUNT(*) AS n FROM trips WHERE NOT is_member AND (zone = 1 OR zone = 2)",
    ),
    (
        "`IN (constants)`",
        "Whether the value is one of a list.",
        "SELECT COUNT(*) AS n FROM trips WHERE town IN ('Ashford', 'Bramley')",
    ),
    (
        "`BETWEEN a AND b`",
        "Both ends count.",
        "SELECT COUNT(*) AS n FROM trips WHERE minutes BETWEEN 10 AND 30",
    ),
    (
        "`IS NULL`, `IS NOT NULL`",
        "Whether a value is unknown. NaN and infinities are unknown.",
        "SELECT COUNT(*) AS n FROM trips WHERE fare IS NOT NULL",
    ),
    (
        "`TIMESTAMP '...'`",
        "A moment, without a zone: `2019-07-01`, or with a time of day.",
        "SELECT COUNT(*) AS n FROM trips WHERE started_at < TIMESTAMP '2019-07-01 12:00:00'",
    ),
];

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
