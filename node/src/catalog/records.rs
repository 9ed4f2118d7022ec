//! Whether a CSV file is the same records however it is read: every field that opens a quote closes it
//! (RFC 4180, section 2, with the source's characters), every record has the header's number of fields,
//! everything is UTF-8. One person's stray quote or missing field would otherwise swallow or stop the
//! records of others. It looks at structure alone and must never quote a value.

use crate::catalog::config::CsvConfig;
use crate::catalog::schema::one_byte;
use crate::scan::BATCH_ROWS;
use std::fmt;
use std::io::{self, Read};

/// What some programs write before UTF-8 text.
const BYTE_ORDER_MARK: &[u8] = &[0xef, 0xbb, 0xbf];
/// Longest record, in bytes: a whole batch of them still fits the 32-bit text offsets of the engine, so that
/// no person's long texts end a scan. A field of more than 64 KiB is read as null anyway.
const RECORD_BYTES_MAX: usize = (1 << 18) - 1;
const _: () = assert!(RECORD_BYTES_MAX as u64 * BATCH_ROWS as u64 <= i32::MAX as u64);
/// Bytes read at once.
const CHUNK_BYTES: usize = 1 << 20;
/// Longest start of a character that a chunk may end with, in bytes.
const CHARACTER_BYTES_MAX: usize = 4;

/// What is wrong with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordProblem {
    /// Too few or too many fields.
    Fields {
        /// Fields in the record.
        found: usize,
        /// Fields in the header.
        wanted: usize,
    },
    /// A quoted field that does not end.
    Open,
    /// A quoted field that goes on over a line's end where none was declared.
    LineEnd,
    /// A quote where neither a field begins nor ends: behind the quote that closed it or, where values may
    /// hold line ends, anywhere inside.
    Quote,
    /// Not UTF-8.
    Encoding,
    /// Longer than any sensible record.
    TooLong,
}

impl fmt::Display for RecordProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fields { found, wanted } => {
                write!(f, "the record has {found} fields, the header {wanted}")
            }
            Self::Open => f.write_str("the record opens a quote that nothing closes"),
            Self::LineEnd => f.write_str(
                "the record opens a quote that its line does not close (if values hold line ends, say `newlines = true` in the source's `csv`)",
            ),
            Self::Quote => f.write_str(
                "a quote stands inside a field: put the field in quotes and double the quote, or set `quote` in the source's `csv`",
            ),
            Self::Encoding => f.write_str("the record is not UTF-8 text"),
            Self::TooLong => write!(
                f,
                "the record has more than {RECORD_BYTES_MAX} bytes: leave the long texts out of the file"
            ),
        }
    }
}

/// Where a file stops being well-formed.
#[derive(Debug)]
pub enum RecordError {
    /// The file cannot be read.
    Read(io::Error),
    /// A record is malformed.
    Record {
        /// The line on which the record begins, from 1.
        line: u64,
        /// What is wrong.
        problem: RecordProblem,
    },
}

/// Reads a file through: well-formed records of `fields` fields, header included. Errors on the first
/// record that is not, and where the file cannot be read.
pub fn check_records(from: impl Read, csv: &CsvConfig, fields: usize) -> Result<(), RecordError> {
    check_in_chunks(from, csv, fields, CHUNK_BYTES)
}

fn check_in_chunks(
    mut from: impl Read,
    csv: &CsvConfig,
    fields: usize,
    chunk_bytes: usize,
) -> Result<(), RecordError> {
    let mut machine = Machine::new(csv, fields);
    let mut chunk = vec![0u8; chunk_bytes.max(1)];
    // What the last chunk held of a character that goes on in the next.
    let mut text: Vec<u8> = Vec::with_capacity(chunk_bytes + CHARACTER_BYTES_MAX);
    let mut is_start = true;
    loop {
        let count = match from.read(&mut chunk) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(RecordError::Read(error)),
        };
        text.extend_from_slice(chunk.get(..count).unwrap_or_default());
        let (valid, is_bad) = match std::str::from_utf8(&text) {
            Ok(_) => (text.len(), false),
            Err(error) => (error.valid_up_to(), error.error_len().is_some() || count == 0),
        };
        let mut known = text.get(..valid).unwrap_or_default();
        if is_start && !known.is_empty() {
            // The reader leaves a byte order mark out, too.
            known = known.strip_prefix(BYTE_ORDER_MARK).unwrap_or(known);
            is_start = false;
        }
        known.iter().try_for_each(|byte| machine.take(*byte))?;
        if is_bad {
            return Err(machine.error(RecordProblem::Encoding));
        }
        if count == 0 {
            return machine.end();
        }
        text.drain(..valid);
    }
}

