//! Every function on hostile values, and what each gives on values one can check by hand.

use super::*;
use crate::expr::{FloatBits, IntText};
use crate::function::{DateField, DateUnit, TrimSide};
use crate::limits::MADE_TEXT_BYTES_MAX;

const UNITS: [DateUnit; 8] = [
    DateUnit::Year,
    DateUnit::Quarter,
    DateUnit::Month,
    DateUnit::Week,
    DateUnit::Day,
    DateUnit::Hour,
    DateUnit::Minute,
    DateUnit::Second,
];
const FIELDS: [DateField; 12] = [
    DateField::Year,
    DateField::IsoYear,
    DateField::Quarter,
    DateField::Month,
    DateField::Week,
    DateField::Day,
    DateField::DayOfWeek,
    DateField::IsoDayOfWeek,
    DateField::DayOfYear,
    DateField::Hour,
    DateField::Minute,
    DateField::Second,
];
const TYPES: [ColumnType; 5] = [
    ColumnType::Int64,
    ColumnType::Float64,
    ColumnType::Text,
    ColumnType::Timestamp,
    ColumnType::Bool,
];

fn bits(value: f64) -> FloatBits {
    FloatBits::new(value).unwrap()
}

/// Every function, with its constants at several values.
fn every() -> Vec<Function> {
    use Function::*;
    let mut all = vec![
        Add,
        Subtract,
        Multiply,
        Modulo,
        Least,
        Greatest,
        Abs,
        Sign,
        Floor,
        Ceiling,
        SquareRoot,
        Exponential,
        NaturalLog,
        Log10,
        Log2,
        LogOf,
        Power,
        Sine,
        Cosine,
        Tangent,
        ArcSine,
        ArcCosine,
        ArcTangent,
        ArcTangent2,
        Radians,
        Degrees,
        Lower,
        Upper,
        Substring,
        Left,
        Right,
        Length,
        Join,
        Concat,
        Position,
        StartsWith,
        EndsWith,
        Contains,
        Epoch,
    ];
    for digits in [-15, -1, 0, 2, 15] {
        all.extend([Round { digits }, Truncate { digits }]);
    }
    for (low, high, buckets) in [(0.0, 1.0, 1), (-8e307, 8e307, 99_998), (0.0, 5e-324, 3)] {
        all.push(WidthBucket { low: bits(low), high: bits(high), buckets });
    }
    all.extend(of_texts());
    all.extend(TYPES.map(|to| Cast { to }));
    all.extend(UNITS.map(|unit| DateTrunc { unit }));
    all.extend(UNITS.map(|unit| DateDiff { unit }));
    all.extend(FIELDS.map(|field| DatePart { field }));
    for (months, micros) in [(0, 0), (1, 0), (i32::MIN, i64::MIN), (i32::MAX, i64::MAX), (-1, 1)] {
        all.push(AddInterval { months, micros: IntText(micros) });
    }
    all
}

fn of_texts() -> Vec<Function> {
    use Function::*;
    let mut all = Vec::new();
    for side in [TrimSide::Both, TrimSide::Leading, TrimSide::Trailing] {
        all.extend([" ", "", "éa\0"].map(|text| Trim { side, characters: text.into() }));
    }
    for (from, to) in [("", "x"), ("a", ""), ("a", "aaaa"), ("é", "e"), ("%", "\u{10ffff}")] {
        all.push(Replace { from: from.into(), to: to.into() });
    }
    for part in [i64::MIN, -1, 1, 2, i64::MAX, 0] {
        all.extend(
            ["", "a", "é"]
                .map(|delimiter| SplitPart { delimiter: delimiter.into(), part: IntText(part) }),
        );
    }
    for pattern in ["", "%", "_", "%a%", "\\%", "a%a%a%a%b", "É%", "\\"] {
        let pattern = || pattern.to_owned();
        all.push(Like { pattern: pattern(), escape: Some('\\'), ignore_case: false });
        all.push(Like { pattern: pattern(), escape: None, ignore_case: true });
    }
    all
}

