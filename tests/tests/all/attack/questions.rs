//! Random questions over the dataset `trips` of `world`, as text. Tame ones mean the same to plain SQL on
//! rows within bounds; wild ones use whatever analyses may.

use super::world::Draws;

/// How odd a question may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Counts and sums of arithmetic, without what engines disagree about.
    Tame,
    /// As tame ones, with averages instead of sums.
    Mean,
    /// As tame ones, with quantiles alone.
    Quantile,
    /// What quantiles are of: the same draws give the values that a question of that kind ranks, with the
    /// keys of their row and no groups.
    Values,
    /// Every aggregate, and functions with holes: division, logarithms, casts.
    Wild,
}

/// The rows that questions may ask about: as many names of the dataset as its share in the draws. Those
/// from `LAG` on are for wild questions alone.
static SHAPES: [&str; 16] = [
    "dataset",
    "dataset",
    "dataset",
    "dataset",
    "dataset",
    "filter",
    "DISTINCT",
    "GROUP BY town and ok",
    "JOIN",
    "UNION ALL",
    "LAG",
    "running SUM",
    "GROUP BY town",
    "JOIN of a public table",
    "LEAD",
    "FILTER and COUNT(DISTINCT) per person",
];
/// Shapes of tame questions, the first ones.
const TAME_SHAPES: usize = 10;

impl Kind {
    fn is_tame(self) -> bool {
        self != Self::Wild
    }

    /// The names of the shapes of rows that its questions are over.
    pub fn shapes(self) -> &'static [&'static str] {
        let many = if self.is_tame() { TAME_SHAPES } else { SHAPES.len() };
        &SHAPES[..many]
    }
}

/// One question, over rows of a shape of its kind, by index; a drawn one where none is given.
pub fn question(draws: &mut Draws, kind: Kind, shape: Option<usize>) -> String {
    let keys = draws.of(&["", "town", "town", "ok", "town, ok"]);
    let mut items: Vec<String> = Vec::new();
    items.extend((!keys.is_empty()).then(|| keys.to_owned()));
    for index in 0..1 + draws.below(3) {
        items.push(format!("{} AS a{index}", aggregate(draws, kind)));
    }
    let filter = if draws.below(2) == 0 {
        String::new()
    } else {
        format!(" WHERE {}", condition(draws, kind, 2))
    };
    let is_grouped = !keys.is_empty() && kind != Kind::Values;
    let group = if is_grouped { format!(" GROUP BY {keys}") } else { String::new() };
    let shape = shape.unwrap_or_else(|| draws.below(kind.shapes().len()));
    format!("SELECT {} FROM {}{filter}{group}", items.join(", "), rows(draws, kind, shape))
}

/// The rows that are asked about: the dataset, or rows that a step makes of each person's own.
fn rows(draws: &mut Draws, kind: Kind, shape: usize) -> String {
    const COLUMNS: &str = "rider, town, n, x, ok";
    let made = match shape {
        0..5 => return "trips".to_owned(),
        5 => format!("SELECT {COLUMNS} FROM trips WHERE {}", condition(draws, kind, 1)),
        6 => format!("SELECT DISTINCT {COLUMNS} FROM trips"),
        7 => "SELECT rider, town, ok, MAX(n) AS n, SUM(x) AS x FROM trips GROUP BY rider, town, ok"
            .to_owned(),
        8 => format!(
            "SELECT a.rider, a.town, b.n, a.x, b.ok FROM trips a {} JOIN trips b \
             ON a.rider = b.rider AND a.at = b.at",
            draws.of(&["", "LEFT"])
        ),
        9 => format!(
            "SELECT {COLUMNS} FROM trips UNION ALL \
             SELECT rider, town, n + 1 AS n, x, ok FROM trips WHERE {}",
            condition(draws, kind, 0)
        ),
        10 => "SELECT rider, town, LAG(n) OVER (PARTITION BY rider ORDER BY at) AS n, x, ok FROM trips"
            .to_owned(),
        11 => "SELECT rider, town, n, SUM(x) OVER (PARTITION BY rider ORDER BY at \
               ROWS UNBOUNDED PRECEDING) AS x, ok FROM trips"
            .to_owned(),
        12 => "SELECT rider, town, COUNT(*) AS n, AVG(x) AS x, MAX(ok) AS ok FROM trips \
               GROUP BY rider, town"
            .to_owned(),
        13 => format!(
            "SELECT a.rider, p.region AS town, p.docks AS n, a.x, a.ok FROM trips a {} JOIN places p \
             ON a.town = p.town",
            draws.of(&["", "LEFT"])
        ),
        14 => "SELECT rider, town, LEAD(n) OVER (PARTITION BY rider ORDER BY at) AS n, \
               LEAD(x, 2) OVER (PARTITION BY rider ORDER BY at) AS x, ok FROM trips"
            .to_owned(),
        _ => format!(
            "SELECT rider, town, COUNT(DISTINCT n) AS n, SUM(x) FILTER (WHERE {}) AS x, \
             MAX(ok) FILTER (WHERE n > 0) AS ok FROM trips GROUP BY rider, town",
            draws.of(&["ok", "n < 5", "x > 0.5 AND ok IS NOT TRUE"])
        ),
    };
    format!("({made}) s")
}

