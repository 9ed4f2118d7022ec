//! What a worker process gives up before it reads its first byte, and again before its first person.
//!
//! Must never be applied to a process that does anything else: nothing given up can be taken back. Each
//! protection is its own, so that one which the kernel lacks does not cost the others.

use std::fmt;

/// Protections that a process put on itself; some may be missing on an older kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Protections {
    /// Bounded memory and processor time, few descriptors, no core dumps (resource limits).
    pub limits: bool,
    /// No path can be opened, made or removed (landlock).
    pub files: bool,
    /// Memory, threads, its own streams, and no other system call (seccomp).
    pub system_calls: bool,
}

impl Protections {
    /// Everything that this version knows of.
    pub const ALL: Protections = Protections { limits: true, files: true, system_calls: true };

    /// True when modules are behind all of them.
    pub fn are_all_on(&self) -> bool {
        *self == Protections::ALL
    }

    /// What is missing, for a message: `landlock`, `seccomp`, `resource limits`.
    pub fn missing(&self) -> String {
        let lacks = [
            (self.files, "landlock"),
            (self.system_calls, "seccomp"),
            (self.limits, "resource limits"),
        ];
        let names: Vec<_> =
            lacks.iter().filter(|(is_on, _)| !is_on).map(|(_, name)| *name).collect();
        names.join(", ")
    }

    /// One bit each.
    pub(crate) fn to_byte(self) -> u8 {
        u8::from(self.limits) | u8::from(self.files) << 1 | u8::from(self.system_calls) << 2
    }

    /// `None` for a bit that nobody sets.
    pub(crate) fn from_byte(byte: u8) -> Option<Protections> {
        let protections = Protections {
            limits: byte & 1 != 0,
            files: byte & 2 != 0,
            system_calls: byte & 4 != 0,
        };
        (protections.to_byte() == byte).then_some(protections)
    }
}

impl fmt::Display for Protections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.are_all_on() {
            return f.write_str("landlock, seccomp, resource limits");
        }
        write!(f, "without {}", self.missing())
    }
}

/// The descriptors a worker may read and write once it has persons, and those it must never touch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Streams {
    /// Requests come in here.
    pub input: i32,
    /// Answers go out here.
    pub output: i32,
    /// As [`limit_this_process`] found them.
    pub inherited: Vec<i32>,
}

/// Why the second, narrower filter could not be put on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the process cannot be limited further: {detail}; run on Linux 4.14 or later")]
pub struct NotLimited {
    /// The system's words.
    pub detail: String,
}

/// Limits this process for good, as far as the kernel lets it; says what is on now, and which descriptors
/// were open besides the standard ones, that no filter lets it use. Call it first, while there is one
/// thread: others would keep what this one gives up.
pub fn limit_this_process() -> (Protections, Vec<i32>) {
    let inherited = inherited();
    let limits = limit_resources();
    let files = deny_files();
    let system_calls = inherited.as_deref().is_some_and(filter_before_setup);
    (Protections { limits, files, system_calls }, inherited.unwrap_or_default())
}

#[cfg(target_os = "linux")]
mod linux {
    use super::{NotLimited, Streams};
    use crate::limits::{
        WORKER_ADDRESS_BYTES, WORKER_CPU_S_MAX, WORKER_DATA_BYTES, WORKER_DESCRIPTORS_MAX,
    };
    use crate::system_calls;
    use landlock::{
        ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr,
        RulesetError, RulesetStatus, Scope,
    };
    use rlimit::Resource;
    use std::path::Path;

    /// Core dumps of one byte are none, also where they are piped to a program: that checks for 1.
    const CORE_BYTES: u64 = 1;
    /// Standard input, output and error, which the node gave.
    const OWN_DESCRIPTORS: i32 = 3;

    /// Bounds memory, descriptors, core dumps and processor time.
    pub fn limit_resources() -> bool {
        let limits = [
            (Resource::CORE, CORE_BYTES),
            (Resource::DATA, WORKER_DATA_BYTES),
            (Resource::AS, WORKER_ADDRESS_BYTES),
            (Resource::NOFILE, WORKER_DESCRIPTORS_MAX),
            // Should the node die that would have killed it.
            (Resource::CPU, WORKER_CPU_S_MAX),
        ];
        limits.into_iter().all(|(resource, most)| {
            let hard = resource.get_hard().unwrap_or(most);
            resource.set(most.min(hard), most.min(hard)).is_ok()
        })
    }

