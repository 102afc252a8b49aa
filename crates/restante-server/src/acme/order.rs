//! One attempt to obtain a certificate: account, order, challenges, chain.
//!
//! What was begun is taken up again after a restart: the account's key and the order with its key
//! are on the shelf before anything is asked for that cannot be asked for twice.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use instant_acme::{
    Account, AuthorizationHandle, AuthorizationStatus, CertificateIdentifier, ChallengeStatus,
    ChallengeType, Error, ExternalAccountKey, Identifier, Key, NewAccount, NewOrder, Order,
    OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use rustls::crypto::CryptoProvider;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use secrecy::ExposeSecret as _;
use time::OffsetDateTime;

use super::{
    AcmeError, AcmeSettings, ChallengeKind, ExternalAccount,
    http::Http,
    issued::Issued,
    records::{AccountRecord, OrderRecord, Records},
};
use crate::tls::challenges::Challenges;

/// How an order is looked at until it has moved on: at first after a moment, then ever later.
const POLLS: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(500))
    .backoff(1.5)
    .timeout(Duration::from_secs(120));

/// The problem of an account that the authority no longer knows (RFC 8555 §6.7).
const NO_ACCOUNT: &str = "urn:ietf:params:acme:error:accountDoesNotExist";

/// What an attempt works with.
pub(super) struct Attempt {
    pub(super) settings: Arc<AcmeSettings>,
    pub(super) records: Records,
    pub(super) challenges: Arc<Challenges>,
    pub(super) provider: Arc<CryptoProvider>,
    pub(super) http: Http,
    /// The certificate that the new one is to replace, if it is from the same authority.
    pub(super) replaces: Option<CertificateIdentifier<'static>>,
}

/// An order with the key of the certificate that is ordered.
struct Ordered {
    order: Order,
    key: KeyPair,
}

fn at(step: &'static str) -> impl Fn(Error) -> AcmeError {
    move |cause| AcmeError::Authority { step, cause }
}

impl Attempt {
    /// Obtains a certificate, from the account to the text on the shelf.
    pub(super) async fn obtain(self) -> Result<Issued, AcmeError> {
        let obtained = self.obtain_once().await;
        match &obtained {
            // An authority that has lost the account is told of it anew.
            Err(error) if problem_of(error) == Some(NO_ACCOUNT) => {
                self.forget_what_is_gone(error).await?;
                self.obtain_once().await
            }
            Err(error) => {
                self.forget_what_is_gone(error).await?;
                obtained
            }
            Ok(_) => obtained,
        }
    }

    async fn obtain_once(&self) -> Result<Issued, AcmeError> {
        let account = self.account().await?;
        self.order_and_fetch(&account).await
    }

    async fn order_and_fetch(&self, account: &Account) -> Result<Issued, AcmeError> {
        let Ordered { mut order, key } = self.ordered(account).await?;
        if matches!(order.state().status, OrderStatus::Pending) {
            self.prove(&mut order).await?;
        }
        if matches!(order.state().status, OrderStatus::Ready) {
            let request = self.signing_request(&key)?;
            let finalized = order.finalize_csr(&request).await;
            finalized.map_err(at("the order cannot be finalized"))?;
        }
        let chain = order.poll_certificate(&POLLS).await;
        let chain = chain.map_err(at("no certificate for the order"))?;
        self.keep(&chain, &key).await
    }

    /// Puts the certificate on the shelf, if it is one. A broken answer replaces nothing.
    async fn keep(&self, chain: &str, key: &KeyPair) -> Result<Issued, AcmeError> {
        let (directory, names) = (&self.settings.directory, &self.settings.domains);
        let now = OffsetDateTime::now_utc();
        let key = key.serialize_pem();
        let issued = Issued::new(chain, &key, directory, names, now, &self.provider);
        let issued = match issued {
            Ok(issued) => issued,
            Err(error) => {
                // The same order would give the same again.
                self.records.forget_order().await?;
                return Err(error.into());
            }
        };
        let text = Issued::text(chain, &key, directory, now);
        self.records.keep_certificate(text).await?;
        self.records.forget_order().await?;
        Ok(issued)
    }

    /// The account, whose key is made once.
    pub(super) async fn account(&self) -> Result<Account, AcmeError> {
        let directory = &self.settings.directory;
        let mut record = match self.records.account(directory).await? {
            Some(record) => record,
            None => self.new_account_record().await?,
        };
        let bad_key = |_| AcmeError::Strange("the account's key cannot be read");
        let der = BASE64_STANDARD.decode(&record.key).map_err(bad_key)?;
        let der = PrivatePkcs8KeyDer::from(der);
        let builder = || Account::builder_with_http(Box::new(self.http.clone()));
        let account = match &record.url {
            Some(url) => {
                let account = builder().from_parts(url.clone(), der, directory.clone());
                account.await.map_err(at("no directory"))?
            }
            None => {
                let account = match &self.settings.external_account {
                    Some(external) => self.bound_account(external, &mut record).await?,
                    None => {
                        let key = Key::from_pkcs8_der(der.clone_key()).map_err(at("no account"))?;
                        let pair = (key, PrivateKeyDer::Pkcs8(der));
                        let made = builder().create_from_key(pair, directory.clone()).await;
                        made.map_err(at("no account"))?.0
                    }
                };
                tracing::info!(
                    account = account.id(),
                    "account at the certificate authority"
                );
                record.url = Some(account.id().to_owned());
                self.records.keep_account(&record).await?;
                account
            }
        };
        self.tell_contact(&account, &mut record).await?;
        Ok(account)
    }