fn aggregate(draws: &mut Draws, kind: Kind) -> String {
    if matches!(kind, Kind::Quantile | Kind::Values) {
        return ranked(draws, kind);
    }
    let number = number(draws, kind, 2);
    let tame = 4;
    let plain = match draws.below(if kind.is_tame() { tame } else { 11 }) {
        0 => "COUNT(*)".to_owned(),
        1 => "COUNT(DISTINCT rider)".to_owned(),
        2 => format!("COUNT({number})"),
        3 if kind == Kind::Tame => format!("SUM({number})"),
        3 if kind == Kind::Mean => format!("AVG({number})"),
        3 | 4 => format!("SUM(clamp({number}, -4, 12))"),
        5 => format!("AVG(clamp({number}, -4, 12))"),
        6 => format!("VAR_POP(clamp({number}, 0, 16))"),
        7 => format!("CORR(clamp({number}, 0, 16), n)"),
        8 => quantile(draws, &format!("clamp({number}, 0, 8)")),
        9 => format!("STDDEV(clamp({number}, -2, 2))"),
        _ => "COUNT(DISTINCT town)".to_owned(),
    };
    if draws.below(3) == 0 {
        format!("{plain} FILTER (WHERE {})", condition(draws, kind, 1))
    } else {
        plain
    }
}

/// A quantile, or the values it is of where they are asked for; NULL is none of them.
fn ranked(draws: &mut Draws, kind: Kind) -> String {
    let number = number(draws, kind, 2);
    let quantile = quantile(draws, &number);
    let filter = (draws.below(3) == 0).then(|| condition(draws, kind, 1));
    match (kind, filter) {
        (Kind::Values, None) => number,
        (Kind::Values, Some(filter)) => format!("CASE WHEN {filter} THEN {number} END"),
        (_, None) => quantile,
        (_, Some(filter)) => format!("{quantile} FILTER (WHERE {filter})"),
    }
}

fn quantile(draws: &mut Draws, of: &str) -> String {
    match draws.of(&["0.5", "0.5", "0.1", "0.75", "0.9"]) {
        "0.5" => format!("MEDIAN({of})"),
        share => format!("APPROX_PERCENTILE_CONT({of}, {share})"),
    }
}

/// A number, whose range the planner knows for tame ones.
fn number(draws: &mut Draws, kind: Kind, depth: usize) -> String {
    if depth == 0 {
        return draws.of(&["n", "x", "x", "n", "2", "0.5", "-3"]).to_owned();
    }
    let (left, right) = (number(draws, kind, depth - 1), number(draws, kind, depth - 1));
    match draws.below(if kind.is_tame() { 8 } else { 16 }) {
        0 => left,
        1 => format!("({left} + {right})"),
        2 => format!("({left} - {right})"),
        3 => format!("({left} * 2)"),
        4 => {
            format!("CASE WHEN {} THEN {left} ELSE {right} END", condition(draws, kind, depth - 1))
        }
        5 => format!("COALESCE({left}, {right})"),
        6 => format!("NULLIF({left}, {right})"),
        7 => format!("LEAST(GREATEST({left}, -5), {right})"),
        8 => format!("({left} / {right})"),
        9 => format!("({left} % {right})"),
        10 => format!("({left} * {right})"),
        11 => format!("LN({left})"),
        12 => format!("SQRT({left})"),
        13 => format!("EXP({left})"),
        14 => format!("CAST(CAST({left} AS TEXT) AS DOUBLE)"),
        _ => format!("ROUND(ABS({left}))"),
    }
}

fn condition(draws: &mut Draws, kind: Kind, depth: usize) -> String {
    if depth > 0 {
        let (left, right) = (condition(draws, kind, depth - 1), condition(draws, kind, depth - 1));
        match draws.below(4) {
            0 => return format!("({left} AND {right})"),
            1 => return format!("({left} OR {right})"),
            2 => return format!("(NOT {left})"),
            _ => {}
        }
    }
    let number = number(draws, kind, depth.min(1));
    let op = draws.of(&["<", "<=", "=", "<>", ">"]);
    match draws.below(if kind.is_tame() { 7 } else { 9 }) {
        0 => format!("{number} {op} {}", draws.of(&["0", "1", "2.25", "n"])),
        1 => format!("{number} IS NULL"),
        2 => format!("n IN (0, 7, {})", draws.of(&["1", "20", "-20"])),
        3 => format!("x BETWEEN 0 AND {}", draws.of(&["1", "3", "8"])),
        4 => "ok".to_owned(),
        5 => format!("town {} 'Bramley'", draws.of(&["=", "<>", "<"])),
        6 => "ok IS NOT TRUE".to_owned(),
        7 => format!("1 / {number} > 0.1"),
        _ => "LENGTH(town || 'x') % 2 = 0".to_owned(),
    }
}
