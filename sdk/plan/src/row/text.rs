//! Functions of texts. Positions count characters (Unicode code points); a text that is made longer than
//! the limit is NULL before it is built, so that nothing here grows beyond its inputs.

use super::{Datum, like};
use crate::function::{Function, TrimSide};
use crate::limits::MADE_TEXT_BYTES_MAX;
use std::borrow::Cow;

/// A function of one text.
pub(super) fn of_text<'a>(function: &Function, text: &Cow<'a, str>) -> Option<Datum<'a>> {
    match function {
        Function::Lower => cased(text, str::to_lowercase),
        Function::Upper => cased(text, str::to_uppercase),
        Function::Trim { side, characters } => {
            let (start, end) = trimmed(text, *side, characters);
            part(text, start, end)
        }
        Function::Length => Some(Datum::Int(count(text.chars().count()))),
        Function::Replace { from, to } => replaced(text, from, to),
        Function::SplitPart { delimiter, part: which } => {
            let found = split_part(text, delimiter, which.0);
            let (start, end) = found.unwrap_or_default();
            part(text, start, end)
        }
        Function::Like { pattern, escape, ignore_case } => {
            Some(Datum::Bool(like::fits(text, pattern, *escape, *ignore_case)))
        }
        _ => None,
    }
}

/// A function of two texts.
pub(super) fn of_texts<'a>(function: &Function, text: &str, other: &str) -> Option<Datum<'a>> {
    Some(match function {
        Function::Position => {
            let before = text.find(other).and_then(|at| text.get(..at));
            Datum::Int(before.map_or(0, |before| count(before.chars().count()).saturating_add(1)))
        }
        Function::StartsWith => Datum::Bool(text.starts_with(other)),
        Function::EndsWith => Datum::Bool(text.ends_with(other)),
        Function::Contains => Datum::Bool(text.contains(other)),
        _ => return None,
    })
}

/// A function of a text and a number of characters.
pub(super) fn of_count<'a>(
    function: &Function,
    text: &Cow<'a, str>,
    number: i64,
) -> Option<Datum<'a>> {
    let length = || count(text.chars().count());
    match function {
        Function::Substring => substring(text, number, None),
        Function::Left => {
            let end = if number < 0 { length().saturating_add(number) } else { number };
            part(text, 0, byte_at(text, end))
        }
        Function::Right => {
            let start =
                if number < 0 { number.saturating_neg() } else { length().saturating_sub(number) };
            part(text, byte_at(text, start), text.len())
        }
        _ => None,
    }
}

/// `number` characters from position `start`, counted from 1; positions before the text count too.
pub(super) fn substring<'a>(
    text: &Cow<'a, str>,
    start: i64,
    number: Option<i64>,
) -> Option<Datum<'a>> {
    let first = start.saturating_sub(1);
    let end = match number {
        Some(number) if number < 0 => return None,
        Some(number) => byte_at(text, first.saturating_add(number)),
        None => text.len(),
    };
    part(text, byte_at(text, first), end)
}

/// All texts in a row, those that are NULL left out.
pub(super) fn joined<'a>(of: &[Option<Datum<'a>>]) -> Option<Datum<'a>> {
    let mut made = String::new();
    for datum in of.iter().flatten() {
        let Datum::Text(text) = datum else { return None };
        push(&mut made, text)?;
    }
    Some(Datum::Text(Cow::Owned(made)))
}

fn count(characters: usize) -> i64 {
    i64::try_from(characters).unwrap_or(i64::MAX)
}

/// Adds to a text that is made; `None` beyond the limit.
fn push(made: &mut String, more: &str) -> Option<()> {
    if made.len().saturating_add(more.len()) > MADE_TEXT_BYTES_MAX {
        return None;
    }
    made.push_str(more);
    Some(())
}

fn cased<'a>(text: &str, to: impl Fn(&str) -> String) -> Option<Datum<'a>> {
    let made = (text.len() <= MADE_TEXT_BYTES_MAX).then(|| to(text))?;
    (made.len() <= MADE_TEXT_BYTES_MAX).then_some(Datum::Text(Cow::Owned(made)))
}

/// The bytes from `start` to before `end`, empty when they cross; both lie between characters.
fn part<'a>(text: &Cow<'a, str>, start: usize, end: usize) -> Option<Datum<'a>> {
    let part = match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.get(start..end).unwrap_or_default()),
        Cow::Owned(text) => Cow::Owned(text.get(start..end).unwrap_or_default().to_owned()),
    };
    Some(Datum::Text(part))
}

/// The byte at which so many characters end; the ends of the text for fewer than none and too many.
fn byte_at(text: &str, characters: i64) -> usize {
    let Ok(characters) = usize::try_from(characters) else { return 0 };
    text.char_indices().nth(characters).map_or(text.len(), |(at, _)| at)
}

fn trimmed(text: &str, side: TrimSide, characters: &str) -> (usize, usize) {
    // Sorted once, so that long texts do not go through long lists for each character.
    let mut cut: Vec<char> = characters.chars().collect();
    cut.sort_unstable();
    let is_cut = |c: char| cut.binary_search(&c).is_ok();
    let start = match side {
        TrimSide::Both | TrimSide::Leading => text.len() - text.trim_start_matches(is_cut).len(),
        TrimSide::Trailing => 0,
    };
    let end = match side {
        TrimSide::Both | TrimSide::Trailing => text.trim_end_matches(is_cut).len(),
        TrimSide::Leading => text.len(),
    };
    (start, end)
}

fn replaced<'a>(text: &Cow<'a, str>, from: &str, to: &str) -> Option<Datum<'a>> {
    if from.is_empty() || !text.contains(from) {
        return Some(Datum::Text(text.clone()));
    }
    let mut made = String::new();
    for (i, kept) in text.split(from).enumerate() {
        if i > 0 {
            push(&mut made, to)?;
        }
        push(&mut made, kept)?;
    }
    Some(Datum::Text(Cow::Owned(made)))
}

/// Where a part between delimiters starts and ends.
fn split_part(text: &str, delimiter: &str, which: i64) -> Option<(usize, usize)> {
    let index = usize::try_from(which.unsigned_abs().checked_sub(1)?).ok()?;
    if delimiter.is_empty() {
        return (index == 0).then_some((0, text.len()));
    }
    let mut borders = text.match_indices(delimiter).map(|(at, found)| (at, at + found.len()));
    let index = if which > 0 {
        index
    } else {
        // Parts are found from the left whichever end they are counted from.
        borders.clone().count().checked_sub(index)?
    };
    let start = match index.checked_sub(1) {
        None => 0,
        Some(before) => borders.nth(before)?.1,
    };
    Some((start, borders.next().map_or(text.len(), |(at, _)| at)))
}