fn hostile(column_type: ColumnType) -> Vec<Option<Datum<'static>>> {
    let ints = [i64::MIN, i64::MIN + 1, -1, 0, 1, 2, i64::MAX - 1, i64::MAX];
    let long = "aé%".repeat(3_000);
    let mut values = match column_type {
        ColumnType::Int64 => ints.map(|int| Some(Datum::Int(int))).to_vec(),
        ColumnType::Timestamp => ints
            .into_iter()
            .chain([1_561_939_200_000_000, 1_582_934_400_000_000, -62_135_596_800_000_001])
            .map(|micros| Some(Datum::Timestamp(micros)))
            .collect(),
        ColumnType::Float64 => {
            let floats =
                [f64::MIN, -1e15, -2.5, -0.5, 0.0, 5e-324, 0.5, 1.0, 2.5, 1e15, 9.3e18, f64::MAX];
            floats.map(|float| Some(Datum::Float(float))).to_vec()
        }
        ColumnType::Text => {
            let texts = [
                "",
                " ",
                "a",
                "A",
                "é",
                "É",
                "ß",
                "ΑΣ",
                "\u{130}",
                "e\u{301}",
                "%",
                "_",
                "\\",
                "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                "\0",
                "\u{10ffff}",
                "NaN",
                "inf",
                "-9223372036854775808",
                "9223372036854775808",
                "1e999",
                "1e-999",
                "-0",
                " 1.5 ",
                "true",
                "2019-02-29",
                "2019-07-01 10:00:00.25",
                "0000-01-01",
                "2019-07-01é",
            ];
            let mut texts = texts.map(|text| Some(Datum::Text(text.into()))).to_vec();
            texts.push(Some(Datum::Text(long.into())));
            texts
        }
        ColumnType::Bool => vec![Some(Datum::Bool(false)), Some(Datum::Bool(true))],
    };
    values.push(None);
    values
}

