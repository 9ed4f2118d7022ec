//! The agreement as this partner holds it: opened only when every party signed it, and only when
//! the party of this node's name carries this steward's own key. Nothing runs under any other.

use cloister_terms::agreement::AgreementError;
use cloister_terms::{Agreement, Digest, Name, Party, PublicKey};
use cloister_wire::{DsseError, Envelope, Opened, SigningKey};

/// A fully signed agreement to which this partner is a party. Private fields: holding one proves it.
#[derive(Debug, Clone)]
pub struct SignedAgreement {
    agreement: Opened<Agreement>,
    own: Party,
    is_of_one: bool,
}

/// Why a file is not this partner's agreement.
#[derive(Debug, thiserror::Error)]
pub enum NotOurAgreement {
    /// The file does not open.
    #[error(transparent)]
    Envelope(#[from] DsseError),
    /// The document is unusable.
    #[error(transparent)]
    Agreement(#[from] AgreementError),
    /// This partner is not among the parties.
    #[error(
        "`{0}` is not among the parties of the agreement: have it drafted with this partner, or correct `name` in node.toml"
    )]
    NotAParty(Name),
    /// The party of this name has another steward key.
    #[error(
        "the agreement names another steward key for `{0}`: have it drafted with the key that `cloister-node init` printed"
    )]
    StewardKey(Name),
    /// The party of this name has another node key.
    #[error(
        "the agreement names another node key for `{0}`: have it drafted with the key that `cloister-node init` printed"
    )]
    NodeKey(Name),
    /// A party has not signed.
    #[error(
        "the agreement is not signed by the steward of `{0}`: collect every party's signature first"
    )]
    Unsigned(Name),
}

impl SignedAgreement {
    /// Opens the envelope in `bytes` as the agreement of partner `name` with these public keys.
    ///
    /// # Errors
    /// [`NotOurAgreement`] unless it is well formed, names this partner with these keys, and every
    /// party's steward signed it.
    pub fn open(
        bytes: &[u8],
        name: &Name,
        steward_key: &PublicKey,
        node_key: &PublicKey,
    ) -> Result<Self, NotOurAgreement> {
        let opened = Envelope::parse(bytes)?.open::<Agreement>()?;
        let agreement = opened.document();
        agreement.check()?;
        let own = agreement.party(name).ok_or_else(|| NotOurAgreement::NotAParty(name.clone()))?;
        if own.steward_key != *steward_key {
            return Err(NotOurAgreement::StewardKey(name.clone()));
        }
        if own.node_key != *node_key {
            return Err(NotOurAgreement::NodeKey(name.clone()));
        }
        let unsigned =
            agreement.parties.iter().find(|party| !opened.is_signed_by(&party.steward_key));
        if let Some(party) = unsigned {
            return Err(NotOurAgreement::Unsigned(party.partner.clone()));
        }
        let own = own.clone();
        Ok(Self { agreement: opened, own, is_of_one: false })
    }

    /// A steward's agreement with nobody but herself: one party, whose steward is the only researcher, and
    /// no reviewers, since nothing leaves the house under it. Never made from a file or a message of
    /// others: only [`crate::alone`] calls this, with the steward's open key.
    ///
    /// # Errors
    /// [`NotOurAgreement`] when there is not exactly one party, or its key is not the steward's.
    pub(crate) fn of_one(
        agreement: Agreement,
        steward: &SigningKey,
    ) -> Result<Self, NotOurAgreement> {
        agreement.dictionary.check().map_err(AgreementError::from)?;
        let opened = Envelope::sign(&agreement, steward)?.open::<Agreement>()?;
        match agreement.parties.as_slice() {
            [own] if own.steward_key == steward.public_key() => {
                Ok(Self { agreement: opened, own: own.clone(), is_of_one: true })
            }
            [own, ..] => Err(NotOurAgreement::StewardKey(own.partner.clone())),
            [] => Err(NotOurAgreement::NotAParty(agreement.name)),
        }
    }

    /// Whether it is a steward's agreement with nobody but herself: what is released under it is never
    /// sent.
    pub fn is_of_one(&self) -> bool {
        self.is_of_one
    }

    /// The document.
    pub fn document(&self) -> &Agreement {
        self.agreement.document()
    }

    /// The document, opened.
    pub fn opened(&self) -> &Opened<Agreement> {
        &self.agreement
    }

    /// This partner's entry.
    pub fn own(&self) -> &Party {
        &self.own
    }

    /// The document's digest.
    pub fn digest(&self) -> Digest {
        self.agreement.digest()
    }
}
