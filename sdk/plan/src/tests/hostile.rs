//! Hostile text: long, deep, broken or random. Each ends in a typed error of bounded length, on a
//! stack of bounded size, and in work that does not double with nesting.

use super::{Q1, error, planned, rho};
use crate::{Construct, PlanError};
use std::ops::Add;

/// A text that plans when `terms` is short.
fn with_filter(filter: &str) -> String {
    format!("SELECT COUNT(*) AS n FROM trips WHERE {filter}")
}

#[test]
fn long_lists_chains_and_literals_are_refused() {
    let terms = |n: usize, term: &str, by: &str| vec![term; n].join(by);
    let list = with_filter(&format!("zone IN ({})", terms(100_000, "1", ",")));
    assert!(matches!(error(&list), PlanError::TextTooLong { .. }));
    let list = with_filter(&format!("zone IN ({})", terms(2_000, "1", ",")));
    assert!(matches!(error(&list), PlanError::TooMany { what: "terms in a list", .. }));
    let list = with_filter(&format!("zone IN ({})", terms(20_000, "1", ",")));
    assert!(matches!(error(&list), PlanError::TooMany { what: "words and signs", .. }));
    let list = with_filter(&format!("zone IN ({})", terms(1_000, "1", ",")));
    assert!(planned(&list, rho("1")).is_ok());
    for (term, by) in
        [("zone", " + "), ("zone = 1", " AND "), ("zone", " IS NULL = "), ("zone", ".")]
    {
        let chain = with_filter(&terms(4_000, term, by));
        assert!(matches!(error(&chain), PlanError::TooMany { .. }), "{term}{by}");
    }
    let long = with_filter(&format!("start_city = '{}'", "a".repeat(1 << 20)));
    assert!(matches!(error(&long), PlanError::TextTooLong { .. }));
    let long = with_filter(&format!("start_city = '{}'", "a".repeat(50_000)));
    assert!(matches!(error(&long), PlanError::LongLiteral { .. }));
    let long = with_filter(&format!("{} = 1", "a".repeat(50_000)));
    assert!(matches!(error(&long), PlanError::LongLiteral { .. }));
    let long = with_filter(&format!("zone = {}", "1".repeat(50_000)));
    assert!(matches!(error(&long), PlanError::LongLiteral { .. }));
}

#[test]
fn long_flat_filters_plan_and_deep_ones_do_not() {
    let flat = vec!["zone = 1"; 400].join(" OR ");
    planned(&with_filter(&flat), rho("1")).unwrap();
    // As deep as the limit on operators lets a tree become: it is parsed, refused and dropped again.
    for (term, by, end) in [("speed", " + ", " > 1"), ("speed", " IS NULL = ", ""), ("a", ".", "")]
    {
        for terms in [990, 1_900] {
            let chain = with_filter(&format!("{}{end}", vec![term; terms].join(by)));
            error(&chain);
        }
    }
    let sum = with_filter(&format!("{} > 1", vec!["speed"; 1_900].join(" + ")));
    assert!(matches!(error(&sum), PlanError::TooDeep { .. }));
    let tests = with_filter(&format!("speed {}", "IS NULL ".repeat(990)));
    assert!(matches!(error(&tests), PlanError::TooDeep { .. }));
    let minus = with_filter(&format!("{}zone > 1", "- ".repeat(900)));
    assert!(matches!(error(&minus), PlanError::TooDeep { .. }));
    let not = with_filter(&format!("{} is_member", "NOT ".repeat(60)));
    assert!(matches!(error(&not), PlanError::TooDeep { .. }));
}