fn check(function: &Function, of: &[Option<Datum<'static>>], wanted: Option<ColumnType>) {
    let given = apply(function, of);
    assert_eq!(given, apply(function, of), "{function:?}{of:?}");
    let null_counts = matches!(function, Function::Least | Function::Greatest | Function::Concat);
    assert!(null_counts || of.iter().all(Option::is_some) || given.is_none(), "{function:?}{of:?}");
    let Some(given) = given else { return };
    if let Some(wanted) = wanted {
        assert_eq!(given.column_type(), wanted, "{function:?}{of:?}");
    }
    match &given {
        Datum::Float(float) => {
            assert!(
                float.is_finite() && float.to_bits() != (-0.0f64).to_bits(),
                "{function:?}{of:?}"
            );
        }
        Datum::Text(text) => {
            let longest = of.iter().flatten().map(|datum| match datum {
                Datum::Text(text) => text.len(),
                _ => 0,
            });
            assert!(text.len() <= longest.max().unwrap_or(0).max(MADE_TEXT_BYTES_MAX));
        }
        Datum::Int(_) | Datum::Bool(_) | Datum::Timestamp(_) => {}
    }
}

#[test]
fn a05_every_function_has_a_settled_value_of_its_type_on_every_input() {
    for function in every() {
        let mut fits = 0;
        for a in TYPES {
            let result = function.result_type(&[a]);
            fits += usize::from(result.is_some());
            for value in hostile(a) {
                check(&function, &[value], result);
            }
            for b in TYPES {
                let result = function.result_type(&[a, b]);
                fits += usize::from(result.is_some());
                for left in hostile(a) {
                    for right in hostile(b) {
                        check(&function, &[left.clone(), right], result);
                    }
                }
            }
        }
        assert!(fits > 0 || function == Function::Cast { to: ColumnType::Float64 }, "{function:?}");
        check(&function, &[], None);
    }
    for text in hostile(ColumnType::Text) {
        for start in hostile(ColumnType::Int64) {
            for count in hostile(ColumnType::Int64) {
                let of = [text.clone(), start.clone(), count];
                check(&Function::Substring, &of, Some(ColumnType::Text));
            }
        }
    }
}

fn ints(function: Function, x: i64, y: i64) -> Option<i64> {
    match apply(&function, &[Some(Datum::Int(x)), Some(Datum::Int(y))]) {
        Some(Datum::Int(int)) => Some(int),
        _ => None,
    }
}

fn floats(function: Function, of: &[f64]) -> Option<f64> {
    let of: Vec<_> = of.iter().map(|float| Some(Datum::Float(*float))).collect();
    match apply(&function, &of) {
        Some(Datum::Float(float)) => Some(float),
        _ => None,
    }
}

#[test]
fn whole_numbers_stay_exact_or_become_null() {
    use Function::*;
    assert_eq!(ints(Add, 1 << 53, 1), Some((1 << 53) + 1));
    assert_eq!(ints(Add, i64::MAX, 1), None);
    assert_eq!(ints(Subtract, 0, i64::MIN), None);
    assert_eq!(ints(Multiply, i64::MIN, -1), None);
    assert_eq!(ints(Modulo, -7, 3), Some(-1));
    assert_eq!(ints(Modulo, 7, 0), None);
    assert_eq!(ints(Modulo, i64::MIN, -1), Some(0));
    assert_eq!(apply(&Abs, &[Some(Datum::Int(i64::MIN))]), None);
    assert_eq!(apply(&Sign, &[Some(Datum::Int(i64::MIN))]), Some(Datum::Int(-1)));
}

#[test]
fn numbers_round_and_bend_as_said() {
    use Function::*;
    assert_eq!(floats(Round { digits: 0 }, &[-2.5]), Some(-3.0));
    assert_eq!(floats(Round { digits: 2 }, &[1.375]), Some(1.38));
    assert_eq!(floats(Round { digits: -2 }, &[151.0]), Some(200.0));
    assert_eq!(floats(Round { digits: 15 }, &[1e300]), Some(1e300));
    assert_eq!(floats(Truncate { digits: 1 }, &[-1.29]), Some(-1.2));
    assert_eq!(floats(Ceiling, &[-0.5]).map(f64::to_bits), Some(0));
    assert_eq!(floats(SquareRoot, &[-1.0]), None);
    assert_eq!(floats(NaturalLog, &[0.0]), None);
    assert_eq!(floats(LogOf, &[2.0, 8.0]), Some(3.0));
    assert_eq!(floats(LogOf, &[1.0, 8.0]), None);
    assert_eq!(floats(Power, &[-8.0, 1.0 / 3.0]), None);
    assert_eq!(floats(Power, &[0.0, -1.0]), None);
    assert_eq!(floats(Exponential, &[710.0]), None);
    assert_eq!(floats(ArcSine, &[1.5]), None);
    assert_eq!(floats(Modulo, &[-5.5, 2.0]), Some(-1.5));
    assert_eq!(floats(Modulo, &[5.5, 0.0]), None);
    let bucket = |x: f64| {
        let function = WidthBucket { low: bits(0.0), high: bits(10.0), buckets: 5 };
        apply(&function, &[Some(Datum::Float(x))])
    };
    let given = [-0.1, 0.0, 1.9, 2.0, 9.999_999_999_999_998, 10.0, f64::MAX].map(bucket);
    assert_eq!(given, [0, 1, 1, 2, 5, 6, 6].map(|int| Some(Datum::Int(int))));
}

/// Bits that every machine must give: one mathematics, not the system's.
#[test]
fn logarithms_powers_and_angles_are_the_same_bits_everywhere() {
    let given = [
        floats(Function::Exponential, &[1.0]),
        floats(Function::NaturalLog, &[10.0]),
        floats(Function::Log2, &[10.0]),
        floats(Function::Power, &[1.1, 10.0]),
        floats(Function::Sine, &[1e6]),
        floats(Function::Tangent, &[1.0]),
        floats(Function::ArcTangent2, &[1.0, -2.0]),
    ];
    let bits: Vec<String> =
        given.iter().map(|float| format!("{:016x}", float.unwrap().to_bits())).collect();
    assert_eq!(bits, PINNED_BITS);
}

const PINNED_BITS: [&str; 7] = [
    "4005bf0a8b14576a",
    "40026bb1bbb55516",
    "400a934f0979a371",
    "4004bffc0c03023e",
    "bfd6664b2568d867",
    "3ff8eb245cbee3a6",
    "40056c6e7397f5ae",
];

#[test]
fn smallest_and_largest_leave_nulls_out() {
    let of = |function: &Function, of: &[Option<i64>]| {
        let of: Vec<_> = of.iter().map(|int| int.map(Datum::Int)).collect();
        apply(function, &of)
    };
    assert_eq!(of(&Function::Least, &[None, Some(3), Some(2)]), Some(Datum::Int(2)));
    assert_eq!(of(&Function::Greatest, &[Some(3), None, Some(2)]), Some(Datum::Int(3)));
    assert_eq!(of(&Function::Greatest, &[None, None]), None);
}

fn text<'a>(function: Function, of: &[&'a str]) -> Option<Datum<'a>> {
    let of: Vec<_> = of.iter().map(|text| Some(Datum::Text((*text).into()))).collect();
    apply(&function, &of)
}

