//! Attempts that fail: what they cost, when they are answered, and what comes of too many.

use std::net::IpAddr;

use super::{
    Admission, Attempt, Authenticator, Ban, Client, Culprit, Refusal, RefusalCause, Refused,
    Verifier, bans::Failure, dummy_verifier, throttle,
};

impl Authenticator {
    /// Ends a failed attempt.
    pub(super) async fn fail(
        &self,
        client: &Client,
        mut attempt: Attempt,
        admission: Admission,
        cause: RefusalCause,
        name: &str,
    ) -> Refused {
        // A full queue has the last word, whoever was named: it would tell unknown names from
        // known ones, and it says nothing about a password.
        let cause = self.hash_once(&mut attempt).await.err().unwrap_or(cause);
        let refused = Refused::new(cause, Some(name.to_owned()));
        match refused.why {
            Refusal::Credentials => {
                // Whoever has opened the account from there before guesses slowly enough.
                if !admission.is_familiar() {
                    let failure = Failure {
                        address: client.address,
                        name: &self.canonical(name),
                        fingerprint: attempt.fingerprint,
                    };
                    self.bans.failed(&self.settings.bans, &failure);
                }
                drop(admission);
            }
            _ => admission.forgive(),
        }
        attempt.wait().await;
        refused
    }

    /// Exactly one slow hash for each failure. The error is that there was no room for it.
    async fn hash_once(&self, attempt: &mut Attempt) -> Result<(), RefusalCause> {
        if std::mem::replace(&mut attempt.has_hashed, true) {
            return Ok(());
        }
        let verifier: &'static Verifier = dummy_verifier();
        // Its result says nothing; if there is no memory for it, the time still is.
        let verify = || verifier.verify(b"nobody's password");
        self.hashing.run(attempt.turn, verify).await.map(|_| ())
    }

    /// Whether nothing is to be verified for this address or this name. Whoever has opened the
    /// account from there before is not concerned: neither strangers who guess at the name nor
    /// neighbours behind the address can keep them out.
    pub(super) fn is_banned(&self, address: IpAddr, name: &str) -> bool {
        let banned = self.bans.is_address_banned(address) || self.bans.is_name_banned(name);
        banned && !self.throttle.is_familiar(address, name)
    }

    /// Whether connections from `address` are of no use: it is banned, and nobody has ever logged
    /// in from there. Asked before a handshake is paid for.
    #[must_use]
    pub fn turns_away(&self, address: IpAddr) -> bool {
        self.bans.is_address_banned(address) && !self.throttle.is_welcome(address)
    }

    /// The bans in force, those that last longest first.
    #[must_use]
    pub fn bans(&self) -> Vec<Ban> {
        self.bans.list()
    }

    /// Forgets all failures of an address or under a name. Whether it was banned.
    pub fn release(&self, culprit: &Culprit) -> bool {
        match culprit {
            Culprit::Address(address) => {
                self.throttle.release_address(*address);
                let network = throttle::network_of(*address);
                self.bans.release(&Culprit::Address(network))
            }
            Culprit::Name(name) => {
                let name = self.canonical(name);
                self.throttle.release_name(&name);
                self.bans.release(&Culprit::Name(name))
            }
        }
    }
}
