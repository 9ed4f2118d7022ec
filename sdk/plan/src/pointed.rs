//! The place of a refusal in the text, as a person sees it: the line, and a caret under the column.
//! It shows what was written and nothing else; an error without a place gets no caret.

use crate::error::PlanError;
use crate::limits::EXCERPT_CHARS_MAX;
use cloister_terms::shape::ShapeError;
use serde::Serialize;
use std::fmt;

/// Widest part of a line that is shown, in characters.
const SHOWN_CHARS_MAX: usize = 96;
/// Characters kept before the column when a line is cut.
const BEFORE_CHARS: usize = 40;

/// A place in the text, counted from 1; line 0 when unknown. Shown as ` (line 1, column 8)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    /// Line, from 1.
    pub line: u64,
    /// Column, in characters, from 1.
    pub column: u64,
}

/// One line of a text, with the column that an error is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pointed {
    /// Line, from 1.
    pub line: u64,
    /// Column, in characters, from 1.
    pub column: u64,
    /// The line, cut where it is long; what steers terminals is left out.
    pub text: String,
    /// The column within `text`, from 1.
    pub shown_column: usize,
}

/// Where a refusal points that is about a whole question.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Places {
    /// Where SELECT stands.
    pub select: Place,
    /// The first key of GROUP BY; where there is none, as `select`.
    pub groups: Place,
}

impl From<ShapeError> for PlanError {
    fn from(error: ShapeError) -> Self {
        Self::Shape { error, place: Place::default() }
    }
}

impl PlanError {
    /// The error with a place, where it is about the whole question.
    pub(crate) fn in_question(self, places: Places) -> Self {
        let Places { select, groups } = places;
        match self {
            Self::PlanTooDeep { .. } => Self::PlanTooDeep { place: select },
            Self::TooMuchWork { .. } => Self::TooMuchWork { place: groups },
            Self::Shape { error, .. } => Self::Shape { error, place: groups },
            Self::PrivateSums { found, .. } => Self::PrivateSums { found, place: groups },
            other => other,
        }
    }

    /// Where in the text the error lies; `None` when it is about no one place.
    pub fn place(&self) -> Option<Place> {
        let place = match self {
            Self::ForbiddenCharacter { place, .. }
            | Self::Sign { place, .. }
            | Self::Syntax { place, .. }
            | Self::TooMany { place, .. }
            | Self::LongLiteral { place }
            | Self::TooDeep { place }
            | Self::PlanTooDeep { place }
            | Self::TooMuchWork { place }
            | Self::NoAggregate { place }
            | Self::Shape { place, .. }
            | Self::TooSensitive { place, .. }
            | Self::PrivateSums { place, .. }
            | Self::Refused { place, .. }
            | Self::Function { place, .. }
            | Self::Aggregate { place, .. }
            | Self::Volatile { place, .. }
            | Self::Arguments { place, .. }
            | Self::NoDataset { place, .. }
            | Self::NoColumn { place, .. }
            | Self::Ambiguous { place, .. }
            | Self::AcrossUnits { place, .. }
            | Self::UnitLeftOut { place, .. }
            | Self::UnitOptional { place, .. }
            | Self::UnitNotJoined { place, .. }
            | Self::UnitTypes { place, .. }
            | Self::JoinCondition { place }
            | Self::NoJoinKey { place, .. }
            | Self::PublicAlone { place, .. }
            | Self::UnionParts { place, .. }
            | Self::WindowAcrossUnits { place, .. }
            | Self::WindowFrame { place }
            | Self::WindowOrder { place, .. }
            | Self::Unused { place, .. }
            | Self::Identifier { place, .. }
            | Self::UnitColumn { place, .. }
            | Self::Type { place, .. }
            | Self::Number { place, .. }
            | Self::Timestamp { place, .. }
            | Self::Unbounded { place, .. }
            | Self::BoundsTooWide { place, .. }
            | Self::ClampReversed { place }
            | Self::Extreme { place, .. }
            | Self::Share { place, .. }
            | Self::NoDomain { place, .. }
            | Self::ModuleText { place, .. }
            | Self::FractionKey { place, .. }
            | Self::NotGrouped { place, .. }
            | Self::KeyNotShown { place, .. }
            | Self::Twice { place, .. }
            | Self::Ordinal { place, .. }
            | Self::HeadingIsColumn { place, .. }
            | Self::Heading { place, .. } => *place,
            _ => return None,
        };
        (place.line > 0).then_some(place)
    }

