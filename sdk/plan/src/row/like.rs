//! `LIKE` patterns: `%` is any text, `_` any one character. Short texts are matched going back to the last `%`
//! only, pattern times text steps at most. In longer ones each part between two `%` is looked for by the
//! shift-and automaton (Baeza-Yates and Gonnet 1992), 64 letters a step, so that work grows with the text alone.

use crate::limits::LIKE_STEPS_GONE_BACK_MAX;

/// Letters of ASCII.
const ASCII: usize = 128;

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
    if text.len().saturating_mul(pattern.len()) <= LIKE_STEPS_GONE_BACK_MAX {
        fits_going_back(text, pattern, escape, ignore_case)
    } else {
        fits_in_parts(text, pattern, escape, ignore_case)
    }
}

fn fits_going_back(text: &str, pattern: &str, escape: Option<char>, ignore_case: bool) -> bool {
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

/// A character as letters are compared: itself, or its small letters.
type Folded = [char; 3];

fn folded(c: char, ignore_case: bool) -> Folded {
    let mut all = [c, '\0', '\0'];
    if ignore_case {
        all = ['\0'; 3];
        all.iter_mut().zip(c.to_lowercase()).for_each(|(to, small)| *to = small);
    }
    all
}

/// Letters between two `%`; `None` is any one character.
type Run = Vec<Option<Folded>>;

/// The first run stands at the start, the last at the end, each other at its first place behind the one before.
fn fits_in_parts(text: &str, pattern: &str, escape: Option<char>, ignore_case: bool) -> bool {
    let mut runs: Vec<Run> = vec![Run::new()];
    let mut at = pattern;
    while let Some((found, after)) = part(at, escape) {
        let letter = match found {
            Part::Any => None,
            Part::One => Some(None),
            Part::Letter(c) => Some(Some(folded(c, ignore_case))),
        };
        match (letter, runs.last_mut()) {
            (Some(letter), Some(run)) => run.push(letter),
            _ => runs.push(Run::new()),
        }
        at = after;
    }
    let fold = |c: char| folded(c, ignore_case);
    let is_one = |wanted: &Option<Folded>, c: char| wanted.is_none_or(|wanted| wanted == fold(c));
    let Some((first, others)) = runs.split_first() else { return false };
    let mut rest = text.chars();
    if !first.iter().all(|wanted| rest.next().is_some_and(|c| is_one(wanted, c))) {
        return false;
    }
    let Some((last, between)) = others.split_last() else { return rest.next().is_none() };
    if !last.iter().rev().all(|wanted| rest.next_back().is_some_and(|c| is_one(wanted, c))) {
        return false;
    }
    let found = between.iter().try_fold(rest.as_str(), |rest, run| behind(rest, run, fold));
    found.is_some()
}

/// The text behind the first place where a run stands.
fn behind<'t>(text: &'t str, run: &Run, fold: impl Fn(char) -> Folded) -> Option<&'t str> {
    let Some(last) = run.len().checked_sub(1) else { return Some(text) };
    let words = run.len().div_ceil(64);
    // One mask for each different letter, and one for all.
    let mut letters: Vec<Folded> = run.iter().flatten().copied().collect();
    letters.sort_unstable();
    letters.dedup();
    let mut masks = vec![vec![0u64; words]; letters.len()];
    let mut any = vec![0u64; words];
    for (place, wanted) in run.iter().enumerate() {
        let mask = match wanted {
            Some(letter) => letters.binary_search(letter).ok().and_then(|at| masks.get_mut(at)),
            None => Some(&mut any),
        };
        let word = mask.and_then(|mask| mask.get_mut(place / 64));
        word.into_iter().for_each(|word| *word |= 1 << (place % 64));
    }
    // Most texts are ASCII: where its letters are is looked up once each.
    let mut known: [Option<Option<usize>>; ASCII] = [None; ASCII];
    let found = |c: char| letters.binary_search(&fold(c)).ok();
    // Bit i: the run's first i + 1 letters stand just before here.
    let mut state = vec![0u64; words];
    for (at, c) in text.char_indices() {
        let place = match usize::try_from(u32::from(c)).ok().and_then(|c| known.get_mut(c)) {
            Some(known) => *known.get_or_insert_with(|| found(c)),
            None => found(c),
        };
        let mask = place.and_then(|place| masks.get(place));
        let mut carry = 1;
        for (word, state) in state.iter_mut().enumerate() {
            let fitting = mask.and_then(|mask| mask.get(word)).copied().unwrap_or(0)
                | any.get(word).copied().unwrap_or(0);
            let shifted = *state << 1 | carry;
            carry = *state >> 63;
            *state = shifted & fitting;
        }
        if state.get(last / 64).is_some_and(|word| word >> (last % 64) & 1 == 1) {
            return text.get(at.saturating_add(c.len_utf8())..);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_find_the_same() {
        let mut state = 7u64;
        let mut below = |end: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % end as u64) as usize
        };
        let letters = ['a', 'B', 'b', '\u{df}', '\u{130}', 'i', '\u{fc}', '\\'];
        let wild = ['%', '%', '_', 'a', 'b', 'B', '\u{df}', 'I', '\\'];
        let (mut tried, mut fitted) = (0, 0);
        for _ in 0..60_000 {
            let text: String = (0..below(12)).map(|_| letters[below(letters.len())]).collect();
            let pattern: String = (0..below(7)).map(|_| wild[below(wild.len())]).collect();
            for (escape, ignore_case) in [(Some('\\'), false), (None, true)] {
                if !is_pattern(&pattern, escape) {
                    continue;
                }
                let back = fits_going_back(&text, &pattern, escape, ignore_case);
                let parts = fits_in_parts(&text, &pattern, escape, ignore_case);
                assert_eq!(back, parts, "{text:?} LIKE {pattern:?} ({ignore_case})");
                tried += 1;
                fitted += usize::from(back);
            }
        }
        assert!(fitted > 2_000 && tried - fitted > 2_000, "{fitted} of {tried}");
    }

    #[test]
    fn runs_longer_than_a_word_are_found() {
        let run: String = (0..150).map(|at| char::from(b'a' + (at * at % 26) as u8)).collect();
        for before in [0, 1, 63, 64, 65, 4_000] {
            let text = format!("{}{run}end", "a".repeat(before));
            assert!(fits(&text, &format!("%{run}%"), None, false));
            assert!(fits(&text, &format!("%{}%e_d", run.to_uppercase()), None, true));
            assert!(!fits(&text, &format!("%{run}{run}%"), None, false));
            let nearly = format!("%{}#%", &run[..149]);
            assert!(!fits(&text, &nearly, None, false));
        }
    }
}
