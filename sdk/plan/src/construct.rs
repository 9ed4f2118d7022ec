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
    /// `DISTINCT` inside an aggregate, but for the unit column in `COUNT`.
    AggregateDistinct,
    /// `HAVING` and `QUALIFY`.
    Having,
    /// `ORDER BY`.
    OrderBy,
    /// `LIMIT`, `OFFSET`, `FETCH`, `TOP`.
    Limit,
    /// `OVER` and `WINDOW`.
    Window,
    /// `ROLLUP`, `CUBE`, `GROUPING SETS`, `GROUP BY ALL`.
    GroupingSets,
    /// `FILTER (WHERE ...)` on an aggregate.
    Filter,
    /// `GROUP BY` in the row query of a module.
    ModuleGroupBy,
    /// Anything but one dataset in the row query of a module.
    ModuleFrom,
    /// Anything but a column in the row query of a module.
    ModuleExpression,
    /// A clause of another dialect.
    Clause,
    /// `?`, `$1`, `:name`.
    Placeholder,
    /// An aggregate inside an expression, a filter or another aggregate.
    NestedAggregate,
    /// `CAST`, `TRY_CAST`, `::`.
    Cast,
    /// `LIKE` and its kin.
    Like,
    /// `INTERVAL`.
    Interval,
    /// `DATE '...'`, `TIME '...'` and other typed texts.
    TypedText,
    /// Strings that are not `'plain'`: national, hex, escaped, dollar-quoted, ...
    StringKind,
    /// NULL as a value, other than a result of `CASE`.
    NullValue,
    /// `IS TRUE`, `IS DISTINCT FROM` and their kin.
    IsForm,
    /// An operator other than comparisons, `AND`, `OR`, `NOT`, `+ - * /`.
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
            | Self::Limit
            | Self::InnerOrder
            | Self::Qualify
            | Self::Window
            | Self::NamedWindow
            | Self::GroupingSets
            | Self::Filter
            | Self::ModuleGroupBy
            | Self::ModuleFrom
            | Self::ModuleExpression
            | Self::Clause => self.clause_words(),
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
                "put it into FROM or WITH and JOIN it on the person",
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
                "an option on the dataset",
                "name it alone; name columns with AS in a SELECT, choose rows with WHERE",
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
                "DISTINCT in an aggregate",
                "count people with COUNT(DISTINCT unit column), or rows with COUNT(*) and GROUP BY",
            ),
            Self::Having => (
                "HAVING or QUALIFY",
                "choose rows with WHERE, and filter the answer once you have it",
            ),
            Self::OrderBy => (
                "ORDER BY",
                "leave it out: answers are listed in domain order; sort the exported CSV",
            ),
            Self::Limit => (
                "LIMIT, OFFSET, FETCH or TOP",
                "leave it out: every public group is answered; cut the exported CSV",
            ),
            Self::Window => (
                "a window here",
                "write it in a subquery: (SELECT unit, LAG(x) OVER (PARTITION BY unit ORDER BY t) AS y FROM ...)",
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
            Self::Filter => {
                ("FILTER on an aggregate", "write SUM(CASE WHEN condition THEN value END)")
            }
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
                "a clause of another dialect",
                "write SELECT ... FROM dataset WHERE ... GROUP BY ..., nothing else",
            ),
        }
    }

    fn expression_words(self) -> (&'static str, &'static str) {
        match self {
            Self::Placeholder => {
                ("a placeholder", "write the value itself; it is part of what is approved")
            }
            Self::NestedAggregate => (
                "an aggregate inside an expression, a filter or an aggregate",
                "give each aggregate a column of its own, and compute from the answer",
            ),
            Self::Cast => ("a cast", "leave it out: whole numbers become floats where needed"),
            Self::Like => ("a text pattern", "write column IN ('...', '...') with the texts meant"),
            Self::Interval => ("INTERVAL", "write both ends as TIMESTAMP '2019-07-01 00:00:00'"),
            Self::TypedText => ("a typed text", "write TIMESTAMP '2019-07-01 00:00:00'"),
            Self::StringKind => ("a special string", "write a plain string in single quotes"),
            Self::NullValue => ("NULL as a value", "write IS NULL, or leave out ELSE"),
            Self::IsForm => ("this form of IS", "write IS NULL, IS NOT NULL, = or <>"),
            Self::Operator => ("this operator", "use = <> < <= > >= AND OR NOT + - * /"),
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
