use proptest::prelude::*;

use super::*;
use ProxyRefused::{Checksum, Malformed, Missing, TooLong, Version};

const BOTH: ProxyVersions = ProxyVersions::Any;

fn tcp(source: &str, destination: &str) -> Option<Route> {
    Some(Route::Tcp { source: source.parse().unwrap(), destination: destination.parse().unwrap() })
}

/// A header of version 2 for 192.0.2.1:4000 -> 198.51.100.1:443.
fn v2(command: u8, family: u8, addresses: &[u8], tlvs: &[(u8, &[u8])]) -> Vec<u8> {
    let tlvs: Vec<u8> = tlvs.iter().flat_map(|(kind, value)| tlv(*kind, value)).collect();
    let length = u16::try_from(addresses.len() + tlvs.len()).unwrap().to_be_bytes();
    [v2::SIGNATURE, &[command, family], &length, addresses, &tlvs].concat()
}

fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
    [&[kind], &u16::try_from(value.len()).unwrap().to_be_bytes()[..], value].concat()
}

const INET: &[u8] = &[192, 0, 2, 1, 198, 51, 100, 1, 0x0f, 0xa0, 0x01, 0xbb];

fn with_tlvs(tlvs: &[(u8, &[u8])]) -> Vec<u8> {
    v2(0x21, 0x11, INET, tlvs)
}

/// Reads it whole, and checks that every part of it alone asks for more, and that nothing behind it is taken.
fn read_all(header: &[u8]) -> Result<ProxyInfo, ProxyRefused> {
    let (length, info) = read(header, BOTH)?.expect("a whole header");
    assert_eq!(length, header.len());
    for end in 0..length {
        assert_eq!(read(&header[..end], BOTH), Ok(None), "{end} bytes of {length}");
    }
    let more = [header, b"GET / HTTP/1.1\r\n"].concat();
    assert_eq!(read(&more, BOTH), Ok(Some((length, info.clone()))));
    Ok(info)
}

#[test]
fn reads_version_1() {
    for (line, route) in [
        ("PROXY TCP4 192.0.2.1 198.51.100.1 4000 443\r\n", tcp("192.0.2.1:4000", "198.51.100.1:443")),
        ("PROXY TCP4 255.255.255.255 0.0.0.0 65535 0\r\n", tcp("255.255.255.255:65535", "0.0.0.0:0")),
        ("PROXY TCP6 2001:db8::1 ::1 4000 443\r\n", tcp("[2001:db8::1]:4000", "[::1]:443")),
        ("PROXY TCP6 ::ffff:192.0.2.1 ::1 4000 443\r\n", tcp("[::ffff:192.0.2.1]:4000", "[::1]:443")),
        (
            "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
            tcp("[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535", "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"),
        ),
        ("PROXY UNKNOWN\r\n", None),
        (
            "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
            None,
        ),
    ] {
        let info = read_all(line.as_bytes()).unwrap();
        assert_eq!((info.version, info.local, info.route), (1, false, route), "{line}");
    }
}

#[test]
fn refuses_all_that_is_not_version_1() {
    for line in [
        "PROXY \r\n",
        "PROXY TCP4\r\n",
        "PROXY  TCP4 192.0.2.1 198.51.100.1 4000 443\r\n",
        "PROXY TCP4 192.0.2.1  198.51.100.1 4000 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 4000 443 \r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 4000\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 4000 443 1\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 4000 443\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 4000 443\r\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 4000 443\rGET",
        "PROXY TCP4 192.0.2.1 198.51.100.1 +4000 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 04000 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 4000 65536\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 4000 \r\n",
        "PROXY TCP4 192.0.2.01 198.51.100.1 4000 443\r\n",
        "PROXY TCP4 192.0.2.256 198.51.100.1 4000 443\r\n",
        "PROXY TCP4 192.0.2 198.51.100.1 4000 443\r\n",
        "PROXY TCP4 ::1 ::1 4000 443\r\n",
        "PROXY TCP6 192.0.2.1 198.51.100.1 4000 443\r\n",
        "PROXY TCP6 fe80::1%eth0 ::1 4000 443\r\n",
        "PROXY TCP6 [::1] ::1 4000 443\r\n",
        "PROXY UDP4 192.0.2.1 198.51.100.1 4000 443\r\n",
        "PROXY tcp4 192.0.2.1 198.51.100.1 4000 443\r\n",
        "PROXY UNKNOWNX\r\n",
        "PROXY TCP4\t192.0.2.1 198.51.100.1 4000 443\r\n",
    ] {
        assert_eq!(read(line.as_bytes(), BOTH), Err(Malformed), "{line:?}");
    }
}

