//! Keys and headings are other people's text. Nothing they hold may steer a terminal, hide or turn
//! around what stands beside it, or start a formula in a spreadsheet.

use std::fmt::Write;

/// The text with control characters (C0, DEL, C1), line and paragraph separators, direction marks
/// and invisible characters written as `\u{..}`. Use it for any untrusted text shown to people.
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_steering(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

/// JSON text with steering characters as `\u` escapes: they only stand inside strings there, but for
/// line ends, which stay.
pub(crate) fn json_printable(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c == '\n' || !is_steering(c) {
            out.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            // Writing to a string cannot fail.
            let _ = write!(out, "\\u{unit:04x}");
        }
    }
    out
}

/// One CSV field (RFC 4180, section 2) of untrusted text: printable, and with a leading `'` where a
/// spreadsheet would take it for a formula.
pub(crate) fn csv_text(text: &str) -> String {
    let shown = printable(text);
    let first = shown.trim_start().chars().next();
    let starts_formula = first.is_some_and(|c| "=+-@＝＋－＠".contains(c));
    let guarded = if starts_formula { format!("'{shown}") } else { shown };
    if guarded.contains(['"', ',', ';', '\'']) || guarded.trim() != guarded {
        format!("\"{}\"", guarded.replace('"', "\"\""))
    } else {
        guarded
    }
}

fn is_steering(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{00ad}' | '\u{034f}' | '\u{061c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str =
        "\u{1b}[2J\u{1b}]0;owned\u{7}\r\n\u{9b}31m\u{202e}evil\u{200b}\u{e0041}\0";

    #[test]
    fn nothing_steers_a_terminal() {
        let shown = printable(HOSTILE);
        assert!(shown.chars().all(|c| !is_steering(c)), "{shown:?}");
        assert!(shown.contains("\\u{1b}[2J") && shown.contains("evil"));
        assert_eq!(printable("Zürich, 東京 – 5 %"), "Zürich, 東京 – 5 %");
    }

    #[test]
    fn json_stays_the_same_text() {
        let json = serde_json::to_string(HOSTILE).unwrap();
        let safe = json_printable(&json);
        assert!(safe.chars().all(|c| !is_steering(c)));
        assert_eq!(serde_json::from_str::<String>(&safe).unwrap(), HOSTILE);
    }

    #[test]
    fn no_field_starts_a_formula_or_breaks_its_row() {
        for (text, field) in [
            ("plain", "plain"),
            ("", ""),
            ("a,b", "\"a,b\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("=1+1", "\"'=1+1\""),
            ("+1", "\"'+1\""),
            ("-1", "\"'-1\""),
            ("@SUM(A1)", "\"'@SUM(A1)\""),
            ("  =1", "\"'  =1\""),
            ("＝1", "\"'＝1\""),
            ("a-b", "a-b"),
            ("a\r\nb", "a\\u{d}\\u{a}b"),
            ("\t=1", "\\u{9}=1"),
        ] {
            assert_eq!(csv_text(text), field, "{text:?}");
        }
    }
}