fn counted(function: Function, of: &str, numbers: &[i64]) -> Option<String> {
    let numbers = numbers.iter().map(|int| Some(Datum::Int(*int)));
    let of: Vec<_> = [Some(Datum::Text(of.into()))].into_iter().chain(numbers).collect();
    match apply(&function, &of) {
        Some(Datum::Text(text)) => Some(text.into_owned()),
        _ => None,
    }
}

fn made(text: &str) -> Option<Datum<'_>> {
    Some(Datum::Text(text.into()))
}

#[test]
fn texts_are_cut_by_characters() {
    use Function::*;
    assert_eq!(counted(Substring, "héllo", &[2, 3]).as_deref(), Some("éll"));
    assert_eq!(counted(Substring, "héllo", &[0, 3]).as_deref(), Some("hé"));
    assert_eq!(counted(Substring, "héllo", &[-5, 3]).as_deref(), Some(""));
    assert_eq!(counted(Substring, "héllo", &[2, -1]), None);
    assert_eq!(counted(Substring, "héllo", &[i64::MAX, i64::MAX]).as_deref(), Some(""));
    assert_eq!(counted(Substring, "héllo", &[i64::MIN, i64::MAX]).as_deref(), Some(""));
    assert_eq!(counted(Substring, "héllo", &[3]).as_deref(), Some("llo"));
    assert_eq!(counted(Left, "héllo", &[2]).as_deref(), Some("hé"));
    assert_eq!(counted(Left, "héllo", &[-2]).as_deref(), Some("hél"));
    assert_eq!(counted(Right, "héllo", &[-1]).as_deref(), Some("éllo"));
    assert_eq!(counted(Right, "héllo", &[9]).as_deref(), Some("héllo"));
    assert_eq!(text(Length, &["e\u{301}é"]), Some(Datum::Int(3)));
    assert_eq!(text(Position, &["héllo", "l"]), Some(Datum::Int(3)));
    assert_eq!(text(Position, &["héllo", ""]), Some(Datum::Int(1)));
    assert_eq!(text(Position, &["", "l"]), Some(Datum::Int(0)));
    let split =
        |delimiter: &str, part| SplitPart { delimiter: delimiter.into(), part: IntText(part) };
    assert_eq!(text(split(",", 2), &["a,b,c"]), made("b"));
    assert_eq!(text(split(",", -1), &["a,b,c"]), made("c"));
    assert_eq!(text(split(",", -3), &["a,b,c"]), made("a"));
    assert_eq!(text(split(",", -4), &["a,b,c"]), made(""));
    assert_eq!(text(split(",", 4), &["a,b,c"]), made(""));
    assert_eq!(text(split("", 1), &["abc"]), made("abc"));
}

