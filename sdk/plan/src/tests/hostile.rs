//! Hostile text: long, deep, broken or random. Each ends in a typed error of bounded length, on a
//! stack of bounded size, and in work that does not double with nesting.

use super::{Q1, error, of_several, planned, rho};
use crate::{Construct, Place, PlanError};
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
        ("ROUND(", "COUNT(*)", ")"),
        ("COALESCE(", "AVG(duration_s)", ", 0)"),
        ("1 + ROUND(", "COUNT(*)", ", 1)"),
        ("CASE WHEN COUNT(*) > ", "1", " THEN 1 END"),
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

/// Each name of WITH uses the one before it twice: 2^40 tables, were they all read.
#[test]
fn names_of_with_that_double_end_in_bounded_work() {
    let doubled = |n: usize, join: &str| {
        let mut text = String::from("WITH c0 AS (SELECT person_id, month FROM mob)");
        for i in 1..=n {
            let below = i - 1;
            text += &match join {
                "join" => format!(
                    ", c{i} AS (SELECT a.person_id, a.month FROM c{below} a JOIN c{below} b USING (person_id))"
                ),
                _ => format!(", c{i} AS (SELECT * FROM c{below} UNION ALL SELECT * FROM c{below})"),
            };
        }
        text + &format!(" SELECT COUNT(*) AS n FROM c{n}")
    };
    for join in ["join", "union"] {
        assert!(of_several(&doubled(2, join)).is_ok());
        for n in [6, 14, 40] {
            let error = of_several(&doubled(n, join)).unwrap_err();
            assert!(matches!(error, PlanError::TooMany { .. }), "{join} {n}: {error}");
        }
    }
    // A long chain, each used once, is as deep as subqueries may be.
    let chain = |n: usize| {
        let mut text = String::from("WITH c0 AS (SELECT person_id FROM mob)");
        (1..n).for_each(|i| text += &format!(", c{i} AS (SELECT * FROM c{})", i - 1));
        text + &format!(" SELECT COUNT(*) AS n FROM c{}", n - 1)
    };
    assert!(of_several(&chain(16)).is_ok());
    assert!(matches!(of_several(&chain(17)), Err(PlanError::TooMany { .. })));
    assert!(matches!(of_several(&chain(60)), Err(PlanError::TooMany { .. })));
    let what = "names in WITH";
    assert!(
        matches!(of_several(&chain(65)), Err(PlanError::TooMany { what: found, .. }) if found == what)
    );
}

#[test]
fn many_joins_and_unions_are_counted() {
    let joins = |n: usize| {
        let more: String = (0..n).map(|i| format!(" JOIN ret t{i} USING (person_id)")).collect();
        format!("SELECT COUNT(*) AS n FROM mob{more}")
    };
    assert!(of_several(&joins(20)).is_ok());
    assert!(matches!(of_several(&joins(100)), Err(PlanError::TooMany { .. })));
    let unions = |n: usize| {
        let parts = vec!["SELECT person_id FROM mob"; n].join(" UNION ALL ");
        format!("SELECT COUNT(*) AS n FROM ({parts}) u")
    };
    assert!(of_several(&unions(30)).is_ok());
    for n in [100, 900] {
        assert!(matches!(of_several(&unions(n)), Err(PlanError::TooMany { .. })), "{n}");
    }
}

#[test]
fn nested_subqueries_are_refused_before_the_parser_can_backtrack() {
    let nested = |depth: usize, inside: &str, closed: usize| {
        let open = "SELECT person_id FROM (".repeat(depth);
        format!("SELECT COUNT(*) AS n FROM ({open}{inside}{}", ") s".repeat(closed))
    };
    let plain = "SELECT person_id FROM mob";
    assert!(of_several(&nested(10, plain, 11)).is_ok());
    for depth in [20, 31, 64, 1_000] {
        for inside in [plain, "SELECT person_id FROM", "SELECT = FROM mob", "mob", "((((mob"] {
            for closed in [depth + 1, depth, 0] {
                let text = nested(depth, inside, closed);
                let error = of_several(&text).unwrap_err();
                assert!(error.to_string().len() < 1_000, "{text}");
            }
        }
    }
    // Words that only look like the end of FROM may not open the way for parentheses there.
    for word in ["where", "case", "group", "select", "union", "\"where\"", "on"] {
        for before in [format!("trips AS {word}"), format!("trips {word}"), format!("trips.{word}")]
        {
            for open in ["JOIN ", ", ", ""] {
                let text = format!("SELECT COUNT(*) FROM {before} {open}{}trips", "(".repeat(30));
                let error = error(&text);
                assert!(error.to_string().len() < 1_000, "{text}");
            }
        }
    }
}

