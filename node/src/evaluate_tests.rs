//! Tests of the evaluator against the rules at the head of `cloister_plan::expr`.

use super::*;
use cloister_plan::FloatBits;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn col(text: &str) -> Box<Expr> {
    Box::new(Expr::Column { name: name(text) })
}

fn lit(value: Literal) -> Box<Expr> {
    Box::new(Expr::Literal { value })
}

fn float(value: f64) -> Box<Expr> {
    lit(Literal::Float(FloatBits::new(value).unwrap()))
}

fn text(value: &str) -> Box<Expr> {
    lit(Literal::Text(value.to_owned()))
}

/// Four rows of every type.
fn run(expr: &Expr) -> ArrayRef {
    let names = ["i", "f", "g", "t", "b", "s"].map(name);
    let arrays: [ArrayRef; 6] = [
        Arc::new(Int64Array::from(vec![Some(1), Some(i64::MAX), None, Some(i64::MIN)])),
        Arc::new(Float64Array::from(vec![Some(0.0), Some(1e308), Some(-2.5), None])),
        Arc::new(Float64Array::from(vec![Some(0.0), Some(1e308), Some(0.0), Some(1.0)])),
        Arc::new(StringArray::from(vec![Some("a"), Some("B"), None, Some("é")])),
        Arc::new(BooleanArray::from(vec![Some(true), Some(false), None, Some(true)])),
        Arc::new(TimestampMicrosecondArray::from(vec![Some(0), Some(-1), None, Some(5)])),
    ];
    evaluate(expr, Columns { names: &names, arrays: &arrays, rows: 4 }).unwrap()
}

fn bools(expr: &Expr) -> Vec<Option<bool>> {
    run(expr).as_boolean().iter().collect()
}

fn floats(expr: &Expr) -> Vec<Option<f64>> {
    run(expr).as_primitive::<Float64Type>().iter().collect()
}

fn compare_to(left: Box<Expr>, op: CompareOp, right: Box<Expr>) -> Expr {
    Expr::Compare { op, left, right }
}

fn arithmetic(op: ArithmeticOp, left: Box<Expr>, right: Box<Expr>) -> Expr {
    Expr::Arithmetic { op, left, right }
}

#[test]
fn a05_arithmetic_is_total_and_settled() {
    use ArithmeticOp::*;
    let of = |op| floats(&arithmetic(op, col("f"), col("g")));
    assert_eq!(of(Divide), [None, Some(1.0), None, None]);
    assert_eq!(of(Multiply)[..3], [Some(0.0), None, Some(0.0)]);
    assert_eq!(of(Add), [Some(0.0), None, Some(-2.5), None]);
    assert_eq!(of(Subtract), [Some(0.0), Some(0.0), Some(-2.5), None]);
    // -2.5 * 0 is -0 in IEEE arithmetic, and 0 here.
    assert_eq!(of(Multiply)[2].map(f64::to_bits), Some(0));
    let negated = floats(&Expr::Negate { of: col("f") });
    assert_eq!(negated[0].map(f64::to_bits), Some(0));
    assert_eq!(negated[1..], [Some(-1e308), Some(2.5), None]);
    let settled = settle(&Float64Array::from(vec![
        Some(f64::NAN),
        Some(-0.0),
        None,
        Some(f64::NEG_INFINITY),
        Some(3.0),
    ]));
    assert_eq!(settled.iter().collect::<Vec<_>>(), [None, Some(0.0), None, None, Some(3.0)]);
    assert_eq!(settled.value(1).to_bits(), 0);
}

#[test]
fn comparisons_are_three_valued_in_every_type() {
    let over = |left, right| bools(&compare_to(left, CompareOp::Greater, right));
    assert_eq!(over(col("i"), lit(Literal::int(0))), [Some(true), Some(true), None, Some(false)]);
    assert_eq!(over(col("t"), text("a")), [Some(false), Some(false), None, Some(true)]);
    assert_eq!(over(col("f"), col("g")), [Some(false), Some(false), Some(false), None]);
    assert_eq!(
        over(col("b"), lit(Literal::Bool(false))),
        [Some(true), Some(false), None, Some(true)]
    );
    let before =
        compare_to(col("s"), CompareOp::Less, lit(Literal::Timestamp(cloister_plan::IntText(0))));
    assert_eq!(bools(&before), [Some(false), Some(true), None, Some(false)]);
    let null = Box::new(Expr::Null { column_type: ColumnType::Int64 });
    assert_eq!(over(col("i"), null), [None; 4]);
}

#[test]
fn logic_is_three_valued_and_takes_constants() {
    let yes = *lit(Literal::Bool(true));
    let null = Expr::Null { column_type: ColumnType::Bool };
    let b = *col("b");
    assert_eq!(
        bools(&Expr::And { all: vec![b.clone(), null.clone()] }),
        [None, Some(false), None, None]
    );
    assert_eq!(
        bools(&Expr::Or { any: vec![null.clone(), b.clone(), yes.clone()] }),
        [Some(true); 4]
    );
    assert_eq!(bools(&Expr::Or { any: vec![yes, null.clone()] }), [Some(true); 4]);
    assert_eq!(bools(&Expr::Not { of: col("b") }), [Some(false), Some(true), None, Some(false)]);
    assert_eq!(
        bools(&Expr::IsNull { of: col("t") }),
        [Some(false), Some(false), Some(true), Some(false)]
    );
    let between = Expr::Between {
        of: col("i"),
        low: lit(Literal::int(1)),
        high: Box::new(Expr::Null { column_type: ColumnType::Int64 }),
    };
    // 1 <= i is false for the last row, and false AND unknown is false.
    assert_eq!(bools(&between), [None, None, None, Some(false)]);
}

