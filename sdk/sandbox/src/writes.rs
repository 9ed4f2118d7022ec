//! What a module's code can write, read off its validated operators: the ground for choosing a tier.
//!
//! Must never take a write for proven on the word of the module: only constants and operators whose result
//! cannot pass a bound count; whatever is not understood may reach everything.

use wasmparser::{BlockType, MemArg, Operator, ValType};

use crate::limits::{WINDOW_BYTES_MAX, WINDOW_LINE_BYTES};

/// One store of a fixed number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StoreFact {
    /// Added to the address, in 33 bits.
    pub(crate) offset: u64,
    /// Bytes written.
    pub(crate) bytes: u64,
    /// Type of the operand above the address.
    pub(crate) value: ValType,
}

/// How an operator writes linear memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MemoryWrite {
    /// A fixed number of bytes.
    Store(StoreFact),
    /// `memory.fill` or `memory.copy`: operands destination, source or byte, length.
    Bulk,
}

/// The write that an operator makes to linear memory, whichever memory it names.
pub(crate) fn memory_write(operator: &Operator<'_>) -> Option<MemoryWrite> {
    let store = |memarg: &MemArg, bytes, value| {
        Some(MemoryWrite::Store(StoreFact { offset: memarg.offset, bytes, value }))
    };
    match operator {
        Operator::I32Store8 { memarg } => store(memarg, 1, ValType::I32),
        Operator::I32Store16 { memarg } => store(memarg, 2, ValType::I32),
        Operator::I32Store { memarg } => store(memarg, 4, ValType::I32),
        Operator::I64Store8 { memarg } => store(memarg, 1, ValType::I64),
        Operator::I64Store16 { memarg } => store(memarg, 2, ValType::I64),
        Operator::I64Store32 { memarg } => store(memarg, 4, ValType::I64),
        Operator::I64Store { memarg } => store(memarg, 8, ValType::I64),
        Operator::F32Store { memarg } => store(memarg, 4, ValType::F32),
        Operator::F64Store { memarg } => store(memarg, 8, ValType::F64),
        Operator::V128Store { memarg } => store(memarg, 16, ValType::V128),
        Operator::V128Store8Lane { memarg, .. } => store(memarg, 1, ValType::V128),
        Operator::V128Store16Lane { memarg, .. } => store(memarg, 2, ValType::V128),
        Operator::V128Store32Lane { memarg, .. } => store(memarg, 4, ValType::V128),
        Operator::V128Store64Lane { memarg, .. } => store(memarg, 8, ValType::V128),
        Operator::MemoryFill { .. } | Operator::MemoryCopy { .. } => Some(MemoryWrite::Bulk),
        _ => None,
    }
}

/// True for operators that change tables or segments: no restore of memory and globals undoes those.
/// `memory.init` is among them, since what it does depends on a segment.
fn leaves_other_state(operator: &Operator<'_>) -> bool {
    matches!(
        operator,
        Operator::MemoryInit { .. }
            | Operator::DataDrop { .. }
            | Operator::ElemDrop { .. }
            | Operator::TableInit { .. }
            | Operator::TableCopy { .. }
            | Operator::TableFill { .. }
            | Operator::TableSet { .. }
            | Operator::TableGrow { .. }
    )
}

/// All writes of a module, as far as they are known.
#[derive(Clone, Debug)]
pub(crate) struct Writes {
    memory_bytes: u64,
    /// Some operator writes memory.
    pub(crate) any: bool,
    /// Some operator changes tables or segments.
    pub(crate) other_state: bool,
    /// Lines of memory that the writes reach, while all are proven and few.
    lines: Option<Lines>,
}

/// Some lines of a memory, a bit each: however many writes reach them, each write costs a few words.
#[derive(Clone, Debug, Default)]
struct Lines {
    words: Vec<u64>,
    /// How many bits are set.
    count: u64,
}

/// Lines of a word.
const WORD_LINES: u64 = u64::BITS as u64;

impl Lines {
    /// Adds the lines from `first` to `last`, both included; `None` when there is no room for them.
    fn add(&mut self, first: u64, last: u64) -> Option<()> {
        let from = usize::try_from(first / WORD_LINES).ok()?;
        let to = usize::try_from(last / WORD_LINES).ok()?;
        if self.words.len() <= to {
            self.words.resize(to.checked_add(1)?, 0);
        }
        for (nth, word) in (first / WORD_LINES..).zip(self.words.get_mut(from..=to)?) {
            let start = nth * WORD_LINES;
            let not_before = u64::MAX << first.saturating_sub(start);
            let not_after = u64::MAX >> (WORD_LINES - 1).saturating_sub(last - start);
            let reached = not_before & not_after;
            self.count += u64::from((reached & !*word).count_ones());
            *word |= reached;
        }
        Some(())
    }

