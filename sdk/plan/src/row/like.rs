//! `LIKE` patterns: `%` is any text, `_` any one character. Matching goes back to the last `%` only, so it
//! takes at most pattern times text steps, which the caller bounds; it must never branch.

/// Whether no escape stands at the end with nothing to escape.
pub(crate) fn is_pattern(pattern: &str, escape: Option<char>) -> bool {
    let mut rest = pattern.chars();
    while let Some(c) = rest.next() {
        if Some(c) == escape && rest.next().is_none() {
            return false;
        }
    }
    true
}

/// What a pattern asks for at one place.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Part {
    Any,
    One,
    Letter(char),
}

/// Whether the whole text fits the pattern.
pub(super) fn fits(text: &str, pattern: &str, escape: Option<char>, ignore_case: bool) -> bool {
    let same = |a: char, b: char| a == b || (ignore_case && a.to_lowercase().eq(b.to_lowercase()));
    let (mut at, mut rest) = (pattern, text);
    // Where to go on when the rest does not fit: after the last `%`, which takes one character more.
    let mut retry: Option<(&str, &str)> = None;
    loop {
        match (part(at, escape), rest.chars().next()) {
            (Some((Part::Any, after)), _) => {
                retry = Some((after, rest));
                at = after;
            }
            (Some((Part::One, after)), Some(c)) => (at, rest) = (after, after_first(rest, c)),
            (Some((Part::Letter(wanted), after)), Some(c)) if same(wanted, c) => {
                (at, rest) = (after, after_first(rest, c));
            }
            (None, None) => return true,
            (_, None) => return false,
            _ => {
                let Some((after, from)) = retry else { return false };
                let Some(skipped) = from.chars().next() else { return false };
                let from = after_first(from, skipped);
                retry = Some((after, from));
                (at, rest) = (after, from);
            }
        }
    }
}

fn part(pattern: &str, escape: Option<char>) -> Option<(Part, &str)> {
    let mut rest = pattern.chars();
    let part = match rest.next()? {
        c if Some(c) == escape => Part::Letter(rest.next().unwrap_or(c)),
        '%' => Part::Any,
        '_' => Part::One,
        c => Part::Letter(c),
    };
    Some((part, rest.as_str()))
}

fn after_first(text: &str, first: char) -> &str {
    text.get(first.len_utf8()..).unwrap_or_default()
}
