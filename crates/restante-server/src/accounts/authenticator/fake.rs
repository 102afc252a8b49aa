//! SCRAM parameters of people who do not exist, or who have no SCRAM keys (PRJ-SCRAM-8).

use hmac::{Hmac, KeyInit as _, Mac as _};
use restante_sasl::scram::{ITERATIONS_MIN, SALT_OCTETS_MAX, ScramHash, ScramParameters};
use secrecy::{ExposeSecret as _, SecretBox};
use sha2::Sha256;

/// What of SCRAM parameters is alike in many accounts.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(in crate::accounts) struct ScramShape {
    salt_octets: usize,
    iterations: u32,
}

impl ScramShape {
    /// What our own keys are made with.
    pub(in crate::accounts) const OURS: Self = Self {
        salt_octets: 16,
        iterations: 100_000,
    };

    pub(in crate::accounts) fn of(parameters: &ScramParameters) -> Self {
        Self {
            salt_octets: parameters.salt().len(),
            iterations: parameters.iterations(),
        }
    }

    pub(in crate::accounts) fn iterations(self) -> u32 {
        self.iterations
    }
}

/// Makes salts from names.
pub(super) struct FakeSalts {
    secret: SecretBox<[u8; 32]>,
}

impl FakeSalts {
    pub(super) fn new(secret: &SecretBox<[u8; 32]>) -> Self {
        Self {
            secret: SecretBox::new(Box::new(*secret.expose_secret())),
        }
    }

    /// The same for the same name, hash and secret; of the given shape.
    pub(super) fn parameters(
        &self,
        name: &str,
        hash: ScramHash,
        shape: ScramShape,
    ) -> ScramParameters {
        let hash: &[u8] = match hash {
            ScramHash::Sha1 => b"SCRAM-SHA-1",
            ScramHash::Sha256 => b"SCRAM-SHA-256",
        };
        let block = |number: u8| {
            let secret = self.secret.expose_secret();
            let mac =
                Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
            let parts = [b"fake salt\0", hash, b"\0", &[number], name.as_bytes()];
            parts
                .iter()
                .fold(mac, |mac, part| mac.chain_update(part))
                .finalize()
                .into_bytes()
        };
        let octets = shape.salt_octets.clamp(1, SALT_OCTETS_MAX);
        let salt = (0..=u8::MAX).flat_map(block).take(octets).collect();
        let iterations = shape.iterations.max(ITERATIONS_MIN);
        ScramParameters::new(salt, iterations).expect("shapes are of real parameters")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(secret: u8, name: &str, hash: ScramHash, shape: ScramShape) -> ScramParameters {
        FakeSalts::new(&SecretBox::new(Box::new([secret; 32]))).parameters(name, hash, shape)
    }

    #[test]
    fn prj_scram_8_fake_salts_are_stable_and_each_name_has_its_own() {
        let ours = |secret, name, hash| parameters(secret, name, hash, ScramShape::OURS);
        let first = ours(1, "tim", ScramHash::Sha256);
        assert_eq!(first, ours(1, "tim", ScramHash::Sha256));
        assert_eq!((first.salt().len(), first.iterations()), (16, 100_000));
        for other in [
            ours(1, "tom", ScramHash::Sha256),
            ours(2, "tim", ScramHash::Sha256),
            ours(1, "tim", ScramHash::Sha1),
        ] {
            assert_ne!(first.salt(), other.salt());
        }
    }

    #[test]
    fn prj_scram_8_fake_parameters_have_the_shape_of_real_ones() {
        for (salt_octets, iterations) in [(1, 4096), (12, 5000), (33, 4096), (256, 10_000_000)] {
            let shape = ScramShape {
                salt_octets,
                iterations,
            };
            let fake = parameters(1, "tim", ScramHash::Sha256, shape);
            assert_eq!(ScramShape::of(&fake), shape);
        }
    }
}