    /// A new account, tied to one that the authority knows (RFC 8555 §7.3.4). The library does
    /// that with keys of its own making alone, so this one is on the shelf a moment later than the
    /// authority knows it.
    async fn bound_account(
        &self,
        external: &ExternalAccount,
        record: &mut AccountRecord,
    ) -> Result<Account, AcmeError> {
        let key = ExternalAccountKey::new(external.id.clone(), external.key.expose_secret());
        let wanted = NewAccount {
            contact: &[],
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        let builder = Account::builder_with_http(Box::new(self.http.clone()));
        let made = builder.create(&wanted, self.settings.directory.clone(), Some(&key));
        let (account, credentials) = made.await.map_err(at("no account"))?;
        record.key = BASE64_STANDARD.encode(credentials.private_key().secret_pkcs8_der());
        Ok(account)
    }

    async fn new_account_record(&self) -> Result<AccountRecord, AcmeError> {
        let (_, der) = Key::generate_pkcs8().map_err(at("no account key"))?;
        let record = AccountRecord {
            directory: self.settings.directory.clone(),
            key: BASE64_STANDARD.encode(der.secret_pkcs8_der()),
            url: None,
            contact: Vec::new(),
        };
        self.records.keep_account(&record).await?;
        Ok(record)
    }

    /// Tells the authority whom to write to, if that has changed.
    async fn tell_contact(
        &self,
        account: &Account,
        record: &mut AccountRecord,
    ) -> Result<(), AcmeError> {
        let contact = &self.settings.contact;
        if record.contact == *contact {
            return Ok(());
        }
        let words: Vec<&str> = contact.iter().map(String::as_str).collect();
        let told = account.update_contacts(&words).await;
        told.map_err(at("the contact is refused"))?;
        record.contact.clone_from(contact);
        Ok(self.records.keep_account(record).await?)
    }

    /// The order that was under way, or a new one.
    async fn ordered(&self, account: &Account) -> Result<Ordered, AcmeError> {
        if let Some(record) = self.records.order(&self.settings).await? {
            if let Some(ordered) = taken_up(account, &record).await? {
                tracing::info!(order = ordered.order.url(), "order taken up again");
                return Ok(ordered);
            }
            self.records.forget_order().await?;
        }
        let domains = self.settings.domains.iter();
        let identifiers: Vec<_> = domains.cloned().map(Identifier::Dns).collect();
        let key = KeyPair::generate().map_err(AcmeError::Key)?;
        let order = self.new_order(account, &identifiers).await?;
        let record = OrderRecord {
            directory: self.settings.directory.clone(),
            names: self.settings.domains.clone(),
            url: order.url().to_owned(),
            key: key.serialize_pem(),
        };
        self.records.keep_order(&record).await?;
        Ok(Ordered { order, key })
    }

    async fn new_order(
        &self,
        account: &Account,
        identifiers: &[Identifier],
    ) -> Result<Order, AcmeError> {
        if let Some(replaces) = &self.replaces {
            let order = NewOrder::new(identifiers).replaces(replaces.clone());
            match account.new_order(&order).await {
                Ok(order) => return Ok(order),
                // Its only use is that limits count less: it is not worth a certificate.
                Err(error) => tracing::debug!(%error, "ordered without naming the old one"),
            }
        }
        let order = account.new_order(&NewOrder::new(identifiers)).await;
        order.map_err(at("no order"))
    }

    /// Shows the authority that the names are ours.
    async fn prove(&self, order: &mut Order) -> Result<(), AcmeError> {
        if order.state().authorizations.len() > self.settings.domains.len() {
            return Err(AcmeError::Strange(
                "the order is for more names than asked for",
            ));
        }
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let authorization = authorization.map_err(at("no authorization"))?;
            self.set_challenge(authorization).await?;
        }
        match order.poll_ready(&POLLS).await {
            Ok(OrderStatus::Ready) => Ok(()),
            Ok(_) => Err(self.why_invalid(order).await),
            Err(error) => match order.state().status {
                OrderStatus::Invalid => Err(self.why_invalid(order).await),
                _ => Err(at("the order does not become ready")(error)),
            },
        }
    }