#[test]
fn nesting_is_refused_before_the_parser_can_backtrack() {
    for (open, inside, close) in [
        ("(", "zone = 1", ")"),
        ("NOT (", "is_member", ")"),
        ("NOT (", "is_member =", ")"),
        ("CASE(", "zone", ")"),
        ("CASE WHEN ", "is_member", " THEN true END"),
        ("CASE WHEN (", "is_member", ") THEN true END"),
        ("COALESCE(", "zone", ")"),
        ("zone IN (", "1", ")"),
        ("zone IN ((", "1", "))"),
        ("nowhere(", "1", ")"),
        ("- (", "1", ")"),
        ("COUNT(*) FILTER (WHERE ", "is_member", ") = 1"),
        ("PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY ", "zone", ")"),
        ("MEDIAN(", "zone", ")"),
        ("TRIM(", "1", ")"),
        ("CAST(", "1", " AS INT)"),
        ("INTERVAL ", "'1' DAY", ""),
        ("ARRAY[", "1", "]"),
        ("STRUCT(", "1", ")"),
        ("EXISTS(", "SELECT 1", ")"),
        ("{fn ", "x", "}"),
    ] {
        for depth in [5, 31, 64, 1_000] {
            for closed in [depth, depth - 1, 0] {
                let text = format!("{}{inside}{}", open.repeat(depth), close.repeat(closed));
                let planned = planned(&with_filter(&text), rho("1"));
                assert!(depth == 5 || open == "(" || planned.is_err(), "{open} {depth} {closed}");
            }
        }
    }
    let from = format!("SELECT COUNT(*) FROM {}trips", "(".repeat(500));
    assert!(matches!(error(&from), PlanError::Refused { construct: Construct::TableFunction, .. }));
    assert!(
        planned(&with_filter(&format!("{}zone = 1{}", "(".repeat(30), ")".repeat(30))), rho("1"))
            .is_ok()
    );
    assert!(matches!(
        error(&with_filter(&format!("{}zone = 1{}", "(".repeat(40), ")".repeat(40)))),
        PlanError::TooDeep { .. }
    ));
}

#[test]
fn nested_aggregates_in_the_answer_end_in_bounded_time() {
    for (open, inside, close) in [
        ("COUNT(*) FILTER (WHERE ", "is_member", ")"),
        ("PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY ", "duration_s", ")"),
        ("SUM(", "duration_s", ")"),
        ("-(", "COUNT(*)", ")"),
        ("NULLIF(", "COUNT(*)", ", 0)"),
        ("1 / NULLIF(", "COUNT(*)", ", 0)"),
    ] {
        for depth in [2, 31, 64, 1_000] {
            for closed in [depth, depth - 1, 0] {
                let item = format!("{}{inside}{}", open.repeat(depth), close.repeat(closed));
                for text in [
                    format!("SELECT {item} AS x FROM trips"),
                    format!("SELECT COUNT(*) AS n FROM trips HAVING {item} > 1"),
                    format!("SELECT COUNT(*) AS n FROM trips ORDER BY {item}"),
                ] {
                    assert!(planned(&text, rho("1")).is_err() || depth == 2, "{open} {depth}");
                }
            }
        }
    }
    let chain = vec!["n > 1"; 900].join(" AND ");
    let having = |chain: &str| format!("SELECT COUNT(*) AS n FROM trips HAVING {chain}");
    assert!(matches!(
        error(&having(&chain)),
        PlanError::TooDeep { .. } | PlanError::TooMany { .. }
    ));
    assert!(matches!(
        error(&having(&"NOT ".repeat(60)[..].to_owned().add("n > 1"))),
        PlanError::TooDeep { .. }
    ));
    let order = vec!["n"; 2_000].join(", ");
    let order = error(&format!("SELECT COUNT(*) AS n FROM trips ORDER BY {order}"));
    assert!(matches!(order, PlanError::TooMany { .. }), "{order:?}");
}

#[test]
fn invisible_characters_are_refused_where_they_stand() {
    for c in [
        '\0', '\u{7}', '\u{1b}', '\u{7f}', '\u{202e}', '\u{2066}', '\u{200b}', '\u{feff}',
        '\u{2028}',
    ] {
        let text = with_filter(&format!("start_city = 'a{c}b'"));
        let error = error(&text);
        assert!(
            matches!(error, PlanError::ForbiddenCharacter { code, .. } if code == u32::from(c)),
            "{error:?}"
        );
    }
    assert!(planned(&with_filter("start_city = 'Zürich'"), rho("1")).is_ok());
}

/// Editors end a line at a lone carriage return, terminals write over it, and the parser does neither:
/// a filter that reviewers read would be part of a comment.
#[test]
fn a_comment_ends_for_the_parser_where_it_ends_for_the_reader() {
    let text = "SELECT COUNT(*) AS n FROM trips -- members only\rWHERE is_member";
    assert!(matches!(error(text), PlanError::ForbiddenCharacter { code: 13, .. }));
    assert!(matches!(error(&format!("{text}\r")), PlanError::ForbiddenCharacter { code: 13, .. }));
    let dos = planned(&text.replace('\r', "\r\n"), rho("1")).unwrap();
    assert!(dos.plan.tables[0].filter.is_some());
    assert_eq!(dos, planned(&text.replace('\r', "\n"), rho("1")).unwrap());
}

