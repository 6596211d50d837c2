//! Secure Boot variables: EFI signature lists (.esl) and signed variable updates (.auth).
//!
//! Owns the two layouts. Never talks to firmware (systemd-boot enrols `loader/keys/<dir>/{PK,KEK,db}.auth`), never
//! reads the clock.
//!
//! Invariant: equal arguments give equal bytes, and a parsed list covers its bytes exactly.
//!
//! ```text
//!  .esl   (SignatureType GUID | ListSize u32 | HeaderSize u32 | SignatureSize u32 | (Owner GUID | DER))*  UEFI 32.4.1
//!  .auth  EFI_TIME 16 B | WIN_CERTIFICATE_UEFI_GUID 24 B | SignedData DER | .esl                          UEFI 8.2.2
//! ```

mod auth;
mod error;
mod esl;
mod guid;
mod time;
mod variable;

pub use auth::{AuthFile, parse_auth, sign_variable, verify_auth};
pub use error::EfiVarError;
pub use esl::{Entry, parse_esl, signature_list};
pub use guid::Guid;
pub use time::EfiTime;
pub use variable::SecureBootVariable;

#[cfg(test)]
mod tests;