    /// The lines, ascending.
    fn iter(&self) -> impl Iterator<Item = u64> {
        let words = (0_u64..).step_by(WORD_LINES as usize).zip(&self.words);
        words.filter(|(_, word)| **word != 0).flat_map(|(start, word)| {
            (0..WORD_LINES).filter(move |bit| word >> bit & 1 == 1).map(move |bit| start + bit)
        })
    }
}

impl Writes {
    /// No write yet, to a memory of so many bytes.
    pub(crate) fn new(memory_bytes: u64) -> Writes {
        Writes { memory_bytes, any: false, other_state: false, lines: Some(Lines::default()) }
    }

    /// Byte ranges that hold every byte any write can reach, at most [`WINDOW_BYTES_MAX`] together;
    /// `None` when that is not proven. Ascending, apart, inside memory.
    pub(crate) fn window(&self) -> Option<Vec<(usize, usize)>> {
        let mut ranges: Vec<(usize, usize)> = Vec::new();
        for line in self.lines.as_ref()?.iter() {
            let start = usize::try_from(line.checked_mul(WINDOW_LINE_BYTES)?).ok()?;
            let end = start.checked_add(WINDOW_LINE_BYTES as usize)?;
            match ranges.last_mut() {
                Some(last) if last.1 == start => last.1 = end,
                _ => ranges.push((start, end)),
            }
        }
        Some(ranges)
    }

    /// Adds a write to bytes from `start` up to `end` (first byte after it).
    fn reach(&mut self, start: u64, end: u64) {
        // What lies past the end of memory traps before a byte is written.
        let end = end.min(self.memory_bytes);
        let Some(lines) = self.lines.as_mut() else { return };
        if start >= end {
            return;
        }
        let (first, last) = (start / WINDOW_LINE_BYTES, (end - 1) / WINDOW_LINE_BYTES);
        let most = WINDOW_BYTES_MAX / WINDOW_LINE_BYTES;
        let few = last - first < most && lines.add(first, last).is_some() && lines.count <= most;
        if !few {
            self.lines = None;
        }
    }
}

/// What an i32 can be, unsigned, both ends included. Other types are `ANY` too: they are no addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Interval {
    low: u64,
    high: u64,
}

const ANY: Interval = Interval { low: 0, high: u32::MAX as u64 };

impl Interval {
    fn new(low: u64, high: u64) -> Interval {
        // An i32 that could wrap may be anything.
        if high > ANY.high { ANY } else { Interval { low, high } }
    }

    fn up_to(high: u64) -> Interval {
        Interval::new(0, high)
    }

    fn constant(&self) -> Option<u64> {
        (self.low == self.high).then_some(self.low)
    }
}

/// Follows one function's operand stack by intervals.
///
/// Sound because an entry is kept only while no operator has popped it, and operands below a block's floor
/// cannot change inside the block; locals, parameters and results of calls and blocks are `ANY`. Where a
/// block begins, turns and ends, the floor kept here decides alone; a block of a type of its own, which may
/// have parameters, has its floor at the bottom, so that nothing is known in it nor behind it.
///
/// What is forgotten takes neither room nor time: a deep stack under many blocks costs no more than a flat one.
#[derive(Default)]
pub(crate) struct OperandStack {
    /// How many entries at the bottom are `ANY`; the others follow.
    unknown: usize,
    entries: Vec<Interval>,
    /// Of each open block: how many entries below it are still known.
    floors: Vec<usize>,
}

impl OperandStack {
    /// One operator: call before it is validated, for its write; then [`OperandStack::after`].
    pub(crate) fn before(&self, operator: &Operator<'_>, writes: &mut Writes) {
        writes.other_state |= leaves_other_state(operator);
        match memory_write(operator) {
            None => {}
            Some(MemoryWrite::Store(store)) => {
                writes.any = true;
                let address = self.nth_from_top(1);
                let end = address.high.saturating_add(store.offset).saturating_add(store.bytes);
                writes.reach(address.low.saturating_add(store.offset), end);
            }
            Some(MemoryWrite::Bulk) => {
                writes.any = true;
                let (to, length) = (self.nth_from_top(2), self.nth_from_top(0));
                writes.reach(to.low, to.high.saturating_add(length.high));
            }
        }
    }

