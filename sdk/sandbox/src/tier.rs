//! How a job forgets one person before the next: the four tiers, cheapest first.
//!
//! Must never be asked of the guest: the vetter chooses, from what the code can be shown to write.

use std::fmt;

use crate::vet::Vetted;

/// What is undone after each person who returns, beside the input that the host wrote; after a trap it is
/// everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tier {
    /// Nothing: the code holds no instruction that writes memory, tables or segments, and no global can change.
    Pure,
    /// A few fixed byte ranges, at most [`crate::limits::WINDOW_BYTES_MAX`] together, and all mutable globals:
    /// every write is proven to fall inside them.
    Window,
    /// The cards that injected instructions marked before each write, and all mutable globals.
    Cards,
    /// Everything: each person gets an instance of its own. The fallback, and the oracle in tests.
    Fresh,
}

impl Tier {
    /// All tiers, cheapest first.
    pub const ALL: [Tier; 4] = [Tier::Pure, Tier::Window, Tier::Cards, Tier::Fresh];
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Tier::Pure => "pure",
            Tier::Window => "window copy",
            Tier::Cards => "dirty cards",
            Tier::Fresh => "fresh instance",
        })
    }
}

impl Vetted {
    /// Whether a tier undoes everything that this module can do.
    pub fn can_run_in(&self, tier: Tier) -> bool {
        let writes = self.writes();
        match tier {
            Tier::Fresh => true,
            Tier::Cards => !writes.other_state,
            Tier::Window => !writes.other_state && writes.window().is_some(),
            Tier::Pure => !writes.other_state && !writes.any && self.mutable_globals().is_empty(),
        }
    }

    /// The cheapest tier that undoes everything that this module can do.
    pub fn tier(&self) -> Tier {
        Tier::ALL.into_iter().find(|tier| self.can_run_in(*tier)).unwrap_or(Tier::Fresh)
    }
}
