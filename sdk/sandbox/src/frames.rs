//! What travels between client and worker: length-prefixed frames in a fixed little-endian encoding.
//!
//! Must never allocate by a length that the other side merely states, nor accept a byte too many.
//!
//! A frame is a u32 length, a tag byte, a body. Client to worker: setup, batch, finish. Worker to client:
//! ready or refused, outputs or aborted, finished. Both sides read as if the other were hostile: the worker
//! because a library may be misused, the client because a module may have broken out of the worker.

use std::io::{self, IoSlice, Read, Write};

use crate::batch::PersonBatch;
use crate::limits::{COLUMNS_MAX, FRAME_BYTES_MAX, FUEL_PER_PERSON_MAX, REFUSAL_TEXT_BYTES_MAX};
use crate::outputs::DEFAULT_COUNT;
use crate::persons::{ALL_VALID, BITMAP};
use crate::shape::{ColumnKind, OutputLayout, Shape, ShapeError};

pub use crate::outputs::{Outputs, Pair, PersonOutput};

/// Longest module that a setup frame can carry; the vetter's own limit is far below.
const SETUP_WASM_BYTES_MAX: u64 = (FRAME_BYTES_MAX as u64) / 2;

/// Room for the first bytes of a frame.
const FIRST_ROOM_BYTES: usize = 32 << 10;

const TAG_SETUP: u8 = 1;
const TAG_BATCH: u8 = 2;
const TAG_FINISH: u8 = 3;
const TAG_READY: u8 = 17;
const TAG_REFUSED: u8 = 18;
const TAG_OUTPUTS: u8 = 19;
const TAG_ABORTED: u8 = 20;
const TAG_FINISHED: u8 = 21;

/// Everything a worker needs before the first person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    /// The module; the worker vets it itself.
    pub wasm: Vec<u8>,
    /// Rows, columns and outputs.
    pub shape: Shape,
    /// Fuel for each person, the same for all.
    pub fuel_per_person: u64,
}

impl Setup {
    /// Refuses numbers that a worker would refuse, before anything is sent.
    ///
    /// # Errors
    /// [`FrameError::TooMany`] names the number and its limit.
    pub fn check(&self) -> Result<(), FrameError> {
        bounded("units of fuel", self.fuel_per_person, FUEL_PER_PERSON_MAX)?;
        bounded("module bytes", self.wasm.len() as u64, SETUP_WASM_BYTES_MAX)
    }
}

/// Local counts of a job. They depend on the data and must stay inside the node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Persons run.
    pub persons: u64,
    /// Persons whose run trapped.
    pub traps: u64,
    /// Persons whose run used up its fuel.
    pub out_of_fuel: u64,
    /// Persons whose run used up its stack.
    pub stack_overflows: u64,
    /// Persons whose run returned a number or a pair that the interface does not allow.
    pub bad_returns: u64,
}

/// Why the worker refused a setup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Stable name: [`crate::VetError::reason`] or [`crate::CompileError::reason`].
    pub reason: String,
    /// One sentence that says what to do.
    pub detail: String,
}

/// Why the worker gave up a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abort {
    /// The engine or the machine failed.
    Sandbox,
    /// The client's frames were wrong.
    Protocol,
}

