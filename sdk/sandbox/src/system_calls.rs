//! The two seccomp filters of a worker: one for compiling a module, a narrower one for running it.
//!
//! Must never let through what opens a file or a socket, starts a program or a process, traces another, or
//! touches a descriptor beyond the worker's own. A call that is not listed fails with `EPERM`, so that a
//! library that can do without goes on and one that cannot gives up the job.

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::SeccompCmpArgLen::Dword;
use seccompiler::SeccompCmpOp::{Eq, MaskedEq, Ne};
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, apply_filter_all_threads,
};

use crate::isolation::Streams;

/// Why a filter is not on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FilterError {
    #[error("the filter cannot be built: {0}")]
    Build(#[from] BackendError),
    #[error("the kernel did not take the filter: {0}")]
    Kernel(#[from] seccompiler::Error),
}

/// Calls with the rules of which one must hold; none: always.
type Calls = BTreeMap<i64, Vec<SeccompRule>>;

/// Both while compiling and while running: memory, locks, signals of this thread, time, the end.
const ALWAYS: [c_long; 22] = [
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_membarrier,
    libc::SYS_futex,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    libc::SYS_sched_yield,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_exit,
    libc::SYS_exit_group,
];
/// While compiling only. A sealed memory file holds a module's first image; it needs no path. `clone3` is
/// let through here and answered by a filter of its own.
const COMPILING: [c_long; 7] = [
    libc::SYS_close,
    libc::SYS_mprotect,
    libc::SYS_memfd_create,
    libc::SYS_ftruncate,
    libc::SYS_sched_getaffinity,
    libc::SYS_clone3,
    libc::SYS_seccomp,
];
/// What `fcntl` is let through for: a second number for a stream, the seals of a module's image, and the
/// question whether a descriptor is open. Not: owners and signals, locks, leases, flags, pipe sizes.
const DESCRIPTOR_COMMANDS: [i32; 3] = [libc::F_DUPFD_CLOEXEC, libc::F_ADD_SEALS, libc::F_GETFD];
/// What a thread is cloned with; a process is not.
const THREAD_FLAGS: u64 = (libc::CLONE_VM | libc::CLONE_THREAD | libc::CLONE_SIGHAND) as u64;
/// This very process, where a call takes a process (`PIDFD_SELF`).
const THIS_PROCESS: u64 = -10_000_i32 as u32 as u64;
/// `PR_SET_VMA`: names a mapping.
const NAME_MAPPING: u64 = 0x5356_4d41;

/// The filter for greeting, vetting and compiling. Call it with one thread.
pub(crate) fn before_setup(inherited: &[i32]) -> Result<(), FilterError> {
    let calls = calls_before_setup(inherited)?;
    // The flags of `clone3` lie in memory, where no filter sees them: the library falls back to `clone`.
    let hidden = Calls::from([(libc::SYS_clone3, vec![])]);
    let unknown = SeccompAction::Errno(libc::ENOSYS as u32);
    apply(hidden, SeccompAction::Allow, unknown)?;
    apply(calls, denied(), SeccompAction::Allow)
}

fn calls_before_setup(inherited: &[i32]) -> Result<Calls, BackendError> {
    let mut calls: Calls = ALWAYS.iter().chain(&COMPILING).map(|call| (*call, vec![])).collect();
    let not_inherited = |argument: u8| {
        let others = inherited.iter().map(|number| other(argument, *number));
        when_all(others.collect::<Result<_, _>>()?)
    };
    // An inherited descriptor may not even be mapped; the first argument of the others is one.
    for call in [libc::SYS_read, libc::SYS_write] {
        calls.insert(call, not_inherited(0)?);
    }
    calls.insert(libc::SYS_fcntl, on_own_descriptors(inherited)?);
    calls.insert(libc::SYS_mmap, not_inherited(4)?);
    // Threads of this process, told from processes by flags that a filter can see.
    calls.insert(libc::SYS_clone, vec![when(&[masked(0, THREAD_FLAGS, THREAD_FLAGS)?])?]);
    let ways = [libc::PR_SET_NAME as u64, libc::PR_SET_NO_NEW_PRIVS as u64, NAME_MAPPING];
    let rules = ways.map(|way| when(&[equal(0, way)?]));
    calls.insert(libc::SYS_prctl, rules.into_iter().collect::<Result<_, _>>()?);
    calls.extend(on_this_process()?);
    Ok(calls)
}

/// The filter for running persons: no new descriptor, no new code, no thread, and the two streams alone.
pub(crate) fn before_persons(streams: &Streams) -> Result<(), FilterError> {
    apply(calls_before_persons(streams)?, denied(), SeccompAction::Allow)
}

fn calls_before_persons(streams: &Streams) -> Result<Calls, BackendError> {
    let mut calls: Calls = ALWAYS.iter().map(|call| (*call, vec![])).collect();
    let no_code = masked(2, libc::PROT_EXEC as u64, 0)?;
    calls.insert(libc::SYS_mprotect, vec![when(std::slice::from_ref(&no_code))?]);
    let others = streams.inherited.iter().map(|number| other(4, *number));
    let mut fresh = others.collect::<Result<Vec<_>, _>>()?;
    fresh.push(no_code);
    calls.insert(libc::SYS_mmap, when_all(fresh)?);
    calls.extend(on_this_process()?);
    calls.insert(libc::SYS_read, vec![when(&[equal(0, descriptor(streams.input))?])?]);
    calls.insert(libc::SYS_write, vec![when(&[equal(0, descriptor(streams.output))?])?]);
    Ok(calls)
}

fn denied() -> SeccompAction {
    SeccompAction::Errno(libc::EPERM as u32)
}

fn descriptor(number: i32) -> u64 {
    u64::from(number.cast_unsigned())
}

/// [`DESCRIPTOR_COMMANDS`] alone, and on no inherited descriptor.
fn on_own_descriptors(inherited: &[i32]) -> Result<Vec<SeccompRule>, BackendError> {
    let rule = |command: i32| {
        let others = inherited.iter().map(|number| other(0, *number));
        let mut conditions = others.collect::<Result<Vec<_>, _>>()?;
        conditions.push(equal(1, descriptor(command))?);
        SeccompRule::new(conditions)
    };
    DESCRIPTOR_COMMANDS.into_iter().map(rule).collect()
}

/// Calls that could reach another process: giving pages back in bulk, and the signal of an abort.
fn on_this_process() -> Result<Calls, BackendError> {
    let own = u64::from(std::process::id());
    Ok(Calls::from([
        (libc::SYS_process_madvise, vec![when(&[equal(0, THIS_PROCESS)?])?]),
        (libc::SYS_tgkill, vec![when(&[equal(0, own)?])?]),
    ]))
}

/// Holds for every descriptor but this one.
fn other(argument: u8, number: i32) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(argument, Dword, Ne, descriptor(number))
}

