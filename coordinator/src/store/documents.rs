//! Agreements, analyses and approvals, as the signed envelopes that came in.

use super::{Store, StoreError, parsed};
use cloister_terms::{Digest, Name, Verdict};
use cloister_wire::codec::MESSAGE_BYTES_MAX;
use cloister_wire::message::DOCUMENTS_MAX;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, params};

/// One analysis as stored.
#[derive(Debug, Clone)]
pub struct StoredAnalysis {
    /// The agreement's envelope.
    pub agreement: Vec<u8>,
    /// The analysis' envelope.
    pub envelope: Vec<u8>,
    /// The module's bytes.
    pub module: Option<Vec<u8>>,
    /// Votes, in the order of the reviewers' names.
    pub votes: Vec<StoredVote>,
}

impl StoredAnalysis {
    /// The votes' envelopes.
    pub fn approvals(&self) -> Vec<Vec<u8>> {
        self.votes.iter().map(|vote| vote.envelope.clone()).collect()
    }
}

/// One vote as stored.
#[derive(Debug, Clone)]
pub struct StoredVote {
    /// Digest of the vote's document.
    pub digest: Digest,
    /// Whether it rejects.
    pub rejects: bool,
    /// The vote's envelope.
    pub envelope: Vec<u8>,
}

/// Most bytes of the agreements that are listed: the rest of the message is for the length of each.
const LISTED_BYTES_MAX: usize = MESSAGE_BYTES_MAX - (1 << 20);

/// A verdict as stored.
const APPROVE: &str = "approve";
const REJECT: &str = "reject";

impl Store {
    /// Stores an agreement; false when it was there already.
    pub fn put_agreement(&self, digest: Digest, envelope: &[u8]) -> Result<bool, StoreError> {
        let sql = "INSERT OR IGNORE INTO agreements (digest, envelope) VALUES (?1, ?2)";
        Ok(self.lock().execute(sql, params![digest.to_string(), envelope])? == 1)
    }

    /// An agreement's envelope.
    pub fn agreement(&self, digest: Digest) -> Result<Option<Vec<u8>>, StoreError> {
        let sql = "SELECT envelope FROM agreements WHERE digest = ?1";
        Ok(self.lock().query_row(sql, [digest.to_string()], |row| row.get(0)).optional()?)
    }

    /// Agreements' envelopes, as many as one message holds: first those that analyses stand under, then the
    /// others, each oldest first. Whatever is published later pushes none of these out; one that is left
    /// out is used all the same, by whoever has its file.
    pub fn agreements(&self) -> Result<Vec<Vec<u8>>, StoreError> {
        self.agreements_within(DOCUMENTS_MAX, LISTED_BYTES_MAX)
    }

    fn agreements_within(&self, most: usize, bytes: usize) -> Result<Vec<Vec<u8>>, StoreError> {
        let connection = self.lock();
        // Sizes first: what is left out is not even read.
        let sql = "SELECT rowid, length(envelope) FROM agreements
             ORDER BY digest IN (SELECT agreement FROM analyses) DESC, rowid";
        let mut statement = connection.prepare_cached(sql)?;
        let mut sizes = statement.query([])?;
        let (mut listed, mut room) = (Vec::new(), bytes);
        while let (true, Some(row)) = (listed.len() < most, sizes.next()?) {
            let (rowid, size): (i64, i64) = (row.get(0)?, row.get(1)?);
            let size = usize::try_from(size).unwrap_or(usize::MAX);
            // Where this one does not fit, a smaller one still may.
            if let Some(left) = room.checked_sub(size) {
                room = left;
                listed.push(rowid);
            }
        }
        let sql = "SELECT envelope FROM agreements WHERE rowid = ?1";
        let mut statement = connection.prepare_cached(sql)?;
        let envelope = |rowid: i64| statement.query_row([rowid], |row| row.get::<_, Vec<u8>>(0));
        Ok(listed.into_iter().map(envelope).collect::<Result<_, _>>()?)
    }

    /// Stores an analysis; false when the researcher already has one of that name, or it is there.
    pub fn put_analysis(
        &self,
        digest: Digest,
        analysis: &cloister_terms::Analysis,
        envelope: &[u8],
        module: Option<&[u8]>,
    ) -> Result<bool, StoreError> {
        let sql = "INSERT OR IGNORE INTO analyses
             (digest, agreement, researcher, name, not_after_s, envelope, module)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        let values = params![
            digest.to_string(),
            analysis.agreement.to_string(),
            analysis.researcher.as_str(),
            analysis.name.as_str(),
            analysis.not_after_s,
            envelope,
            module
        ];
        Ok(self.lock().execute(sql, values)? == 1)
    }

    /// An analysis' envelope.
    pub fn analysis_envelope(&self, digest: Digest) -> Result<Option<Vec<u8>>, StoreError> {
        let sql = "SELECT envelope FROM analyses WHERE digest = ?1";
        Ok(self.lock().query_row(sql, [digest.to_string()], |row| row.get(0)).optional()?)
    }

    /// Votes on an analysis, in the order of the reviewers' names.
    pub fn votes(&self, analysis: Digest) -> Result<Vec<StoredVote>, StoreError> {
        votes_of(&self.lock(), analysis)
    }

