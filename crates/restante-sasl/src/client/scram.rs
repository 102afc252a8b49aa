//! SCRAM's client side (RFC 5802 §5).

use alloc::{borrow::ToOwned as _, format, string::String, vec::Vec};
use core::ops::RangeInclusive;

use secrecy::{ExposeSecret as _, SecretSlice};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::{ClientError, Credentials, ITERATIONS_MAX, ITERATIONS_MIN};
use crate::{
    ChannelBinding, prepare, prepare_stored,
    scram::{
        SaltedPassword, ScramHash, ScramParameters, base64,
        message::{ServerFinal, ServerFirst, escape},
    },
};

pub(super) struct Scram {
    hash: ScramHash,
    gs2_header: String,
    /// gs2-header and binding data.
    binding: Vec<u8>,
    /// client-first-message-bare.
    bare: String,
    nonce: String,
    iterations: RangeInclusive<u32>,
    state: State,
}

enum State {
    Fresh,
    /// client-first is out.
    AwaitFirst,
    /// client-final is out; holds what `v=` must be.
    AwaitFinal {
        signature: Zeroizing<Vec<u8>>,
    },
    Verified,
    Failed,
}

impl Scram {
    pub(super) fn new(
        hash: ScramHash,
        credentials: &Credentials,
        binding: &ChannelBinding,
        nonce: String,
    ) -> Result<Self, ClientError> {
        let unpreparable = |field| move |_| ClientError::Unpreparable { field };
        // RFC 5802 §5.1: the name is a query, the password (§2.2) a stored string.
        let name = prepare(&credentials.name).map_err(unpreparable("name"))?;
        let password = credentials.password.expose_secret();
        prepare_stored(password)
            .map(Zeroizing::new)
            .map_err(unpreparable("password"))?;
        // R5802-PLUS-3
        let bound = binding.strongest();
        let flag = match (bound, binding) {
            (Some((name, _)), _) => format!("p={name}"),
            (None, ChannelBinding::Unused) => "y".to_owned(),
            (None, _) => "n".to_owned(),
        };
        let authorization = match &credentials.authorization {
            None => String::new(),
            Some(identity) => {
                let identity = prepare(identity).map_err(unpreparable("authorization identity"))?;
                format!("a={}", escape(&identity))
            }
        };
        let gs2_header = format!("{flag},{authorization},");
        let mut data = gs2_header.clone().into_bytes();
        if let Some((_, of_channel)) = bound {
            data.extend_from_slice(of_channel);
        }
        let bare = format!("n={},r={nonce}", escape(&name));
        Ok(Self {
            hash,
            gs2_header,
            binding: data,
            bare,
            nonce,
            iterations: ITERATIONS_MIN..=ITERATIONS_MAX,
            state: State::Fresh,
        })
    }

    pub(super) fn accept_iterations(&mut self, iterations: RangeInclusive<u32>) {
        self.iterations = *iterations.start()..=ITERATIONS_MAX.min(*iterations.end());
    }

    pub(super) fn client_first(&mut self) -> Option<SecretSlice<u8>> {
        let State::Fresh = self.state else {
            return None;
        };
        self.state = State::AwaitFirst;
        Some(
            format!("{}{}", self.gs2_header, self.bare)
                .into_bytes()
                .into(),
        )
    }

    pub(super) fn respond(
        &mut self,
        credentials: &Credentials,
        challenge: &[u8],
    ) -> Result<SecretSlice<u8>, ClientError> {
        match core::mem::replace(&mut self.state, State::Failed) {
            State::Fresh if challenge.is_empty() => {
                self.state = State::Fresh;
                self.client_first().ok_or(ClientError::OutOfTurn)
            }
            State::Fresh => Err(ClientError::Malformed { part: "challenge" }),
            State::AwaitFirst => self.client_final(credentials, challenge),
            State::AwaitFinal { signature } => {
                self.verify_server(&signature, challenge)?;
                Ok(SecretSlice::default())
            }
            State::Verified | State::Failed => Err(ClientError::OutOfTurn),
        }
    }

    pub(super) fn is_server_verified(&self) -> bool {
        matches!(self.state, State::Verified)
    }

    fn client_final(
        &mut self,
        credentials: &Credentials,
        challenge: &[u8],
    ) -> Result<SecretSlice<u8>, ClientError> {
        let server_first = ServerFirst::parse(challenge)?;
        // R5802-SCRAM-4: it begins with ours, and the server added something.
        let added = server_first
            .nonce
            .strip_prefix(&self.nonce)
            .unwrap_or_default();
        if added.is_empty() {
            return Err(ClientError::Nonce);
        }
        let iterations = server_first.iterations;
        if !self.iterations.contains(&iterations) {
            return Err(ClientError::Iterations { iterations });
        }
        let parameters =
            ScramParameters::with_iterations_allowed(server_first.salt.clone(), iterations)
                .map_err(|_| ClientError::Malformed { part: "salt" })?;
        let password = prepare_stored(credentials.password.expose_secret())
            .map(Zeroizing::new)
            .map_err(|_| ClientError::Unpreparable { field: "password" })?;

        let without_proof = format!("c={},r={}", base64(&self.binding), server_first.nonce);
        let mut auth_message = self.bare.clone().into_bytes();
        auth_message.push(b',');
        auth_message.extend_from_slice(challenge);
        auth_message.push(b',');
        auth_message.extend_from_slice(without_proof.as_bytes());

        let salted = SaltedPassword::new(self.hash, password.as_bytes(), &parameters);
        let proof = base64(&salted.client_proof(&auth_message));
        self.state = State::AwaitFinal {
            signature: salted.server_signature(&auth_message),
        };
        Ok(format!("{without_proof},p={proof}").into_bytes().into())
    }

    fn verify_server(&mut self, signature: &[u8], challenge: &[u8]) -> Result<(), ClientError> {
        match ServerFinal::parse(challenge)? {
            ServerFinal::Error(word) => {
                let printable = |c: &char| c.is_ascii_graphic();
                Err(ClientError::Server(
                    word.chars().filter(printable).take(64).collect(),
                ))
            }
            ServerFinal::Verifier(verifier) if bool::from(verifier.ct_eq(signature)) => {
                self.state = State::Verified;
                Ok(())
            }
            ServerFinal::Verifier(_) => Err(ClientError::ServerSignature),
        }
    }
}
