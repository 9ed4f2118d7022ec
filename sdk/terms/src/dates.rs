//! Whether the dates of an agreement and an analysis leave time for a run. One rule for all who sign
//! under them, for the coordinator that takes in what they signed, and for each node before it runs;
//! whoever asks brings a clock.

use crate::{Agreement, Analysis, Moment};

/// What somebody is about to do under an agreement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Sign something, or take in what was signed: what begins later may be signed before.
    Sign,
    /// Start a round of a run.
    Run {
        /// Which round, from 1: those that follow need their time too.
        round: u32,
        /// How long it may take here, where that is longer than the agreement's `run_time_max_ms`.
        slot_ms: u64,
    },
}

/// Why nothing may be signed or run at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OutsideDates {
    /// A document has not begun.
    #[error("the {document} begins at {from} (UTC): nothing runs under it before; ask again then")]
    NotYet {
        /// `agreement` or `analysis`.
        document: &'static str,
        /// Its first moment.
        from: Moment,
    },
    /// A document has ended, or a run could outlast it.
    #[error(
        "the {document} leaves no time for a run: nothing may run from {until} (UTC) on, and a run may take {run_s} s; agree on new dates, and sign the new {document}"
    )]
    Over {
        /// `agreement` or `analysis`.
        document: &'static str,
        /// The first moment after it.
        until: Moment,
        /// How long a run may take, in seconds, with each round that is still to come.
        run_s: i64,
    },
}

/// Whether `agreement` and `analysis` hold at `now_s` (for what is signed: whether they will), and then
/// for as long as a run that starts at `now_s` may take, with each round that is still to come.
///
/// # Errors
/// The first document whose dates do not.
pub fn check_dates(
    agreement: &Agreement,
    analysis: Option<&Analysis>,
    act: Act,
    now_s: i64,
) -> Result<(), OutsideDates> {
    let run_s = rounds_s(agreement, analysis, act);
    let agreed = ("agreement", agreement.not_before_s, agreement.not_after_s);
    let asked = analysis.map(|asked| ("analysis", asked.not_before_s, asked.not_after_s));
    for (document, from_s, to_s) in std::iter::once(agreed).chain(asked) {
        if now_s.saturating_add(run_s) >= to_s {
            return Err(OutsideDates::Over { document, until: moment(to_s), run_s });
        }
        if now_s < from_s && act != Act::Sign {
            return Err(OutsideDates::NotYet { document, from: moment(from_s) });
        }
    }
    Ok(())
}

/// How long what `act` begins may take, in seconds: each round that is still to come, one after the other.
pub fn rounds_s(agreement: &Agreement, analysis: Option<&Analysis>, act: Act) -> i64 {
    let (round, slot_ms) = match act {
        Act::Sign => (1, 0),
        Act::Run { round, slot_ms } => (round, slot_ms),
    };
    let rounds = analysis.map_or(1, |asked| asked.rounds);
    let to_come = rounds.saturating_sub(round.saturating_sub(1)).max(1);
    // Whole seconds of each: a round starts after the last one's end.
    run_end_s(0, agreement.run_time_max_ms.max(slot_ms)).saturating_mul(i64::from(to_come))
}

/// The last second in which a run that starts at `now_s` and takes at most `run_ms` may be under way.
pub fn run_end_s(now_s: i64, run_ms: u64) -> i64 {
    now_s.saturating_add(i64::try_from(run_ms.div_ceil(1_000)).unwrap_or(i64::MAX))
}

fn moment(at_s: i64) -> Moment {
    Moment(at_s.saturating_mul(1_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Calendar, DOCUMENT_VERSION, Dictionary, Quorum};

    /// An agreement of these dates, whose runs take 600 s at most.
    fn agreement(not_before_s: i64, not_after_s: i64) -> Agreement {
        Agreement {
            version: DOCUMENT_VERSION,
            name: "mobility".parse().unwrap(),
            charter: String::new(),
            purposes: vec![],
            not_before_s,
            not_after_s,
            calendar: Calendar { start_s: 0, length_s: 1 },
            parties: vec![],
            researchers: vec![],
            reviewers: vec![],
            quorum: Quorum { approvals: 1, organisations: 1 },
            coordinator: "hub".parse().unwrap(),
            run_time_max_ms: 599_001,
            dictionary: Dictionary { datasets: vec![], holdings: vec![], public_tables: vec![] },
        }
    }

    #[test]
    fn b07_nothing_is_signed_that_could_not_run_in_time() {
        let agreement = agreement(1_000, 10_000);
        let sign = |now_s| check_dates(&agreement, None, Act::Sign, now_s);
        for early_s in [i64::MIN, 0, 999, 1_000, 9_399] {
            assert_eq!(sign(early_s), Ok(()), "{early_s}");
        }
        for late_s in [9_400, 9_999, 10_000, i64::MAX] {
            let over = matches!(sign(late_s), Err(OutsideDates::Over { run_s: 600, .. }));
            assert!(over, "{late_s}");
        }
        let said = sign(9_400).unwrap_err().to_string();
        assert!(said.contains("the agreement") && said.contains("1970-01-01 02:46:40"), "{said}");
    }

    #[test]
    fn b07_nothing_runs_before_its_dates_or_past_them() {
        let agreement = agreement(1_000, 10_000);
        let run =
            |slot_ms, now_s| check_dates(&agreement, None, Act::Run { round: 1, slot_ms }, now_s);
        assert!(matches!(run(0, 999), Err(OutsideDates::NotYet { .. })));
        assert_eq!(run(0, 1_000), Ok(()));
        assert_eq!(run(0, 9_399), Ok(()));
        assert!(matches!(run(0, 9_400), Err(OutsideDates::Over { .. })));
        // The longer of the agreement's run time and this node's slot.
        assert!(matches!(run(600_001, 9_399), Err(OutsideDates::Over { run_s: 601, .. })));
        assert!(matches!(run(u64::MAX, 1_000), Err(OutsideDates::Over { .. })));
    }
}
