//! Tokens, certificates and revocations. A token is stored hashed, bound to a name and role, and
//! marked used in the transaction that finds it good.

use super::{Store, StoreError, parsed};
use cloister_net::{
    EnrolRefusal, Issued, Role, SecretHash, Serial, TokenRecord, TokenRefusal, TokenStore,
};
use cloister_terms::Name;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use std::net::SocketAddr;

/// Enrolments that came with no token of this store share one alert over this time, in seconds.
const STRANGERS_SHARE_S: u64 = 3_600;

/// Why a name cannot be invited.
#[derive(Debug, thiserror::Error)]
pub enum InviteError {
    /// The name is taken by an enrolled party.
    #[error(
        "`{0}` is enrolled already: revoke it first with `cloister-coordinator revoke {0}`, or choose another name"
    )]
    Taken(Name),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An enrolled party.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Its name.
    pub name: Name,
    /// Node or person.
    pub role: Role,
    /// Its certificate's serial number.
    pub serial: Serial,
    /// End of its certificate, seconds since 1970 UTC.
    pub not_after_s: i64,
    /// Whether its certificate is revoked.
    pub revoked: bool,
    /// Whether it is connected now.
    pub connected: bool,
    /// When it was last seen, seconds since 1970 UTC.
    pub seen_s: Option<i64>,
}

/// What a revocation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revoked {
    /// Certificates of the name.
    pub certificates: usize,
    /// Tokens of the name that nobody had used.
    pub tokens: usize,
}

impl Store {
    /// Stores a token's hash for `name`; unused older tokens of that name no longer let in. Errors when
    /// an unrevoked certificate has that name.
    pub fn invite(
        &self,
        secret: &SecretHash,
        name: &Name,
        role: Role,
        expires_s: u64,
        now_s: u64,
    ) -> Result<(), InviteError> {
        let mut connection = self.lock();
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(StoreError::from)?;
        if is_taken(&transaction, name, now_s)? {
            return Err(InviteError::Taken(name.clone()));
        }
        void_tokens(&transaction, name)?;
        transaction
            .execute(
                "INSERT INTO tokens (secret_hash, name, role, expires_s) VALUES (?1, ?2, ?3, ?4)",
                params![secret.to_string(), name.as_str(), role.to_string(), expires_s as i64],
            )
            .map_err(StoreError::from)?;
        transaction.commit().map_err(StoreError::from)?;
        Ok(())
    }

    /// Revokes every certificate of `name` and ends its unused tokens; how many there were.
    pub fn revoke(&self, name: &Name) -> Result<Revoked, StoreError> {
        let mut connection = self.lock();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let sql = "UPDATE certificates SET revoked = 1 WHERE name = ?1 AND revoked = 0";
        let certificates = transaction.execute(sql, [name.as_str()])?;
        let tokens = void_tokens(&transaction, name)?;
        transaction.commit()?;
        Ok(Revoked { certificates, tokens })
    }