/// A frame that breaks the protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The length word passes the limit.
    #[error(
        "a frame of `{bytes}` bytes was announced, at most {FRAME_BYTES_MAX} are allowed: send less"
    )]
    TooLong {
        /// As announced.
        bytes: u32,
    },
    /// The frame ends before its contents.
    #[error("the frame ends early, {missing} bytes are missing: send it whole")]
    Truncated {
        /// Bytes short.
        missing: u64,
    },
    /// The frame goes on after its contents.
    #[error("{bytes} bytes follow the frame's contents: send none")]
    Trailing {
        /// Bytes left over.
        bytes: usize,
    },
    /// A tag that nobody sends, or not here.
    #[error("frame tag `{tag}` is not expected here: keep to setup, batch, finish")]
    Tag {
        /// As read.
        tag: u8,
    },
    /// A one-byte choice with an unknown value.
    #[error("`{byte}` is no {what}: use the values in frames.rs")]
    Choice {
        /// What was read.
        what: &'static str,
        /// As read.
        byte: u8,
    },
    /// A count or number past its limit.
    #[error("{found} {what} were announced, at most {max} are allowed: send fewer")]
    TooMany {
        /// What was counted.
        what: &'static str,
        /// As read.
        found: u64,
        /// The limit.
        max: u64,
    },
    /// The validity bitmap marks rows that do not exist.
    #[error("a validity bitmap marks rows past the last: clear them")]
    BitmapPastRows,
    /// The answer holds another number of persons than the batch.
    #[error("{found} outputs answer {want} persons: the worker is broken, restart it")]
    Persons {
        /// As read.
        found: u64,
        /// As sent.
        want: u64,
    },
    /// A text that is not UTF-8.
    #[error("a text is not UTF-8: the worker is broken, restart it")]
    Text,
    /// The shape is refused.
    #[error(transparent)]
    Shape(#[from] ShapeError),
}

/// Why no frame could be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The other side closed the stream between frames.
    #[error("the other side closed the stream")]
    Closed,
    /// The stream failed.
    #[error("the stream failed: {0}")]
    Io(io::ErrorKind),
    /// The frame is wrong.
    #[error(transparent)]
    Frame(#[from] FrameError),
}

/// What a worker is asked.
pub(crate) enum Request<'f> {
    Setup(Setup),
    /// Undecoded: its meaning depends on the shape, see [`crate::persons::Persons::read`].
    Batch(&'f [u8]),
    Finish,
}

/// What a worker answers.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Ready { sha256: [u8; 32] },
    Refused(Refusal),
    Outputs(Outputs),
    Aborted(Abort),
    Finished(Counters),
}

/// Reads one frame into `buffer`: tag, then body. The buffer grows only as bytes arrive, never past twice
/// what came; what an earlier frame left is written over and its room used at once, and what is longer than
/// this frame is zeroed, so that no persons of an earlier batch stay behind this one's.
pub(crate) fn read_frame(input: &mut impl Read, buffer: &mut Vec<u8>) -> Result<(), ReadError> {
    let mut length = [0; 4];
    match fill(input, &mut length)? {
        0 => return Err(ReadError::Closed),
        4 => {}
        got => {
            return Err(FrameError::Truncated { missing: 4_u64.saturating_sub(got as u64) }.into());
        }
    }
    let bytes = u32::from_le_bytes(length);
    if bytes > FRAME_BYTES_MAX {
        return Err(FrameError::TooLong { bytes }.into());
    }
    if bytes == 0 {
        return Err(FrameError::Truncated { missing: 1 }.into());
    }
    let bytes = bytes as usize;
    let mut got = 0;
    while got < bytes {
        let room = bytes.min(got.saturating_mul(2).max(FIRST_ROOM_BYTES).max(buffer.len()));
        if buffer.len() < room {
            buffer.resize(room, 0);
        }
        let free = buffer.get_mut(got..room).unwrap_or_default();
        let more = fill(input, free)?;
        got = got.saturating_add(more);
        if got < room {
            return Err(FrameError::Truncated { missing: (bytes - got) as u64 }.into());
        }
    }
    erase(buffer.get_mut(bytes..).unwrap_or_default());
    buffer.truncate(bytes);
    Ok(())
}

/// What an earlier, longer frame left: a shorter one leaves nothing of it behind.
fn erase(left: &mut [u8]) {
    left.fill(0);
    #[cfg(test)]
    crate::hostile_frames::ERASED.with(|erased| erased.set(left.len()));
}

/// Reads until `room` is full or the stream ends; how many bytes came.
fn fill(input: &mut impl Read, room: &mut [u8]) -> Result<usize, ReadError> {
    let mut got = 0;
    while let Some(free) = room.get_mut(got..).filter(|free| !free.is_empty()) {
        match input.read(free) {
            Ok(0) => break,
            Ok(more) => got = got.saturating_add(more),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(ReadError::Io(error.kind())),
        }
    }
    Ok(got)
}

