//! Row B20, full disks and tampering: what a crash leaves is settled once, and a ledger that does
//! not prove is not opened.

use super::*;
use cloister_dp::prf;
use cloister_node::fixtures::EPOCH_S;
use cloister_node::ledger::{LedgerError, Settled, Verdict};
use cloister_terms::Digest;

#[test]
fn b20_a_crash_before_the_release_runs_once_more_under_the_same_charge() {
    let rig = Rig::new();
    let papers = rig.federation.papers(&rig.granted(|_| ()), 1);
    let charge = rig.fresh(&papers);
    let (id, plan) = (charge.id(), charge.plan().clone());
    let secret = prf(charge.prf_key(), 0, &[b"same?"]);
    drop(charge);
    let rig = rig.reopen();
    let mut again = rig.ledger.recover(&rig.terms, &mut SystemEntropy::new(), NOW_S).unwrap();
    assert_eq!(again.len(), 1);
    let again = again.remove(0);
    assert_eq!((again.id(), again.plan()), (id, &plan));
    assert_ne!(prf(again.prf_key(), 0, &[b"same?"]), secret, "the secret must be fresh");
    assert_eq!(rig.spent(), epsilon("1"));
    let release = rig.release(again, 2);
    let rig = rig.reopen();
    assert!(rig.ledger.recover(&rig.terms, &mut SystemEntropy::new(), NOW_S).unwrap().is_empty());
    let delivery = rig.ledger.delivery(papers.request_digest()).unwrap().unwrap();
    assert_eq!(delivery.verdict, Verdict::Released(release));
    assert_eq!(rig.ledger.undelivered().unwrap(), [(id, NOW_S + 31)]);
    rig.ledger.delivered(papers.request_digest()).unwrap();
    assert!(rig.reopen().ledger.undelivered().unwrap().is_empty());
}

#[test]
fn b20_a_second_crash_withholds_and_freezes() {
    let rig = Rig::new();
    let analysis = rig.granted(|_| ());
    let papers = rig.federation.papers(&analysis, 1);
    drop(rig.fresh(&papers));
    let rig = rig.reopen();
    drop(rig.ledger.recover(&rig.terms, &mut SystemEntropy::new(), NOW_S).unwrap());
    let rig = rig.reopen();
    assert!(rig.ledger.recover(&rig.terms, &mut SystemEntropy::new(), NOW_S).unwrap().is_empty());
    let delivery = rig.ledger.delivery(papers.request_digest()).unwrap().unwrap();
    assert_eq!(delivery.verdict, Verdict::Withheld);
    assert_eq!(rig.refusal(&rig.federation.papers(&analysis, 2)), Refusal::Frozen);
    assert_eq!(rig.spent(), epsilon("1"));
}

#[test]
fn b20_what_runs_again_is_what_was_charged() {
    let rig = Rig::new();
    drop(rig.fresh(&rig.federation.papers(&rig.granted(|_| ()), 1)));
    let spare = rusqlite::Connection::open(rig.ledger.path()).unwrap();
    let other = "replace(plan, '\"group_cap\":2', '\"group_cap\":3')";
    assert_eq!(spare.execute(&format!("UPDATE charges SET plan = {other}"), []).unwrap(), 1);
    assert!(rig.ledger.recover(&rig.terms, &mut SystemEntropy::new(), NOW_S).unwrap().is_empty());
    let view = rig.ledger.view().unwrap();
    assert_eq!(view.charges[0].state, "withheld");
}

#[test]
fn b20_what_would_no_longer_be_admitted_does_not_run_again() {
    type Change<'a> = &'a dyn Fn(&mut Rig, &Envelope);
    let left = |change: Change<'_>, now_s: i64| {
        let mut rig = Rig::new();
        let analysis = rig.granted(|_| ());
        drop(rig.fresh(&rig.federation.papers(&analysis, 1)));
        change(&mut rig, &analysis);
        let rig = rig.reopen();
        let open = rig.ledger.recover(&rig.terms, &mut SystemEntropy::new(), now_s).unwrap();
        (open.len(), rig.ledger.view().unwrap().charges[0].state.clone())
    };
    let (runs, waits, ends) =
        ((1, "open".to_owned()), (0, "open".to_owned()), (0, "withheld".to_owned()));
    let pinned: Change<'_> = &|rig, _| rig.ledger.pin(rig.federation.digest, NOW_S).unwrap();
    assert_eq!(left(pinned, NOW_S), runs);
    let declined: Change<'_> = &|rig, analysis| {
        let decline = rig.federation.decision("north", analysis, cloister_terms::Verdict::Reject);
        rig.ledger.decide(&decline.open().unwrap(), NOW_S).unwrap();
    };
    assert_eq!(left(declined, NOW_S), ends);
    let other_pinned: Change<'_> = &|rig, _| rig.ledger.pin(Digest::new([9; 32]), NOW_S).unwrap();
    assert_eq!(left(other_pinned, NOW_S), ends);
    let other_file: Change<'_> = &|rig, _| {
        let other = Federation::with(|agreement| agreement.charter = "Another.".to_owned());
        rig.terms = other.terms("north", generous(), 30_000);
    };
    assert_eq!(left(other_file, NOW_S), ends);
    let paused: Change<'_> = &|rig, _| {
        rig.ledger.set_paused(true, NOW_S).unwrap();
    };
    assert_eq!(left(paused, NOW_S), waits);
    // Grant: until the last second that a slot of 30 s leaves.
    let over_s = NOW_S + 100 * EPOCH_S - 30;
    assert_eq!(left(pinned, over_s - 1), runs);
    assert_eq!(left(pinned, over_s), ends);
    // A clock that is behind says nothing of dates.
    assert_eq!(left(pinned, NOW_S - 121), waits);
}