    /// Prepares the answer to a challenge and says that it is there to be looked at.
    async fn set_challenge(
        &self,
        mut authorization: AuthorizationHandle<'_>,
    ) -> Result<(), AcmeError> {
        let name = authorization.identifier().to_string();
        if !self.settings.domains.contains(&name) {
            return Err(AcmeError::Strange("the order is for a name not asked for"));
        }
        match authorization.status {
            AuthorizationStatus::Valid => return Ok(()),
            AuthorizationStatus::Pending => {}
            _ => return Err(AcmeError::Strange("an authorization has ended")),
        }
        let kind = self.settings.challenge;
        let missing = || AcmeError::NoChallenge(kind, name.clone());
        let wanted = kind.wanted();
        let mut challenge = authorization.challenge(wanted).ok_or_else(missing)?;
        let answer = challenge.key_authorization();
        match kind {
            ChallengeKind::TlsAlpn01 => {
                let digest = <[u8; 32]>::try_from(answer.digest().as_ref());
                let digest = digest.map_err(|_| AcmeError::Strange("a digest of odd length"))?;
                let provider = Arc::clone(&self.provider);
                self.challenges.answer_over_tls(&name, digest, provider)?;
            }
            ChallengeKind::Http01 => {
                let token = challenge.token.clone();
                self.challenges.answer_over_http(&token, answer.as_str())?;
            }
        }
        // An order that is taken up has perhaps been told already.
        if challenge.status == ChallengeStatus::Pending {
            let told = challenge.set_ready().await;
            told.map_err(at("the challenge cannot be begun"))?;
        }
        Ok(())
    }

    /// What the authority has found at our names in place of what it was to find.
    async fn why_invalid(&self, order: &mut Order) -> AcmeError {
        let kind = self.settings.challenge;
        let mut authorizations = order.authorizations();
        while let Some(Ok(mut authorization)) = authorizations.next().await {
            let name = authorization.identifier().to_string();
            let Ok(state) = authorization.refresh().await else {
                continue;
            };
            let found = state
                .challenges
                .iter()
                .find(|one| one.r#type == kind.wanted());
            if let Some(problem) = found.and_then(|challenge| challenge.error.clone()) {
                return AcmeError::Unproven {
                    name,
                    kind,
                    problem,
                };
            }
        }
        AcmeError::Strange("the order is invalid for no reason given")
    }

    fn signing_request(&self, key: &KeyPair) -> Result<Vec<u8>, AcmeError> {
        let names = self.settings.domains.clone();
        let mut request = CertificateParams::new(names).map_err(AcmeError::Key)?;
        request.distinguished_name = DistinguishedName::new();
        let request = request.serialize_request(key).map_err(AcmeError::Key)?;
        Ok(request.der().to_vec())
    }

    /// An order that came to nothing is not taken up again, and an account that the authority has
    /// lost is made again, with the key that it had.
    async fn forget_what_is_gone(&self, error: &AcmeError) -> Result<(), AcmeError> {
        let has_failed = matches!(
            error,
            AcmeError::Unproven { .. }
                | AcmeError::NoChallenge(..)
                | AcmeError::Strange(_)
                | AcmeError::Authority {
                    cause: Error::Api(_),
                    ..
                }
        );
        if has_failed {
            self.records.forget_order().await?;
        }
        if problem_of(error) == Some(NO_ACCOUNT)
            && let Some(record) = self.records.account(&self.settings.directory).await?
        {
            let record = AccountRecord {
                url: None,
                contact: Vec::new(),
                ..record
            };
            self.records.keep_account(&record).await?;
        }
        Ok(())
    }
}

/// The order of a record, unless there is nothing to be had of it any more.
async fn taken_up(account: &Account, record: &OrderRecord) -> Result<Option<Ordered>, AcmeError> {
    let Ok(key) = KeyPair::from_pem(&record.key) else {
        return Ok(None);
    };
    let mut order = match account.order(record.url.clone()).await {
        Ok(order) => order,
        // It is too old, or of an account that was.
        Err(Error::Api(problem)) => {
            let reason = problem.to_string();
            tracing::info!(reason, "the order that was under way is gone");
            return Ok(None);
        }
        Err(error) => return Err(at("the order cannot be looked at")(error)),
    };
    let is_over = matches!(order.state().status, OrderStatus::Invalid);
    Ok((!is_over).then_some(Ordered { order, key }))
}

fn problem_of(error: &AcmeError) -> Option<&str> {
    match error {
        AcmeError::Authority {
            cause: Error::Api(problem),
            ..
        } => problem.r#type.as_deref(),
        _ => None,
    }
}

impl ChallengeKind {
    fn wanted(self) -> ChallengeType {
        match self {
            Self::TlsAlpn01 => ChallengeType::TlsAlpn01,
            Self::Http01 => ChallengeType::Http01,
        }
    }
}