/// Writes a setup frame.
pub(crate) fn write_setup(output: &mut impl Write, setup: &Setup) -> io::Result<()> {
    let mut head = Vec::new();
    head.extend_from_slice(&setup.shape.row_cap().to_le_bytes());
    head.extend_from_slice(&setup.shape.outputs_max().to_le_bytes());
    head.push(setup.shape.layout().number());
    head.extend_from_slice(&setup.fuel_per_person.to_le_bytes());
    head.extend_from_slice(&(setup.shape.columns().len() as u32).to_le_bytes());
    head.extend(setup.shape.columns().iter().map(|kind| kind.number()));
    head.extend_from_slice(&(setup.wasm.len() as u32).to_le_bytes());
    write_frame(output, TAG_SETUP, &[&head, &setup.wasm])
}

/// Writes a batch frame: persons, rows of each, then each column's validity and values.
pub(crate) fn write_batch(output: &mut impl Write, batch: &PersonBatch) -> io::Result<()> {
    let persons = batch.persons();
    let count = (persons.len() as u32).to_le_bytes();
    let mut parts: Vec<&[u8]> = vec![&count, persons.rows.as_flattened()];
    for column in &persons.columns {
        match column.valid {
            None => parts.push(&[ALL_VALID]),
            Some(words) => parts.extend([&[BITMAP][..], words.as_flattened()]),
        }
        parts.push(column.values);
    }
    write_frame(output, TAG_BATCH, &parts)
}

/// Writes a finish frame.
pub(crate) fn write_finish(output: &mut impl Write) -> io::Result<()> {
    write_frame(output, TAG_FINISH, &[])
}

/// Writes a worker's answer.
pub(crate) fn write_answer(output: &mut impl Write, answer: &Answer) -> io::Result<()> {
    match answer {
        Answer::Ready { sha256 } => write_in_one(output, TAG_READY, &[sha256]),
        Answer::Refused(refusal) => {
            let mut body = Vec::new();
            for text in [&refusal.reason, &refusal.detail] {
                let text = cut_text(text).as_bytes();
                body.extend_from_slice(&(text.len() as u32).to_le_bytes());
                body.extend_from_slice(text);
            }
            write_in_one(output, TAG_REFUSED, &[&body])
        }
        Answer::Outputs(outputs) => write_outputs(output, outputs, &mut Vec::new()),
        Answer::Aborted(abort) => {
            let code = match abort {
                Abort::Sandbox => 1,
                Abort::Protocol => 2,
            };
            write_in_one(output, TAG_ABORTED, &[&[code]])
        }
        Answer::Finished(c) => {
            let counts = [c.persons, c.traps, c.out_of_fuel, c.stack_overflows, c.bad_returns];
            write_in_one(output, TAG_FINISHED, &[counts.map(u64::to_le_bytes).as_flattened()])
        }
    }
}

/// Writes the answer to a batch, put together in `frame`.
pub(crate) fn write_outputs(
    output: &mut impl Write,
    outputs: &Outputs,
    frame: &mut Vec<u8>,
) -> io::Result<()> {
    let persons = (outputs.len() as u32).to_le_bytes();
    frame.clear();
    frame.extend(head(TAG_OUTPUTS, persons.len().saturating_add(outputs.encoded_bytes()))?);
    frame.extend(persons);
    outputs.encode_into(frame);
    output.write_all(frame)?;
    output.flush()
}

/// Decodes what a client sent.
pub(crate) fn read_request(frame: &[u8]) -> Result<Request<'_>, FrameError> {
    let mut at = Cursor(frame);
    match at.byte()? {
        TAG_SETUP => {
            let setup = read_setup(&mut at)?;
            at.end()?;
            Ok(Request::Setup(setup))
        }
        TAG_BATCH => Ok(Request::Batch(at.0)),
        TAG_FINISH => {
            at.end()?;
            Ok(Request::Finish)
        }
        tag => Err(FrameError::Tag { tag }),
    }
}