#[test]
fn b20_what_stays_at_home_is_not_a_starting_nodes_to_run() {
    let rig = Rig::new();
    drop(rig.fresh(&rig.federation.papers(&rig.granted(|_| ()), 1)));
    // As a question of the steward's own lies there: nothing waits to be sent.
    let spare = rusqlite::Connection::open(rig.ledger.path()).unwrap();
    assert_eq!(spare.execute("UPDATE outbox SET delivered = 1", []).unwrap(), 1);
    for _ in 0..3 {
        let open = rig.ledger.recover(&rig.terms, &mut SystemEntropy::new(), NOW_S).unwrap();
        assert!(open.is_empty());
    }
    assert_eq!(rig.ledger.view().unwrap().charges[0].state, "open", "nor is an attempt counted");
}

#[test]
fn a_ledger_that_is_gone_is_never_made_anew() {
    let rig = Rig::new();
    rig.release(rig.fresh(&rig.federation.papers(&rig.granted(|_| ()), 1)), 1);
    let path = rig.ledger.path().to_owned();
    drop(rig.ledger);
    // One from before there were markers gets its own.
    let marker = path.with_extension("made");
    std::fs::remove_file(&marker).unwrap();
    drop(Ledger::open(&path).unwrap());
    assert!(marker.exists());
    let kept = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let gone = Ledger::open(&path);
    assert!(matches!(gone, Err(LedgerError::Missing { .. })), "{gone:?}");
    assert!(!path.exists());
    std::fs::write(&path, b"").unwrap();
    let empty = Ledger::open(&path);
    assert!(matches!(empty, Err(LedgerError::Missing { .. })), "{empty:?}");
    std::fs::write(&path, kept).unwrap();
    assert_eq!(Ledger::open(&path).unwrap().view().unwrap().accounts.len(), 4);
}

#[test]
fn a_full_disk_charges_nothing() {
    let rig = Rig::new();
    let papers: Vec<_> =
        (0..40).map(|i| rig.federation.papers(&rig.granted(numbered(i)), i as u64)).collect();
    rig.ledger.fill_disk_for_tests().unwrap();
    let mut charged = 0u64;
    let mut stopped = None;
    for papers in &papers {
        match rig.charge(papers) {
            Ok(_) => charged += 1,
            Err(refusal) => {
                assert_eq!(refusal, Refusal::LedgerUnavailable);
                stopped = Some(papers);
                break;
            }
        }
    }
    let stopped = stopped.expect("the disk must fill up");
    assert_eq!(rig.spent(), epsilon("1").checked_mul(charged).unwrap());
    rig.ledger.empty_disk_for_tests().unwrap();
    let rig = rig.reopen();
    assert_eq!(rig.spent(), epsilon("1").checked_mul(charged).unwrap());
    // Nothing of the refused request stuck: it may be sent again.
    rig.fresh(stopped);
    assert_eq!(rig.spent(), epsilon("1").checked_mul(charged + 1).unwrap());
}

