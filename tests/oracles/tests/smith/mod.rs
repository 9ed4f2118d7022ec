//! Random modules that keep to the interface: bodies from a generator, in a skeleton of our own.
//!
//! Must never make a module harmless: addresses are only bent so that most writes fall inside memory. What is
//! left out for [`Reach::ReadOnly`] makes the tier occur that restores nothing.

use wasm_encoder::{
    CodeSection, ConstExpr, DataCountSection, DataSection, ElementSection, Elements, ExportKind,
    ExportSection, Function, GlobalSection, Instruction as I, MemArg, MemorySection, MemoryType,
    RawSection,
};
use wasm_smith::InstructionKind as Kind;
use wasmparser::{
    DataKind, ElementItems, ElementKind, Operator, Parser, Payload, RecGroup, ValType,
};

/// Where input, output and layout words lie.
const INPUT: i32 = 1024;
const OUTPUT: i32 = 2048;
const LAYOUT: i32 = 16;
/// Version 1, 40 bytes of input (one column, four rows), 32 of output.
const WORDS: [u8; 16] = [1, 0, 0, 0, 40, 0, 0, 0, 32, 0, 0, 0, 0, 0, 0, 0];
/// The two pairs of a module that writes none: (7, -7) and (9, 9).
const PAIRS: [u8; 32] = [
    7, 0, 0, 0, 0, 0, 0, 0, 249, 255, 255, 255, 255, 255, 255, 255, 9, 0, 0, 0, 0, 0, 0, 0, 9, 0,
    0, 0, 0, 0, 0, 0,
];
/// Longest bulk write whose address is bent.
const BULK_MASK: i32 = 0xfff;

/// Where a module's code may reach. Offsets are added to what is bent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Where the generator says: mostly outside memory.
    Anywhere,
    /// Half a page: more than is ever copied back as a window.
    HalfPage,
    /// A few bytes: all writes together fit a window.
    Near,
    /// Half a page, to read: stores are left out and globals cannot change.
    ReadOnly,
}

impl Reach {
    /// What addresses are masked with.
    fn mask(self) -> Option<i32> {
        match self {
            Reach::Anywhere => None,
            Reach::HalfPage | Reach::ReadOnly => Some(0x7fff),
            Reach::Near => Some(0x7f),
        }
    }
}

/// A fixed sequence (Knuth's MMIX constants), good enough to vary modules and persons.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, below: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % below
    }

    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.below(256) as u8).collect()
    }
}

/// Whatever the generator makes within our features; it exports nothing.
fn generated(random: &mut Random) -> Vec<u8> {
    let count = 1000 + random.below(4000);
    let bytes = random.bytes(count);
    // Most modules leave tables and segments alone, so that more than the fresh tier can host them.
    let plain = random.below(4) > 0;
    let mut kinds = vec![Kind::Numeric, Kind::Vector, Kind::Parametric, Kind::Variable];
    kinds.extend([Kind::Memory, Kind::Control, Kind::Reference]);
    if !plain {
        kinds.push(Kind::Table);
    }
    let config = wasm_smith::Config {
        allow_start_export: false,
        allowed_instructions: wasm_smith::InstructionKinds::new(&kinds),
        exceptions_enabled: false,
        extended_const_enabled: false,
        gc_enabled: false,
        max_data_segments: if plain { 0 } else { 3 },
        max_element_segments: 2,
        max_exports: 0,
        max_funcs: 5,
        max_globals: 5,
        max_imports: 0,
        max_instructions: 80,
        max_memories: 1,
        max_memory32_bytes: 1 << 16,
        max_table_elements: 12,
        max_tables: 1,
        max_tags: 0,
        memory64_enabled: false,
        memory_max_size_required: true,
        min_funcs: 1,
        min_globals: 1,
        min_memories: 1,
        min_tables: 1,
        min_types: 1,
        reference_types_enabled: false,
        relaxed_simd_enabled: false,
        table_max_size_required: true,
        tail_call_enabled: false,
        threads_enabled: false,
        ..wasm_smith::Config::default()
    };
    let mut dna = arbitrary::Unstructured::new(&bytes);
    wasm_smith::Module::new(config, &mut dna).expect("the generator takes any bytes").to_bytes()
}

