//! Limits of the planner alone, each a named constant with its unit. Everything a hostile text can
//! make grow is bounded here before it is parsed or lowered; limits shared with others are in `terms`.

/// Most tokens of one text, blanks and comments aside.
pub const TOKENS_MAX: usize = 10_000;
/// Most operators and keywords (`AND`, `+`, `.`, `IS`, ...) of one text. The parser builds one level
/// of tree for each, so this bounds the depth of any tree it can build.
pub const OPERATORS_MAX: usize = 2_000;
/// Deepest nesting of parentheses, brackets and `CASE`.
pub const NESTING_MAX: usize = 32;
/// Recursion the parser may use, a second line of defence behind [`NESTING_MAX`].
pub const PARSER_RECURSION_MAX: usize = 100;
/// Deepest expression, chains of `AND` and `OR` counted once. A level becomes at most six levels of
/// JSON (`NOT BETWEEN` of a whole number read as a float, a text cast to a date), but then the level
/// below or above it at most four, and a function of a whole number read as a float five: five a level on
/// average, so that a plan stays readable by readers that stop at 128, its own levels included.
pub const EXPRESSION_DEPTH_MAX: usize = 24;
/// Most `NOT (` and `CASE (` open at once. The parser tries each as an operator and, when that
/// fails, again as a function, so its work doubles with each one.
pub const RETRIED_NESTING_MAX: usize = 6;
/// Longest literal or identifier, in bytes.
pub const LITERAL_BYTES_MAX: usize = 1_024;
/// Pattern times text, in bytes, up to which a LIKE goes back in the text rather than make an automaton ready.
pub const LIKE_STEPS_GONE_BACK_MAX: usize = 4_096;
/// Most terms of one list: `IN (...)`, `CASE` branches, arguments, `SELECT` and `GROUP BY` items.
pub const LIST_TERMS_MAX: usize = 1_000;
/// Longest text a function makes, in bytes: a longer one is NULL. Texts joined with themselves over
/// several steps would double each time. Parts of a text are not made and may be longer.
pub const MADE_TEXT_BYTES_MAX: usize = 4_096;
/// Most digits after the point to which a number is rounded, and most before it.
pub const DIGITS_MAX: u8 = 15;
/// Most results of functions that are tried to find the values of a key.
pub const DOMAIN_TRIALS_MAX: usize = 400_000;
/// Most steps in all that finding public values takes for one question: of its keys and computed columns, by
/// functions and from filters, and at each partner. Each value that is listed or tried is one, and long texts
/// are more.
pub const DOMAIN_STEPS_MAX: usize = 2_000_000;
/// Longest list of values that functions make for a key, in bytes.
pub const DOMAIN_BYTES_MAX: usize = 1 << 24;
/// Longest heading of a column of the answer, in bytes.
pub const HEADING_BYTES_MAX: usize = 63;
/// Longest excerpt of a text that an error quotes, in characters.
pub const EXCERPT_CHARS_MAX: usize = 80;
/// Most columns of an answer.
pub const RESULT_COLUMNS_MAX: usize = 128;
/// Grid of a float column for which the dictionary declares no bounds: multiples of 2^-10.
pub const FLOAT_GRID_BITS: u8 = 10;
/// Grid of quotients, of products and of decimal literals that lie on no coarser grid.
pub const FINE_GRID_BITS: u8 = 20;
/// Largest change one person can make in one cell, in grid steps: written as a JSON number, which
/// readers keep exact up to here only (RFC 8785, appendix D).
pub const SENSITIVITY_STEPS_MAX: u64 = 1 << 53;
/// Most steps of one relation: tables, joins, subqueries, unions, windows, those of `WITH` counted at
/// each use.
pub const STEPS_MAX: usize = 64;
/// Most subqueries inside each other, those of `WITH` counted where they are used.
pub const QUERY_DEPTH_MAX: usize = 16;
/// Most names in one `WITH`.
pub const CTES_MAX: usize = 64;
/// Most public values that are listed for computed columns of one query; columns beyond have none.
pub const DOMAIN_VALUES_IN_ALL_MAX: usize = 200_000;
/// Most cells of the public tables of one query, each use counted.
pub const PUBLIC_CELLS_IN_ALL_MAX: usize = 2_000_000;
/// Largest count whose numbers are listed as its public values: at most so many groups of "how often".
pub const COUNTED_VALUES_MAX: u64 = 1_000;
/// Deepest nesting of a plan's JSON; readers stop at 128.
pub const PLAN_JSON_DEPTH_MAX: usize = 127;
/// Most fuel one person's rows may use: the sandbox's own limit, which every node checks to be the same.
/// Below 2^53, since it is written as a JSON number elsewhere.
pub const FUEL_MAX: u64 = 1_000_000_000_000;
/// Most rows of one person that a module gets, most columns, and most outputs of one person: the sandbox's own
/// limits, which every node checks to be the same.
pub const MODULE_ROWS_MAX: u64 = 1 << 16;
/// See [`MODULE_ROWS_MAX`].
pub const MODULE_COLUMNS_MAX: u64 = 64;
/// See [`MODULE_ROWS_MAX`].
pub const MODULE_OUTPUTS_MAX: u64 = 1 << 16;

/// Most leaves a quantile is counted in.
pub const QUANTILE_LEAVES_MAX: u32 = 64;
/// Most parts of all lanes' expressions together: histograms repeat what they count in every leaf.
pub const LANE_PARTS_MAX: usize = 200_000;
/// Parts and terms of an expression that every row may cost; one with more is worked out after row caps.
pub const CHEAP_PARTS_MAX: usize = 64;
/// Most levels of JSON of one lane's expression: readers stop at 127, the plan's own six included.
pub const EXPRESSION_JSON_LEVELS_MAX: usize = 121;
/// Decimal places of a quantile's share.
pub const SHARE_DIGITS_MAX: u32 = 9;

const _: () = assert!(EXPRESSION_DEPTH_MAX * 5 + 6 < 128, "a plan must stay readable JSON");