/// Blank to a reader, but part of the value that is compared.
#[test]
fn fillers_and_variation_selectors_are_refused() {
    for c in ['\u{34f}', '\u{115f}', '\u{17b4}', '\u{3164}', '\u{fe0f}', '\u{ffa0}', '\u{e0100}'] {
        let text = with_filter(&format!("start_city <> 'Amherst{c}'"));
        let code = u32::from(c);
        assert!(
            matches!(error(&text), PlanError::ForbiddenCharacter { code: found, .. } if found == code),
            "{code:x}"
        );
    }
}

#[test]
fn broken_text_is_a_typed_error() {
    assert_eq!(error(""), PlanError::Empty);
    assert_eq!(error(" \n -- nothing\n /* at /* all */ */ ;;"), PlanError::Empty);
    for broken in [
        "SELECT",
        "SELECT COUNT(*) FROM",
        "SELECT COUNT(* FROM trips",
        "SELECT COUNT(*) FROM trips WHERE",
        "SELECT COUNT(*) FROM trips WHERE start_city = 'x",
        "SELECT COUNT(*) FROM trips /* x",
        "SELECT COUNT(*) FROM trips GROUP BY",
        "SELECT COUNT(*) AS FROM trips",
        "SELECT COUNT(*) FROM trips x y",
        "SELECT COUNT(*) FROM trips WHERE zone = = 1",
        "SELECT CASE FROM trips",
        "SELECT CASE END FROM trips",
        "SELECT \"x FROM trips",
        "SELECT COUNT(*)) FROM trips",
        "hello",
        "\\",
        "'",
        "é",
        "SELECT é FROM trips",
    ] {
        assert!(error(broken).to_string().len() < 600, "{broken}");
    }
}

/// xorshift64*: a fixed sequence, so that a failure is found again.
struct Sequence(u64);

impl Sequence {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % n
    }
}

#[test]
fn random_bytes_and_shuffled_words_end_in_a_plan_or_a_typed_error() {
    let mut sequence = Sequence(0x00c1_0157_e700_0001);
    let mut words: Vec<&str> = Q1.split_inclusive(' ').collect();
    words.extend([
        "(",
        ")",
        ",",
        "NOT (",
        "CASE ",
        "WHEN ",
        "END ",
        "IN (",
        "BETWEEN ",
        "COALESCE(",
        "clamp(",
        "NULL ",
        "person_id ",
        "trip_id ",
        "'x' ",
        "1e9 ",
        "- ",
        "* ",
        "/ ",
        "OVER (",
        "FILTER (WHERE ",
        "WITHIN GROUP (ORDER BY ",
        "HAVING ",
        "ORDER BY ",
        "LIMIT ",
        "MEDIAN(",
        "CORR(",
        "SELECT ",
        "INTERVAL ",
        "CAST(",
        "; ",
        "\" ",
        "$1 ",
        "UNION ",
        "LIKE ",
        "IS ",
        "[",
        "{",
        ":: ",
    ]);
    for round in 0..3_000 {
        let text: String = if round % 3 == 0 {
            let bytes: Vec<u8> =
                (0..sequence.below(300)).map(|_| sequence.below(256) as u8).collect();
            String::from_utf8_lossy(&bytes).into_owned()
        } else if round % 3 == 1 {
            let mut text = String::from("SELECT ");
            for _ in 0..sequence.below(60) {
                text.push_str(words[sequence.below(words.len())]);
            }
            text
        } else {
            // The real question with a few words changed.
            let mut parts: Vec<&str> = Q1.split_inclusive(' ').collect();
            for _ in 0..=sequence.below(3) {
                let at = sequence.below(parts.len());
                parts[at] = words[sequence.below(words.len())];
            }
            parts.concat()
        };
        match planned(&text, rho("1")) {
            Ok(planned) => {
                let read =
                    |name: &str| planned.columns[0].columns.iter().any(|c| c.as_str() == name);
                assert!(!read("person_id") && !read("trip_id"), "{text}");
                assert!(planned.plan.shape.check().is_ok());
            }
            Err(error) => assert!(error.to_string().len() < 1_000, "{text}"),
        }
    }
}
