//! Verifies logins, so that a failure tells nothing but that it is one.
//!
//! Every failure of one kind of attempt is answered at the same time after the attempt began,
//! whatever it took to find out: an unknown name, a wrong password, a stored scheme that is fast, a
//! login that is forbidden. A successful login is not delayed.

mod attempt;
mod ban_record;
mod bans;
mod cache;
mod certificate;
mod failure;
mod fake;
mod hashing;
mod outcome;
mod permission;
mod sasl;
mod scram;
mod throttle;
mod token;

use std::{fmt, net::IpAddr, sync::Arc, time::Duration};

use md5::{Digest as _, Md5};
use restante_sasl::{ChannelBinding, CramDigest, EndPoint, Mechanism};
use secrecy::{ExposeSecret as _, SecretBox, SecretSlice};
use subtle::ConstantTimeEq as _;

pub(super) use self::fake::{ScramShape, ScramShapes};
use self::{
    attempt::Attempt,
    bans::Bans,
    cache::CredentialCache,
    fake::FakeSalts,
    hashing::{HashingQueue, Turn},
    throttle::{Admission, Throttle},
};
pub use self::{
    ban_record::{BAN_RECORD_OCTETS_MAX, BanRecordError},
    bans::{Ban, BanSettings, Culprit},
    outcome::{Authenticated, Refusal, RefusalCause, Refused},
    sasl::{SaslLogin, SaslOutcome},
};
use super::{
    Account, Credential, Directory, DirectoryError, LoginNames, Presented,
    oauth::Oauth,
    schemes::{Verifier, dummy_verifier},
};
use crate::CertificateNames;

/// A name that nobody is likely to have, and that is nobody's secret if somebody has it.
const PROBE: &str = "is-anybody-there";

/// What PLAIN takes per field, and more than PASS can carry.
const PASSWORD_OCTETS_MAX: usize = 1024;

/// How logins are verified.
#[derive(Debug)]
pub struct AuthenticatorSettings {
    /// How claimed names become account names.
    pub names: LoginNames,
    /// The mechanisms to offer, in this order; `None` for those with which every account can be
    /// verified, strongest first. LOGIN, CRAM-MD5 and SCRAM-SHA-1 are only offered if named here,
    /// the last also if all accounts have its keys.
    ///
    /// Whatever stands here, mechanisms with tokens need `oauth`, and EXTERNAL is offered to
    /// clients with a certificate alone.
    pub mechanisms: Option<Vec<Mechanism>>,
    /// Verifies tokens, if they are accepted.
    pub oauth: Option<Arc<Oauth>>,
    /// Names this host in the challenges of CRAM-MD5.
    pub host: String,
    /// Whether APOP is accepted, for accounts whose password is stored as it is (PRJ-APOP-8).
    pub apop: bool,
    /// How long after its begin a failed attempt is answered.
    pub failure_time: Duration,
    /// When an address or a name is banned.
    pub bans: BanSettings,
    /// Makes the salts of people who do not exist. Random, kept with the server's data: a salt
    /// that changes with a restart would show who exists.
    pub fake_salt_secret: SecretBox<[u8; 32]>,
}

impl AuthenticatorSettings {
    /// The default failure time.
    pub const FAILURE_TIME: Duration = Duration::from_secs(2);

    /// Defaults for everything but the secret.
    #[must_use]
    pub fn new(fake_salt_secret: SecretBox<[u8; 32]>) -> Self {
        Self {
            names: LoginNames::default(),
            mechanisms: None,
            oauth: None,
            host: "localhost".to_owned(),
            apop: false,
            failure_time: Self::FAILURE_TIME,
            bans: BanSettings::default(),
            fake_salt_secret,
        }
    }
}

/// From where somebody tries to log in.
#[derive(Clone)]
pub struct Client {
    /// The address of the client, behind a proxy the one that the proxy vouches for.
    pub address: IpAddr,
    /// What TLS exported for channel binding (RFC 9266), if this connection has it.
    pub exporter: Option<[u8; 32]>,
    /// The hash of the certificate that this server has shown (RFC 5929 §4), if there is one.
    pub end_point: Option<EndPoint>,
    /// Whom the certificate is for that the client presented in TLS and that was verified.
    pub certificate: Option<Arc<CertificateNames>>,
    /// The host that the client asked for in TLS, in lower case.
    pub server_name: Option<String>,
}

impl Client {
    /// A client of whom nothing but its address is known.
    #[must_use]
    pub fn new(address: IpAddr) -> Self {
        Self {
            address,
            exporter: None,
            end_point: None,
            certificate: None,
            server_name: None,
        }
    }

    /// What of its connection a login can be bound to.
    fn binding(&self) -> ChannelBinding {
        ChannelBinding::with(self.exporter, self.end_point.clone())
    }
}