    /// Descriptors that whoever started the node left open for its children. The node itself opens
    /// everything for itself alone. `None` when they cannot be listed.
    pub fn inherited() -> Option<Vec<i32>> {
        let listed = std::fs::read_dir("/proc/self/fd").ok()?;
        let numbers = listed.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        // The listing's own descriptor is among them, and is free again afterwards.
        let numbers: Vec<i32> = numbers.filter(|number| *number >= OWN_DESCRIPTORS).collect();
        let is_open = |number: &i32| Path::new(&format!("/proc/self/fd/{number}")).exists();
        Some(numbers.into_iter().filter(is_open).collect())
    }

    /// Handles every access and allows none.
    pub fn deny_files() -> bool {
        let denied = || -> Result<RulesetStatus, RulesetError> {
            let status = Ruleset::default()
                // Of the oldest kernel that has any of it; what later ones add comes on top.
                .set_compatibility(CompatLevel::HardRequirement)
                .handle_access(AccessFs::from_all(ABI::V1))?
                .set_compatibility(CompatLevel::BestEffort)
                .handle_access(AccessFs::from_all(ABI::V7))?
                .handle_access(AccessNet::from_all(ABI::V7))?
                .scope(Scope::from_all(ABI::V7))?
                .create()?
                .restrict_self()?;
            Ok(status.ruleset)
        };
        denied().is_ok_and(|status| status != RulesetStatus::NotEnforced)
    }

    /// Puts on the filter for greeting, vetting and compiling.
    pub fn filter_before_setup(inherited: &[i32]) -> bool {
        system_calls::before_setup(inherited).is_ok()
    }

    /// Puts on the narrower filter for running.
    ///
    /// # Errors
    /// [`NotLimited`] when the kernel does not take it.
    pub fn filter_before_persons(streams: &Streams) -> Result<(), NotLimited> {
        system_calls::before_persons(streams)
            .map_err(|error| NotLimited { detail: error.to_string() })
    }
}

#[cfg(not(target_os = "linux"))]
mod elsewhere {
    use super::{NotLimited, Streams};

    /// Not here.
    pub fn limit_resources() -> bool {
        false
    }

    /// Not here.
    pub fn deny_files() -> bool {
        false
    }

    /// Not here.
    pub fn inherited() -> Option<Vec<i32>> {
        None
    }

    /// Not here.
    pub fn filter_before_setup(_: &[i32]) -> bool {
        false
    }

    /// Not here.
    ///
    /// # Errors
    /// Always.
    pub fn filter_before_persons(_: &Streams) -> Result<(), NotLimited> {
        Err(NotLimited { detail: "this system has no seccomp".to_owned() })
    }
}

#[cfg(not(target_os = "linux"))]
pub use elsewhere::{deny_files, filter_before_persons};
#[cfg(not(target_os = "linux"))]
use elsewhere::{filter_before_setup, inherited, limit_resources};
#[cfg(target_os = "linux")]
pub use linux::{deny_files, filter_before_persons};
#[cfg(target_os = "linux")]
use linux::{filter_before_setup, inherited, limit_resources};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protections_travel_as_a_byte_and_no_other_byte_is_one() {
        for byte in 0..8 {
            assert_eq!(Protections::from_byte(byte).map(Protections::to_byte), Some(byte));
        }
        for byte in 8..=255 {
            assert_eq!(Protections::from_byte(byte), None);
        }
        assert_eq!(Protections::from_byte(7), Some(Protections::ALL));
    }

    #[test]
    fn what_is_missing_is_named() {
        let none = Protections::default();
        assert_eq!(none.missing(), "landlock, seccomp, resource limits");
        assert_eq!(none.to_string(), "without landlock, seccomp, resource limits");
        let old = Protections { files: false, ..Protections::ALL };
        assert!(!old.are_all_on());
        assert_eq!(old.to_string(), "without landlock");
        assert_eq!(Protections::ALL.to_string(), "landlock, seccomp, resource limits");
    }
}
