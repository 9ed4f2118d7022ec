//! Limits that several crates must agree on, each a named constant with its unit.
//! A limit of one crate alone lives in that crate.

/// Longest name, in bytes.
pub const NAME_BYTES_MAX: usize = 63;
/// Longest free text in a signed document (questions, reasons), in bytes.
pub const TEXT_BYTES_MAX: usize = 8 * 1024;
/// Longest SQL text, in bytes, measured before parsing.
pub const SQL_BYTES_MAX: usize = 64 * 1024;
/// Largest module, in bytes; the sandbox's own limit, which every node checks to be the same.
pub const MODULE_BYTES_MAX: usize = 1024 * 1024;
/// Largest signed document, in bytes of payload.
pub const DOCUMENT_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Most partners in one agreement.
pub const PARTIES_MAX: usize = 10_000;
/// Most persons of one role in one agreement.
pub const PERSONS_MAX: usize = 1_000;
/// Most cells (key combinations) one analysis may release.
pub const CELLS_MAX: u64 = 1_000_000;
/// Most cells that one partner releases of an answer with private keys; those with most people first.
pub const KEYS_SHOWN_MAX: usize = 10_000;
/// Most integers that one person can bring to sums with private keys: the group cap times the lanes.
pub const PRIVATE_SUMS_MAX: u64 = 1 << 20;
/// Largest integer of a release, so that no partner can make the sum over all leave its range.
pub const RELEASE_VALUE_MAX: i128 = i128::MAX / PARTIES_MAX as i128;
/// Longest text that can be a private key, in bytes; a row with a longer one is in no group.
pub const PRIVATE_KEY_BYTES_MAX: usize = 256;
/// Most lanes a cell: histograms and distinct counts have a lane for each leaf or value.
pub const LANES_MAX: usize = 1_024;
/// Most integers of one released vector: cells times lanes. A signed document holds as many of 30 digits each.
pub const VECTOR_MAX: u64 = 1_000_000;
/// Most integers of all releases of one run together: one message carries them to whoever may read the answer, at
/// some 22 bytes each (13 digits), beside their sums.
pub const ANSWER_VALUES_MAX: u64 = 2_000_000;
/// Most integers of the groups that all partners together show of private keys. Nobody releases so many.
pub const SHOWN_VALUES_MAX: u64 = 64_000_000;
/// Most figures of one answer: cells times columns.
pub const FIGURES_MAX: u64 = 8_000_000;
/// Deepest nesting of a formula, and of a condition over formulas.
pub const FORMULA_DEPTH_MAX: usize = 24;
/// Most parts of a formula, and of a condition over formulas.
pub const FORMULA_PARTS_MAX: usize = 256;
/// Most digits after the point to which a figure is rounded, and most before it.
pub const FORMULA_DIGITS_MAX: u8 = 15;
/// Most lanes that all parts of a formula read together, each as often as it is read.
pub const FORMULA_READS_MAX: usize = 4 * LANES_MAX;
/// Most key dimensions of one analysis.
pub const DIMENSIONS_MAX: usize = 8;
/// Most values of one public domain.
pub const DOMAIN_VALUES_MAX: usize = 100_000;
/// Most datasets in a dictionary, and most columns in a dataset.
pub const DATASETS_MAX: usize = 256;
/// Most columns in one dataset.
pub const COLUMNS_MAX: usize = 512;
/// Most public tables in a dictionary.
pub const PUBLIC_TABLES_MAX: usize = 64;
/// Most rows of one public table; all of them may become part of a plan.
pub const PUBLIC_ROWS_MAX: usize = 10_000;
/// Most bytes of the values of one public table, as text.
pub const PUBLIC_BYTES_MAX: usize = 1024 * 1024;
/// Largest row cap: rows one person may contribute from one table.
pub const ROW_CAP_MAX: u32 = 1_000_000;
/// Largest group cap (L0): cells one person may contribute to.
pub const GROUP_CAP_MAX: u32 = 1_000_000;
/// Finest grid: values are multiples of `2^-GRID_BITS_MAX`.
pub const GRID_BITS_MAX: u8 = 30;
/// Largest absolute value of a clamping range's end, in grid steps; leaves room for
/// `ROW_CAP_MAX` rows of one person in an i128 sum over 2^40 persons.
pub const BOUND_STEPS_MAX: i64 = 1 << 53;
/// Largest difference between a node's clock and a signed request time, and furthest a clock may
/// stand behind its own high-water mark, in seconds.
pub const CLOCK_SKEW_MAX_S: i64 = 120;
/// Most runs one approval may allow.
pub const RUNS_MAX: u32 = 1_000_000;
/// Most rounds of one analysis: one finds private keys, one answers them.
pub const ROUNDS_MAX: u32 = 2;