/// Verifies passwords, APOP digests and SASL exchanges against a [`Directory`].
///
/// Shared by all connections. Slow hashing runs on as many threads as there are processors, never
/// on the runtime's own.
pub struct Authenticator {
    directory: Directory,
    settings: AuthenticatorSettings,
    hashing: Arc<HashingQueue>,
    cache: Arc<CredentialCache>,
    fake_salts: Arc<FakeSalts>,
    throttle: Arc<Throttle>,
    bans: Arc<Bans>,
}

/// How somebody shows that an account is theirs.
enum Claim<'c> {
    Password(&'c SecretSlice<u8>),
    Apop {
        timestamp: &'c str,
        digest: &'c SecretSlice<u8>,
    },
    Cram(&'c CramDigest),
}

impl Authenticator {
    /// # Errors
    /// The system gave no random octets.
    pub fn new(directory: Directory, settings: AuthenticatorSettings) -> std::io::Result<Self> {
        let fake_salts = FakeSalts::new(&settings.fake_salt_secret);
        Ok(Self {
            directory,
            settings,
            hashing: Arc::default(),
            cache: Arc::new(CredentialCache::new()?),
            fake_salts: Arc::new(fake_salts),
            throttle: Arc::default(),
            bans: Arc::default(),
        })
    }

    /// Another way to verify logins to the same accounts. What is known of passwords and of those
    /// who guess them stays known; the secret of made-up salts is the one from before.
    #[must_use]
    pub fn with_settings(&self, settings: AuthenticatorSettings) -> Self {
        Self {
            directory: self.directory.clone(),
            settings,
            hashing: Arc::clone(&self.hashing),
            cache: Arc::clone(&self.cache),
            fake_salts: Arc::clone(&self.fake_salts),
            throttle: Arc::clone(&self.throttle),
            bans: Arc::clone(&self.bans),
        }
    }

    /// As [`with_settings`](Self::with_settings), for accounts that are kept elsewhere: their
    /// passwords are not known yet, however equal the names are.
    ///
    /// # Errors
    /// The system gave no random octets.
    pub fn with_directory(
        &self,
        directory: Directory,
        settings: AuthenticatorSettings,
    ) -> std::io::Result<Self> {
        Ok(Self {
            directory,
            cache: Arc::new(CredentialCache::new()?),
            ..self.with_settings(settings)
        })
    }

    /// What verifies tokens, if they are accepted.
    #[must_use]
    pub fn oauth(&self) -> Option<&Arc<Oauth>> {
        self.settings.oauth.as_ref()
    }

    /// The mechanisms that a client can use on its connection, in the order to announce them.
    ///
    /// PLAIN and LOGIN are among them whether or not the connection is encrypted: whether they
    /// are acceptable there is the server's policy (R5034-PLAIN-1). Reads the passwd-file if it
    /// was never read before.
    #[must_use]
    pub fn mechanisms(&self, client: &Client) -> Vec<Mechanism> {
        let usable = |mechanism: &Mechanism| match mechanism {
            Mechanism::External => client.certificate.is_some(),
            Mechanism::OauthBearer | Mechanism::Xoauth2 => self.settings.oauth.is_some(),
            other => !other.needs_channel_binding() || client.binding().is_usable(),
        };
        let mut mechanisms = self.offered();
        mechanisms.retain(usable);
        mechanisms
    }

    /// How many passwords were known to be right, and how many were not.
    pub(crate) fn cache_results(&self) -> (u64, u64) {
        self.cache.results()
    }

    /// Where accounts are looked up.
    pub(crate) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Sees whether accounts can be looked up, by asking for one that there hardly is.
    pub(crate) async fn probe(&self) -> Result<(), DirectoryError> {
        let found = self.directory.find(PROBE, &self.settings.names).await;
        found.map(drop)
    }

    /// Verifies USER and PASS. `name` and `password` are as sent.
    ///
    /// # Errors
    /// [`Refused`], at the time when failures are answered.
    pub async fn password(
        &self,
        client: &Client,
        name: &str,
        password: &SecretSlice<u8>,
    ) -> Result<Authenticated, Refused> {
        self.verify_claim(client, name, None, Claim::Password(password))
            .await
    }

    /// Verifies APOP (RFC 1939 §7). `timestamp` is the greeting's, with its angle brackets;
    /// `digest` is 32 hex digits of either case.
    ///
    /// # Errors
    /// [`Refused`]; [`Refusal::Unavailable`] at once unless APOP is switched on.
    pub async fn apop(
        &self,
        client: &Client,
        name: &str,
        timestamp: &str,
        digest: &SecretSlice<u8>,
    ) -> Result<Authenticated, Refused> {
        if !self.settings.apop {
            return Err(Refused::new(RefusalCause::Unavailable, None));
        }
        self.verify_claim(client, name, None, Claim::Apop { timestamp, digest })
            .await
    }

    /// Begins a SASL exchange. `mechanism` is the name as the client wrote it.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`] if the mechanism is not among [`mechanisms`](Self::mechanisms)
    /// (R5034-AUTH-2), [`Refusal::Temporary`] if the system gives no random octets.
    pub fn sasl(self: &Arc<Self>, client: Client, mechanism: &str) -> Result<SaslLogin, Refused> {
        let known = Mechanism::from_name(mechanism);
        let mechanism = known
            .filter(|mechanism| self.mechanisms(&client).contains(mechanism))
            .ok_or_else(|| Refused::new(RefusalCause::Unavailable, None))?;
        let binding = self.binding(&client);
        SaslLogin::new(Arc::clone(self), client, mechanism, binding)
    }

    /// Verifies what was claimed; a failure waits for its time.
    async fn verify_claim(
        &self,
        client: &Client,
        name: &str,
        authorization: Option<&str>,
        claim: Claim<'_>,
    ) -> Result<Authenticated, Refused> {
        let admission = self.admit(client, name).await?;
        let mut attempt = Attempt::begin(self.settings.failure_time, admission.turn());
        if let Claim::Password(password) = &claim {
            // One wrong password for several folders is one.
            let name = self.canonical(name);
            attempt.fingerprint = Some(self.cache.fingerprint(&name, password.expose_secret()));
        }
        let checked = self.check_claim(&mut attempt, client, name, authorization, claim);
        match checked.await {
            Ok(authenticated) => {
                self.throttle.succeeded(admission);
                Ok(authenticated)
            }
            Err(cause) => Err(self.fail(client, attempt, admission, cause, name).await),
        }
    }

    /// Lets an attempt begin, now or a little later, unless too many have failed.
    async fn admit(&self, client: &Client, name: &str) -> Result<Admission, Refused> {
        let canonical = self.canonical(name);
        let admitted = match self.is_banned(client.address, &canonical) {
            true => Err(RefusalCause::Banned),
            false => {
                let admitted = self.throttle.admit(client.address, &canonical).await;
                admitted.ok_or(RefusalCause::Throttled)
            }
        };
        match admitted {
            Ok(admission) => Ok(admission),
            Err(cause) => {
                let turn = Turn::stranger(client.address);
                Attempt::begin(self.settings.failure_time, turn)
                    .wait()
                    .await;
                Err(Refused::new(cause, Some(name.to_owned())))
            }
        }
    }

    /// One spelling for all that lead to one account, or would if there were one; to whichever
    /// folder of it.
    fn canonical(&self, name: &str) -> String {
        self.settings
            .names
            .canonical_login(name)
            .unwrap_or_else(|| name.to_owned())
    }

    async fn check_claim(
        &self,
        attempt: &mut Attempt,
        client: &Client,
        name: &str,
        authorization: Option<&str>,
        claim: Claim<'_>,
    ) -> Result<Authenticated, RefusalCause> {
        let (account, folder) = self.find_login(name).await?;
        let credentials = credentials(&account)?;
        let credential = match claim {
            Claim::Password(password) => {
                self.match_password(attempt, &account.name, credentials, password)
                    .await?
            }
            Claim::Apop { timestamp, digest } => {
                match_apop(credentials, timestamp, digest).ok_or(RefusalCause::WrongPassword)?
            }
            Claim::Cram(digest) => {
                match_cram(credentials, digest).ok_or(RefusalCause::WrongPassword)?
            }
        };
        let permitted = self.permit(client, &account, (folder, authorization))?;
        Ok(Authenticated::with(&account, permitted, credential))
    }

    /// The credential that `password` opens.
    async fn match_password<'a>(
        &self,
        attempt: &mut Attempt,
        account: &str,
        credentials: &'a [Credential],
        password: &SecretSlice<u8>,
    ) -> Result<&'a Credential, RefusalCause> {
        let octets = password.expose_secret();
        // PRJ-PASS-5: an empty password is never even compared. R6856-USER-3: UTF-8 only.
        if octets.is_empty()
            || octets.len() > PASSWORD_OCTETS_MAX
            || str::from_utf8(octets).is_err()
        {
            return Err(RefusalCause::WrongPassword);
        }
        let cached = |credential: &&Credential| self.cache.knows(account, credential, octets);
        let known = credentials.iter().find(cached);
        self.cache.count(known.is_some());
        if let Some(credential) = known {
            return Ok(credential);
        }
        let (slow, fast): (Vec<_>, Vec<_>) = credentials
            .iter()
            .partition(|credential| credential.verifier.is_slow());
        let presented = Presented::new(password);
        for credential in fast {
            if credential
                .verify(&presented)
                .map_err(|_| RefusalCause::OutOfMemory)?
            {
                return Ok(credential);
            }
        }
        // At most one slow hash an attempt: people have one password of their choosing.
        if let Some(&credential) = slow.first() {
            let (candidate, password) = (credential.clone(), password.clone());
            let verify = move || candidate.verify(&Presented::new(&password));
            attempt.has_hashed = true;
            if self
                .hashing
                .run(attempt.turn, verify)
                .await?
                .map_err(|_| RefusalCause::OutOfMemory)?
            {
                self.cache.remember(account, credential, octets);
                return Ok(credential);
            }
        }
        self.cache.forget(account);
        Err(RefusalCause::WrongPassword)
    }

    /// The account of that canonical name as the directory has it now.
    ///
    /// # Errors
    /// [`DirectoryError`].
    pub(crate) async fn current(&self, account: &str) -> Result<Option<Account>, DirectoryError> {
        self.directory.look_up(account).await
    }

    async fn find(&self, name: &str) -> Result<Account, RefusalCause> {
        let found = self.directory.find(name, &self.settings.names).await;
        found
            .map_err(RefusalCause::Directory)?
            .ok_or(RefusalCause::UnknownUser)
    }

    /// Mechanisms by policy, whatever the connection can do.
    fn offered(&self) -> Vec<Mechanism> {
        if let Some(mechanisms) = &self.settings.mechanisms {
            return mechanisms.clone();
        }
        let mut offered: Vec<_> = Mechanism::ALL.into_iter().rev().collect();
        offered.retain(|mechanism| match (mechanism.scram_hash(), mechanism) {
            (Some(hash), _) => self.directory.can_verify_scram(hash),
            // R2195-CRAM-3: never by default.
            (None, Mechanism::Login | Mechanism::CramMd5) => false,
            (None, _) => true,
        });
        offered
    }

    /// What the SASL exchange has to know of the connection: whether -PLUS is advertised on it.
    fn binding(&self, client: &Client) -> ChannelBinding {
        let plus = self
            .offered()
            .iter()
            .any(|mechanism| mechanism.needs_channel_binding());
        match client.binding() {
            binding if plus => binding,
            ChannelBinding::None => ChannelBinding::None,
            _ => ChannelBinding::Unused,
        }
    }
}

