//! SCRAM parameters of people who do not exist, or who have no SCRAM keys (PRJ-SCRAM-8).

use std::sync::Arc;

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

/// The shapes that the SCRAM parameters of a directory's accounts have, each with how many have it.
///
/// Made-up parameters have each shape as often as real ones have it. If they all had the
/// commonest, any other would show that somebody exists.
#[derive(Clone, Debug)]
pub(in crate::accounts) struct ScramShapes(Arc<[(ScramShape, u64)]>);

impl ScramShapes {
    /// All accounts are as ours are.
    pub(in crate::accounts) fn ours() -> Self {
        Self(Arc::new([(ScramShape::OURS, 1)]))
    }

    /// Those that were counted; without any, ours.
    pub(in crate::accounts) fn counted(
        counts: impl IntoIterator<Item = (ScramShape, u64)>,
    ) -> Self {
        let counts: Arc<[_]> = counts.into_iter().filter(|&(_, count)| count > 0).collect();
        match counts.is_empty() {
            true => Self::ours(),
            false => Self(counts),
        }
    }

    /// The shape at `mark`, which is anywhere with equal likelihood.
    fn at(&self, mark: u64) -> ScramShape {
        let total: u64 = self.0.iter().map(|&(_, count)| count).sum();
        let place = (u128::from(mark) * u128::from(total)) >> 64;
        let mut passed = 0;
        let found = self.0.iter().find(|&&(_, count)| {
            passed += u128::from(count);
            place < passed
        });
        found.map_or(ScramShape::OURS, |&(shape, _)| shape)
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

    /// The same for the same name, hash and secret, as long as the shapes are; of one of them.
    pub(super) fn parameters(
        &self,
        name: &str,
        hash: ScramHash,
        shapes: &ScramShapes,
    ) -> ScramParameters {
        let hash: &[u8] = match hash {
            ScramHash::Sha1 => b"SCRAM-SHA-1",
            ScramHash::Sha256 => b"SCRAM-SHA-256",
        };
        let block = |purpose: &[u8], number: u8| {
            let secret = self.secret.expose_secret();
            let mac =
                Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
            let parts = [purpose, hash, b"\0", &[number], name.as_bytes()];
            parts
                .iter()
                .fold(mac, |mac, part| mac.chain_update(part))
                .finalize()
                .into_bytes()
        };
        let mark = block(b"fake shape\0", 0);
        let mark = mark.first_chunk().copied().unwrap_or_default();
        let shape = shapes.at(u64::from_be_bytes(mark));
        let octets = shape.salt_octets.clamp(1, SALT_OCTETS_MAX);
        let blocks = (0..=u8::MAX).flat_map(|number| block(b"fake salt\0", number));
        let salt = blocks.take(octets).collect();
        let iterations = shape.iterations.max(ITERATIONS_MIN);
        ScramParameters::new(salt, iterations).expect("shapes are of real parameters")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(secret: u8, name: &str, hash: ScramHash, shape: ScramShape) -> ScramParameters {
        let shapes = ScramShapes::counted([(shape, 1)]);
        FakeSalts::new(&SecretBox::new(Box::new([secret; 32]))).parameters(name, hash, &shapes)
    }

    #[test]
    fn prj_scram_8_fake_parameters_have_each_shape_as_often_as_real_ones() {
        let shape = |iterations| ScramShape {
            salt_octets: 16,
            iterations,
        };
        let shapes = ScramShapes::counted([(shape(4096), 3), (shape(9999), 0), (shape(10_000), 1)]);
        let salts = FakeSalts::new(&SecretBox::new(Box::new([1; 32])));
        let fake = |number: u32| {
            let name = format!("nobody{number}");
            salts.parameters(&name, ScramHash::Sha256, &shapes)
        };
        let rare = (0..4000).filter(|&number| fake(number).iterations() == 10_000);
        // 1000, and seven standard deviations to either side.
        let rare = rare.count();
        assert!((800..1200).contains(&rare), "{rare}");
        let common = (0..4000).filter(|&number| fake(number).iterations() == 4096);
        assert_eq!(common.count() + rare, 4000);
        assert_eq!(fake(7), fake(7));
        assert_eq!(shapes.at(0), shape(4096));
        assert_eq!(shapes.at(u64::MAX), shape(10_000));
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