/// One rule of all conditions; without any, the call is let through.
fn when_all(conditions: Vec<SeccompCondition>) -> Result<Vec<SeccompRule>, BackendError> {
    if conditions.is_empty() { Ok(vec![]) } else { Ok(vec![SeccompRule::new(conditions)?]) }
}

fn equal(argument: u8, value: u64) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(argument, Dword, Eq, value)
}

fn masked(argument: u8, mask: u64, value: u64) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(argument, Dword, MaskedEq(mask), value)
}

fn when(conditions: &[SeccompCondition]) -> Result<SeccompRule, BackendError> {
    SeccompRule::new(conditions.to_vec())
}

fn apply(calls: Calls, others: SeccompAction, listed: SeccompAction) -> Result<(), FilterError> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    let program: BpfProgram = SeccompFilter::new(calls, others, listed, arch)?.try_into()?;
    Ok(apply_filter_all_threads(&program)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What reaches another process, a file, a socket, or the kernel by another way than calls.
    const NEVER: [c_long; 26] = [
        libc::SYS_ptrace,
        libc::SYS_kill,
        libc::SYS_tkill,
        libc::SYS_pidfd_open,
        libc::SYS_pidfd_getfd,
        libc::SYS_pidfd_send_signal,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_io_uring_setup,
        libc::SYS_io_uring_enter,
        libc::SYS_io_uring_register,
        libc::SYS_ioctl,
        libc::SYS_unshare,
        libc::SYS_setns,
        libc::SYS_shmget,
        libc::SYS_mount,
        libc::SYS_bpf,
        libc::SYS_userfaultfd,
        libc::SYS_perf_event_open,
        libc::SYS_execve,
        libc::SYS_execveat,
        libc::SYS_openat,
        libc::SYS_socket,
        libc::SYS_connect,
        libc::SYS_sendmsg,
        libc::SYS_recvmsg,
    ];

    #[test]
    fn no_filter_lets_through_what_reaches_others() {
        let streams = Streams { input: 0, output: 1, inherited: vec![5] };
        let (setup, persons) = (calls_before_setup(&[5]), calls_before_persons(&streams));
        for calls in [setup.unwrap(), persons.unwrap()] {
            assert!(NEVER.iter().all(|call| !calls.contains_key(call)));
            // A signal and advice are for this process alone.
            for call in [libc::SYS_tgkill, libc::SYS_process_madvise] {
                assert_eq!(calls[&call].len(), 1);
            }
        }
    }

    #[test]
    fn while_persons_run_no_more_is_let_through_than_before() {
        let streams = Streams { input: 0, output: 1, inherited: Vec::new() };
        let setup = calls_before_setup(&[]).unwrap();
        let persons = calls_before_persons(&streams).unwrap();
        assert!(persons.keys().all(|call| setup.contains_key(call)));
        for call in COMPILING.iter().filter(|call| **call != libc::SYS_mprotect) {
            assert!(!persons.contains_key(call), "{call}");
        }
        assert_eq!((persons[&libc::SYS_read].len(), persons[&libc::SYS_write].len()), (1, 1));
    }
}
