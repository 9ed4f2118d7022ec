//! What the SQL surface leaves out, by name, and what to write instead. A construct that is neither
//! lowered nor named here must still be refused: `Construct::Expression` and `Construct::Clause`.

use std::fmt;

/// Something SQL has and an analysis may not use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Construct {
    /// Anything but a `SELECT`: definitions, changes, `COPY`, `SET`, `EXPLAIN`, ...
    Statement,
    /// More than one statement.
    SeveralStatements,
    /// `WITH RECURSIVE`.
    Cte,
    /// `UNION` of answers, of parts in parentheses, or with and without `ALL`.
    SetOperation,
    /// `INTERSECT`, `EXCEPT`, `UNION BY NAME`.
    Intersect,
    /// A query inside a query other than in `FROM`: a value, `EXISTS`, `IN (SELECT ...)`.
    Subquery,
    /// A comma in `FROM`.
    Join,
    /// `CROSS`, `NATURAL`, `FULL` and other kinds of join.
    OtherJoin,
    /// `LATERAL`.
    Lateral,
    /// `VALUES` in `FROM`.
    Values,
    /// `ORDER BY` or `LIMIT` inside a subquery.
    InnerOrder,
    /// `QUALIFY`.
    Qualify,
    /// `WINDOW w AS (...)` and `OVER w`.
    NamedWindow,
    /// A function in `FROM`, `UNNEST` and `LATERAL`.
    TableFunction,
    /// A file named in `FROM`.
    FileTable,
    /// A dataset name with a schema, `information_schema` among them.
    Schema,
    /// Samples, hints, versions and column lists on a dataset.
    TableOption,
    /// No `FROM`.
    NoFrom,
    /// `*` other than in `COUNT(*)`.
    Wildcard,
    /// `SELECT DISTINCT`.
    Distinct,
    /// `DISTINCT` inside an aggregate other than `COUNT` of one column.
    AggregateDistinct,
    /// A `HAVING` beyond comparisons of figures and of keys, and `QUALIFY`.
    Having,
    /// An `ORDER BY` beyond figures and keys.
    OrderBy,
    /// `ORDER BY 7` without a seventh column.
    OrderByPlace,
    /// `FETCH`, `TOP`, and a `LIMIT` or `OFFSET` that is no whole number.
    Limit,
    /// `OVER` and `WINDOW`.
    Window,
    /// A sum over the groups of the answer beyond `SUM(figure) OVER ()`.
    Across,
    /// Such a sum within parts that are no keys of the answer.
    AcrossKey,
    /// Such a sum over groups that one round shows, those whose noise is high more often than others.
    AcrossPrivate,
    /// Such a sum beside `HAVING`.
    AcrossHaving,
    /// `ROLLUP`, `CUBE`, `GROUPING SETS`, `GROUP BY ALL`.
    GroupingSets,
    /// `FILTER (WHERE ...)` on what is no aggregate.
    Filter,
    /// `GROUP BY` in the row query of a module.
    ModuleGroupBy,
    /// Anything but one dataset in the row query of a module.
    ModuleFrom,
    /// Anything but a column in the row query of a module.
    ModuleExpression,
    /// `HAVING`, `ORDER BY` and `LIMIT` in the row query of a module.
    ModuleClause,
    /// A clause of another dialect.
    Clause,
    /// `?`, `$1`, `:name`.
    Placeholder,
    /// An aggregate inside a row's expression, a filter or another aggregate.
    NestedAggregate,
    /// A computation with figures beyond arithmetic and a few functions.
    Figure,
    /// A key in arithmetic, or compared with a figure or another key.
    KeyFigure,
    /// A constant as a column of the answer.
    ConstantColumn,
    /// A cast to another type than the dictionary's.
    Cast,
    /// `LIKE` and `ILIKE` of a pattern that is not a constant, `SIMILAR TO`, `RLIKE`.
    Like,
    /// `INTERVAL` other than added to or taken from a time.
    Interval,
    /// A time taken from a time.
    TimeDifference,
    /// `TIME '...'` and other typed texts but `TIMESTAMP` and `DATE`.
    TypedText,
    /// Strings that are not `'plain'`: national, hex, escaped, dollar-quoted, ...
    StringKind,
    /// NULL as a value, other than a result of `CASE`.
    NullValue,
    /// `IS NORMALIZED` and its kin.
    IsForm,
    /// `IS DISTINCT FROM` before `AND` and its kin, without parentheses.
    OpenTest,
    /// An operator other than comparisons, `AND`, `OR`, `NOT`, `+ - * / % ||`.
    Operator,
    /// A list element that is not a constant.
    ListElement,
    /// `COUNT` of the unit column without `DISTINCT`.
    CountUnit,
    /// Arguments other than plain expressions.
    Argument,
    /// Any other expression.
    Expression,
}

