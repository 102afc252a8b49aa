//! SCRAM's server side (RFC 5802 §5).
//!
//! ```text
//! AwaitFirst ──client-first──► AwaitParameters ──server-first──► AwaitFinal
//!   ──client-final──► AwaitVerdict ──v=──► AwaitAcknowledgement ──empty──► over
//! ```

use alloc::{format, string::String, vec::Vec};

use subtle::ConstantTimeEq as _;

use super::{ExchangeError, Step};
use crate::{
    ChannelBinding, Mechanism, plain, prepare,
    scram::{
        ScramHash, ScramParameters, ScramProof, ServerKey, base64,
        message::{BindingFlag, ClientFinal, ClientFirst},
    },
};

pub(super) struct Scram {
    hash: ScramHash,
    /// The server's part of the nonce.
    server_nonce: String,
    state: State,
}

enum State {
    AwaitFirst,
    /// `Step::LookUpScram` is out.
    AwaitParameters {
        first: First,
    },
    /// server-first is out.
    AwaitFinal {
        first: First,
        server_first: String,
    },
    /// `Step::VerifyProof` is out.
    AwaitVerdict {
        auth_message: Vec<u8>,
    },
    /// `v=` is out.
    AwaitAcknowledgement,
    Over,
}

/// What is kept of client-first.
struct First {
    /// What `c=` must be, decoded: gs2-header and binding data.
    binding: Vec<u8>,
    bare: String,
    /// Client nonce followed by server nonce.
    nonce: String,
}

impl Scram {
    pub(super) fn new(hash: ScramHash, server_nonce: String) -> Self {
        Self {
            hash,
            server_nonce,
            state: State::AwaitFirst,
        }
    }

    pub(super) fn respond(
        &mut self,
        mechanism: Mechanism,
        binding: &ChannelBinding,
        response: &[u8],
    ) -> Result<Step, ExchangeError> {
        match core::mem::replace(&mut self.state, State::Over) {
            State::AwaitFirst => self.first(mechanism, binding, response),
            State::AwaitFinal {
                first,
                server_first,
            } => self.last(&first, &server_first, response),
            // R5802-SCRAM-6: the answer to `v=` is an empty line.
            State::AwaitAcknowledgement if response.is_empty() => Ok(Step::Authenticated),
            State::AwaitAcknowledgement => Err(ExchangeError::Malformed {
                part: "answer to the server's signature",
            }),
            State::AwaitParameters { .. } | State::AwaitVerdict { .. } | State::Over => {
                Err(ExchangeError::OutOfTurn)
            }
        }
    }

    fn first(
        &mut self,
        mechanism: Mechanism,
        binding: &ChannelBinding,
        message: &[u8],
    ) -> Result<Step, ExchangeError> {
        let message = ClientFirst::parse(message)?;
        let data = binding_data(mechanism, binding, message.flag)?;
        let name = prepared(&message.name)?;
        let authorization = message.authorization.as_deref().map(prepared).transpose()?;
        let mut expected = message.gs2_header.as_bytes().to_vec();
        expected.extend_from_slice(data);
        let first = First {
            binding: expected,
            bare: message.bare.into(),
            nonce: format!("{}{}", message.nonce, self.server_nonce),
        };
        self.state = State::AwaitParameters { first };
        Ok(Step::LookUpScram {
            name,
            authorization,
            hash: self.hash,
        })
    }

    pub(super) fn parameters(
        &mut self,
        parameters: &ScramParameters,
    ) -> Result<Step, ExchangeError> {
        let State::AwaitParameters { first } = core::mem::replace(&mut self.state, State::Over)
        else {
            return Err(ExchangeError::OutOfTurn);
        };
        let (salt, iterations) = (base64(parameters.salt()), parameters.iterations());
        let server_first = format!("r={},s={salt},i={iterations}", first.nonce);
        let challenge = server_first.clone().into_bytes();
        self.state = State::AwaitFinal {
            first,
            server_first,
        };
        Ok(Step::Challenge(challenge))
    }

    fn last(
        &mut self,
        first: &First,
        server_first: &str,
        message: &[u8],
    ) -> Result<Step, ExchangeError> {
        let message = ClientFinal::parse(message)?;
        // R5802-SCRAM-3: both checks, the binding first: it tells of an attack.
        if !bool::from(message.binding.ct_eq(&first.binding)) {
            return Err(ExchangeError::BindingMismatch);
        }
        if message.nonce != first.nonce {
            return Err(ExchangeError::NonceMismatch);
        }
        if message.proof.len() != self.hash.octets() {
            return Err(ExchangeError::Malformed { part: "proof" });
        }
        let auth_message = format!("{},{server_first},{}", first.bare, message.without_proof);
        let auth_message = auth_message.into_bytes();
        let proof = ScramProof::new(self.hash, auth_message.clone(), message.proof);
        self.state = State::AwaitVerdict { auth_message };
        Ok(Step::VerifyProof(proof))
    }

    pub(super) fn proof_accepted(&mut self, server_key: &ServerKey) -> Result<Step, ExchangeError> {
        let State::AwaitVerdict { auth_message } = core::mem::replace(&mut self.state, State::Over)
        else {
            return Err(ExchangeError::OutOfTurn);
        };
        let signature = server_key
            .sign(self.hash, &auth_message)
            .ok_or(ExchangeError::OutOfTurn)?;
        self.state = State::AwaitAcknowledgement;
        Ok(Step::Challenge(
            format!("v={}", base64(&signature)).into_bytes(),
        ))
    }
}

/// The binding data that `c=` must hold after the gs2-header, or why the flag cannot be.
fn binding_data<'b>(
    mechanism: Mechanism,
    binding: &'b ChannelBinding,
    flag: BindingFlag<'_>,
) -> Result<&'b [u8], ExchangeError> {
    match (mechanism.needs_channel_binding(), flag) {
        (true, BindingFlag::Used(name)) => {
            binding.data(name).ok_or(ExchangeError::BindingUnsupported)
        }
        // R5802-PLUS-2: we advertise -PLUS and the client, which could, says that we do not.
        (false, BindingFlag::NotOffered) if binding.is_usable() => {
            Err(ExchangeError::BindingDowngraded)
        }
        (false, BindingFlag::NotOffered | BindingFlag::Unsupported) => Ok(&[]),
        // R5802-PLUS-2: `p` without -PLUS; -PLUS without `p`.
        _ => Err(ExchangeError::BindingUnsupported),
    }
}

fn prepared(name: &str) -> Result<String, ExchangeError> {
    if name.len() > plain::FIELD_OCTETS_MAX {
        return Err(ExchangeError::Malformed { part: "name" });
    }
    prepare(name).map_err(|_| ExchangeError::Unpreparable)
}