    /// The stack after the operator, which is `height` high, its topmost `pushed` being new.
    /// `None` for `pushed`: nothing is known any more.
    pub(crate) fn after(&mut self, operator: &Operator<'_>, pushed: Option<u32>, height: u32) {
        let height = height as usize;
        match self.floor(operator, height) {
            Some(0) => return self.forget(height),
            Some(floor) => return self.keep(floor, height),
            None => {}
        }
        let (left, right) = (self.nth_from_top(1), self.nth_from_top(0));
        let top = result(operator, left, right);
        match pushed {
            Some(pushed) => self.keep(height.saturating_sub(pushed as usize), height),
            None => self.forget(height),
        }
        if pushed == Some(1)
            && let Some(entry) = self.entries.last_mut()
        {
            *entry = top;
        }
    }

    /// Keeps the lowest `kept` entries, and has `ANY` above them up to `height`.
    fn keep(&mut self, kept: usize, height: usize) {
        match kept.checked_sub(self.unknown) {
            Some(known) if known <= self.entries.len() => self.entries.truncate(known),
            // Below what is known, or above all there is.
            _ => self.forget(kept),
        }
        self.entries.resize(height.saturating_sub(self.unknown), ANY);
    }

    /// A stack so high of which nothing is known.
    fn forget(&mut self, height: usize) {
        self.entries.clear();
        self.unknown = height;
    }

    /// How many entries are still known after an operator that begins, turns or ends a block; `None` for
    /// any other operator.
    fn floor(&mut self, operator: &Operator<'_>, height: usize) -> Option<usize> {
        match operator {
            Operator::Block { blockty } | Operator::Loop { blockty } | Operator::If { blockty } => {
                let has_no_params = !matches!(blockty, BlockType::FuncType(_));
                let there = self.unknown.saturating_add(self.entries.len());
                let floor = if has_no_params { height.min(there) } else { 0 };
                self.floors.push(floor);
                Some(floor)
            }
            Operator::Else => Some(self.floors.last().copied().unwrap_or(0)),
            Operator::End => Some(self.floors.pop().unwrap_or(0)),
            _ => None,
        }
    }

    fn nth_from_top(&self, depth: usize) -> Interval {
        let at = self.entries.len().checked_sub(depth + 1);
        at.and_then(|at| self.entries.get(at)).copied().unwrap_or(ANY)
    }
}