/// Large public domains are listed once a step, and no more than a query may list in all.
#[test]
fn large_domains_do_not_multiply() {
    let mut dictionary = super::several();
    let month = &mut dictionary.datasets[0].columns[3];
    month.domain = Some((0..100_000).map(cloister_terms::KeyValue::Int).collect());
    let items: String = (0..100).map(|i| format!(", COALESCE(month, -{i}) AS m{i}")).collect();
    let plan = |key: &str| {
        let text = format!(
            "SELECT {key}, COUNT(*) AS n FROM (SELECT person_id, month{items} FROM mob) s GROUP BY 1"
        );
        let body = cloister_terms::Body::Sql { text };
        let question = crate::Question {
            body: &body,
            row_cap: 1,
            group_cap: 1,
            spend: rho("1"),
            diagnostics: false,
            rounds: 1,
        };
        crate::plan(&dictionary, &question).map(|planned| planned.plan.shape.cells().unwrap())
    };
    assert_eq!(plan("month"), Ok(100_000), "a column handed on costs nothing");
    assert!(matches!(plan("m99"), Err(PlanError::NoDomain { .. })));
}

#[test]
fn statements_files_and_catalogs_are_refused_inside_too() {
    for inside in [
        "DELETE FROM mob",
        "COPY mob TO 'x'",
        "EXPLAIN ANALYZE SELECT person_id FROM mob",
        "SELECT person_id FROM information_schema.tables",
        "SELECT person_id FROM 'x.parquet'",
        "SELECT person_id FROM read_csv('x')",
        "SELECT person_id FROM mob; DROP TABLE mob",
        "SELECT person_id INTO x FROM mob",
        "SELECT person_id FROM mob FOR UPDATE",
        "SELECT person_id, now() AS t FROM mob",
        "SELECT person_id FROM mob GROUP BY ROLLUP (person_id)",
        "SELECT TOP 5 person_id FROM mob",
        "SELECT DISTINCT ON (person_id) person_id FROM mob",
        "SELECT person_id FROM mob WHERE month IN (SELECT month FROM ret)",
        "SELECT person_id, (SELECT MAX(month) FROM ret) AS m FROM mob",
    ] {
        for text in [
            format!("SELECT COUNT(*) AS n FROM ({inside}) s"),
            format!("WITH s AS ({inside}) SELECT COUNT(*) AS n FROM s"),
        ] {
            let error = of_several(&text).unwrap_err();
            assert!(error.to_string().len() < 1_000, "{text}: {error}");
        }
    }
}

/// A plan that some reader of JSON could not read is refused: each step takes levels, as expressions do.
#[test]
fn plans_deeper_than_readers_are_refused() {
    let counted = |expressions: usize, subqueries: usize| {
        let mut deep = String::from("month = 1");
        for _ in 0..expressions {
            deep = format!("CASE WHEN {deep} THEN 1 ELSE 2 END NOT BETWEEN 0 AND 1.5");
        }
        let mut text = format!("SELECT person_id, {deep} AS month FROM mob");
        for i in 0..subqueries {
            text = format!("SELECT person_id, NULLIF(month, false) AS month FROM ({text}) s{i}");
        }
        of_several(&format!("SELECT COUNT(month) AS n FROM ({text}) s"))
    };
    assert!(counted(10, 1).is_ok() && counted(4, 12).is_ok());
    let place = Place { line: 1, column: 1 };
    assert_eq!(counted(10, 12), Err(PlanError::PlanTooDeep { place }));
}