#[test]
fn a_disk_that_is_full_at_the_release_sends_nothing_and_keeps_the_charge() {
    let rig = Rig::new();
    let papers = rig.federation.papers(&rig.granted(numbered(1)), 1);
    let charge = rig.fresh(&papers);
    let (id, lanes) = (charge.id(), values(&charge, 1));
    rig.ledger.fill_disk_for_tests().unwrap();
    // What room the last pages have is taken by the smallest of entries.
    let note = || rig.ledger.note_refusal(None, Refusal::Busy, NOW_S);
    assert!((0..10_000).any(|_| note().is_err()), "the disk must fill up");
    let head = rig.ledger.head().unwrap();
    let full = rig.ledger.release_for_tests(charge, lanes, &key("node:north"), NOW_S);
    assert!(matches!(full, Err(LedgerError::Sqlite(_))), "{full:?}");
    let full = rig.ledger.withhold(id, NOW_S);
    assert!(matches!(full, Err(LedgerError::Sqlite(_))), "{full:?}");
    assert_eq!(rig.ledger.delivery(papers.request_digest()).unwrap(), None, "nothing is sent");
    assert_eq!(rig.ledger.view().unwrap().charges[0].state, "open");
    assert_eq!((rig.spent(), rig.ledger.head().unwrap()), (epsilon("1"), head));
    rig.ledger.empty_disk_for_tests().unwrap();
    for _ in 0..2 {
        assert_eq!(rig.ledger.withhold(id, NOW_S).unwrap(), Settled::Withheld);
    }
    let rig = rig.reopen();
    assert!(rig.ledger.recover(&rig.terms, &mut SystemEntropy::new(), NOW_S).unwrap().is_empty());
    let delivery = rig.ledger.delivery(papers.request_digest()).unwrap().unwrap();
    assert_eq!(delivery.verdict, Verdict::Withheld);
    assert_eq!(rig.ledger.head().unwrap().size, head.size + 1, "one verdict");
    assert_eq!(rig.spent(), epsilon("1"));
}

#[test]
fn a_commit_of_unknown_outcome_counts_as_charged() {
    let rig = Rig::new();
    let papers = rig.federation.papers(&rig.granted(|_| ()), 1);
    rig.ledger.lose_next_commit_for_tests();
    assert_eq!(rig.charge(&papers).unwrap_err(), Refusal::LedgerUnavailable);
    assert_eq!(rig.spent(), epsilon("1"));
    assert_eq!(rig.charge(&papers).unwrap_err(), Refusal::Replay);
    let rig = rig.reopen();
    assert_eq!(rig.spent(), epsilon("1"));
    assert_eq!(rig.ledger.recover(&rig.terms, &mut SystemEntropy::new(), NOW_S).unwrap().len(), 1);
}

#[test]
fn a_lost_release_commit_is_still_the_one_release() {
    let rig = Rig::new();
    let papers = rig.federation.papers(&rig.granted(|_| ()), 1);
    let charge = rig.fresh(&papers);
    let (id, lanes) = (charge.id(), values(&charge, 1));
    rig.ledger.lose_next_commit_for_tests();
    let lost = rig.ledger.release_for_tests(charge, lanes, &key("node:north"), NOW_S);
    assert!(matches!(lost, Err(LedgerError::CommitUnknown(_))));
    let settled = rig.ledger.withhold(id, NOW_S).unwrap();
    assert_eq!(settled, Settled::Released);
    let delivery = rig.ledger.delivery(papers.request_digest()).unwrap().unwrap();
    assert!(matches!(delivery.verdict, Verdict::Released(_)));
}

#[test]
fn a_tampered_ledger_is_not_opened() {
    let tampered = |sql: &str| {
        let rig = Rig::new();
        let first = rig.fresh(&rig.federation.papers(&rig.granted(|_| ()), 1));
        rig.release(first, 1);
        rig.fresh(&rig.federation.papers(&rig.granted(numbered(1)), 2));
        let path = rig.ledger.path().to_owned();
        drop(rig.ledger);
        let spare = rusqlite::Connection::open(&path).unwrap();
        spare.execute_batch(sql).unwrap();
        drop(spare);
        Ledger::open(&path).map(drop)
    };
    let untouched = tampered("SELECT 1");
    assert!(untouched.is_ok(), "{untouched:?}");
    let free = "DROP TRIGGER journal_keeps_its_rows; DROP TRIGGER journal_loses_no_row;";
    for sql in [
        "UPDATE journal SET entry = replace(entry, '\"epsilon\":\"1\"', '\"epsilon\":\"0\"')",
        "DELETE FROM journal WHERE seq = 2",
        "DELETE FROM journal WHERE seq = (SELECT max(seq) FROM journal)",
        "DELETE FROM journal",
        "UPDATE journal SET seq = seq + 1 WHERE seq = (SELECT max(seq) FROM journal)",
        "UPDATE meta SET value = 'ff' WHERE key = 'journal_head'",
    ] {
        let result = tampered(&format!("{free} {sql}"));
        assert!(matches!(result, Err(LedgerError::BrokenChain { .. })), "{sql}: {result:?}");
    }
    for sql in [
        "UPDATE accounts SET epsilon = epsilon - 1 WHERE kind = 'lifetime'",
        "DELETE FROM accounts WHERE kind = 'researcher'",
        "INSERT INTO accounts VALUES ('study', 'x', 1, 0, 0, 1, 0, 0)",
    ] {
        let result = tampered(sql);
        assert!(matches!(result, Err(LedgerError::SpentMismatch { .. })), "{sql}: {result:?}");
    }
    for sql in [
        "UPDATE charges SET state = 'open'",
        "PRAGMA foreign_keys = OFF; DELETE FROM charges WHERE state = 'open'",
        "UPDATE releases SET digest = 'ff'",
        "PRAGMA foreign_keys = OFF; DELETE FROM releases",
    ] {
        let result = tampered(sql);
        assert!(matches!(result, Err(LedgerError::ChargeMismatch { .. })), "{sql}: {result:?}");
    }
    let newer = tampered("PRAGMA user_version = 9");
    assert!(matches!(newer, Err(LedgerError::Version { found: 9, .. })));
}

