//! Hostile frames against the codec: each ends in a typed error, on either side.
//!
//! Must never pass a frame that was cut, stretched or changed in a length.

use crate::frames::{
    Abort, Answer, Counters, FrameError, Pair, PersonOutput, ReadError, Refusal, Request, Setup,
    read_answer, read_frame, read_request, write_answer, write_batch, write_finish, write_setup,
};
use crate::limits::{FRAME_BYTES_MAX, FUEL_PER_PERSON_MAX, ROW_CAP_MAX};
use crate::persons::{PersonRows, Persons};
use crate::shape::{DenseNumbers, OutputLayout};
use crate::worker::{WorkerError, serve};
use crate::{ColumnData, ColumnKind, PersonBatch, Shape, ShapeError};

fn shape() -> Shape {
    Shape::new(3, vec![ColumnKind::Int, ColumnKind::Code], 2).unwrap()
}

fn setup() -> Setup {
    Setup { wasm: vec![1, 2, 3], shape: shape(), fuel_per_person: 5 }
}

/// The frame that `write` writes, without its length word.
fn frame(write: impl FnOnce(&mut Vec<u8>) -> std::io::Result<()>) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut bytes).unwrap();
    let length = u32::from_le_bytes(*bytes.first_chunk().unwrap());
    assert_eq!(length as usize, bytes.len() - 4);
    bytes.split_off(4)
}

fn answers() -> Vec<Answer> {
    let pairs = vec![Pair { index: 7, value: -1 }, Pair { index: u32::MAX, value: i64::MIN }];
    vec![
        Answer::Ready { sha256: [9; 32] },
        Answer::Refused(Refusal { reason: "import".to_owned(), detail: "why".to_owned() }),
        Answer::Outputs([PersonOutput::Default, PersonOutput::Pairs(pairs)].into_iter().collect()),
        Answer::Aborted(Abort::Sandbox),
        Answer::Aborted(Abort::Protocol),
        Answer::Finished(Counters { persons: 1, traps: 2, ..Counters::default() }),
    ]
}

#[test]
fn every_answer_comes_back_as_it_went() {
    for answer in answers() {
        let bytes = frame(|out| write_answer(out, &answer));
        assert_eq!(read_answer(&bytes, 2, 2), Ok(answer));
    }
}

#[test]
fn every_answer_cut_or_stretched_is_an_error() {
    for answer in answers() {
        let mut bytes = frame(|out| write_answer(out, &answer));
        for end in 0..bytes.len() {
            let error = read_answer(&bytes[..end], 2, 2).unwrap_err();
            assert!(
                matches!(error, FrameError::Truncated { .. }),
                "{answer:?} cut at {end}: {error}"
            );
        }
        bytes.push(0);
        assert_eq!(read_answer(&bytes, 2, 2), Err(FrameError::Trailing { bytes: 1 }));
    }
}

#[test]
fn a_worker_that_lies_about_outputs_is_caught() {
    let pairs = PersonOutput::Pairs(vec![Pair { index: 0, value: 1 }; 3]);
    let outputs = Answer::Outputs([pairs].into_iter().collect());
    let mut bytes = frame(|out| write_answer(out, &outputs));
    assert_eq!(read_answer(&bytes, 2, 3), Err(FrameError::Persons { found: 1, want: 2 }));
    let many = FrameError::TooMany { what: "pairs", found: 3, max: 2 };
    assert_eq!(read_answer(&bytes, 1, 2), Err(many));
    // Tag, persons, then the count of pairs; all bits set would be the default contribution.
    bytes[5..9].copy_from_slice(&[0xfe, 0xff, 0xff, 0xff]);
    assert!(matches!(read_answer(&bytes, 1, 3), Err(FrameError::TooMany { .. })));
    bytes[5..9].fill(0xff);
    assert_eq!(read_answer(&bytes, 1, 3), Err(FrameError::Trailing { bytes: 36 }));
    assert_eq!(read_answer(&[1], 1, 3), Err(FrameError::Tag { tag: 1 }));
    let abort = FrameError::Choice { what: "reason to abort", byte: 9 };
    assert_eq!(read_answer(&[20, 9], 0, 1), Err(abort));
    let text = [18, 1, 0, 0, 0, 0xff, 0, 0, 0, 0];
    assert_eq!(read_answer(&text, 0, 1), Err(FrameError::Text));
    let long = [18, 0xff, 0xff, 0, 0];
    assert!(matches!(read_answer(&long, 0, 1), Err(FrameError::TooMany { .. })));
}

