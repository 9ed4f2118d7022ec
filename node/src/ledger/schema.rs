//! The ledger's tables. Digests are lower-case hex and documents canonical JSON, so that an auditor
//! reads the file with SQLite's own tools. No statement of this crate may update or delete a row of
//! the journal, and the file itself refuses one that does.

/// Marks the file as a Cloister ledger (`PRAGMA application_id`): "CLst".
pub(super) const APPLICATION_ID: i64 = 0x434c_7374;
/// Version of the tables (`PRAGMA user_version`).
pub(super) const SCHEMA_VERSION: i64 = 2;

/// From version 1, where a run had one round.
pub(super) const FROM_VERSION_1: &str = "
ALTER TABLE runs RENAME TO runs_of_one_round;
CREATE TABLE runs(
  analysis TEXT NOT NULL,
  round INTEGER NOT NULL,
  count INTEGER NOT NULL CHECK(count >= 0),
  PRIMARY KEY(analysis, round)
) STRICT;
INSERT INTO runs(analysis, round, count) SELECT analysis, 1, count FROM runs_of_one_round;
DROP TABLE runs_of_one_round;
";

/// Creates every table of [`SCHEMA_VERSION`].
pub(super) const SCHEMA: &str = "
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;

CREATE TABLE journal(
  seq INTEGER PRIMARY KEY,
  previous TEXT NOT NULL,
  entry TEXT NOT NULL,
  hash TEXT NOT NULL UNIQUE
) STRICT;
CREATE TRIGGER journal_keeps_its_rows BEFORE UPDATE ON journal
  BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER journal_loses_no_row BEFORE DELETE ON journal
  BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;

CREATE TABLE accounts(
  kind TEXT NOT NULL CHECK(kind IN ('lifetime', 'agreement', 'study', 'researcher')),
  holder TEXT NOT NULL,
  epsilon INTEGER NOT NULL CHECK(epsilon >= 0),
  rho INTEGER NOT NULL CHECK(rho >= 0),
  delta INTEGER NOT NULL CHECK(delta >= 0),
  cap_epsilon INTEGER NOT NULL,
  cap_rho INTEGER NOT NULL,
  cap_delta INTEGER NOT NULL,
  PRIMARY KEY(kind, holder)
) STRICT;

CREATE TABLE charges(
  charge TEXT PRIMARY KEY,
  state TEXT NOT NULL CHECK(state IN ('open', 'released', 'withheld')),
  attempt INTEGER NOT NULL CHECK(attempt >= 1),
  question TEXT NOT NULL,
  analysis TEXT NOT NULL,
  terms TEXT NOT NULL,
  plan TEXT,
  module BLOB,
  charged_at_s INTEGER NOT NULL,
  slot_at_s INTEGER NOT NULL
) STRICT;
CREATE INDEX charges_open ON charges(question) WHERE state = 'open';

CREATE TABLE releases(
  question TEXT PRIMARY KEY,
  charge TEXT NOT NULL UNIQUE REFERENCES charges(charge),
  digest TEXT NOT NULL,
  envelope BLOB NOT NULL
) STRICT;

CREATE TABLE outbox(
  request TEXT PRIMARY KEY,
  charge TEXT NOT NULL REFERENCES charges(charge),
  delivered INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX outbox_waiting ON outbox(charge) WHERE delivered = 0;

CREATE TABLE nonces(
  researcher TEXT NOT NULL,
  nonce TEXT NOT NULL,
  request TEXT NOT NULL,
  PRIMARY KEY(researcher, nonce)
) STRICT;

CREATE TABLE runs(
  analysis TEXT NOT NULL,
  round INTEGER NOT NULL,
  count INTEGER NOT NULL CHECK(count >= 0),
  PRIMARY KEY(analysis, round)
) STRICT;

CREATE TABLE frozen(
  analysis TEXT PRIMARY KEY,
  charge TEXT NOT NULL,
  since_s INTEGER NOT NULL
) STRICT;

CREATE TABLE offers(
  analysis TEXT PRIMARY KEY,
  researcher TEXT NOT NULL,
  name TEXT NOT NULL,
  envelope BLOB NOT NULL,
  module BLOB,
  approvals BLOB NOT NULL,
  received_at_s INTEGER NOT NULL
) STRICT;

CREATE TABLE grants(
  analysis TEXT PRIMARY KEY,
  granted INTEGER NOT NULL CHECK(granted IN (0, 1)),
  envelope BLOB NOT NULL,
  reported INTEGER NOT NULL DEFAULT 0
) STRICT;
";