    /// Serial numbers that are revoked.
    pub fn revoked(&self) -> Result<Vec<Serial>, StoreError> {
        let connection = self.lock();
        let mut statement =
            connection.prepare_cached("SELECT serial FROM certificates WHERE revoked = 1")?;
        let rows = statement.query_map([], |row| parsed(0, &row.get::<_, String>(0)?))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Everyone enrolled, by name.
    pub fn peers(&self) -> Result<Vec<Peer>, StoreError> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached(
            "SELECT c.name, c.role, c.serial, c.not_after_s, c.revoked, p.connected, p.seen_s
             FROM certificates c LEFT JOIN peers p ON p.name = c.name ORDER BY c.name, c.rowid",
        )?;
        let rows = statement.query_map([], |row| {
            Ok(Peer {
                name: parsed(0, &row.get::<_, String>(0)?)?,
                role: parsed(1, &row.get::<_, String>(1)?)?,
                serial: parsed(2, &row.get::<_, String>(2)?)?,
                not_after_s: row.get(3)?,
                revoked: row.get(4)?,
                connected: row.get::<_, Option<bool>>(5)?.unwrap_or(false),
                seen_s: row.get(6)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Notes that `name` connected or left.
    pub fn seen(&self, name: &Name, connected: bool, now_s: u64) -> Result<(), StoreError> {
        self.lock().execute(
            "INSERT INTO peers (name, connected, seen_s) VALUES (?1, ?2, ?3)
             ON CONFLICT (name) DO UPDATE SET connected = ?2, seen_s = ?3",
            params![name.as_str(), connected, now_s as i64],
        )?;
        Ok(())
    }

    /// Notes at start that nobody is connected.
    pub fn nobody_connected(&self) -> Result<(), StoreError> {
        self.lock().execute("UPDATE peers SET connected = 0", [])?;
        Ok(())
    }

    /// Records something an operator should look at.
    pub fn alert(&self, what: &str, now_s: u64) -> Result<(), StoreError> {
        let sql = "INSERT INTO alerts (at_s, what) VALUES (?1, ?2)";
        self.lock().execute(sql, params![now_s as i64, what])?;
        Ok(())
    }

    /// The latest alerts, newest first: (seconds since 1970 UTC, text). At most `most` about strangers
    /// and as many about everything else, so that strangers cannot crowd those out.
    pub fn alerts(&self, most: u32) -> Result<Vec<(i64, String)>, StoreError> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached(
            "SELECT at_s, what, times FROM (
               SELECT a.seq, a.at_s, a.what, s.times, row_number() OVER (
                 PARTITION BY s.alert IS NULL ORDER BY a.seq DESC) AS place
               FROM alerts a LEFT JOIN strangers s ON s.alert = a.seq)
             WHERE place <= ?1 ORDER BY seq DESC",
        )?;
        let rows = statement.query_map([most], |row| {
            let what: String = row.get(1)?;
            let what = match row.get::<_, Option<i64>>(2)? {
                Some(times) if times > 1 => format!("{what}; {times} times within the hour"),
                _ => what,
            };
            Ok((row.get(0)?, what))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Records an enrolment that came with no token of this store. Anybody can send as many of them as
    /// they like: one row an hour and refusal, and a count.
    fn stranger(&self, from: SocketAddr, why: EnrolRefusal, now_s: u64) -> Result<(), StoreError> {
        let mut connection = self.lock();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let (hour, refusal) = ((now_s / STRANGERS_SHARE_S) as i64, why.to_string());
        let counted = transaction.execute(
            "UPDATE strangers SET times = times + 1 WHERE hour = ?1 AND refusal = ?2",
            params![hour, refusal],
        )?;
        if counted == 0 {
            let what = format!("enrolment without a token, first from {from}, refused: {refusal}");
            transaction.execute(
                "INSERT INTO alerts (at_s, what) VALUES (?1, ?2)",
                params![now_s as i64, what],
            )?;
            let alert = transaction.last_insert_rowid();
            transaction.execute(
                "INSERT INTO strangers (alert, hour, refusal, times) VALUES (?1, ?2, ?3, 1)",
                params![alert, hour, refusal],
            )?;
        }
        transaction.commit()?;
        Ok(())
    }

    fn try_consume(
        &self,
        secret: &SecretHash,
        name: &Name,
        role: Role,
        now_s: u64,
    ) -> Result<Result<(), TokenRefusal>, StoreError> {
        let mut connection = self.lock();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let record = transaction
            .query_row(
                "SELECT name, role, expires_s, used FROM tokens WHERE secret_hash = ?1",
                [secret.to_string()],
                |row| {
                    Ok(TokenRecord {
                        name: parsed(0, &row.get::<_, String>(0)?)?,
                        role: parsed(1, &row.get::<_, String>(1)?)?,
                        expires_s: row.get::<_, i64>(2)?.max(0) as u64,
                        used: row.get(3)?,
                    })
                },
            )
            .optional()?;
        let Some(record) = record else { return Ok(Err(TokenRefusal::Unknown)) };
        if let Err(refusal) = cloister_net::judge(&record, name, role, now_s) {
            return Ok(Err(refusal));
        }
        // Enrolled since the token was made: one name never has two certificates that count.
        if is_taken(&transaction, name, now_s)? {
            return Ok(Err(TokenRefusal::NameTaken));
        }
        transaction
            .execute("UPDATE tokens SET used = 1 WHERE secret_hash = ?1", [secret.to_string()])?;
        transaction.commit()?;
        Ok(Ok(()))
    }
}

/// Whether `name` has a certificate that is neither revoked nor over.
fn is_taken(connection: &Connection, name: &Name, now_s: u64) -> Result<bool, StoreError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM certificates WHERE name = ?1 AND revoked = 0 AND not_after_s > ?2)";
    Ok(connection.query_row(sql, params![name.as_str(), now_s as i64], |row| row.get(0))?)
}

/// Has every unused token of `name` count as expired; how many there were.
fn void_tokens(connection: &Connection, name: &Name) -> Result<usize, StoreError> {
    let sql = "UPDATE tokens SET expires_s = 0 WHERE name = ?1 AND used = 0 AND expires_s > 0";
    Ok(connection.execute(sql, [name.as_str()])?)
}

impl TokenStore for Store {
    fn consume(
        &self,
        secret: &SecretHash,
        name: &Name,
        role: Role,
        now_s: u64,
    ) -> Result<(), EnrolRefusal> {
        self.try_consume(secret, name, role, now_s)
            .map_err(|_| EnrolRefusal::Unavailable)?
            .map_err(EnrolRefusal::Token)
    }

    fn issued(&self, certificate: &Issued) -> Result<(), EnrolRefusal> {
        let sql =
            "INSERT INTO certificates (serial, name, role, not_after_s) VALUES (?1, ?2, ?3, ?4)";
        self.lock()
            .execute(
                sql,
                params![
                    certificate.serial.to_string(),
                    certificate.name.as_str(),
                    certificate.role.to_string(),
                    certificate.not_after_s as i64
                ],
            )
            .map(|_| ())
            .map_err(|_| EnrolRefusal::Unavailable)
    }

    fn refused(&self, from: SocketAddr, refusal: EnrolRefusal) {
        tracing::warn!(%from, %refusal, "enrolment refused");
        let now_s = cloister_net::Clock::now_unix_s(&cloister_net::SystemClock);
        if let Err(error) = self.alert(&format!("enrolment from {from} refused: {refusal}"), now_s)
        {
            tracing::error!(%error, "the alert could not be stored");
        }
    }

    fn refused_stranger(&self, from: SocketAddr, refusal: EnrolRefusal) {
        let now_s = cloister_net::Clock::now_unix_s(&cloister_net::SystemClock);
        if let Err(error) = self.stranger(from, refusal, now_s) {
            tracing::error!(%error, "the alert could not be stored");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_S: u64 = 1_800_000_000;

    fn north() -> Name {
        "north".parse().unwrap()
    }

    /// A token for the node `north`, good for an hour; told apart by `digit`.
    fn invited(store: &Store, digit: &str) -> SecretHash {
        let secret: SecretHash = digit.repeat(64).parse().unwrap();
        store.invite(&secret, &north(), Role::Node, NOW_S + 3_600, NOW_S).unwrap();
        secret
    }

    fn enrolled(store: &Store, not_after_s: u64) {
        let serial = Serial::random().unwrap();
        let (not_before_s, cert_der) = (NOW_S, Vec::new());
        let (name, role) = (north(), Role::Node);
        let issued = Issued { name, role, serial, not_before_s, not_after_s, cert_der };
        store.issued(&issued).unwrap();
    }

    fn consumed(store: &Store, secret: &SecretHash) -> Result<(), EnrolRefusal> {
        store.consume(secret, &north(), Role::Node, NOW_S)
    }

    #[test]
    fn a_newer_invitation_ends_older_tokens_of_its_name_alone() {
        let store = Store::in_memory().unwrap();
        let south: Name = "south".parse().unwrap();
        let other: SecretHash = "c".repeat(64).parse().unwrap();
        store.invite(&other, &south, Role::Node, NOW_S + 3_600, NOW_S).unwrap();
        let (older, newer) = (invited(&store, "a"), invited(&store, "b"));
        assert_eq!(consumed(&store, &older), Err(EnrolRefusal::Token(TokenRefusal::Expired)));
        assert_eq!(consumed(&store, &newer), Ok(()));
        assert_eq!(store.consume(&other, &south, Role::Node, NOW_S), Ok(()));
        // What was used stays told apart from what was ended.
        invited(&store, "d");
        assert_eq!(consumed(&store, &newer), Err(EnrolRefusal::Token(TokenRefusal::Reused)));
    }

    #[test]
    fn a_revocation_ends_unused_tokens_too() {
        let store = Store::in_memory().unwrap();
        let token = invited(&store, "a");
        assert_eq!(store.revoke(&north()).unwrap(), Revoked { certificates: 0, tokens: 1 });
        assert_eq!(consumed(&store, &token), Err(EnrolRefusal::Token(TokenRefusal::Expired)));
        assert_eq!(store.revoke(&north()).unwrap(), Revoked { certificates: 0, tokens: 0 });
        let again = invited(&store, "b");
        consumed(&store, &again).unwrap();
        enrolled(&store, NOW_S + 60);
        assert_eq!(store.revoke(&north()).unwrap(), Revoked { certificates: 1, tokens: 0 });
    }

    #[test]
    fn strangers_share_an_alert_an_hour_and_crowd_out_no_other() {
        let store = Store::in_memory().unwrap();
        let from: SocketAddr = ([192, 0, 2, 1], 9).into();
        let unknown = EnrolRefusal::Token(TokenRefusal::Unknown);
        store.alert("a release was excluded", NOW_S).unwrap();
        for hour in 0..3 {
            for refusal in [unknown, unknown, unknown, EnrolRefusal::BadRequest] {
                store.stranger(from, refusal, NOW_S + hour * STRANGERS_SHARE_S).unwrap();
            }
        }
        let told = store.alerts(100).unwrap();
        assert_eq!(told.len(), 3 * 2 + 1, "{told:?}");
        assert!(told[0].1.ends_with(&EnrolRefusal::BadRequest.to_string()), "{told:?}");
        assert!(told[1].1.ends_with("; 3 times within the hour"), "{told:?}");
        let told = store.alerts(1).unwrap();
        assert_eq!(told.len(), 2, "the latest of either kind: {told:?}");
        assert_eq!(told[1], (NOW_S as i64, "a release was excluded".to_owned()));
    }

    #[test]
    fn a_token_lets_nobody_in_beside_a_certificate_that_counts() {
        let store = Store::in_memory().unwrap();
        enrolled(&store, NOW_S);
        let token = invited(&store, "a");
        enrolled(&store, NOW_S + 60);
        assert_eq!(consumed(&store, &token), Err(EnrolRefusal::Token(TokenRefusal::NameTaken)));
        // Nor was it used up: once that certificate is over, so is what stood in the way.
        assert_eq!(store.consume(&token, &north(), Role::Node, NOW_S + 60), Ok(()));
    }
}