/// What a one-result operator gives, from the two topmost operands before it.
fn result(operator: &Operator<'_>, left: Interval, right: Interval) -> Interval {
    match operator {
        Operator::I32Const { value } => {
            let value = u64::from(value.cast_unsigned());
            Interval::new(value, value)
        }
        Operator::LocalTee { .. } => right,
        Operator::I32And => Interval::up_to(left.high.min(right.high)),
        Operator::I32Add => {
            Interval::new(left.low.saturating_add(right.low), left.high.saturating_add(right.high))
        }
        Operator::I32Mul => {
            Interval::new(left.low.saturating_mul(right.low), left.high.saturating_mul(right.high))
        }
        Operator::I32Shl => match right.constant() {
            Some(by @ 0..32) => Interval::new(left.low << by, left.high << by),
            _ => ANY,
        },
        Operator::I32ShrU => match right.constant() {
            Some(by @ 0..32) => Interval::new(left.low >> by, left.high >> by),
            _ => ANY,
        },
        Operator::I32RemU if right.low > 0 => Interval::up_to(right.high - 1),
        Operator::I32Load8U { .. } => Interval::up_to(0xff),
        Operator::I32Load16U { .. } => Interval::up_to(0xffff),
        Operator::I32Eqz
        | Operator::I64Eqz
        | Operator::I32Eq
        | Operator::I32Ne
        | Operator::I32LtU
        | Operator::I32LtS
        | Operator::I32GtU
        | Operator::I32GtS
        | Operator::I64Eq
        | Operator::I64Ne
        | Operator::I64LtU
        | Operator::I64LtS
        | Operator::I64GtU
        | Operator::I64GtS => Interval::up_to(1),
        _ => ANY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;
    use crate::vet::{FEATURES, vet};
    use std::collections::BTreeSet;

    /// The window of a module whose only function has this body and one page of memory.
    fn window(body: &str) -> Option<Vec<(usize, usize)>> {
        let text = format!(
            "(module (memory (export \"memory\") 1 1)
              (global (export \"CLOISTER_INPUT\") i32 (i32.const 0))
              (global (export \"CLOISTER_OUTPUT\") i32 (i32.const 0))
              (global (export \"CLOISTER_LAYOUT\") i32 (i32.const 0))
              (func (export \"person_map\") (param $p i32) (result i32) (local $l i32)
                {body} (i32.const 0)))"
        );
        vet(&wat::parse_str(text).unwrap(), &Limits::V1).unwrap().writes().window()
    }

    #[test]
    fn constant_and_masked_addresses_are_proven() {
        assert_eq!(window(""), Some(vec![]));
        let store = "(i64.store (i32.const 2048) (i64.load (i32.const 8)))";
        assert_eq!(window(store), Some(vec![(2048, 2112)]));
        let across = "(i64.store offset=60 (i32.const 0) (i64.const 1))";
        assert_eq!(window(across), Some(vec![(0, 128)]));
        let masked =
            "(i32.store8 offset=4096 (i32.and (local.get 0) (i32.const 127)) (i32.const 1))";
        assert_eq!(window(masked), Some(vec![(4096, 4224)]));
        let scaled = "(i32.store offset=64 (i32.shl (i32.rem_u (local.get 0) (i32.const 16)) (i32.const 2)) (i32.const 1))";
        assert_eq!(window(scaled), Some(vec![(64, 128)]));
        let fill =
            "(memory.fill (i32.const 640) (i32.const 1) (i32.and (local.get 0) (i32.const 63)))";
        assert_eq!(window(fill), Some(vec![(640, 704)]));
        let kept = "(i64.store (i32.const 128) (block (result i64) (br_if 0 (i64.const 1) (local.get 0)) (drop) (i64.const 2)))";
        assert_eq!(window(kept), Some(vec![(128, 192)]));
    }

    #[test]
    fn writes_past_the_end_reach_nothing_and_wide_or_unknown_ones_everything() {
        let past = "(i64.store (i32.const -4) (i64.const 1)) (memory.fill (i32.const 65536) (i32.const 1) (i32.const 9))";
        assert_eq!(window(past), Some(vec![]));
        for unknown in [
            "(i32.store8 (local.get 0) (i32.const 1))",
            "(local.set 1 (i32.const 4)) (i32.store8 (local.get 1) (i32.const 1))",
            "(i32.store8 (i32.sub (i32.const 4) (i32.const 5)) (i32.const 1))",
            "(i32.store8 (i32.add (i32.const -1) (i32.const 5)) (i32.const 1))",
            "(i32.store8 (i32.shl (i32.const 65535) (i32.const 17)) (i32.const 1))",
            "(i32.store8 (select (i32.const 1) (i32.const 2) (local.get 0)) (i32.const 1))",
            "(i32.store8 (block (result i32) (i32.const 4)) (i32.const 1))",
            "(i32.store8 (loop (result i32) (i32.const 4)) (i32.const 1))",
            "(i32.store8 (if (result i32) (local.get 0) (then (i32.const 4)) (else (i32.const 70))) (i32.const 1))",
            "(i32.store8 (i32.rem_u (i32.const 9) (i32.const 0)) (i32.const 1))",
            "(memory.copy (i32.const 0) (i32.const 0) (local.get 0))",
            "(memory.fill (local.get 0) (i32.const 0) (i32.const 0))",
            "(memory.fill (i32.const 0) (i32.const 0) (i32.const 16385))",
        ] {
            assert_eq!(window(unknown), None, "{unknown}");
        }
        let most = "(memory.fill (i32.const 64) (i32.const 0) (i32.const 16384))";
        assert_eq!(window(most), Some(vec![(64, 64 + 16384)]));
    }

    #[test]
    fn operands_under_a_block_and_in_dead_code_are_not_mixed_up() {
        // The address is the block's result, not the constant pushed before the block.
        let body =
            "(i32.const 8) (block (result i32) (local.get 0)) (i32.const 7) (i32.store8) (drop)";
        assert_eq!(window(body), None);
        let dead =
            "(i32.const 8) (block (br 0) (i32.add) (drop) (drop)) (i32.const 7) (i32.store8)";
        assert_eq!(window(dead), Some(vec![(0, 64)]));
        let dead =
            "(block (result i32) (br 0 (local.get 0)) (i32.const 9)) (i32.const 7) (i32.store8)";
        assert_eq!(window(dead), None);
        let call = "(i32.const 8) (drop (call 0 (i32.const 3))) (i32.const 7) (i32.store8)";
        assert_eq!(window(call), Some(vec![(0, 64)]));
    }

    #[test]
    fn nothing_is_known_in_or_behind_a_block_with_parameters() {
        let store = "(i32.const 7) (i32.store8)";
        for body in [
            // The address is the block's parameter, its result, or stood below the block.
            format!("(i32.const 8) (block (param i32) {store})"),
            format!("(i32.const 8) (loop (param i32) {store})"),
            format!("(i32.const 8) (local.get 0) (if (param i32) (then {store}) (else {store}))"),
            format!("(i32.const 8) (block (param i32) (result i32)) {store}"),
            format!("(i32.const 8) (i32.const 9) (block (param i32) (drop)) {store}"),
            format!(
                "(i32.const 8) (block (result i32 i32) (i32.const 1) (i32.const 2)) (drop) (drop) {store}"
            ),
        ] {
            assert_eq!(window(&body), None, "{body}");
        }
        // A constant pushed inside is known inside; one pushed after it too.
        let inside = format!("(i32.const 9) (block (param i32) (drop) (i32.const 128) {store})");
        assert_eq!(window(&inside), Some(vec![(128, 192)]));
        let after = format!("(i32.const 9) (block (param i32) (drop)) (i32.const 128) {store}");
        assert_eq!(window(&after), Some(vec![(128, 192)]));
        // Blocks inside each other: the outer floor holds again behind the inner block.
        let kept = format!("(i32.const 64) (block (block) (block (nop))) {store}");
        assert_eq!(window(&kept), Some(vec![(64, 128)]));
        let lost =
            format!("(i32.const 64) (block (i32.const 1) (block (param i32) (drop))) {store}");
        assert_eq!(window(&lost), None);
        let other_arm = format!(
            "(i32.const 64) (if (local.get 0) (then (drop (i32.const 1))) (else (drop (i32.const 2)))) {store}"
        );
        assert_eq!(window(&other_arm), Some(vec![(64, 128)]));
    }

    #[test]
    fn lines_are_counted_once_however_many_writes_reach_them() {
        let mut state = 10_u64;
        let mut random = move |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % below
        };
        for reach in [3, 64, 65, 200, 5_000] {
            let (mut lines, mut want) = (Lines::default(), BTreeSet::new());
            for _ in 0..60 {
                let first = random(reach);
                let last = first + random(130);
                lines.add(first, last).unwrap();
                want.extend(first..=last);
                assert!(lines.iter().eq(want.iter().copied()), "{first} to {last}");
                assert_eq!(lines.count, want.len() as u64);
            }
        }
        // As many as a window may have, told apart from one more, in one write and in several.
        let mut writes = Writes::new(1 << 20);
        (0..256).for_each(|line| writes.reach(line * 128, line * 128 + 1));
        (0..256).for_each(|line| writes.reach(line * 128, line * 128 + 64));
        assert_eq!(writes.window().unwrap().len(), 256);
        writes.reach(64, 65);
        assert_eq!(writes.window(), None);
    }

    #[test]
    fn what_is_not_known_of_a_deep_stack_takes_no_room() {
        let mut stack = OperandStack::default();
        let one = Operator::I32Const { value: 1 };
        (1..=1000).for_each(|height| stack.after(&one, Some(1), height));
        assert_eq!((stack.entries.len(), stack.nth_from_top(999)), (1000, Interval::new(1, 1)));
        let block = Operator::Block { blockty: BlockType::FuncType(0) };
        stack.after(&block, Some(0), 1000);
        assert_eq!((stack.entries.len(), stack.nth_from_top(0)), (0, ANY));
        // What is pushed above it is known, and nothing below it once that is gone.
        stack.after(&one, Some(1), 1001);
        assert_eq!((stack.nth_from_top(0), stack.nth_from_top(1)), (Interval::new(1, 1), ANY));
        stack.after(&Operator::Drop, Some(0), 1000);
        stack.after(&Operator::Drop, Some(0), 999);
        stack.after(&one, Some(1), 1000);
        assert_eq!((stack.nth_from_top(0), stack.nth_from_top(1)), (Interval::new(1, 1), ANY));
        stack.after(&Operator::End, Some(0), 1000);
        assert_eq!((stack.entries.len(), stack.nth_from_top(0)), (0, ANY));
        assert!(stack.floors.is_empty());
    }

    /// Where every sampled access goes.
    const PLACE: MemArg = MemArg { align: 0, max_align: 0, offset: 77, memory: 0 };

    /// An operator that names memory, a table or a segment; `None` for any other.
    macro_rules! sample {
        ($op:ident { memarg }) => {
            Some(Operator::$op { memarg: PLACE })
        };
        ($op:ident { memarg lane }) => {
            Some(Operator::$op { memarg: PLACE, lane: 0 })
        };
        ($op:ident { mem }) => {
            Some(Operator::$op { mem: 0 })
        };
        ($op:ident { dst_mem src_mem }) => {
            Some(Operator::$op { dst_mem: 0, src_mem: 0 })
        };
        ($op:ident { data_index mem }) => {
            Some(Operator::$op { data_index: 0, mem: 0 })
        };
        ($op:ident { data_index }) => {
            Some(Operator::$op { data_index: 0 })
        };
        ($op:ident { elem_index table }) => {
            Some(Operator::$op { elem_index: 0, table: 0 })
        };
        ($op:ident { elem_index }) => {
            Some(Operator::$op { elem_index: 0 })
        };
        ($op:ident { dst_table src_table }) => {
            Some(Operator::$op { dst_table: 0, src_table: 0 })
        };
        ($op:ident $($arguments:tt)*) => {
            None
        };
    }

    /// Every operator there is: proposal, name, arguments, sample.
    macro_rules! operators {
        ($(@$proposal:ident $op:ident $({ $($arg:ident: $argty:ty),* })? => $visit:ident ($($ann:tt)*))*) => {
            vec![$((
                stringify!($proposal),
                stringify!($op),
                vec![$($(stringify!($arg)),*)?],
                sample!($op $({ $($arg)* })?),
            )),*]
        };
    }

    type Listed = (&'static str, &'static str, Vec<&'static str>, Option<Operator<'static>>);

    /// The write that an operator of this name makes, read off the name: a type, `Store`, and how many bits
    /// where they are not all.
    fn store_of(name: &str) -> Option<MemoryWrite> {
        let (ty, rest) = name.split_once("Store")?;
        let (value, bits) = match ty {
            "I32" => (ValType::I32, 32),
            "I64" => (ValType::I64, 64),
            "F32" => (ValType::F32, 32),
            "F64" => (ValType::F64, 64),
            "V128" => (ValType::V128, 128),
            other => panic!("stores of `{other}` are new"),
        };
        let narrow = rest.trim_end_matches("Lane");
        let bits = if narrow.is_empty() { bits } else { narrow.parse().unwrap() };
        Some(MemoryWrite::Store(StoreFact { offset: PLACE.offset, bytes: bits / 8, value }))
    }

    #[test]
    fn every_operator_of_our_features_is_known_for_what_it_writes() {
        let is_ours = |proposal: &str| {
            let mut names = FEATURES.iter_names().map(|(name, _)| name);
            proposal == "mvp" || names.any(|name| name.eq_ignore_ascii_case(proposal))
        };
        let touching = ["mem", "data_index", "elem_index", "dst_table", "src_table"];
        let touches = |argument: &&str| argument.contains("mem") || touching.contains(argument);
        let all: Vec<Listed> = wasmparser::for_each_operator!(operators);
        let (mut stores, mut loads) = (0, 0);
        for (proposal, name, arguments, sample) in all {
            if !is_ours(proposal) {
                continue;
            }
            let Some(operator) = sample else {
                assert!(!arguments.iter().any(touches), "{name} is new");
                continue;
            };
            let (write, other) = (memory_write(&operator), leaves_other_state(&operator));
            let (want_write, want_other) = match name {
                "MemoryFill" | "MemoryCopy" => (Some(MemoryWrite::Bulk), false),
                "MemoryInit" | "DataDrop" | "ElemDrop" | "TableInit" | "TableCopy" => (None, true),
                // `memory.grow` is refused.
                "MemorySize" | "MemoryGrow" => (None, false),
                _ if name.contains("Load") => (None, false),
                _ => (Some(store_of(name).unwrap_or_else(|| panic!("{name} is new"))), false),
            };
            assert_eq!((write, other), (want_write, want_other), "{name}");
            stores += u32::from(matches!(write, Some(MemoryWrite::Store(_))));
            loads += u32::from(name.contains("Load"));
        }
        // Nine of WebAssembly 1.0, and five of 128 bits; as many loads at the least.
        assert!(stores == 14 && loads > stores, "{stores} stores, {loads} loads");
    }
}
