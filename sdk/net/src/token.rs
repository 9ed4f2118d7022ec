//! One-time join tokens. The coordinator makes one for a name and a role, hands it over by another
//! way, and stores only a hash of its secret; the rule by which a token is judged is here, the
//! storage is the coordinator's. A token's secret never shows in `Debug` and never in a store.
//!
//! Text form: `cloister-join1.FINGERPRINT.SECRET`, both parts 32 bytes in base64url (RFC 4648,
//! section 5, no padding). The fingerprint pins the authority, so that whoever answers at the given
//! address proves itself before it sees the secret.

use crate::{
    identity::{Fingerprint, NoEntropy, Role, Serial, hex_exact, random_bytes},
    limits::TOKEN_TEXT_BYTES_MAX,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use cloister_terms::Name;
use std::{fmt, hint::black_box, net::SocketAddr, str::FromStr};
use zeroize::Zeroizing;

const PREFIX: &str = "cloister-join1";

/// What a joiner is given: whom to trust, and the secret that lets it in once.
#[derive(Clone)]
pub struct Token {
    ca: Fingerprint,
    secret: Zeroizing<[u8; 32]>,
}

/// SHA-256 over a label and a token's secret: the only form in which a store keeps a token. The
/// secret is 32 random bytes, so that looking the hash up in an index tells nothing useful;
/// comparing two hashes takes the same time wherever they differ. Its text is 64 hex digits.
#[derive(Clone, Copy)]
pub struct SecretHash([u8; 32]);

/// Why a text is not a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Too long, or not three parts.
    #[error("not a join token of the form `cloister-join1.FINGERPRINT.SECRET`: copy it whole")]
    Form,
    /// Another version.
    #[error("join token is of another version than `cloister-join1`: ask for a new one")]
    Version,
    /// The fingerprint is not 32 bytes in base64url.
    #[error("join token's fingerprint is damaged: copy it whole")]
    Fingerprint,
    /// The secret is not 32 bytes in base64url.
    #[error("join token's secret is damaged: copy it whole")]
    Secret,
}

/// Why a token does not let in: the closed set that a joiner may learn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum TokenRefusal {
    /// No such token.
    #[error("join token is unknown here: check that it is this coordinator's")]
    Unknown,
    /// It was used before.
    #[error(
        "join token was used before: if not by you, tell the operator at once; ask for a new one"
    )]
    Reused,
    /// Its time is over.
    #[error("join token has expired: ask for a new one")]
    Expired,
    /// It was made for another name.
    #[error("join token was made for another name: use that name, or ask for a new one")]
    WrongName,
    /// It was made for another role.
    #[error("join token was made for another role: use that role, or ask for a new one")]
    WrongRole,
    /// Its name was enrolled since.
    #[error(
        "join token's name is enrolled already: if not by you, tell the operator at once, who can revoke it"
    )]
    NameTaken,
}

/// Why an enrolment is refused: the closed set that crosses the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum EnrolRefusal {
    /// The token does not let in.
    #[error(transparent)]
    Token(#[from] TokenRefusal),
    /// The request is malformed; a token in it may be spent.
    #[error("enrolment request is malformed: check that both run the same version")]
    BadRequest,
    /// The coordinator could not check or record.
    #[error(
        "coordinator could not complete the enrolment: tell its operator, and ask for a new token if this one is spent"
    )]
    Unavailable,
}

/// What a store holds for one token, beside its [`SecretHash`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRecord {
    /// The only name it lets in.
    pub name: Name,
    /// The only role it lets in.
    pub role: Role,
    /// First unix second at which it no longer counts.
    pub expires_s: u64,
    /// Whether it was used.
    pub used: bool,
}

/// A certificate that was just signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// Its holder.
    pub name: Name,
    /// Its holder's role.
    pub role: Role,
    /// Its serial, by which it can be revoked.
    pub serial: Serial,
    /// Start of validity, unix seconds.
    pub not_before_s: u64,
    /// End of validity, unix seconds.
    pub not_after_s: u64,
    /// The certificate, DER.
    pub cert_der: Vec<u8>,
}

