//! Whom we trust: TLS 1.3 with certificates on both sides, of one authority and no other.

use crate::keys::Keys;
use crate::role::Role;
use rustls::client::{Resumption, verify_server_name};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{AlertDescription, CertificateError, ClientConfig, RootCertStore, ServerConfig};
use std::io;
use std::sync::Arc;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// Whom to believe, and how to be believed.
#[derive(Clone, Debug)]
pub enum Trust {
    /// TLS with these keys.
    Keys(Keys),
    /// No TLS: everybody on this machine is believed. Refused off loopback.
    InsecurePlain,
}

/// Both ends of TLS, ready to be used.
#[derive(Clone)]
pub(crate) struct Tls {
    pub acceptor: TlsAcceptor,
    pub connector: TlsConnector,
}

impl Tls {
    /// # Errors
    /// If the keys do not belong together.
    pub fn new(keys: &Keys) -> Result<Tls, rustls::Error> {
        let provider = Arc::new(provider());
        let mut roots = RootCertStore::empty();
        roots.add(keys.authority.clone())?;
        let roots = Arc::new(roots);
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone())
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?;
        let own = || (vec![keys.certificate.clone()], keys.key.clone_key());
        let (chain, key) = own();
        let mut server = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)?;
        // Each connection proves itself anew: a resumed one would not notice that a certificate has expired.
        server.send_tls13_tickets = 0;
        server.session_storage = Arc::new(NoServerSessionStorage {});
        let (chain, key) = own();
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)?;
        client.resumption = Resumption::disabled();
        Ok(Tls { acceptor: Arc::new(server).into(), connector: Arc::new(client).into() })
    }
}

/// Those of ring, AES with 128 bits first: blocks are gigabytes, and nobody breaks 128 bits.
fn provider() -> CryptoProvider {
    let mut provider = ring::default_provider();
    provider
        .cipher_suites
        .sort_by_key(|suite| suite.suite() != rustls::CipherSuite::TLS13_AES_128_GCM_SHA256);
    provider
}

/// The name by which the certificate of a role is known.
pub(crate) fn server_name(role: Role) -> ServerName<'static> {
    ServerName::try_from(role.domain()).expect("domains of roles are valid names")
}

/// The role in a certificate that was verified; none if it has no role, or several.
pub(crate) fn role_in(certificate: &CertificateDer) -> Option<Role> {
    let certificate = ParsedCertificate::try_from(certificate).ok()?;
    let has = |role: &Role| verify_server_name(&certificate, &server_name(*role)).is_ok();
    let mut roles = Role::ALL.into_iter().filter(has);
    roles.next().filter(|_| roles.next().is_none())
}

/// What an error of TLS means to a user.
pub(crate) fn explained(error: &io::Error) -> Option<String> {
    let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    Some(match error {
        rustls::Error::AlertReceived(AlertDescription::CertificateExpired) => {
            "the other side says that this key has expired: make new ones with dolmen keygen".into()
        }
        rustls::Error::AlertReceived(alert) => {
            format!("the other side refuses this key ({alert:?}): both need keys of one dolmen keygen")
        }
        rustls::Error::InvalidCertificate(reason) => match reason {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "the other side's key has expired: make new ones with dolmen keygen".into()
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "the other side has the key of another role: give each process the key of its own".into()
            }
            _ => format!(
                "the other side's key is not to be trusted ({reason:?}): both need keys of one dolmen keygen"
            ),
        },
        rustls::Error::NoCertificatesPresented => {
            "it shows no key: both sides need keys of one dolmen keygen".into()
        }
        rustls::Error::InvalidMessage(_) => {
            "it does not speak TLS: is the port right, and do both sides use keys?".into()
        }
        other => format!("TLS: {other}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aes_with_128_bits_is_taken_first() {
        let suite = provider().cipher_suites[0].suite();
        assert_eq!(suite, rustls::CipherSuite::TLS13_AES_128_GCM_SHA256);
    }
}