fn credentials(account: &Account) -> Result<&[Credential], RefusalCause> {
    account
        .credentials
        .as_deref()
        .map_err(|obstacle| RefusalCause::Obstacle(obstacle.clone()))
}

/// The password of a credential that is stored as it is; an empty one opens nothing.
fn clear(credential: &Credential) -> Option<Presented<'_>> {
    let secret = credential.verifier.clear();
    let secret = secret.filter(|secret| !secret.expose_secret().is_empty());
    secret.map(Presented::new)
}

/// The credential whose password makes this digest.
fn match_apop<'a>(
    credentials: &'a [Credential],
    timestamp: &str,
    digest: &SecretSlice<u8>,
) -> Option<&'a Credential> {
    // PRJ-APOP-6: either case, exactly 32 digits, compared in constant time.
    let digest = digest.expose_secret().to_ascii_lowercase();
    credentials.iter().find(|credential| {
        // RFC 6856 §2.2: both sides prepare.
        let Some(secret) = clear(credential) else {
            return false;
        };
        let secret = secret
            .prepared
            .as_ref()
            .map_or(secret.as_sent, |text| text.as_bytes());
        let expected = Md5::new()
            .chain_update(timestamp)
            .chain_update(secret)
            .finalize();
        let expected: String = expected
            .iter()
            .map(|octet| format!("{octet:02x}"))
            .collect();
        expected.as_bytes().ct_eq(&digest).into()
    })
}

/// The credential whose password makes this digest (RFC 2195), among those that are stored as they
/// are (R2195-CRAM-3).
fn match_cram<'a>(credentials: &'a [Credential], digest: &CramDigest) -> Option<&'a Credential> {
    credentials.iter().find(|credential| {
        // RFC 2195 knows no preparation; its revisions, and clients with them, do.
        let Some(secret) = clear(credential) else {
            return false;
        };
        let prepared = secret.prepared.as_ref().map(|text| text.as_bytes());
        digest.matches(secret.as_sent) | prepared.is_some_and(|text| digest.matches(text))
    })
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exporter = self.exporter.map(|_| "[REDACTED]");
        f.debug_struct("Client")
            .field("address", &self.address)
            .field("exporter", &exporter)
            .field("end_point", &self.end_point)
            .field("certificate", &self.certificate)
            .field("server_name", &self.server_name)
            .finish()
    }
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator")
            .field("directory", &self.directory)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
