//! What must outlive a restart: the account's key, the order that is under way, the certificate,
//! and how often it failed.

use std::{io, sync::Arc};

use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};
use time::{Duration, OffsetDateTime};
use tokio::task::spawn_blocking;

use super::{AcmeSettings, schedule::Failures};

const CERTIFICATE: &str = "certificate.pem";
const ORDER: &str = "order.json";
const FAILURE: &str = "failure.json";

/// Small private files by their names. All of it blocks.
pub trait Shelf: Send + Sync + 'static {
    /// What was written last; `None` if nothing was.
    ///
    /// # Errors
    /// The operating system's.
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>>;

    /// Replaces a file, whole or not at all, readable to its owner only. Durable on return.
    ///
    /// # Errors
    /// The operating system's; the file is then as it was.
    fn write(&self, name: &str, contents: &[u8]) -> io::Result<()>;

    /// Removes a file that may not be there.
    ///
    /// # Errors
    /// The operating system's.
    fn remove(&self, name: &str) -> io::Result<()>;
}

/// A file could not be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot {verb} `{name}`")]
pub(super) struct RecordError {
    verb: &'static str,
    name: String,
    #[source]
    cause: io::Error,
}

/// The shelf as it is used while serving: what blocks leaves the event loop.
#[derive(Clone)]
pub(super) struct Records(Arc<dyn Shelf>);

/// The account at one authority.
#[derive(Clone, Deserialize, Serialize)]
pub(super) struct AccountRecord {
    pub(super) directory: String,
    /// PKCS #8 in base64. Made once.
    pub(super) key: String,
    /// What the authority calls the account; `None` until it has said so.
    pub(super) url: Option<String>,
    /// What the authority was told.
    pub(super) contact: Vec<String>,
}

/// An order that is under way.
#[derive(Clone, Deserialize, Serialize)]
pub(super) struct OrderRecord {
    pub(super) directory: String,
    pub(super) names: Vec<String>,
    pub(super) url: String,
    /// The key of the certificate that was ordered, in PEM.
    pub(super) key: String,
}

/// Attempts that failed, one after the other.
#[derive(Clone, Deserialize, Serialize)]
pub(super) struct FailureRecord {
    /// What was attempted: other settings are another matter.
    pub(super) settings: String,
    pub(super) count: u32,
    /// Seconds since 1970.
    pub(super) last: i64,
    /// How many seconds the authority asks to be left alone.
    pub(super) patience: Option<u64>,
    pub(super) reason: String,
}

impl FailureRecord {
    pub(super) fn at(&self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(self.last).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }

    pub(super) fn failures(&self, is_before_start: bool) -> Failures {
        let patience = self
            .patience
            .and_then(|seconds| i64::try_from(seconds).ok());
        Failures {
            count: self.count.max(1),
            last: self.at(),
            patience: patience.map(Duration::seconds),
            is_before_start,
        }
    }
}

impl Records {
    pub(super) fn new(shelf: Arc<dyn Shelf>) -> Self {
        Self(shelf)
    }

    /// The account at `directory`. One that cannot be read is an error: a new key would be a new
    /// account, and the old one may be what an operator has had raised limits for.
    pub(super) async fn account(
        &self,
        directory: &str,
    ) -> Result<Option<AccountRecord>, RecordError> {
        let name = account_name(directory);
        let Some(octets) = self.read(&name).await? else {
            return Ok(None);
        };
        parse(&octets).map(Some).map_err(|cause| RecordError {
            verb: "understand",
            name,
            cause,
        })
    }

    pub(super) async fn keep_account(&self, account: &AccountRecord) -> Result<(), RecordError> {
        let name = account_name(&account.directory);
        self.write_json(&name, account).await
    }

    /// The order that is under way for these names; any other is of no use.
    pub(super) async fn order(
        &self,
        settings: &AcmeSettings,
    ) -> Result<Option<OrderRecord>, RecordError> {
        let octets = self.read(ORDER).await?;
        let order = octets.and_then(|octets| parse::<OrderRecord>(&octets).ok());
        Ok(order.filter(|order| {
            order.directory == settings.directory && order.names == settings.domains
        }))
    }

    pub(super) async fn keep_order(&self, order: &OrderRecord) -> Result<(), RecordError> {
        self.write_json(ORDER, order).await
    }