#[test]
fn lists_agree_whatever_their_length() {
    let texts = |count: usize| {
        let filler = (0..count).map(|i| Literal::Text(format!("x{i}")));
        Expr::InList { of: col("t"), list: filler.chain([Literal::Text("é".into())]).collect() }
    };
    let ints = |count: i64| {
        let filler = (100..100 + count).map(Literal::int);
        Expr::InList { of: col("i"), list: filler.chain([Literal::int(i64::MIN)]).collect() }
    };
    for count in [0, 100] {
        assert_eq!(bools(&texts(count)), [Some(false), Some(false), None, Some(true)]);
        assert_eq!(bools(&ints(count as i64)), [Some(false), Some(false), None, Some(true)]);
    }
    let one = Expr::InList { of: lit(Literal::int(3)), list: vec![Literal::int(3)] };
    assert_eq!(bools(&one), [Some(true); 4]);
}

#[test]
fn a_case_takes_the_first_branch_that_is_true() {
    let branch = |when: Expr, then: f64| Branch { when, then: *float(then) };
    let searched = Expr::Case {
        operand: None,
        branches: vec![
            branch(compare_to(col("i"), CompareOp::Greater, lit(Literal::int(1))), 10.0),
            branch(compare_to(col("i"), CompareOp::Greater, lit(Literal::int(0))), 20.0),
        ],
        otherwise: None,
    };
    assert_eq!(floats(&searched), [Some(20.0), Some(10.0), None, None]);
    let simple = Expr::Case {
        operand: Some(col("t")),
        branches: vec![branch(*text("a"), 1.0), branch(*text("B"), 2.0)],
        otherwise: Some(Box::new(*col("f"))),
    };
    assert_eq!(floats(&simple), [Some(1.0), Some(2.0), Some(-2.5), None]);
}

#[test]
fn nulls_are_filled_made_and_kept() {
    let filled = Expr::Coalesce { of: vec![*col("f"), *col("g"), *float(9.0)] };
    assert_eq!(floats(&filled), [Some(0.0), Some(1e308), Some(-2.5), Some(1.0)]);
    let made = Expr::NullIf { left: col("t"), right: text("a") };
    assert_eq!(
        run(&made).as_string::<i32>().iter().collect::<Vec<_>>(),
        [None, Some("B"), None, Some("é")]
    );
    let never = Expr::NullIf { left: text("a"), right: text("a") };
    assert_eq!(run(&never).null_count(), 4);
    let clamped = Expr::Clamp { of: col("i"), low: Literal::int(-5), high: Literal::int(5) };
    assert_eq!(
        run(&clamped).as_primitive::<Int64Type>().iter().collect::<Vec<_>>(),
        [Some(1), Some(5), None, Some(-5)]
    );
    let widened = Expr::ToFloat { of: col("i") };
    assert_eq!(floats(&widened)[1], Some(9_223_372_036_854_775_807_i64 as f64));
}

#[test]
fn a_plan_that_does_not_fit_is_a_typed_error() {
    let names = [name("i")];
    let arrays: [ArrayRef; 1] = [Arc::new(Int64Array::from(vec![1]))];
    let columns = Columns { names: &names, arrays: &arrays, rows: 1 };
    assert!(matches!(evaluate(&col("x"), columns), Err(EvaluateError::NoColumn(_))));
    let mixed = compare_to(col("i"), CompareOp::Equal, text("1"));
    assert!(matches!(evaluate(&mixed, columns), Err(EvaluateError::Arrow(_))));
    let ints = arithmetic(ArithmeticOp::Add, col("i"), col("i"));
    assert!(matches!(evaluate(&ints, columns), Err(EvaluateError::Type { .. })));
    assert!(evaluate(&Expr::And { all: vec![] }, columns).is_err());
    assert!(evaluate(&Expr::Coalesce { of: vec![] }, columns).is_err());
    let hollow = Expr::Case { operand: None, branches: vec![], otherwise: None };
    assert!(evaluate(&hollow, columns).is_err());
    let strange = Expr::InList { of: col("i"), list: vec![Literal::Text("1".into())] };
    assert!(evaluate(&strange, columns).is_err());
}

#[test]
fn a26_what_is_null_holds_no_bytes_and_counts_none() {
    // Bytes behind a NULL would be counted or not by how the other rows of a batch were treated.
    let array = run(&Expr::NullIf { left: col("t"), right: col("t") });
    let texts = array.as_string::<i32>();
    assert_eq!((texts.null_count(), texts.value_data().len()), (4, 0));
    let kept = StringArray::from(vec![Some("abc"), Some("de"), Some("f")]);
    let mask = BooleanArray::from(vec![true, false, false]);
    let hidden = nullif::nullif(&kept, &mask).unwrap();
    let hidden = hidden.as_string::<i32>();
    assert_eq!(hidden.value_data().len(), 6, "the kernel keeps what it hides");
    assert_eq!(crate::row_bytes::known_text_bytes(hidden, 0..3), 3);
    assert_eq!(crate::row_bytes::known_text_bytes(hidden, 0..1), 0);
    let rebuilt: StringArray = hidden.iter().collect();
    assert_eq!(crate::row_bytes::known_text_bytes(&rebuilt, 0..3), 3);
}
