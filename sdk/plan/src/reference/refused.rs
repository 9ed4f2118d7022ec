//! What an analysis may not write, a row each: how it is written, a text that uses it, and the very
//! refusal it must end in. The page takes its words from the refusal itself.

use super::allowed::PRIVATE_DELTA;
use super::{Entry, Group};

/// Every refused entry.
pub(super) fn entries() -> impl Iterator<Item = Entry> {
    let of = |group: Group, is_module: bool, delta: Option<&'static str>, rows: Rows| {
        rows.iter().map(move |(name, refusal, example)| Entry {
            group,
            name: (*name).into(),
            what: "".into(),
            example: (*example).into(),
            refused: Some(refusal),
            is_module,
            delta,
        })
    };
    of(Group::RefusedShapes, false, None, SHAPES)
        .chain(of(Group::RefusedShapes, true, None, MODULES))
        .chain(of(Group::RefusedShapes, false, Some(PRIVATE_DELTA), SPENT))
        .chain(of(Group::RefusedNames, false, None, NAMES))
}

/// Name, refusal, example.
type Rows = &'static [(&'static str, &'static str, &'static str)];

const SHAPES: Rows = &[
    ("statements other than `SELECT`", "Statement", "DELETE FROM trips"),
    ("several statements", "SeveralStatements", "SELECT COUNT(*) AS n FROM trips; SELECT 1"),
    (
        "recursion",
        "Cte",
        "WITH RECURSIVE t AS (SELECT person_id FROM trips) SELECT COUNT(*) AS n FROM t",
    ),
    (
        "`UNION`, `INTERSECT`, `EXCEPT` of answers",
        "SetOperation",
        "SELECT COUNT(*) AS n FROM trips UNION ALL SELECT COUNT(*) AS n FROM payments",
    ),
    (
        "`UNION` beside `UNION ALL`",
        "SetOperation",
        "SELECT COUNT(*) AS n FROM (\n  SELECT person_id FROM trips UNION SELECT person_id FROM rides\n  UNION ALL SELECT person_id FROM payments) AS t",
    ),
    (
        "parts of a `UNION` that differ",
        "UnionParts",
        "SELECT COUNT(*) AS n FROM (\n  SELECT person_id, town FROM trips UNION ALL SELECT person_id FROM payments) AS t",
    ),
    (
        "queries in conditions",
        "Subquery",
        "SELECT COUNT(*) AS n FROM trips WHERE zone IN (SELECT zone FROM trips)",
    ),
    ("tables without a join condition", "Join", "SELECT COUNT(*) AS n FROM trips, payments"),
    (
        "other joins",
        "OtherJoin",
        "SELECT COUNT(*) AS n FROM trips AS t FULL JOIN payments AS p ON t.person_id = p.person_id",
    ),
    (
        "joins on anything but the person",
        "UnitNotJoined",
        "SELECT COUNT(*) AS n FROM trips AS t JOIN payments AS p ON t.zone = p.amount_eur",
    ),
    (
        "joins of people who are named by other types",
        "UnitTypes",
        "SELECT COUNT(*) AS n FROM trips AS t JOIN visits AS v ON t.person_id = v.patient",
    ),
    (
        "joins on a person who may be missing",
        "UnitOptional",
        "SELECT COUNT(*) AS n FROM trips AS t LEFT JOIN payments AS p ON t.person_id = p.person_id\nJOIN rides AS r ON r.person_id = p.person_id",
    ),
    (
        "conditions of a `LEFT JOIN` on its left side",
        "JoinCondition",
        "SELECT COUNT(*) AS n FROM trips AS t\nLEFT JOIN payments AS p ON t.person_id = p.person_id AND t.zone = 1",
    ),
    (
        "joins of a public table without a key",
        "NoJoinKey",
        "SELECT COUNT(*) AS n FROM trips AS t JOIN regions AS r ON r.region = 'east'",
    ),
    ("a public table alone", "PublicAlone", "SELECT COUNT(*) AS n FROM regions"),
    (
        "names of `WITH` that nothing reads",
        "Unused",
        "WITH long AS (SELECT person_id FROM trips) SELECT COUNT(*) AS n FROM payments",
    ),
    (
        "subqueries that leave out the person",
        "UnitLeftOut",
        "SELECT COUNT(*) AS n FROM (SELECT town FROM trips) AS t",
    ),
    (
        "subqueries across people",
        "AcrossUnits",
        "SELECT SUM(n) AS n FROM (SELECT town, COUNT(*) AS n FROM trips GROUP BY town) AS t",
    ),
    (
        "`INTERSECT`, `EXCEPT`",
        "Intersect",
        "SELECT COUNT(*) AS n FROM (\n  SELECT person_id FROM trips INTERSECT SELECT person_id FROM payments) AS t",
    ),
    (
        "`LATERAL`",
        "Lateral",
        "SELECT COUNT(*) AS n FROM trips JOIN LATERAL (SELECT 1) AS x ON TRUE",
    ),
    ("`VALUES`", "Values", "SELECT COUNT(*) AS n FROM (VALUES (1)) AS v"),
    (
        "`ORDER BY` and `LIMIT` in a subquery",
        "InnerOrder",
        "SELECT COUNT(*) AS n FROM (SELECT person_id, zone FROM trips ORDER BY zone) AS t",
    ),
    (
        "named windows",
        "NamedWindow",
        "SELECT COUNT(*) AS n FROM (\n  SELECT person_id, ROW_NUMBER() OVER w AS r FROM trips) AS t",
    ),
    (
        "`QUALIFY`",
        "Qualify",
        "SELECT COUNT(*) AS n FROM (\n  SELECT person_id FROM trips QUALIFY ROW_NUMBER() OVER (PARTITION BY person_id) = 1) AS t",
    ),
    (
        "queries and functions in `FROM`",
        "TableFunction",
        "SELECT COUNT(*) AS n FROM generate_series(1, 10)",
    ),
    ("files", "FileTable", "SELECT COUNT(*) AS n FROM 'trips.parquet'"),
    ("schemas", "Schema", "SELECT COUNT(*) AS n FROM information_schema.tables"),
    ("options of a table", "TableOption", "SELECT COUNT(*) AS n FROM trips WITH ORDINALITY"),
    ("no `FROM`", "NoFrom", "SELECT COUNT(*) AS n"),
    ("`*`", "Wildcard", "SELECT * FROM trips"),
    ("`SELECT DISTINCT`", "Distinct", "SELECT DISTINCT town FROM trips"),
    (
        "`DISTINCT` in other aggregates",
        "AggregateDistinct",
        "SELECT SUM(DISTINCT minutes) AS n FROM trips",
    ),
    (
        "`FETCH`, `TOP`",
        "Limit",
        "SELECT town, COUNT(*) AS n FROM trips GROUP BY town FETCH FIRST 2 ROWS ONLY",
    ),
    (
        "conditions on rows in `HAVING`",
        "Having",
        "SELECT zone, COUNT(*) AS n FROM trips GROUP BY zone HAVING minutes > 5",
    ),
    (
        "keys in arithmetic, or compared with figures",
        "KeyFigure",
        "SELECT zone, COUNT(*) AS n FROM trips GROUP BY zone HAVING zone < n / 100",
    ),
    (
        "`NULLS FIRST`",
        "OrderBy",
        "SELECT town, COUNT(*) AS n FROM trips GROUP BY town ORDER BY n NULLS FIRST",
    ),
    (
        "a column's place in `ORDER BY` that there is not",
        "OrderByPlace",
        "SELECT town, COUNT(*) AS n FROM trips GROUP BY town ORDER BY 3",
    ),
    ("windows", "Window", "SELECT COUNT(*) OVER (PARTITION BY town) AS n FROM trips"),
    (
        "other windows over the groups of the answer",
        "Across",
        "SELECT town, SUM(AVG(minutes)) OVER () AS n FROM trips GROUP BY town",
    ),
    (
        "parts of the answer that are no keys",
        "AcrossKey",
        "SELECT town, SUM(COUNT(*)) OVER (PARTITION BY zone) AS n FROM trips GROUP BY town",
    ),
    (
        "sums over the groups of the answer beside `HAVING`",
        "AcrossHaving",
        "SELECT town, SUM(COUNT(*)) OVER () AS n FROM trips GROUP BY town HAVING COUNT(*) > 100",
    ),
    (
        "windows across people",
        "WindowAcrossUnits",
        "SELECT COUNT(*) AS n FROM (\n  SELECT person_id, LAG(town) OVER (ORDER BY started_at) AS before FROM trips) AS t",
    ),
    (
        "other frames of a window",
        "WindowFrame",
        "SELECT COUNT(*) AS n FROM (\n  SELECT person_id, SUM(minutes) OVER (PARTITION BY person_id ORDER BY started_at) AS so_far\n  FROM trips) AS t",
    ),
    (
        "`ROW_NUMBER`, `LAG`, `LEAD` without an order",
        "WindowOrder",
        "SELECT COUNT(*) AS n FROM (\n  SELECT person_id, LAG(town) OVER (PARTITION BY person_id) AS before FROM trips) AS t",
    ),
    (
        "`ROLLUP`, `CUBE`, `GROUPING SETS`",
        "GroupingSets",
        "SELECT town, COUNT(*) AS n FROM trips GROUP BY ROLLUP(town)",
    ),
    (
        "`FILTER` on what is no aggregate",
        "Filter",
        "SELECT SUM(COALESCE(minutes, 0) FILTER (WHERE is_member)) AS n FROM trips",
    ),
    ("clauses of other dialects", "Clause", "SELECT COUNT(*) AS n INTO copy FROM trips"),
    ("placeholders", "Placeholder", "SELECT COUNT(*) AS n FROM trips WHERE zone = $1"),
    ("aggregates inside aggregates", "NestedAggregate", "SELECT SUM(COUNT(*)) AS n FROM trips"),
    (
        "`CASE`, `%` and other functions over aggregates",
        "Figure",
        "SELECT CASE WHEN COUNT(*) > 100 THEN 1 ELSE 0 END AS many FROM trips",
    ),
    ("constants as columns", "ConstantColumn", "SELECT 'all' AS what, COUNT(*) AS n FROM trips"),
    ("casts to other types", "Cast", "SELECT COUNT(CAST(zone AS BLOB)) AS n FROM trips"),
    (
        "patterns that are no constant",
        "Like",
        "SELECT COUNT(*) AS n FROM trips WHERE town LIKE end_town",
    ),
    (
        "intervals that are no constant",
        "Interval",
        "SELECT COUNT(*) AS n FROM trips\nWHERE started_at < TIMESTAMP '2019-07-01' + INTERVAL zone DAY",
    ),
    (
        "differences of times",
        "TimeDifference",
        "SELECT COUNT(started_at - TIMESTAMP '2019-07-01') AS n FROM trips",
    ),
    (
        "`TIME '...'`",
        "TypedText",
        "SELECT COUNT(*) AS n FROM trips WHERE started_at > TIME '12:00'",
    ),
    ("special strings", "StringKind", "SELECT COUNT(*) AS n FROM trips WHERE town = X'41'"),
    ("`NULL` as a value", "NullValue", "SELECT COUNT(*) AS n FROM trips WHERE zone = NULL"),
    ("other forms of `IS`", "IsForm", "SELECT COUNT(*) AS n FROM trips WHERE note IS NORMALIZED"),
    (
        "`IS DISTINCT FROM` without parentheses",
        "OpenTest",
        "SELECT COUNT(*) AS n FROM trips WHERE zone IS DISTINCT FROM 1 AND is_member",
    ),
    ("other operators", "Operator", "SELECT COUNT(*) AS n FROM trips WHERE zone & 2 = 0"),
    (
        "columns in a list",
        "ListElement",
        "SELECT COUNT(*) AS n FROM trips WHERE zone IN (minutes, 3)",
    ),
    ("`COUNT(unit)`", "CountUnit", "SELECT COUNT(person_id) AS n FROM trips"),
    ("options of an argument", "Argument", "SELECT SUM(minutes) IGNORE NULLS AS n FROM trips"),
    (
        "other expressions",
        "Expression",
        "SELECT COUNT(*) AS n FROM trips WHERE (zone, zone) = (1, 2)",
    ),
    ("a selected column that is no key", "NotGrouped", "SELECT note, COUNT(*) AS n FROM trips"),
    ("a key that is not selected", "KeyNotShown", "SELECT COUNT(*) AS n FROM trips GROUP BY town"),
    ("an answer without a figure", "NoAggregate", "SELECT town FROM trips GROUP BY town"),
    (
        "a key's place that there is not",
        "Ordinal",
        "SELECT town, COUNT(*) AS n FROM trips GROUP BY 3",
    ),
    (
        "a heading that is another column",
        "HeadingIsColumn",
        "SELECT SUM(minutes) AS zone FROM trips",
    ),
    ("two columns of one heading", "Twice", "SELECT COUNT(*), COUNT(*) FROM trips"),
    ("headings that cannot be shown", "Heading", "SELECT COUNT(*) AS \"\" FROM trips"),
    (
        "too many of anything, such as nine keys",
        "TooMany",
        "SELECT zone = 1 AS a, zone = 2 AS b, zone = 3 AS c, minutes < 5 AS d, minutes < 10 AS e,\n  minutes < 20 AS f, minutes < 40 AS g, minutes < 80 AS h, is_member, COUNT(*) AS n\nFROM trips GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9",
    ),
    (
        "expressions nested too deeply",
        "TooDeep",
        "SELECT COUNT(*) AS n FROM trips\nWHERE zone + 1 + 2 + 3 + 4 + 5 + 6 + 7 + 8 + 9 + 10 + 11 + 12 + 13 + 14 + 15 + 16 + 17 + 18 + 19\n  + 20 + 21 + 22 + 23 + 24 + 25 > 100",
    ),
    (
        "signs of other systems: backticks, square brackets, curly quotes, comments with `#`",
        "Sign",
        "SELECT COUNT(*) AS n FROM `trips`",
    ),
    ("text that is empty", "Empty", "/* nothing yet */"),
    ("text that is no SQL", "Syntax", "SELECT COUNT(*) AS n FROM trips WHERE zone = 1 1"),
];