    /// The line of `text` that the error is about; `None` when it is about no one place.
    pub fn pointed(&self, text: &str) -> Option<Pointed> {
        Pointed::at(text, self.place()?)
    }
}

impl Pointed {
    /// A place in `text`; `None` when it lies outside.
    pub(crate) fn at(text: &str, place: Place) -> Option<Self> {
        let Place { line, column } = place;
        let index = usize::try_from(line).ok()?.checked_sub(1)?;
        let at = usize::try_from(column).ok()?.checked_sub(1)?;
        let whole: Vec<char> = text.split('\n').nth(index)?.chars().collect();
        let from = if whole.len() > SHOWN_CHARS_MAX { at.saturating_sub(BEFORE_CHARS) } else { 0 };
        let kept = whole.iter().skip(from).take(SHOWN_CHARS_MAX).copied();
        let shown: String = kept.map(|c| if is_plain(c) { c } else { ' ' }).collect();
        let shown_column = at.checked_sub(from)?.checked_add(1)?;
        Some(Self { line, column, text: shown.trim_end().to_owned(), shown_column })
    }
}

/// One cell of a terminal, as far as a caret must know.
fn is_plain(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// The beginning of a text of unknown length, on one line, for an error.
pub(crate) fn excerpt(text: &str) -> String {
    let shown = |c: char| if c.is_control() { ' ' } else { c };
    let mut start: String = text.chars().take(EXCERPT_CHARS_MAX).map(shown).collect();
    if text.chars().nth(EXCERPT_CHARS_MAX).is_some() {
        start.push_str("...");
    }
    start
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            return Ok(());
        }
        write!(f, " (line {}, column {})", self.line, self.column)
    }
}

impl fmt::Display for Pointed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        writeln!(f, "  {number} | {}", self.text)?;
        write!(f, "  {margin} | {}^", " ".repeat(self.shown_column.saturating_sub(1)))
    }
}

#[cfg(test)]
mod tests {
    use crate::tests::error;

    fn shown(text: &str) -> String {
        error(text).pointed(text).map(|pointed| pointed.to_string()).unwrap_or_default()
    }

    #[test]
    fn the_caret_stands_under_what_is_refused() {
        let text = "SELECT COUNT(*) AS n\nFROM trips\n\tWHERE zone = 1 AND  nowhere = 2";
        let shown_text = shown(text);
        let lines: Vec<_> = shown_text.lines().collect();
        assert_eq!(lines[0], "  3 |  WHERE zone = 1 AND  nowhere = 2");
        assert_eq!(lines[0].find("nowhere"), lines[1].find('^'));
        let text = "SELECT zone, MAX(ping_count) AS most FROM trips";
        let shown_text = shown(text);
        let lines: Vec<_> = shown_text.lines().collect();
        assert_eq!(lines[0].find("MAX"), lines[1].find('^'));
        // What the parser finds, in its own words.
        let text = "SELECT COUNT(*) AS n\nFROM trips WHERE zone = 1 1";
        let shown_text = shown(text);
        assert_eq!(shown_text.lines().last().unwrap().find('^'), Some(6 + 26), "{shown_text}");
    }

    #[test]
    fn long_lines_are_cut_around_the_place_and_hostile_ones_stay_one_line() {
        let zones = "1, ".repeat(100);
        let text =
            format!("SELECT COUNT(*) AS n FROM trips WHERE zone IN ({zones} 1) AND nowhere = 1");
        let shown_text = shown(&text);
        let lines: Vec<_> = shown_text.lines().collect();
        assert!(lines[0].len() < 120, "{shown_text}");
        assert_eq!(lines[0].find("nowhere"), lines[1].find('^'));
        let text = "SELECT COUNT(*) AS n FROM trips WHERE \u{1b}[2J";
        assert!(!shown(text).contains('\u{1b}'));
        assert_eq!(error("").pointed(""), None);
    }
}
