//! SCRAM's questions, answered from the directory.

use restante_sasl::scram::{Keys, ScramHash, ScramParameters, ScramProof, ServerKey};

use super::{
    Attempt, Authenticated, Authenticator, Client, Credential, Presented, RefusalCause, Refused,
    credentials,
};

/// Who a SCRAM exchange is about.
pub(super) struct ScramLogin {
    pub(super) name: String,
    pub(super) authorization: Option<String>,
    pub(super) parameters: ScramParameters,
}

impl Authenticator {
    /// Salt and iteration count for a SCRAM exchange: the account's own, or made-up ones that
    /// look like somebody's and stay the same (PRJ-SCRAM-8).
    pub(super) async fn scram_parameters(
        &self,
        name: &str,
        hash: ScramHash,
    ) -> Result<ScramParameters, RefusalCause> {
        let found = self.find_login(name).await;
        // Asked and made in any case: the time must not say whether they are needed.
        let alike = self.directory.find_alike(name, &self.settings.names).await;
        let alike = alike.map_err(RefusalCause::Directory)?;
        let fake = self.fake_parameters(name, hash);
        let account = match found {
            Ok((account, _)) => account,
            // Spellings that give one made-up salt give one real salt too, although only some of
            // them lead to the account: otherwise trying two would show who exists.
            Err(RefusalCause::UnknownUser) => match alike {
                Some(account) => account,
                None => return Ok(fake),
            },
            Err(cause) => return Err(cause),
        };
        let credentials = account.credentials.as_deref().unwrap_or_default();
        let keys = credentials
            .iter()
            .find_map(|credential| credential.scram_keys(hash));
        Ok(keys.map_or(fake, |keys| keys.parameters().clone()))
    }

    fn fake_parameters(&self, name: &str, hash: ScramHash) -> ScramParameters {
        let name = self.canonical(name);
        self.fake_salts
            .parameters(&name, hash, &self.directory.scram_shapes(hash))
    }

    /// Verifies a SCRAM proof; a failure waits for its time.
    pub(super) async fn verify_proof(
        &self,
        client: &Client,
        login: &ScramLogin,
        proof: ScramProof,
    ) -> Result<(Authenticated, ServerKey), Refused> {
        let admission = self.admit(client, &login.name).await?;
        let mut attempt = Attempt::begin(self.settings.failure_time, admission.turn());
        match self.check_proof(&mut attempt, client, login, proof).await {
            Ok(verified) => {
                self.throttle.succeeded(admission);
                Ok(verified)
            }
            Err(cause) => Err(self
                .fail(client, attempt, admission, cause, &login.name)
                .await),
        }
    }

    /// Looks the account up again: what was removed or changed since the challenge no longer
    /// counts.
    async fn check_proof(
        &self,
        attempt: &mut Attempt,
        client: &Client,
        login: &ScramLogin,
        proof: ScramProof,
    ) -> Result<(Authenticated, ServerKey), RefusalCause> {
        let parameters = &login.parameters;
        let (account, folder) = self.find_login(&login.name).await?;
        let credentials = credentials(&account)?;
        let hash = proof.hash();
        // All SCRAM credentials of an account share salt and iteration count.
        let stored = credentials.iter().find_map(|credential| {
            let keys = credential
                .scram_keys(hash)
                .filter(|keys| keys.parameters() == parameters)?;
            proof
                .matches(keys.stored_key())
                .then(|| (credential, keys.server_key().clone()))
        });
        let (credential, server_key) = match stored {
            Some(matched) => matched,
            None => {
                self.match_derived(attempt, credentials, parameters, proof)
                    .await?
            }
        };
        let authorization = login.authorization.as_deref();
        let permitted = self.permit(client, &account, (folder, authorization))?;
        let authenticated = Authenticated::with(&account, permitted, credential);
        Ok((authenticated, server_key))
    }

    /// A password that is stored as it is can do SCRAM too: the keys are derived on the spot. No
    /// new keys are made with SHA-1 (R5802-SCRAM-1).
    async fn match_derived<'a>(
        &self,
        attempt: &mut Attempt,
        credentials: &'a [Credential],
        parameters: &ScramParameters,
        proof: ScramProof,
    ) -> Result<(&'a Credential, ServerKey), RefusalCause> {
        let clear = |credential: &&Credential| credential.verifier.clear().is_some();
        let credential = credentials
            .iter()
            .find(clear)
            .filter(|_| proof.hash() == ScramHash::Sha256)
            .ok_or(RefusalCause::WrongPassword)?;
        let (candidate, parameters) = (credential.clone(), parameters.clone());
        attempt.has_hashed = true;
        let derive = move || {
            let password = candidate.verifier.clear()?;
            let password = Presented::new(password);
            let octets = password
                .prepared
                .as_ref()
                .map_or(password.as_sent, |text| text.as_bytes());
            let keys = Keys::derive(ScramHash::Sha256, octets, &parameters);
            let right = !octets.is_empty() && proof.matches(keys.stored_key());
            right.then(|| keys.server_key().clone())
        };
        let server_key = self
            .hashing
            .run(attempt.turn, derive)
            .await?
            .ok_or(RefusalCause::WrongPassword)?;
        Ok((credential, server_key))
    }
}
