//! Reads one function's code once: validates it, bounds what the compiler may be asked to do, notes what it
//! can write.
//!
//! Must never allocate by a number that the module states about itself.

use wasmparser::{
    FuncToValidate, FuncValidatorAllocations, FunctionBody, Operator, ValidatorResources,
};

use crate::limits::{BULK_BRANCHES, LOCALS_RECKONED, Limit, Limits};
use crate::vet::{VetError, bounded};
use crate::writes::{OperandStack, Writes};

/// Validates one body, adds what it can write, and returns its complexity (branch points x locals).
///
/// The product is what a compiler's SSA form can grow to: every loop may need a parameter for every local.
///
/// # Errors
/// Any [`VetError`] that concerns code.
pub(crate) fn vet_body(
    function: FuncToValidate<ValidatorResources>,
    body: &FunctionBody<'_>,
    params: u64,
    limits: &Limits,
    writes: &mut Writes,
) -> Result<u64, VetError> {
    let range = body.range();
    let code_bytes = range.end.saturating_sub(range.start) as u64;
    bounded(Limit::FunctionBytes, code_bytes, limits.function_bytes)?;
    let locals = count_locals(body, params, limits)?;

    let mut validator = function.into_validator(FuncValidatorAllocations::default());
    let mut at_locals = body.get_binary_reader();
    validator.read_locals(&mut at_locals)?;

    let mut operators = body.get_operators_reader()?;
    let mut stack = OperandStack::default();
    let mut depth: u64 = 0;
    let mut branches: u64 = 1;
    while !operators.eof() {
        let (operator, offset) = operators.read_with_offset()?;
        match &operator {
            Operator::MemoryGrow { .. } => return Err(VetError::MemoryGrow { offset }),
            Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => {
                depth = depth.saturating_add(1);
                branches = branches.saturating_add(1);
            }
            Operator::End => depth = depth.saturating_sub(1),
            Operator::Br { .. } | Operator::BrIf { .. } => branches = branches.saturating_add(1),
            Operator::BrTable { targets } => {
                branches = branches.saturating_add(u64::from(targets.len()).saturating_add(1));
            }
            Operator::MemoryFill { .. }
            | Operator::MemoryCopy { .. }
            | Operator::MemoryInit { .. }
            | Operator::TableFill { .. }
            | Operator::TableCopy { .. }
            | Operator::TableInit { .. } => branches = branches.saturating_add(BULK_BRANCHES),
            _ => {}
        }
        bounded(Limit::Nesting, depth, limits.nesting)?;
        bounded(Limit::Branches, branches, limits.branches)?;
        // Before it runs, since the arity of an `end` is that of the block it closes.
        let pushed = operator.operator_arity(&validator).map(|(_, pushed)| pushed);
        stack.before(&operator, writes);
        validator.op(offset, &operator)?;
        stack.after(&operator, pushed, validator.operand_stack_height());
    }
    operators.finish()?;
    let complexity = branches.saturating_mul(locals.saturating_add(LOCALS_RECKONED));
    bounded(Limit::FunctionComplexity, complexity, limits.function_complexity)?;
    Ok(complexity)
}

/// Adds up the declared locals before anything is allocated for them.
fn count_locals(body: &FunctionBody<'_>, params: u64, limits: &Limits) -> Result<u64, VetError> {
    let mut total = params;
    let mut groups = body.get_locals_reader()?;
    for _ in 0..groups.get_count() {
        let (count, _) = groups.read()?;
        total = total.saturating_add(u64::from(count));
        bounded(Limit::Locals, total, limits.locals)?;
    }
    Ok(total)
}