#[test]
fn made_texts_are_bounded() {
    use Function::*;
    assert_eq!(text(Upper, &["straße"]), made("STRASSE"));
    assert_eq!(text(Lower, &["ΟΔΟΣ"]), made("οδος"));
    let half = "a".repeat(MADE_TEXT_BYTES_MAX / 2);
    assert!(text(Join, &[&half, &half]).is_some());
    assert_eq!(text(Join, &[&half, &half, "a"]), None);
    assert_eq!(text(Concat, &[&half, &half, "a"]), None);
    assert_eq!(text(Replace { from: "a".into(), to: "bbb".into() }, &[&half]), None);
    let grown = "\u{390}".repeat(MADE_TEXT_BYTES_MAX / 2);
    assert_eq!(text(Upper, &[&grown]), None);
    let long = "b".repeat(3 * MADE_TEXT_BYTES_MAX);
    assert_eq!(text(Replace { from: "a".into(), to: "".into() }, &[&long]), made(&long));
    assert_eq!(text(Replace { from: "a".into(), to: "b".into() }, &["banana"]), made("bbnbnb"));
    assert_eq!(text(Replace { from: "".into(), to: "b".into() }, &["aa"]), made("aa"));
    let some = [Some(Datum::Text("a".into())), None];
    assert_eq!(apply(&Concat, &some), made("a"));
    assert_eq!(apply(&Concat, &[None, None]), made(""));
    assert_eq!(apply(&Join, &some), None);
    let trim = |side, characters: &str| Trim { side, characters: characters.into() };
    assert_eq!(text(trim(TrimSide::Both, " "), &["  a b\t "]), made("a b\t"));
    assert_eq!(text(trim(TrimSide::Leading, "éa"), &["aéxé"]), made("xé"));
    assert_eq!(text(trim(TrimSide::Trailing, "éa"), &["aéxé"]), made("aéx"));
}

#[test]
fn patterns_fit_whole_texts() {
    let fits = |of: &str, pattern: &str, escape, ignore_case| {
        let function = Function::Like { pattern: pattern.into(), escape, ignore_case };
        text(function, &[of]) == Some(Datum::Bool(true))
    };
    for (of, pattern) in [
        ("", ""),
        ("", "%"),
        ("", "%%"),
        ("abc", "abc"),
        ("abc", "a%"),
        ("abc", "%c"),
        ("abc", "a_c"),
        ("é", "_"),
        ("abcabc", "%abc"),
        ("aXbXc", "a%b%c"),
        ("a%c", "a\\%c"),
        ("a\\c", "a\\\\c"),
        ("aab", "%ab"),
        ("mississippi", "%iss%ip%"),
    ] {
        assert!(fits(of, pattern, Some('\\'), false), "{of} {pattern}");
    }
    for (of, pattern) in [
        ("", "_"),
        ("abc", "b"),
        ("abc", "ab"),
        ("abc", "A%"),
        ("axc", "a\\%c"),
        ("é", "__"),
        ("mississippi", "%iss%ix%"),
    ] {
        assert!(!fits(of, pattern, Some('\\'), false), "{of} {pattern}");
    }
    assert!(fits("a\\c", "a\\c", None, false));
    assert!(fits("a%", "a!%", Some('!'), false));
    assert!(fits("ÉCOLE", "é%", Some('\\'), true));
    // Where matching would branch at each %, it would not end.
    let of = "a".repeat(20_000);
    let pattern = format!("{}b", "a%".repeat(500));
    assert!(!fits(&of, &pattern, None, false));
    assert!(is_pattern("a\\%", Some('\\')) && is_pattern("a\\", None));
    assert!(!is_pattern("a\\", Some('\\')) && is_pattern("a\\\\", Some('\\')));
}