/// The coordinator's storage of tokens and issued certificates. Called on threads that may block.
pub trait TokenStore: Send + Sync + 'static {
    /// In one transaction: finds the token, judges it with [`judge`], and marks it used, durably.
    /// Two calls with one token let at most one through.
    fn consume(
        &self,
        secret: &SecretHash,
        name: &Name,
        role: Role,
        now_s: u64,
    ) -> Result<(), EnrolRefusal>;

    /// Records a certificate, durably, before it is handed out: what is not recorded could never
    /// be revoked.
    fn issued(&self, certificate: &Issued) -> Result<(), EnrolRefusal>;

    /// An enrolment was refused: raise an alert. `from` is what the network says.
    fn refused(&self, from: SocketAddr, refusal: EnrolRefusal);

    /// As [`TokenStore::refused`], where no token of this store was shown. Anybody can bring that about
    /// at will: a store may keep a count in place of one alert each.
    fn refused_stranger(&self, from: SocketAddr, refusal: EnrolRefusal) {
        self.refused(from, refusal);
    }
}

/// The rule for a token that the store holds (one that it does not hold is
/// [`TokenRefusal::Unknown`]); times in unix seconds.
pub fn judge(token: &TokenRecord, name: &Name, role: Role, now_s: u64) -> Result<(), TokenRefusal> {
    if token.used {
        return Err(TokenRefusal::Reused);
    }
    if now_s >= token.expires_s {
        return Err(TokenRefusal::Expired);
    }
    if token.name != *name {
        return Err(TokenRefusal::WrongName);
    }
    // A coordinator never joins: its certificate is made where the authority is.
    if token.role != role || role == Role::Coordinator {
        return Err(TokenRefusal::WrongRole);
    }
    Ok(())
}

impl Token {
    /// A fresh token for the authority with this fingerprint. Errors without entropy.
    pub fn generate(ca: Fingerprint) -> Result<Self, NoEntropy> {
        Ok(Self { ca, secret: Zeroizing::new(random_bytes()?) })
    }

    /// The authority it pins.
    pub fn ca(&self) -> Fingerprint {
        self.ca
    }

    /// What a store keeps of it.
    pub fn secret_hash(&self) -> SecretHash {
        SecretHash::of(&self.secret)
    }

    pub(crate) fn secret(&self) -> &[u8; 32] {
        &self.secret
    }
}

impl SecretHash {
    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub(crate) fn of(secret: &[u8; 32]) -> Self {
        let mut context = ring::digest::Context::new(&ring::digest::SHA256);
        context.update(PREFIX.as_bytes());
        context.update(b"\0");
        context.update(secret);
        let mut bytes = [0; 32];
        bytes.iter_mut().zip(context.finish().as_ref()).for_each(|(to, from)| *to = *from);
        Self(bytes)
    }
}

impl PartialEq for SecretHash {
    fn eq(&self, other: &Self) -> bool {
        let pairs = self.0.iter().zip(&other.0);
        black_box(pairs.fold(0, |seen, (a, b)| black_box(seen | (a ^ b)))) == 0
    }
}

impl Eq for SecretHash {}

impl fmt::Display for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretHash({self})")
    }
}

impl FromStr for SecretHash {
    type Err = TokenError;
    fn from_str(text: &str) -> Result<Self, TokenError> {
        hex_exact(text).map(Self).ok_or(TokenError::Secret)
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ca = URL_SAFE_NO_PAD.encode(self.ca.as_bytes());
        let secret = Zeroizing::new(URL_SAFE_NO_PAD.encode(*self.secret));
        write!(f, "{PREFIX}.{ca}.{}", *secret)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("ca", &self.ca).finish_non_exhaustive()
    }
}

