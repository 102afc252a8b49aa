//! Logins with an OAuth token (RFC 7628, XOAUTH2).

use secrecy::SecretString;

use super::{Attempt, Authenticated, Authenticator, Client, RefusalCause, Refused};
use crate::accounts::oauth::{Oauth, TokenError, TokenFault};

/// The credential that sessions opened by a token are told by.
const CREDENTIAL: &str = "token";

/// What a client has said.
pub(super) struct TokenLogin {
    /// Whose mailbox it wants.
    pub(super) authorization: Option<String>,
    /// The host that it believes to be connected to.
    pub(super) host: Option<String>,
    pub(super) token: SecretString,
}

impl Authenticator {
    /// Verifies a token; a failure waits for its time.
    pub(super) async fn verify_token(
        &self,
        client: &Client,
        login: &TokenLogin,
    ) -> Result<Authenticated, Refused> {
        let Some(oauth) = &self.settings.oauth else {
            return Err(Refused::new(RefusalCause::Unavailable, None));
        };
        // Without a name there is one only once the token is verified; all of these together must
        // not count as one name's failures.
        let name = match &login.authorization {
            Some(name) => name.clone(),
            None => oauth.alias(&login.token),
        };
        let admission = self.admit(client, &name).await?;
        let mut attempt = Attempt::begin(self.settings.failure_time, admission.turn());
        // A token is not hashed, whoever's it is, so no failure needs a hash to look like another.
        attempt.has_hashed = true;
        match self.check_token(oauth, client, login).await {
            Ok(authenticated) => {
                self.throttle.succeeded(admission);
                Ok(authenticated)
            }
            Err(cause) => Err(self.fail(client, attempt, admission, cause, &name).await),
        }
    }

    async fn check_token(
        &self,
        oauth: &Oauth,
        client: &Client,
        login: &TokenLogin,
    ) -> Result<Authenticated, RefusalCause> {
        // R7628-OAB-2: known is the name that the client asked for in TLS. Which port it used is
        // not: ports are mapped on the way.
        if let (Some(asked), Some(host)) = (&client.server_name, &login.host)
            && !host.trim_end_matches('.').eq_ignore_ascii_case(asked)
        {
            return Err(RefusalCause::Token(TokenFault::Host));
        }
        let owner = oauth.verify(&login.token).await?;
        let account = self.find(&owner).await?;
        // R7628-OAB-5: the identity must be that of the token.
        let authorization = login.authorization.as_deref();
        let permitted = self.permit(client, &account, (None, authorization))?;
        Ok(Authenticated::by_word(&account, permitted, CREDENTIAL))
    }
}

impl From<TokenError> for RefusalCause {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Refused(fault) => Self::Token(fault),
            TokenError::Issuer(error) => Self::Issuer(error),
        }
    }
}