impl Construct {
    /// Its name in an error.
    pub fn name(self) -> &'static str {
        self.words().0
    }

    /// What to write instead.
    pub fn instead(self) -> &'static str {
        self.words().1
    }

    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Statement
            | Self::SeveralStatements
            | Self::Cte
            | Self::SetOperation
            | Self::Intersect
            | Self::Subquery
            | Self::Join
            | Self::OtherJoin
            | Self::Lateral
            | Self::Values
            | Self::TableFunction
            | Self::FileTable
            | Self::Schema
            | Self::TableOption
            | Self::NoFrom
            | Self::Wildcard => self.source_words(),
            Self::Distinct
            | Self::AggregateDistinct
            | Self::Having
            | Self::OrderBy
            | Self::OrderByPlace
            | Self::Limit
            | Self::InnerOrder
            | Self::Qualify
            | Self::Window
            | Self::NamedWindow
            | Self::Across
            | Self::AcrossKey
            | Self::AcrossPrivate
            | Self::AcrossHaving
            | Self::GroupingSets
            | Self::Filter
            | Self::Clause => self.clause_words(),
            Self::ModuleGroupBy
            | Self::ModuleFrom
            | Self::ModuleExpression
            | Self::ModuleClause => self.module_words(),
            _ => self.expression_words(),
        }
    }

    fn source_words(self) -> (&'static str, &'static str) {
        match self {
            Self::SeveralStatements => {
                ("a second statement", "write one SELECT, and ask each further question on its own")
            }
            Self::Cte => ("WITH RECURSIVE", "write each step out as a name of WITH of its own"),
            Self::SetOperation => (
                "this UNION",
                "write FROM (SELECT ... UNION ALL SELECT ...) AS u, its parts without parentheses and all with ALL",
            ),
            Self::Intersect => (
                "INTERSECT or EXCEPT",
                "join on the person, or group by person and keep groups with HAVING",
            ),
            Self::Subquery => (
                "a query as a value or in a condition",
                "put it into FROM or WITH and JOIN it on the person; a share of all is COUNT(*) / SUM(COUNT(*)) OVER ()",
            ),
            Self::Join => ("a comma in FROM", "write JOIN ... ON a.person_id = b.person_id"),
            Self::OtherJoin => {
                ("this kind of join", "write JOIN, LEFT JOIN or RIGHT JOIN with ON or USING")
            }
            Self::Lateral => ("LATERAL", "group by person in a subquery and JOIN it on the person"),
            Self::Values => ("VALUES in FROM", "use a public table of the agreement, or CASE"),
            Self::TableFunction => (
                "this in FROM",
                "name a dataset or public table of the agreement, or write (SELECT ...) AS name",
            ),
            Self::FileTable => ("a file in FROM", "name one dataset of the dictionary in FROM"),
            Self::Schema => {
                ("a schema before a name", "name the dataset alone, as the dictionary has it")
            }
            Self::TableOption => (
                "an option or a list of columns beside a table's name",
                "name the table alone; name columns with AS in a SELECT, choose rows with WHERE",
            ),
            Self::NoFrom => ("a SELECT without FROM", "name one dataset of the dictionary in FROM"),
            Self::Wildcard => ("`*`", "name the columns, or write COUNT(*) to count rows"),
            _ => (
                "a statement other than SELECT",
                "write one SELECT; an analysis reads, and changes nothing",
            ),
        }
    }

    fn clause_words(self) -> (&'static str, &'static str) {
        match self {
            Self::Distinct => {
                ("SELECT DISTINCT", "group by the columns; every public value is listed once")
            }
            Self::AggregateDistinct => (
                "DISTINCT in this aggregate",
                "count people with COUNT(DISTINCT unit column), or values with COUNT(DISTINCT column)",
            ),
            Self::Having => (
                "this form of HAVING, or QUALIFY",
                "compare aggregates, headings and keys with constants by = <> < <= > >= IN BETWEEN, AND OR NOT, or write IS NOT NULL; choose rows with WHERE",
            ),
            Self::OrderBy => (
                "this form of ORDER BY",
                "write headings, their numbers, keys, aggregates or arithmetic on them, each with ASC or DESC; missing figures come last",
            ),
            Self::OrderByPlace => (
                "a number in ORDER BY that no column has",
                "write a number from 1 to that of the last column, or a heading",
            ),
            Self::Limit => (
                "this form of LIMIT, OFFSET, FETCH or TOP",
                "write LIMIT 10, or LIMIT 10 OFFSET 20, at the end",
            ),
            Self::Window => (
                "a window here",
                "over a person's rows, write it in a subquery: (SELECT unit, LAG(x) OVER (PARTITION BY unit ORDER BY t) AS y FROM ...); over the groups of the answer, SUM(COUNT(*)) OVER ()",
            ),
            Self::Across => (
                "this over the groups of the answer",
                "write SUM(COUNT(*)) OVER () or SUM(SUM(x)) OVER (PARTITION BY a key of GROUP BY): counts and sums can be added up, averages by dividing such sums",
            ),
            Self::AcrossKey => (
                "a PARTITION BY over groups of what is no key of GROUP BY",
                "write a key as GROUP BY has it",
            ),
            Self::AcrossPrivate => (
                "a sum over groups without a public list in one round",
                "ask in two, `rounds = 2`: groups that one round shows have high noise more often than not, and a sum of it would be off",
            ),
            Self::AcrossHaving => (
                "a sum over the groups of the answer together with HAVING",
                "leave HAVING out: the sum is over all groups; choose among the rows of the answer",
            ),
            Self::InnerOrder => (
                "ORDER BY or LIMIT in a subquery",
                "number the rows with ROW_NUMBER() OVER (PARTITION BY unit ORDER BY ...) and choose with WHERE",
            ),
            Self::Qualify => {
                ("QUALIFY", "select the window in a subquery and filter it with WHERE outside")
            }
            Self::NamedWindow => {
                ("a named window", "write OVER (PARTITION BY unit ...) out at each function")
            }
            Self::GroupingSets => {
                ("ROLLUP, CUBE, GROUPING SETS or ALL", "name the group keys one by one")
            }
            Self::Filter => (
                "FILTER there",
                "write it after an aggregate, such as COUNT(*) FILTER (WHERE condition)",
            ),
            _ => (
                "a clause of another dialect",
                "write SELECT ... FROM dataset WHERE ... GROUP BY ..., nothing else",
            ),
        }
    }

    fn module_words(self) -> (&'static str, &'static str) {
        match self {
            Self::ModuleGroupBy => {
                ("GROUP BY in a module's rows", "select columns only; the module groups by itself")
            }
            Self::ModuleFrom => (
                "more than one dataset in a module's rows",
                "name one dataset in FROM, without WITH and JOIN",
            ),
            Self::ModuleExpression => (
                "an expression in a module's rows",
                "select columns only; the module computes from them",
            ),
            _ => (
                "HAVING, ORDER BY or LIMIT in a module's rows",
                "leave it out: a module gets each person's rows in the dictionary's canonical order, and chooses among them by itself",
            ),
        }
    }

    fn expression_words(self) -> (&'static str, &'static str) {
        match self {
            Self::Placeholder => {
                ("a placeholder", "write the value itself; it is part of what is approved")
            }
            Self::NestedAggregate => (
                "an aggregate inside a row's expression, a filter or an aggregate",
                "compute with aggregates in SELECT, by + - * /, ROUND and constants; choose groups with HAVING, people with HAVING in a subquery that groups by person",
            ),
            Self::Figure => (
                "this computation with aggregates",
                "write + - * /, ROUND, ABS, SQRT, COALESCE(x, 0) and a / NULLIF(b, 0) over them; CASE and % go inside an aggregate, such as SUM(CASE WHEN ... THEN 1 ELSE 0 END), and HAVING chooses groups",
            ),
            Self::KeyFigure => (
                "a key among figures",
                "compare a key with constants of its type, such as town <> 'Ashford' or month IN (1, 2), and compute with aggregates",
            ),
            Self::ConstantColumn => {
                ("a constant as a column", "leave it out, or add it to GROUP BY")
            }
            Self::Cast => (
                "a cast to this type",
                "cast to BIGINT, DOUBLE, TEXT, BOOLEAN, TIMESTAMP or DATE, without a length",
            ),
            Self::Like => (
                "this text pattern",
                "write LIKE or ILIKE with a constant such as 'A%', or column IN ('...', '...')",
            ),
            Self::Interval => (
                "this INTERVAL",
                "write time + INTERVAL '1 month' or time - INTERVAL '90' MINUTE, in whole numbers",
            ),
            Self::TimeDifference => {
                ("a time taken from a time", "write date_diff('second', earlier, later)")
            }
            Self::TypedText => {
                ("a typed text", "write TIMESTAMP '2019-07-01 00:00:00' or DATE '2019-07-01'")
            }
            Self::StringKind => ("a special string", "write a plain string in single quotes"),
            Self::NullValue => {
                ("NULL as a value", "write IS NULL, leave out ELSE, or CAST(NULL AS type)")
            }
            Self::IsForm => {
                ("this form of IS", "write IS NULL, IS TRUE, IS NOT DISTINCT FROM, = or <>")
            }
            Self::OpenTest => (
                "IS DISTINCT FROM with a condition after it",
                "put the test in parentheses: (a IS DISTINCT FROM b) AND ...",
            ),
            Self::Operator => ("this operator", "use = <> < <= > >= AND OR NOT + - * / % ||"),
            Self::ListElement => {
                ("a list element that is not a constant", "join conditions with OR")
            }
            Self::CountUnit => (
                "counting the unit column by rows",
                "write COUNT(DISTINCT unit column) for people, COUNT(*) for rows",
            ),
            Self::Argument => ("this form of argument", "pass plain expressions, in order"),
            _ => ("this expression", "use columns, constants, comparisons, CASE and arithmetic"),
        }
    }
}

impl fmt::Display for Construct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