    /// One analysis with its module and votes.
    pub fn analysis(&self, digest: Digest) -> Result<Option<StoredAnalysis>, StoreError> {
        let connection = self.lock();
        let sql = "SELECT g.envelope, a.envelope, a.module FROM analyses a
             JOIN agreements g ON g.digest = a.agreement WHERE a.digest = ?1";
        let found = connection
            .prepare_cached(sql)?
            .query_row([digest.to_string()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()?;
        let Some((agreement, envelope, module)) = found else { return Ok(None) };
        let votes = votes_of(&connection, digest)?;
        Ok(Some(StoredAnalysis { agreement, envelope, module, votes }))
    }

    /// Digests of all analyses, oldest first; with `open_at_s` those not over by then.
    pub fn analyses(&self, open_at_s: Option<i64>) -> Result<Vec<Digest>, StoreError> {
        let connection = self.lock();
        let sql = "SELECT digest FROM analyses WHERE not_after_s > ?1 ORDER BY seq";
        let mut statement = connection.prepare_cached(sql)?;
        let rows = statement.query_map([open_at_s.unwrap_or(i64::MIN)], |row| {
            parsed(0, &row.get::<_, String>(0)?)
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// How many analyses of `researcher` are not over at `now_s`.
    pub fn open_analyses_of(&self, researcher: &Name, now_s: i64) -> Result<u64, StoreError> {
        let sql = "SELECT COUNT(*) FROM analyses WHERE researcher = ?1 AND not_after_s > ?2";
        let count: i64 =
            self.lock().query_row(sql, params![researcher.as_str(), now_s], |row| row.get(0))?;
        Ok(count.max(0) as u64)
    }

    /// Stores a vote; false when that reviewer already voted so. One who approved may still reject,
    /// and then counts as rejecting.
    pub fn put_approval(
        &self,
        digest: Digest,
        vote: &cloister_terms::Approval,
        envelope: &[u8],
    ) -> Result<bool, StoreError> {
        let verdict = match vote.verdict {
            Verdict::Approve => APPROVE,
            Verdict::Reject => REJECT,
        };
        let (analysis, reviewer) = (vote.bound.analysis, &vote.reviewer);
        let sql = "INSERT OR IGNORE INTO approvals (digest, analysis, reviewer, verdict, envelope)
             VALUES (?1, ?2, ?3, ?4, ?5)";
        let values =
            params![digest.to_string(), analysis.to_string(), reviewer.as_str(), verdict, envelope];
        Ok(self.lock().execute(sql, values)? == 1)
    }

    /// Notes a steward's decision, as its node reported it.
    pub fn put_decision(
        &self,
        analysis: Digest,
        node: &Name,
        granted: bool,
    ) -> Result<(), StoreError> {
        self.lock().execute(
            // Of a known analysis only: a node must not be able to fill the store with others.
            "INSERT INTO decisions (analysis, node, granted)
             SELECT digest, ?2, ?3 FROM analyses WHERE digest = ?1
             ON CONFLICT (analysis, node) DO UPDATE SET granted = ?3",
            params![analysis.to_string(), node.as_str(), granted],
        )?;
        Ok(())
    }

    /// Stewards' decisions on an analysis.
    pub fn decisions(&self, analysis: Digest) -> Result<Vec<(Name, bool)>, StoreError> {
        let connection = self.lock();
        let sql = "SELECT node, granted FROM decisions WHERE analysis = ?1 ORDER BY node";
        let mut statement = connection.prepare_cached(sql)?;
        let rows = statement.query_map([analysis.to_string()], |row| {
            Ok((parsed(0, &row.get::<_, String>(0)?)?, row.get(1)?))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

fn votes_of(connection: &Connection, analysis: Digest) -> Result<Vec<StoredVote>, StoreError> {
    let sql =
        "SELECT digest, verdict, envelope FROM approvals WHERE analysis = ?1 ORDER BY reviewer";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([analysis.to_string()], |row| {
        let digest = parsed(0, &row.get::<_, String>(0)?)?;
        let verdict: String = row.get(1)?;
        let rejects = match verdict.as_str() {
            APPROVE => false,
            REJECT => true,
            // Taken for an approval, a damaged rejection would not reach the nodes.
            _ => return Err(rusqlite::Error::InvalidColumnType(1, verdict, Type::Text)),
        };
        Ok(StoredVote { digest, rejects, envelope: row.get(2)? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agreements_are_listed_as_far_as_a_message_holds_them() {
        let store = Store::in_memory().unwrap();
        let digest = |number: u8| Digest::new([number; 32]);
        for (number, size) in [(1, 4), (2, 30), (3, 4), (4, 6)] {
            assert!(store.put_agreement(digest(number), &vec![number; size]).unwrap());
        }
        let listed = |most, bytes| -> Vec<u8> {
            let found = store.agreements_within(most, bytes).unwrap();
            found.iter().map(|envelope| envelope[0]).collect()
        };
        assert_eq!(listed(4, 44), [1, 2, 3, 4]);
        assert_eq!(listed(2, 44), [1, 2]);
        // The large one does not keep out those that came after it.
        assert_eq!(listed(4, 14), [1, 3, 4]);
        assert_eq!(listed(4, 13), [1, 3]);
        assert!(listed(0, 44).is_empty() && listed(4, 3).is_empty());
        // One that is in use comes before all that are not.
        let sql =
            "INSERT INTO analyses (digest, agreement, researcher, name, not_after_s, envelope)
             VALUES ('a', ?1, 'ada', 'fares', 0, x'00')";
        store.lock().execute(sql, [digest(4).to_string()]).unwrap();
        assert_eq!(listed(4, 44), [4, 1, 2, 3]);
        assert_eq!(listed(4, 10), [4, 1]);
    }
}
