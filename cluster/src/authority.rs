//! Making keys: one certificate authority for a cluster, and a certificate for each role.

use crate::random::random_u64;
use crate::role::Role;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, KeyUsagePurpose,
};
use std::ops::Range;
use std::time::{Duration, SystemTime};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A certificate authority. It lives in memory only: once its certificates are written, nobody can issue more.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    /// A new authority with a new key (ECDSA over P-256), valid as long as certificates [usually](Self::usual_validity)
    /// are.
    ///
    /// # Errors
    /// If the system gives no random numbers.
    pub fn new() -> Result<Authority, rcgen::Error> {
        // Its own name for each: a foreign authority is then told apart by name before any signature is looked at.
        let mut params = params(&format!("dolmen cluster {:016x}", random_u64()), &Self::usual_validity());
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        Ok(Authority { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate()?)? })
    }

    /// From a day ago, as clocks differ, for ten years.
    pub fn usual_validity() -> Range<SystemTime> {
        let now = SystemTime::now();
        now - DAY..now + 3653 * DAY
    }

    /// The authority's certificate, as PEM.
    pub fn certificate(&self) -> String {
        self.issuer.pem()
    }

    /// A new key of this role with its certificate, as PEM: the certificate first.
    ///
    /// # Errors
    /// If the system gives no random numbers, or the times are before 1950 or after 9999.
    pub fn issue(&self, role: Role, validity: Range<SystemTime>) -> Result<String, rcgen::Error> {
        let key = KeyPair::generate()?;
        let mut params = params(&format!("dolmen {role}"), &validity);
        params.subject_alt_names = CertificateParams::new([role.domain().to_string()])?.subject_alt_names;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        // The scheduler only listens. Workers and clients connect, and are asked for blocks.
        params.extended_key_usages = match role {
            Role::Scheduler => vec![ExtendedKeyUsagePurpose::ServerAuth],
            Role::Worker | Role::Client => {
                vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth]
            }
        };
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(certificate.pem() + &key.serialize_pem())
    }
}

fn params(name: &str, validity: &Range<SystemTime>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = validity.start.into();
    params.not_after = validity.end.into();
    params
}
