//! Columns of text lined up for a terminal. Text must already be printable; this file only measures
//! and pads.

/// Spaces between columns.
const GAP: usize = 2;

/// One column: a heading and its entries.
pub(crate) struct TextColumn {
    pub(crate) heading: String,
    pub(crate) is_number: bool,
    pub(crate) entries: Vec<String>,
}

impl TextColumn {
    pub(crate) fn words(heading: impl Into<String>, entries: Vec<String>) -> Self {
        Self { heading: heading.into(), is_number: false, entries }
    }

    pub(crate) fn numbers(heading: impl Into<String>, entries: Vec<String>) -> Self {
        Self { heading: heading.into(), is_number: true, entries }
    }

    pub(crate) fn width(&self) -> usize {
        self.entries.iter().chain([&self.heading]).map(|t| terminal_width(t)).max().unwrap_or(0)
    }
}

/// Width of a line of these columns.
pub(crate) fn line_width(columns: &[TextColumn]) -> usize {
    let gaps = columns.len().saturating_sub(1) * GAP;
    columns.iter().map(TextColumn::width).sum::<usize>() + gaps
}

/// Heading, rule and one line an entry, each ended by a line feed.
pub(crate) fn render(columns: &[&TextColumn], out: &mut String) {
    let widths: Vec<usize> = columns.iter().map(|column| column.width()).collect();
    let rows = columns.iter().map(|column| column.entries.len()).max().unwrap_or(0);
    let rules: Vec<String> = widths.iter().map(|width| "─".repeat(*width)).collect();
    line(columns.iter().map(|c| c.heading.as_str()), columns, &widths, out);
    line(rules.iter().map(String::as_str), columns, &widths, out);
    for row in 0..rows {
        let entries = columns.iter().map(|c| c.entries.get(row).map_or("", String::as_str));
        line(entries, columns, &widths, out);
    }
}

/// Cells of a terminal that a text takes: two for East Asian wide characters, none for combining
/// marks (Unicode TR 11, by block).
pub(crate) fn terminal_width(text: &str) -> usize {
    text.chars().map(char_width).sum()
}

/// The text, cut to `width` with an ellipsis where it is longer.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if terminal_width(text) <= width {
        return text.to_owned();
    }
    let (mut out, mut used) = (String::new(), 0);
    for c in text.chars() {
        used += char_width(c);
        if used >= width.max(1) {
            break;
        }
        out.push(c);
    }
    out.push('…');
    out
}

/// The text with spaces up to `width`, on its left for numbers.
pub(crate) fn pad(text: &str, width: usize, is_number: bool) -> String {
    let spaces = " ".repeat(width.saturating_sub(terminal_width(text)));
    if is_number { format!("{spaces}{text}") } else { format!("{text}{spaces}") }
}

fn line<'a>(
    entries: impl Iterator<Item = &'a str>,
    columns: &[&TextColumn],
    widths: &[usize],
    out: &mut String,
) {
    let padded = entries.zip(columns.iter().zip(widths));
    let cells: Vec<String> =
        padded.map(|(text, (c, width))| pad(text, *width, c.is_number)).collect();
    out.push_str(cells.join(&" ".repeat(GAP)).trim_end());
    out.push('\n');
}

fn char_width(c: char) -> usize {
    match u32::from(c) {
        0x0300..=0x036f
        | 0x0483..=0x0489
        | 0x0591..=0x05bd
        | 0x0610..=0x061a
        | 0x064b..=0x065f
        | 0x1ab0..=0x1aff
        | 0x1dc0..=0x1dff
        | 0x20d0..=0x20ff
        | 0xfe20..=0xfe2f => 0,
        0x1100..=0x115f
        | 0x2e80..=0x303e
        | 0x3041..=0xa4cf
        | 0xa960..=0xa97f
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1f64f
        | 0x1f680..=0x1f6ff
        | 0x1f900..=0x1faff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_whatever_the_script() {
        let places = ["東京", "Zürich", "e\u{301}"].map(String::from).to_vec();
        let counts = ["1,753", "9", "-12"].map(String::from).to_vec();
        let columns = [TextColumn::words("place", places), TextColumn::numbers("n", counts)];
        let mut out = String::new();
        render(&columns.iter().collect::<Vec<_>>(), &mut out);
        let widths: Vec<usize> = out.lines().map(terminal_width).collect();
        assert_eq!(widths, [line_width(&columns); 5]);
        assert!(out.contains("東京    1,753"));
    }

    #[test]
    fn long_texts_are_cut_to_their_width() {
        assert_eq!(cut("abcdef", 6), "abcdef");
        assert_eq!(cut("abcdefg", 6), "abcde…");
        assert!(terminal_width(&cut("東京東京東京", 5)) <= 5);
        assert_eq!(cut("abc", 0), "…");
    }
}