#[test]
fn a_ledger_from_before_rounds_keeps_what_was_spent_and_how_often() {
    let rig = Rig::new();
    let once = rig.granted(|analysis| analysis.max_runs = 1);
    let twice = rig.granted(|analysis| (numbered(1)(analysis), analysis.max_runs = 2).1);
    rig.release(rig.fresh(&rig.federation.papers(&once, 1)), 1);
    rig.release(rig.fresh(&rig.federation.papers(&twice, 2)), 2);
    let (spent, path) = (rig.spent(), rig.ledger.path().to_owned());
    let before = rusqlite::Connection::open(&path).unwrap();
    before
        .execute_batch(
            "ALTER TABLE runs RENAME TO later;
             CREATE TABLE runs(analysis TEXT PRIMARY KEY, count INTEGER NOT NULL) STRICT;
             INSERT INTO runs SELECT analysis, count FROM later;
             DROP TABLE later;
             PRAGMA user_version = 1;",
        )
        .unwrap();
    drop(before);
    let rig = rig.reopen();
    assert_eq!(rig.spent(), spent);
    // In another epoch nothing is a repeat.
    let tomorrow = NOW_S + cloister_node::fixtures::EPOCH_S;
    let asked = |analysis: &Envelope, nonce| {
        let votes = ["rita", "rosa"]
            .map(|who| rig.federation.vote(who, analysis, cloister_terms::Verdict::Approve));
        let request = rig.federation.request(analysis, &votes, nonce, tomorrow).to_bytes();
        let papers = Papers { request, ..rig.federation.papers(analysis, nonce) };
        let admitted = rig.admit_at(&papers, tomorrow)?;
        rig.ledger.charge(admitted, Room::Free, &mut SystemEntropy::new())
    };
    assert_eq!(asked(&once, 3).unwrap_err(), Refusal::NoRunsLeft);
    fresh(asked(&twice, 4));
    assert_eq!(asked(&once, 5).unwrap_err(), Refusal::NoRunsLeft);
    rig.reopen();
}

#[test]
fn the_journal_is_append_only_and_stored_bytes_are_checked() {
    let rig = Rig::new();
    let papers = rig.federation.papers(&rig.granted(|_| ()), 1);
    rig.release(rig.fresh(&papers), 1);
    let spare = rusqlite::Connection::open(rig.ledger.path()).unwrap();
    for sql in ["UPDATE journal SET entry = ''", "DELETE FROM journal"] {
        let error = spare.execute(sql, []).unwrap_err().to_string();
        assert!(error.contains("append-only"), "{error}");
    }
    spare.execute("UPDATE releases SET envelope = x'00'", []).unwrap();
    let found = rig.ledger.delivery(papers.request_digest());
    assert!(matches!(found, Err(LedgerError::ChargeMismatch { .. })));
}

#[test]
fn foreign_files_are_not_taken_for_a_ledger() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("notes.txt");
    std::fs::write(&text, "not a database, but long enough to be looked at ".repeat(100)).unwrap();
    assert!(matches!(Ledger::open(&text), Err(LedgerError::NotALedger { .. })));
    let other = folder.path().join("other.sqlite");
    let spare = rusqlite::Connection::open(&other).unwrap();
    spare.execute_batch("CREATE TABLE theirs(x)").unwrap();
    drop(spare);
    assert!(matches!(Ledger::open(&other), Err(LedgerError::NotALedger { .. })));
    let missing = folder.path().join("no/such/folder/ledger.sqlite");
    assert!(matches!(Ledger::open(&missing), Err(LedgerError::Sqlite(_))));
}