#[test]
fn a_line_of_version_1_is_bounded() {
    let line = |length: usize| format!("PROXY UNKNOWN {}\r\n", "x".repeat(length - 16));
    assert!(read_all(line(107).as_bytes()).is_ok());
    assert_eq!(read(line(108).as_bytes(), BOTH), Err(TooLong));
    assert_eq!(read(&line(200).as_bytes()[..106], BOTH), Ok(None));
    assert_eq!(read(&line(200).as_bytes()[..107], BOTH), Err(TooLong));
}

#[test]
fn what_begins_otherwise_has_no_header() {
    for bytes in
        [&b"GET / HTTP/1.1\r\n"[..], b"PROXX", b"PRI * HTTP/2.0\r\n", b"proxy ", b"\r\n\r\nGET", b"\x16\x03\x01", b"\n"]
    {
        assert_eq!(read(bytes, BOTH), Err(Missing), "{bytes:?}");
    }
    assert_eq!(read(b"", BOTH), Ok(None));
}

#[test]
fn an_address_may_take_one_version_alone() {
    let one = b"PROXY UNKNOWN\r\n";
    assert_eq!(read(one, ProxyVersions::V2), Err(Version));
    assert!(matches!(read(one, ProxyVersions::V1), Ok(Some(_))));
    assert_eq!(read(&with_tlvs(&[]), ProxyVersions::V1), Err(Version));
    assert!(matches!(read(&with_tlvs(&[]), ProxyVersions::V2), Ok(Some(_))));
}

#[test]
fn reads_the_addresses_of_version_2() {
    let info = read_all(&with_tlvs(&[])).unwrap();
    assert_eq!((info.version, info.local, info.route), (2, false, tcp("192.0.2.1:4000", "198.51.100.1:443")));
    assert_eq!(info.tlvs, Tlvs::default());
    let [client, server] = ["2001:db8::1", "2001:db8::2"].map(|ip| ip.parse::<std::net::Ipv6Addr>().unwrap().octets());
    let six = [&client[..], &server, &[0x0f, 0xa0, 0x01, 0xbb]].concat();
    assert_eq!(read_all(&v2(0x21, 0x21, &six, &[])).unwrap().route, tcp("[2001:db8::1]:4000", "[2001:db8::2]:443"));
    let mut paths = [0; 216];
    paths[..5].copy_from_slice(b"/a\0b\xff");
    paths[108..216].fill(b'x');
    let unix = Route::Unix { source: b"/a\0b\xff".to_vec(), destination: vec![b'x'; 108] };
    assert_eq!(read_all(&v2(0x21, 0x31, &paths, &[])).unwrap().route, Some(unix));
    assert_eq!(read_all(&v2(0x21, 0x00, &[], &[(0x02, b"a.example")])).unwrap().route, None);
}

/// haproxy's own health checks have this command.
#[test]
fn all_behind_local_is_ignored() {
    for (family, rest) in [(0x00, &b""[..]), (0x11, INET), (0xff, b"anything"), (0x11, b"\x03\0\x04abcd")] {
        let info = read_all(&v2(0x20, family, rest, &[])).unwrap();
        assert_eq!(info, ProxyInfo { version: 2, local: true, route: None, tlvs: Tlvs::default() });
    }
}