/// A random module to our interface: it mixes memory, globals and the rows into one output, or, when it may
/// only read, into their number. The same draws make the same module, but for its reach.
pub fn random_module(random: &mut Random, reach: Reach) -> Vec<u8> {
    let wild = generated(random);
    let mut parts = Parts::default();
    let mut module = wasm_encoder::Module::new();
    let mut data = DataSection::new();
    for payload in Parser::new(0).parse_all(&wild) {
        parts.payload(&payload.unwrap(), &wild, reach);
    }
    let types = parts.params.len() as u32;
    module.section(&one_more(1, &parts.types, &[0x60, 1, 0x7f, 1, 0x7f]));
    module.section(&one_more(3, &parts.functions, &leb(types)));
    if let Some(table) = &parts.table {
        module.section(&RawSection { id: 4, data: table });
    }
    let mut memories = MemorySection::new();
    memories.memory(MemoryType {
        minimum: 1,
        maximum: Some(1),
        memory64: false,
        shared: false,
        page_size_log2: None,
    });
    module.section(&memories);
    let mut globals = GlobalSection::new();
    let constant = wasm_encoder::GlobalType {
        val_type: wasm_encoder::ValType::I32,
        mutable: false,
        shared: false,
    };
    for address in [INPUT, OUTPUT, LAYOUT] {
        globals.global(constant, &ConstExpr::i32_const(address));
    }
    let (own, more) = (parts.globals.len() as u32, section_items(&globals));
    let all = one_more_of(&parts.global_bytes, &more, 3);
    module.section(&RawSection { id: 6, data: &all });
    let mut exports = ExportSection::new();
    exports.export("memory", ExportKind::Memory, 0);
    exports.export("person_map", ExportKind::Func, parts.types_of.len() as u32);
    for (nth, name) in ["CLOISTER_INPUT", "CLOISTER_OUTPUT", "CLOISTER_LAYOUT"].iter().enumerate() {
        exports.export(name, ExportKind::Global, own + nth as u32);
    }
    module.section(&exports);
    module.section(&parts.elements);
    for segment in &parts.data {
        data.passive(segment.iter().copied());
    }
    data.active(0, &ConstExpr::i32_const(LAYOUT), WORDS);
    if reach == Reach::ReadOnly {
        data.active(0, &ConstExpr::i32_const(OUTPUT), PAIRS);
    }
    module.section(&DataCountSection { count: data.len() });
    let driver = driver(&parts, reach);
    parts.code.function(&driver);
    module.section(&parts.code);
    module.section(&data);
    module.finish()
}

/// What is taken from a wild module.
#[derive(Default)]
struct Parts {
    types: Vec<u8>,
    params: Vec<(Vec<ValType>, Vec<ValType>)>,
    functions: Vec<u8>,
    types_of: Vec<u32>,
    table: Option<Vec<u8>>,
    table_elements: u64,
    global_bytes: Vec<u8>,
    globals: Vec<ValType>,
    elements: ElementSection,
    data: Vec<Vec<u8>>,
    code: CodeSection,
}

impl Parts {
    fn payload(&mut self, payload: &Payload<'_>, wild: &[u8], reach: Reach) {
        let bytes = payload.as_section().map(|(_, range)| wild[range].to_vec()).unwrap_or_default();
        match payload {
            Payload::TypeSection(section) => {
                self.types = bytes;
                for group in section.clone() {
                    let group: RecGroup = group.unwrap();
                    let ty = group.types().next().unwrap().unwrap_func();
                    self.params.push((ty.params().to_vec(), ty.results().to_vec()));
                }
            }
            Payload::FunctionSection(section) => {
                self.functions = bytes;
                self.types_of = section.clone().into_iter().map(Result::unwrap).collect();
            }
            Payload::TableSection(section) => {
                self.table_elements =
                    section.clone().into_iter().map(|table| table.unwrap().ty.initial).sum();
                self.table = Some(bytes);
            }
            Payload::GlobalSection(section) => {
                self.global_bytes = bytes;
                for global in section.clone().into_iter_with_offsets() {
                    let (at, global) = global.unwrap();
                    self.globals.push(global.ty.content_type);
                    if reach == Reach::ReadOnly {
                        // Behind the byte of its type.
                        self.global_bytes[at - section.range().start + 1] = 0;
                    }
                }
            }
            Payload::ElementSection(section) => {
                for element in section.clone() {
                    let element = element.unwrap();
                    let ElementItems::Functions(items) = element.items else { continue };
                    let items: Vec<u32> = items.into_iter().map(Result::unwrap).collect();
                    let fits = items.len() as u64 <= self.table_elements;
                    let items = Elements::Functions(items.into());
                    match element.kind {
                        ElementKind::Active { .. } if fits => {
                            self.elements.active(None, &ConstExpr::i32_const(0), items);
                        }
                        ElementKind::Declared => {
                            self.elements.declared(items);
                        }
                        _ => {
                            self.elements.passive(items);
                        }
                    }
                }
            }
            Payload::DataSection(section) => {
                for segment in section.clone() {
                    let segment = segment.unwrap();
                    assert!(matches!(segment.kind, DataKind::Active { .. } | DataKind::Passive));
                    self.data.push(segment.data.to_vec());
                }
            }
            Payload::CodeSectionEntry(body) => {
                let ty = self.types_of[self.code.len() as usize] as usize;
                let params = self.params[ty].0.len() as u32;
                self.code.function(&bent(body, wild, params, reach));
            }
            _ => {}
        }
    }
}

