//! Why an analysis cannot be planned. Each error names the misdeed, its place in the text and what
//! to write instead; none may carry anything but the text, the dictionary and the request.

use crate::construct::Construct;
use crate::limits::{
    DOMAIN_STEPS_MAX, EXPRESSION_DEPTH_MAX, HEADING_BYTES_MAX, LITERAL_BYTES_MAX,
    SENSITIVITY_STEPS_MAX,
};
use cloister_dp::ThresholdError;
use cloister_dp::calibrate::CalibrateError;
use cloister_terms::dictionary::DictionaryError;
use cloister_terms::limits::{PRIVATE_SUMS_MAX, SQL_BYTES_MAX};
use cloister_terms::shape::ShapeError;
use cloister_terms::{ColumnType, Name};

pub use crate::pointed::Place;
pub(crate) use crate::pointed::excerpt;

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Nobody has what is asked.
    #[error(
        "no partner holds what this question reads: ask about datasets that `cloister agreement show` lists for a partner"
    )]
    HeldByNobody,
    /// The text is too long to be parsed.
    #[error("the SQL has {bytes} bytes: shorten it to at most {SQL_BYTES_MAX}")]
    TextTooLong {
        /// Its length, in bytes.
        bytes: usize,
    },
    /// The text holds nothing.
    #[error("the SQL is empty: write SELECT ... FROM dataset ...")]
    Empty,
    /// A control character or one that reorders text for the eye.
    #[error("character U+{code:04X}{place} is invisible or reorders text: remove it")]
    ForbiddenCharacter {
        /// Its code point.
        code: u32,
        /// Where.
        place: Place,
    },
    /// A sign that other systems read otherwise.
    #[error("{what}{place} is not read as SQL here: {instead}")]
    Sign {
        /// What, in words.
        what: &'static str,
        /// Where.
        place: Place,
        /// What to write.
        instead: &'static str,
    },
    /// Too many of something.
    #[error("there are more than {max} {what}{place}: ask a smaller question")]
    TooMany {
        /// What was counted.
        what: &'static str,
        /// The limit.
        max: usize,
        /// Where it was passed.
        place: Place,
    },
    /// A literal or name is too long.
    #[error("a constant or name{place} has more than {LITERAL_BYTES_MAX} bytes: shorten it")]
    LongLiteral {
        /// Where.
        place: Place,
    },
    /// Nested too deeply.
    #[error(
        "the expression{place} is nested more than {EXPRESSION_DEPTH_MAX} levels deep: flatten it"
    )]
    TooDeep {
        /// Where.
        place: Place,
    },
    /// Not SQL.
    #[error("the SQL cannot be read: {message}{place}: correct it there")]
    Syntax {
        /// What is wrong.
        message: String,
        /// Where.
        place: Place,
    },
    /// SQL, but not of the surface that analyses may use.
    #[error("{construct}{place} is not allowed: {}", construct.instead())]
    Refused {
        /// What.
        construct: Construct,
        /// Where.
        place: Place,
    },
    /// A function that is not on the list.
    #[error("function `{name}`{place} is not allowed: {instead}")]
    Function {
        /// Its name.
        name: String,
        /// Where.
        place: Place,
        /// What to write.
        instead: &'static str,
    },
    /// An aggregate that is not a sum over people.
    #[error(
        "aggregate `{name}`{place} is not offered: write COUNT, SUM, AVG, STDDEV, MEDIAN or CORR, or group by CASE bands and count; MIN and MAX of one person's rows go into a subquery that groups by person"
    )]
    Aggregate {
        /// Its name.
        name: String,
        /// Where.
        place: Place,
    },
    /// The smallest or largest value over people: it is one person's value.
    #[error(
        "`{name}`{place} would show one person's value: write APPROX_PERCENTILE_CONT(x, 0.99) or another share, \
         or take it per person in a subquery that groups by the unit"
    )]
    Extreme {
        /// Its name.
        name: String,
        /// Where.
        place: Place,
    },
    /// A function whose value changes between calls.
    #[error(
        "`{name}`{place} changes from call to call: write a constant, such as TIMESTAMP '2019-07-01'"
    )]
    Volatile {
        /// Its name.
        name: String,
        /// Where.
        place: Place,
    },
    /// A function with a wrong number of arguments.
    #[error("`{name}`{place} takes {wanted}: correct its arguments")]
    Arguments {
        /// Its name.
        name: String,
        /// What it takes.
        wanted: &'static str,
        /// Where.
        place: Place,
    },
    /// The dictionary itself is unusable.
    #[error(transparent)]
    Dictionary(#[from] DictionaryError),
    /// No such dataset.
    #[error("there is no dataset `{name}`{place}: {known}")]
    NoDataset {
        /// The name as written.
        name: String,
        /// Where.
        place: Place,
        /// Where names come from there, and the first few of them.
        known: String,
    },
    /// No such column.
    #[error("`{dataset}` has no column `{name}`{place}: {known}")]
    NoColumn {
        /// What was looked in: datasets and subqueries by the names the query gives them.
        dataset: String,
        /// The name as written.
        name: String,
        /// Where.
        place: Place,
        /// The first few columns that there are.
        known: String,
    },
    /// A column that several of the things in FROM have.
    #[error("`{name}`{place} may be one of several columns: write the dataset's name before it")]
    Ambiguous {
        /// The name as written.
        name: String,
        /// Where.
        place: Place,
    },
    /// A subquery computes over several persons.
    #[error(
        "the subquery{place} computes across people: add `{unit}` to its SELECT and its GROUP BY, so that it computes for each person; to choose or sort groups of the answer, write HAVING or ORDER BY in one SELECT"
    )]
    AcrossUnits {
        /// Its unit column.
        unit: String,
        /// Where.
        place: Place,
    },
    /// A subquery over private data drops the unit.
    #[error("the subquery{place} leaves out who each row is about: add `{unit}` to its SELECT")]
    UnitLeftOut {
        /// Its unit column.
        unit: String,
        /// Where.
        place: Place,
    },
    /// A unit column that may be missing stands where one is needed that is not.
    #[error(
        "`{unit}`{place} is of the optional side of a left join: use the unit column of the left side"
    )]
    UnitOptional {
        /// The unit column.
        unit: String,
        /// Where.
        place: Place,
    },
    /// A join of private tables that does not equate the persons.
    #[error(
        "the join{place} does not say that both rows are of one person: write ON {left} = {right}, and further keys after AND"
    )]
    UnitNotJoined {
        /// Unit column of the left side.
        left: String,
        /// Unit column of the right side.
        right: String,
        /// Where.
        place: Place,
    },
    /// Unit columns of two types.
    #[error(
        "the people{place} are named by {left} on one side and by {right} on the other: ask of each on its own"
    )]
    UnitTypes {
        /// One type.
        left: ColumnType,
        /// The other.
        right: ColumnType,
        /// Where.
        place: Place,
    },
    /// A condition of a left join that is no key and not of the right side alone.
    #[error(
        "this condition of the join{place} cannot be kept: join on equal values of both sides; a LEFT JOIN may add conditions on its right side, anything else goes into WHERE or CASE"
    )]
    JoinCondition {
        /// Where.
        place: Place,
    },
    /// A join that finds its rows by no key.
    #[error("the join{place} names no key of the public table: write ON column = {table}.column")]
    NoJoinKey {
        /// The public table.
        table: String,
        /// Where.
        place: Place,
    },
    /// No private table where one must be.
    #[error(
        "`{name}`{place} is a public table, not people's records: name a dataset first and JOIN the public table to it"
    )]
    PublicAlone {
        /// The public table.
        name: String,
        /// Where.
        place: Place,
    },
    /// The parts of a union do not fit.
    #[error(
        "part {part} of the UNION{place} does not fit the first: give the same number of columns, of the same types, with the unit column in the same position"
    )]
    UnionParts {
        /// The part, from 1.
        part: usize,
        /// Where.
        place: Place,
    },
    /// A window that is not cut by person.
    #[error("the window{place} runs across people: begin it with PARTITION BY {unit}")]
    WindowAcrossUnits {
        /// The unit column.
        unit: String,
        /// Where.
        place: Place,
    },
    /// A frame other than a whole partition or its rows so far.
    #[error(
        "this window{place} is not offered: leave ORDER BY out for the whole partition, or write ORDER BY ... ROWS UNBOUNDED PRECEDING"
    )]
    WindowFrame {
        /// Where.
        place: Place,
    },
    /// `ROW_NUMBER`, `LAG` or `LEAD` without an order.
    #[error("`{name}`{place} has no order: write ORDER BY in its OVER")]
    WindowOrder {
        /// The function.
        name: String,
        /// Where.
        place: Place,
    },
    /// A CTE that nothing reads.
    #[error("`{name}`{place} is never used: remove it from WITH")]
    Unused {
        /// Its name.
        name: String,
        /// Where.
        place: Place,
    },
    /// The plan's structure is too deep to be written so that every reader can read it.
    #[error(
        "the query{place} is nested too deeply in all: use fewer steps inside each other, or flatter expressions"
    )]
    PlanTooDeep {
        /// Where it begins.
        place: Place,
    },
    /// An identifier column was used.
    #[error("`{column}`{place} identifies people or records and cannot be used: leave it out")]
    Identifier {
        /// The column.
        column: Name,
        /// Where.
        place: Place,
    },
    /// The unit column was used other than in `COUNT(DISTINCT unit)`.
    #[error(
        "`{column}`{place} tells people apart and cannot be used: write COUNT(DISTINCT {column}) to count people"
    )]
    UnitColumn {
        /// The column.
        column: Name,
        /// Where.
        place: Place,
    },
    /// A value of the wrong type.
    #[error("{} {found} value{place} stands where {wanted} is needed: {instead}", article(*found))]
    Type {
        /// Its type.
        found: ColumnType,
        /// What is needed.
        wanted: &'static str,
        /// Where.
        place: Place,
        /// What to write.
        instead: &'static str,
    },
    /// A number that no column can hold.
    #[error(
        "`{text}`{place} is not a number an analysis can use: write at most 18 digits, or 1.5e3"
    )]
    Number {
        /// As written.
        text: String,
        /// Where.
        place: Place,
    },
    /// A text that is no time.
    #[error("`{text}`{place} is not a time: write TIMESTAMP '2019-07-01 00:00:00', without a zone")]
    Timestamp {
        /// As written.
        text: String,
        /// Where.
        place: Place,
    },
    /// A sum over something without bounds (row A6).
    #[error(
        "`{expression}`{place} has no bounds, so one person could change its sum without limit: \
         declare bounds in the dictionary, or write clamp({expression}, lo, hi)"
    )]
    Unbounded {
        /// What is summed.
        expression: String,
        /// Where.
        place: Place,
    },
    /// Bounds beyond what integers hold.
    #[error("the bounds of `{expression}`{place} are too wide: write clamp({expression}, lo, hi)")]
    BoundsTooWide {
        /// What is summed.
        expression: String,
        /// Where.
        place: Place,
    },
    /// `clamp` from high to low.
    #[error("the second argument of clamp{place} is above the third: swap them")]
    ClampReversed {
        /// Where.
        place: Place,
    },
    /// A key without a public domain.
    #[error(
        "`{expression}`{place} has no public list of values: declare a domain in the dictionary, \
         choose them with WHERE {expression} IN (...) or, of whole numbers and times, BETWEEN two ends, \
         write CASE WHEN ... THEN 'a' ... ELSE 'b' END{otherwise}"
    )]
    NoDomain {
        /// What else would make it a key, if anything.
        otherwise: &'static str,
        /// The key.
        expression: String,
        /// Where.
        place: Place,
    },
    /// Finding public values takes too many steps in all.
    #[error(
        "finding the public values{place} takes more than {DOMAIN_STEPS_MAX} steps in the whole question: \
         compute fewer columns from columns with long public lists, group by such columns as they are, \
         or name the values you want with WHERE column IN (...)"
    )]
    TooMuchWork {
        /// Where the steps ran out.
        place: Place,
    },
    /// A key that is a number with fractions: none has a public list.
    #[error(
        "`{expression}`{place} may have fractions, so it has no list of values: \
         write WIDTH_BUCKET(number, 0, 60, 6) or CASE WHEN ... THEN 'a' ... ELSE 'b' END, \
         or CAST({expression} AS BIGINT) and WHERE CAST({expression} AS BIGINT) BETWEEN two ends"
    )]
    FractionKey {
        /// The key.
        expression: String,
        /// Where.
        place: Place,
    },
    /// A column of the answer that is neither an aggregate nor a key.
    #[error(
        "`{expression}`{place} would put rows into the answer: group by it, or use COUNT, SUM or AVG"
    )]
    NotGrouped {
        /// The expression.
        expression: String,
        /// Where.
        place: Place,
    },
    /// A key that is not shown.
    #[error("group key `{expression}`{place} is not selected: add it to SELECT")]
    KeyNotShown {
        /// The key.
        expression: String,
        /// Where.
        place: Place,
    },
    /// A key, column or value that stands twice.
    #[error("`{name}`{place} stands twice: remove one, or rename it with AS")]
    Twice {
        /// What.
        name: String,
        /// Where.
        place: Place,
    },
    /// `GROUP BY 7` without a seventh column that is a key.
    #[error("GROUP BY {text}{place} does not name a key among the selected columns: write the key")]
    Ordinal {
        /// As written.
        text: String,
        /// Where.
        place: Place,
    },
    /// No aggregate.
    #[error(
        "nothing is counted or summed{place}: select COUNT(*), COUNT(DISTINCT unit), SUM or AVG"
    )]
    NoAggregate {
        /// Where SELECT stands.
        place: Place,
    },
    /// A heading that hides a column (row A7).
    #[error("heading `{name}`{place} is also a column: choose another name after AS")]
    HeadingIsColumn {
        /// The heading.
        name: String,
        /// Where.
        place: Place,
    },
    /// A heading that cannot be shown.
    #[error(
        "heading `{name}`{place} is empty, too long or unprintable: name it with AS in at most {HEADING_BYTES_MAX} bytes"
    )]
    Heading {
        /// Its beginning.
        name: String,
        /// Where.
        place: Place,
    },
    /// A share that no quantile has.
    #[error(
        "the share of a quantile{place} must be a constant above 0 and below 1, such as 0.5, with at most 9 digits"
    )]
    Share {
        /// Where.
        place: Place,
    },
    /// The answer's shape is unusable.
    #[error("{error}{place}")]
    Shape {
        /// Why.
        error: ShapeError,
        /// Where the keys are.
        place: Place,
    },
    /// A cap or another number is out of range.
    #[error("`{what}` is {found}: it must be between 1 and {max}")]
    OutOfRange {
        /// The number's name.
        what: &'static str,
        /// What was found.
        found: u64,
        /// The limit.
        max: u64,
    },
    /// One person could change a cell by more than integers keep exact.
    #[error(
        "one person could change `{lane}`{place} by {steps} steps, more than {SENSITIVITY_STEPS_MAX}: \
         lower the row cap or write clamp(x, lo, hi)"
    )]
    TooSensitive {
        /// The lane.
        lane: String,
        /// The change, in steps.
        steps: String,
        /// Where.
        place: Place,
    },
    /// Nothing was offered to spend.
    #[error("the round may cost nothing: offer an epsilon or a rho above 0")]
    NoSpend,
    /// A cost that names not exactly one measure.
    #[error("the cost a round must be either epsilon or rho: plan the analysis again")]
    Measure,
    /// A delta without private keys.
    #[error(
        "every group of this question is public, so `delta` buys nothing: leave it out of `spend`"
    )]
    DeltaUnused,
    /// Two rounds without private keys.
    #[error("every group of this question is public, so one round answers it: leave `rounds` out")]
    RoundsUnused,
    /// One person could bring too many sums of private groups.
    #[error(
        "one person may count in private groups{place} with {found} sums in all: lower `group_cap`, or ask for fewer figures, to come to at most {PRIVATE_SUMS_MAX}"
    )]
    PrivateSums {
        /// Group cap times sums of a group.
        found: u64,
        /// Where the keys are.
        place: Place,
    },
    /// No threshold protects private keys.
    #[error("the groups are private: {0}")]
    Threshold(#[from] ThresholdError),
    /// Less than one unit of the measure for each lane.
    #[error("the cost a round is too small to be shared by {lanes} figures: offer more")]
    SpendTooSmall {
        /// Lanes.
        lanes: usize,
    },
    /// No noise can be drawn for that cost.
    #[error(transparent)]
    Calibrate(#[from] CalibrateError),
    /// The noise would cost more than was offered.
    #[error("the noise would cost more than was offered: offer a rounder cost")]
    CostAboveSpend,
    /// A value in a key of a module is of another type than the first, or stands twice.
    #[error("key `{key}` of the module has values of several types or one twice: correct its list")]
    ModuleKey {
        /// The key.
        key: String,
    },
    /// A text column without a public domain in the rows of a module.
    #[error(
        "`{column}`{place} is text without a public list of values, which no module is given: declare a domain for it in the dictionary, or leave it out"
    )]
    ModuleText {
        /// The column.
        column: String,
        /// Where.
        place: Place,
    },
    /// A lane of a module cannot be 0.
    #[error(
        "the range of lane `{lane}` of the module leaves out 0, which a person who gives nothing adds: widen it to 0"
    )]
    ModuleRange {
        /// The lane.
        lane: String,
    },
    /// Lanes of a module whose norm is clipped stand on several grids.
    #[error(
        "the lanes of the module stand on several grids, and `norm_max` needs one: give all of them the same `grid_bits`"
    )]
    ModuleGrids,
    /// The plan could not be written in canonical form.
    #[error("the plan cannot be written in canonical form: plan the analysis again")]
    Unwritable,
}

impl PlanError {
    /// A construct refused at a place.
    pub(crate) fn refused(construct: Construct, place: Place) -> Self {
        Self::Refused { construct, place }
    }
}

/// The article before a type's name.
fn article(column_type: ColumnType) -> &'static str {
    if column_type == ColumnType::Int64 { "an" } else { "a" }
}