/// As [`read_answer_into`], without room.
#[cfg(any(test, feature = "for-tests"))]
pub(crate) fn read_answer(
    frame: &[u8],
    persons: usize,
    outputs_max: u32,
) -> Result<Answer, FrameError> {
    read_answer_into(Outputs::default(), frame, persons, outputs_max)
}

/// Decodes what a worker sent; `persons` and `outputs_max` are what the client asked for, `room` is for
/// outputs, whatever it holds.
pub(crate) fn read_answer_into(
    room: Outputs,
    frame: &[u8],
    persons: usize,
    outputs_max: u32,
) -> Result<Answer, FrameError> {
    let mut at = Cursor(frame);
    let answer = match at.byte()? {
        TAG_READY => Answer::Ready { sha256: at.array()? },
        TAG_REFUSED => Answer::Refused(Refusal { reason: at.text()?, detail: at.text()? }),
        TAG_OUTPUTS => Answer::Outputs(read_outputs(room, &mut at, persons, outputs_max)?),
        TAG_ABORTED => Answer::Aborted(match at.byte()? {
            1 => Abort::Sandbox,
            2 => Abort::Protocol,
            byte => return Err(FrameError::Choice { what: "reason to abort", byte }),
        }),
        TAG_FINISHED => Answer::Finished(Counters {
            persons: at.u64()?,
            traps: at.u64()?,
            out_of_fuel: at.u64()?,
            stack_overflows: at.u64()?,
            bad_returns: at.u64()?,
        }),
        tag => return Err(FrameError::Tag { tag }),
    };
    at.end()?;
    Ok(answer)
}

/// Reads an answer as the client does and writes what was understood again; for tests that feed it anything.
///
/// # Errors
/// [`FrameError`], as the client sees it.
#[cfg(feature = "for-tests")]
pub fn answer_again(frame: &[u8], persons: usize, outputs_max: u32) -> Result<Vec<u8>, FrameError> {
    let answer = read_answer(frame, persons, outputs_max)?;
    let mut written = Vec::new();
    // A `Vec` takes all.
    let _ = write_answer(&mut written, &answer);
    Ok(written.split_off(4.min(written.len())))
}

fn read_setup(at: &mut Cursor<'_>) -> Result<Setup, FrameError> {
    let row_cap = at.u32()?;
    let outputs_max = at.u32()?;
    let byte = at.byte()?;
    let layout = OutputLayout::of_number(byte)
        .ok_or(FrameError::Choice { what: "layout of outputs", byte })?;
    let fuel_per_person = at.number("units of fuel", FUEL_PER_PERSON_MAX)?;
    let count = at.count("columns", COLUMNS_MAX as u64)?;
    let mut columns = Vec::with_capacity(count);
    for byte in at.bytes(count)? {
        columns.push(match byte {
            1 => ColumnKind::Int,
            2 => ColumnKind::Float,
            3 => ColumnKind::Code,
            byte => return Err(FrameError::Choice { what: "column kind", byte: *byte }),
        });
    }
    // Any size that a frame can carry: the vetter names the limit it passes.
    let wasm_bytes = at.count("module bytes", SETUP_WASM_BYTES_MAX)?;
    let wasm = at.bytes(wasm_bytes)?.to_vec();
    let shape = Shape::new(row_cap, columns, outputs_max)?.with_layout(layout);
    Ok(Setup { wasm, shape, fuel_per_person })
}

fn read_outputs(
    mut outputs: Outputs,
    at: &mut Cursor<'_>,
    persons: usize,
    outputs_max: u32,
) -> Result<Outputs, FrameError> {
    let found = at.u32()?;
    if found as usize != persons {
        return Err(FrameError::Persons { found: found.into(), want: persons as u64 });
    }
    let (encoded, _) = at.bytes(persons.saturating_mul(4))?.as_chunks::<4>();
    outputs.clear();
    let mut pairs = 0_usize;
    for count in encoded {
        let count = u32::from_le_bytes(*count);
        if count != DEFAULT_COUNT {
            bounded("pairs", count.into(), outputs_max.into())?;
            pairs = pairs.saturating_add(count as usize);
        }
        outputs.push_count(count);
    }
    let bytes = at.bytes(pairs.saturating_mul(Pair::ENCODED_BYTES))?;
    outputs.push_encoded(bytes.as_chunks().0);
    Ok(outputs)
}