/// The body with addresses masked and `memory.grow`, which no module may hold, answered by -1.
fn bent(body: &wasmparser::FunctionBody<'_>, wild: &[u8], params: u32, reach: Reach) -> Function {
    let mut groups: Vec<(u32, wasm_encoder::ValType)> = Vec::new();
    let mut own = params;
    for group in body.get_locals_reader().unwrap() {
        let (count, ty) = group.unwrap();
        own += count;
        groups.push((count, encoded(ty)));
    }
    groups.extend(SCRATCH.map(|ty| (1, encoded(ty))));
    groups.push((1, wasm_encoder::ValType::I32));
    let mut function = Function::new(groups);
    let mut operators = body.get_operators_reader().unwrap();
    while !operators.eof() {
        let (operator, start) = operators.read_with_offset().unwrap();
        let instead = instead_of(&operator, reach);
        for instruction in instead.iter().flatten() {
            function.instruction(instruction);
        }
        if instead.is_some() {
            continue;
        }
        for instruction in before(&operator, reach, own) {
            function.instruction(&instruction);
        }
        function.raw(wild[start..operators.original_position()].iter().copied());
    }
    function
}

/// Types of the locals that hold an operand while the address below it is bent; one more holds a length.
const SCRATCH: [ValType; 5] =
    [ValType::I32, ValType::I64, ValType::F32, ValType::F64, ValType::V128];