fn time(text: &str) -> i64 {
    parse_time(text).unwrap()
}

fn at(function: Function, text: &str) -> Option<Datum<'static>> {
    apply(&function, &[Some(Datum::Timestamp(time(text)))])
}

#[test]
fn units_start_where_the_calendar_says() {
    let of = "2019-08-14 15:16:17.25";
    let starts = [
        "2019-01-01",
        "2019-07-01",
        "2019-08-01",
        "2019-08-12",
        "2019-08-14",
        "2019-08-14 15:00:00",
        "2019-08-14 15:16:00",
        "2019-08-14 15:16:17",
    ];
    for (unit, start) in UNITS.into_iter().zip(starts) {
        assert_eq!(at(Function::DateTrunc { unit }, of), Some(Datum::Timestamp(time(start))));
        assert_eq!(truncated(unit, time(start)), Some(time(start)), "a start is its own");
        assert_eq!(
            truncated(unit, time(start) - 1).and_then(|before| next_unit(unit, before)),
            Some(time(start))
        );
        assert_eq!(truncated(unit, i64::MIN), None, "the first unit starts before int64");
        assert!(truncated(unit, i64::MAX).is_some());
    }
    let days = |from: &str, to: &str, unit| {
        let of = [from, to].map(|text| Some(Datum::Timestamp(time(text))));
        apply(&Function::DateDiff { unit }, &of)
    };
    let int = |int| Some(Datum::Int(int));
    assert_eq!(days("2019-07-01 23:59:59", "2019-07-02", DateUnit::Day), int(1));
    assert_eq!(days("2019-07-02", "2019-07-01 23:59:59", DateUnit::Day), int(-1));
    assert_eq!(days("2019-12-31", "2020-01-01", DateUnit::Year), int(1));
    assert_eq!(days("2019-08-11", "2019-08-12", DateUnit::Week), int(1));
    assert_eq!(days("2018-11-30", "2020-02-01", DateUnit::Month), int(15));
    assert_eq!(days("2018-11-30", "2020-02-01", DateUnit::Quarter), int(5));
    assert_eq!(days("1969-12-31 23:59:59.9", "1970-01-01", DateUnit::Second), int(1));
}

#[test]
fn fields_are_those_of_iso_8601() {
    let fields = |text: &str| {
        FIELDS.map(|field| match at(Function::DatePart { field }, text) {
            Some(Datum::Int(int)) => int,
            other => panic!("{other:?}"),
        })
    };
    assert_eq!(fields("2019-08-14 15:16:17.25"), [2019, 2019, 3, 8, 33, 14, 3, 3, 226, 15, 16, 17]);
    assert_eq!(fields("2021-01-03 00:00:00"), [2021, 2020, 1, 1, 53, 3, 0, 7, 3, 0, 0, 0]);
    assert_eq!(fields("2018-12-31"), [2018, 2019, 4, 12, 1, 31, 1, 1, 365, 0, 0, 0]);
    assert_eq!(fields("1969-12-31 23:59:59"), [1969, 1970, 4, 12, 1, 31, 3, 3, 365, 23, 59, 59]);
    assert_eq!(fields("2020-12-31")[8], 366);
    assert_eq!(at(Function::Epoch, "1970-01-01 00:00:01.5"), Some(Datum::Float(1.5)));
}