impl FromStr for Token {
    type Err = TokenError;
    /// Surrounding white space, as copying leaves it, is ignored.
    fn from_str(text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        if text.len() > TOKEN_TEXT_BYTES_MAX {
            return Err(TokenError::Form);
        }
        let mut parts = text.split('.');
        let (Some(prefix), Some(ca), Some(secret), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(TokenError::Form);
        };
        if prefix != PREFIX {
            return Err(TokenError::Version);
        }
        let ca = bytes32(ca).ok_or(TokenError::Fingerprint)?;
        let secret = Zeroizing::new(bytes32(secret).ok_or(TokenError::Secret)?);
        Ok(Self { ca: Fingerprint::from_bytes(ca), secret })
    }
}

fn bytes32(text: &str) -> Option<[u8; 32]> {
    let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(text).ok()?);
    bytes.as_slice().try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> Token {
        Token::generate(Fingerprint::of_der(b"an authority")).unwrap()
    }

    #[test]
    fn tokens_come_back_from_text_and_hide_in_debug() {
        let token = token();
        let back: Token = format!("  {token}\n").parse().unwrap();
        assert_eq!(back.ca(), token.ca());
        assert_eq!(back.secret_hash(), token.secret_hash());
        assert_eq!(token.secret_hash().to_string().parse(), Ok(token.secret_hash()));
        let secret = URL_SAFE_NO_PAD.encode(token.secret());
        assert!(token.to_string().contains(&secret) && !format!("{token:?}").contains(&secret));
        assert_ne!(token.secret_hash(), Token::generate(token.ca()).unwrap().secret_hash());
    }

    #[test]
    fn hostile_token_texts_are_refused() {
        let good = token().to_string();
        let (head, secret) = good.rsplit_once('.').unwrap();
        let cases = [
            (String::new(), TokenError::Form),
            ("cloister-join1".into(), TokenError::Form),
            ("cloister-join1.".into(), TokenError::Form),
            (format!("{good}.x"), TokenError::Form),
            ("A".repeat(1 << 20), TokenError::Form),
            ("é.".repeat(200), TokenError::Form),
            (good.replacen("join1", "join2", 1), TokenError::Version),
            (good.replacen("cloister", "Cloister", 1), TokenError::Version),
            ("cloister-join1..".into(), TokenError::Fingerprint),
            (format!("cloister-join1.{}.{secret}", "A".repeat(44)), TokenError::Fingerprint),
            (format!("cloister-join1.{}=.{secret}", "A".repeat(43)), TokenError::Fingerprint),
            (format!("{head}."), TokenError::Secret),
            (format!("{head}.{}", "A".repeat(42)), TokenError::Secret),
            // The last letter carries two bits that must be zero: one text per token.
            (format!("{head}.{}B", "A".repeat(42)), TokenError::Secret),
            (format!("{head}.+{}", "A".repeat(42)), TokenError::Secret),
            (format!("{head}.é{}", "A".repeat(41)), TokenError::Secret),
            (format!("{head}. {secret}"), TokenError::Secret),
        ];
        for (text, error) in cases {
            assert_eq!(text.parse::<Token>().err(), Some(error), "{text:?}");
        }
    }

    #[test]
    fn b22_the_rule_for_tokens() {
        let name = Name::new("north-bank").unwrap();
        let other = Name::new("south-bank").unwrap();
        let token =
            TokenRecord { name: name.clone(), role: Role::Node, expires_s: 100, used: false };
        let used = TokenRecord { used: true, ..token.clone() };
        let crown = TokenRecord { role: Role::Coordinator, ..token.clone() };
        let rows = [
            (&token, &name, Role::Node, 99, Ok(())),
            (&token, &name, Role::Node, 100, Err(TokenRefusal::Expired)),
            (&token, &other, Role::Node, 99, Err(TokenRefusal::WrongName)),
            (&token, &name, Role::Person, 99, Err(TokenRefusal::WrongRole)),
            (&crown, &name, Role::Coordinator, 99, Err(TokenRefusal::WrongRole)),
            (&used, &name, Role::Node, 99, Err(TokenRefusal::Reused)),
        ];
        for (token, name, role, now_s, verdict) in rows {
            assert_eq!(judge(token, name, role, now_s), verdict);
        }
    }
}
