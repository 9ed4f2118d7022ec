//! What people read about each row-wise function, operator and form: how it is written and what it gives.
//! The reference is made of this table, and a test plans every example; nothing may stand here that is
//! not on the list.

/// A function, operator or form with its contract. None depends on a clock, a locale or chance. Work grows
/// with the length of the input, for patterns, lists and other long constants times theirs at most. Unless
/// the contract says otherwise, the result is NULL when an argument is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FunctionNote {
    /// Its names, apart by commas.
    pub name: &'static str,
    /// How it is written.
    pub signature: &'static str,
    /// What it gives on every input.
    pub contract: &'static str,
    /// An expression that uses it.
    pub example: &'static str,
}

/// All row-wise functions, operators and forms: numbers, conditions, casts, texts, times.
pub fn row_functions() -> &'static [FunctionNote] {
    &NOTES
}

const NOTES: [FunctionNote; 47] = [
    note(
        "+ - *",
        "number + number",
        "Exact for two whole numbers, NULL beyond int64; otherwise float64, NULL when the result is not finite. Systems that fail or wrap on overflow differ.",
        "duration_s * 2 - zone",
    ),
    note(
        "/",
        "number / number",
        "Always float64, also for two whole numbers; NULL when the divisor is 0. Systems with integer division differ: write FLOOR(a / b).",
        "duration_s / 60",
    ),
    note(
        "%, MOD",
        "number % number",
        "Remainder with the sign of the first number, whole for two whole numbers; NULL when the second is 0.",
        "duration_s % 60",
    ),
    note(
        "ABS",
        "ABS(number)",
        "Magnitude, of the number's type; NULL for the least int64.",
        "ABS(speed)",
    ),
    note("SIGN", "SIGN(number)", "-1, 0 or 1, of the number's type.", "SIGN(speed)"),
    note(
        "ROUND",
        "ROUND(number[, digits])",
        "Nearest multiple of 10^-digits, halves away from 0, digits a constant from -15 to 15; whole numbers stay whole unless digits are negative.",
        "ROUND(distance_m, 1)",
    ),
    note(
        "TRUNC, TRUNCATE",
        "TRUNC(number[, digits])",
        "Toward 0, otherwise as ROUND.",
        "TRUNC(speed) + TRUNCATE(distance_m, 1)",
    ),
    note(
        "FLOOR",
        "FLOOR(number)",
        "Largest whole number not above, float64; whole numbers stay as they are.",
        "FLOOR(speed)",
    ),
    note(
        "CEIL, CEILING",
        "CEIL(number)",
        "Least whole number not below, float64; whole numbers stay as they are.",
        "CEIL(speed)",
    ),
    note("SQRT", "SQRT(number)", "Square root; NULL below 0.", "SQRT(speed)"),
    note("EXP", "EXP(number)", "e to the power; NULL when it is not finite.", "EXP(zone)"),
    note("LN", "LN(number)", "Natural logarithm; NULL unless the number is above 0.", "LN(speed)"),
    note(
        "LOG, LOG10, LOG2",
        "LOG([base, ]number)",
        "LOG and LOG10 to base 10, LOG2 to base 2, LOG with a base as the quotient of natural logarithms; NULL unless above 0.",
        "LOG(2, distance_m)",
    ),
    note(
        "POWER, POW",
        "POWER(number, exponent)",
        "First to the power of the second; NULL where that is no finite real number.",
        "POWER(speed, 2)",
    ),
    note(
        "SIN, COS, TAN, ASIN, ACOS, ATAN, ATAN2, RADIANS, DEGREES",
        "SIN(radians)",
        "Angles in radians, the same bits on every machine; NULL beyond -1 to 1 for ASIN and ACOS.",
        "SIN(RADIANS(speed))",
    ),
    note("PI", "PI()", "The float64 nearest to pi.", "speed * PI()"),
    note(
        "WIDTH_BUCKET",
        "WIDTH_BUCKET(number, low, high, buckets)",
        "The equal bucket from 1 the number lies in, 0 below low, buckets + 1 from high on; ends and buckets are constants, low below high. May be grouped by.",
        "WIDTH_BUCKET(distance_m, 0, 10000, 5)",
    ),
    note(
        "clamp",
        "clamp(number, low, high)",
        "The number kept between two constants; gives a sum its bounds.",
        "clamp(speed, 0, 30)",
    ),
    note(
        "LEAST, GREATEST",
        "LEAST(value, ...)",
        "Smallest or largest argument, NULLs left out, NULL only when all are (as PostgreSQL); with constants they give a sum its bounds: LEAST(GREATEST(x, 0), 2000).",
        "LEAST(GREATEST(speed, 0), 2000)",
    ),
    note(
        "= <> < <= > >=, AND, OR, NOT",
        "value = value",
        "Three-valued logic of SQL; both sides of one type, whole numbers and floats compared as floats; text by its UTF-8 bytes.",
        "zone = 1 AND NOT is_member",
    ),
    note("IS NULL", "value IS [NOT] NULL", "Never NULL.", "start_city IS NOT NULL"),
    note(
        "IS TRUE, IS FALSE, IS UNKNOWN",
        "condition IS [NOT] TRUE",
        "Never NULL; UNKNOWN is a condition's NULL.",
        "is_member IS NOT TRUE",
    ),
    note(
        "IS DISTINCT FROM",
        "value IS [NOT] DISTINCT FROM value",
        "Comparison that counts NULL as a value; never NULL.",
        "start_city IS DISTINCT FROM end_city",
    ),
    note(
        "IN",
        "value [NOT] IN (constant, ...)",
        "NULL when the value is; the list holds constants, none NULL. In WHERE it also lists the values to group by.",
        "zone IN (1, 2)",
    ),
    note(
        "BETWEEN",
        "value [NOT] BETWEEN low AND high",
        "Both ends included. SYMMETRIC is refused: write the ends in order.",
        "duration_s BETWEEN 60 AND 600",
    ),
    note(
        "LIKE, ILIKE",
        "text [NOT] LIKE 'pattern' [ESCAPE 'c']",
        "% is any text, _ any character, \\ the escape unless another or '' is named; the pattern is a constant and fits the whole text; ILIKE maps each character to small letters by Unicode.",
        "start_station LIKE '%Park%'",
    ),
    note(
        "STARTS_WITH, ENDS_WITH, CONTAINS",
        "STARTS_WITH(text, part)",
        "Whether the part stands there, byte for byte; an empty part always does.",
        "STARTS_WITH(start_station, 'A')",
    ),
    note(
        "CASE",
        "CASE WHEN condition THEN value ... [ELSE value] END, CASE value WHEN value THEN ... END",
        "The first branch whose condition is TRUE, or whose value equals the one after CASE; NULL when none is and there is no ELSE.",
        "CASE WHEN zone = 1 THEN 'a' ELSE 'b' END",
    ),
    note(
        "IF, IIF",
        "IF(condition, value, value)",
        "CASE with one branch: the second value also when the condition is NULL.",
        "IF(is_member, 1, 0)",
    ),
    note(
        "COALESCE, IFNULL, NVL",
        "COALESCE(value, ...)",
        "The first value that is not NULL.",
        "COALESCE(speed, 0)",
    ),
    note(
        "NULLIF",
        "NULLIF(value, value)",
        "NULL when both are equal, else the first.",
        "NULLIF(duration_s, 0)",
    ),
    note(
        "CAST, TRY_CAST, SAFE_CAST, ::",
        "CAST(value AS type)",
        "NULL where the value is none of that type, whichever form is written. Types: BIGINT, DOUBLE, TEXT, BOOLEAN, TIMESTAMP, DATE (midnight); DECIMAL, NUMERIC, FLOAT and REAL read as DOUBLE, INT as BIGINT, VARCHAR as TEXT. float64 to BIGINT rounds to nearest, ties to even (as PostgreSQL); times become 'YYYY-MM-DD HH:MM:SS', NULL beyond years 1 to 9999.",
        "CAST(start_station AS BIGINT)",
    ),
    note(
        "LOWER, UPPER",
        "LOWER(text)",
        "Unicode's full case mapping, no locale.",
        "LOWER(start_station)",
    ),
    note(
        "TRIM, BTRIM, LTRIM, RTRIM",
        "TRIM([LEADING | TRAILING | BOTH] ['characters' FROM] text), BTRIM(text[, 'characters'])",
        "Cuts blanks, or any of the constant's characters, from the ends; BTRIM from both, LTRIM and RTRIM from one.",
        "TRIM(start_station) = BTRIM(start_station, '-')",
    ),
    note(
        "SUBSTR, SUBSTRING",
        "SUBSTR(text, start[, length])",
        "Characters from start, counted from 1; positions before the text count; NULL for a negative length.",
        "SUBSTR(start_station, 1, 3)",
    ),
    note(
        "LEFT, RIGHT",
        "LEFT(text, count)",
        "First or last characters; a negative count leaves out so many at the other end.",
        "LEFT(start_station, 3)",
    ),
    note(
        "LENGTH, CHAR_LENGTH, CHARACTER_LENGTH",
        "LENGTH(text)",
        "Number of characters (Unicode code points).",
        "LENGTH(start_station) - CHARACTER_LENGTH(end_city)",
    ),
    note(
        "||",
        "text || text",
        "Joined; NULL when a part is, or beyond 4,096 bytes. Only texts: write CAST(x AS TEXT).",
        "start_city || ' to ' || end_city",
    ),
    note(
        "CONCAT",
        "CONCAT(text, ...)",
        "Joined, NULLs left out; NULL beyond 4,096 bytes.",
        "CONCAT(start_city, end_city)",
    ),
    note(
        "REPLACE",
        "REPLACE(text, 'from', 'to')",
        "Every from becomes to, left to right; both are constants, an empty from replaces nothing; NULL beyond 4,096 bytes.",
        "REPLACE(start_station, 'St.', 'Street')",
    ),
    note(
        "SPLIT_PART",
        "SPLIT_PART(text, 'delimiter', part)",
        "A part between constant delimiters, from 1 or, at the end, from -1; '' when there are fewer.",
        "SPLIT_PART(start_station, ' ', 1)",
    ),
    note(
        "STRPOS, POSITION",
        "STRPOS(text, part), POSITION(part IN text)",
        "Position in characters from 1; 0 when it is not there.",
        "STRPOS(start_station, 'Park')",
    ),
    note(
        "TIMESTAMP, DATE",
        "TIMESTAMP '2019-07-01 10:00:00', DATE '2019-07-01'",
        "Constants without a zone; a date is its midnight.",
        "start_time_utc < DATE '2019-07-01'",
    ),
    note(
        "date_trunc",
        "date_trunc('unit', time)",
        "Start of the year, quarter, month, week (Monday), day, hour, minute or second. May be grouped by when WHERE sets both ends of the time.",
        "date_trunc('month', start_time_utc)",
    ),
    note(
        "EXTRACT, date_part",
        "EXTRACT(field FROM time)",
        "year, isoyear, quarter, month, week (ISO), day, dow (Sunday 0), isodow (Monday 1), doy, hour, minute and second as whole numbers; epoch as float64 seconds. Seconds are whole, where PostgreSQL has fractions.",
        "EXTRACT(hour FROM start_time_utc)",
    ),
    note(
        "+ INTERVAL, - INTERVAL",
        "time + INTERVAL '1 month 2 days'",
        "Whole constants of year, quarter, month, week, day, hour, minute and second; months first, a day the month lacks becomes its last; NULL beyond int64 microseconds.",
        "start_time_utc + INTERVAL '1' MONTH",
    ),
    note(
        "date_diff",
        "date_diff('unit', earlier, later)",
        "How many starts of the unit lie between: 1 from 23:59 to 00:01 in days. Negative when later is earlier.",
        "date_diff('day', start_time_utc, start_time_local)",
    ),
];

const fn note(
    name: &'static str,
    signature: &'static str,
    contract: &'static str,
    example: &'static str,
) -> FunctionNote {
    FunctionNote { name, signature, contract, example }
}