#[test]
fn intervals_keep_the_day_within_the_month() {
    let add = |text: &str, months: i32, days: i64| {
        let micros = IntText(days * 86_400_000_000);
        match at(Function::AddInterval { months, micros }, text) {
            Some(Datum::Timestamp(micros)) => cloister_terms::Moment(micros).to_string(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(add("2019-01-31", 1, 0), "2019-02-28");
    assert_eq!(add("2020-01-31 10:00:00", 1, 0), "2020-02-29 10:00:00");
    assert_eq!(add("2020-02-29", 12, 0), "2021-02-28");
    assert_eq!(add("2020-03-31", -1, 1), "2020-03-01");
    assert_eq!(add("1970-01-01", -1, 0), "1969-12-01");
    assert_eq!(add("2020-12-15", 1, 30), "2021-02-14");
}

#[test]
fn a_cast_that_fails_is_null() {
    let to = |of: Datum<'static>, to| apply(&Function::Cast { to }, &[Some(of)]);
    let text = |of: &'static str| Datum::Text(of.into());
    use ColumnType::*;
    assert_eq!(to(text(" -12 "), Int64), Some(Datum::Int(-12)));
    assert_eq!(to(text("9223372036854775808"), Int64), None);
    for bad in ["", "1.0", "0x1", "1e3", "--1", "１"] {
        assert_eq!(to(text(bad), Int64), None, "{bad}");
    }
    assert_eq!(to(text("1.5e3"), Float64), Some(Datum::Float(1500.0)));
    for bad in ["", "NaN", "inf", "infinity", "1e999", "1_0", ".", "e1"] {
        assert_eq!(to(text(bad), Float64), None, "{bad}");
    }
    assert_eq!(to(text("-0"), Float64), Some(Datum::Float(0.0)));
    assert_eq!(to(text("Yes"), Bool), Some(Datum::Bool(true)));
    assert_eq!(to(text("maybe"), Bool), None);
    assert_eq!(
        to(text("2019-07-01T10:00:00"), Timestamp),
        Some(Datum::Timestamp(time("2019-07-01 10:00:00")))
    );
    assert_eq!(to(text("2019-02-29"), Timestamp), None);
    assert_eq!(to(Datum::Float(2.5), Int64), Some(Datum::Int(2)));
    assert_eq!(to(Datum::Float(-3.5), Int64), Some(Datum::Int(-4)));
    assert_eq!(to(Datum::Float(9_223_372_036_854_775_808.0), Int64), None);
    assert_eq!(to(Datum::Float(-9_223_372_036_854_775_808.0), Int64), Some(Datum::Int(i64::MIN)));
    assert_eq!(to(Datum::Float(0.1), Text), made("0.1"));
    assert_eq!(to(Datum::Int(i64::MIN), Text), made("-9223372036854775808"));
    assert_eq!(to(Datum::Int(-3), Bool), Some(Datum::Bool(true)));
    assert_eq!(to(Datum::Bool(true), Int64), Some(Datum::Int(1)));
    assert_eq!(to(Datum::Timestamp(0), Text), made("1970-01-01 00:00:00"));
    assert_eq!(to(Datum::Timestamp(1_500_000), Text), made("1970-01-01 00:00:01.500000"));
    assert_eq!(to(Datum::Timestamp(i64::MIN), Text), None);
    for micros in [time("0001-01-01"), time("9999-12-31 23:59:59.999999"), 1] {
        let Some(Datum::Text(written)) = to(Datum::Timestamp(micros), Text) else { panic!() };
        assert_eq!(parse_time(&written), Some(micros), "what is written can be read");
    }
}

#[test]
fn a13_a_pattern_on_a_long_text_is_matched_in_steps_of_the_text_alone() {
    // Going back would take a thousand steps for each of 65,536 characters.
    let like = |pattern: &str, of: &str| {
        let pattern = pattern.to_owned();
        let like = Function::Like { pattern, escape: None, ignore_case: false };
        matches!(text(like, &[of]), Some(Datum::Bool(true)))
    };
    let (run, long) = ("a".repeat(1_000), "a".repeat(64 << 10));
    assert!(!like(&format!("%{run}b"), &long));
    assert!(like(&format!("%{run}_b%"), &format!("{long}cb")));
    assert!(!like(&format!("%{run}_b%"), &format!("{long}c")));
}