/// Length word, tag, parts of the body, in one call where the system takes them: a worker that waits is woken
/// for the whole frame, not for its length.
fn write_frame(output: &mut impl Write, tag: u8, parts: &[&[u8]]) -> io::Result<()> {
    let head = head(tag, parts.iter().map(|part| part.len()).sum())?;
    let slices = [&head[..]].into_iter().chain(parts.iter().copied());
    let mut slices: Vec<IoSlice<'_>> = slices.map(IoSlice::new).collect();
    let mut rest = slices.as_mut_slice();
    IoSlice::advance_slices(&mut rest, 0);
    while !rest.is_empty() {
        match output.write_vectored(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut rest, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    output.flush()
}

/// The same in one piece: a worker may write, but not gather.
fn write_in_one(output: &mut impl Write, tag: u8, parts: &[&[u8]]) -> io::Result<()> {
    let body = parts.concat();
    let frame = [&head(tag, body.len())?[..], &body].concat();
    output.write_all(&frame)?;
    output.flush()
}

/// Length word and tag of a frame with a body of so many bytes.
fn head(tag: u8, body_bytes: usize) -> io::Result<[u8; 5]> {
    let length = u32::try_from(body_bytes.saturating_add(1)).ok();
    let length = length.filter(|bytes| *bytes <= FRAME_BYTES_MAX);
    let [l0, l1, l2, l3] = length.ok_or(io::ErrorKind::FileTooLarge)?.to_le_bytes();
    Ok([l0, l1, l2, l3, tag])
}

fn bounded(what: &'static str, found: u64, max: u64) -> Result<(), FrameError> {
    if found > max { Err(FrameError::TooMany { what, found, max }) } else { Ok(()) }
}

/// A text no longer than a refusal may carry, cut at a character.
fn cut_text(text: &str) -> &str {
    text.get(..text.floor_char_boundary(REFUSAL_TEXT_BYTES_MAX)).unwrap_or_default()
}

/// Reads fixed-size fields off a frame.
pub(crate) struct Cursor<'f>(pub(crate) &'f [u8]);

impl<'f> Cursor<'f> {
    pub(crate) fn bytes(&mut self, count: usize) -> Result<&'f [u8], FrameError> {
        let missing = FrameError::Truncated { missing: count.saturating_sub(self.0.len()) as u64 };
        let (taken, rest) = self.0.split_at_checked(count).ok_or(missing)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], FrameError> {
        let missing = FrameError::Truncated { missing: N.saturating_sub(self.0.len()) as u64 };
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(missing)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, FrameError> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    fn u32(&mut self) -> Result<u32, FrameError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, FrameError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn number(&mut self, what: &'static str, max: u64) -> Result<u64, FrameError> {
        let found = self.u64()?;
        bounded(what, found, max)?;
        Ok(found)
    }

    pub(crate) fn count(&mut self, what: &'static str, max: u64) -> Result<usize, FrameError> {
        let found = self.u32()?;
        bounded(what, found.into(), max)?;
        Ok(found as usize)
    }

    fn text(&mut self) -> Result<String, FrameError> {
        let bytes = self.count("bytes of text", REFUSAL_TEXT_BYTES_MAX as u64)?;
        let text = std::str::from_utf8(self.bytes(bytes)?).map_err(|_| FrameError::Text)?;
        Ok(text.to_owned())
    }

    pub(crate) fn end(&self) -> Result<(), FrameError> {
        match self.0.len() {
            0 => Ok(()),
            bytes => Err(FrameError::Trailing { bytes }),
        }
    }
}