/// Where in a record the next byte stands. The states and what leads from one to the next are those of
/// the reader (`csv_core`), less those that read a malformed record as something.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before a record; empty lines are none.
    Record,
    /// Before a field.
    Field,
    Bare,
    Quoted,
    /// After the escape character, inside quotes.
    Escaped,
    /// After a quote inside quotes: the field's end, or the first of two.
    Closed,
}

struct Machine {
    delimiter: u8,
    quote: u8,
    escape: Option<u8>,
    newlines: bool,
    wanted: usize,
    state: State,
    /// Fields of the record that have ended.
    found: usize,
    bytes: usize,
    /// The line that the next byte is on, and the one on which its record began.
    line: u64,
    began: u64,
    after_return: bool,
}

impl Machine {
    fn new(csv: &CsvConfig, wanted: usize) -> Self {
        Self {
            delimiter: one_byte(csv.delimiter),
            quote: one_byte(csv.quote),
            escape: csv.escape.map(one_byte),
            newlines: csv.newlines,
            wanted,
            state: State::Record,
            found: 0,
            bytes: 0,
            line: 1,
            began: 1,
            after_return: false,
        }
    }

    fn take(&mut self, byte: u8) -> Result<(), RecordError> {
        let is_end = byte == b'\n' || byte == b'\r';
        if self.state == State::Record {
            if is_end {
                self.count_line(byte);
                return Ok(());
            }
            (self.state, self.began) = (State::Field, self.line);
            (self.found, self.bytes) = (0, 0);
        }
        self.bytes += 1;
        if self.bytes > RECORD_BYTES_MAX {
            return Err(self.error(RecordProblem::TooLong));
        }
        match self.state {
            State::Quoted if byte == self.quote => self.state = State::Closed,
            State::Quoted if self.escape == Some(byte) => self.state = State::Escaped,
            State::Quoted | State::Escaped => {
                if is_end && !self.newlines {
                    return Err(self.error(RecordProblem::LineEnd));
                }
                self.state = State::Quoted;
            }
            State::Closed if byte == self.quote => self.state = State::Quoted,
            State::Field if byte == self.quote => self.state = State::Quoted,
            _ if byte == self.delimiter => {
                self.found += 1;
                self.state = State::Field;
            }
            _ if is_end => self.end_record()?,
            State::Closed => return Err(self.error(RecordProblem::Quote)),
            // Within its line it is a character like any other; over lines it may be one that opened or
            // closed a value.
            _ if byte == self.quote && self.newlines => {
                return Err(self.error(RecordProblem::Quote));
            }
            _ => self.state = State::Bare,
        }
        self.count_line(byte);
        Ok(())
    }

    /// Line ends are `\n`, `\r` and `\r\n`.
    fn count_line(&mut self, byte: u8) {
        if byte == b'\r' || (byte == b'\n' && !self.after_return) {
            self.line = self.line.saturating_add(1);
        }
        self.after_return = byte == b'\r';
    }

    fn end_record(&mut self) -> Result<(), RecordError> {
        let (found, wanted) = (self.found + 1, self.wanted);
        if found != wanted {
            return Err(self.error(RecordProblem::Fields { found, wanted }));
        }
        self.state = State::Record;
        Ok(())
    }

    /// The file's end; the last line needs none of its own.
    fn end(&mut self) -> Result<(), RecordError> {
        match self.state {
            State::Record => Ok(()),
            State::Quoted | State::Escaped => Err(self.error(RecordProblem::Open)),
            State::Field | State::Bare | State::Closed => self.end_record(),
        }
    }

    fn error(&self, problem: RecordProblem) -> RecordError {
        let line = if self.state == State::Record { self.line } else { self.began };
        RecordError::Record { line, problem }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &[u8], csv: &CsvConfig) -> Result<(), (u64, RecordProblem)> {
        let of = |chunk_bytes| match check_in_chunks(text, csv, 3, chunk_bytes) {
            Ok(()) => Ok(()),
            Err(RecordError::Record { line, problem }) => Err((line, problem)),
            Err(RecordError::Read(error)) => panic!("{error}"),
        };
        let whole = of(CHUNK_BYTES);
        // Borders of chunks cannot be seen.
        for chunk_bytes in 1..8 {
            assert_eq!(of(chunk_bytes), whole, "{chunk_bytes}");
        }
        whole
    }

