//! Tokens, certificates and revocations. A token is stored hashed, bound to a name and role, and
//! marked used in the transaction that finds it good.

use super::{Store, StoreError, parsed};
use cloister_net::{
    EnrolRefusal, Issued, Role, SecretHash, Serial, TokenRecord, TokenRefusal, TokenStore,
};
use cloister_terms::Name;
use rusqlite::{OptionalExtension, TransactionBehavior, params};
use std::net::SocketAddr;

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

impl Store {
    /// Stores a token's hash for `name`. Errors when an unrevoked certificate has that name.
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
        let taken: bool = transaction
            .query_row(
                "SELECT EXISTS (SELECT 1 FROM certificates WHERE name = ?1 AND revoked = 0 AND not_after_s > ?2)",
                params![name.as_str(), now_s as i64],
                |row| row.get(0),
            )
            .map_err(StoreError::from)?;
        if taken {
            return Err(InviteError::Taken(name.clone()));
        }
        transaction
            .execute(
                "INSERT INTO tokens (secret_hash, name, role, expires_s) VALUES (?1, ?2, ?3, ?4)",
                params![secret.to_string(), name.as_str(), role.to_string(), expires_s as i64],
            )
            .map_err(StoreError::from)?;
        transaction.commit().map_err(StoreError::from)?;
        Ok(())
    }

    /// Revokes every certificate of `name`; how many there were.
    pub fn revoke(&self, name: &Name) -> Result<usize, StoreError> {
        let sql = "UPDATE certificates SET revoked = 1 WHERE name = ?1 AND revoked = 0";
        Ok(self.lock().execute(sql, [name.as_str()])?)
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

    /// The latest alerts, newest first: (seconds since 1970 UTC, text).
    pub fn alerts(&self, most: u32) -> Result<Vec<(i64, String)>, StoreError> {
        let connection = self.lock();
        let mut statement = connection
            .prepare_cached("SELECT at_s, what FROM alerts ORDER BY seq DESC LIMIT ?1")?;
        let rows = statement.query_map([most], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
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
        transaction
            .execute("UPDATE tokens SET used = 1 WHERE secret_hash = ?1", [secret.to_string()])?;
        transaction.commit()?;
        Ok(Ok(()))
    }
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
}