#[test]
fn refuses_what_version_2_does_not_have() {
    for (command, family, addresses) in [
        (0x11, 0x11, INET),
        (0x31, 0x11, INET),
        (0x22, 0x11, INET),
        (0x2f, 0x11, INET),
        // Datagrams, and families that there are not.
        (0x21, 0x12, INET),
        (0x21, 0x22, INET),
        (0x21, 0x32, INET),
        (0x21, 0x10, INET),
        (0x21, 0x13, INET),
        (0x21, 0x41, INET),
        (0x21, 0x01, INET),
        // Too short for what they are to have.
        (0x21, 0x11, &INET[..11]),
        (0x21, 0x11, b""),
        (0x21, 0x21, INET),
        (0x21, 0x31, INET),
    ] {
        assert_eq!(read(&v2(command, family, addresses, &[]), BOTH), Err(Malformed), "{command:x} {family:x}");
    }
    let long = v2(0x21, 0x11, INET, &[(0x04, &[0; 8192])]);
    assert_eq!(read(&long[..16], BOTH), Err(TooLong));
}

#[test]
fn reads_what_else_a_proxy_tells() {
    let sub = |kind, value: &[u8]| tlv(kind, value);
    let ssl = [
        &[0x07, 0, 0, 0, 0][..],
        &sub(0x21, b"TLSv1.3"),
        &sub(0x22, b"client"),
        &sub(0x23, b"AES"),
        &sub(0x24, b"SHA256"),
        &sub(0x25, b"RSA2048"),
        &sub(0x28, b"\x30\x82"),
        &sub(0x7f, b"new"),
    ]
    .concat();
    let info = read_all(&with_tlvs(&[
        (0x01, b"h2"),
        (0x02, b"a.example"),
        (0x04, b"padding"),
        (0x04, b""),
        (0x05, &[7; 128]),
        (0x20, &ssl),
        (0x30, b"ns"),
        (0xEA, b"\x01vpce-08d2bf15fac5001c9"),
        (0xEA, b"\x02other"),
        (0xEE, b"\x01\x04\x03\x02\x01"),
        (0xE0, &[0, 0, 0, 0, 0, 0, 1, 2]),
        (0xF1, b"mine"),
    ]))
    .unwrap();
    let some = |bytes: &[u8]| Some(bytes.to_vec());
    assert_eq!(
        info.tlvs,
        Tlvs {
            alpn: some(b"h2"),
            authority: some(b"a.example"),
            unique_id: some(&[7; 128]),
            ssl: Some(ProxySsl {
                tls: true,
                certificate: true,
                verified: true,
                version: some(b"TLSv1.3"),
                cn: some(b"client"),
                cipher: some(b"AES"),
                signature_algorithm: some(b"SHA256"),
                key_algorithm: some(b"RSA2048"),
                client_certificate: some(b"\x30\x82"),
            }),
            netns: some(b"ns"),
            aws_vpc_endpoint_id: some(b"vpce-08d2bf15fac5001c9"),
            azure_private_endpoint_id: Some(0x0102_0304),
            gcp_psc_connection_id: Some(258),
        }
    );
}

/// Without a certificate there is none that could have been verified, whatever the number says.
#[test]
fn a_certificate_is_verified_only_where_there_is_one() {
    let verified = |client: u8, verify: u8| {
        let ssl = read_all(&with_tlvs(&[(0x20, &[client, 0, 0, 0, verify])])).unwrap().tlvs.ssl.unwrap();
        (ssl.tls, ssl.certificate, ssl.verified)
    };
    assert_eq!(verified(0x01, 0), (true, false, false));
    assert_eq!(verified(0x05, 0), (true, true, true));
    assert_eq!(verified(0x07, 1), (true, true, false));
    assert_eq!(verified(0x00, 0), (false, false, false));
}