/// What stands for an operator that is left out.
fn instead_of(operator: &Operator<'_>, reach: Reach) -> Option<Vec<I<'static>>> {
    let drops = |operands| Some(vec![I::Drop; operands]);
    match operator {
        Operator::MemoryGrow { .. } => Some(vec![I::Drop, I::I32Const(-1)]),
        _ if reach != Reach::ReadOnly => None,
        Operator::GlobalSet { .. } => drops(1),
        Operator::MemoryFill { .. } | Operator::MemoryCopy { .. } | Operator::MemoryInit { .. } => {
            drops(3)
        }
        _ => {
            let name = format!("{operator:?}");
            if name.contains("memarg") && name.contains("Store") { drops(2) } else { None }
        }
    }
}

/// What bends the address that an operator takes; `own` is the first of the locals for that.
fn before(operator: &Operator<'_>, reach: Reach, own: u32) -> Vec<I<'static>> {
    let Some(mask) = reach.mask() else { return Vec::new() };
    let held = |ty: ValType| own + SCRATCH.iter().position(|other| *other == ty).unwrap() as u32;
    let bend = [I::I32Const(mask), I::I32And];
    if matches!(
        operator,
        Operator::MemoryFill { .. } | Operator::MemoryCopy { .. } | Operator::MemoryInit { .. }
    ) {
        let (other, length) = (held(ValType::I32), own + SCRATCH.len() as u32);
        let mut steps = vec![I::LocalSet(length), I::LocalSet(other)];
        steps.extend(bend);
        // The length's mask last: what comes out of a local may be anything to the vetter.
        steps.extend([I::LocalGet(other), I::LocalGet(length)]);
        steps.extend([I::I32Const(mask.min(BULK_MASK)), I::I32And]);
        return steps;
    }
    let name = format!("{operator:?}");
    if !name.contains("memarg") {
        return Vec::new();
    }
    // Loads of a lane have an operand above the address too.
    if !name.contains("Store") && !name.contains("Lane {") {
        return bend.to_vec();
    }
    let operand = match &name[..3] {
        "I32" => held(ValType::I32),
        "I64" => held(ValType::I64),
        "F32" => held(ValType::F32),
        "F64" => held(ValType::F64),
        _ => held(ValType::V128),
    };
    let mut steps = vec![I::LocalSet(operand)];
    steps.extend(bend);
    steps.push(I::LocalGet(operand));
    steps
}

/// person_map: sums a sample of memory and the globals, calls every function, gives back one number; when it
/// may only read, none to two of the pairs that are there.
fn driver(parts: &Parts, reach: Reach) -> Function {
    use wasm_encoder::ValType as V;
    let (at, sum) = (1, 2);
    let place = |offset: u64| MemArg { offset, align: 0, memory_index: 0 };
    let mut f = Function::new([(1, V::I32), (1, V::I64)]);
    let mut add = |steps: &[I<'_>]| {
        for step in steps {
            f.instruction(step);
        }
    };
    add(&[I::Loop(wasm_encoder::BlockType::Empty), I::LocalGet(sum), I::I64Const(31), I::I64Mul]);
    add(&[I::LocalGet(at), I::I64Load(place(0)), I::I64Add, I::LocalSet(sum)]);
    add(&[I::LocalGet(at), I::I32Const(40), I::I32Add, I::LocalTee(at)]);
    add(&[I::I32Const(65536 - 40), I::I32LtU, I::BrIf(0), I::End]);
    let fold = |ty: &ValType| match ty {
        ValType::I32 => vec![I::I64ExtendI32U],
        ValType::I64 => vec![],
        ValType::F32 => vec![I::I32ReinterpretF32, I::I64ExtendI32U],
        ValType::F64 => vec![I::I64ReinterpretF64],
        _ => vec![I::I64x2ExtractLane(1)],
    };
    let into_sum = [I::LocalGet(sum), I::I64Const(7), I::I64Mul, I::I64Add, I::LocalSet(sum)];
    for (index, ty) in parts.globals.iter().enumerate() {
        add(&[I::GlobalGet(index as u32)]);
        add(&fold(ty));
        add(&into_sum);
    }
    for (index, ty) in parts.types_of.iter().enumerate() {
        let (params, results) = &parts.params[*ty as usize];
        for (nth, param) in params.iter().enumerate() {
            // The rows start after one word of validity.
            let from = place(INPUT as u64 + 8 + 8 * (nth as u64 % 3));
            add(&[I::I32Const(0)]);
            add(&[match param {
                ValType::I32 => I::I32Load(from),
                ValType::I64 => I::I64Load(from),
                ValType::F32 => I::F32Load(from),
                ValType::F64 => I::F64Load(from),
                _ => I::V128Load(from),
            }]);
        }
        add(&[I::Call(index as u32)]);
        for result in results.iter().rev() {
            add(&fold(result));
            add(&into_sum);
        }
    }
    if reach == Reach::ReadOnly {
        add(&[I::LocalGet(sum), I::I64Const(3), I::I64RemU, I::I32WrapI64, I::End]);
        return f;
    }
    let output = OUTPUT as u64;
    add(&[I::I32Const(0), I::I64Const(0), I::I64Store(place(output))]);
    add(&[I::I32Const(0), I::LocalGet(sum), I::I64Store(place(output + 8))]);
    add(&[I::I32Const(1), I::End]);
    f
}

fn encoded(ty: ValType) -> wasm_encoder::ValType {
    match ty {
        ValType::I32 => wasm_encoder::ValType::I32,
        ValType::I64 => wasm_encoder::ValType::I64,
        ValType::F32 => wasm_encoder::ValType::F32,
        ValType::F64 => wasm_encoder::ValType::F64,
        _ => wasm_encoder::ValType::V128,
    }
}

/// A section's items without its count.
fn section_items(section: &impl wasm_encoder::Encode) -> Vec<u8> {
    let mut bytes = Vec::new();
    section.encode(&mut bytes);
    // Length, then count: both below 128 here.
    bytes.split_off(2)
}

/// A section with one more item; leaked, since tests are short and sections borrow.
fn one_more(id: u8, section: &[u8], item: &[u8]) -> RawSection<'static> {
    RawSection { id, data: Box::leak(one_more_of(section, item, 1).into_boxed_slice()) }
}

/// A section's bytes with `count` more items at its end.
fn one_more_of(section: &[u8], items: &[u8], count: u32) -> Vec<u8> {
    let (mut number, mut shift, mut rest) = (0_u32, 0, section);
    while let Some((byte, after)) = rest.split_first() {
        number |= u32::from(byte & 0x7f) << shift;
        (shift, rest) = (shift + 7, after);
        if byte & 0x80 == 0 {
            break;
        }
    }
    [&leb(number + count), rest, items].concat()
}

fn leb(mut value: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let byte = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            bytes.push(byte);
            return bytes;
        }
        bytes.push(byte | 0x80);
    }
}