#[test]
fn a_setup_comes_back_as_it_went_and_hostile_ones_do_not() {
    let bytes = frame(|out| write_setup(out, &setup()));
    let Ok(Request::Setup(same)) = read_request(&bytes) else { panic!("no setup") };
    assert_eq!(same, setup());
    for layout in [OutputLayout::Dense(DenseNumbers::Ints), OutputLayout::FloatPairs] {
        let other = Setup { shape: shape().with_layout(layout), ..setup() };
        let bytes = frame(|out| write_setup(out, &other));
        assert!(matches!(read_request(&bytes), Ok(Request::Setup(same)) if same == other));
    }
    for end in 0..bytes.len() {
        assert!(matches!(read_request(&bytes[..end]), Err(FrameError::Truncated { .. })));
    }
    let with = |at: usize, patch: &[u8]| {
        let mut bytes = bytes.clone();
        bytes[at..at + patch.len()].copy_from_slice(patch);
        read_request(&bytes).map(|_| ()).unwrap_err()
    };
    let shape = |error| FrameError::Shape(error);
    assert_eq!(with(1, &[0; 4]), shape(ShapeError::RowCap { row_cap: 0 }));
    let over = ROW_CAP_MAX + 1;
    assert_eq!(with(1, &over.to_le_bytes()), shape(ShapeError::RowCap { row_cap: over }));
    assert_eq!(with(5, &[0; 4]), shape(ShapeError::Outputs { outputs_max: 0 }));
    let layout = FrameError::Choice { what: "layout of outputs", byte: 5 };
    assert_eq!(with(9, &[5]), layout);
    assert!(with(9, &[0]) != layout);
    let fuel = FUEL_PER_PERSON_MAX + 1;
    assert!(
        matches!(with(10, &fuel.to_le_bytes()), FrameError::TooMany { found, .. } if found == fuel)
    );
    assert!(matches!(with(18, &[0xff; 4]), FrameError::TooMany { what: "columns", .. }));
    assert_eq!(with(22, &[4]), FrameError::Choice { what: "column kind", byte: 4 });
    assert!(matches!(with(24, &[0xff; 4]), FrameError::TooMany { what: "module bytes", .. }));
    assert_eq!(with(24, &[2, 0, 0, 0]), FrameError::Trailing { bytes: 1 });
    assert_eq!(with(24, &[4, 0, 0, 0]), FrameError::Truncated { missing: 1 });
}

#[test]
fn a_batch_comes_back_as_it_went_and_hostile_ones_do_not() {
    let mut batch = PersonBatch::new(&shape());
    let int = ColumnData::Int { values: &[5, 6], valid: &[true, false] };
    let code = ColumnData::Code { values: &[7, 8], valid: &[true, true] };
    batch.push_person(2, &[int, code]).unwrap();
    let bytes = frame(|out| write_batch(out, &batch));
    let Ok(Request::Batch(body)) = read_request(&bytes) else { panic!("no batch") };
    let persons = Persons::read(body, &shape()).unwrap();
    assert_eq!(persons.iter().collect::<Vec<_>>(), [PersonRows { first: 0, rows: 2 }]);
    let [int, code] = persons.columns.as_slice() else { panic!("not two columns") };
    assert_eq!(int.valid, Some(&[1_u64.to_le_bytes()][..]));
    assert_eq!(int.values, [5_i64, 0].map(i64::to_le_bytes).concat());
    assert_eq!((code.valid, code.values.len()), (None, 16));
    for end in 0..body.len() {
        let error = Persons::read(&body[..end], &shape()).map(|_| ()).unwrap_err();
        assert!(matches!(error, FrameError::Truncated { .. }));
    }
    let with = |at: usize, patch: &[u8]| {
        let mut body = body.to_vec();
        body[at..at + patch.len()].copy_from_slice(patch);
        Persons::read(&body, &shape()).map(|_| ()).unwrap_err()
    };
    assert!(matches!(with(0, &[0xff; 4]), FrameError::TooMany { what: "persons", .. }));
    assert!(matches!(with(0, &[0, 0, 1, 0]), FrameError::Truncated { .. }));
    assert_eq!(with(4, &[4]), FrameError::TooMany { what: "rows", found: 4, max: 3 });
    // Count, rows, then the first column's validity.
    assert_eq!(with(8, &[2]), FrameError::Choice { what: "kind of validity", byte: 2 });
    assert!(matches!(with(4, &[3]), FrameError::Truncated { .. } | FrameError::Choice { .. }));
    assert!(matches!(with(4, &[1]), FrameError::Trailing { .. } | FrameError::Choice { .. }));
    assert_eq!(with(9, &[4]), FrameError::BitmapPastRows);
    assert_eq!(with(16, &[0x80]), FrameError::BitmapPastRows);
    // Outputs that no frame could carry.
    let wide = Shape::new(1, vec![ColumnKind::Int], crate::limits::OUTPUTS_MAX).unwrap();
    let many = [&1000_u32.to_le_bytes()[..], &[0; 4000], &[0]].concat();
    assert!(matches!(
        Persons::read(&many, &wide).map(|_| ()),
        Err(FrameError::TooMany { what: "bytes of output", .. })
    ));
}