#[test]
fn refuses_malformed_records() {
    for (wrong, tlvs) in [
        ("too long an id", vec![(0x05, &[0_u8; 129][..])]),
        ("twice", vec![(0x02, b"a"), (0x02, b"b")]),
        ("a short checksum", vec![(0x03, b"abc")]),
        ("a short number", vec![(0xE0, b"1234567")]),
        ("a long number", vec![(0xEE, b"\x0112345")]),
        ("half a head of SSL", vec![(0x20, b"\x01\0\0\0")]),
        ("half a record in SSL", vec![(0x20, b"\x01\0\0\0\0\x21\0")]),
        ("a record beyond SSL", vec![(0x20, b"\x01\0\0\0\0\x21\0\x02a")]),
    ] {
        assert_eq!(read(&with_tlvs(&tlvs), BOTH), Err(Malformed), "{wrong}");
    }
    for rest in [&b"\x04"[..], b"\x04\0", b"\x04\0\x02a", b"\x04\xff\xffa"] {
        assert_eq!(read(&v2(0x21, 0x11, &[INET, rest].concat(), &[]), BOTH), Err(Malformed), "{rest:?}");
    }
}

/// The sum was computed by another program (CRC-32C of the header with four zeros in its place).
#[test]
fn compares_the_checksum() {
    assert_eq!(crc32c(b"123456789"), 0xE306_9283);
    let unsigned = with_tlvs(&[(0x02, b"a.example"), (0x03, &[0; 4])]);
    let sum = crc32c(&unsigned).to_be_bytes();
    let good = with_tlvs(&[(0x02, b"a.example"), (0x03, &sum)]);
    assert!(read_all(&good).is_ok());
    for at in 16..good.len() - 4 {
        let mut bad = good.clone();
        bad[at] ^= 1;
        assert!(read(&bad, BOTH).is_err(), "{at}");
    }
    assert_eq!(read(&with_tlvs(&[(0x02, b"a.exampli"), (0x03, &sum)]), BOTH), Err(Checksum));
    assert_eq!(read(&with_tlvs(&[(0x03, &sum), (0x03, &sum)]), BOTH), Err(Malformed));
}

/// Bit by bit, where the code under test has a table.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| (sum >> 1) ^ (0x82F6_3B78 * (sum & 1)))
    })
}

proptest! {
    #[test]
    fn never_panics_and_never_takes_more_than_there_is(bytes: Vec<u8>, kind in 0..3_usize) {
        let begin: &[u8] = [b"", v1::PREFIX, v2::SIGNATURE][kind];
        let bytes = [begin, &bytes].concat();
        if let Ok(Some((length, _))) = read(&bytes, BOTH) {
            prop_assert!(length <= bytes.len());
            prop_assert_eq!(read(&bytes[..length - 1], BOTH), Ok(None));
        }
    }

    #[test]
    fn records_of_any_kind_are_read_or_refused(tlvs: Vec<(u8, Vec<u8>)>) {
        let tlvs: Vec<(u8, &[u8])> = tlvs.iter().map(|(kind, value)| (*kind, &value[..])).collect();
        let header = with_tlvs(&tlvs);
        if let Ok(read) = read(&header, BOTH) {
            prop_assert_eq!(read.map(|(length, _)| length), Some(header.len()));
        }
    }

    #[test]
    fn addresses_of_version_1_are_read_as_they_were_written(source: [u8; 4], destination: [u8; 4], ports: (u16, u16)) {
        let [from, to] = [(source, ports.0), (destination, ports.1)].map(SocketAddr::from);
        let line = format!("PROXY TCP4 {} {} {} {}\r\n", from.ip(), to.ip(), from.port(), to.port());
        let (_, info) = read(line.as_bytes(), BOTH).unwrap().unwrap();
        prop_assert_eq!(info.route, Some(Route::Tcp { source: from, destination: to }));
    }
}
