//! The bytes of an enrolment request and of its answer. Both are read whole or refused; no length
//! inside them is trusted.
//!
//! Request: secret (32) | role (1) | length of name (1) | name | signing request (DER, the rest).
//! Answer: code (1) | certificate (DER, the rest) if the code is 0, else nothing.

use crate::{
    identity::Role,
    limits::CSR_BYTES_MAX,
    token::{EnrolRefusal, TokenRefusal},
};
use cloister_terms::Name;
use zeroize::Zeroizing;

const SECRET_BYTES: usize = 32;

/// What a joiner asks for.
pub(crate) struct Request {
    pub(crate) secret: Zeroizing<[u8; SECRET_BYTES]>,
    pub(crate) role: Role,
    pub(crate) name: Name,
    pub(crate) csr_der: Vec<u8>,
}

/// What the coordinator answers: a certificate (DER) or a refusal.
pub(crate) type Answer = Result<Vec<u8>, EnrolRefusal>;

impl Request {
    pub(crate) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let name = self.name.as_str().as_bytes();
        let mut bytes = Zeroizing::new(Vec::with_capacity(
            SECRET_BYTES.saturating_add(2 + 255).saturating_add(self.csr_der.len()),
        ));
        bytes.extend_from_slice(self.secret.as_slice());
        bytes.push(role_code(self.role));
        // A `Name` is at most 63 bytes; a longer one would be refused by the reader.
        bytes.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
        bytes.extend_from_slice(name);
        bytes.extend_from_slice(&self.csr_der);
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (secret, rest) = bytes.split_first_chunk::<SECRET_BYTES>()?;
        let ([role, name_bytes], rest) = rest.split_first_chunk::<2>()?;
        let (name, csr_der) = rest.split_at_checked(usize::from(*name_bytes))?;
        if csr_der.is_empty() || csr_der.len() > CSR_BYTES_MAX {
            return None;
        }
        Some(Self {
            secret: Zeroizing::new(*secret),
            role: [Role::Node, Role::Person].into_iter().find(|r| role_code(*r) == *role)?,
            name: Name::new(std::str::from_utf8(name).ok()?).ok()?,
            csr_der: csr_der.to_vec(),
        })
    }
}

pub(crate) fn encode_answer(answer: &Answer) -> Vec<u8> {
    match answer {
        Ok(cert_der) => [&[0], cert_der.as_slice()].concat(),
        Err(refusal) => vec![refusal_code(*refusal)],
    }
}

pub(crate) fn decode_answer(bytes: &[u8]) -> Option<Answer> {
    match bytes.split_first()? {
        (0, cert_der) if !cert_der.is_empty() => Some(Ok(cert_der.to_vec())),
        (code, []) => REFUSALS.into_iter().find(|r| refusal_code(*r) == *code).map(Err),
        _ => None,
    }
}

const REFUSALS: [EnrolRefusal; 8] = [
    EnrolRefusal::Token(TokenRefusal::Unknown),
    EnrolRefusal::Token(TokenRefusal::Reused),
    EnrolRefusal::Token(TokenRefusal::Expired),
    EnrolRefusal::Token(TokenRefusal::WrongName),
    EnrolRefusal::Token(TokenRefusal::WrongRole),
    EnrolRefusal::BadRequest,
    EnrolRefusal::Unavailable,
    EnrolRefusal::Token(TokenRefusal::NameTaken),
];

fn refusal_code(refusal: EnrolRefusal) -> u8 {
    match refusal {
        EnrolRefusal::Token(TokenRefusal::Unknown) => 1,
        EnrolRefusal::Token(TokenRefusal::Reused) => 2,
        EnrolRefusal::Token(TokenRefusal::Expired) => 3,
        EnrolRefusal::Token(TokenRefusal::WrongName) => 4,
        EnrolRefusal::Token(TokenRefusal::WrongRole) => 5,
        EnrolRefusal::BadRequest => 6,
        EnrolRefusal::Unavailable => 7,
        EnrolRefusal::Token(TokenRefusal::NameTaken) => 8,
    }
}

fn role_code(role: Role) -> u8 {
    match role {
        Role::Coordinator => 0,
        Role::Node => 1,
        Role::Person => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Request {
        Request {
            secret: Zeroizing::new([7; 32]),
            role: Role::Person,
            name: Name::new("ana").unwrap(),
            csr_der: vec![0x30, 1, 2],
        }
    }

    #[test]
    fn requests_come_back_and_cut_ones_do_not() {
        let bytes = request().encode();
        let back = Request::decode(&bytes).unwrap();
        assert_eq!((back.role, back.name.as_str()), (Role::Person, "ana"));
        assert_eq!((*back.secret, back.csr_der), ([7; 32], vec![0x30, 1, 2]));
        // 32 + 2 + 3 bytes, then at least one byte of signing request.
        for cut in 0..=37 {
            assert!(Request::decode(bytes.get(..cut).unwrap()).is_none(), "{cut}");
        }
    }

    #[test]
    fn hostile_requests_are_refused() {
        let good = request().encode();
        for (at, value) in [(32, 0), (32, 3), (33, 255), (33, 0), (34, b'A'), (34, 0xff)] {
            let mut bad = good.to_vec();
            *bad.get_mut(at).unwrap() = value;
            assert!(Request::decode(&bad).is_none(), "{at} {value}");
        }
        let mut long = request();
        long.csr_der = vec![0; CSR_BYTES_MAX + 1];
        assert!(Request::decode(&long.encode()).is_none());
    }

    #[test]
    fn answers_come_back_and_others_are_refused() {
        for refusal in REFUSALS {
            let answer = Err(refusal);
            assert_eq!(decode_answer(&encode_answer(&answer)), Some(answer));
        }
        assert_eq!(decode_answer(&encode_answer(&Ok(vec![1, 2]))), Some(Ok(vec![1, 2])));
        for bad in [&[][..], &[0], &[9], &[255], &[1, 0]] {
            assert_eq!(decode_answer(bad), None, "{bad:?}");
        }
    }
}