    #[test]
    fn a_byte_order_mark_hides_no_quote() {
        let csv = CsvConfig::default();
        let hidden = b"\xef\xbb\xbf\"x,2,3\n4,\"y\",6\n";
        assert_eq!(found(hidden, &csv), found(hidden.strip_prefix(BYTE_ORDER_MARK).unwrap(), &csv));
        assert!(found(hidden, &csv).is_err());
        assert!(found(b"\xef\xbb\xbfx,2,3\n4,\"y\",6\n", &csv).is_ok());
    }

    #[test]
    fn well_formed_files_pass() {
        let multi = CsvConfig { newlines: true, ..CsvConfig::default() };
        for text in [
            "",
            "a,b,c\n1,2,3\n",
            "a,b,c\r\n1,2,3\r\n",
            "a,b,c\r1,2,3",
            "a,b,c\n\n\r\n1,,\n,,\n",
            "a,b,c\n\"x,y\",\"he said \"\"hm\"\"\",\"\"\n",
            "a,b,c\n\"\"\"\",\u{0},é🌊\n",
            "a,b,c\n1,2,",
            "a,b,c\n1,2,\"x\"",
        ] {
            assert_eq!(found(text.as_bytes(), &CsvConfig::default()), Ok(()), "{text:?}");
            assert_eq!(found(text.as_bytes(), &multi), Ok(()), "{text:?}");
        }
        assert_eq!(found(b"a,b,c\n1,\"x\r\ny\n\",3\n4,5,6\n", &multi), Ok(()));
        // A quote inside a field is read as it stands, where it cannot reach another line.
        let inches = b"a,b,c\n1,5\" pipe,2\n";
        assert_eq!(found(inches, &CsvConfig::default()), Ok(()));
        assert_eq!(found(inches, &multi), Err((2, RecordProblem::Quote)));
        let semicolons = CsvConfig { delimiter: ';', quote: '\'', ..CsvConfig::default() };
        assert_eq!(found(b"a;b;c\n\"1;',2;';3\"\n", &semicolons), Ok(()));
        let escaped = CsvConfig { escape: Some('\\'), ..CsvConfig::default() };
        assert_eq!(found(b"a,b,c\n1,\"x\\\",y\",3\n1\\,2,3\n", &escaped), Ok(()));
    }

    #[test]
    fn malformed_records_are_found_with_their_line() {
        use RecordProblem::{Encoding, Fields, LineEnd, Open, Quote};
        let default = CsvConfig::default();
        let multi = CsvConfig { newlines: true, ..CsvConfig::default() };
        let few = |found| Fields { found, wanted: 3 };
        for (text, line, alone, several) in [
            (&b"a,b,c\n1,2\n3,4,5\n"[..], 2, few(2), few(2)),
            (b"a,b,c\n\n1,2,3,4\n", 3, few(4), few(4)),
            (b"a,b\n", 1, few(2), few(2)),
            (b"a,b,c\n1", 2, few(1), few(1)),
            (b"a,b,c\n1,2,\"x\n3,4,5\n", 2, LineEnd, Open),
            // A second stray quote does not hide the first.
            (b"a,b,c\n1,\"x,2\n3,\"y,4\n", 2, LineEnd, Quote),
            (b"a,b,c\r\n1,2,3\r\n1,\"x\"y,2\r\n", 3, Quote, Quote),
            (b"a,b,c\n1,\xff,2\n", 2, Encoding, Encoding),
            (b"a,b,c\n1,2,3\n\xc3", 3, Encoding, Encoding),
            (b"a,b,c\n1,2,\"", 2, Open, Open),
        ] {
            assert_eq!(found(text, &default), Err((line, alone)), "{text:?}");
            assert_eq!(found(text, &multi), Err((line, several)), "{text:?}");
        }
        // Why line ends in quotes must be declared: two stray quotes may look like one value.
        let two = b"a,b,c\n1,\"x,2\n3,y\",4\n";
        assert_eq!((found(two, &default), found(two, &multi)), (Err((2, LineEnd)), Ok(())));
        let long = [b"a,b,".to_vec(), vec![b'x'; RECORD_BYTES_MAX]].concat();
        let refused = check_records(long.as_slice(), &default, 3);
        let is_long = matches!(
            refused,
            Err(RecordError::Record { line: 1, problem: RecordProblem::TooLong })
        );
        assert!(is_long, "{refused:?}");
    }

    #[test]
    fn problems_say_what_to_do_and_quote_no_value() {
        let refused = check_records(&b"a,b,c\n\"secret\"value,2,3\n"[..], &CsvConfig::default(), 3);
        let Err(RecordError::Record { problem, .. }) = refused else { panic!("{refused:?}") };
        let text = problem.to_string();
        assert!(text.contains("double the quote") && !text.contains("secret"), "{text}");
    }
}