    pub(super) async fn forget_order(&self) -> Result<(), RecordError> {
        self.remove(ORDER).await
    }

    pub(super) async fn certificate(&self) -> Result<Option<Vec<u8>>, RecordError> {
        self.read(CERTIFICATE).await
    }

    pub(super) async fn keep_certificate(&self, text: String) -> Result<(), RecordError> {
        self.write(CERTIFICATE, text.into_bytes()).await
    }

    /// As [`failure`].
    pub(super) async fn failure(&self, settings: &AcmeSettings) -> Option<FailureRecord> {
        let octets = self.read(FAILURE).await.ok()??;
        failure_of(&octets, settings)
    }

    pub(super) async fn keep_failure(&self, failure: &FailureRecord) -> Result<(), RecordError> {
        self.write_json(FAILURE, failure).await
    }

    pub(super) async fn forget_failure(&self) -> Result<(), RecordError> {
        self.remove(FAILURE).await
    }

    async fn read(&self, name: &str) -> Result<Option<Vec<u8>>, RecordError> {
        self.with("read", name, |shelf, name| shelf.read(name))
            .await
    }

    async fn write_json(&self, name: &str, record: &impl Serialize) -> Result<(), RecordError> {
        let contents = serde_json::to_vec_pretty(record).map_err(|error| RecordError {
            verb: "write",
            name: name.to_owned(),
            cause: error.into(),
        })?;
        self.write(name, contents).await
    }

    async fn write(&self, name: &str, contents: Vec<u8>) -> Result<(), RecordError> {
        self.with("write", name, move |shelf, name| {
            shelf.write(name, &contents)
        })
        .await
    }

    async fn remove(&self, name: &str) -> Result<(), RecordError> {
        self.with("remove", name, |shelf, name| shelf.remove(name))
            .await
    }

    async fn with<T: Send + 'static>(
        &self,
        verb: &'static str,
        name: &str,
        act: impl FnOnce(&dyn Shelf, &str) -> io::Result<T> + Send + 'static,
    ) -> Result<T, RecordError> {
        let (shelf, owned) = (Arc::clone(&self.0), name.to_owned());
        let acted = spawn_blocking(move || act(&*shelf, &owned)).await;
        let acted = acted.unwrap_or_else(|error| Err(io::Error::other(error)));
        acted.map_err(|cause| RecordError {
            verb,
            name: name.to_owned(),
            cause,
        })
    }
}

/// The certificate on the shelf, if there is one. Blocks.
pub(super) fn certificate(shelf: &dyn Shelf) -> io::Result<Option<Vec<u8>>> {
    shelf.read(CERTIFICATE)
}

/// The failures on the shelf that are of these settings. One that cannot be read is none: at worst
/// an attempt comes early. Blocks.
pub(super) fn failure(shelf: &dyn Shelf, settings: &AcmeSettings) -> Option<FailureRecord> {
    let octets = shelf.read(FAILURE).ok()??;
    failure_of(&octets, settings)
}

fn failure_of(octets: &[u8], settings: &AcmeSettings) -> Option<FailureRecord> {
    let record = parse::<FailureRecord>(octets).ok()?;
    (record.settings == fingerprint(settings)).then_some(record)
}

/// What of the settings decides whether an attempt can succeed.
pub(super) fn fingerprint(settings: &AcmeSettings) -> String {
    let AcmeSettings {
        directory,
        domains,
        contact,
        challenge,
        extra_roots,
        external_account,
    } = settings;
    let roots: Vec<&[u8]> = extra_roots.iter().map(AsRef::as_ref).collect();
    let mut text = format!("{directory} {domains:?} {contact:?} {challenge:?} {roots:?}");
    if let Some(external) = external_account {
        let key = Sha256::digest(external.key.expose_secret());
        text.push_str(&format!(" {} {key:?}", external.id));
    }
    short_digest(&text)
}

/// Each authority has an account of its own: who tries another comes back to the one before.
fn account_name(directory: &str) -> String {
    format!("account-{}.json", short_digest(directory))
}

fn short_digest(text: &str) -> String {
    let digest = Sha256::digest(text);
    let octets = digest.iter().take(8);
    octets.map(|octet| format!("{octet:02x}")).collect()
}

fn parse<T: DeserializeOwned>(octets: &[u8]) -> io::Result<T> {
    serde_json::from_slice(octets).map_err(io::Error::from)
}
