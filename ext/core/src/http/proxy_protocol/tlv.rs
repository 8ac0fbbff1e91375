//! The records at the end of a header of version 2 (section 2.2): a type, a length, a value.

use crate::stats::proxied::ProxyRefused::{self, Malformed};

/// What a proxy said of a connection beside its ends. Text is as it came: the proxy is trusted, and its client may have chosen
/// the bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tlvs {
    /// The protocol that was agreed upon by ALPN.
    pub alpn: Option<Vec<u8>>,
    /// The host name that the client asked for by SNI.
    pub authority: Option<Vec<u8>>,
    /// The connection's name across the proxies, at most 128 bytes.
    pub unique_id: Option<Vec<u8>>,
    /// The client's TLS.
    pub ssl: Option<ProxySsl>,
    /// The network namespace.
    pub netns: Option<Vec<u8>>,
    /// The AWS VPC endpoint that the connection came through.
    pub aws_vpc_endpoint_id: Option<Vec<u8>>,
    /// The Azure private endpoint's link identifier.
    pub azure_private_endpoint_id: Option<u32>,
    /// The Google Cloud Private Service Connect connection's identifier.
    pub gcp_psc_connection_id: Option<u64>,
}

/// What a proxy said of the TLS of the client's connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxySsl {
    /// The client spoke TLS to the proxy.
    pub tls: bool,
    /// The client has presented a certificate in this connection.
    pub certificate: bool,
    /// The client has presented a certificate, and it was found to be good.
    pub verified: bool,
    /// `TLSv1.3`.
    pub version: Option<Vec<u8>>,
    /// The common name of the certificate's subject.
    pub cn: Option<Vec<u8>>,
    /// The cipher.
    pub cipher: Option<Vec<u8>>,
    /// The algorithm that the certificate is signed with.
    pub signature_algorithm: Option<Vec<u8>>,
    /// The algorithm of the certificate's key.
    pub key_algorithm: Option<Vec<u8>>,
    /// The client's certificate, in DER.
    pub client_certificate: Option<Vec<u8>>,
}

const ALPN: u8 = 0x01;
const AUTHORITY: u8 = 0x02;
const CRC32C: u8 = 0x03;
const UNIQUE_ID: u8 = 0x05;
const SSL: u8 = 0x20;
const NETNS: u8 = 0x30;
const GCP: u8 = 0xE0;
const AWS: u8 = 0xEA;
const AWS_VPC_ENDPOINT_ID: u8 = 0x01;
const AZURE: u8 = 0xEE;
const AZURE_PRIVATE_ENDPOINT_ID: u8 = 0x01;

/// The longest unique id.
const LONGEST_ID: usize = 128;

/// Reads the records of `header` from `start` on.
pub(super) fn read(header: &[u8], start: usize) -> Result<Tlvs, ProxyRefused> {
    let mut tlvs = Tlvs::default();
    let mut checksum = None;
    let mut records = Records { bytes: header, at: start };
    while let Some(record) = records.next()? {
        let Record { kind, value, at } = record;
        match kind {
            ALPN => once(&mut tlvs.alpn, value.to_vec())?,
            AUTHORITY => once(&mut tlvs.authority, value.to_vec())?,
            CRC32C => {
                let sum = value.try_into().map_err(|_| Malformed)?;
                once(&mut checksum, (at, u32::from_be_bytes(sum)))?;
            }
            UNIQUE_ID if value.len() > LONGEST_ID => return Err(Malformed),
            UNIQUE_ID => once(&mut tlvs.unique_id, value.to_vec())?,
            SSL => once(&mut tlvs.ssl, ssl(value)?)?,
            NETNS => once(&mut tlvs.netns, value.to_vec())?,
            GCP => once(&mut tlvs.gcp_psc_connection_id, u64::from_be_bytes(value.try_into().map_err(|_| Malformed)?))?,
            AWS if value.first() == Some(&AWS_VPC_ENDPOINT_ID) => {
                once(&mut tlvs.aws_vpc_endpoint_id, value[1..].to_vec())?;
            }
            AZURE if value.first() == Some(&AZURE_PRIVATE_ENDPOINT_ID) => {
                let id = value[1..].try_into().map_err(|_| Malformed)?;
                once(&mut tlvs.azure_private_endpoint_id, u32::from_le_bytes(id))?;
            }
            // Padding (0x04), and what this server has no use for.
            _ => {}
        }
    }
    match checksum {
        Some((at, sum)) if sum != checksum_of(header, at) => Err(ProxyRefused::Checksum),
        _ => Ok(tlvs),
    }
}

fn ssl(value: &[u8]) -> Result<ProxySsl, ProxyRefused> {
    let Some(([client, verify @ ..], _)) = value.split_first_chunk::<5>() else { return Err(Malformed) };
    let (tls, certificate) = (client & 0x01 != 0, client & 0x06 != 0);
    // 0 is for a certificate that is good, and also for none.
    let verified = certificate && *verify == [0; 4];
    let mut ssl = ProxySsl { tls, certificate, verified, ..ProxySsl::default() };
    let mut records = Records { bytes: value, at: 5 };
    while let Some(Record { kind, value, .. }) = records.next()? {
        let field = match kind {
            0x21 => &mut ssl.version,
            0x22 => &mut ssl.cn,
            0x23 => &mut ssl.cipher,
            0x24 => &mut ssl.signature_algorithm,
            0x25 => &mut ssl.key_algorithm,
            0x28 => &mut ssl.client_certificate,
            _ => continue,
        };
        once(field, value.to_vec())?;
    }
    Ok(ssl)
}

/// A record that comes twice leaves it open which of them is meant.
fn once<T>(field: &mut Option<T>, value: T) -> Result<(), ProxyRefused> {
    if field.replace(value).is_none() { Ok(()) } else { Err(Malformed) }
}

struct Record<'a> {
    kind: u8,
    value: &'a [u8],
    /// Where the value begins.
    at: usize,
}

struct Records<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Records<'a> {
    fn next(&mut self) -> Result<Option<Record<'a>>, ProxyRefused> {
        let (kind, length) = match &self.bytes[self.at..] {
            [] => return Ok(None),
            [kind, high, low, ..] => (*kind, usize::from(u16::from_be_bytes([*high, *low]))),
            _ => return Err(Malformed),
        };
        let at = self.at + 3;
        let value = self.bytes.get(at..at + length).ok_or(Malformed)?;
        self.at = at + length;
        Ok(Some(Record { kind, value, at }))
    }
}

/// The CRC-32C (RFC 4960, appendix B) of the header, in which the checksum itself, at `at`, counts as zero.
fn checksum_of(header: &[u8], at: usize) -> u32 {
    let bytes = header.iter().enumerate().map(|(n, byte)| if (at..at + 4).contains(&n) { 0 } else { *byte });
    !bytes.fold(u32::MAX, |sum, byte| TABLE[usize::from(sum as u8 ^ byte)] ^ (sum >> 8))
}

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut sum, mut bit) = (byte as u32, 0);
        while bit < 8 {
            sum = if sum & 1 == 1 { 0x82F6_3B78 ^ (sum >> 1) } else { sum >> 1 };
            bit += 1;
        }
        table[byte] = sum;
        byte += 1;
    }
    table
};
