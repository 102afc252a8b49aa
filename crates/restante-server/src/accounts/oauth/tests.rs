//! Tokens that are good, tokens that are not, and issuers of every kind.

mod asked;
pub(crate) mod issuer;
mod signed;
pub(crate) mod signer;

use super::*;

fn outcome(result: Result<String, TokenError>) -> Result<String, String> {
    match result {
        Ok(name) => Ok(name),
        Err(TokenError::Refused(fault)) => Err(format!("refused: {fault}")),
        Err(TokenError::Issuer(error)) => Err(format!("issuer: {error}")),
    }
}