#[test]
fn a_stream_that_lies_about_lengths_is_caught() {
    let mut buffer = Vec::new();
    let mut read = |bytes: &[u8]| read_frame(&mut &bytes[..], &mut buffer).unwrap_err();
    let short = |missing| ReadError::Frame(FrameError::Truncated { missing });
    assert_eq!(read(&[]), ReadError::Closed);
    assert_eq!(read(&[1, 0]), short(2));
    assert_eq!(read(&[0, 0, 0, 0]), short(1));
    assert_eq!(read(&[9, 0, 0, 0, 3]), short(8));
    let over = FRAME_BYTES_MAX + 1;
    assert_eq!(read(&over.to_le_bytes()), FrameError::TooLong { bytes: over }.into());
    // The longest frame announced, nothing sent: no room is reserved for it.
    assert_eq!(read(&FRAME_BYTES_MAX.to_le_bytes()), short(FRAME_BYTES_MAX.into()));
    assert!(buffer.capacity() < 1 << 16);
}

thread_local! {
    /// Bytes that the last frame read here erased behind itself.
    pub(super) static ERASED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

#[test]
fn a_short_frame_leaves_nothing_of_a_longer_one_behind_it() {
    const LONGEST: usize = 100_000;
    let mut buffer = Vec::new();
    for (length, before) in [(LONGEST, LONGEST), (7, LONGEST), (90_000, 7), (1, 90_000)] {
        let frame = [&(length as u32).to_le_bytes()[..], &vec![0x77; length]].concat();
        read_frame(&mut frame.as_slice(), &mut buffer).unwrap();
        assert_eq!(buffer, vec![0x77; length]);
        // Whatever the longer one counted as its own.
        assert!(ERASED.get() >= before.saturating_sub(length), "{length} after {before}");
    }
}

#[test]
fn a_worker_says_that_the_job_is_over_before_it_ends() {
    let over = |input: &[u8]| {
        let mut output = Vec::new();
        let error = serve(input, &mut output).unwrap_err();
        let answer = read_answer(&output[4..], 0, 1);
        assert_eq!(answer, Ok(Answer::Aborted(Abort::Protocol)));
        error
    };
    assert_eq!(over(&[]), WorkerError::Read(ReadError::Closed));
    assert_eq!(over(&[1, 0, 0, 0, 99]), FrameError::Tag { tag: 99 }.into());
    let mut finish = Vec::new();
    write_finish(&mut finish).unwrap();
    assert_eq!(over(&finish), WorkerError::Order { frame: "finish" });
    let mut batch = Vec::new();
    write_batch(&mut batch, &PersonBatch::new(&shape())).unwrap();
    assert_eq!(over(&batch), WorkerError::Order { frame: "batch" });
    let mut greedy = setup();
    greedy.fuel_per_person = u64::MAX;
    let mut bytes = Vec::new();
    write_setup(&mut bytes, &greedy).unwrap();
    assert!(matches!(
        over(&bytes),
        WorkerError::Read(ReadError::Frame(FrameError::TooMany { .. }))
    ));
}

#[test]
fn a_module_that_is_refused_ends_the_worker_without_error() {
    let mut bytes = Vec::new();
    write_setup(&mut bytes, &setup()).unwrap();
    let mut output = Vec::new();
    assert_eq!(serve(bytes.as_slice(), &mut output), Ok(()));
    let answer = read_answer(&output[4..], 0, 1);
    assert!(matches!(answer, Ok(Answer::Refused(refusal)) if refusal.reason == "not_wasm"));
}