const MODULES: Rows = &[
    (
        "joins in a module's rows",
        "ModuleFrom",
        "SELECT t.minutes FROM trips AS t JOIN payments AS p ON t.person_id = p.person_id",
    ),
    (
        "`HAVING`, `ORDER BY`, `LIMIT` in a module's rows",
        "ModuleClause",
        "SELECT minutes FROM trips ORDER BY minutes",
    ),
    ("`GROUP BY` in a module's rows", "ModuleGroupBy", "SELECT town FROM trips GROUP BY town"),
    (
        "expressions in a module's rows",
        "ModuleExpression",
        "SELECT minutes + 1 AS later FROM trips",
    ),
    ("text without a public list in a module's rows", "ModuleText", "SELECT note FROM trips"),
];

/// What is refused for what is spent beside it.
const SPENT: Rows = &[(
    "a `delta` in `spend` where every group is public",
    "DeltaUnused",
    "SELECT COUNT(*) AS n FROM trips",
)];

const NAMES: Rows = &[
    ("identifier columns", "Identifier", "SELECT COUNT(ticket_no) AS n FROM trips"),
    (
        "the unit column",
        "UnitColumn",
        "SELECT person_id, COUNT(*) AS n FROM trips GROUP BY person_id",
    ),
    ("an unknown dataset", "NoDataset", "SELECT COUNT(*) AS n FROM journeys"),
    ("an unknown column", "NoColumn", "SELECT COUNT(*) AS n FROM trips WHERE tariff = 1"),
    (
        "a column that several tables have",
        "Ambiguous",
        "SELECT COUNT(*) AS n FROM trips AS t JOIN rides AS r ON t.person_id = r.person_id\nWHERE zone = 1",
    ),
    (
        "a key without a public list",
        "NoDomain",
        "SELECT note, COUNT(*) AS n FROM trips GROUP BY note",
    ),
    (
        "a key with fractions",
        "FractionKey",
        "SELECT FLOOR(minutes / 10) AS band, COUNT(*) AS n FROM trips GROUP BY band",
    ),
    ("a sum without bounds", "Unbounded", "SELECT SUM(fare) AS revenue FROM trips"),
    (
        "bounds beyond what sums hold",
        "BoundsTooWide",
        "SELECT SUM(clamp(fare, 0, 10000000000000000)) AS revenue FROM trips",
    ),
    (
        "a share of a quantile that is none",
        "Share",
        "SELECT APPROX_PERCENTILE_CONT(minutes, 1.5) AS longest FROM trips",
    ),
    ("a value of another type", "Type", "SELECT COUNT(*) AS n FROM trips WHERE zone = 'one'"),
    ("`MIN`, `MAX` over people", "Extreme", "SELECT MAX(minutes) AS longest FROM trips"),
    ("any other aggregate", "Aggregate", "SELECT STRING_AGG(note, ',') AS notes FROM trips"),
    (
        "`now()`, `random()` and the like",
        "Volatile",
        "SELECT COUNT(*) AS n FROM trips WHERE started_at < now()",
    ),
    ("any other function", "Function", "SELECT SUM(pg_sleep(9)) AS n FROM trips"),
    ("wrong arguments", "Arguments", "SELECT SUM(clamp(fare, 0)) AS n FROM trips"),
    ("`clamp` upside down", "ClampReversed", "SELECT SUM(clamp(fare, 50, 0)) AS n FROM trips"),
    (
        "numbers beyond 64 bits",
        "Number",
        "SELECT COUNT(*) AS n FROM trips WHERE zone = 99999999999999999999",
    ),
    (
        "times that are none",
        "Timestamp",
        "SELECT COUNT(*) AS n FROM trips WHERE started_at > TIMESTAMP 'July'",
    ),
    (
        "characters that cannot be seen",
        "ForbiddenCharacter",
        "SELECT COUNT(*) AS n FROM trips WHERE town = 'Ash\u{200b}ford'",
    ),
];
