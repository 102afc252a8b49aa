//! Logins with a TLS client certificate: EXTERNAL (RFC 4422 App. A).

use super::{Attempt, Authenticated, Authenticator, Client, RefusalCause, Refused};

/// The credential that sessions opened by a certificate are told by.
const CREDENTIAL: &str = "certificate";

impl Authenticator {
    /// Sees whose certificate the connection has; a failure waits for its time.
    pub(super) async fn verify_certificate(
        &self,
        client: &Client,
        authorization: Option<&str>,
    ) -> Result<Authenticated, Refused> {
        let name = client
            .certificate
            .as_ref()
            .and_then(|names| match authorization {
                // Of several addresses nobody can say which one is meant.
                None => names.only().map(ToOwned::to_owned),
                Some(wanted) => {
                    let logins = &self.settings.names;
                    let folders = logins.folders(wanted).into_iter();
                    let users = folders.flat_map(|(user, _)| logins.candidates(&user));
                    let wanted: Vec<_> =
                        logins.candidates(wanted).into_iter().chain(users).collect();
                    let leads_there = |name: &&str| {
                        let candidates = self.settings.names.candidates(name);
                        candidates
                            .iter()
                            .any(|candidate| wanted.contains(candidate))
                    };
                    names.iter().find(leads_there).map(ToOwned::to_owned)
                }
            });
        let claimed = authorization.or(name.as_deref()).unwrap_or_default();
        let admission = self.admit(client, claimed).await?;
        let mut attempt = Attempt::begin(self.settings.failure_time, admission.turn());
        attempt.has_hashed = true;
        match self
            .check_certificate(client, name.as_deref(), authorization)
            .await
        {
            Ok(authenticated) => {
                self.throttle.succeeded(admission);
                Ok(authenticated)
            }
            Err(cause) => Err(self.fail(client, attempt, admission, cause, claimed).await),
        }
    }

    async fn check_certificate(
        &self,
        client: &Client,
        name: Option<&str>,
        authorization: Option<&str>,
    ) -> Result<Authenticated, RefusalCause> {
        let name = name.ok_or(RefusalCause::Certificate)?;
        let account = self.find(name).await?;
        // The directory may know `tim` where the certificate says `Tim@example.com`: that is
        // somebody else, unless the rules for login names say that it is the same.
        let permitted = self.permit(client, &account, (None, authorization))?;
        Ok(Authenticated::by_word(&account, permitted, CREDENTIAL))
    }
}
